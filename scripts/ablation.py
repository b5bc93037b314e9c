#!/usr/bin/env python3
"""The tables of the ALBERT paper in miniature, and some of what came after: one command a table.

    python scripts/ablation.py --list
    python scripts/ablation.py sharing --minutes 10 --seeds 3 --corpus runs/data
    python scripts/ablation.py sizes
    python scripts/ablation.py all --minutes 240 --seeds 3 --corpus runs/data

Every variant of the table is trained with every seed for the same number of steps (in `time`: of
minutes), so many that all runs together take about --minutes, evaluations and Zorro included.
`all` is one table after the other; each has a share of the minutes for each of its variants.
--corpus is a folder that `tinyalbert prepare` made; without it the built-in stories are taken,
which say nothing about natural language.  --precision bf16 fits more steps into the minutes where
the processor has units for it (`tinyalbert doctor` tells).

After Ctrl-C, or killed, the same command goes on; a finished run is not repeated.  In OUTPUT/NAME:
a folder for each run; NAME.md, the table beside the paper's numbers; NAME.png, whose title is the
finding.  OUTPUT/findings.md has a line for each table that is done.  "Noise" is half the 95 %
confidence interval of a difference over the seeds, with Student's factor for so few of them: a
claim is reproduced if the effect is larger, not reproduced if the opposite is, undecided in between
or with one seed.
"""

import argparse
import json
import math
import os
import re
import sys
import textwrap
import time
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # replicas bring the parallelism
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from ablation_findings import finding, note_down
from ablation_measures import ALWAYS, COLUMNS, measured, model_sizes, zorro_seconds
from ablation_tables import TABLES
from kept_runs import kept

from tinyalbert import AlbertConfig, AlbertTokenizer
from tinyalbert.errors import UserError
from tinyalbert.files.writing import replacing
from tinyalbert.options import make
from tinyalbert.plots import LIGHT, MIDDLE, _figure, _save
from tinyalbert.precision import EMULATED, check_precision
from tinyalbert.pretraining.options import PretrainOptions
from tinyalbert.pretraining.preparation import is_prepared, train_tokenizer
from tinyalbert.pretraining.pretrain import build_model, build_optimizer, build_trainer, pretrain
from tinyalbert.pretraining.recipes import recipe_for
from tinyalbert.pretraining.shards import Shards, prepare
from tinyalbert.pretraining.staged import HeldOut, StageBatches
from tinyalbert.training.plan import seconds_per_step
from tinyalbert.training.replicas import Single

EVALUATIONS = 2  # of a run: before it and at its end
FEWEST = 20  # steps that a comparison needs, which still says little
QUICK = {"steps": 4, "stories": 300, "vocabulary": 400}
STORIES = {"stories": 20000, "vocabulary": 2000}
SIZES_SHARE = 2  # of `all`: as many variants' minutes, for sizes trains nothing
SPARE = 1.1  # of the minutes that a refusal asks for, since times vary


class TooShort(UserError):
    """A budget in which nothing can be told; minutes: what would do."""

    def __init__(self, message, minutes):
        super().__init__(message)
        self.minutes = minutes


def main(words=None):
    """The whole of it; returns the exit code."""
    args = _arguments(words)
    try:
        if args.list:
            said = listed(AlbertConfig.preset(args.preset))
        elif args.name == "all":
            said = run_all(args)
        elif args.name == "sizes":
            said = run_sizes(args)
        else:
            said = run_table(args)
    except UserError as problem:
        print(f"ablation.py: {problem}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on", file=sys.stderr)
        return 130
    print(said)
    return 0


def listed(preset):
    """The tables, a line each."""
    tables = {name: table(preset) for name, table in TABLES.items()}
    lines = [f"{name:12s}{t.source}: {', '.join(t.variants)}" for name, t in tables.items()]
    first = [
        f"{'all':12s}all of the following, one after the other",
        f"{'sizes':12s}Lan et al. 2020, Tables 1 and 2: nothing is trained, steps are timed",
    ]
    return "\n".join([*first, *lines])


def _arguments(words):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", nargs="?", choices=["all", "sizes", *TABLES], metavar="NAME")
    parser.add_argument("--list", action="store_true", help="name the tables")
    parser.add_argument("--minutes", type=float, default=10.0, help="of all runs (default: 10)")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each variant (default: 3)")
    parser.add_argument("--corpus", type=Path, help="prepared folder (default: built-in stories)")
    parser.add_argument("--preset", default="mini", help="size and recipe (default: mini)")
    parser.add_argument("--threads", type=int, help="replicas of the model (default: all cores)")
    parser.add_argument(
        "--precision",
        choices=("fp32", "bf16", EMULATED),
        default="fp32",
        help="of the products, as pretrain has it (default: fp32)",
    )
    parser.add_argument("--zorro", type=Path, help="folder of minimal pairs, to be judged as well")
    parser.add_argument("--quick", action="store_true", help="a few steps of a tiny model")
    parser.add_argument(
        "--output", type=Path, default=Path("runs/ablation"), help="(default: runs/ablation)"
    )
    args = parser.parse_args(words)
    if not (args.name or args.list):
        parser.error(f"which table? one of all, sizes, {', '.join(TABLES)}")
    if args.seeds < 1 or not 0 < args.minutes < math.inf:
        parser.error(
            f"--seeds {args.seeds} --minutes {args.minutes:g}; expected 1 or more, above 0"
        )
    if args.quick:
        args.preset = "tiny"
    data = os.environ.get("TINYALBERT_DATA")
    if args.zorro is None and data and not args.quick and (Path(data) / "zorro").is_dir():
        args.zorro = Path(data) / "zorro"
    return args


# --- the runs -------------------------------------------------------------------------------------


def run_all(args):
    """Every table; returns what is to be said.

    All are planned before the first is trained, so that a budget too small is refused at once.  A
    table that fails, a run that diverges for example, does not keep the others from being trained.
    """
    parts = shares(args)
    short = 1.0
    for part in parts[1:]:
        try:
            prepared(part)
        except TooShort as refused:
            short = max(short, refused.minutes / part.minutes)
    if short > 1:
        minutes = math.ceil(short * args.minutes)
        raise TooShort(
            f"--minutes {args.minutes:g} for {len(parts)} tables are too few to tell anything; "
            f"expected {minutes} or more, or fewer --seeds",
            minutes,
        )
    failed = {}
    for number, part in enumerate(parts, start=1):
        print(
            f"\n=== {part.name}, {number} of {len(parts)}: {part.minutes:.1f} minutes", flush=True
        )
        try:
            print(run_sizes(part) if part.name == "sizes" else run_table(part), flush=True)
        except UserError as problem:
            failed[part.name] = problem
            print(f"ablation.py: {problem}", file=sys.stderr, flush=True)
    if failed:
        raise UserError(
            f"not finished: {', '.join(failed)}; the same command tries again.  What the others "
            f"say is in {args.output / 'findings.md'}"
        )
    return f"\nall findings: {args.output / 'findings.md'}"


def shares(args):
    """The arguments of every table, with its share of the minutes; those of sizes first."""
    preset = AlbertConfig.preset(args.preset)
    weights = {"sizes": SIZES_SHARE}
    weights |= {name: len(table(preset).variants) for name, table in TABLES.items()}
    minute = args.minutes / sum(weights.values())
    return [
        argparse.Namespace(**{**vars(args), "name": name, "minutes": round(minute * weight, 3)})
        for name, weight in weights.items()
    ]


def run_sizes(args):
    """What the models of Tables 1 and 2 cost; returns the table as text."""
    folder = args.output / "sizes"
    given = {"minutes": args.minutes, "quick": args.quick}
    said = kept(
        folder, given, lambda begun: {"said": model_sizes(folder, 60 * args.minutes, args.quick)}
    )["said"]
    note_down(folder, "Lan et al. 2020, Tables 1 and 2", said.partition("\n")[0], "nothing trained")
    return said


def prepared(args):
    """(table, corpus, {variant: options of pretrain}, {variant: steps}): what will be trained."""
    check_precision(args.precision, "cpu")
    table = TABLES[args.name](AlbertConfig.preset(args.preset))
    corpus = args.corpus or stories(args)
    if not is_prepared(corpus):
        raise UserError(f"{corpus} is no prepared folder; tinyalbert prepare makes one of text")
    given = {name: options(args, table, name, corpus) for name in table.variants}
    return table, corpus, given, planned(args, table, args.output / args.name, given)


def run_table(args):
    """Train, compare, write; returns what is to be said."""
    table, corpus, given, steps = prepared(args)
    folder = args.output / args.name
    results = {name: [] for name in given}
    for seed in range(args.seeds):
        for name, values in given.items():
            output = folder / f"{re.sub(r'[^a-zA-Z0-9]+', '_', name).strip('_')}-{seed}"
            one = trained(output, {**values, "seed": seed, "steps": steps[name]}, table, args)
            results[name].append(one["metrics"])
            print(f"{name}, seed {seed}: {in_short(one['metrics'])}", flush=True)
    return write(folder, table, args, corpus, steps, results)


def stories(args):
    """The prepared folder of built-in stories, made once."""
    sizes = QUICK if args.quick else STORIES
    folder = args.output / f"stories-{sizes['stories']}"
    source = [f"stories:{sizes['stories']}"]
    if not is_prepared(folder / "data"):
        tokenizer = train_tokenizer(
            source, sizes["vocabulary"], folder / "vocabulary", progress=False
        )
        prepare(source, tokenizer, folder / "data", workers=1, overwrite=True, progress=False)
    return folder / "data"


def options(args, table, name, corpus):
    """The options of pretrain for a variant, without seed and steps; JSON values."""
    variant = table.variants[name]
    recipe = recipe_for(args.preset)
    size = {"initializer_range": recipe.initializer_range, **variant["config"]}
    config = AlbertConfig.preset(args.preset, **size)
    values = {
        "sources": [str(corpus)],
        "config": config.to_dict(),
        "preset": args.preset,
        "precision": args.precision,
        **variant["run"],
    }
    if args.threads:
        values["threads"] = args.threads
    return values


def planned(args, table, folder, given):
    """{variant: steps}, fixed once: from the times of a few steps of each.

    A plan by which nothing was trained yet makes way for another one.
    """
    path = folder / "plan.json"
    asked = {
        "minutes": args.minutes,
        "seeds": args.seeds,
        "quick": args.quick,
        "zorro": args.zorro is not None,
        "variants": given,
    }
    if path.is_file():
        saved = json.loads(path.read_text(encoding="utf-8"))
        if saved["asked"] == json.loads(json.dumps(asked)):
            return saved["steps"]
        if any(each.is_dir() for each in folder.iterdir()):
            raise UserError(
                f"{folder} was begun with other --minutes, --seeds, --preset, --precision, "
                "--threads, --zorro or --corpus; give those again, or another --output"
            )
    if args.quick:
        steps = dict.fromkeys(given, QUICK["steps"])
    else:
        print(f"{args.name}: timing a few steps of {len(given)} variants", flush=True)
        begun = time.perf_counter()
        times = {name: seconds_of(values, args) for name, values in given.items()}
        spent = (time.perf_counter() - begun) / 60
        steps = shared_out(args.minutes, spent, args.seeds, times, table.equal)
    with replacing(path) as file:
        file.write((json.dumps({"asked": asked, "steps": steps}, indent=2) + "\n").encode())
    return steps


def seconds_of(given, args):
    """(seconds of a step, seconds of all else) of a run with these options."""
    values = {**given, "model_config": given["config"], "minutes": args.minutes, "output": "-"}
    del values["config"]
    chosen = make(PretrainOptions, values).resolved()
    corpus = chosen.sources[0]
    tokenizer = AlbertTokenizer.from_pretrained(corpus)
    model = build_model(chosen, tokenizer.vocab_size)
    stages = StageBatches(corpus, model.config, chosen.recipe(), 0, Single())
    trainer = build_trainer(model, build_optimizer(model, chosen.recipe()), chosen, Single())
    try:
        begun = time.perf_counter()
        HeldOut(stages).evaluate(model.eval(), trainer.replicas, stages.recipe.max_seq_length)
        rest = EVALUATIONS * (time.perf_counter() - begun)
        if args.zorro:
            rest += zorro_seconds(model, tokenizer, args.zorro, args.threads)
        return seconds_per_step(trainer, stages, 60 * args.minutes / args.seeds), rest
    finally:
        trainer.replicas.close()


def shared_out(minutes, spent, seeds, times, equal):
    """{variant: steps} of runs that take `minutes` together, of which so many are spent.

    times: {variant: (seconds of a step, of all else)} of a run.  equal: what all runs have as much
    of, steps or minutes.
    """
    steps_of = {name: step for name, (step, _) in times.items()}
    rest = sum(rest for _, rest in times.values())
    seconds = 60 * (minutes - spent) / seeds - rest
    if equal == "minutes":
        steps = {name: int(seconds / len(times) / step) for name, step in steps_of.items()}
        fewest = len(times) * max(steps_of.values())
    else:
        steps = dict.fromkeys(times, int(seconds / sum(steps_of.values())))
        fewest = sum(steps_of.values())
    if min(steps.values()) < FEWEST:
        needed = SPARE * (spent + seeds * (rest + FEWEST * fewest) / 60)
        needed = math.ceil(10 * needed) / 10
        raise TooShort(
            f"--minutes {minutes:g} are too few for {FEWEST} steps of {len(times)} variants with "
            f"{counted(seeds, 'seed')} each; expected {needed:g} or more, or fewer "
            "--seeds",
            needed,
        )
    return steps


def trained(output, given, table, args):
    """What a run came to: kept_runs.kept, with "metrics"."""

    def run(begun):
        steps = given["steps"]
        metrics = pretrain(
            **given,
            output=str(output),
            resume=begun,
            eval_every=steps,
            save_every=max(1, steps // 5),
            progress=False,
            say=lambda text: None,
        )
        return {"metrics": {**metrics, **measured(output, given, table.columns, args.zorro)}}

    return kept(output, given, run)


def in_short(metrics):
    """A run in a line."""
    shown = [name for name in ("mlm_loss", "mlm_accuracy", "sop_accuracy") if name in metrics]
    return ", ".join(f"{COLUMNS[n][0]} {COLUMNS[n][1].format(metrics[n])}" for n in shown)


# --- what is written ------------------------------------------------------------------------------


def write(folder, table, args, corpus, steps, results):
    """NAME.md and NAME.png; returns the table as text."""
    sentence = finding(table, results)
    lines = [
        f"# {args.name}: {table.source}",
        "",
        sentence,
        "",
        budget(args, corpus, steps, results),
        "",
        *rows(table, results),
    ]
    text = "\n".join(lines) + "\n"
    with replacing(folder / f"{args.name}.md") as file:
        file.write(text.encode())
    runs = f"{args.preset}, {counted(args.seeds, 'seed')}, {in_all(steps)} steps"
    note_down(folder, table.source, sentence, runs)
    try:
        picture = draw(folder / f"{args.name}.png", table, results, sentence)
        return f"\n{text}\nwritten to {folder / args.name}.md, picture {picture}"
    except UserError as problem:  # matplotlib is an extra
        return f"\n{text}\nwritten to {folder / args.name}.md; no picture: {problem}"


def budget(args, corpus, steps, results):
    """How the numbers were made, in a sentence."""
    threads = args.threads or os.cpu_count()
    one = next(iter(results.values()))[0]
    meta = Shards(corpus).meta
    return (
        f"Preset {args.preset}, {counted(args.seeds, 'seed')}, {in_all(steps)} steps a run, "
        f"{one['tokens'] / 1e6:.2f} million tokens in the first; --minutes {args.minutes:g}"
        f"{' --quick' if args.quick else ''}, {counted(threads, 'thread')}, "
        f"{args.precision}; corpus {corpus.parent.name}/{corpus.name} of "
        f"{meta['tokens'] / 1e6:.2f} million pieces, vocabulary of {meta['vocab_size']:,}. "
        "Mean (least to most) of the seeds; losses in nats a piece."
    )


def counted(number, what):
    """ "1 seed", "2 seeds"."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def in_all(steps):
    """The number of steps of a run, or the least and the most of several."""
    least, most = min(steps.values()), max(steps.values())
    return f"{most:,}" if least == most else f"{least:,} to {most:,}"


def rows(table, results):
    """The table's lines in Markdown."""
    there = [
        n for n in (*ALWAYS, *table.columns) if all(n in r for o in results.values() for r in o)
    ]
    titles = ["", *(COLUMNS[name][0] for name in there)]
    if table.paper:
        titles.append(f"paper: {table.paper_metric}")
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for name, metrics in results.items():
        cells = [name, *(spread([one[n] for one in metrics], COLUMNS[n][1]) for n in there)]
        if table.paper:
            cells.append(str(table.paper.get(name) or ""))
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def spread(values, how):
    """The mean, and the least and the most if they differ."""
    told = [how.format(value) for value in (np.mean(values), min(values), max(values))]
    return told[0] if told[1] == told[2] else f"{told[0]} ({told[1]} to {told[2]})"


def draw(path, table, results, sentence):
    """The claims' metric, a point a seed and a line at the mean; the title is the finding."""
    measures = [claim.metric for claim in table.claims]
    there = [m for m in measures if all(m in one for each in results.values() for one in each)]
    metric = (there or ["mlm_loss"])[0]
    figure = _figure(8.5, 1.6 + 0.42 * len(results))
    ax = figure.subplots()
    for place, metrics in enumerate(results.values()):
        values = [one[metric] for one in metrics]
        ax.plot(values, [place] * len(values), "o", color=LIGHT, ms=6)
        ax.plot([np.mean(values)] * 2, [place - 0.3, place + 0.3], color="0", lw=2)
        label = COLUMNS[metric][1].format(np.mean(values))
        ax.annotate(label, (np.mean(values), place - 0.32), ha="center", va="bottom", fontsize=8)
    ax.set_yticks(range(len(results)), list(results))
    ax.set_ylim(len(results) - 0.4, -0.7)
    ax.set_xlabel(f"{COLUMNS[metric][0]}, held-out text; a point is a seed, a line the mean")
    ax.grid(axis="x", color=LIGHT, lw=0.4)
    ax.tick_params(colors=MIDDLE, labelcolor="0")
    ax.set_title("\n".join(textwrap.wrap(sentence, 105)), fontsize=9, loc="left")
    return _save(figure, path)


if __name__ == "__main__":
    sys.exit(main())
