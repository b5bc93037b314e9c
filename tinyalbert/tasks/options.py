"""Options of fine-tuning, evaluation and prediction; a light import, for the command line."""

import codecs
from dataclasses import dataclass, fields, make_dataclass

from ..errors import UserError
from ..options import (
    AMOUNT,
    COUNT,
    LENGTH,
    SHARE,
    WHOLE,
    WORDS,
    Check,
    Many,
    Number,
    OneOf,
    Options,
    device_option,
    make,
    no_graphs_option,
    option,
    output_option,
    precision_option,
    resume_option,
    seed_option,
    threads_option,
)
from ..text.rows import LONG
from .columns import DELIMITERS, usual_names

RECIPES = ("laptop", "paper")
STANDARD_OUTPUT = "-"
ROWS = "a table, JSON, a folder for each label, or a built-in `stories:TASK[:N]`"


def options_of(Task, Class):
    """The options of a command (Class) for a task: those of every task, and the task's settings."""
    if Task.Settings is TaskSettings and issubclass(Class, TaskSettings):
        return Class
    name = f"{Task.__name__}{Class.__name__}"
    return make_dataclass(name, [], bases=(Task.Settings, Class), frozen=True, kw_only=True)


@dataclass(frozen=True, kw_only=True)
class TaskSettings(Options):
    """What a task may be told about reading, encoding and answering; kept with the model.

    A task with more settings derives its `Settings` from this class.  They become options of
    `finetune`, `evaluate` and `predict`, and arguments of its pipeline.
    """

    skip_bad_rows: bool = option(
        False, "leave out rows that can't be used; they are counted and listed", free=True
    )


def kept_settings(settings):
    """{name: value} of a task's settings that are kept with its model: those that matter to it."""
    return {
        each.name: getattr(settings, each.name)
        for each in fields(settings)
        if not each.metadata["about"].free and getattr(settings, each.name) != each.default
    }


def saved_settings(Task, config, where):
    """{name: value} that `kept_settings` put into a model's config; a malformed one is refused."""
    values = config.extra.get("task_settings", {})
    if not isinstance(values, dict):
        raise UserError(f"{where}: task_settings is {values!r}; expected names and values")
    make(Task.Settings, values, where=f"{where}, task_settings")
    return values


class Delimiter(Check):
    """One character, or its name."""

    expected = f"one character, or {', '.join(DELIMITERS)}"

    def accept(self, value):
        value = DELIMITERS.get(value, "\t" if value == "\\t" else value)
        if not isinstance(value, str) or len(value) != 1 or value in '"\r\n':
            raise ValueError(value)
        return value


class Encoding(Check):
    """An encoding of text that Python knows."""

    expected = "an encoding such as utf-8, latin-1, cp1252 or utf-16"

    def accept(self, value):
        try:
            return codecs.lookup(value).name
        except LookupError:
            raise ValueError(value) from None


def encoding_option():
    """How files of text are encoded."""
    help = "of files that are not UTF-8 (default: found out, or asked for)"
    return option(None, help, check=Encoding(), metavar="NAME")


def _column(what, usual):
    names = usual_names(usual)
    return option(None, f"column with {what}, if it is none of: {names}", metavar="NAME")


@dataclass(frozen=True, kw_only=True)
class TableSettings(TaskSettings):
    """How a table is read, where it can't be told by looking at it."""

    text_column: str = _column("the text", "text")
    pair_column: str = _column("a second text ('none': there is none)", "pair")
    label_column: str = _column("the label", "label")
    columns: str = option(
        None,
        "the columns of a file without a header in their order, for example label,text; _ is not "
        "read",
        metavar="NAMES",
    )
    delimiter: str = option(
        None, "what separates columns (default: found out)", check=Delimiter(), metavar="CHARACTER"
    )
    encoding: str = encoding_option()


@dataclass(frozen=True, kw_only=True)
class FinetuneOptions(Options):
    """Everything that a fine-tuning run may be told."""

    task: str = option("classification", "name of a task, or FILE.py:CLASS", flag="")
    train: str = option(None, ROWS, flag="")
    model: str = option(None, "pretrained folder, whose tokenizer is used", metavar="FOLDER")
    output: str = output_option("folder for the fine-tuned model and its results")
    dev: str = option(None, "held-out rows (default: a tenth of the training rows)", metavar="ROWS")
    recipe: str = option(
        "laptop",
        "values for what is not given: for small models, or the paper's",
        check=OneOf(*RECIPES),
    )
    keep_head: bool = option(
        False, "keep the head of the model's earlier task; else it starts anew"
    )
    random_init: bool = option(False, "forget the weights, keep the size: the control")
    control: str = option(
        None,
        "folder of the same run with --random-init, whose score is printed beside",
        metavar="FOLDER",
        free=True,
    )
    regression: bool = option(
        False, "the labels are numbers to be predicted (STS-B); short for the task regression"
    )
    epochs: float = option(
        None,
        "passes over the rows (default: 3, more of few rows: 1,500 steps or 20 passes)",
        check=AMOUNT,
        group="duration",
    )
    steps: int = option(
        None, "batches, in place of --epochs", check=COUNT, group="duration", free=True
    )
    minutes: float = option(
        None, "about how long, in place of --epochs", check=AMOUNT, group="duration"
    )
    batch_size: int = option(32, "rows a step", check=COUNT)
    metric: str = option(
        None, "of those that evaluation prints: its best value picks the kept model", metavar="NAME"
    )
    average: int = option(
        1, "judge and keep the mean of the weights at so many last evaluations", check=COUNT
    )
    patience: int = option(
        None,
        "end after so many evaluations in a row without a better one (default: train to the end)",
        check=COUNT,
        free=True,
    )
    lr: float = option(
        None, "peak learning rate (default: by the encoder's width)", check=AMOUNT, free=True
    )
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
    dropout: float = option(
        None, "of the encoder (default: the model's own)", check=Number(float, 0, most=0.9)
    )
    seed: int = seed_option()
    resume: bool = resume_option()
    device: str = device_option()
    threads: int = threads_option()
    precision: str = precision_option()
    no_graphs: bool = no_graphs_option()


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

    model: str = option(None, "fine-tuned or pretrained folder", positional=True, required=True)
    table: str = option(
        None, f"{ROWS}; for a pretrained folder, text", positional=True, required=True
    )
    task: str = _own_task()
    max_length: int = _length_as_trained()
    long: str = _long_as_trained()
    seed: int = seed_option("of built-in rows")
    device: str = device_option()
    precision: str = precision_option()
    threads: int = threads_option()


def _written_to(default, help):
    return option(default, help, metavar="FILE")


def _json_lines():
    return option(False, "JSON lines, whatever the ending of --output")


@dataclass(frozen=True, kw_only=True)
class PredictOptions(EvaluateOptions):
    """What predicting with a fine-tuned folder may be told."""

    table: str = option(
        None,
        f"{ROWS}; also plain lines, one text, or - for the standard input",
        positional=True,
        required=True,
    )
    output: str = _written_to(
        "-",
        "file to write: .tsv, .csv, .jsonl, or what the task has besides (default: - for the "
        "standard output)",
    )
    json: bool = _json_lines()


@dataclass(frozen=True, kw_only=True)
class EmbedOptions(PredictOptions):
    """What embedding the texts of a file may be told."""

    task: str = option("embedding", flag="")
    table: str = option(
        None,
        "a text a line, a table (.tsv, .csv, .jsonl), or - for the standard input",
        positional=True,
        required=True,
    )
    output: str = _written_to(
        "-",
        "file to write: .npy for an array (N, H), .tsv, .csv or .jsonl (default: - for the "
        "standard output)",
    )


@dataclass(frozen=True, kw_only=True)
class JudgeOptions(Options):
    """What judging a pretrained folder by minimal pairs may be told."""

    model: str = option(None, "pretrained folder", positional=True, required=True)
    pairs: tuple = option(
        None,
        "files or folders of pairs: .txt with a bad line and then the good one (Zorro), .jsonl "
        "with sentence_good and sentence_bad (BLiMP), .tsv with columns good and bad",
        check=Many(WORDS),
        positional=True,
        required=True,
    )
    first: int = option(None, "so many pairs of each file (default: all)", check=COUNT)
    data: str = option(
        None,
        "prepared folder of the corpus, for the frequencies of neighbouring pieces (default: the "
        "run's own, MODEL/data, if it is there)",
    )
    encoding: str = option("utf-8", "of the files")
    output: str = option(None, "file to write as well: .tsv or .jsonl", metavar="FILE")
    batch_size: int = option(256, "rows at once", check=COUNT)
    threads: int = threads_option()


@dataclass(frozen=True, kw_only=True)
class TextsOptions(TableSettings):
    """What a command that asks a pretrained model about texts may be told."""

    model: str = option(None, "pretrained folder", positional=True, required=True)
    text: tuple = option(
        None,
        "texts; files with one a line; tables or JSON with a column of them; - for the standard "
        "input",
        check=Many(WORDS),
        positional=True,
        required=True,
    )
    pair_column: str = option("none", flag="")
    label_column: str = option(None, flag="")
    output: str = _written_to(
        None, "table to write: .tsv, .csv or .jsonl; - is the standard output (default: to be read)"
    )
    json: bool = option(False, "JSON lines, whatever the ending of --output")
    device: str = device_option()


@dataclass(frozen=True, kw_only=True)
class FillMaskOptions(TextsOptions):
    """What filling masks may be told."""

    top_k: int = option(5, "answers for each mask", check=COUNT)
    targets: tuple = option(None, "only these words", check=Many(WORDS))


@dataclass(frozen=True, kw_only=True)
class ScoreOptions(TextsOptions):
    """What scoring sentences may be told."""

    whole_words: bool = option(
        False,
        "mask the rest of a word with each of its pieces, so that long words score fairly",
    )
    batch_size: int = option(64, "rows at once", check=COUNT)


@dataclass(frozen=True, kw_only=True)
class SentenceOrderOptions(TextsOptions):
    """What reading the order of sentences may be told."""

    pair_column: str = _column("the sentence behind the text ('none': there is none)", "pair")


@dataclass(frozen=True, kw_only=True)
class ZeroShotOptions(TextsOptions):
    """What zero-shot classification may be told."""

    model: str = option(
        None, "folder of a model with a label named entailment", positional=True, required=True
    )
    labels: str = option(None, "with commas between", required=True)
    template: str = option("This example is {}.", "the hypothesis, with {} for the label")
    multi_label: bool = option(False, "several labels may be true: ask each by itself")


@dataclass(frozen=True, kw_only=True)
class _Searched(Options):
    """What is searched, which is told before what is looked for."""

    model: str = option(
        None, "folder fine-tuned for embedding, or pretrained", positional=True, required=True
    )
    documents: str = option(
        None, "folder of texts, or one text", positional=True, required=True, metavar="TEXTS"
    )


@dataclass(frozen=True, kw_only=True)
class SearchOptions(TextsOptions, _Searched):
    """What searching a folder of texts may be told."""

    text: tuple = option(
        (STANDARD_OUTPUT,),
        "what to look for; files or tables of it (default: - for the standard input)",
        check=Many(WORDS),
        positional=True,
        metavar="QUERY",
    )
    top_k: int = option(5, "paragraphs to show", check=COUNT)
    max_length: int = _length_as_trained()
    long: str = option("windows", "what becomes of longer paragraphs", check=OneOf(*LONG))
    threads: int = threads_option()
    precision: str = precision_option()


@dataclass(frozen=True, kw_only=True)
class AskOptions(TextsOptions):
    """What asking a folder of texts may be told."""

    model: str = option(
        None, "folder fine-tuned for squad or squad2", positional=True, required=True
    )
    text: tuple = option(
        ("-",),
        "questions; files or tables of them (default: - for the standard input)",
        check=Many(WORDS),
        positional=True,
        metavar="QUESTION",
    )
    documents: str = option(
        None, "the texts: .txt files, or one file", required=True, metavar="FOLDER"
    )
    top_k: int = option(3, "answers to print", check=COUNT)
    paragraphs: int = option(20, "to be read for a question", check=COUNT)
    threads: int = threads_option()
