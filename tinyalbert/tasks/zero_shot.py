"""Zero-shot classification: labels that a model was never trained on, by way of inference.

A model that tells whether a hypothesis follows from a premise is asked whether "This example is
sports." follows from the text (Yin et al. 2019).  Arguments and answers are those of transformers'
pipeline; the model may be of any task with a label named entailment, such as mnli, rte or qnli.
"""

import warnings
from typing import NamedTuple

import numpy as np

from .. import ops
from ..errors import UserError
from ..heads import AlbertForSequenceClassification
from .task import Task

MANY = 256  # pairs of a call, from which on their number is said


class Asked(NamedTuple):
    """A text, the labels that it may have, and a hypothesis for each of them."""

    text: str
    labels: list
    hypotheses: list


class ZeroShot(Task):
    """Examples are Asked; a prediction is an Asked and its logits (labels, classes)."""

    name = pipeline = "zero-shot-classification"
    made_by = "mnli"
    model_class = AlbertForSequenceClassification

    def restore(self, config):
        """Which output says that the hypothesis follows, and which one that it does not."""
        names = {name.lower(): i for i, name in config.id2label.items()}
        self.entailment = _starting(names, "entail")
        if self.entailment is None:
            raise UserError(
                f"the model's labels are {', '.join(config.id2label.values())}; expected one named "
                "entailment, as premises and hypotheses have it: tinyalbert finetune mnli, or any "
                "classification with such a label"
            )
        self.contradiction = _starting(names, "contradict", "not_entail", "not entail")
        if self.contradiction is None:  # as transformers guesses
            self.contradiction = len(names) - 1 if self.entailment == 0 else 0

    def call(
        self,
        sequences,
        candidate_labels,
        hypothesis_template="This example is {}.",
        multi_label=False,
    ):
        """sequences: a text or a list.  candidate_labels: a list, or a text with commas.

        hypothesis_template: {} stands for the label.  multi_label: whether several labels may be
        true at once; then each is asked on its own.
        """
        labels = candidate_labels
        if isinstance(labels, str):
            labels = [label.strip() for label in labels.split(",") if label.strip()]
        labels = list(dict.fromkeys(labels))  # one that stands twice is asked for once
        if not labels:
            raise UserError("no labels to choose from; expected at least one")
        hypotheses = [_filled(hypothesis_template, label) for label in labels]
        single = isinstance(sequences, str)
        texts = [sequences] if single else list(sequences)
        pairs = len(texts) * len(labels)
        if pairs > MANY:
            warnings.warn(
                f"{len(texts):,} texts and {len(labels):,} labels: the model reads {pairs:,} "
                "pairs, one after the other",
                stacklevel=3,
            )
        given = [Asked(text, labels, hypotheses) for text in texts]
        return given, single, {"multi_label": multi_label}

    def example(self, given):
        return given

    def encode(self, example, encoder):
        """The rows of each hypothesis in turn; `about` is its number.  Only the text is cut."""
        return [
            {**row, "about": i}
            for i, hypothesis in enumerate(example.hypotheses)
            for row in encoder(example.text, hypothesis, repr(example.text[:40]), cut="first")
        ]

    def decode(self, example, rows, outputs):
        """The mean of the windows' logits for each hypothesis."""
        numbers = np.array([row["about"] for row in rows])
        means = [outputs[numbers == i].mean(axis=0) for i in range(len(example.labels))]
        return example, np.stack(means)

    def answer(self, prediction, multi_label=False):
        """{"sequence", "labels", "scores"}, the best label first.

        The scores are a softmax over the labels of their entailment; if several labels may be true,
        or there is only one, a softmax of entailment against contradiction for each.
        """
        example, logits = prediction
        if multi_label or len(example.labels) == 1:
            scores = ops.softmax.raw(logits[:, [self.contradiction, self.entailment]])[0][:, 1]
        else:
            scores = ops.softmax.raw(logits[:, self.entailment])[0]
        best = np.argsort(-scores, kind="stable")
        return {
            "sequence": example.text,
            "labels": [example.labels[i] for i in best],
            "scores": scores[best].tolist(),
        }

    def collect(self, answers, single):
        return answers[0] if single else answers


def _starting(names, *beginnings):
    """The number of the name that begins so; None without."""
    return next((i for name, i in names.items() if name.startswith(beginnings)), None)


def _filled(template, label):
    """The template with the label in its place; refuses one without such a place."""
    try:
        filled = template.format(label)
    except (IndexError, KeyError, ValueError):
        filled = template
    if filled == template:
        raise UserError(f"hypothesis_template {template!r}; expected {{}} where the label goes")
    return filled
