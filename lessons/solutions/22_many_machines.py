"""Answers to lesson 22, their hints, and typical wrong answers."""

import numpy as np

from tinyalbert.training import replicas


def part_sizes(rows, n):
    return np.diff([rows * i // n for i in range(n + 1)])


def combine(gradients, counts):
    return (counts / counts.sum()) @ gradients


def ring_seconds(n, size, bandwidth, latency):
    return 2 * (n - 1) * (latency + size / n / bandwidth)


def _rest_to_the_last(rows, n):
    return np.array([rows // n] * (n - 1) + [rows - rows // n * (n - 1)])


# what an answer is compared with, where it is not the function above
REFERENCES = {
    "part_sizes": lambda rows, n: np.array([len(part["x"]) for part, _ in replicas.split({"x": np.zeros(rows)}, n)]),
}

HINTS = {
    "part_sizes": "the bounds are rows * i // n for i = 0, ..., n; the sizes are their differences",
    "combine": "multiply each row by counts[i] / counts.sum(), then add the rows",
    "ring_seconds": "2 (n - 1) rounds; each takes the latency and the time for one chunk of size / n bytes",
}

MISTAKES = {
    "part_sizes": {
        "rows are lost: the parts must add up to the batch": lambda rows, n: np.full(n, rows // n),
        "the last part gets everything left over; nearly equal parts differ by at most one row": _rest_to_the_last,
    },
    "combine": {
        "a mean of means: a part with few targets counts too much": lambda gradients, counts: gradients.mean(axis=0),
        "the parts' means are added without their shares": lambda gradients, counts: gradients.sum(axis=0),
        "weighted by counts, but not divided by their sum": lambda gradients, counts: counts @ gradients,
    },
    "ring_seconds": {
        "this sends the whole gradient in every round; it is one chunk, size / n":
            lambda n, size, bandwidth, latency: 2 * (n - 1) * (latency + size / bandwidth),
        "only one trip round the ring: collecting takes n - 1 rounds, passing on another n - 1":
            lambda n, size, bandwidth, latency: (n - 1) * (latency + size / n / bandwidth),
    },
}
