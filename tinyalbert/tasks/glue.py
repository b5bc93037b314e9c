"""GLUE (Wang et al. 2018): nine sets and a diagnostic one, as they are published and submitted.

A source is a set's folder, of which the file for training, evaluation or submission is taken, or
one of its files; any other source is read as the task classification reads it.  Labels are names
and mapped by name; each set has the metrics of the benchmark.  The diagnostic set, AX, is predicted
with a model of the task mnli.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import UserError
from ..files.writing import replacing
from ..text.folders import describe_read
from .classification import Classification
from .regression import Regression, number
from .tables import Row
from .text_files import ending, read_text

FILES = {  # of each split; a folder has some of them
    "train": ("train.tsv",),
    "test": ("dev.tsv", "dev_matched.tsv", "dev_mismatched.tsv"),
    "predict": ("test.tsv", "test_matched.tsv", "test_mismatched.tsv", "diagnostic.tsv"),
}
NAMED = ("text_column", "pair_column", "label_column", "columns")  # settings of other tables
PARTS = {"matched": "m", "mismatched": "mm"}  # of MNLI, and what a submission calls them


@dataclass(frozen=True)
class Published:
    """How a set is published: its name on the leaderboard, and the columns that matter.

    headless: the columns of files that come without a line of names.  incomplete: rows that lack
    columns are in the files, and left out of training and evaluation.
    """

    name: str
    text: str
    pair: str | None = None
    label: str = "label"
    headless: tuple = ()
    incomplete: bool = False


@dataclass
class Example(Row):
    """A row with its number in the file, and its part of the set, such as "matched"."""

    index: str = ""
    part: str = ""


def read_files(published, source, split, bad_rows, say):
    """The Examples of a folder or file; labels are left out if split is "predict"."""
    examples = []
    paths = _paths(source, split)
    if source.is_dir():
        say(describe_read(source, paths, []))
    for path in paths:
        examples += _read(published, path, split, bad_rows, say)
    return examples


def _paths(source, split):
    """The files of a split in a folder; a file itself."""
    if not source.is_dir():
        return [source]
    found = [source / name for name in FILES[split] if (source / name).is_file()]
    if not found:
        raise UserError(f"{source} has none of {', '.join(FILES[split])}; expected one, or a file")
    return found


def _read(published, path, split, bad_rows, say):
    """The Examples of one file."""
    lines = read_text(path, say=say, unix=True).split("\n")
    columns, first = _columns(published, lines[0].rstrip("\r").split("\t"))
    needed = [published.text, *([published.pair] if published.pair else [])]
    labelled = split != "predict"
    _check_columns(published, columns, needed, labelled, path)
    examples, left_out = [], 0
    for place, line in enumerate(lines[first:], first + 1):
        cells = line.rstrip("\r").split("\t")  # a quote is a quote
        if cells == [""]:
            continue
        if len(cells) < len(columns) and published.incomplete and labelled:
            left_out += 1
            continue
        with bad_rows.skipping():
            where = f"{path}, line {place}"
            if len(cells) != len(columns):
                raise UserError(
                    f"{where}: {len(cells)} columns; expected {len(columns)} ({', '.join(columns)})"
                )
            row = dict(zip(columns, cells))
            index = row.get("index", row.get("id", str(place - first - 1)))
            texts = [row[name].strip() for name in needed]
            known = row[published.label].strip() if published.label in row else None
            label, truth = (known, None) if labelled else (None, known)
            pair = texts[1] if published.pair else None
            examples.append(Example(texts[0], pair, label, where, index, _part(path), truth=truth))
    if left_out:
        say(f"{path}: {left_out:,} rows lack columns and were left out")
    return examples


def _columns(published, names):
    """(names of the columns, number of the first line below them)."""
    if published.headless and published.text not in names:
        return list(published.headless), 0
    return names, 1


def _check_columns(published, columns, needed, labelled, path):
    """Refuse another file, and a test set whose labels are asked for."""
    lacks = [name for name in needed if name not in columns]
    if lacks:
        raise UserError(
            f"{path} has no column {lacks[0]!r}; it has {', '.join(columns)}. Expected a file of "
            f"{published.name} as GLUE publishes it"
        )
    if labelled and published.label not in columns:
        raise UserError(
            f"{path} has no labels (no column {published.label!r}): a test set can't be scored "
            "here. Write a submission: tinyalbert predict; or score the file for evaluation, dev"
        )


def _part(path):
    """The part of MNLI that a file is named for; "" without."""
    return next((part for part in ("mismatched", "matched") if part in path.stem), "")


class Glue:
    """What the tasks of GLUE have in common, over Classification or Regression."""

    published = None
    metrics = ("accuracy",)  # of the benchmark; the first picks the best checkpoint

    def read(self, source, split):
        path = Path(source)
        named = [getattr(self.settings, name) for name in NAMED]
        if any(named) or not (path.is_dir() or ending(path) == ".tsv"):
            examples = super().read(source, split)
        else:
            examples = read_files(self.published, path, split, self.bad_rows, self.say)
        if split == "predict":
            return examples
        kept = []
        for example in examples:
            with self.bad_rows.skipping():
                self.check_label(example)
                kept.append(example)
        return kept

    def held_out(self, source):
        """The folder of a set, if there is a file for evaluation in it."""
        folder = Path(source)
        return source if any((folder / name).is_file() for name in FILES["test"]) else None

    def check_label(self, example):
        """Refuse a label that the set does not have."""
        raise NotImplementedError

    def score(self, examples, predictions):
        """The metrics of the benchmark, for all rows; for MNLI also for each part that is there."""
        scores = self._scores(examples, predictions)
        parts = [getattr(example, "part", "") for example in examples]
        for part in dict.fromkeys(parts) if len(set(parts)) > 1 else ():
            places = [i for i, each in enumerate(parts) if each == part]
            of_part = self._scores([examples[i] for i in places], [predictions[i] for i in places])
            scores |= {f"{name}_{part}": value for name, value in of_part.items()}
        return scores

    def _scores(self, examples, predictions):
        scores = super().score(examples, predictions)
        return {name: scores[name] for name in self.metrics}

    def write(self, path, examples, predictions):
        """A submission: TSV of index and prediction, one line for each row of the file.

        If examples are of several parts, there is a file for each: X.tsv is X-m.tsv and X-mm.tsv.
        """
        path = Path(path)
        if ending(path) in (".csv", ".jsonl"):  # to be read, and read back by `evaluate`
            super().write(path, examples, predictions)
            return
        parts = list(dict.fromkeys(getattr(example, "part", "") for example in examples))
        for part in parts:
            suffix = f"-{PARTS.get(part, part)}" if len(parts) > 1 else ""
            with replacing(path.with_stem(path.stem + suffix), text=True) as file:
                writer = csv.writer(file, delimiter="\t", lineterminator="\n")
                writer.writerow(["index", "prediction"])
                for i, (example, said) in enumerate(zip(examples, predictions)):
                    if getattr(example, "part", "") == part:
                        writer.writerow([getattr(example, "index", i), self.submitted(said)])

    def submitted(self, prediction):
        """A prediction as the server takes it."""
        raise NotImplementedError


class GlueClassification(Glue, Classification):
    """A set with labels, which are known beforehand, in the order of google-research/albert."""

    names = ("0", "1")

    def __init__(self, settings=None, seed=0, say=lambda line: None):
        super().__init__(settings, seed, say, list(self.names))

    def fit(self, examples):
        super().fit(examples)
        self.labels, self.metric = list(self.names), type(self).metric  # also of labels not seen

    def check_label(self, example):
        if example.label not in self.names:
            raise UserError(
                f"{example.where}: the label {example.label!r}; expected one of "
                f"{', '.join(self.names)}"
            )

    def submitted(self, prediction):
        return self.labels[int(np.argmax(prediction))]


def _paper(lr, batch_size, steps, warmup, dropout=0.0):
    """Recipes of a set; the paper's are those of its Table 14."""
    values = {"lr": lr, "batch_size": batch_size, "steps": steps, "warmup": warmup}
    return {"laptop": {}, "paper": {**values, "dropout": dropout, "max_length": 512}}


class Cola(GlueClassification):
    """Is a sentence English?  Files for training and evaluation have no header."""

    name = "cola"
    published = Published("CoLA", "sentence", headless=("source", "label", "author", "sentence"))
    metrics = ("matthews_corrcoef", "accuracy")
    metric = "matthews_corrcoef"
    recipes = _paper(1e-5, 16, 5336, 320)


class Sst2(GlueClassification):
    """Is a sentence of a film review good or bad?"""

    name = "sst2"
    published = Published("SST-2", "sentence")
    recipes = _paper(1e-5, 32, 20935, 1256)


class Mrpc(GlueClassification):
    """Do two sentences of the news say the same?"""

    name = "mrpc"
    published = Published("MRPC", "#1 String", "#2 String", "Quality")
    metrics = ("accuracy", "f1")
    recipes = _paper(2e-5, 32, 800, 200)


class Stsb(Glue, Regression):
    """How similar are two sentences, from 0 to 5?"""

    name = "stsb"
    published = Published("STS-B", "sentence1", "sentence2", "score")
    metrics = ("pearson", "spearman")
    recipes = _paper(2e-5, 16, 3598, 214)

    def check_label(self, example):
        number(example)

    def submitted(self, prediction):
        return f"{min(max(float(prediction), 0.0), 5.0):.3f}"


class Qqp(GlueClassification):
    """Do two questions ask the same?  Some rows lack columns."""

    name = "qqp"
    published = Published("QQP", "question1", "question2", "is_duplicate", incomplete=True)
    metrics = ("accuracy", "f1")
    recipes = _paper(5e-5, 128, 14000, 1000, 0.1)


class Mnli(GlueClassification):
    """Does the second sentence follow from the first?

    Evaluated on the genres of the training rows ("matched") and on others ("mismatched").
    """

    name = "mnli"
    published = Published("MNLI", "sentence1", "sentence2", "gold_label")
    names = ("contradiction", "entailment", "neutral")
    recipes = _paper(3e-5, 128, 10000, 1000)


class Qnli(GlueClassification):
    """Does a sentence answer a question?"""

    name = "qnli"
    published = Published("QNLI", "question", "sentence")
    names = ("entailment", "not_entailment")
    recipes = _paper(1e-5, 32, 33112, 1986)


class Rte(GlueClassification):
    """Does the second sentence follow from the first?"""

    name = "rte"
    published = Published("RTE", "sentence1", "sentence2")
    names = ("entailment", "not_entailment")
    recipes = _paper(3e-5, 32, 800, 200, 0.1)


class Wnli(GlueClassification):
    """Does the second sentence say what a pronoun of the first stands for?"""

    name = "wnli"
    published = Published("WNLI", "sentence1", "sentence2")
    recipes = _paper(2e-5, 16, 2000, 250, 0.1)
