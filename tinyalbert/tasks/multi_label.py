"""Multi-label classification: every label that fits a text or a pair of texts.

The labels of a row stand in one cell, in a JSON list, or as several `__label__` of fastText.
"""

import json
from dataclasses import dataclass

import numpy as np

from ..errors import UserError
from ..files.checkpoint import changed
from ..options import WORDS, Number, option
from ..strict_json import JSONDecodeError, loads
from .baselines import has_sklearn, said_by_logistic_regression
from .classification import Classification, LabelSettings, sigmoid
from .metrics import decisions_table, multi_label_metrics
from .options import TableSettings
from .report import label_report, some
from .text_files import ending

PROBABILITY = Number(float, 0)


@dataclass(frozen=True, kw_only=True)
class MultiLabelSettings(TableSettings, LabelSettings):
    """Settings of multi-label classification."""

    threshold: float = option(
        0.5, "labels of a higher probability are predicted", check=PROBABILITY
    )
    label_separator: str = option(
        ",", "what stands between the labels in a cell", check=WORDS, metavar="TEXT"
    )


class MultiLabel(Classification):
    """A prediction is the logits (L,) of the labels, each of which fits or does not."""

    name = "multi-label"
    metric = "micro_f1"
    Settings = MultiLabelSettings
    stories = "several"
    empty_labels = True
    share = None  # of the training rows, that have each label
    lists = False  # whether several labels are written as a list

    def label(self, row):
        """The labels of a Row, a tuple without repetition; there may be none."""
        labels = row.label or ""
        if not isinstance(labels, tuple):
            labels = _listed(labels) or labels.split(self.settings.label_separator)
        labels = (self.spelling(label.strip()) for label in labels if label.strip())
        return tuple(dict.fromkeys(labels))

    def kinds(self, example):
        return example.label

    def fit(self, examples):
        self.labels = sorted({label for row in examples for label in row.label})
        if len(self.labels) < 2:
            raise UserError(
                f"the rows have {len(self.labels)} different labels ({some(self.labels)}); "
                "expected at least two. Is it the right column (--label-column), and what stands "
                "between labels (--label-separator)?"
            )

        share = np.mean([self.target(row) for row in examples], axis=0)
        least = 0.5 / len(examples)
        self.share = np.clip(share, least, 1 - least)  # of the rows, that have each label

    def start_head(self, network):
        """Each label as likely as it is among the rows (Lin et al. 2017, §3.3).

        From zeros, the head first has to learn that most labels don't fit; the pooled vectors
        become alike on the way, and a small model does not come back from there.
        """
        even = self.settings.class_weights == "balanced"
        network.classifier.bias.data[...] = 0.0 if even else self.logits(self.share)

    def configure(self, config):
        return changed(config.with_labels(self.labels), problem_type="multi_label_classification")

    def target(self, example):
        """(L,) 1 for each label that the row has, else 0."""
        return np.array([label in example.label for label in self.labels], dtype=np.float32)

    def encode(self, example, encoder):
        """If labels are to be balanced, with a weight for each: the rows that have it weigh half of
        all, however few they are.
        """
        rows = super().encode(example, encoder)
        unweighted = self.settings.class_weights == "none" or self.share is None
        if unweighted or "labels" not in rows[0]:
            return rows
        has = rows[0]["labels"]
        weights = 0.5 * np.where(has, 1 / self.share, 1 / (1 - self.share)).astype(np.float32)
        return [{**row, "weights": weights} for row in rows]

    def probabilities(self, logits):
        return sigmoid(logits)

    def logits(self, probabilities):
        inside = np.clip(probabilities, 1e-7, 1 - 1e-7)
        return np.log(inside / (1 - inside))

    def said(self, prediction):
        return self._joined(self._names(self._fits(prediction)))

    def columns_of(self, rows):
        """As those of every text task, several labels in one cell."""
        records = super().columns_of(rows)
        for record in records:
            for name, value in record.items():
                if isinstance(value, tuple):
                    record[name] = self._joined(value)
        return records

    def write(self, path, examples, predictions):
        self.lists = ending(path) == ".jsonl"
        super().write(path, examples, predictions)

    def _joined(self, names):
        """Labels as a list in JSON lines, elsewhere in one cell."""
        separator = self.settings.label_separator
        if not self.lists and any(separator in name for name in names):
            return json.dumps(list(names), ensure_ascii=False)
        return list(names) if self.lists else separator.join(names)

    def _fits(self, logits):
        """Which labels are predicted, of logits (..., L)."""
        return self.probabilities(logits) > self.settings.threshold

    def _names(self, fits):
        return [name for name, fit in zip(self.labels, fits) if fit]

    # --- scores -----------------------------------------------------------------------------------

    def _matrix(self, examples):
        """(which labels the rows have (N, L), their names); those new to the model at the end."""
        new = sorted({label for row in examples for label in row.label} - set(self.labels))
        names = [*self.labels, *new]
        return np.array([[name in row.label for name in names] for row in examples]), names

    def score(self, examples, predictions):
        return self._metrics(examples, self._fits(np.stack(predictions)))

    def _metrics(self, examples, said):
        gold, names = self._matrix(examples)
        return multi_label_metrics(gold, _widened(said, len(names)))

    def baselines(self, train, held_out):
        """Always the labels that more than half of the rows have, or the commonest, and TF-IDF."""
        gold, _ = self._matrix(train)
        share = gold.mean(axis=0)
        common = share > 0.5 if share.max() > 0.5 else share == share.max()
        values = {
            "commonest": self._metrics(held_out, np.tile(common, (len(held_out), 1)))[self.metric]
        }
        if has_sklearn():
            said = said_by_logistic_regression(train, gold, held_out)
            values["TF-IDF + logistic regression"] = self._metrics(held_out, said)[self.metric]
        else:
            self.say("a stronger baseline needs scikit-learn: pip install 'tinyalbert[baselines]'")
        return values

    def confusion(self, examples, predictions):
        """What is odd, and each label's own scores."""
        gold, names = self._matrix(examples)
        said = _widened(self._fits(np.stack(predictions)), len(names))
        parts = []
        new = gold[:, len(self.labels) :].any(axis=1)
        if new.any():
            parts.append(
                f"{new.sum():,} of {len(gold):,} rows have labels that the model was not trained "
                f"on, and count as missed: {some(names[len(self.labels) :], 5)}"
            )
        if (said == said[0]).all() and not (gold == gold[0]).all():
            what = some(self._names(said[0]), 5) or "no label"
            parts.append(f"every prediction is {what}: the model tells nothing apart")
        parts.append(label_report(decisions_table(gold, said), names, self.settings.full_report))
        return "\n\n".join(parts)


def _widened(said, labels):
    """(N, L) with columns of 0 for labels that are never said."""
    return np.pad(np.asarray(said, bool), ((0, 0), (0, labels - said.shape[1])))


def _listed(cell):
    """The labels of a cell that is a JSON list of texts; None of another."""
    try:
        names = loads(cell) if cell.startswith("[") else None
    except JSONDecodeError:
        return None
    return names if isinstance(names, list) and all(isinstance(n, str) for n in names) else None
