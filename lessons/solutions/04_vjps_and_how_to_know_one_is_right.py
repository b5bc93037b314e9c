"""Answers to lesson 04, and typical wrong answers."""


def linear_backward_x(x, w, g):
    return g @ w


def linear_backward_w(x, w, g):
    return g.reshape(-1, g.shape[-1]).T @ x.reshape(-1, x.shape[-1])


def linear_backward_bias(x, w, g):
    return g.reshape(-1, g.shape[-1]).sum(axis=0)


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
