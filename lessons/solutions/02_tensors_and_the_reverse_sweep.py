"""Answers to lesson 02, and typical wrong answers."""

import numpy as np


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
