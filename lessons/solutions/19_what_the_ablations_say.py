"""Answers to lesson 19, their hints, and typical wrong answers."""

import numpy as np


def difference(a, b):
    d = a - b
    return np.array([d.mean(), d.std(ddof=1) / np.sqrt(len(d))])


def stored(sharing, layers, attention, ffn):
    times = {"all": (1, 1), "attention": (1, layers), "ffn": (layers, 1), "none": (layers, layers)}[sharing]
    return times[0] * attention + times[1] * ffn


def words_in_both(first, second):
    return len(set(first.tolist()) & set(second.tolist()))


def _with_error(error):
    """The right mean with another error."""
    return lambda a, b: np.array([(a - b).mean(), error(a, b)])


def _exchanged(sharing, layers, attention, ffn):
    return stored({"attention": "ffn", "ffn": "attention"}.get(sharing, sharing), layers, attention, ffn)


def _inverted(sharing, layers, attention, ffn):
    return stored({"attention": "ffn", "ffn": "attention", "all": "none", "none": "all"}[sharing], layers, attention, ffn)


REFERENCES = {}

HINTS = {
    "difference": "d = a - b; its mean; its standard deviation with ddof=1, divided by the root of how many there are",
    "stored": "what is shared is stored once, what isn't is stored once a layer",
    "words_in_both": "sets: set(a.tolist()) & set(b.tolist()) has what is in both",
}

MISTAKES = {
    "difference": {
        "the standard error is that of one run: divide by the root of n": _with_error(lambda a, b: (a - b).std(ddof=1)),
        "the spread of single runs, with n in place of n - 1: use ddof=1, then divide by the root of n": _with_error(lambda a, b: (a - b).std()),
        "divided by n, not by its root": _with_error(lambda a, b: (a - b).std(ddof=1) / len(a)),
        "the spread is divided by n - 1 values: ddof=1": _with_error(lambda a, b: (a - b).std() / np.sqrt(len(a))),
        "the pairs are torn apart: with the same seeds it is the differences that are spread":
            _with_error(lambda a, b: np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / len(a))),
        "this is b - a: the first variant minus the second": lambda a, b: difference(b, a),
        "this is the variance of the mean: its root is missing": _with_error(lambda a, b: (a - b).var(ddof=1) / len(a)),
    },
    "stored": {
        "attention and FFN are exchanged: what is named is shared, so it is stored once": _exchanged,
        "the other way round: what is shared is stored once": _inverted,
        "only the shared part is counted, but the other one is stored too":
            lambda s, n, a, f: {"all": a + f, "attention": a, "ffn": f, "none": n * (a + f)}[s],
        "every layer is counted, whatever is shared": lambda s, n, a, f: n * (a + f),
    },
    "words_in_both": {
        "each id should count once, however often it stands there": lambda first, second: sum(i in set(second.tolist()) for i in first.tolist()),
        "each id counts once, however often it stands in the second": lambda first, second: sum(i in set(first.tolist()) for i in second.tolist()),
        "these are the ids in either of them: | joins, & keeps what is in both": lambda first, second: len(set(first.tolist()) | set(second.tolist())),
        "these are the ids themselves: how many they are is asked for": lambda first, second: np.intersect1d(first, second),
        "these are the ids that only the first has": lambda first, second: len(set(first.tolist()) - set(second.tolist())),
    },
}
