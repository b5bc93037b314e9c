"""Answers to lesson 04, their hints, and typical wrong answers."""

import numpy as np

from tinyalbert import ops


def linear_backward_x(x, w, g):
    return g @ w


def linear_backward_w(x, w, g):
    return g.reshape(-1, g.shape[-1]).T @ x.reshape(-1, x.shape[-1])


def linear_backward_bias(x, w, g):
    return g.reshape(-1, g.shape[-1]).sum(axis=0)


# what an answer is compared with, where it is not the function above
REFERENCES = {
    "linear_backward_x": lambda x, w, g: ops.linear.raw(x, w, np.zeros(len(w)))[1](g)[0],
    "linear_backward_w": lambda x, w, g: ops.linear.raw(x, w, np.zeros(len(w)))[1](g)[1],
    "linear_backward_bias": lambda x, w, g: ops.linear.raw(x, w, np.zeros(len(w)))[1](g)[2],
}

HINTS = {
    "linear_backward_x": "y = x @ w.T; the gradient of x has shape (..., in), g has (..., out), w has (out, in)",
    "linear_backward_w": "bring x and g to two dimensions with reshape(-1, ...), then one product gives (out, in)",
    "linear_backward_bias": "the bias was added to every row: lesson 03",
}

MISTAKES = {
    "linear_backward_x": {
        "summed over the rows: each row of x has a gradient of its own":
            lambda x, w, g: (g @ w).reshape(-1, w.shape[1]).sum(axis=0),
        "this is the gradient of the weight": lambda x, w, g: linear_backward_w(x, w, g),
    },
    "linear_backward_w": {
        "transposed: the weight is stored as [out, in]":
            lambda x, w, g: x.reshape(-1, x.shape[-1]).T @ g.reshape(-1, g.shape[-1]),
        "a mean over the rows where a sum belongs":
            lambda x, w, g: linear_backward_w(x, w, g) / (g.size / g.shape[-1]),
    },
    "linear_backward_bias": {
        "not summed over the rows: every row used the same bias": lambda x, w, g: g,
        "summed over the first axis only; all leading axes are rows": lambda x, w, g: g.sum(axis=0),
    },
}
