"""Kernels of the activations: GELU alone, and GELU after the feed-forward's first linear map."""

import functools

import numpy as np

from ...ops import SQRT_2_OVER_PI
from ...products import library_for
from ...tensor import selective
from .blocks import (
    empty,
    is_bfloat16,
    matrix,
    narrow,
    recording,
    row_blocks,
    scratch,
    tile,
    wide,
    wide_out,
    widened,
)
from .linear import affine, affine_gradients, sum_of_rows


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


def _gelu(z, bias=None):
    """(gelu(z + bias), the function from its gradient to z's): z (R, n), contiguous, bias (n,).

    Kept for that function: the derivative; by a library that has GELU in one pass, z.  Where there
    is a bias, z is written over.
    """
    library = library_for(z.dtype)
    if library.has_gelu and bias is None:
        y = empty(z.shape, z.dtype)
        library.gelu(z, y)
        return y, functools.partial(_times_slope_of, library, z)
    y = empty(z.shape, z.dtype) if bias is None else z
    slope = empty(z.shape, z.dtype) if recording() else None
    parts = row_blocks(*z.shape)
    biases = None if bias is None else tile(2, bias, parts[0].stop if parts else 0)
    for part in parts:
        block = wide(z[part], 3)
        if bias is not None:
            block += biases[: len(block)]
        out = wide_out(y[part], 4)
        slopes = None if slope is None else wide_out(slope[part], 5)
        _gelu_rows(block, out, slopes)
        narrow(out, y[part])
        if slope is not None:
            narrow(slopes, slope[part])
    return y, functools.partial(_times_slope, slope)


def _times_slope(slope, g, sums=None):
    """g * slope, a new array; its sum over the rows is added to `sums`."""
    out = empty(g.shape, g.dtype)
    for part in row_blocks(*g.shape):
        block = wide_out(out[part], 0)
        np.multiply(wide(g[part], 1), wide(slope[part], 2), out=block)
        narrow(block, out[part])
        if sums is not None:
            sums += np.ones(len(block), block.dtype) @ block
    return out


def _times_slope_of(library, z, g, sums=None):
    """_times_slope by a library that has kept z."""
    out = empty(g.shape, g.dtype)
    library.gelu_gradient(g, z, out)
    if sums is not None:
        sums += sum_of_rows(out)
    return out


def gelu(x):
    """ops.gelu: one pass over blocks in cache; keeps the derivative instead of x and tanh."""
    rows = matrix(x) if x.ndim else x.reshape(1, 1)
    y, gradient = _gelu(rows)

    def vjp(g):
        g = matrix(g) if g.ndim else g.reshape(1, 1)
        return (gradient(g).reshape(x.shape),)

    return y.reshape(x.shape), vjp


def linear_gelu(x, weight, bias):
    """ops.linear_gelu: bias and GELU while a block of the product is in cache, in its place."""
    rows, bias = matrix(x), widened(bias)
    if is_bfloat16(rows) or library_for(rows.dtype).has_gelu:
        y, gradient = _gelu(affine(rows, weight, bias))
    else:
        y, gradient = _gelu(affine(rows, weight, None), bias)

    @selective
    def vjp(g, needs):
        gbias = np.zeros_like(bias)
        gz = gradient(matrix(g), gbias)
        gx, gweight = affine_gradients(gz, rows, weight, needs)
        return gx if gx is None else gx.reshape(x.shape), gweight, gbias

    return y.reshape(*x.shape[:-1], len(weight)), vjp
