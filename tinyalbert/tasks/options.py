"""Options of fine-tuning, evaluation and prediction; a light import, for the command line."""

from dataclasses import dataclass

from ..options import (
    AMOUNT,
    COUNT,
    LENGTH,
    SHARE,
    WHOLE,
    OneOf,
    Options,
    device_option,
    option,
    output_option,
    precision_option,
    resume_option,
    seed_option,
    threads_option,
)
from ..text.rows import LONG

ROWS = "rows with a header (.tsv, .csv, .jsonl), or a built-in `stories:TASK[:N]`"


def _column(what):
    return option(None, f"column with {what}, if its name is unusual", metavar="NAME")


@dataclass(frozen=True, kw_only=True)
class FinetuneOptions(Options):
    """Everything that a fine-tuning run may be told."""

    task: str = option("classification", "name of a task, or FILE.py:CLASS", flag="")
    train: str = option(None, ROWS, flag="")
    model: str = option(None, "pretrained folder, whose tokenizer is used", metavar="FOLDER")
    output: str = output_option("folder for the fine-tuned model and its results")
    dev: str = option(None, "held-out rows (default: a tenth of the training rows)", metavar="ROWS")
    random_init: bool = option(False, "forget the weights, keep the size: the control")
    regression: bool = option(
        False, "the labels are numbers to be predicted (STS-B); short for the task regression"
    )
    epochs: float = option(3.0, "passes over the rows (default: 3)", check=AMOUNT)
    steps: int = option(None, "in place of --epochs", check=COUNT, free=True)
    batch_size: int = option(32, "rows a step", check=COUNT)
    lr: float = option(None, "peak learning rate (default: 5e-4, 1e-4 from H 512 on)", check=AMOUNT)
    warmup: float = option(0.1, "steps, or a share below 1", check=SHARE)
    max_length: int = option(128, "tokens a row", check=LENGTH)
    long: str = option(
        "truncate",
        "longer texts are cut, read in overlapping windows whose answers are averaged, or refused",
        check=OneOf(*LONG),
    )
    overlap: int = option(
        None, "tokens that neighbouring windows share (default: a quarter)", check=WHOLE
    )
    dropout: float = option(None, "of the encoder (default: the model's own)", check=SHARE)
    seed: int = seed_option()
    resume: bool = resume_option()
    text_column: str = _column("the text")
    pair_column: str = _column("a second text")
    label_column: str = _column("the label")
    device: str = device_option()
    threads: int = threads_option()
    precision: str = precision_option()


def _own_task():
    return option(None, "the task, if it is one of your own", metavar="FILE.py:CLASS")


def _length_as_trained():
    return option(None, "tokens a row (default: as it was fine-tuned)", check=LENGTH)


def _long_as_trained():
    help = "longer texts are cut, read in windows or refused (default: as it was fine-tuned)"
    return option(None, help, check=OneOf(*LONG))


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(Options):
    """What the evaluation of a fine-tuned folder may be told."""

    model: str = option(None, "fine-tuned folder", positional=True, required=True)
    table: str = option(None, ROWS, positional=True, required=True)
    task: str = _own_task()
    max_length: int = _length_as_trained()
    long: str = _long_as_trained()
    text_column: str = _column("the text")
    pair_column: str = _column("a second text")
    label_column: str = _column("the label")
    seed: int = seed_option("of built-in rows")
    device: str = device_option()
    threads: int = threads_option()


@dataclass(frozen=True, kw_only=True)
class PredictOptions(EvaluateOptions):
    """What predicting with a fine-tuned folder may be told."""

    output: str = output_option("file to write, for example a TSV of prediction and probabilities")


def columns(options):
    """The columns that are named, as tables.read_table takes them."""
    named = {
        "text_column": options.text_column,
        "pair_column": options.pair_column,
        "label_column": options.label_column,
    }
    return {column: name for column, name in named.items() if name}
