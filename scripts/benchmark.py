#!/usr/bin/env python3
"""How fast tinyalbert is: against PyTorch on this machine, and against the machine itself.

    python scripts/benchmark.py                       every row (minutes)
    python scripts/benchmark.py --rows step small     some rows; --list names them
    python scripts/benchmark.py --quick               three rounds in place of seven

Both sides of a row run in turns in one process, so a machine whose speed drifts slows both; each figure is the
median of the rounds, each claim a ratio.  Without torch and transformers (extra `parity`) only our side runs.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")        # our replicas bring the parallelism
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from tinyalbert import AlbertConfig, AlbertForPreTraining, AlbertForSequenceClassification, no_grad
from tinyalbert.backend import keep_freed_memory
from tinyalbert.parallel import physical_cores
from tinyalbert.tensor import KERNELS
from tinyalbert.training import Trainer

MEDIUM = dict(vocab_size=8192, embedding_size=128, hidden_size=256, num_hidden_layers=6, num_attention_heads=4,
              intermediate_size=1024)
SMALL = dict(vocab_size=8000, embedding_size=128, hidden_size=128, num_hidden_layers=4, num_attention_heads=4,
             intermediate_size=512)
THREADS = physical_cores()


def pretraining_batch(B, T, vocab_size, seed=0):
    """Random ids with 15 % of them masked, full length."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(5, vocab_size, (B, T)).astype(np.int32)
    labels = np.where(rng.random((B, T)) < 0.15, ids, -100).astype(np.int32)
    return {"input_ids": ids, "attention_mask": np.ones_like(ids), "labels": labels,
            "token_type_ids": (np.arange(T) >= T // 2).astype(np.int32) * np.ones_like(ids),
            "sentence_order_label": rng.integers(0, 2, B).astype(np.int32)}


def rounds(sides, n):
    """{name: median seconds} of functions run in turns, after one round that is not counted."""
    times = {name: [] for name in sides}
    for _ in range(n + 1):
        for name, run in sides.items():
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    return {name: float(np.median(t[1:])) for name, t in times.items()}


# --- the other side ------------------------------------------------------------------------------------------

def torch_or_none():
    """torch and transformers with this machine's threads, or None."""
    try:
        import torch
        import transformers
    except ImportError:
        return None
    torch.set_num_threads(THREADS)
    transformers.logging.set_verbosity_error()
    return torch, transformers


def transformers_model(kind, config):
    """transformers' model of the same size with random weights."""
    torch, transformers = torch_or_none()
    names = transformers.AlbertConfig().to_dict()
    theirs = transformers.AlbertConfig(**{k: v for k, v in config.to_dict().items() if k in names})
    return getattr(transformers, kind)(theirs)


def transformers_step(config, batch, kind="AlbertForPreTraining"):
    """A function that does one AdamW step of transformers' model."""
    torch, _ = torch_or_none()
    model = transformers_model(kind, config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    tensors = {k: torch.tensor(v).long() for k, v in batch.items()}

    def step():
        optimizer.zero_grad()
        model(**tensors).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return step


def lean_torch_step(config, batch, compiled=False):
    """One step of an ALBERT written for PyTorch's speed: logits at masked places only, fused GELU and attention."""
    torch, _ = torch_or_none()
    nn, F = torch.nn, torch.nn.functional

    class Lean(nn.Module):
        def __init__(self, c):
            super().__init__()
            E, H, I = c.embedding_size, c.hidden_size, c.intermediate_size
            self.heads, self.layers, self.p = c.num_attention_heads, c.num_hidden_layers, c.hidden_dropout_prob
            self.words, self.types = nn.Embedding(c.vocab_size, E), nn.Embedding(2, E)
            self.places = nn.Embedding(c.max_position_embeddings, E)
            self.norm0, self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(n, 1e-12) for n in (E, H, H, E))
            self.widen, self.qkv, self.out = nn.Linear(E, H), nn.Linear(H, 3 * H), nn.Linear(H, H)
            self.up, self.down, self.pool, self.order = (nn.Linear(*s) for s in ((H, I), (I, H), (H, H), (H, 2)))
            self.narrow, self.bias = nn.Linear(H, E), nn.Parameter(torch.zeros(c.vocab_size))
            for module in self.modules():
                if isinstance(module, (nn.Linear, nn.Embedding)):
                    nn.init.trunc_normal_(module.weight, std=0.02, a=-0.04, b=0.04)

        def forward(self, ids, types, positions, labels, order):
            B, T = ids.shape
            h = self.widen(F.dropout(self.norm0(self.words(ids) + self.types(types) + self.places.weight[:T]), self.p))
            for _ in range(self.layers):
                q, k, v = (x.view(B, T, self.heads, -1).transpose(1, 2) for x in self.qkv(h).chunk(3, -1))
                a = F.scaled_dot_product_attention(q, k, v, dropout_p=self.p).transpose(1, 2).reshape(B, T, -1)
                h = self.norm1(F.dropout(self.out(a), self.p) + h)
                f = self.down(F.gelu(self.up(h), approximate="tanh"))
                h = self.norm2(F.dropout(f, self.p) + h)
            masked = self.norm3(F.gelu(self.narrow(h.view(B * T, -1)[positions]), approximate="tanh"))
            return (F.cross_entropy(F.linear(masked, self.words.weight, self.bias), labels)
                    + F.cross_entropy(self.order(torch.tanh(self.pool(h[:, 0]))), order))

    model = Lean(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    run = torch.compile(model) if compiled else model
    flat = torch.tensor(batch["labels"]).long().view(-1)
    positions = torch.nonzero(flat != -100)[:, 0]
    arguments = (*(torch.tensor(batch[k]).long() for k in ("input_ids", "token_type_ids")), positions, flat[positions],
                 torch.tensor(batch["sentence_order_label"]).long())

    def step():
        optimizer.zero_grad()
        run(*arguments).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return step


def our_step(config, batch, threads=None):
    """A function that does one step of `Trainer`."""
    trainer = Trainer(AlbertForPreTraining(config), lr=1e-4, threads=threads)
    return lambda: trainer.step(batch)


# --- the floor -------------------------------------------------------------------------------------------------

def products(config, B, T, masked):
    """(rows, inner, columns, times) of the step's matrix products, forward and backward, attention apart."""
    E, H, I, V = config.embedding_size, config.hidden_size, config.intermediate_size, config.vocab_size
    L, R = config.num_hidden_layers, B * T
    layers = [(R, E, H, 1), (R, H, H, 4 * L), (R, H, I, L), (R, I, H, L), (masked, H, E, 1), (masked, E, V, 1)]
    return [shape for m, k, n, times in layers for shape in ((m, k, n, times), (m, n, k, times), (n, m, k, times))]


def floor_step(config, batch):
    """A function that does only the step's matrix products, half the batch in each of THREADS threads."""
    from concurrent.futures import ThreadPoolExecutor
    B, T = batch["input_ids"].shape
    part, masked = B // THREADS, int((batch["labels"] != -100).sum()) // THREADS
    N, D = config.num_attention_heads, config.hidden_size // config.num_attention_heads
    rng = np.random.default_rng(0)
    pool = ThreadPoolExecutor(THREADS)

    def draw(*shape):
        return rng.standard_normal(shape, dtype=np.float32)

    def arrays():
        dense = [(draw(m, k), draw(k, n), np.empty((m, n), np.float32), times)
                 for m, k, n, times in products(config, part, T, masked)]
        q, s = draw(part, N, T, D), np.empty((part, N, T, T), np.float32)
        return dense, q, s, np.empty_like(q)

    def work(held):
        dense, q, s, o = held
        for a, b, out, times in dense:
            for _ in range(times):
                np.matmul(a, b, out=out)
        for _ in range(2 * config.num_hidden_layers):          # forward 2 products, backward 4
            np.matmul(q, q.swapaxes(-1, -2), out=s)
            np.matmul(s, q, out=o)
            np.matmul(s.swapaxes(-1, -2), q, out=o)

    held = [arrays() for _ in range(THREADS)]
    return lambda: list(pool.map(work, held))


# --- rows ------------------------------------------------------------------------------------------------------

def line(name, ours, other=None, against="", target=None, unit="tokens/s"):
    """One row of the table."""
    text = f"{name:44s}{ours:10,.0f} {unit:12s}"
    if other:
        text += f"{other:10,.0f} {against:26s}{ours / other:6.2f} x"
        text += f"   (target {target:g} x)" if target else ""
    print(text, flush=True)


def pretraining_row(name, size, B, T, target, n, lean=None, floor=False):
    """Tokens per second of one pretraining step, all sides in turns."""
    config = AlbertConfig(**size)
    batch = pretraining_batch(B, T, config.vocab_size)
    sides = {"ours": our_step(config, batch)}
    if floor:
        sides["the step's products alone"] = floor_step(config, batch)
    if torch_or_none():
        sides["transformers"] = transformers_step(config, batch)
        if lean:
            sides["lean PyTorch"] = lean_torch_step(config, batch)
            sides["lean PyTorch, compiled"] = lean_torch_step(config, batch, compiled=True)
    rate = {side: B * T / seconds for side, seconds in rounds(sides, n).items()}
    targets = {"transformers": target, "lean PyTorch": lean, "lean PyTorch, compiled": lean,
               "the step's products alone": 0.85}
    if len(rate) == 1:
        line(name, rate["ours"])
    for side in rate:
        if side != "ours":
            line(name, rate["ours"], rate[side], side, targets[side])


def row_step(n):
    """one pretraining step, H 256 L 6, 32 x 128 tokens"""
    pretraining_row("step: H 256 L 6, 32 x 128", MEDIUM, 32, 128, 2.5, n, lean=1.2, floor=True)


def row_dropout(n):
    """the same with dropout 0.1"""
    size = dict(MEDIUM, hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1)
    config, batch = AlbertConfig(**size), pretraining_batch(32, 128, 8192)
    sides = {"ours": our_step(config, batch)}
    if torch_or_none():
        sides["transformers"] = transformers_step(config, batch)
    rate = {side: 4096 / seconds for side, seconds in rounds(sides, n).items()}
    line("dropout 0.1: H 256 L 6, 32 x 128", rate["ours"], rate.get("transformers"), "transformers", 2.0)


def row_small(n):
    """a small model, H 128 L 4, 64 x 64 tokens"""
    pretraining_row("small: H 128 L 4, 64 x 64", SMALL, 64, 64, 3, n, lean=1.2)


def row_base(n):
    """base-v2 size, 4 x 128 tokens"""
    size = AlbertConfig.preset("base_v2").to_dict()
    pretraining_row("base-v2, 4 x 128", {k: size[k] for k in (*MEDIUM, "hidden_act")}, 4, 128, 1.3, max(2, n // 2))


def row_finetune(n):
    """a fine-tuning step on sentences of different lengths, padded to the longest of their batch"""
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.lognormal(2.4, 0.8, 2048).astype(int) + 2, 4, 66)    # about those of SST-2
    config = AlbertConfig(**MEDIUM)

    def batch(rows):
        T = int(rows.max())
        ids = rng.integers(5, 8192, (len(rows), T)).astype(np.int32)
        mask = (np.arange(T) < rows[:, None]).astype(np.int32)
        return {"input_ids": ids * mask, "attention_mask": mask,
                "labels": rng.integers(0, 2, len(rows)).astype(np.int32)}

    bucketed = [batch(rows) for rows in np.sort(lengths[:512]).reshape(-1, 32)]
    mixed = [batch(rows) for rows in lengths[:512].reshape(-1, 32)]
    trainer = Trainer(AlbertForSequenceClassification(config), lr=1e-4)
    sides = {"ours": lambda: [trainer.step(b) for b in bucketed]}
    if torch_or_none():
        torch, _ = torch_or_none()
        model = transformers_model("AlbertForSequenceClassification", config).train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)

        def theirs():
            for b in mixed:
                optimizer.zero_grad()
                model(**{k: torch.tensor(v).long() for k, v in b.items()}).loss.backward()
                optimizer.step()
        sides["transformers"] = theirs
    rate = {side: 512 / seconds for side, seconds in rounds(sides, max(2, n // 2)).items()}
    line("fine-tuning, lengths like SST-2's", rate["ours"], rate.get("transformers"), "transformers", 2.5,
         "sentences/s")


def row_latency(n):
    """inference, base-v2, one sequence of 128 tokens"""
    preset = AlbertConfig.preset("base_v2")
    from threadpoolctl import threadpool_limits
    ids = np.random.default_rng(0).integers(5, 30000, (1, 128)).astype(np.int32)
    ours = AlbertForSequenceClassification(preset)

    def run():
        with no_grad(), threadpool_limits(THREADS, "blas"):
            ours(ids)
    sides = {"ours": run}
    if torch_or_none():
        torch, _ = torch_or_none()
        theirs = transformers_model("AlbertForSequenceClassification", preset).eval()

        def other():
            with torch.no_grad():
                theirs(torch.tensor(ids).long())
        sides["transformers"] = other
    rate = {side: 1 / seconds for side, seconds in rounds(sides, n).items()}
    line("inference: base-v2, 1 x 128", rate["ours"], rate.get("transformers"), "transformers", 1.0, "sequences/s")


def row_sentences(n):
    """inference, small model, batches of 64, lengths mixed"""
    from tinyalbert.parallel import Threads
    rng = np.random.default_rng(0)
    config = AlbertConfig(**SMALL)
    lengths = np.clip(rng.lognormal(2.4, 0.8, 1024).astype(int) + 2, 4, 66)

    def padded(rows):
        T = int(rows.max())
        mask = (np.arange(T) < rows[:, None]).astype(np.int32)
        return {"input_ids": rng.integers(5, 8000, (len(rows), T)).astype(np.int32) * mask, "attention_mask": mask}

    bucketed, mixed = ([padded(r) for r in x.reshape(-1, 64)] for x in (np.sort(lengths), lengths))
    ours, replicas = AlbertForSequenceClassification(config), Threads()

    def one(batch):
        with no_grad():
            return ours(**batch).logits
    sides = {"ours": lambda: replicas.run(one, bucketed)}
    if torch_or_none():
        torch, _ = torch_or_none()
        theirs = transformers_model("AlbertForSequenceClassification", config).eval()

        def other():
            with torch.no_grad():
                for batch in mixed:
                    theirs(**{k: torch.tensor(v).long() for k, v in batch.items()})
        sides["transformers"] = other
    rate = {side: 1024 / seconds for side, seconds in rounds(sides, max(2, n // 2)).items()}
    line("inference: small, batches of 64, mixed lengths", rate["ours"], rate.get("transformers"), "transformers", 2,
         "sentences/s")


def row_memory(n):
    """peak memory of the first row, each side in a process of its own"""
    if not Path("/proc/self/status").exists():
        print("peak memory: this row needs Linux")
        return
    peak = {}
    for side in ("ours", "transformers") if torch_or_none() else ("ours",):
        done = subprocess.run([sys.executable, __file__, "--peak", side], capture_output=True, text=True)
        if done.returncode:
            print(f"memory of {side}: {done.stderr[-300:]}")
            return
        peak[side] = float(done.stdout)
    line("peak memory of the step (whole process)", peak["ours"], peak.get("transformers"), "transformers", 0.35, "MB")


def print_peak(side):
    """For row_memory: do a few steps and print the peak resident memory."""
    config, batch = AlbertConfig(**MEDIUM), pretraining_batch(32, 128, 8192)
    step = our_step(config, batch) if side == "ours" else transformers_step(config, batch)
    for _ in range(3):
        step()
    with open("/proc/self/status") as status:    # not ru_maxrss: a process inherits that of the one that started it
        print(next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024)


def row_kernels(n):
    """what each fused kernel earns: the step without it, against the step with all"""
    config, batch = AlbertConfig(**dict(MEDIUM, hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1)), \
        pretraining_batch(32, 128, 8192)
    step, kernels = our_step(config, batch), dict(KERNELS)

    def without(names):
        def run():
            for name in names:
                KERNELS.pop(name)
            step()
            KERNELS.update(kernels)
        return run
    sides = {"all": step, **{name[0]: without([name]) for name in kernels}, "none of them": without(list(kernels))}
    seconds = rounds(sides, max(2, n // 2))
    print(f"kernels, with dropout 0.1: all {seconds['all'] * 1e3:.0f} ms a step")
    for name in list(sides)[1:]:
        print(f"    without {name:24s}{seconds[name] / seconds['all']:6.2f} x the time")


def row_growth(n):
    """how the step's time grows with layers, length, batch, vocabulary and threads"""
    base = dict(L=6, T=128, B=32, V=8192, threads=THREADS)
    print("growth of a step (H 256), and its share of the floor:")
    for key, values in {"L": (3, 6, 12), "T": (64, 128, 256), "B": (16, 32, 64), "V": (8192, 16384, 32768),
                        "threads": tuple(range(1, THREADS + 1))}.items():
        for value in values:
            at = {**base, key: value}
            config = AlbertConfig(**dict(MEDIUM, num_hidden_layers=at["L"], vocab_size=at["V"]))
            batch = pretraining_batch(at["B"], at["T"], at["V"])
            sides = {"ours": our_step(config, batch, at["threads"])}
            if key != "threads":
                sides["floor"] = floor_step(config, batch)
            seconds = rounds(sides, 2)
            share = f"   {seconds['floor'] / seconds['ours']:5.0%} of the floor" if "floor" in seconds else ""
            print(f"    {key} = {value:<8d}{seconds['ours'] * 1e3:8.0f} ms{share}", flush=True)


def row_batches(n):
    """drawing a batch of pairs and masks, against the step that it feeds"""
    import tempfile

    from tinyalbert.pretraining.batches import PretrainingData
    from tinyalbert.pretraining.pretrain import train_tokenizer
    from tinyalbert.pretraining.shards import prepare
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = train_tokenizer(["stories:1000"], 1000, f"{folder}/t")
        prepare(["stories:2000"], tokenizer, f"{folder}/d", workers=1, progress=False)
        for B, T, size in ((32, 128, MEDIUM), (64, 64, SMALL)):
            data = PretrainingData(f"{folder}/d", max_seq_length=T)
            numbers = iter(range(10**6))
            seconds = rounds({"draw": lambda data=data, B=B, numbers=numbers: data.batch(next(numbers), B),
                              "step": our_step(AlbertConfig(**size), pretraining_batch(B, T, 8000))}, n)
            print(f"drawing a batch of {B} x {T:<20d}{seconds['draw'] * 1e3:10.2f} ms        "
                  f"{seconds['draw'] / seconds['step']:10.1%} of its step (target 3 %)")


def row_import(n):
    """time of `import tinyalbert` against `import torch, transformers`, the interpreter's start left out"""
    def timed(code):
        def run():
            subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
        return run
    sides = {"nothing": timed("pass"), "ours": timed("import tinyalbert")}
    if torch_or_none():
        sides["theirs"] = timed("import torch, transformers; transformers.AlbertForPreTraining")
    seconds = rounds(sides, max(3, n // 2))
    ours = seconds["ours"] - seconds["nothing"]
    text = f"import tinyalbert{'':27s}{ours * 1e3:10.0f} ms"
    if "theirs" in seconds:
        text += f"{(seconds['theirs'] - seconds['nothing']) / ours:24.0f} x quicker than torch and transformers"
    print(text)


ROWS = {name.removeprefix("row_"): f for name, f in list(globals().items()) if name.startswith("row_")}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS), metavar="ROW", help="which rows")
    parser.add_argument("--list", action="store_true", help="name the rows")
    parser.add_argument("--quick", action="store_true", help="three rounds in place of seven")
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.list:
        print("\n".join(f"{name:12s}{f.__doc__}" for name, f in ROWS.items()))
        return
    keep_freed_memory()
    if options.peak:
        print_peak(options.peak)
        return
    n = 3 if options.quick else 7
    both = torch_or_none()
    versions = {"numpy": np.__version__, **({} if not both else {m.__name__: m.__version__ for m in both})}
    print(f"{THREADS} threads, float32, medians of {n} rounds in turns; {json.dumps(versions)}"
          + ("" if both else "; torch and transformers are not installed: our side alone"))
    for name in options.rows:
        ROWS[name](n)


if __name__ == "__main__":
    main()
