"""Answers to lesson 18, their hints, and typical wrong answers."""

import numpy as np

from tinyalbert import ops


def _softmax(x):
    e = np.exp(x)                                # the trials' scores are small: as it is written at first
    return e / e.sum(-1, keepdims=True)


def causal_weights(scores):
    M = scores.shape[-1]
    later = np.arange(M) > np.arange(M)[:, None]
    return _softmax(np.where(later, scores - 10000.0, scores))


def moved(labels):
    read = np.full_like(labels, 2)
    read[:, 1:] = np.where(labels[:, :-1] == -100, 2, labels[:, :-1])
    return read


def cross_attention(hidden, states, wq, wk, wv):
    q, k, v = hidden @ wq.T, states @ wk.T, states @ wv.T
    return _softmax(q @ k.T / np.sqrt(q.shape[-1])) @ v


def best_continuations(log_p, next_log_p, width):
    totals = log_p[:, None] + next_log_p
    order = np.argsort(-totals, axis=None)[:width]
    return [(int(i) // totals.shape[1], int(i) % totals.shape[1]) for i in order]


def _masked_by(later):
    """Weights with another choice of what is hidden."""
    def weights(scores):
        M = scores.shape[-1]
        return ops.softmax.raw(np.where(later(np.arange(M), np.arange(M)[:, None]), scores - 10000.0, scores))[0]
    return weights


def _hidden_after_softmax(scores):
    M = scores.shape[-1]
    return _softmax(scores) * np.tril(np.ones((M, M)))


def _zero_scores(scores):
    M = scores.shape[-1]
    return _softmax(scores * np.tril(np.ones((M, M))))


def _moved_back(labels):
    return np.concatenate([labels[:, 1:], np.full_like(labels[:, :1], -100)], axis=1)


def _attention(q, k, v):
    return _softmax(q @ k.T / np.sqrt(q.shape[-1])) @ v


def _pairs(totals, width):
    order = np.argsort(-totals, axis=None)[:width]
    return [(int(i) // totals.shape[1], int(i) % totals.shape[1]) for i in order]


def _each_its_best(log_p, next_log_p, width):
    best = next_log_p.argmax(axis=1)
    order = np.argsort(-(log_p + next_log_p.max(axis=1)))[:width]
    return [(int(row), int(best[row])) for row in order]


def _stable(scores):
    M = scores.shape[-1]
    return ops.softmax.raw(scores + np.triu(np.full((M, M), -10000.0), 1).astype(scores.dtype))[0]


# what an answer is compared with, where it is not the function above
REFERENCES = {"causal_weights": _stable}

HINTS = {
    "causal_weights": "later[i, j] is True where j > i: np.arange(M) > np.arange(M)[:, None]; lower those scores by 10000, then softmax along the last axis",
    "moved": "a full array of 2 in labels' shape; its columns from 1 on are labels' columns but for the last, with 2 where those are -100",
    "cross_attention": "the query comes from hidden, key and value from states; x @ w.T; divide by the root of D; softmax along the source",
    "best_continuations": "log_p[:, None] + next_log_p is (R, V): the log-probability of each longer text; np.argsort with axis=None orders all of them at once; "
                          "number i stands in row i // V, column i % V",
}

MISTAKES = {
    "causal_weights": {
        "the wrong way round: each word sees the later ones and not the earlier": _masked_by(lambda column, row: column < row),
        "each word must see itself as well: hide only what comes after it": _masked_by(lambda column, row: column >= row),
        "hidden after softmax, so the rows no longer sum to 1: hide before it": _hidden_after_softmax,
        "a score of 0 is not a weight of 0: later words need a large negative score": _zero_scores,
        "nothing is hidden: each word sees the later ones too": _softmax,
        "these are the scores: softmax is missing": lambda scores: np.where(np.tri(scores.shape[-1]) == 1, scores, -10000.0),
    },
    "moved": {
        "moved the other way: this is what follows, and it is to be predicted": _moved_back,
        "not moved: the decoder would read the very word that it is to predict": lambda labels: np.where(labels == -100, 2, labels),
        "-100 is no word: put 2 in its place": lambda labels: np.concatenate([np.full_like(labels[:, :1], 2), labels[:, :-1]], axis=1),
        "BEGIN is missing at the front: the last label came round to it": lambda labels: np.roll(labels, 1, axis=1),
        "BEGIN is missing at the front: what stood last came round to it": lambda labels: np.where(np.roll(labels, 1, 1) == -100, 2, np.roll(labels, 1, 1)),
        "in place of -100 stands 0, [PAD]; the library puts BEGIN there":
            lambda labels: np.concatenate([np.full_like(labels[:, :1], 2), np.where(labels == -100, 0, labels)[:, :-1]], axis=1),
        "one column too many: the last label is predicted, never read":
            lambda labels: np.concatenate([np.full_like(labels[:, :1], 2), np.where(labels == -100, 2, labels)], axis=1),
    },
    "cross_attention": {
        "not divided by the root of D": lambda hidden, states, wq, wk, wv: _softmax(hidden @ wq.T @ (states @ wk.T).T) @ (states @ wv.T),
        "softmax along the wrong axis: each word that is written has weights that sum to 1 over the source":
            lambda hidden, states, wq, wk, wv: _softmax((hidden @ wq.T @ (states @ wk.T).T / np.sqrt(len(wq))).T).T @ (states @ wv.T),
        "softmax is missing": lambda hidden, states, wq, wk, wv: hidden @ wq.T @ (states @ wk.T).T / np.sqrt(len(wq)) @ (states @ wv.T),
        "divided by D, not by its root": lambda hidden, states, wq, wk, wv: _softmax(hidden @ wq.T @ (states @ wk.T).T / len(wq)) @ (states @ wv.T),
        "the weights meet the states as they are: the value is states @ wv.T":
            lambda hidden, states, wq, wk, wv: _softmax(hidden @ wq.T @ (states @ wk.T).T / np.sqrt(len(wq))) @ states,
        "the value is the key again: it has a matrix of its own, wv":
            lambda hidden, states, wq, wk, wv: _attention(hidden @ wq.T, states @ wk.T, states @ wk.T),
    },
    "best_continuations": {
        "each text got one successor: they must compete, so that one may leave two and another none": _each_its_best,
        "each text got one successor, in the order of the texts: they must compete":
            lambda log_p, next_log_p, width: [(i, int(p.argmax())) for i, p in enumerate(next_log_p)][:width],
        "these are the words alone: each needs the text that it continues, (text, word)":
            lambda log_p, next_log_p, width: [word for _, word in _pairs(log_p[:, None] + next_log_p, width)],
        "the texts' own log-probabilities are left out: a bad beginning would cost nothing":
            lambda log_p, next_log_p, width: _pairs(next_log_p, width),
        "multiplied: logarithms of probabilities are added": lambda log_p, next_log_p, width: _pairs(log_p[:, None] * next_log_p, width),
        "the least likely ones: argsort begins with the smallest": lambda log_p, next_log_p, width: _pairs(-(log_p[:, None] + next_log_p), width),
        "the pairs are the wrong way round: (text, word)":
            lambda log_p, next_log_p, width: [pair[::-1] for pair in _pairs(log_p[:, None] + next_log_p, width)],
        "the worst of the chosen stands first": lambda log_p, next_log_p, width: _pairs(log_p[:, None] + next_log_p, width)[::-1],
    },
}
