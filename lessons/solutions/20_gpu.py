"""Answers to lesson 20, their hints, and typical wrong answers."""

import numpy as np


def clip_factor(norm, limit):
    return limit / np.maximum(norm, limit)


def pack(arrays):
    return np.concatenate([np.asarray(a).reshape(-1) for a in arrays])


def scatter_add(V, ids, rows):
    table = np.zeros((V, rows.shape[1]))
    np.add.at(table, ids, rows)
    return table


def step_seconds(launches, operations):
    return max(launches * 10e-6, operations / 1e13)


def _mean(V, ids, rows):
    return scatter_add(V, ids, rows) / np.maximum(np.bincount(ids, minlength=V), 1)[:, None]


def _lost(V, ids, rows):
    table = np.zeros((V, rows.shape[1]))
    table[ids] += rows
    return table


# what an answer is compared with, where it is not the function above
REFERENCES = {
    "scatter_add": lambda V, ids, rows: (np.arange(V)[:, None] == ids).astype(rows.dtype) @ rows,
}

HINTS = {
    "clip_factor": "1 where norm is below the limit, limit / norm above: a division by the larger of two numbers",
    "pack": "reshape(-1) lays an array out in one row; np.concatenate puts rows one after another",
    "scatter_add": "np.add.at(table, ids, rows), or a matrix of 0 and 1 times rows",
    "step_seconds": "launching and computing happen at the same time: max, not sum",
}

MISTAKES = {
    "clip_factor": {
        "short gradients are made longer": lambda norm, limit: limit / norm,
        "upside down: long gradients are made longer": lambda norm, limit: np.maximum(norm, limit) / limit,
        "this is the length after clipping, not the factor": lambda norm, limit: np.minimum(norm, limit),
    },
    "pack": {
        "in reverse order": lambda arrays: np.concatenate([np.asarray(a).reshape(-1) for a in arrays[::-1]]),
        "column by column; on the device they are cut and reshaped row by row":
            lambda arrays: np.concatenate([np.asarray(a).ravel(order="F") for a in arrays]),
    },
    "scatter_add": {
        "a row that is written twice keeps only the last write": _lost,
        "a mean where a sum belongs: every occurrence counts fully": _mean,
        "this counts the words; it is the rows that are added":
            lambda V, ids, rows: np.bincount(ids, minlength=V)[:, None] * np.ones(rows.shape[1]),
    },
    "step_seconds": {
        "launching and computing overlap: the longer of the two, not their sum":
            lambda launches, operations: launches * 10e-6 + operations / 1e13,
        "the slower of the two decides, not the faster": lambda launches, operations: min(launches * 10e-6, operations / 1e13),
        "10 µs is 10 millionths of a second, not thousandths":
            lambda launches, operations: max(launches * 10e-3, operations / 1e13),
    },
}
