"""Kernel of the linear map: results begin at a cache line, the bias is added block by block."""

import numpy as np

from ...products import library_for, multiply
from ...tensor import selective
from .blocks import empty, is_bfloat16, matrix, row_blocks, tile


def affine(rows, weight, bias):
    """rows weightᵀ + bias, a new array: (R, I), (O, I), (O,) or None -> (R, O)."""
    y = empty((len(rows), len(weight)), rows.dtype)
    if bias is None or is_bfloat16(rows) or library_for(rows.dtype).name != "numpy":
        return multiply(rows, weight.T, y, bias)
    multiply(rows, weight.T, y)
    parts = row_blocks(*y.shape)
    biases = tile(0, bias, parts[0].stop if parts else 0)
    for part in parts:
        y[part] += biases[: part.stop - part.start]
    return y


def affine_gradients(g, rows, weight, needs):
    """Gradients of rows and weight, or None where none is needed: g (R, O) -> (R, I), (O, I).

    The weight's is a sum over the rows of the batch: float32, even if all else has 16 bits.
    """
    grows = gweight = None
    if needs[0]:
        grows = multiply(g, weight, empty(rows.shape, g.dtype))
    if needs[1]:
        wide = np.float32 if is_bfloat16(g) else g.dtype
        gweight = multiply(g.T, rows, np.empty(weight.shape, wide))
    return grows, gweight


def sum_of_rows(g):
    """g.sum(axis=0) as a product, in float32 if g has 16 bits: (R, O) -> (O,)."""
    if not is_bfloat16(g):
        return np.ones(len(g), g.dtype) @ g
    return multiply(np.ones((1, len(g)), g.dtype), g, np.empty((1, g.shape[1]), np.float32))[0]


def linear(x, weight, bias=None):
    """ops.linear."""
    rows = matrix(x)
    y = affine(rows, weight, bias)

    @selective
    def vjp(g, needs):
        g = matrix(g)
        gx, gweight = affine_gradients(g, rows, weight, needs)
        gbias = sum_of_rows(g) if bias is not None and needs[2] else None
        return gx if gx is None else gx.reshape(x.shape), gweight, gbias

    return y.reshape(*x.shape[:-1], len(weight)), vjp
