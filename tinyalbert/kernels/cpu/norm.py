"""Kernels of the layer norm."""

import numpy as np

from ...ops import refuse_empty
from .blocks import empty, matrix, row_blocks, scratch, tile


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
    y = empty(x.shape, x.dtype)
    xhat = empty(x.shape, x.dtype)
    rstd = np.empty((R, 1), x.dtype)
    parts = row_blocks(R, H)
    step = parts[0].stop if parts else 0
    gains = tile(0, gamma, step)
    shifts = tile(1, beta, step)
    average = np.full((H, 1), 1 / H, x.dtype)
    for part in parts:
        block = xhat[part]
        if residual is None:
            np.subtract(x[part], x[part] @ average, out=block)
        else:
            np.add(x[part], residual[part], out=block)
            block -= block @ average
        std = np.sqrt(np.vecdot(block, block)[:, None] / H + eps)
        block *= np.divide(1, std, out=rstd[part])
        out = np.multiply(block, gains[: len(block)], out=y[part])
        out += shifts[: len(block)]

    def vjp(g):
        g = matrix(g)
        gx = empty(g.shape, g.dtype)
        ggamma = np.zeros_like(gamma)
        gbeta = np.zeros_like(gamma)
        gains = tile(0, gamma, step)
        ones = np.ones(step, g.dtype)
        weighted = (gamma / H)[:, None]
        for part in parts:
            n = part.stop - part.start
            block = gx[part]
            normal = xhat[part]
            product = np.multiply(g[part], normal, out=scratch(1, normal.shape, g.dtype))
            ggamma += ones[:n] @ product
            gbeta += ones[:n] @ g[part]
            along = product @ weighted  # (rows, 1) mean of gx * xhat
            np.multiply(g[part], gains[:n], out=block)
            block -= np.multiply(normal, along, out=product)
            block -= g[part] @ weighted
            block *= rstd[part]
        gx = gx.reshape(shape)
        return gx, gx, ggamma, gbeta

    return y.reshape(shape), vjp
