#!/usr/bin/env python3
"""How fast tinyalbert is: against PyTorch on this machine, and against the machine itself.

    python scripts/benchmark.py                       every row (minutes)
    python scripts/benchmark.py --rows step small     some rows; --list names them
    python scripts/benchmark.py --quick               three rounds in place of seven
    python scripts/benchmark.py --device gpu          the training steps on a GPU

The sides of a row work in turns, so a machine whose speed drifts slows both, each in a process of
its own, with the settings that its users have (ours tells the C library to keep freed memory;
PyTorch gains by that too, and does not do it).  Each figure is the median of the rounds, each claim
a ratio.  Without torch and transformers (extra `parity`) only our side runs."""

import argparse
import contextlib
import functools
import importlib.util
import json
import multiprocessing
import os
import random
import re
import subprocess
import sys
import tempfile
import time
import timeit
import warnings
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # our replicas bring the parallelism
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch_side

from tinyalbert import (
    AlbertConfig,
    AlbertForPreTraining,
    AlbertForSequenceClassification,
    AlbertTokenizer,
    no_grad,
)
from tinyalbert.backend import check_device
from tinyalbert.errors import UserError
from tinyalbert.precision import Precision, check_precision
from tinyalbert.products import library_for, rates, sixteen_bits
from tinyalbert.readout import rows_read
from tinyalbert.tasks.batches import Features
from tinyalbert.tasks.classification import Classification
from tinyalbert.tasks.tables import read_table
from tinyalbert.tensor import KERNELS, OPS
from tinyalbert.text.rows import RowEncoder
from tinyalbert.training.memory import keep_freed_memory
from tinyalbert.training.replicas import Threads, physical_cores
from tinyalbert.training.trainer import Trainer

MEDIUM = dict(
    vocab_size=8192,
    embedding_size=128,
    hidden_size=256,
    num_hidden_layers=6,
    num_attention_heads=4,
    intermediate_size=1024,
)
SMALL = dict(
    vocab_size=8000,
    embedding_size=128,
    hidden_size=128,
    num_hidden_layers=4,
    num_attention_heads=4,
    intermediate_size=512,
)
DROPOUT = dict(hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1)
THREADS = physical_cores()
LESSONS = Path(__file__).resolve().parent.parent / "lessons"
DEVICE, PICTURE, WRITE = "cpu", None, False  # what --device, --picture and --write say


def pretraining_batch(B, T, vocab_size, seed=0):
    """Random ids with 15 % of them masked, full length."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(5, vocab_size, (B, T)).astype(np.int32)
    labels = np.where(rng.random((B, T)) < 0.15, ids, -100).astype(np.int32)
    return {
        "input_ids": ids,
        "attention_mask": np.ones_like(ids),
        "labels": labels,
        "token_type_ids": (np.arange(T) >= T // 2).astype(np.int32) * np.ones_like(ids),
        "sentence_order_label": rng.integers(0, 2, B).astype(np.int32),
    }


def rounds(sides, n):
    """{name: median seconds}: sides {name: build}, where build() returns what is timed, in turns.

    One round is not counted; on a GPU four, so that graphs are captured.  Between two turns there
    is a pause: threads of OpenMP spin for a while when they have nothing more to do."""
    with contextlib.ExitStack() as stack:
        runs = {name: stack.enter_context(apart(build)) for name, build in sides.items()}
        times = {name: [] for name in sides}
        for _ in range(n + (4 if DEVICE == "gpu" else 1)):
            for name, run in runs.items():
                time.sleep(0.25)
                times[name].append(run())
    return {name: float(np.median(t[-n:])) for name, t in times.items()}


@contextlib.contextmanager
def apart(build):
    """A function that runs build()'s function in a process of its own and returns its seconds, or
    with value=True its value.

    In this process instead with a GPU, whose memory can't be shared out by forking, and on systems
    without fork."""
    if DEVICE == "gpu" or not hasattr(os, "fork"):
        run = build()
        yield lambda value=False: run() if value else timeit.timeit(run, number=1)
        return
    ours, theirs = multiprocessing.Pipe()
    worker = multiprocessing.get_context("fork").Process(target=_serve, args=(build, theirs))
    worker.start()
    theirs.close()

    def run(value=False):
        ours.send("value" if value else "time")
        try:
            answer = ours.recv()
        except EOFError:
            answer = "the process ended"
        if isinstance(answer, str):
            raise SystemExit(f"a side of the benchmark failed: {answer}")
        return answer

    try:
        yield run
    finally:
        worker.kill()
        worker.join()


def _serve(build, pipe):
    try:
        run = build()
        while order := pipe.recv():
            pipe.send(run() if order == "value" else timeit.timeit(run, number=1))
    except EOFError:  # the benchmark has gone
        pass
    except Exception as error:
        pipe.send(f"{type(error).__name__}: {error}")


# --- our side and the floor -----------------------------------------------------------------------


def our_step(config, batch, threads=None, device="cpu", precision="fp32"):
    """A function that does one step of `Trainer` and reads the loss, which on a GPU waits for the
    step's end.
    """
    trainer = Trainer(
        AlbertForPreTraining(config).to(device), lr=1e-4, threads=threads, precision=precision
    )
    return lambda: trainer.step(batch)["loss"]


def products(config, B, T, masked, read):
    """(rows, inner, columns, times) of the step's matrix products, forward and backward, attention
    apart.

    masked: tokens whose words are guessed; read: tokens that the last layer computes, all its keys
    and values apart."""
    E, H, I, V = (
        config.embedding_size,
        config.hidden_size,
        config.intermediate_size,
        config.vocab_size,
    )
    L, R = config.num_hidden_layers - 1, B * T
    layers = [
        (R, E, H, 1),
        (R, H, H, 4 * L + 2),
        (R, H, I, L),
        (R, I, H, L),
        (read, H, H, 2),
        (read, H, I, 1),
        (read, I, H, 1),
        (masked, H, E, 1),
        (masked, E, V, 1),
    ]
    return [
        shape
        for m, k, n, times in layers
        for shape in ((m, k, n, times), (m, n, k, times), (n, m, k, times))
    ]


def floor_step(config, batch, threads=THREADS):
    """A function that does only the step's matrix products, a share of the batch in each thread."""
    from concurrent.futures import ThreadPoolExecutor

    B, T = batch["input_ids"].shape
    part, masked = B // threads, int((batch["labels"] != -100).sum()) // threads
    read = rows_read(batch["labels"])[0].size // threads
    N, D = config.num_attention_heads, config.hidden_size // config.num_attention_heads
    rng = np.random.default_rng(0)
    pool = ThreadPoolExecutor(threads)

    def draw(*shape):
        return rng.standard_normal(shape, dtype=np.float32)

    def arrays():
        dense = [
            (draw(m, k), draw(k, n), np.empty((m, n), np.float32), times)
            for m, k, n, times in products(config, part, T, masked, read)
        ]
        q, s = draw(part, N, T, D), np.empty((part, N, T, T), np.float32)
        return dense, q, s, np.empty_like(q)

    def work(held):
        dense, q, s, o = held
        for a, b, out, times in dense:
            for _ in range(times):
                np.matmul(a, b, out=out)
        for _ in range(
            2 * (config.num_hidden_layers - 1)
        ):  # forward 2 products, backward 4; the last layer has few
            np.matmul(q, q.swapaxes(-1, -2), out=s)
            np.matmul(s, q, out=o)
            np.matmul(s.swapaxes(-1, -2), q, out=o)

    held = [arrays() for _ in range(threads)]
    return lambda: list(pool.map(work, held))


def step_flops(config, batch):
    """Multiplications and additions of the step's matrix products."""
    B, T = batch["input_ids"].shape
    masked = int((batch["labels"] != -100).sum())
    read = rows_read(batch["labels"])[0].size
    dense = sum(2 * m * k * n * times for m, k, n, times in products(config, B, T, masked, read))
    attention = 12 * B * T * T * config.hidden_size  # six products in each layer but the last
    return dense + attention * (config.num_hidden_layers - 1)


@functools.cache
def product_rates():
    """{(library, type): GFLOP/s on one thread} of this machine, in a process of its own."""
    with apart(lambda: rates.rates) as run:
        return run(value=True)


def fastest_rate(precision):
    """GFLOP/s of the machine with all threads, by the library that this precision takes."""
    kind = "bfloat16" if precision == "bf16" else "float32"
    taken = library_for(np.dtype(kind)) if kind == "float32" else sixteen_bits()
    return THREADS * product_rates()[taken.name, kind]


def precisions():
    """float32, and bf16 where this processor has units and a library for it; fp32 on a GPU."""
    try:
        return ["fp32", check_precision("bf16", "cpu")] if DEVICE == "cpu" else ["fp32"]
    except UserError:
        return ["fp32"]


# --- rows -----------------------------------------------------------------------------------------


def line(name, ours, other=None, against="", target=None, unit="tokens/s", share=None):
    """One row of the table; share: of the time that the products alone would take."""
    text = f"{name:44s}{ours:10,.0f} {unit:12s}"
    if other:
        text += f"{other:10,.0f} {against:26s}{ours / other:6.2f} x"
        text += f"   (target {target:g} x)" if target else ""
    text += f"   {share:.0%} of the floor" if share else ""
    print(text, flush=True)


ALIKE = ", our malloc"  # of a side of PyTorch that keeps freed memory as ours does
# {row: {precision: {side: target}}}; of all kinds of lean PyTorch alike
TARGETS = {
    "step": {
        "fp32": {"transformers": 2.0, f"transformers{ALIKE}": 1.8, "lean": 1.2},
        "bf16": {"transformers": 2.5, "lean": 1.0},
    },
    "dropout": {"fp32": {"transformers": 2.0}, "bf16": {}},
    "small": {"fp32": {"transformers": 3.0, "lean": 1.0}, "bf16": {"lean": 1.1}},
    "base": {"fp32": {"transformers": 1.3}, "bf16": {"transformers": 1.3}},
}


def lean_sides():
    """{side: mode of torch.compile} of the ALBERT written for PyTorch's speed."""
    modes = {"lean PyTorch": None, "lean PyTorch, compiled": "default"}
    if DEVICE == "gpu":
        modes["lean PyTorch, CUDA graphs"] = "reduce-overhead"
    return modes


def pretraining_row(name, text, size, B, T, n, lean=False):
    """Tokens per second of one pretraining step, all sides in turns, in each precision."""
    config = AlbertConfig(**size)
    batch = pretraining_batch(B, T, config.vocab_size)
    on = {"cpu": "cpu", "gpu": "cuda"}[DEVICE]
    sides = {}
    for p in precisions():
        sides["ours", p] = functools.partial(our_step, config, batch, device=DEVICE, precision=p)
        if torch_side.versions():
            sides["transformers", p] = functools.partial(
                torch_side.transformers_steps, config, [batch], device=on, precision=p
            )
            for side, mode in lean_sides().items() if lean else ():
                sides[side, p] = functools.partial(
                    torch_side.lean_step, config, batch, compiled=mode, device=on, precision=p
                )
            if lean and DEVICE == "cpu":
                for side in ("transformers", "lean PyTorch"):
                    sides[side + ALIKE, p] = functools.partial(keeping_memory, sides[side, p])
    rate = {side: B * T / seconds for side, seconds in rounds(sides, n).items()}
    for p in precisions():
        print_step_lines(
            f"{p} {text}", rate, p, TARGETS[name][p], step_flops(config, batch) / B / T
        )


def keeping_memory(build):
    """build(), in a process that keeps freed memory as ours does."""
    keep_freed_memory()
    return build()


def print_step_lines(text, rate, precision, targets, flops):
    """The lines of one precision: ours against each other side of it, and against our float32.

    rate: {(side, precision): tokens a second}; targets: {side: times}; flops: of the products of
    one token.
    """
    ours = rate["ours", precision]
    share = ours * flops / fastest_rate(precision) / 1e9 if DEVICE == "cpu" else None
    others = [side for side, p in rate if p == precision and side != "ours"]
    if not others:
        line(text, ours, share=share)
    for side in others:
        goal = targets.get("lean" if side.startswith("lean") else side)
        line(text, ours, rate[side, precision], side, goal, share=share)
    if precision != "fp32":
        line(text, ours, rate["ours", "fp32"], "ours in fp32", 1.7)


def row_step(n):
    """one pretraining step, H 256 L 6, 32 x 128 tokens"""
    pretraining_row("step", "step: H 256 L 6, 32 x 128", MEDIUM, 32, 128, n, lean=True)


def row_dropout(n):
    """the same with dropout 0.1"""
    size = dict(MEDIUM, **DROPOUT)
    pretraining_row("dropout", "dropout 0.1: H 256 L 6, 32 x 128", size, 32, 128, n)


def row_small(n):
    """a small model, H 128 L 4, 64 x 64 tokens"""
    pretraining_row("small", "small: H 128 L 4, 64 x 64", SMALL, 64, 64, n, lean=True)


def row_base(n):
    """base-v2 size, 4 x 128 tokens"""
    preset = AlbertConfig.preset("base_v2").to_dict()
    size = {k: preset[k] for k in (*MEDIUM, "hidden_act")}
    pretraining_row("base", "base-v2, 4 x 128", size, 4, 128, max(2, n // 2))


def row_finetune(n):
    """a fine-tuning step on the sentences of SST-2, padded to the longest of their batch (needs
    TINYALBERT_DATA)
    """
    data = Path(os.environ.get("TINYALBERT_DATA", ""))
    table, vocabulary = data / "sst2" / "train.tsv", data / "spiece.model"
    if not (table.exists() and vocabulary.exists()):
        print(
            "fine-tuning: left out; expected TINYALBERT_DATA=FOLDER with sst2/train.tsv and "
            "ALBERT's spiece.model"
        )
        return
    rows = read_table(table)[:1024]
    encoder = RowEncoder(AlbertTokenizer(vocabulary), 128)
    features = Features(Classification(labels=["0", "1"]), rows, encoder)
    config = AlbertConfig(**dict(MEDIUM, vocab_size=30000))
    bucketed = [features.batch(step, 32) for step in range(32)]  # as our trainer draws them
    mixed = [features.take(part) for part in np.arange(1024).reshape(-1, 32)]  # as they come

    def ours():
        trainer = Trainer(AlbertForSequenceClassification(config), lr=1e-4)
        return lambda: [trainer.step(b) for b in bucketed]

    sides = {"ours": ours}
    if torch_side.versions():
        sides["transformers"] = lambda: torch_side.transformers_steps(
            config, mixed, "AlbertForSequenceClassification"
        )
    rate = {side: 1024 / seconds for side, seconds in rounds(sides, max(2, n // 2)).items()}
    line(
        "fine-tuning on SST-2",
        rate["ours"],
        rate.get("transformers"),
        "transformers",
        2.5,
        "sentences/s",
    )


def row_latency(n):
    """inference, base-v2, sequences of 128 tokens: one, and 8 together"""
    with tempfile.TemporaryDirectory() as folder:
        graph = base_folder(folder) if has_onnxruntime() else None
        for B in (1, 8):
            ids = np.random.default_rng(0).integers(5, 30000, (B, 128)).astype(np.int32)
            sides = {f"ours, {p}": functools.partial(our_answers, ids, p) for p in precisions()}
            if torch_side.versions():
                sides["transformers"] = lambda ids=ids: torch_side.transformers_predict(
                    AlbertConfig.preset("base_v2"), [{"input_ids": ids}]
                )
            if graph:
                sides["ONNX Runtime"] = lambda ids=ids: onnx_answers(graph, ids)
            rate = {side: B / seconds for side, seconds in rounds(sides, n).items()}
            for own in [side for side in rate if side.startswith("ours")]:
                name = f"{own.removeprefix('ours, ')} inference: base-v2, {B} x 128"
                others = {"transformers": 1.1, "ONNX Runtime": 0.9}
                here = [side for side in others if side in rate]
                if not here:
                    line(name, rate[own], unit="sequences/s")
                for side in here:
                    line(name, rate[own], rate[side], side, others[side], "sequences/s")


def our_answers(ids, precision="fp32"):
    """A function that classifies `ids` (B, 128) with base-v2, on all cores."""
    from threadpoolctl import threadpool_limits

    model = AlbertForSequenceClassification(AlbertConfig.preset("base_v2"))
    active = Precision(precision, model.named_parameters()).active()
    active.__enter__()  # for as long as `answer` lives
    keep_freed_memory()

    def answer(ids, active=active):
        with no_grad():
            return model(ids).logits

    if len(ids) > 1:  # as predict() does it: a share of the sequences in each thread
        replicas = Threads(THREADS)
        return lambda: replicas.run(answer, np.array_split(ids, THREADS))

    def run():
        with threadpool_limits(THREADS, "blas"):
            answer(ids)

    return run


def has_onnxruntime():
    """Whether the extra `onnx` is installed."""
    return bool(importlib.util.find_spec("onnx") and importlib.util.find_spec("onnxruntime"))


def base_folder(folder):
    """Save base-v2 with random weights in `folder`, and beside it the ONNX file that's returned."""
    from tinyalbert.export.command import export

    AlbertForSequenceClassification(AlbertConfig.preset("base_v2")).save_pretrained(folder)
    export(folder, f"{folder}/model.onnx", onnx=True, say=lambda text: None)
    return f"{folder}/model.onnx"


def onnx_answers(graph, ids):
    """A function that classifies `ids` with ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    values = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    given = {
        i.name: values.get(i.name, np.zeros_like(ids)).astype(np.int64)
        for i in session.get_inputs()
    }
    return lambda: session.run(None, given)


COLD = {
    "ours": """
import numpy as np
from tinyalbert import AlbertForSequenceClassification, no_grad
model = AlbertForSequenceClassification.from_pretrained(FOLDER)
with no_grad():
    model(np.full((1, 128), 7)).logits.numpy()
""",
    "transformers": """
import torch
from transformers import AlbertForSequenceClassification
model = AlbertForSequenceClassification.from_pretrained(FOLDER)
with torch.no_grad():
    model(torch.full((1, 128), 7)).logits.numpy()
""",
    "ONNX Runtime": """
import numpy as np, onnxruntime
session = onnxruntime.InferenceSession(FOLDER + "/model.onnx", providers=["CPUExecutionProvider"])
ids = np.full((1, 128), 7)
given = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": 0 * ids}
session.run(None, {i.name: given[i.name] for i in session.get_inputs()})
""",
}


def row_cold(n):
    """from the start of Python to the first answer of base-v2, one sequence of 128 tokens"""
    here = ["ours"]
    here += ["transformers"] if torch_side.versions() else []
    here += ["ONNX Runtime"] if has_onnxruntime() else []
    with tempfile.TemporaryDirectory() as folder:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if "ONNX Runtime" in here:
                base_folder(folder)
            else:
                AlbertForSequenceClassification(AlbertConfig.preset("base_v2")).save_pretrained(
                    folder
                )

        def started(side):
            code = f"FOLDER = {folder!r}\n{COLD[side]}"
            command = [sys.executable, "-c", code]
            environment = dict(os.environ)
            del environment["OPENBLAS_NUM_THREADS"]  # a user has all cores
            return lambda: subprocess.run(command, check=True, capture_output=True, env=environment)

        sides = {side: functools.partial(started, side) for side in here}
        rate = {side: 60 / seconds for side, seconds in rounds(sides, max(2, n // 2)).items()}
    name, others = "base-v2, cold start to first answer", {"transformers": 8, "ONNX Runtime": 0.9}
    if len(here) == 1:
        line(name, rate["ours"], unit="a minute")
    for side in here[1:]:
        line(name, rate["ours"], rate[side], side, others[side], "a minute")


def row_sentences(n):
    """inference, small model, batches of 64, lengths mixed"""
    rng = np.random.default_rng(0)
    config = AlbertConfig(**SMALL)
    lengths = np.clip(rng.lognormal(2.4, 0.8, 1024).astype(int) + 2, 4, 66)

    def padded(rows):
        T = int(rows.max())
        mask = (np.arange(T) < rows[:, None]).astype(np.int32)
        return {
            "input_ids": rng.integers(5, 8000, (len(rows), T)).astype(np.int32) * mask,
            "attention_mask": mask,
        }

    bucketed, mixed = ([padded(r) for r in x.reshape(-1, 64)] for x in (np.sort(lengths), lengths))

    def ours():
        model, replicas = AlbertForSequenceClassification(config), Threads()
        keep_freed_memory()

        def one(batch):
            with no_grad():
                return model(**batch).logits

        return lambda: replicas.run(one, bucketed)

    sides = {"ours": ours}
    if torch_side.versions():
        sides["transformers"] = lambda: torch_side.transformers_predict(config, mixed)
    rate = {side: 1024 / seconds for side, seconds in rounds(sides, max(2, n // 2)).items()}
    line(
        "inference: small, batches of 64, mixed lengths",
        rate["ours"],
        rate.get("transformers"),
        "transformers",
        2,
        "sentences/s",
    )


def lacks_proc(row):
    """Whether this system keeps no accounts of its processes in /proc, and say so."""
    if Path("/proc/self/status").exists():
        return False
    print(f"row {row}: left out, it reads the memory of processes from /proc, which only Linux has")
    return True


def row_memory(n):
    """peak memory of the first row, each side in a process of its own"""
    if lacks_proc("memory"):
        return
    theirs = peak_megabytes("transformers") if torch_side.versions() else None
    for precision in precisions():
        ours = peak_megabytes(f"ours, {precision}")
        name = f"{precision} step: peak memory of the process"
        goal = 0.35 if precision == "fp32" else 0.22
        line(name, ours, theirs, "transformers in fp32", goal, "MB")


def peak_megabytes(side, L=6, T=128, B=32, V=8192, threads=THREADS):
    """Peak resident memory of a process that does three steps (H 256)."""
    done = subprocess.run(
        [sys.executable, __file__, "--peak", json.dumps([side, L, T, B, V, threads])],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"measuring the memory of {side} failed: {done.stderr[-500:]}")
    return float(done.stdout)


def print_peak(side, L, T, B, V, threads):
    """For peak_megabytes: do the steps and print."""
    config, batch = (
        AlbertConfig(**dict(MEDIUM, num_hidden_layers=L, vocab_size=V)),
        pretraining_batch(B, T, V),
    )
    if side == "transformers":
        step = torch_side.transformers_steps(config, [batch])
    else:
        step = our_step(config, batch, threads, precision=side.removeprefix("ours, "))
    for _ in range(3):
        step()
    with open(
        "/proc/self/status"
    ) as status:  # not ru_maxrss: a process inherits that of the one that started it
        print(next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024)


def row_kernels(n):
    """what each fused kernel earns: the step without it, against the step with all; --write puts it
    into kernels/
    """
    config, batch = AlbertConfig(**MEDIUM, **DROPOUT), pretraining_batch(32, 128, 8192)
    names = [name for name, array_module in KERNELS if array_module == "numpy" and name in OPS]

    def without(names):
        def build():
            for name in names:
                KERNELS.pop((name, "numpy"))
            return our_step(config, batch)

        return build

    sides = {
        "none": without([]),
        **{name: without([name]) for name in names},
        "all of these": without(names),
    }
    seconds = rounds(sides, n)
    table = LESSONS.parent / "tinyalbert" / "kernels" / "__init__.py"
    text = table.read_text(encoding="utf-8")
    print(f"kernels, with dropout 0.1: {seconds['none'] * 1e3:.0f} ms a step")
    for name in (*names, "all of these"):
        earned = f"{seconds[name] / seconds['none']:.2f} x"
        print(f"    without {name:24s}{earned:>8s} the time")
        text = re.sub(rf"(?m)^({name} +)\d+\.\d\d x", rf"\g<1>{earned}", text)
    if WRITE:
        table.write_text(text, encoding="utf-8")


def row_growth(n):
    """how a step's time and memory grow with layers, length, batch, vocabulary and threads;
    --picture draws it
    """
    base, measured = dict(L=6, T=128, B=32, V=8192, threads=THREADS), {}
    print(
        "growth of a step (H 256), and the share of the floor (the matrix products alone, as many "
        "threads):"
    )
    for key, values in {
        "L": (3, 6, 12, 24),
        "T": (32, 64, 128, 256, 512),
        "B": (8, 16, 32, 64),
        "V": (4096, 8192, 16384, 32768),
        "threads": tuple(range(1, THREADS + 1)),
    }.items():
        for value in values:
            at = {**base, key: value}
            config = AlbertConfig(**dict(MEDIUM, num_hidden_layers=at["L"], vocab_size=at["V"]))
            batch = pretraining_batch(at["B"], at["T"], at["V"])
            seconds = rounds(
                {
                    "ours": functools.partial(our_step, config, batch, at["threads"]),
                    "floor": functools.partial(floor_step, config, batch, at["threads"]),
                },
                max(2, n // 2),
            )
            point = (
                value,
                seconds["ours"],
                peak_megabytes("ours, fp32", **at),
                seconds["floor"] / seconds["ours"],
            )
            measured.setdefault(key, []).append(point)
            print(
                f"    {key:8s}{value:6d}{point[1] * 1e3:8.0f} ms{point[2]:8.0f} MB{point[3]:8.0%} "
                f"of the floor",
                flush=True,
            )
    if PICTURE:
        draw_growth(measured, PICTURE)


def draw_growth(measured, path):
    """measured {what grows: [(value, seconds, MB, share of the floor), ...]}: a panel for each,
    both axes doubling.
    """
    from tinyalbert.plots import _figure, _save

    names = {
        "L": "layers",
        "T": "tokens a sequence",
        "B": "sequences a batch",
        "V": "pieces in the vocabulary",
        "threads": "threads",
    }
    figure = _figure(3 * len(measured), 3.4)
    axes = figure.subplots(1, len(measured), sharey=True)
    for ax, (key, points) in zip(axes, measured.items()):
        x, seconds, memory, share = zip(*points)
        for y, style, name, fill in (
            (seconds, "k-o", "time", "black"),
            (memory, "k--s", "memory", "white"),
        ):
            ax.plot(x, [v / y[0] for v in y], style, markersize=4, markerfacecolor=fill)
            ax.annotate(
                name, (x[-1], y[-1] / y[0]), xytext=(4, 0), textcoords="offset points", va="center"
            )
        proportional = [v / x[0] for v in x] if key != "threads" else [x[0] / v for v in x]
        ax.plot(x, proportional, color="0.7", linewidth=1, zorder=0)
        ax.set_xscale("log", base=2)
        ax.set_yscale("log", base=2)
        ax.set_xticks(x, [f"{v:,}" for v in x])
        ax.set_xlim(x[0] * (x[0] / x[-1]) ** 0.1, x[-1] * (x[-1] / x[0]) ** 0.4)
        ax.set_xlabel(f"{names[key]}\n{share[0]:.0%} to {share[-1]:.0%} of the floor")
    axes[0].set_ylabel("times the first value")
    axes[0].yaxis.set_major_formatter(lambda y, _: f"{y:g}")
    times = {
        key: (points[-1][0] / points[0][0], points[-1][1] / points[0][1])
        for key, points in measured.items()
    }
    figure.suptitle(
        "Time of a step: "
        + ", ".join(
            f"{times[key][1]:.1f} times for {times[key][0]:.0f} times the {name}"
            for key, name in (("T", "length"), ("L", "layers"), ("V", "vocabulary"))
        )
        + " (grey: in proportion)"
    )
    _save(figure, path)


def row_batches(n):
    """drawing a batch of pairs and masks, against the step that it feeds"""

    from tinyalbert.pretraining.batches import PretrainingData
    from tinyalbert.pretraining.pretrain import train_tokenizer
    from tinyalbert.pretraining.shards import prepare

    with tempfile.TemporaryDirectory() as folder:
        tokenizer = train_tokenizer(["stories:1000"], 1000, f"{folder}/t")
        prepare(["stories:2000"], tokenizer, f"{folder}/d", workers=1, progress=False)
        for B, T, size in ((32, 128, MEDIUM), (64, 64, SMALL)):
            data = PretrainingData(f"{folder}/d", max_seq_length=T)
            numbers = iter(range(10**6))
            seconds = rounds(
                {
                    "draw": lambda data=data, B=B, numbers=numbers: (
                        lambda: data.batch(next(numbers), B)
                    ),
                    "step": functools.partial(
                        our_step, AlbertConfig(**size), pretraining_batch(B, T, 8000)
                    ),
                },
                n,
            )
            print(
                f"drawing a batch of {B} x {T:<20d}{seconds['draw'] * 1e3:10.2f} ms        "
                f"{seconds['draw'] / seconds['step']:10.1%} of its step (target 3 %)"
            )


def line_by_line(lines, model_file, max_seq_length=128):
    """Pretraining instances the usual way (google-research/albert, create_pretraining_data.py, in
    our own words).

    One process, SentencePiece called for each line, documents and instances in lists of pieces,
    masks of single pieces; each document once, where that program goes over it 40 times.  Returns
    the number of pieces."""
    import unicodedata

    from sentencepiece import SentencePieceProcessor

    processor, documents, instances, rng = (
        SentencePieceProcessor(model_file=model_file),
        [[]],
        [],
        random.Random(0),
    )
    for text in lines:
        text = unicodedata.normalize(
            "NFKD", " ".join(text.strip().split()).replace("``", '"').replace("''", '"')
        )
        text = "".join(c for c in text if not unicodedata.combining(c)).lower()
        if text:
            pieces = processor.encode(text, out_type=str)
            if any(
                len(p) > 1 and p[-1] == "," and p[-2].isdigit() for p in pieces
            ):  # "9," is cut in two
                pieces = [
                    q
                    for p in pieces
                    for q in (
                        processor.encode(p[:-1], out_type=str) + [","]
                        if p[-1] == "," and p[-2:-1].isdigit()
                        else [p]
                    )
                ]
            documents[-1].append(pieces)
        else:
            documents.append([])
    for document in documents:
        chunk, length = [], 0
        for i, sentence in enumerate(document):
            chunk.append(sentence)
            length += len(sentence)
            if len(chunk) > 1 and (length >= max_seq_length - 3 or i == len(document) - 1):
                cut = rng.randint(1, len(chunk) - 1)
                a, b = (
                    [piece for part in half for piece in part]
                    for half in (chunk[:cut], chunk[cut:])
                )
                while len(a) + len(b) > max_seq_length - 3:
                    (a if len(a) > len(b) else b).pop()
                if swapped := rng.random() < 0.5:
                    a, b = b, a
                pieces = ["[CLS]", *a, "[SEP]", *b, "[SEP]"]
                places = [i for i, piece in enumerate(pieces) if piece not in ("[CLS]", "[SEP]")]
                rng.shuffle(places)
                places = sorted(places[: max(1, round(0.15 * len(pieces)))])
                labels = [processor.piece_to_id(pieces[i]) for i in places]
                for i in places:
                    pieces[i] = "[MASK]" if rng.random() < 0.8 else pieces[i]
                ids = [processor.piece_to_id(piece) for piece in pieces]
                instances.append(
                    (ids, [0] * (len(a) + 2) + [1] * (len(b) + 1), places, labels, swapped)
                )
                chunk, length = [], 0
    return sum(len(sentence) for document in documents for sentence in document)


def row_prepare(n):
    """preparing a corpus on all cores, against SentencePiece line by line in one process, instances
    in lists
    """
    from tinyalbert.pretraining.corpus import documents
    from tinyalbert.pretraining.pretrain import train_tokenizer
    from tinyalbert.pretraining.shards import prepare

    with tempfile.TemporaryDirectory() as folder:
        tokenizer, text = (
            train_tokenizer(["stories:1000"], 1000, f"{folder}/t"),
            Path(folder, "corpus.txt"),
        )
        text.write_text(
            "".join("\n".join(d) + "\n\n" for d in documents(["stories:40000"])), encoding="utf-8"
        )
        pieces = line_by_line(
            text.read_text(encoding="utf-8").split("\n"), f"{folder}/t/spiece.model"
        )
        seconds = rounds(
            {
                "ours": lambda: (
                    lambda: prepare(
                        [text], tokenizer, f"{folder}/d", overwrite=True, progress=False
                    )
                ),
                "theirs": lambda: (
                    lambda: line_by_line(open(text, encoding="utf-8"), f"{folder}/t/spiece.model")
                ),
            },
            max(2, n // 3),
        )
        print(f"preparing {text.stat().st_size / 1e6:.0f} MB:")
        line(
            "prepare",
            pieces / seconds["ours"],
            pieces / seconds["theirs"],
            "line by line, in lists",
            5,
        )


def row_corpus(n):
    """peak memory of `prepare`, of the largest of its processes, as the corpus grows to 2 GB (to
    256 MB if quick)
    """
    from tinyalbert.pretraining.corpus import documents
    from tinyalbert.pretraining.pretrain import train_tokenizer

    if lacks_proc("corpus"):
        return
    rng, texts = random.Random(0), ["\n".join(d) + "\n\n" for d in documents(["stories:20000"])]
    with tempfile.TemporaryDirectory() as folder:
        train_tokenizer(["stories:1000"], 1000, f"{folder}/t")
        for megabytes in (16, 64, 256) + (2048,) * (n > 3):
            with open(f"{folder}/corpus.txt", "w", encoding="utf-8") as file:
                written = 0
                while written < 1e6 * megabytes:
                    written += file.write(rng.choice(texts))
            start = time.perf_counter()
            peak = peak_of_all(
                [
                    sys.executable,
                    "-m",
                    "tinyalbert",
                    "prepare",
                    file.name,
                    "--tokenizer",
                    f"{folder}/t",
                    "--output",
                    f"{folder}/d",
                    "--overwrite",
                ]
            )
            print(
                f"preparing {megabytes:5d} MB of text{peak:20,.0f} "
                f"MB{time.perf_counter() - start:8.0f} s"
            )


def peak_of_all(command):
    """Peak memory, in MB, of the largest of a command's processes, looked at twenty times a second.

    RssAnon, what a process has of its own: pages of files that it maps are the system's, which
    takes them back."""
    process, peaks = (
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL),
        {},
    )
    while process.poll() is None:
        waiting = [process.pid]
        for pid in waiting:
            with contextlib.suppress(OSError, StopIteration):  # it ended meanwhile
                with open(f"/proc/{pid}/status") as status:
                    own = (
                        next(int(line.split()[1]) for line in status if line.startswith("RssAnon"))
                        / 1024
                    )
                peaks[pid] = max(own, peaks.get(pid, 0))
                with open(f"/proc/{pid}/task/{pid}/children") as children:
                    waiting += map(int, children.read().split())
        time.sleep(0.05)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed")
    return max(peaks.values())


def row_import(n):
    """time of `import tinyalbert` against `import torch, transformers`, the interpreter's start
    left out
    """

    def timed(code):
        return lambda: (
            lambda: subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
        )

    sides = {"nothing": timed("pass"), "ours": timed("import tinyalbert")}
    if torch_side.versions():
        sides["theirs"] = timed("import torch, transformers; transformers.AlbertForPreTraining")
    seconds = rounds(sides, max(3, n // 2))
    ours = seconds["ours"] - seconds["nothing"]
    text = f"import tinyalbert{'':27s}{ours * 1e3:10.0f} ms"
    if "theirs" in seconds:
        text += f"{(seconds['theirs'] - seconds['nothing']) / ours:24.0f} x quicker than torch and transformers"
    print(text)


def row_lessons(n):
    """seconds that each lesson runs; minutes to read it at 60 words a minute, with 8 for each
    exercise
    """
    with tempfile.TemporaryDirectory() as figures:
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "TINYALBERT_FIGURES": figures}
        for lesson in sorted(LESSONS.glob("[0-9]*.py")):
            times = []
            for _ in range(min(n, 3)):
                start = time.perf_counter()
                subprocess.run(
                    [sys.executable, lesson.name],
                    cwd=LESSONS,
                    env=environment,
                    check=True,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                )
                times.append(time.perf_counter() - start)
            text = lesson.read_text(encoding="utf-8")
            minutes = len(text.split()) / 60 + 8 * text.count("@exercise")
            print(f"{lesson.stem:40s}{np.median(times):6.1f} s {minutes:6.0f} min")


def row_precisions(n):
    """one step of base-v2, 32 x 128 tokens, in every precision of the GPU (only with --device
    gpu)
    """
    if DEVICE != "gpu":
        return
    config = AlbertConfig.preset("base_v2")
    batch = pretraining_batch(32, 128, config.vocab_size)
    for precision in ("fp32", "tf32", "fp16", "bf16"):
        try:
            check_precision(precision, "gpu")
        except UserError as error:
            print(error)
            continue
        sides = {"ours": lambda p=precision: our_step(config, batch, device="gpu", precision=p)}
        if torch_side.versions():
            sides["lean PyTorch"] = lambda p=precision: torch_side.lean_step(
                config, batch, device="cuda", precision=p
            )
        rate = {side: 32 * 128 / seconds for side, seconds in rounds(sides, n).items()}
        line(
            f"{precision}: base-v2, 32 x 128",
            rate["ours"],
            rate.get("lean PyTorch"),
            "lean PyTorch",
        )


GPU_ROWS = ("step", "small", "dropout", "base", "precisions")
ROWS = {
    name.removeprefix("row_"): f for name, f in list(globals().items()) if name.startswith("row_")
}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--rows", nargs="+", choices=list(ROWS), metavar="ROW", help="which rows; all, if left out"
    )
    parser.add_argument(
        "--device",
        choices=("cpu", "gpu"),
        default="cpu",
        help="gpu: the rows " + ", ".join(GPU_ROWS) + " on CuPy, against PyTorch on the same GPU",
    )
    parser.add_argument(
        "--write",
        action="store_true",
        help="row `kernels` writes its table into tinyalbert/kernels",
    )
    parser.add_argument(
        "--picture", type=Path, help="where row `growth` draws its picture, such as growth.png"
    )
    parser.add_argument("--list", action="store_true", help="name the rows")
    parser.add_argument("--quick", action="store_true", help="three rounds in place of seven")
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.list:
        print("\n".join(f"{name:12s}{f.__doc__}" for name, f in ROWS.items()))
        return
    if options.peak:
        print_peak(*json.loads(options.peak))
        return
    global DEVICE, PICTURE, WRITE
    try:
        DEVICE, PICTURE, WRITE = check_device(options.device), options.picture, options.write
    except UserError as error:
        parser.error(str(error))
    if DEVICE == "gpu" and not set(options.rows or ()) <= set(GPU_ROWS):
        parser.error(f"with --device gpu there are the rows {', '.join(GPU_ROWS)}")
    n = 3 if options.quick else 7
    versions = {"numpy": np.__version__, **torch_side.versions()}
    print(
        f"{THREADS} threads, medians of {n} rounds in turns; {json.dumps(versions)}"
        + (
            ""
            if torch_side.versions()
            else "; torch and transformers are not installed: our side alone"
        )
    )
    if DEVICE == "cpu":
        print(
            "products on one thread, GFLOP/s: "
            + ", ".join(
                f"{name} {kind} {value:.0f}" for (name, kind), value in product_rates().items()
            )
        )
    for name in options.rows or (GPU_ROWS if DEVICE == "gpu" else ROWS):
        ROWS[name](n)


if __name__ == "__main__":
    main()
