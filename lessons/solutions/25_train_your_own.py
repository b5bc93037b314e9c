"""Answers to lesson 25, their hints, and typical wrong answers."""

import numpy as np


def share_better(bad, good):
    return float(np.mean((good > bad) + 0.5 * (good == bad)))


def by_neighbours(ids, own, after):
    mixed = 0.7 * after[ids[:-1], ids[1:]] + 0.3 * own[ids[1:]]
    return float(np.log(own[ids[0]]) + np.log(mixed).sum())


def noise_of_share(p, n):
    return float(np.sqrt(p * (1 - p) / n))


def _by(mixed):
    """Another probability of each piece behind the one before it."""
    return lambda ids, own, after: float(np.log(own[ids[0]]) + np.log(mixed(ids[:-1], ids[1:], own, after)).sum())


REFERENCES = {}

HINTS = {
    "share_better": "good > bad is True (1) or False (0) for each pair; a tie adds a half; then the mean",
    "by_neighbours": "log own[ids[0]], and for each pair of neighbours i, j the log of 0.7 · after[i, j] + 0.3 · own[j]",
    "noise_of_share": "the root of p (1 - p) / n",
}

MISTAKES = {
    "share_better": {
        "a tie counts as wrong here: it should count one half": lambda bad, good: float(np.mean(good > bad)),
        "a tie counts as right here: it should count one half": lambda bad, good: float(np.mean(good >= bad)),
        "the other way round: the good sentence should have the higher score":
            lambda bad, good: float(np.mean((good < bad) + 0.5 * (good == bad))),
        "this is the number of pairs, not their share": lambda bad, good: float(np.sum((good > bad) + 0.5 * (good == bad))),
        "the number of pairs, in which ties are wrong: the share is asked for, and a tie counts one half": lambda bad, good: float(np.sum(good > bad)),
        "in per cent: a share lies between 0 and 1": lambda bad, good: 100 * share_better(bad, good),
        "right minus wrong: a tie is one half, and a wrong pair is 0": lambda bad, good: float(np.sign(good - bad).mean()),
        "all pairs at once: compare each pair by itself": lambda bad, good: bool(good.sum() > bad.sum()),
        "this is how much better they are: only whether counts": lambda bad, good: float(np.mean(good - bad)),
    },
    "by_neighbours": {
        "the first piece is left out: its own frequency belongs to it":
            lambda ids, own, after: by_neighbours(ids, own, after) - float(np.log(own[ids[0]])),
        "own should be that of the second of two neighbours": _by(lambda i, j, own, after: 0.7 * after[i, j] + 0.3 * own[i]),
        "after is read the wrong way round: after[i, j] has the earlier piece first":
            _by(lambda i, j, own, after: 0.7 * after[j, i] + 0.3 * own[j]),
        "0.7 and 0.3 are exchanged": _by(lambda i, j, own, after: 0.3 * after[i, j] + 0.7 * own[j]),
        "the pieces' own frequencies are missing: neighbours that never occurred would condemn a sentence": _by(lambda i, j, own, after: after[i, j]),
        "each piece by its own frequency alone: the neighbours are missing": _by(lambda i, j, own, after: own[j]),
        "a mean of logarithms: add the probabilities first, then take the logarithm":
            lambda ids, own, after: float(np.log(own[ids[0]]) + (0.7 * np.log(after[ids[:-1], ids[1:]] + 1e-9) + 0.3 * np.log(own[ids[1:]])).sum()),
        "a product of probabilities: its logarithm is asked for": lambda ids, own, after: float(np.exp(by_neighbours(ids, own, after))),
    },
    "noise_of_share": {
        "the root is missing: this is the mean squared error": lambda p, n: p * (1 - p) / n,
        "brackets are missing: p (1 - p)": lambda p, n: float(np.sqrt(abs(p * 1 - p / n))),
        "two standard errors: one is asked for": lambda p, n: 2 * float(np.sqrt(p * (1 - p) / n)),
        "divided by n, not by its root": lambda p, n: float(np.sqrt(p * (1 - p)) / n),
        "this is how far single pairs are spread: a mean of n is spread by the root of n less": lambda p, n: float(np.sqrt(p * (1 - p))),
        "this is right for p = 0.5 only: p (1 - p) belongs there": lambda p, n: 0.5 / float(np.sqrt(n)),
    },
}
