"""Kernels of the layer norm."""

import numpy as np

from ...ops import refuse_empty
from .blocks import (
    empty,
    is_bfloat16,
    matrix,
    narrow,
    row_blocks,
    scratch,
    tile,
    wide,
    wide_out,
    wide_type,
    widened,
)


def layer_norm(x, gamma, beta, eps=1e-12):
    """ops.layer_norm: see add_layer_norm."""
    y, inner = add_layer_norm(x, None, gamma, beta, eps)

    def vjp(g):
        gx, _, ggamma, gbeta = inner(g)
        return gx, ggamma, gbeta

    return y, vjp


def add_layer_norm(x, residual, gamma, beta, eps=1e-12):
    """ops.add_layer_norm: by blocks, sums over rows as products; keeps xhat and 1 / std."""
    refuse_empty("layer_norm", x, -1)
    shape = x.shape
    x = matrix(x)
    if residual is not None:
        residual = matrix(residual)
    R, H = x.shape
    kept = x if residual is None or is_bfloat16(x) else residual
    gamma, beta = widened(gamma), widened(beta)
    dtype = wide_type(kept, gamma)
    y = empty(x.shape, kept.dtype)
    xhat = empty(x.shape, kept.dtype)
    rstd = np.empty((R, 1), dtype)
    parts = row_blocks(R, H)
    step = parts[0].stop if parts else 0
    gains = tile(0, gamma, step)
    shifts = tile(1, beta, step)
    average = np.full((H, 1), 1 / H, dtype)
    for part in parts:
        block = wide_out(xhat[part], 2)
        if residual is None:
            given = wide(x[part], 3)
            np.subtract(given, given @ average, out=block)
        else:
            np.add(wide(x[part], 3), wide(residual[part], 4), out=block)
            block -= block @ average
        std = np.sqrt(np.vecdot(block, block)[:, None] / H + eps)
        block *= np.divide(1, std, out=rstd[part])
        out = np.multiply(block, gains[: len(block)], out=wide_out(y[part], 3))
        out += shifts[: len(block)]
        narrow(block, xhat[part])
        narrow(out, y[part])

    def vjp(g):
        g = matrix(g)
        gx = empty(g.shape, g.dtype)
        ggamma = np.zeros_like(gamma)
        gbeta = np.zeros_like(gamma)
        gains = tile(0, gamma, step)
        ones = np.ones(step, dtype)
        weighted = (gamma / H)[:, None]
        for part in parts:
            n = part.stop - part.start
            block = wide_out(gx[part], 2)
            normal = wide(xhat[part], 3)
            given = wide(g[part], 4)
            product = np.multiply(given, normal, out=scratch(1, normal.shape, dtype))
            ggamma += ones[:n] @ product
            gbeta += ones[:n] @ given
            along = product @ weighted  # (rows, 1) mean of gx * xhat
            np.multiply(given, gains[:n], out=block)
            block -= np.multiply(normal, along, out=product)
            block -= given @ weighted
            block *= rstd[part]
            narrow(block, gx[part])
        gx = gx.reshape(shape)
        return gx, gx, ggamma, gbeta

    return y.reshape(shape), vjp
