"""Answers to lesson 10, their hints, and typical wrong answers."""

import numpy as np

from tinyalbert.text import encoding


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


# what an answer is compared with, where it is not the function above
def _by_trying_all(text, logp):
    if not text:
        return 1
    return sum(_by_trying_all(text[n:], logp) for n in range(1, len(text) + 1) if text[:n] in logp)


REFERENCES = {
    "count_segmentations": _by_trying_all,
    "template": lambda a, b, cls, sep: np.array([(t.id, t.type) for t in encoding.template( [(i, (0, 0), 0) for i in a], [(i, (0, 0), 0) for i in b], cls, sep)]).T,
    "longest_first": lambda a, b, room: np.array([len(x) for x in encoding.windows(range(a), range(b), "longest_first", room)[0]]),
}

HINTS = {
    "count_segmentations": "ways[0] = 1; ways[end] is the sum of ways[start] over all pieces text[start:end] of the vocabulary",
    "m_step": "a probability is a share of the whole; then its logarithm",
    "template": "the last [SEP] belongs to b",
    "longest_first": "while a + b > room: a -= 1 or b -= 1",
}

MISTAKES = {
    "count_segmentations": {
        "this counts every set of cuts, including cuts into parts that are not pieces": lambda text, logp: 2 ** (len(text) - 1),
        "this counts the places where a piece fits, not the ways to reach the end": _pieces_that_fit,
    },
    "m_step": {
        "divide first, then take the logarithm": lambda counts: np.log(counts) / counts.sum(),
        "divided by the largest count, not by their sum": lambda counts: np.log(counts / counts.max()),
        "divided by the number of pieces, not by the sum of the counts": lambda counts: np.log(counts / len(counts)),
        "this is the logarithm to base 2": lambda counts: np.log2(counts / counts.sum()),
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
