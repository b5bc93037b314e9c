"""Answers to lesson 02, their hints, and typical wrong answers."""

import numpy as np

from tinyalbert import ops


def divide_backward(a, b, g):
    return np.stack([g / b, -g * a / b**2])


def transpose_backward(x, g):
    return g.T


def slice_backward(x, key, g):
    gradient = np.zeros_like(x)
    gradient[key[0]:key[1]] = g
    return gradient


def _everywhere(x, key, g):
    gradient = np.ones_like(x)
    gradient[key[0]:key[1]] = g
    return gradient


# what an answer is compared with, where it is not the function above
REFERENCES = {
    "divide_backward": lambda a, b, g: np.stack(ops.div.raw(a, b)[1](g)),
    "transpose_backward": lambda x, g: ops.transpose.raw(x, (1, 0))[1](g)[0],
    "slice_backward": lambda x, key, g: ops.getitem.raw(x, slice(key[0], key[1]))[1](g)[0],
}

HINTS = {
    "divide_backward": "d(a/b)/da = 1/b and d(a/b)/db = -a/b²; np.stack([ga, gb]) puts both in one array",
    "transpose_backward": "the gradient must come back in the shape of x, each number in its old place",
    "slice_backward": "what was cut away did not reach the loss; its gradient is 0",
}

MISTAKES = {
    "divide_backward": {
        "the sign of the second is flipped: a larger b makes a/b smaller": lambda a, b, g: np.stack([g / b, g * a / b**2]),
        "the second needs b squared": lambda a, b, g: np.stack([g / b, -g * a / b]),
        "both are right, but in the wrong order": lambda a, b, g: divide_backward(a, b, g)[::-1],
    },
    "transpose_backward": {
        "reshaped, not transposed: the numbers are in the wrong places": lambda x, g: g.reshape(x.shape),
        "the gradient must have the shape of x": lambda x, g: g,
    },
    "slice_backward": {
        "what was cut away must get 0": _everywhere,
        "the gradient must have the shape of x, not of the slice": lambda x, key, g: g,
    },
}
