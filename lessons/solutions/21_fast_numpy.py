"""Answers to lesson 21, their hints, and typical wrong answers."""

import numpy as np

C = np.sqrt(2 / np.pi)


def mebibytes_moved(passes, elements):
    return float(passes * elements * 4 / 2**20)


def blocks(rows, step):
    return [(i, min(i + step, rows)) for i in range(0, rows, step)]


def gelu_slope(x):
    t = np.tanh(C * (x + 0.044715 * x**3))
    return 0.5 * (1 + t) + 0.5 * x * (1 - t**2) * C * (1 + 3 * 0.044715 * x**2)


def speed_up(share, threads):
    return 1 / (1 - share + share / threads)


def _without_the_inner_derivative(x):
    t = np.tanh(C * (x + 0.044715 * x**3))
    return 0.5 * (1 + t) + 0.5 * x * (1 - t**2)


REFERENCES = {}

HINTS = {
    "mebibytes_moved": "a float32 has 4 bytes, a MiB has 2**20 bytes",
    "blocks": "the last block is shorter if the step does not divide the number of rows: min()",
    "gelu_slope": "the derivative of s x is s + x s'; that of (1 + tanh u)/2 is (1 - tanh² u)/2 · u'; u = c (x + 0.044715 x³), c = sqrt(2/π)",
    "speed_up": "let the whole time be 1: the share that can be split up takes share / threads, the rest stays the same",
}

MISTAKES = {
    "mebibytes_moved": {
        "8 bytes per element is float64; a float32 has 4": lambda passes, elements: float(passes * elements * 8 / 2**20),
        "a MiB is 2**20 bytes; a million bytes is a MB": lambda passes, elements: float(passes * elements * 4 / 1e6),
    },
    "blocks": {
        "the last block goes past the end": lambda rows, step: [(i, i + step) for i in range(0, rows, step)],
        "the last, shorter block is missing": lambda rows, step: [(i, i + step) for i in range(0, rows - step + 1, step)],
    },
    "gelu_slope": {
        "the derivative of u is missing": _without_the_inner_derivative,
        "the cubic term's derivative is missing":
            lambda x: (lambda t: 0.5 * (1 + t) + 0.5 * x * (1 - t**2) * C)(np.tanh(C * (x + 0.044715 * x**3))),
    },
    "speed_up": {
        "this is the time, not the speed-up": lambda share, threads: 1 - share + share / threads,
        "this would hold only if everything could be split up": lambda share, threads: float(threads),
    },
}
