"""Kernels of the activations: GELU alone, and GELU after the feed-forward's first linear map."""

import numpy as np

from ...ops import SQRT_2_OVER_PI
from ...tensor import selective
from .blocks import empty, matrix, recording, row_blocks, scratch, tile


def _gelu_rows(x, y, slope):
    """y = gelu(x) and slope = gelu'(x) on one block; y may be x, slope may be None.

    With s = (1 + tanh u) / 2, u = c x (1 + a x²):  y = x s,  y' = s (1 + (1 - s) (6 u - 4 c x)).
    """
    u = scratch(0, x.shape, x.dtype)
    s = scratch(1, x.shape, x.dtype)
    np.multiply(x, x, out=u)
    u *= 0.044715 * SQRT_2_OVER_PI
    u += SQRT_2_OVER_PI
    u *= x
    np.tanh(u, out=s)
    s *= 0.5
    s += 0.5
    if slope is not None:
        u *= 6
        u -= np.multiply(x, 4 * SQRT_2_OVER_PI, out=slope)
        u *= np.subtract(1, s, out=slope)
        u += 1
        np.multiply(u, s, out=slope)
    np.multiply(x, s, out=y)


def gelu(x):
    """ops.gelu: one pass over blocks in cache; keeps the derivative instead of x and tanh."""
    rows = matrix(x) if x.ndim else x.reshape(1, 1)
    y = empty(rows.shape, x.dtype)
    slope = empty(rows.shape, x.dtype) if recording() else None
    for part in row_blocks(*rows.shape):
        _gelu_rows(rows[part], y[part], slope if slope is None else slope[part])

    def vjp(g):
        gx = empty(rows.shape, g.dtype)
        g = matrix(g) if g.ndim else g.reshape(1, 1)
        return (np.multiply(g, slope, out=gx).reshape(x.shape),)

    return y.reshape(x.shape), vjp


def linear_gelu(x, weight, bias):
    """ops.linear_gelu: bias and GELU while a block of the product is in cache, in its place."""
    rows = matrix(x)
    y = np.matmul(rows, weight.T, out=empty((len(rows), len(weight)), x.dtype))
    slope = empty(y.shape, y.dtype) if recording() else None
    parts = row_blocks(*y.shape)
    biases = tile(2, bias, parts[0].stop if parts else 0)
    for part in parts:
        block = y[part]
        block += biases[: len(block)]
        _gelu_rows(block, block, slope if slope is None else slope[part])

    @selective
    def vjp(g, needs):
        g = matrix(g)
        gz = empty(g.shape, g.dtype)
        gbias = np.zeros_like(bias)
        for part in parts:
            block = np.multiply(g[part], slope[part], out=gz[part])
            gbias += np.ones(len(block), g.dtype) @ block
        gx = (gz @ weight).reshape(x.shape) if needs[0] else None
        gweight = gz.T @ rows if needs[1] else None
        return gx, gweight, gbias

    return y.reshape(*x.shape[:-1], len(weight)), vjp
