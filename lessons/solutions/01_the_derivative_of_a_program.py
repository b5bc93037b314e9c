"""Answers to lesson 01, their hints, and typical wrong answers."""

import math

import numpy as np

from tinyalbert import ops


def tanh_backward(x, g):
    return g * (1 - math.tanh(x) ** 2)


def log_backward(x, g):
    return g / x


def gradient_along_a_path(path):
    return math.prod(path)


# what an answer is compared with, where it is not the function above
REFERENCES = {
    "tanh_backward": lambda x, g: float(ops.tanh.raw(np.float64(x))[1](g)[0]),
}

HINTS = {
    "tanh_backward": "the derivative of tanh is 1 - tanh²; multiply it by g",
    "log_backward": "the derivative of log x is 1/x",
    "gradient_along_a_path": "along one path the chain rule multiplies",
}

MISTAKES = {
    "tanh_backward": {
        "g is missing: the chain rule multiplies by what comes in": lambda x, g: 1 - math.tanh(x) ** 2,
        "this is tanh itself, not its derivative": lambda x, g: g * math.tanh(x),
        "this uses x where tanh(x) belongs": lambda x, g: g * (1 - x ** 2),
    },
    "log_backward": {
        "this is the derivative of 1/x; that of log x is 1/x itself": lambda x, g: -g / x**2,
        "this is the value of log, not its derivative": lambda x, g: g * math.log(x),
        "g is missing: the chain rule multiplies by what comes in": lambda x, g: 1 / x,
    },
    "gradient_along_a_path": {
        "along one path derivatives multiply; they add where paths meet": lambda path: sum(path),
        "this is the last step's derivative alone": lambda path: path[-1],
    },
}
