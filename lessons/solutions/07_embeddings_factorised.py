"""Answers to lesson 07, their hints, and typical wrong answers."""

import numpy as np

from tinyalbert import ops


def embedding_backward(table, ids, g):
    gradient = np.zeros_like(table)
    np.add.at(gradient, ids, g)
    return gradient


def position_gradient(g):
    return g.sum(axis=0)


def embedding_parameters(V, E, H, P):
    return (V + P + 2) * E + 2 * E + E * H + H


def _last_wins(table, ids, g):
    gradient = np.zeros_like(table)
    gradient[ids] += g
    return gradient


# what an answer is compared with, where it is not the function above
REFERENCES = {
    "embedding_backward": lambda table, ids, g: ops.embedding.raw(table, ids)[1](g)[0],
}

HINTS = {
    "embedding_backward": "loop over the ids and add; or find out what np.add.at does that gradient[ids] += g does not",
    "position_gradient": "position t is used once in every sequence of the batch",
    "embedding_parameters": "three tables of width E (two segments), the norm's gain and shift, the map E->H with its bias",
}

MISTAKES = {
    "embedding_backward": {
        "rows that occur twice are counted once: gradient[ids] += g writes only the last": _last_wins,
        "a mean where a sum belongs: each use counts fully": lambda table, ids, g: embedding_backward(table, ids, g)
        / np.maximum(np.bincount(ids, minlength=len(table)), 1)[:, None],
    },
    "position_gradient": {
        "a mean where a sum belongs: each sequence used the position fully": lambda g: g.mean(axis=0),
        "summed over the tokens; each token has a position of its own": lambda g: g.sum(axis=1),
    },
    "embedding_parameters": {
        "2 E numbers are missing: the layer norm's gain and shift, or the two segments": lambda V, E, H, P: (V + P + 2) * E + E * H + H,
        "the projection's bias is missing": lambda V, E, H, P: (V + P + 2) * E + 2 * E + E * H,
        "this is the table without factorisation": lambda V, E, H, P: (V + P + 2) * H + 2 * H,
    },
}
