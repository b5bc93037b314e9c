"""Answers to lesson 05, and typical wrong answers."""

import numpy as np


def _softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def softmax_backward(g, y):
    return y * (g - (g * y).sum(axis=-1, keepdims=True))


def cross_entropy_backward(logits, labels):
    gradient = _softmax(logits)
    gradient[np.arange(len(labels)), labels] -= 1
    return gradient / len(labels)


def cross_entropy_ignoring(logits, labels):
    counted = labels != -100
    p = _softmax(logits[counted])
    return -np.log(p[np.arange(len(p)), labels[counted]]).mean()


def _without_the_mean(logits, labels):
    return cross_entropy_backward(logits, labels) * len(labels)


def _mean_over_all_rows(logits, labels):
    return cross_entropy_ignoring(logits, labels) * (labels != -100).mean()


MISTAKES = {
    "softmax_backward": {
        "the sum is missing: a higher score also takes probability from the others": lambda g, y: y * g,
        "only the Jacobian's diagonal: a higher score also takes probability from the others": lambda g, y: g * y * (1 - y),
        "the sum must go over each row, not over the whole array": lambda g, y: y * (g - (g * y).sum()),
    },
    "cross_entropy_backward": {
        "the loss is a mean over the rows: divide by their number": _without_the_mean,
        "the sign is flipped: it is probability minus truth": lambda l, y: -cross_entropy_backward(l, y),
        "the right word's 1 is missing": lambda l, y: _softmax(l) / len(y),
    },
    "cross_entropy_ignoring": {
        "the mean is taken over all rows, including those that don't count": _mean_over_all_rows,
        "a sum where a mean belongs":
            lambda logits, labels: cross_entropy_ignoring(logits, labels) * (labels != -100).sum(),
    },
}
