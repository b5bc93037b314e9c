#!/usr/bin/env python3
"""One fixed suite for any pretrained folder: a row of the board, and the picture of quality against
cost.

    TINYALBERT_DATA=data python scripts/board.py runs/book --name "mini, 30 minutes"

The suite: the loss a word on two texts (WikiText-2, news), Zorro's minimal pairs, and after
fine-tuning with the settings of `tinyalbert finetune`: SST-2 (8,000 rows), STS-B, TREC, WNUT-17,
and questions of XQuAD (38 articles to train on, 10 to answer).  FOLDER is one of ours, or one of
transformers with an ALBERT in it; a BERT's weights open too, but its WordPiece vocabulary does not.
The data are read from the folder that TINYALBERT_DATA names, from the places in TEXTS and TASKS below
and `zorro`; what is missing there is said and left blank.  TF-IDF with a
linear model, and a bag of words with one, have rows of their own.

The row goes into TABLE.jsonl (a row of the same name is replaced), from which TABLE.md and
TABLE.png are made.  After Ctrl-C or a kill the same command goes on.  --quick tries the suite; its
numbers say nothing, so its table lies beside its runs.
"""

import argparse
import json
import os
import random
import sys
import textwrap
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # replicas bring the parallelism
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from kept_runs import finished, kept

from tinyalbert import AlbertForMaskedLM, AlbertTokenizer
from tinyalbert.errors import UserError
from tinyalbert.files.checkpoint import read_config
from tinyalbert.files.writing import replacing
from tinyalbert.info import products_per_token
from tinyalbert.plots import LIGHT, MIDDLE, _figure, _save, read_log
from tinyalbert.tasks.baselines import has_sklearn
from tinyalbert.tasks.minimal_pairs import FREQUENCIES, judge, read_sets
from tinyalbert.tasks.text_loss import evaluate_text
from tinyalbert.training.replicas import Threads

LENGTH = 128  # tokens of a sequence, for losses and for the products of a token
WORDS = 5000  # of a text
PAIRS = 200  # of each set of Zorro
SST_ROWS = 8000
MINUTES = [10.0**power * digit for power in range(-2, 6) for digit in (1, 2, 5)]  # of the axis
QA_ARTICLES = 38  # to train on, of 48
TABLE = Path(__file__).resolve().parent.parent / "lessons" / "experiments" / "board"
TEXTS = {"WikiText-2": "wikitext2/valid.txt", "news": "summ/article"}
TASKS = {  # column: (task, what to train on, dev, metric)
    "SST-2": ("sst2", "sst2/train.tsv", "sst2/dev.tsv", "accuracy"),
    "STS-B": ("stsb", "sts-b/train.tsv", "sts-b/dev.tsv", "pearson"),
    "TREC": ("classification", "trec/TREC.train", "trec/TREC.test", "accuracy"),
    "WNUT-17": ("ner", "wnut17/train.conll", "wnut17/dev.conll", "f1"),
    "XQuAD": ("squad", "squad/xquad.en.json", "squad/xquad.en.json", "f1"),
}
METRICS = {"accuracy": "accuracy", "pearson": "Pearson", "f1": "F1"}
LOSS = "{}, nats a word"
SHARE = "{:.3f}"
COLUMNS = {  # of the table: (title, how a number is written)
    "parameters": ("parameters, millions", "{:.2f}"),
    "products a token": ("products a token, millions", "{:.2f}"),
    "minutes": ("pretraining, minutes", "{:,.0f}"),
    "tokens": ("pretraining, million tokens", "{:,.1f}"),
    **{LOSS.format(text): (f"{text}, nats a word (less is better)", "{:.2f}") for text in TEXTS},
    "Zorro": ("Zorro, pairs right", SHARE),
    **{column: (f"{column}, {METRICS[metric]}", SHARE) for column, (*_, metric) in TASKS.items()},
}
MILLIONS = ("parameters", "products a token", "tokens")
PER_CENT = ("XQuAD",)  # whose metric is one; in the table all scores are shares
HEAD = """# The board

**{finding}**

One fixed suite for every pretrained folder. A row is one command, `python
scripts/board.py FOLDER`, with the data in the folder that TINYALBERT_DATA names.

{about}
{quick}
"""
ABOUT = f"""- Products a token: the multiplications of the encoder for one token, forward, in sequences of
  {LENGTH}. They tell what a model costs to run; sharing layers saves parameters, not products.
  Pretraining: minutes on the machine that did it.
- Nats a word: the loss on about {WORDS:,} words of a text, in sequences of {LENGTH} tokens
  (`tinyalbert evaluate`). It compares across vocabularies.
- Zorro: of two sentences that differ in one point of grammar, the share of pairs in which the
  right one scores higher, a tie one half; {PAIRS} pairs of each of 23 sets. Guessing gets 0.5. The
  bag of words has the pieces' frequencies here.
- The rest after fine-tuning with the default settings, one seed: sentiment (SST-2), similarity
  (STS-B), kinds of questions (TREC), names in tweets (WNUT-17), answers in a text (XQuAD). From 0
  to 1, more is better.
- A blank was not measured."""
QUICK = """
**Made with --quick: a few rows and steps of each. The numbers say nothing.**
"""


def main(words=None):
    """The whole of it; returns the exit code."""
    args = _arguments(words)
    try:
        rows = scores(args)
        if has_sklearn() and args.data:
            rows += baselines(args)
        table = merged(args.table.with_suffix(".jsonl"), rows)
        written(args.table, table, args.quick)
    except UserError as problem:
        print(f"board.py: {problem}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on", file=sys.stderr)
        return 130
    print("\n".join(markdown(table)))
    print(f"\nwritten to {args.table.with_suffix('.md')}")
    return 0


def _arguments(words):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="pretrained folder")
    parser.add_argument("--name", help="of the row (default: the folder's)")
    parser.add_argument("--threads", type=int, help="replicas of the model (default: all cores)")
    parser.add_argument("--quick", action="store_true", help="a few steps and rows of each")
    parser.add_argument("--output", type=Path, default=Path("runs/board"), help="for the runs")
    parser.add_argument(
        "--table",
        type=Path,
        help="without an ending (default: lessons/experiments/board; with --quick OUTPUT/board)",
    )
    args = parser.parse_args(words)
    data = os.environ.get("TINYALBERT_DATA")
    args.data = Path(data) if data else None
    args.name = args.name or args.folder.resolve().name
    if args.table is None:
        args.table = args.output / "board" if args.quick else TABLE
    args.output = args.output / "".join(c if c.isalnum() else "_" for c in args.name)
    return args


# --- a row ----------------------------------------------------------------------------------------


def scores(args):
    """[the folder's row]: {"name", column: number}; says what is left out."""
    config = read_config(args.folder)
    model = AlbertForMaskedLM(config, seed=None)
    row = {
        "name": args.name,
        "parameters": model.num_parameters(),
        "products a token": products_per_token(config, LENGTH),
        **cost(args.folder),
    }
    given = {"folder": str(args.folder.resolve()), "quick": args.quick}
    threads = Threads(args.threads).n
    for text, place in TEXTS.items():
        source = found(args, place)
        if source:
            make = _loss_of(args, text, source, threads)
            row[LOSS.format(text)] = kept(args.output / text, given, make)["loss_per_word"]
            print(f"{args.name}: {text} {row[LOSS.format(text)]:.2f} nats a word", flush=True)
    zorro = found(args, "zorro")
    if zorro:
        told = kept(args.output / "zorro", given, lambda begun: judged(args, zorro, threads))
        row["Zorro"] = told["model"]
        print(f"{args.name}: Zorro {row['Zorro']:.3f}", flush=True)
        args.frequencies = told[FREQUENCIES]
    args.tasks = {}
    for column, (task, train, dev, metric) in TASKS.items():
        sources = sources_of(args, column, train, dev)
        if sources:
            result = finished(args.output / column, options(args, task, sources))
            args.tasks[column] = sources, result
            row[column] = result["metrics"][metric] / (100 if column in PER_CENT else 1)
            print(f"{args.name}: {column} {row[column]:.3f}", flush=True)
    return [row]


def cost(folder):
    """{"minutes", "tokens"} of the pretraining, from its log; {} without one."""
    if not (folder / "log.jsonl").is_file():
        print(f"{folder} has no log.jsonl; minutes and tokens are left blank")
        return {}
    lines = read_log(folder)["train"]
    seconds = sum(line["tokens"] / line["tokens_per_second"] for line in lines)
    return {"minutes": seconds / 60, "tokens": int(sum(line["tokens"] for line in lines))}


def found(args, place):
    """The file or folder of a place in the data; None, which is said, if it is missing."""
    if args.data and (args.data / place).exists():
        return args.data / place
    print(f"no {place} in {args.data or 'TINYALBERT_DATA, which is not set'}; left blank")
    return None


def _loss_of(args, text, source, threads):
    def say(line):
        print(f"{args.name}: {text}: {line}", flush=True)

    def make(begun):
        words = 200 if args.quick else WORDS
        return evaluate_text(args.folder, str(source), _length(args), words, threads, say=say)

    return make


def _length(args):
    return min(LENGTH, read_config(args.folder).max_position_embeddings)


def judged(args, zorro, threads):
    """{rule: share} of Zorro's pairs, "model" among the rules."""
    print(f"{args.name}: Zorro, which takes some minutes", flush=True)
    tokenizer = AlbertTokenizer.from_pretrained(args.folder)
    model = AlbertForMaskedLM.from_pretrained(args.folder)
    sets = read_sets(zorro, 2 if args.quick else PAIRS)
    last = judge(model, tokenizer, sets[:3] if args.quick else sets, threads=threads)[-1]
    return {name: last[name] for name in ("model", FREQUENCIES)}


def options(args, task, sources):
    """The options of a fine-tuning."""
    given = {"task": task, "train": str(sources[0]), "dev": str(sources[1])}
    given |= {"model": str(args.folder), "seed": 0}
    if args.quick:
        given |= {"steps": 2, "batch_size": 4, "max_length": 96}
    if args.threads:
        given["threads"] = args.threads
    return given


def sources_of(args, column, train, dev):
    """(train, dev) as files; None if one is missing."""
    files = [found(args, place) for place in dict.fromkeys((train, dev))]
    if None in files:
        return None
    rows = 40 if args.quick else SST_ROWS
    if column == "SST-2":
        return some_rows(files[0], args.output / "data" / "sst2.tsv", rows), files[1]
    if column == "XQuAD":
        return split_articles(files[0], args.output / "data", 2 if args.quick else QA_ARTICLES)
    return tuple(files)


def some_rows(path, output, count):
    """A file with the header and `count` lines drawn with seed 0."""
    head, *lines = path.read_text(encoding="utf-8").splitlines()
    chosen = random.Random(0).sample(lines, min(count, len(lines)))
    with replacing(output) as file:
        file.write("\n".join([head, *chosen, ""]).encode())
    return output


def split_articles(path, folder, count):
    """(train, dev) files in SQuAD's form: so many articles, and the rest (at most 10)."""
    articles = json.loads(path.read_text(encoding="utf-8"))["data"]
    random.Random(0).shuffle(articles)
    outputs = []
    for name, part in (("train", articles[:count]), ("dev", articles[count : count + 10])):
        outputs.append(folder / f"xquad-{name}.json")
        with replacing(outputs[-1]) as file:
            file.write(json.dumps({"version": "1.1", "data": part}).encode())
    return tuple(outputs)


# --- the baselines --------------------------------------------------------------------------------


def baselines(args):
    """The rows of TF-IDF and of a bag of words, on the tasks that were run."""
    tfidf = {"name": "TF-IDF with a linear model"}
    bag = {"name": "bag of words with a linear model"}
    for column, (sources, result) in args.tasks.items():
        told = [v for name, v in result["baselines"].items() if name.startswith("TF-IDF")]
        if told:
            tfidf[column] = told[0]
        if column in ("SST-2", "STS-B", "TREC"):
            bag[column] = bag_of_words(TASKS[column][0], *sources)
    if hasattr(args, "frequencies"):
        bag["Zorro"] = args.frequencies
    return [tfidf, bag]


def bag_of_words(task, train, dev):
    """Accuracy, or Pearson, of which words occur and a linear model; the words of a pair apart."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression, Ridge

    from tinyalbert.options import make
    from tinyalbert.tasks.registry import find_task

    Task = find_task(task)
    reader = Task(make(Task.Settings, {}))
    parts = [reader.read(str(path), split) for path, split in ((train, "train"), (dev, "dev"))]
    texts = [[" ".join(marked(row)) for row in part] for part in parts]
    labels = [[row.label for row in part] for part in parts]
    counter = CountVectorizer(binary=True, token_pattern=r"\S+")
    seen, unseen = counter.fit_transform(texts[0]), counter.transform(texts[1])
    if task == "stsb":
        said = Ridge(solver="lsqr").fit(seen, np.array(labels[0], float)).predict(unseen)
        return float(np.corrcoef(said, np.array(labels[1], float))[0, 1])
    said = LogisticRegression(max_iter=1000).fit(seen, labels[0]).predict(unseen)
    return float(np.mean(said == np.array(labels[1])))


def marked(row):
    """The words of a row in small letters, those of its second text marked."""
    yield from row.text.lower().split()
    for word in (row.pair or "").lower().split():
        yield f"2:{word}"


# --- the board ------------------------------------------------------------------------------------


def merged(path, rows):
    """All rows of the board, the new ones in place of those of the same name; written."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    table = {row["name"]: row for row in map(json.loads, lines)}
    table |= {row["name"]: row for row in rows}
    with replacing(path) as file:
        file.write("".join(json.dumps(row) + "\n" for row in table.values()).encode())
    return list(table.values())


def markdown(table):
    """The board's lines."""
    there = [name for name in COLUMNS if any(name in row for row in table)]
    titles = ["", *(COLUMNS[name][0] for name in there)]
    lines = [f"| {' | '.join(titles)} |", "|---" + "|---:" * len(there) + "|"]
    for row in table:
        cells = [cell(name, row[name]) if name in row else "" for name in there]
        lines.append(f"| {' | '.join([row['name'], *cells])} |")
    return lines


def cell(name, value):
    """A number of the table as it is written."""
    return COLUMNS[name][1].format(value / 1e6 if name in MILLIONS else value)


def compared(rows):
    """(rows with tasks, the tasks that all of them have)."""
    scored = [row for row in rows if any(column in row for column in TASKS)]
    return scored, [column for column in TASKS if all(column in row for row in scored)]


def finding(rows):
    """Which row is best, in a sentence."""
    scored, columns = compared(rows)
    if not columns:
        return "No task was measured for all rows yet."
    best = max(scored, key=lambda row: quality(row, columns))
    return (
        f"Best by the mean of {', '.join(columns)}: {best['name']}, {quality(best, columns):.3f}."
    )


def quality(row, columns):
    """The mean of the tasks' scores."""
    return float(np.mean([row[column] for column in columns]))


def written(table, rows, quick=False):
    """The board as a page and as a picture."""
    picture = ""
    try:
        draw(table.with_suffix(".png"), rows)
        picture = f"\n\n![Quality against cost]({table.name}.png)"
    except UserError as problem:  # matplotlib is an extra
        print(f"no picture: {problem}")
    head = HEAD.format(finding=finding(rows), about=ABOUT, quick=QUICK if quick else "")
    with replacing(table.with_suffix(".md")) as file:
        file.write((head + "\n".join(markdown(rows)) + picture + "\n").encode())


def draw(path, rows):
    """The mean of the tasks that all rows have, against the minutes of pretraining.

    Rows without minutes are lines across.  The names stand in the right margin.
    """
    scored, columns = compared(rows)
    if not columns:
        raise UserError("no task was measured for all rows")
    figure = _figure(8.5, max(4.6, 0.2 * len(scored)))
    ax = figure.subplots()
    values = [quality(row, columns) for row in scored]
    for row, value in zip(scored, values):
        if row.get("minutes"):
            ax.plot(row["minutes"], value, "o", color="0", ms=6)
        else:
            ax.axhline(value, color=MIDDLE, lw=1, ls="--")
    _minutes_axis(ax, [row["minutes"] for row in scored if row.get("minutes")])
    ax.margins(y=0.08)
    right_end = ax.get_xlim()[1]
    low, high = ax.get_ylim()
    places = spread_out(values, (high - low) / max(24, len(scored) + 2))
    for row, value, place in zip(scored, values, places):
        begin = (row.get("minutes") or right_end, value)
        line = dict(arrowstyle="-", color=LIGHT, lw=0.6, shrinkA=0, shrinkB=0)
        ax.annotate(
            f"{row['name']}, {value:.3f}",
            begin,
            xytext=(1.03, place),
            textcoords=("axes fraction", "data"),
            fontsize=8,
            va="center",
            arrowprops=line,
            annotation_clip=False,
        )
    ax.set_ylabel(f"mean of {', '.join(columns)}")
    ax.set_title("\n".join(textwrap.wrap(finding(rows), 90)), fontsize=11, loc="left")
    return _save(figure, path)


def _minutes_axis(ax, minutes):
    """Minutes from the shortest to the longest pretraining, in steps that double."""
    ax.set_xlabel("minutes of pretraining; a dashed line had none, or did not write them down")
    if not minutes:
        ax.set_xticks([])
        return
    ax.set_xscale("log")
    first, last = min(minutes) / 2, 2 * max(minutes)
    ax.set_xlim(first, last)
    ticks = [m for m in MINUTES if first <= m <= last]
    ax.set_xticks(ticks, [f"{m:g}" for m in ticks])
    ax.minorticks_off()


def spread_out(values, gap):
    """Places near `values`, in their order, that lie at least `gap` apart."""
    order = np.argsort(values, kind="stable")
    places = np.array(values, float)
    for low, high in zip(order, order[1:]):  # upwards, then all down by half of what it took
        places[high] = max(places[high], places[low] + gap)
    return places - (places - values).mean()


if __name__ == "__main__":
    sys.exit(main())
