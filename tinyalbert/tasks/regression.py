"""Regression: a number for a text or a pair of texts, as in STS-B."""

from dataclasses import replace

import numpy as np

from ..errors import UserError
from ..files.checkpoint import changed
from .baselines import has_sklearn, said_by_ridge_regression
from .columns import NUMBERS
from .metrics import regression_metrics
from .tables import write_table
from .texts import TextTask


class Regression(TextTask):
    """A prediction is a number."""

    name = "regression"
    metric = "pearson"
    label_columns = NUMBERS

    def label(self, row):
        label = super().label(row)
        number(replace(row, label=label))
        return label

    def fit(self, examples):
        self.mean = np.mean([self.target(row) for row in examples])

    def start_head(self, network):
        """The mean of the rows' numbers, which all texts would first learn to give."""
        network.classifier.bias.data[...] = self.mean

    def describe(self):
        return "numbers are to be predicted"

    def configure(self, config):
        return changed(config, num_labels=1, problem_type="regression")

    def restore(self, config):
        self.output = config.id2label[0]  # what transformers calls the only output
        # an only output that is not said to be a number is a probability to transformers' pipeline
        self.squashed = config.problem_type is None

    def target(self, example):
        return np.float32(number(example))

    def decode(self, example, rows, outputs):
        """The mean of the windows' numbers."""
        return super().decode(example, rows, outputs)[0]

    def score(self, examples, predictions):
        gold = np.array([self.target(row) for row in examples])
        return regression_metrics(gold, predictions)

    def baselines(self, train, held_out):
        """Ridge regression on TF-IDF, if scikit-learn is there."""
        if not has_sklearn():
            self.say("a baseline needs scikit-learn: pip install 'tinyalbert[baselines]'")
            return {}
        said = said_by_ridge_regression(train, [self.target(row) for row in train], held_out)
        return {"TF-IDF + ridge regression": self.score(held_out, said)[self.metric]}

    def confusion(self, examples, predictions):
        """A remark, if all predictions are alike."""
        spread = np.std(predictions)
        if len(examples) < 2 or spread > 1e-3 * np.std([self.target(row) for row in examples]):
            return None
        return (
            f"every prediction is about {np.mean(predictions):.4f}: the model tells nothing apart"
        )

    def write(self, path, examples, predictions):
        """A table: index, prediction, texts, label if it is known; `evaluate` reads it back."""
        records = self.columns_of(examples)
        for i, (record, value) in enumerate(zip(records, predictions)):
            index = record.pop("index")
            records[i] = {"index": index, "prediction": round(float(value), 4), **record}
        write_table(path, records)

    def answer(self, prediction, top_k="", function_to_apply=None):
        """{"label", "score"}; with top_k in a list.

        function_to_apply: "sigmoid" or "none", in place of what transformers applies.
        """
        squash = function_to_apply == "sigmoid" or (function_to_apply is None and self.squashed)
        score = 1 / (1 + np.exp(-prediction)) if squash else prediction
        answer = {"label": self.output, "score": float(score)}
        return answer if top_k == "" else [answer]


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
