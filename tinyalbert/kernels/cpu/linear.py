"""Kernel of the linear map: results begin at a cache line, the bias is added block by block."""

import numpy as np

from ...tensor import selective
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

    @selective
    def vjp(g, needs):
        g = matrix(g)
        gx = gweight = gbias = None
        if needs[0]:
            gx = np.matmul(g, weight, out=empty(rows.shape, g.dtype)).reshape(x.shape)
        if needs[1]:
            gweight = g.T @ rows
        if bias is not None and needs[2]:
            gbias = np.ones(len(g), g.dtype) @ g
        return gx, gweight, gbias

    return y.reshape(*x.shape[:-1], len(weight)), vjp
