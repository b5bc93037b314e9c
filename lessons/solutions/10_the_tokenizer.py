"""Answers to lesson 10, and typical wrong answers."""

import numpy as np


def count_segmentations(text, logp):
    ways = [1] + [0] * len(text)
    for end in range(1, len(text) + 1):
        ways[end] = sum(ways[start] for start in range(end) if text[start:end] in logp)
    return ways[-1]


def m_step(counts):
    return np.log(counts / counts.sum())


def template(a, b, cls, sep):
    return np.array([[cls, *a, sep, *b, sep], [0] * (len(a) + 2) + [1] * (len(b) + 1)])


def longest_first(a, b, room):
    while a + b > room:
        if a > b:
            a -= 1
        else:
            b -= 1
    return np.array([a, b])


def _pieces_that_fit(text, logp):
    return sum(text[start:end] in logp for end in range(len(text) + 1) for start in range(end))


def _types(a, b, cls, sep, types):
    return np.array([template(a, b, cls, sep)[0], types])


def _from_the_first(a, b, room):
    while a + b > room:
        if a >= b:
            a -= 1
        else:
            b -= 1
    return np.array([a, b])


def _second_only(a, b, room):
    return np.array([a, b - max(0, a + b - room)])


MISTAKES = {
    "count_segmentations": {
        "this counts every set of cuts, including cuts into parts that are not pieces": lambda text, logp: 2 ** (len(text) - 1),
        "this counts the places where a piece fits, not the ways to reach the end": _pieces_that_fit,
    },
    "m_step": {
        "the counts are not divided by their sum": lambda counts: np.log(counts),
        "these are probabilities: the logarithm is missing": lambda counts: counts / counts.sum(),
    },
    "template": {
        "the last [SEP] belongs to the second text and has its type":
            lambda a, b, cls, sep: _types(a, b, cls, sep, [0] * (len(a) + 2) + [1] * len(b) + [0]),
        "the first [SEP] belongs to the first text and has its type":
            lambda a, b, cls, sep: _types(a, b, cls, sep, [0] * (len(a) + 1) + [1] * (len(b) + 2)),
    },
    "longest_first": {
        "when both texts are equally long, the second is cut": _from_the_first,
        "everything is cut from the second text": _second_only,
    },
}
