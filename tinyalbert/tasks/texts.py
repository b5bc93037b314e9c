"""Tasks on rows of a table: a text or a pair of texts, and what is to be predicted of it.

GLUE's single-sentence and sentence-pair tasks are of this kind (google-research/albert,
run_classifier.py).
"""

from dataclasses import replace

from ..errors import UserError
from ..heads import AlbertForSequenceClassification
from ..stories.tasks import story_rows
from .columns import LABELS
from .options import TableSettings
from .tables import Row, open_table
from .task import Task
from .text_files import STANDARD_INPUT, ending, is_file

TABLES = (".tsv", ".csv", ".json", ".jsonl", ".txt")


def story_texts(source, seed=0, split="train", kind="classification"):
    """Rows of a built-in task, `stories:TASK` or `stories:TASK:N`; 500 of them if N is left out."""
    return [
        Row(
            row.get("text", row.get("text_a")),
            row.get("text_b"),
            tuple(row["labels"]) if "labels" in row else str(row["label"]),
            f"{source}, row {i}",
        )
        for i, row in enumerate(story_rows(source, kind, seed, split), 1)
    ]


def is_text(source):
    """Whether a word of the command line is itself the text to be predicted, not a file's name."""
    return len(str(source).split()) > 1 and may_be_text(source)


def may_be_text(source):
    """Whether a word of the command line names no file; a text of one word may still be a typo."""
    source = str(source)
    if source == STANDARD_INPUT or source.startswith("stories:") or is_file(source):
        return False
    return not source.strip() or ending(source.split()[-1]) not in TABLES


class TextTask(Task):
    """Examples are tables.Row.  A subclass says what the label is: `target`, `score`, `write`.

    Of a text that is read in several windows, each is a row with the text's own label in training,
    and the prediction is the mean of the windows' logits.
    """

    pipeline = "text-classification"
    model_class = AlbertForSequenceClassification
    Settings = TableSettings
    label_columns = LABELS  # usual names
    stories = "classification"  # the kind of built-in rows
    empty_labels = False  # whether a row may have none

    def read(self, source, split):
        rows = self._rows(source, split)
        if split == "predict":
            return [replace(row, label=None, truth=row.label) for row in rows]
        labelled = []
        for row in rows:
            with self.bad_rows.skipping():
                labelled.append(replace(row, label=self.label(row)))
        return labelled

    def _rows(self, source, split):
        """The Rows of a source, with labels as they are written."""
        if str(source).startswith("stories:"):
            return story_texts(
                source, self.seed, "train" if split == "train" else "test", self.stories
            )
        if split == "predict" and is_text(source):
            return [Row(str(source), None, None, "the text")]
        table = open_table(
            source,
            self.settings,
            need_labels=split != "predict",
            labels=self.label_columns,
            empty_labels=self.empty_labels,
            bad_rows=self.bad_rows,
            say=self.say,
        )
        if split == "train":  # to be read alike by whoever uses the model
            self.settings = replace(self.settings, **table.layout)
        return table.rows

    def label(self, row):
        """The label of a Row as the task has it; refuses one that can't be one."""
        if not isinstance(row.label, tuple):
            return row.label
        if len(row.label) == 1:
            return row.label[0]
        raise UserError(
            f"{row.where}: {len(row.label)} labels, {list(row.label)}; expected one. For several "
            "labels of a text: tinyalbert finetune multi-label"
        )

    def encode(self, example, encoder):
        rows = self.read_by(encoder, example)
        if example.label is None:
            return rows
        target = self.target(example)
        return [{**row, "labels": target} for row in rows]

    def read_by(self, encoder, example):
        """Rows of an example without a label."""
        return encoder(example.text, example.pair, example.where)

    def target(self, example):
        """What the loss takes as the label of a Row: a NumPy number."""
        raise NotImplementedError

    def decode(self, example, rows, outputs):
        """The mean of the windows' logits (L,)."""
        return outputs.mean(axis=0)

    def columns_of(self, rows):
        """[{column: value}] of Rows as `evaluate` reads them back: index, texts, label if known."""
        settings = self.settings
        texts = settings.text_column or "text"
        pairs = settings.pair_column if settings.pair_column not in (None, "none") else "text_pair"
        labels = settings.label_column or "label"
        records = []
        for i, row in enumerate(rows):
            truth = row.label if row.label is not None else row.truth
            records.append(
                {
                    "index": i,
                    texts: row.text,
                    **({} if row.pair is None else {pairs: row.pair}),
                    **({} if truth is None else {labels: truth}),
                }
            )
        return records

    # --- for the pipeline, as transformers 4.57 ---------------------------------------------------

    def call(self, inputs, **options):
        """Which answers are one alone depends on what was passed: its type, None for a list."""
        single = type(inputs) if isinstance(inputs, (str, dict)) else None
        return ([inputs] if single else list(inputs)), single, options

    def collect(self, answers, single):
        """A single text's answer in a list, unless it is one (top_k); a single pair's as it is."""
        if single is None:
            return answers
        (answer,) = answers
        return answer if single is dict or isinstance(answer, list) else [answer]

    def example(self, given):
        """A text, or {"text", "text_pair"}."""
        if isinstance(given, str):
            return Row(given, None, None, "")
        return Row(given["text"], given.get("text_pair"), None, "")
