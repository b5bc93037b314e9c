#!/usr/bin/env python3
"""What there is to know of one GPU, in ten minutes: right numbers, then speed, then whole runs.

    python scripts/gpu_check.py --output gpu_check                     everything, in this order
    python scripts/gpu_check.py --output gpu_check --corpus speeches   also a whole pretraining on it
    python scripts/gpu_check.py --output gpu_check --only bits speed   some parts; --list names them

Each part is a process of its own with a limit in seconds; what it prints goes to the screen and to
OUTPUT/<part>.txt, and OUTPUT/summary.txt has a line for each.  A part that fails or takes too long
does not stop the next one.  Needs CuPy and a GPU; for the speeds also torch (extra `parity`)."""

import argparse
import functools
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WHOLE = 600  # seconds for everything
SUITE = ("graphs", "devices", "precision", "gpu_kernels", "optim", "ops", "heads", "albert")
LESSONS = ("00_tour", "13_pretraining_a_tiny_albert", "20_gpu")
AT_LEAST = {  # (model, precision): our speed over lean PyTorch's, eager and with CUDA graphs
    ("H 256 L 6", "fp32"): (2.0, 1.0),
    ("H 256 L 6", "tf32"): (1.0, 1.0),
    ("H 256 L 6", "bf16"): (1.0, 1.0),
    ("base-v2", "tf32"): (None, 0.9),
    ("base-v2", "bf16"): (None, 0.9),
}


def parts(output, corpus):
    """[(name, seconds, commands)] in the order in which they run."""
    tiny = ["--device", "gpu", "--threads", "1"]
    model, classes = output / "tiny", output / "classes"
    found = [
        ("doctor", 20, [module("tinyalbert", "doctor", "--device", "gpu")]),
        ("bits", 40, [itself("bits")]),
        ("launch", 20, [itself("launch")]),
        ("speed", 230, [itself("speed")]),
        (
            "finetune",
            40,
            [
                module(
                    "tinyalbert",
                    *("pretrain", "stories:2000", "--preset", "tiny", "--steps", "200"),
                    *("--output", str(model), *tiny),
                ),
                module(
                    "tinyalbert",
                    *("finetune", "stories:topic:400", "--dev", "stories:topic:100"),
                    *("--model", str(model), "--output", str(classes), *tiny[:2]),
                ),
            ],
        ),
        ("lessons", 30, [[sys.executable, f"{name}.py", "--device", "gpu"] for name in LESSONS]),
        (
            "suite",
            110,
            [
                module(
                    "pytest",
                    *("-q", "-n", "8", "--backend", "cupy"),
                    *(f"tests/test_{name}.py" for name in SUITE),
                )
            ],
        ),
    ]
    if corpus:
        run = ["pretrain", corpus, "--preset", "mini", "--steps", "3939", "--device", "gpu"]
        whole = module("tinyalbert", *run, "--output", str(output / "mini"))
        found.insert(4, ("pretrain", 110, [whole]))
    return found


def module(name, *words):
    """The command `python -m name words...`."""
    return [sys.executable, "-m", name, *words]


def itself(part):
    """The command that runs one of the functions below."""
    return [sys.executable, str(Path(__file__).resolve()), "--part", part]


# --- the parts that are computed here -------------------------------------------------------------


def bits():
    """Replayed and eager steps agree bit for bit, in every precision and with both optimisers."""
    import numpy as np

    from tinyalbert import AlbertConfig, AlbertForPreTraining
    from tinyalbert.backend import to_host
    from tinyalbert.training.trainer import Trainer

    wrong = 0
    config = AlbertConfig.preset("tiny", hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1)
    batches = [batch_at(step, config.vocab_size) for step in range(20)]
    for precision in ("fp32", "tf32", "fp16", "bf16"):
        for optimizer in ("adamw", "lamb"):
            ends = []
            for graphs in (True, False):
                model = AlbertForPreTraining(config).to("gpu")
                trainer = Trainer(
                    model, optimizer, lr=1e-3, total_steps=20, precision=precision, graphs=graphs
                )
                losses = [trainer.step(batch) for batch in batches]
                ends.append(
                    [[m.loss for m in losses], *(to_host(p.data) for p in model.parameters())]
                )
                if graphs:
                    reason = trainer.captured and trainer.captured.graphs.reason
            same = all(np.array_equal(a, b) for a, b in zip(*ends))
            wrong += not same or reason is not None
            told = "equal" if same else "DIFFERENT"
            print(f"{precision} {optimizer}: {told}; {reason or 'captured'}")
    return wrong


def batch_at(step, vocab_size, B=8, T=64):
    """A batch whose length and number of targets differ from step to step."""
    import numpy as np

    rng = np.random.default_rng(step)
    T = T if step % 3 else T // 2
    ids = rng.integers(5, vocab_size, (B, T)).astype(np.int32)
    masked = rng.random((B, T)) < (0.15, 0.02, 0.9)[step % 3]
    return {
        "input_ids": ids,
        "attention_mask": (np.arange(T) < rng.integers(T // 2, T + 1, (B, 1))).astype(np.int32),
        "token_type_ids": ids % 2,
        "labels": np.where(masked, ids, -100),
        "sentence_order_label": rng.integers(0, 2, B).astype(np.int32),
    }


def launch():
    """How long a step is for the processor and the GPU, launched piece by piece and replayed."""
    import benchmark
    import cupy

    from tinyalbert import AlbertConfig, AlbertForPreTraining
    from tinyalbert.training.trainer import Trainer

    config = AlbertConfig(**benchmark.MEDIUM)
    batch = benchmark.pretraining_batch(32, 128, config.vocab_size)
    for graphs in (False, True):
        trainer = Trainer(AlbertForPreTraining(config).to("gpu"), lr=1e-4, graphs=graphs)
        for _ in range(5):
            trainer.step(batch)
        cupy.cuda.Device().synchronize()
        begun = time.perf_counter()
        for _ in range(20):
            trainer.step(batch)
        asked = time.perf_counter()
        cupy.cuda.Device().synchronize()
        done = time.perf_counter()
        print(
            f"{'replayed' if graphs else 'eager':10s}{1e3 * (done - begun) / 20:8.2f} ms a step, of "
            f"which Python {1e3 * (asked - begun) / 20:.2f} ms"
        )


def speed():
    """Training steps against lean PyTorch in the same precision, eager and with CUDA graphs."""
    import benchmark
    import torch_side

    from tinyalbert import AlbertConfig

    benchmark.DEVICE = "gpu"
    sizes = {
        "H 256 L 6": AlbertConfig(**benchmark.MEDIUM),
        "base-v2": AlbertConfig.preset("base_v2"),
    }
    short = 0
    for (name, precision), targets in AT_LEAST.items():
        config = sizes[name]
        batch = benchmark.pretraining_batch(32, 128, config.vocab_size)
        given = {"device": "gpu", "precision": precision}
        sides = {"ours": functools.partial(benchmark.our_step, config, batch, **given)}
        if torch_side.versions():
            given["device"] = "cuda"
            lean = functools.partial(torch_side.lean_step, config, batch, **given)
            sides["eager"] = lean
            sides["CUDA graphs"] = functools.partial(lean, compiled="reduce-overhead")
        seconds = benchmark.rounds(sides, 5)
        text = f"{name}, 32 x 128, {precision}: {1e3 * seconds['ours']:.2f} ms"
        for side, least in zip(("eager", "CUDA graphs"), targets):
            if side in seconds:
                ratio = seconds[side] / seconds["ours"]
                text += f"; {ratio:.2f} x lean PyTorch, {side}"
                text += f" (at least {least:g})" if least else ""
                short += bool(least and ratio < least)
        print(text, flush=True)
    return short


# --- running them ---------------------------------------------------------------------------------


def run_part(name, seconds, commands, output):
    """Run the commands of a part, one after the other; returns (what came of it, seconds)."""
    begun = time.perf_counter()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    folder = ROOT / "lessons" if name == "lessons" else ROOT
    with open(output / f"{name}.txt", "w", encoding="utf-8") as file:
        for command in commands:
            left = seconds - (time.perf_counter() - begun)
            try:
                done = subprocess.run(
                    command,
                    cwd=folder,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    timeout=max(1, left),
                )
            except subprocess.TimeoutExpired:
                return "TOO LONG", time.perf_counter() - begun
            if done.returncode:
                return "FAILED", time.perf_counter() - begun
    return "passed", time.perf_counter() - begun


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, help="folder for what the parts print")
    parser.add_argument("--corpus", help="text for a whole pretraining with --preset mini")
    parser.add_argument("--only", nargs="+", metavar="PART", help="some parts")
    parser.add_argument("--list", action="store_true", help="name the parts")
    parser.add_argument("--part", choices=("bits", "launch", "speed"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        return globals()[options.part]() or 0
    if not (options.output or options.list):
        parser.error("--output FOLDER is missing")
    output = (options.output or Path("gpu_check")).resolve()
    todo = parts(output, options.corpus)
    names = [name for name, *_ in todo]
    if options.list:
        print("\n".join(f"{name:10s}{seconds:5d} s" for name, seconds, _ in todo))
        return 0
    if unknown := set(options.only or ()) - set(names):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    output.mkdir(parents=True, exist_ok=True)
    begun, lines = time.perf_counter(), []
    for name, seconds, commands in todo:
        if options.only and name not in options.only:
            continue
        left = WHOLE - (time.perf_counter() - begun)
        what, took = "LEFT OUT", 0.0
        if left > 1:
            what, took = run_part(name, min(seconds, left), commands, output)
        lines.append(f"{what:10s}{name:10s}{took:7.1f} s")
        print(lines[-1])
        if (output / f"{name}.txt").exists():
            print(
                "\n".join((output / f"{name}.txt").read_text(encoding="utf-8").splitlines()[-12:])
            )
        (output / "summary.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return int(any(not line.startswith("passed") for line in lines))


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
