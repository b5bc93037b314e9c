"""Answers to lesson 13, their hints, and typical wrong answers."""

import numpy as np


def labelled_places(labels):
    return np.flatnonzero(labels.reshape(-1) != -100)


def combined_mean(losses, counts):
    return float((losses * counts).sum() / counts.sum())


def early_step_size(beta1, beta2, step):
    return float((1 - beta1**step) / np.sqrt(1 - beta2**step))


REFERENCES = {}

HINTS = {
    "labelled_places": "labels are -100 where nothing is masked; lay the sequences end to end with reshape(-1)",
    "combined_mean": "weight each part's mean by its number of targets",
    "early_step_size": "without correction, m is (1 - beta1^t) times and v is (1 - beta2^t) times what it should be; the step is m / sqrt(v)",
}

MISTAKES = {
    "labelled_places": {
        "these are positions within each sequence, not through the whole batch": lambda labels: np.nonzero(labels != -100)[1],
        "the other way round: -100 means no label": lambda labels: np.flatnonzero(labels.reshape(-1) == -100),
    },
    "combined_mean": {
        "a mean of means: parts with few targets would count as much as parts with many":
            lambda losses, counts: float(losses.mean()),
        "divide by the number of targets": lambda losses, counts: float((losses * counts).sum()),
    },
    "early_step_size": {
        "the root of the second moment's factor is missing": lambda b1, b2, t: float((1 - b1**t) / (1 - b2**t)),
        "inverted: this is the correction, not the error": lambda b1, b2, t: float(np.sqrt(1 - b2**t) / (1 - b1**t)),
    },
}
