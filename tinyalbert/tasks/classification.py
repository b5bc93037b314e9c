"""Classification: one of several labels for a text or a pair of texts."""

import csv
import re

import numpy as np

from .. import ops
from ..errors import UserError
from .metrics import (
    bag_of_words_baseline,
    classification_metrics,
    confusion_table,
    majority_baseline,
)
from .texts import TextTask


class Classification(TextTask):
    """A prediction is the logits (L,) of the labels."""

    name = "classification"
    metric = "accuracy"

    def __init__(self, settings=None, seed=0, say=lambda line: None, labels=None):
        super().__init__(settings, seed, say)
        self.labels = labels  # found out by `fit`

    def fit(self, examples):
        self.labels = label_names(examples)

    def describe(self):
        more = ", ..." if len(self.labels) > 20 else ""
        return f"labels {', '.join(self.labels[:20])}{more}"

    def configure(self, config):
        return config.with_labels(self.labels)

    def restore(self, config):
        self.labels = [config.id2label[i] for i in range(config.num_labels)]

    def target(self, example):
        return np.int32(label_id(example, self.labels))

    def score(self, examples, predictions):
        gold, said = self._ids(examples, predictions)
        return classification_metrics(gold, said, len(self.labels))

    def baselines(self, train, held_out):
        """The commonest label, and naive Bayes on the words without their order."""
        labels = encode_labels(train, self.labels)
        gold = encode_labels(held_out, self.labels)
        texts = [f"{row.text} {row.pair or ''}" for row in train]
        held = [f"{row.text} {row.pair or ''}" for row in held_out]
        said = bag_of_words_baseline(texts, labels, held, len(self.labels))
        return {
            "majority": majority_baseline(labels, gold),
            "bag of words": classification_metrics(gold, said, len(self.labels))["accuracy"],
        }

    def confusion(self, examples, predictions):
        gold, said = self._ids(examples, predictions)
        return format_confusion(gold, said, self.labels)

    def _ids(self, examples, predictions):
        """Right and predicted label ids (N,)."""
        return encode_labels(examples, self.labels), np.stack(predictions).argmax(axis=1)

    def write(self, path, examples, predictions):
        """TSV: index, prediction, then the probability of each label."""
        probabilities = softmax(np.stack(predictions))
        with open(path, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter="\t", lineterminator="\n")
            writer.writerow(["index", "prediction", *self.labels])
            for i, row in enumerate(probabilities):
                writer.writerow([i, self.labels[row.argmax()], *(f"{p:.4f}" for p in row)])

    def answer(self, prediction, top_k=1):
        """{"label", "score"}, or the best `top_k` of them in a list."""
        probabilities = softmax(prediction[None])[0]
        best = [
            {"label": self.labels[i], "score": float(probabilities[i])}
            for i in (-probabilities).argsort()[:top_k]
        ]
        return best[0] if top_k == 1 else best


def softmax(logits):
    """Probabilities (N, L) of logits, on the host."""
    return ops.softmax.raw(logits)[0]


def label_names(rows):
    """The labels in the order of their ids: sorted, as numbers if all of them are."""
    names = sorted({row.label for row in rows})
    if all(re.fullmatch(r"-?\d+", name) for name in names):
        names.sort(key=int)
    if len(names) < 2:
        raise UserError(
            f"every row has the label {names[0]!r}; a classifier needs at least two labels "
            "(for numbers to be predicted: --regression)"
        )
    return names


def label_id(row, names):
    """The id of a row's label; refuses one that is not among `names`."""
    if row.label not in names:
        raise UserError(
            f"{row.where}: the label {row.label!r} is unknown to this model; "
            f"it knows {', '.join(names)}"
        )
    return names.index(row.label)


def encode_labels(rows, names):
    """Label ids (N,) int32."""
    return np.array([label_id(row, names) for row in rows], dtype=np.int32)


def format_confusion(gold, predicted, names):
    """The confusion table as text: a row for each right label, a column for each predicted one."""
    table = confusion_table(gold, predicted, len(names))
    width = max(max(len(n) for n in names), len(str(table.max())), 5) + 2
    lines = ["right \\ predicted".ljust(max(18, width)) + "".join(n.rjust(width) for n in names)]
    lines += [
        n.ljust(max(18, width)) + "".join(str(c).rjust(width) for c in row)
        for n, row in zip(names, table)
    ]
    return "\n".join(lines)
