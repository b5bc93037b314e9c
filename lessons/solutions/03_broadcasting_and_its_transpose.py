"""Answers to lesson 03, their hints, and typical wrong answers."""

import numpy as np

from tinyalbert import ops, tensor


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


# what an answer is compared with, where it is not the function above
REFERENCES = {
    "mean_backward": lambda x, g: ops.mean.raw(x, axis=1)[1](g)[0] + 0,
    "gain_backward": lambda gain, x, g: tensor.unbroadcast(ops.mul.raw(gain, x)[1](g)[0], gain.shape),
}

HINTS = {
    "mean_backward": "each number moved the mean by 1/n; put the axis back with np.expand_dims(g, 1), then stretch",
    "gain_backward": "g * x has the shape of the result; unbroadcast(..., gain.shape) is in this file",
    "summed_axes": "right-align the shapes; an axis is summed if it is missing, or 1 where the other is not",
}

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
