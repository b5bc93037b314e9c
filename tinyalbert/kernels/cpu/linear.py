"""Kernel of the linear map: results begin at a cache line, the bias is added while a block is in
cache.
"""

import numpy as np

from .blocks import empty, matrix, row_blocks, tile


def linear(x, weight, bias=None):
    """ops.linear."""
    rows = matrix(x)
    y = np.matmul(rows, weight.T, out=empty((len(rows), len(weight)), x.dtype))
    if bias is not None:
        parts = row_blocks(*y.shape)
        biases = tile(0, bias, parts[0].stop if parts else 0)
        for part in parts:
            y[part] += biases[: part.stop - part.start]

    def vjp(g, needs=(True, True, True)):
        g = matrix(g)
        return (
            np.matmul(g, weight, out=empty(rows.shape, g.dtype)).reshape(x.shape)
            if needs[0]
            else None,
            g.T @ rows if needs[1] else None,
            np.ones(len(g), g.dtype) @ g if bias is not None else None,
        )

    return y.reshape(*x.shape[:-1], len(weight)), vjp
