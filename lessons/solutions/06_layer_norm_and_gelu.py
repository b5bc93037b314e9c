"""Answers to lesson 06, their hints, and typical wrong answers."""

import math

import numpy as np

from tinyalbert import ops


def layer_norm_backward(g, xhat, rstd):
    return rstd * (g - g.mean(-1, keepdims=True) - xhat * (g * xhat).mean(-1, keepdims=True))


def _u(x):
    return math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)


def gelu_backward(x, g):
    t = np.tanh(_u(x))
    slope = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x**2)
    return g * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * slope)


def relu_backward(x, g):
    return g * (x > 0)


def _no_inner_slope(x, g):
    t = np.tanh(_u(x))
    return g * (0.5 * (1 + t) + 0.5 * x * (1 - t * t))


# what an answer is compared with, where it is not the function above
REFERENCES = {
    "gelu_backward": lambda x, g: ops.gelu.raw(x)[1](g)[0],
    "relu_backward": lambda x, g: ops.relu.raw(x)[1](g)[0],
}

HINTS = {
    "layer_norm_backward": "two directions carry no gradient: the mean direction and xhat itself",
    "gelu_backward": "g * ( (1 + t)/2 + x/2 (1 - t²) du/dx ), and du/dx = sqrt(2/π) (1 + 3 · 0.044715 x²)",
    "relu_backward": "the slope is 1 where x is positive and 0 elsewhere",
}

MISTAKES = {
    "layer_norm_backward": {
        "the mean term is missing": lambda g, xhat, rstd: rstd * (g - xhat * (g * xhat).mean(-1, keepdims=True)),
        "the term along xhat is missing": lambda g, xhat, rstd: rstd * (g - g.mean(-1, keepdims=True)),
        "only the direct part: mean and variance move too": lambda g, xhat, rstd: rstd * g,
        "sums where means belong":
            lambda g, xhat, rstd: rstd * (g - g.sum(-1, keepdims=True) - xhat * (g * xhat).sum(-1, keepdims=True)),
    },
    "gelu_backward": {
        "the inner derivative du/dx is missing": _no_inner_slope,
        "this is gelu itself, not its derivative": lambda x, g: g * 0.5 * x * (1 + np.tanh(_u(x))),
        "half of the product rule is missing: x itself also depends on x": lambda x, g: g * 0.5 * (1 + np.tanh(_u(x))),
    },
    "relu_backward": {
        "g is missing": lambda x, g: (x > 0) * 1.0,
        "x where the slope belongs: the slope is 1 or 0": lambda x, g: g * np.maximum(x, 0),
    },
}
