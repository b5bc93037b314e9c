"""Answers to lesson 24, their hints, and typical wrong answers."""

import numpy as np


def scales(matrix):
    largest = np.abs(matrix).max(axis=1)
    return np.where(largest > 0, largest / 127, 1.0)


def whole_numbers(matrix, s):
    return np.rint(matrix / s[:, None])


def grouped_linear(x, w):
    parts = np.split(x, len(w), axis=1)
    return np.concatenate([part @ w_k.T for part, w_k in zip(parts, w)], axis=1)


def grouped_backward_w(x, w, g):
    return np.stack([g_k.T @ x_k for g_k, x_k in zip(np.split(g, len(w), axis=1), np.split(x, len(w), axis=1))])


def _signed(matrix):
    largest = matrix.max(axis=1)
    return np.where(largest > 0, largest / 127, 1.0)


def _other(most):
    def scales_to(matrix):
        largest = np.abs(matrix).max(axis=1)
        return np.where(largest > 0, largest / most, 1.0)
    return scales_to


def _dealt(x, w):
    """Neighbouring numbers in different groups."""
    return np.concatenate([x[:, k::len(w)] @ w[k].T for k in range(len(w))], axis=1)


def _side_by_side(x, w):
    return np.stack([part @ w_k.T for part, w_k in zip(np.split(x, len(w), axis=1), w)], axis=2).reshape(len(x), -1)


REFERENCES = {}

HINTS = {
    "scales": "the largest absolute value of a row must become 127; np.abs, max along axis 1, and np.where for a row of zeros",
    "whole_numbers": "divide each row by its own scale (s needs an axis more, s[:, None]) and round with np.rint",
    "grouped_linear": "np.split(x, len(w), axis=1) are the groups' inputs; each is multiplied by its own w[k].T; np.concatenate along axis 1",
    "grouped_backward_w": "lesson 04 for each group: the gradient of W in y = x Wᵀ is gᵀ x; np.stack puts the groups together",
}

MISTAKES = {
    "scales": {
        "one scale for the whole matrix: each row has its own": lambda m: np.full(len(m), np.abs(m).max() / 127),
        "a row of zeros has no largest value to divide by: its scale is 1": lambda m: np.abs(m).max(axis=1) / 127,
        "the largest negative weight must fit too: take absolute values first": _signed,
        "the largest negative weight must fit too (take absolute values first), and a row of zeros needs a scale, 1": lambda m: m.max(axis=1) / 127,
        "255 steps are for both signs together: for each there are 127": _other(255),
        "256 steps are for both signs together: for each there are 127": _other(256),
        "127 is the largest that a byte with a sign holds": _other(128),
        "this is the mean, where the largest has to fit": lambda m: np.where(np.abs(m).max(axis=1) > 0, np.abs(m).mean(axis=1) / 127, 1.0),
        "this is 1 divided by the scale": lambda m: 127 / np.where(np.abs(m).max(axis=1) > 0, np.abs(m).max(axis=1), 127),
    },
    "whole_numbers": {
        "cut off, not rounded: the error would be up to a whole step": lambda m, s: np.trunc(m / s[:, None]),
        "rounded down, not to the nearest: the error would be up to a whole step": lambda m, s: np.floor(m / s[:, None]),
        "rounded down, not to the nearest, by //: the error would be up to a whole step": lambda m, s: m // s[:, None],
        "negative numbers don't fit into np.uint8: it holds 0 to 255": lambda m, s: np.rint(m / s[:, None]).astype(int) % 256,
        "one scale for all rows: each has its own": lambda m, s: np.rint(m / s.max()),
        "rounded up, not to the nearest: the error would be up to a whole step": lambda m, s: np.ceil(m / s[:, None]),
        "not rounded": lambda m, s: m / s[:, None],
        "these are the weights after rounding, q · s: q alone is asked for": lambda m, s: np.rint(m / s[:, None]) * s[:, None],
        "rounded too early: divide first": lambda m, s: np.rint(m) / s[:, None],
        "multiplied by the scale: it divides": lambda m, s: np.rint(m * s[:, None]),
        "the scales are those of the columns here: s needs an axis more, s[:, None]":
            lambda m, s: np.rint(m / np.resize(s, m.shape[1])),
    },
    "grouped_linear": {
        "group k got every G-th number: a group is a run of neighbours": _dealt,
        "the groups' results are mixed: first all of group 0, then all of group 1": _side_by_side,
        "the groups' results stand one below the other: they belong side by side, along axis 1":
            lambda x, w: np.concatenate([part @ w_k.T for part, w_k in zip(np.split(x, len(w), axis=1), w)]),
        "every group has the first group's weights": lambda x, w: grouped_linear(x, np.repeat(w[:1], len(w), axis=0)),
        "the groups' results are added up: they stand side by side":
            lambda x, w: sum(part @ w_k.T for part, w_k in zip(np.split(x, len(w), axis=1), w)),
    },
    "grouped_backward_w": {
        "transposed: the weights are [out, in]":
            lambda x, w, g: np.stack([x_k.T @ g_k for g_k, x_k in zip(np.split(g, len(w), axis=1), np.split(x, len(w), axis=1))]),
        "this is the gradient of the whole matrix: only the blocks on its diagonal are weights": lambda x, w, g: g.T @ x,
        "side by side: the groups are the first axis":
            lambda x, w, g: np.concatenate([g_k.T @ x_k for g_k, x_k in zip(np.split(g, len(w), axis=1), np.split(x, len(w), axis=1))]),
        "a mean over the tokens: the gradient is their sum":
            lambda x, w, g: grouped_backward_w(x, w, g) / len(x),
    },
}
