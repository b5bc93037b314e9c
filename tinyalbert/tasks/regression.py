"""Regression: a number for a text or a pair of texts, as in STS-B."""

import csv

import numpy as np

from ..errors import UserError
from ..files.checkpoint import changed
from .metrics import regression_metrics
from .texts import TextTask


class Regression(TextTask):
    """A prediction is a number."""

    name = "regression"
    metric = "pearson"

    def describe(self):
        return "numbers are to be predicted"

    def configure(self, config):
        return changed(config, num_labels=1, problem_type="regression")

    def restore(self, config):
        self.label = config.id2label[0]  # what transformers calls the only output

    def target(self, example):
        return np.float32(number(example))

    def decode(self, example, rows, outputs):
        """The mean of the windows' numbers."""
        return super().decode(example, rows, outputs)[0]

    def score(self, examples, predictions):
        gold = np.array([self.target(row) for row in examples])
        return regression_metrics(gold, predictions)

    def write(self, path, examples, predictions):
        """TSV: index, prediction."""
        with open(path, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter="\t", lineterminator="\n")
            writer.writerow(["index", "prediction"])
            writer.writerows([i, f"{value:.4f}"] for i, value in enumerate(predictions))

    def answer(self, prediction, top_k=1):
        """{"label", "score"}; there is only one, whatever `top_k` says."""
        return {"label": self.label, "score": float(prediction)}


def number(row):
    """The label of a row as a number that float32 holds; refuses any other."""
    try:
        value = float(row.label)
    except ValueError:
        value = float("nan")
    if not abs(value) < 1e38:  # also nan
        raise UserError(
            f"{row.where}: {row.label!r} is no number; regression needs one in each row"
        )
    return value
