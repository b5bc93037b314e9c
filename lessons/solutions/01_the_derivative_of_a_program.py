"""Answers to lesson 01, and typical wrong answers."""

import math


def tanh_backward(x, g):
    return g * (1 - math.tanh(x) ** 2)


def log_backward(x, g):
    return g / x


def gradient_along_a_path(path):
    return math.prod(path)


MISTAKES = {
    "tanh_backward": {
        "g is missing: the chain rule multiplies by what comes in": lambda x, g: 1 - math.tanh(x) ** 2,
        "this uses x where tanh(x) belongs": lambda x, g: g * (1 - x ** 2),
    },
    "log_backward": {
        "this is the value of log, not its derivative": lambda x, g: g * math.log(x),
        "g is missing: the chain rule multiplies by what comes in": lambda x, g: 1 / x,
    },
    "gradient_along_a_path": {
        "along one path derivatives multiply; they add where paths meet": lambda path: sum(path),
        "this is the last step's derivative alone": lambda path: path[-1],
    },
}
