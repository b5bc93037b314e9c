#!/usr/bin/env python3
"""Training on many machines, before anyone pays for them: what 1 to 1,024 ranks would do, computed
and drawn.

    python scripts/scaling.py                           a few steps are timed here; ranks are such machines
    python scripts/scaling.py --step-seconds 0.19       ranks whose step of --rows sequences takes so long
    python scripts/scaling.py --size xxlarge --network 100G --bits 16
    python scripts/scaling.py --measure                 no model: two real ranks on this machine against one

Data parallelism (lesson 22): each rank works out the gradient of its own rows, then all ranks need
the sum of all gradients, an all-reduce.  A step takes the time of the rank's own work and the time
that it waits for that sum:

    ring            2 (n - 1) rounds, in each one chunk of size / n bytes and one latency
    halving         recursive halving and doubling: as many bytes as the ring in 2 log2 n rounds, but each round
                    with another partner, so the whole network must be fast, not only the way to a
                    neighbour
    overlap         gradients that are complete are summed while the backward pass goes on.  A shared layer's
                    gradient is complete only when the pass has reached the layer's first use, at
                    its very end: ALBERT has nearly nothing to overlap; BERT has, and waits longer
                    all the same

What is left out: ranks that are slower than others, networks that are shared, the reading of the
data."""

import argparse
import json
import math
import os
import re
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # replicas and ranks bring the parallelism
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from benchmark import MEDIUM, pretraining_batch

from tinyalbert import AlbertConfig, AlbertForPreTraining, UserError
from tinyalbert.plots import LIGHT, MIDDLE, _figure, _save
from tinyalbert.training.replicas import launched_ranks
from tinyalbert.training.trainer import Trainer

SIZES = ("base", "large", "xlarge", "xxlarge")
# (bytes a second of one rank, seconds of latency): round numbers of such hardware, not
# measurements.  NVLink joins 8 to 72 chips; a thousand are joined by what stands above it.
NETWORKS = {
    "1G": (1.25e8, 5e-5),
    "10G": (1.25e9, 5e-5),
    "25G": (3.125e9, 5e-5),
    "100G": (1.25e10, 5e-6),
    "NVLink": (3e11, 5e-6),
}
RANKS = tuple(2**i for i in range(11))
SMALL_MESSAGES, SMALL_BYTES = (
    4,
    4096,
)  # what a step adds up besides gradients: targets, losses, who has to stop
PAPER = dict(
    size="xxlarge", batch=4096, steps=125_000, length=512
)  # Lan et al. 2020, §4.1 and appendix A.2


# --- what is sent ---------------------------------------------------------------------------------


def config_of(model, size):
    """The released ALBERT of a size, or the BERT of the same size: nothing shared, E = H,
    next-sentence prediction.
    """
    albert = AlbertConfig.preset(f"{size}_v2")
    if model == "ALBERT":
        return albert
    same = (
        "vocab_size",
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "intermediate_size",
    )
    return AlbertConfig.bert(**{name: getattr(albert, name) for name in same})


def gradient_parts(config):
    """[(share of the backward pass after which they are complete, numbers), ...] of the model's
    gradients.
    """
    L, G = config.num_hidden_layers, config.num_hidden_groups
    parts = defaultdict(int)
    for name, parameter in AlbertForPreTraining(config, seed=None).named_parameters():
        group = re.search(r"albert_layer_groups\.(\d+)\.", name)
        if group:
            first_use = -(-int(group[1]) * L // G)  # layer i uses set i * G // L
            ready = (L - first_use) / L
        else:
            ready = (
                1.0 if "embedding" in name else 0.0
            )  # heads and pooler come first on the way back
        parts[ready] += parameter.size
    return sorted(parts.items())


def gradient_numbers(config):
    """How many numbers an all-reduce sums: all parameters, each once however often it is used."""
    return sum(numbers for _, numbers in gradient_parts(config))


def operations(config, rows, length):
    """Floating-point operations of one step's matrix products: forward one product, backward
    two.
    """
    E, H, I, V = (
        config.embedding_size,
        config.hidden_size,
        config.intermediate_size,
        config.vocab_size,
    )
    layer = (
        4 * H * H + 2 * H * I + 2 * length * H
    )  # multiplications a token; the last term: attention
    word = (0 if E == H else E * H) + config.num_hidden_layers * layer
    masked = H * E + E * V
    return 3 * 2 * rows * length * (word + 0.15 * masked)


# --- how long it takes ----------------------------------------------------------------------------


def ring_seconds(n, size, bandwidth, latency):
    """Seconds of an all-reduce of `size` bytes over n ranks in a ring (Patarasuk & Yuan 2009); as
    in lesson 22.
    """
    return 2 * (n - 1) * (latency + size / n / bandwidth)


def halving_seconds(n, size, bandwidth, latency):
    """The same by recursive halving and doubling (Thakur, Rabenseifner & Gropp 2005)."""
    return 2 * math.ceil(math.log2(n)) * latency + 2 * (n - 1) / n * size / bandwidth


ALGORITHMS = {"ring": ring_seconds, "halving": halving_seconds}


def waiting_seconds(n, parts, network, backward=0.0, overlap=False, algorithm="ring"):
    """Seconds that a rank waits for the sums of one step; parts: [(ready, bytes), ...] as in
    gradient_parts.

    overlap: neighbouring parts are put into buckets, and each bucket is sent once it is complete
    and the one before it is through; in as many buckets as is quickest.  `backward`: seconds of the
    backward pass."""
    ends = []
    for buckets in range(1, len(parts) + 1 if overlap else 2):  # one: a single message at the end
        end = 0.0
        for bucket in np.array_split(np.array(parts), buckets):
            end = max(end, bucket[-1, 0] * backward) + ALGORITHMS[algorithm](
                n, bucket[:, 1].sum(), *network
            )
        ends.append(end)
    return min(ends) - backward + SMALL_MESSAGES * halving_seconds(n, SMALL_BYTES, *network)


class Model:
    """An ALBERT or BERT on ranks that do `rate` operations a second, over a network."""

    def __init__(self, name, size, rate, options):
        self.config, self.rate, self.options = config_of(name, size), rate, options
        self.parts = [
            (ready, numbers * options.bits // 8) for ready, numbers in gradient_parts(self.config)
        ]

    def step_seconds(self, n, rows, overlap=False, length=None):
        """Seconds of a step in which each of n ranks has `rows` rows, --rows of them at a time."""
        work = operations(self.config, rows, length or self.options.length) / self.rate
        backward = 2 / 3 * work * min(1, self.options.rows / rows)  # of the last micro-batch
        return work + waiting_seconds(
            n, self.parts, self.options.speeds, backward, overlap, self.options.algorithm
        )

    def ideal(self, n, overlap=False):
        """The throughput of n ranks, as a share of n times that of one."""
        return self.step_seconds(1, self.options.rows) / self.step_seconds(
            n, self.options.rows, overlap
        )


# --- measured on this machine ---------------------------------------------------------------------


def measured_rate():
    """Operations a second of this machine: a few steps of the library's Trainer, ALBERT-base, all
    cores.
    """
    config, rows, length = config_of("ALBERT", "base"), 4, 128
    trainer, batch, times = (
        Trainer(AlbertForPreTraining(config), lr=1e-4),
        pretraining_batch(rows, length, 30000),
        [],
    )
    for _ in range(4):
        begun = time.perf_counter()
        trainer.step(batch)
        times.append(time.perf_counter() - begun)
    return operations(config, rows, length) / float(np.median(times[1:]))


def work_as_rank(steps, launched):
    """What each process of --measure does; rank 0 prints its numbers."""
    ranks, spent = launched_ranks(), []
    all_reduce = ranks.all_reduce

    def timed(array):
        begun = time.perf_counter()
        all_reduce(array)
        spent[-1] += time.perf_counter() - begun

    ranks.all_reduce = timed
    batch = pretraining_batch(32, 128, MEDIUM["vocab_size"])
    low, high = (32 * r // ranks.size for r in (ranks.rank, ranks.rank + 1))
    mine = {name: array[low:high] for name, array in batch.items()}
    trainer, times = (
        Trainer(AlbertForPreTraining(AlbertConfig(**MEDIUM)), lr=1e-4, threads=1, ranks=ranks),
        [],
    )
    ready = time.time() - launched
    for _ in range(steps + 2):
        ranks.barrier()
        spent.append(0.0)
        begun = time.perf_counter()
        trainer.step(mine)
        times.append(time.perf_counter() - begun)
    if ranks.rank == 0:
        print(
            json.dumps(
                {"step": np.median(times[2:]), "all_reduce": np.median(spent[2:]), "start": ready}
            )
        )


def measure(n, rounds=5, steps=6):
    """One rank and n ranks of this machine in turns, one BLAS thread each; prints the medians and
    their ratio.
    """
    beside = Path(sys.executable).with_name("mpiexec")
    mpiexec = str(beside) if beside.exists() else shutil.which("mpiexec")
    if not mpiexec:
        raise UserError(
            "--measure starts ranks by mpiexec, which is not here; pip install 'tinyalbert[mpi]'"
        )
    seen = {1: [], n: []}
    for _ in range(rounds):
        for ranks, results in seen.items():
            command = [
                mpiexec,
                "-n",
                str(ranks),
                sys.executable,
                __file__,
                "--work-as-rank",
                str(steps),
                str(time.time()),
            ]
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                stdin=subprocess.DEVNULL,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
            )
            if done.returncode:
                raise UserError(
                    f"{ranks} ranks stopped with {done.returncode}: "
                    f"{(done.stdout + done.stderr)[-1500:]}"
                )
            results.append(json.loads(done.stdout))
    medians = {
        ranks: {name: float(np.median([r[name] for r in results])) for name in results[0]}
        for ranks, results in seen.items()
    }
    print(
        f"ranks: H 256, L 6, 32 x 128 tokens in all, one BLAS thread a rank; medians of {rounds} "
        f"rounds in turns"
    )
    for ranks, m in medians.items():
        print(
            f"{ranks:3d} rank{'s' if ranks > 1 else ' '}{32 * 128 / m['step']:10,.0f} tokens/s"
            f"{m['all_reduce'] / m['step']:10.1%} of the step in all-reduces, others' lateness "
            f"included"
            f"{m['start']:8.2f} s to start"
        )
    print(
        f"{n} ranks are {medians[1]['step'] / medians[n]['step']:.2f} x one"
        + (" (target 1.7 x)" if n == 2 else "")
    )


# --- printed and drawn ----------------------------------------------------------------------------


def print_sizes():
    """Gradients of both models, all sizes."""
    print("What one all-reduce sums, for pretraining with both heads:\n")
    print(
        f"{'':10s}{'ALBERT':>14s}{'float32':>12s}{'16 bits':>12s}{'BERT':>18s}{'float32':>12s}{'times ALBERT':>15s}"
    )
    for size in SIZES:
        ours, theirs = (gradient_numbers(config_of(name, size)) for name in ("ALBERT", "BERT"))
        print(
            f"{size:10s}{ours:14,d}{4 * ours / 1e6:9,.1f} MB{2 * ours / 1e6:9,.1f} MB{theirs:18,d}"
            f"{4 * theirs / 1e6:9,.0f} MB{theirs / ours:15.1f}"
        )


def print_all_reduces(options, n=RANKS[-1]):
    """One all-reduce over many ranks, each network."""
    sizes = {
        name: gradient_numbers(config_of(name, options.size)) * options.bits // 8
        for name in ("ALBERT", "BERT")
    }
    print(f"\nOne all-reduce over {n:,} ranks, {options.size}, {options.bits} bits, in seconds:\n")
    columns = [(name, algorithm) for name in sizes for algorithm in ALGORITHMS]
    print(
        f"{'':10s}{'GB/s':>8s}{'latency':>10s}"
        + "".join(f"{f'{name} {how}':>17s}" for name, how in columns)
    )
    for network, (bandwidth, latency) in NETWORKS.items():
        print(
            f"{network:10s}{bandwidth / 1e9:8.3g}{latency * 1e6:7.0f} µs"
            + "".join(
                f"{ALGORITHMS[how](n, sizes[name], bandwidth, latency):17.4f}"
                for name, how in columns
            )
        )


def print_throughput(models, options):
    """Throughput against ranks, with and without overlap."""
    print(
        f"\nThroughput of {options.size}, {options.rows} sequences of {options.length} tokens a "
        f"rank and step, over "
        f"{options.network} by {options.algorithm}; sequences a\nsecond, and as a share of n times "
        f"one rank's:\n"
    )
    print(
        f"{'ranks':>6s}"
        + "".join(f"{f'{name}{text}':>26s}" for name in models for text in ("", ", overlap"))
    )
    for n in RANKS:
        cells = [
            (
                n * options.rows / model.step_seconds(n, options.rows, overlap),
                model.ideal(n, overlap),
            )
            for model in models.values()
            for overlap in (False, True)
        ]
        print(f"{n:6,d}" + "".join(f"{rate:19,.1f}{share:7.1%}" for rate, share in cells))


def paper_hours(model, n):
    """Hours of the paper's run on n ranks."""
    return PAPER["steps"] * model.step_seconds(n, PAPER["batch"] / n, length=PAPER["length"]) / 3600


def print_paper(rate, options):
    """The paper's run."""
    models = {name: Model(name, PAPER["size"], rate, options) for name in ("ALBERT", "BERT")}
    ideal = paper_hours(models["ALBERT"], 1)
    print(
        f"\nThe paper's run, ALBERT-{PAPER['size']} with LAMB, {PAPER['batch']:,} sequences of "
        f"{PAPER['length']} a "
        f"step, {PAPER['steps']:,} steps, in hours over\n{options.network} (the paper took 32, on "
        f"64 to 512 TPU v3; "
        "Lan et al. 2020, §4.1, Table 6):\n"
    )
    print(
        f"{'ranks':>6s}{'sequences each':>17s}{'if sums were free':>20s}{'ALBERT':>12s}{'BERT, same size':>18s}"
    )
    for n in (1, *(n for n in RANKS if n >= 64)):
        hours = [paper_hours(model, n) for model in models.values()]
        print(
            f"{n:6,d}{PAPER['batch'] // n:17,d}{ideal / n:20,.1f}{hours[0]:12,.1f}{hours[1]:18,.1f}"
        )


def draw(models, options, path):
    """Left: what is sent; right: what it costs.  Returns the picture's path."""
    figure = _figure(9.6, 4.0)
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.25])
    sizes = {
        name: np.array([4e-6 * gradient_numbers(config_of(name, size)) for size in SIZES])
        for name in ("ALBERT", "BERT")
    }
    rows, ratios = range(len(SIZES)), sizes["BERT"] / sizes["ALBERT"]
    left.hlines(rows, sizes["ALBERT"], sizes["BERT"], color=LIGHT, lw=2, zorder=0)
    for name, colour, side, shift in (
        ("ALBERT", "black", "right", 0.75),
        ("BERT", MIDDLE, "left", 1.35),
    ):
        left.plot(sizes[name], rows, "o", color=colour, ms=8)
        for row, size in zip(rows, sizes[name]):
            left.text(
                size * shift,
                row,
                f"{name}\n{size:,.0f}",
                va="center",
                ha=side,
                color=colour,
                fontsize=8,
            )
    for row, ratio in zip(rows, ratios):
        left.text(
            sizes["ALBERT"][row] * ratio**0.5,
            row - 0.08,
            f"{ratio:.1f} x",
            ha="center",
            va="bottom",
            fontsize=9,
        )
    left.set(
        xscale="log",
        xlim=(10, 5e4),
        ylim=(len(SIZES) - 0.5, -0.5),
        yticks=rows,
        yticklabels=SIZES,
        xlabel="gradient in float32, MB",
    )
    left.set_title(
        f"An all-reduce of ALBERT is {ratios.min():.0f} to {ratios.max():.0f} times\nsmaller than "
        f"one of "
        "BERT of the same size",
        fontsize=11,
    )
    n, ends = RANKS[-1], {}
    for (name, model), colour in zip(models.items(), ("black", MIDDLE)):
        for overlap, dash in ((False, "-"), (True, "--")):
            share = [model.ideal(n, overlap) for n in RANKS]
            right.plot(
                RANKS,
                share,
                dash,
                color=colour,
                lw=1.8,
                marker="o",
                ms=3,
                label=name + (", overlapped with the backward pass" if overlap else ""),
            )
            ends[name, overlap] = share[-1]
    right.set(
        xscale="log",
        ylim=(0, 1.05),
        ylabel="throughput / (ranks x one rank's)",
        xlabel=f"ranks of {models['ALBERT'].rate / 1e12:.2g} Tflop/s over {options.network}, {options.rows} x "
        f"{options.length} tokens each",
    )
    right.set_xticks(RANKS[::2], [str(n) for n in RANKS[::2]], minor=False)
    right.set_xticks([], minor=True)
    right.legend(frameon=False, fontsize=8)
    right.set_title(
        f"{n:,} ranks: ALBERT-{options.size} keeps {ends['ALBERT', False]:.0%} of the ideal, BERT "
        f"{ends['BERT', False]:.0%}\n(computed, not measured)",
        fontsize=11,
    )
    for ax in (left, right):
        ax.spines[["top", "right"]].set_visible(False)
    return _save(figure, path)


def positive(text):
    """A number above 0 from the command line."""
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text}; expected a number above 0")
    return value


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--size", choices=SIZES, default="base", help="of both models (default: base)"
    )
    parser.add_argument(
        "--rows", type=int, default=32, help="sequences that a rank works on at once (default: 32)"
    )
    parser.add_argument("--length", type=int, default=512, help="tokens a sequence (default: 512)")
    parser.add_argument(
        "--step-seconds",
        type=positive,
        help="of one rank alone: a step of ALBERT of this --size on "
        "--rows x --length tokens (default: carried over, by operations, from steps timed here)",
    )
    parser.add_argument(
        "--network",
        choices=list(NETWORKS),
        default="10G",
        help="Ethernet of 1, 10, 25 Gb/s; 100 "
        "Gb/s with remote memory access; NVLink (default: 10G)",
    )
    parser.add_argument(
        "--bandwidth", type=positive, help="your network's, in bytes a second of one rank"
    )
    parser.add_argument("--latency", type=positive, help="your network's, in seconds a message")
    parser.add_argument(
        "--bits", type=int, choices=(16, 32), default=32, help="of each number sent (default: 32)"
    )
    parser.add_argument(
        "--algorithm", choices=list(ALGORITHMS), default="ring", help="default: ring"
    )
    parser.add_argument(
        "--picture", default="runs/scaling.png", help="file to draw (default: runs/scaling.png)"
    )
    parser.add_argument(
        "--measure",
        type=int,
        nargs="?",
        const=2,
        metavar="N",
        help="no model: N real ranks (2) here",
    )
    parser.add_argument("--work-as-rank", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.rows < 1 or not 1 <= options.length <= 512 or (options.measure or 2) < 2:
        parser.error(
            "expected --rows of at least 1, a --length from 1 to 512, --measure with at least 2 "
            "ranks"
        )
    try:
        if options.work_as_rank:
            work_as_rank(int(options.work_as_rank[0]), float(options.work_as_rank[1]))
            return 0
        if options.measure:
            measure(options.measure)
            return 0
        bandwidth, latency = NETWORKS[options.network]
        options.speeds = (options.bandwidth or bandwidth, options.latency or latency)
        if options.bandwidth or options.latency:
            options.network = f"{8e-9 * options.speeds[0]:.3g} Gb/s"
        else:
            options.network = options.network.replace("G", " Gb/s")
        work = operations(config_of("ALBERT", options.size), options.rows, options.length)
        rate = work / options.step_seconds if options.step_seconds else measured_rate()
        print(
            f"One rank does {rate / 1e12:.3g} Tflop/s, "
            f"{'as given' if options.step_seconds else 'measured here'}: "
            f"{work / rate:.3g} s for {options.rows} x {options.length} tokens of "
            f"ALBERT-{options.size}\n"
        )
        models = {name: Model(name, options.size, rate, options) for name in ("ALBERT", "BERT")}
        print_sizes()
        print_all_reduces(options)
        print_throughput(models, options)
        print_paper(rate, options)
        print(f"\npicture: {draw(models, options, options.picture)}")
    except UserError as error:
        print(f"scaling.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
