"""Tasks on rows of a table: a text or a pair of texts, and what is to be predicted of it.

GLUE's single-sentence and sentence-pair tasks are of this kind (google-research/albert,
run_classifier.py).
"""

import dataclasses

from ..heads import AlbertForSequenceClassification
from ..stories.tasks import story_rows
from .options import TableSettings
from .tables import Row, read_table
from .task import Task


def read_rows(source, seed=0, split="train", **columns):
    """Rows of a file or of a built-in task.

    A built-in task is `stories:TASK` or `stories:TASK:N` (N rows, 500 if left out).
    """
    if not str(source).startswith("stories:"):
        return read_table(source, **columns)
    rows = story_rows(source, "classification", seed, split)
    return [
        Row(r.get("text", r.get("text_a")), r.get("text_b"), str(r["label"]), f"{source}, row {i}")
        for i, r in enumerate(rows, 1)
    ]


class TextTask(Task):
    """Examples are tables.Row.  A subclass says what the label is: `target`, `score`, `write`.

    Of a text that is read in several windows, each is a row with the text's own label in training,
    and the prediction is the mean of the windows' logits.
    """

    pipeline = "text-classification"
    model_class = AlbertForSequenceClassification
    Settings = TableSettings

    def columns(self):
        """The columns that are named, as read_table takes them."""
        names = ("text_column", "pair_column", "label_column")
        return {name: getattr(self.settings, name) for name in names}

    def read(self, source, split):
        if split != "predict":
            return read_rows(source, self.seed, split, say=self.say, **self.columns())
        rows = read_rows(source, self.seed, "test", need_labels=False, **self.columns())
        return [dataclasses.replace(row, label=None) for row in rows]

    def encode(self, example, encoder):
        rows = encoder(example.text, example.pair, example.where)
        if example.label is None:
            return rows
        target = self.target(example)
        return [{**row, "labels": target} for row in rows]

    def target(self, example):
        """What the loss takes as the label of a Row: a NumPy number."""
        raise NotImplementedError

    def decode(self, example, rows, outputs):
        """The mean of the windows' logits (L,)."""
        return outputs.mean(axis=0)

    def example(self, given):
        """A text, or {"text", "text_pair"}."""
        if isinstance(given, str):
            return Row(given, None, None, "")
        return Row(given["text"], given.get("text_pair"), None, "")
