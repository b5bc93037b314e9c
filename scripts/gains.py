#!/usr/bin/env python3
"""What pretraining gains, task by task: fine-tunes every set of a list from a pretrained folder and
from random values, and prints one table, with the strongest simple baseline of each set beside it.

    python scripts/gains.py sets.toml --model runs/book --seeds 3

SETS is a TOML file with a table for each set: the task, its files (paths from the file's own
folder), and any option that `tinyalbert finetune` has for the task:

    [trec]
    task = "classification"
    train = "trec/TREC.train"
    dev = "trec/TREC.test"

    [wnut17]
    task = "ner"
    train = "wnut17/train.conll"
    dev = "wnut17/dev.conll"
    minutes = 4

Every finished run is kept in OUTPUT and is not repeated.
"""

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # replicas bring the parallelism
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from kept_runs import finished

from tinyalbert.errors import UserError
from tinyalbert.options import read_values
from tinyalbert.tasks.outcome import strongest_baseline

CONTROLS = {"pretrained": False, "random values": True}
HEADER = "| set | metric | pretrained | random values | strongest baseline | gain |"


def main(words=None):
    """The whole of it; returns the exit code."""
    args = _arguments(words)
    try:
        sets = _sets(args)
        lines = [HEADER, "|---|---|---|---|---|---|"]
        for name, given in sets.items():
            results = {
                start: [_run(name, given, seed, random, args) for seed in range(args.seeds)]
                for start, random in CONTROLS.items()
            }
            lines.append(line_of(name, results))
            print(lines[-1], flush=True)
    except UserError as problem:
        print(f"gains.py: {problem}", file=sys.stderr)
        return 2
    table = "\n".join(lines)
    (args.output / "gains.md").write_text(table + "\n", encoding="utf-8")
    print(f"\n{table}\n\nwritten to {args.output / 'gains.md'}")
    return 0


def _arguments(words):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sets", type=Path, help="TOML file that names the sets")
    parser.add_argument("--model", required=True, help="pretrained folder")
    parser.add_argument("--seeds", type=int, default=1, help="runs of each (default: 1)")
    parser.add_argument("--only", nargs="+", metavar="SET", help="some of the sets")
    parser.add_argument("--threads", type=int, help="replicas of the model")
    parser.add_argument(
        "--output", type=Path, default=Path("runs/gains"), help="(default: runs/gains)"
    )
    args = parser.parse_args(words)
    if args.seeds < 1:
        parser.error(f"--seeds {args.seeds}; expected at least 1")
    return args


def _sets(args):
    """{name: options of a run} of the sets that are asked for."""
    sets = read_values(args.sets)
    unknown = [name for name in args.only or () if name not in sets]
    if unknown:
        raise UserError(f"{args.sets} has no set {unknown[0]!r}; it has {', '.join(sets)}")
    chosen = {name: sets[name] for name in args.only or sets}
    for name, given in chosen.items():
        if not isinstance(given, dict) or not {"task", "train"} <= given.keys():
            raise UserError(f"{args.sets}: [{name}] needs at least a task and a train")
    folder = args.sets.resolve().parent
    return {name: {**given, **_found(given, folder)} for name, given in chosen.items()}


def _found(given, folder):
    """{option: path} of a set's sources, those that are files from the folder of the list."""
    found = {}
    for option in ("train", "dev"):
        parts = given.get(option, "").split(",")
        parts = [str(folder / part) if (folder / part).exists() else part for part in parts]
        if given.get(option):
            found[option] = ",".join(parts)
    return found


def _run(name, given, seed, random, args):
    """What one run came to: that of kept_runs.finished."""
    output = args.output / f"{name}-{'random' if random else 'pretrained'}-{seed}"
    given = {**given, "model": args.model, "seed": seed, "random_init": random}
    if args.threads:
        given["threads"] = args.threads
    return finished(output, given)


def line_of(name, results):
    """A set's line of the table: means over the seeds, with the spread where there are several."""
    values = {
        start: [one["metrics"][one["metric"]] for one in runs] for start, runs in results.items()
    }
    first = results["pretrained"][0]
    strongest, value = strongest_baseline(first)
    told = f"{strongest} {value:.3f}" if strongest else ""
    means = {start: float(np.mean(each)) for start, each in values.items()}
    gain = means["pretrained"] - means["random values"]
    cells = [name, first["metric"], *(_spread(each) for each in values.values()), told]
    return f"| {' | '.join(cells)} | {gain:+.3f} |"


def _spread(values):
    """The mean, and the least and the most if there are several."""
    if len(values) == 1:
        return f"{values[0]:.3f}"
    return f"{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"


if __name__ == "__main__":
    sys.exit(main())
