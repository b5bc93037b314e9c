"""Answers to lesson 05, their hints, and typical wrong answers."""

import numpy as np

from tinyalbert import ops


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


# what an answer is compared with, where it is not the function above
REFERENCES = {
    "softmax_backward": lambda g, y: ops.softmax.raw(np.log(y))[1](g)[0],
    "cross_entropy_backward": lambda logits, labels: ops.cross_entropy.raw(logits, labels)[1](np.ones(()))[0],
    "cross_entropy_ignoring": lambda logits, labels: float(ops.cross_entropy.raw(logits, labels)[0]),
}

HINTS = {
    "softmax_backward": "y * (g - one number per row)",
    "cross_entropy_backward": "softmax(logits), minus 1 at the right word, and the loss is a mean over the rows",
    "cross_entropy_ignoring": "drop the rows labelled -100 before taking the mean",
}

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
