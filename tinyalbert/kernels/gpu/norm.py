"""Kernels of the layer norm on a GPU (norm.cu): one launch forward, two backward.

With a bias, dropout and a residual before it these are still one and two.
"""

import math

from ...backend import xp_of
from ...tensor import Sum, selective
from ..cpu.blocks import recording
from .elementwise import hashed
from .launch import STRIP, computed_in, contiguous, launch, real, sums_by_the_end, threads_for
from .product import linear

UNDROPPED = hashed(0.0, 0, 0)


def _norm(x, bias, residual, gamma, beta, eps, random=UNDROPPED):
    """(y, back): layer_norm(dropout(x + bias) + residual), bias and residual None or arrays.

    back(g, *needs) -> the gradients of dropout(x + bias), of x, and of gamma, beta and bias, whose
    needs are given; without a bias the second is the first, and the last is left out.
    random: elementwise.hashed of the dropout.
    """
    xp = xp_of(x)
    x = contiguous(x)
    bias, residual, gamma, beta = (
        a if a is None else contiguous(a) for a in (bias, residual, gamma, beta)
    )
    width = x.shape[-1]
    rows = x.size // width
    of_one = max(1, math.prod(x.shape[1:-1]))  # rows of an example, as dropout counts them
    threads = threads_for(width)
    sums_in = computed_in(x.dtype)
    y = xp.empty(x.shape, dtype=x.dtype)
    xhat = xp.empty(x.size, dtype=x.dtype) if recording() else None
    rstd = xp.empty(rows, dtype=sums_in) if recording() else None
    arrays = (x, bias, residual, gamma, beta, y, xhat, rstd)
    numbers = (width, float(eps), of_one, *random)
    launch("norm", "layer_norm_forward", x.dtype, rows, threads, *arrays, *numbers)

    def back(g, *needs):
        strips = -(-rows // STRIP)
        gx = xp.empty(g.shape, dtype=g.dtype)
        gy = None if bias is None else xp.empty(g.shape, dtype=g.dtype)
        partial = xp.empty((strips, len(needs) * width), dtype=sums_in)
        arrays = (contiguous(g), xhat, rstd, gamma, gx, gy, partial)
        numbers = (rows, width, of_one, *random)
        launch("norm", "layer_norm_backward", g.dtype, strips, threads, *arrays, *numbers)
        return gx, gx if gy is None else gy, *sums_by_the_end(xp, partial, *needs)

    return y, back


@real(stored=1)
def layer_norm(x, gamma, beta, eps=1e-12):
    """ops.layer_norm: keeps xhat and 1 / std."""
    y, back = _norm(x, None, None, gamma, beta, eps)

    @selective
    def vjp(g, needs):
        gx, _, ggamma, gbeta = back(g, needs[1], needs[2])
        return gx, ggamma, gbeta

    return y, vjp


@real(stored=2)
def add_layer_norm(x, residual, gamma, beta, eps=1e-12):
    """ops.add_layer_norm: keeps xhat and 1 / std."""
    y, back = _norm(x, None, residual, gamma, beta, eps)
    return y, selective(lambda g, needs: back(g, needs[2], needs[3]))


@real(stored=3)
def linear_add_norm(x, weight, residual, bias, gamma, beta, eps=1e-12, p=0.0, key=0, first_row=0):
    """ops.linear_add_norm: keeps x, xhat and 1 / std."""
    product, linear_vjp = linear(x, weight)
    y, back = _norm(product, bias, residual, gamma, beta, eps, hashed(p, key, first_row))

    @selective
    def vjp(g, needs):
        gresidual, gy, ggamma, gbeta, gbias = back(g, needs[4], needs[5], needs[3])
        gx, gweight, _ = linear_vjp(gy, needs)
        gresidual = Sum(gresidual)  # nobody else has it: what comes from elsewhere may be added
        return gx, gweight, gresidual, gbias, ggamma, gbeta, None, None, None, None

    return y, vjp
