"""Answers to lesson 03, and typical wrong answers."""

import numpy as np


def mean_backward(x, g):
    return np.broadcast_to(np.expand_dims(g, 1) / x.shape[1], x.shape)


def gain_backward(gain, x, g):
    full = g * x
    missing = full.ndim - gain.ndim
    full = full.sum(axis=tuple(range(missing)))
    return full.sum(axis=tuple(i for i, n in enumerate(gain.shape) if n == 1), keepdims=True)


def summed_axes(shape, full):
    missing = len(full) - len(shape)
    return tuple(i for i in range(len(full)) if i < missing or (shape[i - missing] == 1 and full[i] != 1))


MISTAKES = {
    "mean_backward": {
        "divide by n: each number moves the mean by 1/n only":
            lambda x, g: np.broadcast_to(np.expand_dims(g, 1), x.shape),
        "n is the length of the averaged axis, not the number of all values":
            lambda x, g: np.broadcast_to(np.expand_dims(g, 1) / x.size, x.shape),
    },
    "gain_backward": {
        "the sum over the stretched axes is missing": lambda gain, x, g: g * x,
        "a mean where a sum belongs: every use counts fully":
            lambda gain, x, g: gain_backward(gain, x, g) / (g.size / gain.size),
    },
    "summed_axes": {
        "axes of size 1 count as well": lambda shape, full: tuple(range(len(full) - len(shape))),
        "axes that were missing on the left count as well": lambda shape, full: tuple(
            i for i in summed_axes(shape, full) if i >= len(full) - len(shape)),
    },
}
