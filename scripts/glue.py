#!/usr/bin/env python3
"""GLUE from a folder: trains and evaluates every set that is there, with several seeds, prints the
row of a leaderboard beside simple baselines, and writes the submission.

    python scripts/glue.py glue --model runs/book --seeds 3
    python scripts/glue.py glue --model runs/albert_base --recipe paper --seeds 5
    python scripts/glue.py glue --model runs/book --sets cola rte --random-init     the control

FOLDER has a folder for each set as it is published (CoLA, SST-2, MRPC, STS-B, MNLI, QNLI, QQP, RTE,
WNLI, AX; also cola, sst2, ...); a set without train.tsv is left out, and that is said.  The average
is GLUE's: of the sets' means over their metrics.  Rows are labelled dev rows, not the test set of
the leaderboard, so numbers are to be compared with dev numbers, such as those of the paper's Table 9.
A run that was finished with the same options is not repeated.

OUTPUT/SET-SEED/         a fine-tuned model
OUTPUT/submission/       CoLA.tsv, MNLI-m.tsv, ...: of the seed that was best on the dev rows
"""

import argparse
import os
import re
import sys
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # replicas bring the parallelism
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from kept_runs import finished

from tinyalbert.errors import UserError
from tinyalbert.tasks.glue import FILES
from tinyalbert.tasks.inference import predict_file
from tinyalbert.tasks.options import PredictOptions
from tinyalbert.tasks.registry import TASKS, find_task

SETS = [name for name, (where, _) in TASKS.items() if ".glue:" in where]
SHORT = {"accuracy": "acc", "matthews_corrcoef": "MCC", "f1": "F1"}
PASSED = "recipe epochs steps minutes batch_size lr max_length threads device random_init".split()


def main(words=None):
    """The whole of it; returns the exit code."""
    args = _arguments(words)
    try:
        sets = find_sets(args.folder, args.sets)
        columns = {}
        for name, folder in sets.items():
            results = [run_of(name, folder, seed, args) for seed in range(args.seeds)]
            columns[name] = results
            print(line_of(name, results), flush=True)
            submit(name, folder, results, args)
        print(f"\n{leaderboard(columns)}")
    except UserError as problem:
        print(f"glue.py: {problem}", file=sys.stderr)
        return 2
    return 0


def _arguments(words):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="folder with the folders of the sets")
    parser.add_argument("--model", required=True, help="pretrained folder")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each set (default: 3)")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS, metavar="SET")
    parser.add_argument(
        "--output", type=Path, default=Path("runs/glue"), help="(default: runs/glue)"
    )
    parser.add_argument("--recipe", choices=("laptop", "paper"), default="laptop")
    for name in ("epochs", "minutes", "lr"):
        parser.add_argument(f"--{name}", type=float)
    for name in ("steps", "batch-size", "max-length", "threads"):
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    parser.add_argument("--random-init", action="store_true", help="forget the model's weights")
    args = parser.parse_args(words)
    if args.seeds < 1:
        parser.error(f"--seeds {args.seeds}; expected at least 1")
    return args


# --- the sets -------------------------------------------------------------------------------------


def find_sets(folder, asked=SETS):
    """{task: folder} of the sets in a folder that can be trained on; says which can't."""
    inside = sorted(folder.iterdir()) if folder.is_dir() else []
    there = {plain_name(path.name): path for path in inside if path.is_dir()}
    found = {}
    for name in asked:
        if name not in there:
            continue
        if (there[name] / FILES["train"][0]).is_file():
            found[name] = there[name]
        else:
            print(f"{there[name]} has no {FILES['train'][0]}; left out")
    if not found:
        raise UserError(
            f"{folder} has no set to train on; expected folders such as CoLA, with a train.tsv"
        )
    return found


def plain_name(folder):
    """What a set's folder is called, without marks: STS-B is stsb."""
    return re.sub(r"\W|_", "", folder.lower())


def run_of(name, folder, seed, args):
    """What a run of a set came to: that of kept_runs.finished, and "model", its folder."""
    given = {option: getattr(args, option) for option in PASSED}
    given = {option: value for option, value in given.items() if value not in (None, False)}
    given |= {"task": name, "train": str(folder), "model": args.model, "seed": seed}
    output = args.output / f"{name}-{seed}"
    return {**finished(output, given), "model": str(output)}


def submit(name, folder, results, args):
    """Write the submission files of a set, if its folder has a test set."""
    metric = find_task(name).metric
    best = max(results, key=lambda result: result["metrics"][metric])["model"]
    sources = [(folder, find_task(name).published.name)]
    if name == "mnli":
        diagnostic = [path for path in folder.parent.iterdir() if plain_name(path.name) == "ax"]
        sources += [(path, "AX") for path in diagnostic]
    for source, title in sources:
        if not any((source / file).is_file() for file in FILES["predict"]):
            print(f"{source} has no test set; no submission for {title}")
            continue
        path = args.output / "submission" / f"{title}.tsv"
        predict_file(PredictOptions(model=best, table=str(source), output=str(path)), print)


# --- the row --------------------------------------------------------------------------------------


def shown(name, metrics):
    """{title of a column: the metric it shows}: for MNLI of each part, if both are there."""
    title = find_task(name).published.name
    parts = {"accuracy_matched": f"{title}-m acc", "accuracy_mismatched": f"{title}-mm acc"}
    if all(metric in metrics for metric in parts):
        return {column: metric for metric, column in parts.items()}
    return {f"{title} {SHORT.get(m, m.capitalize())}": m for m in find_task(name).metrics}


def line_of(name, results):
    """A set's scores in one line."""
    cells = [f"{column} {text}" for column, (_, text) in cells_of(name, results).items()]
    best = max(results[0]["baselines"].items(), key=lambda item: item[1], default=("none", 0.0))
    return f"{', '.join(cells)}; best baseline: {best[0]} {100 * best[1]:.1f}"


def cells_of(name, results):
    """{title of a column: (mean of the seeds, text with the standard deviation)}, in percent."""
    cells = {}
    for column, metric in shown(name, results[0]["metrics"]).items():
        values = 100 * np.array([result["metrics"][metric] for result in results])
        spread = f" ± {values.std(ddof=1):.1f}" if len(values) > 1 else ""
        cells[column] = values.mean(), f"{values.mean():.1f}{spread}"
    return cells


def leaderboard(columns):
    """The table: the model's row with its average, and a row for each baseline.

    columns: {task: its results}.  A baseline has a value for the metric that comes first.
    """
    cells = {name: cells_of(name, results) for name, results in columns.items()}
    titles = [title for of_set in cells.values() for title in of_set]
    seeds = len(next(iter(columns.values())))
    average = np.mean([np.mean([mean for mean, _ in of_set.values()]) for of_set in cells.values()])
    rows = [
        ["", *titles, f"average of {len(cells)} sets"],
        ["---"] * (len(titles) + 2),
        [
            "model" if seeds == 1 else f"model, mean ± sd of {seeds} seeds",
            *(text for of_set in cells.values() for _, text in of_set.values()),
            f"{average:.1f}",
        ],
    ]
    baselines = dict.fromkeys(b for results in columns.values() for b in results[0]["baselines"])
    for baseline in baselines:
        row = [baseline]
        for name, results in columns.items():
            value = results[0]["baselines"].get(baseline)
            row += ["" if value is None else f"{100 * value:.1f}"]
            row += [""] * (len(cells[name]) - 1)
        rows.append([*row, ""])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    sys.exit(main())
