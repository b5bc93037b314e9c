"""Kernels of GELU, dropout and embedding on a GPU (gelu.cu, dropout.cu, scatter.cu)."""

from ...backend import xp_of
from ...tensor import selective
from ..cpu.blocks import recording
from .launch import (
    STRIP,
    THREADS,
    computed_in,
    contiguous,
    launch,
    launch_over,
    real,
    result,
    sums_by_the_end,
    target,
)
from .product import linear


def _gelu(x, bias, y):
    """y = gelu(x + bias), y may be x; returns the derivative, or None if nothing is recorded."""
    slope = xp_of(x).empty(x.shape, dtype=x.dtype) if recording() else None
    launch_over(
        "gelu",
        "gelu_forward",
        x.dtype,
        x.size,
        x,
        bias,
        y,
        slope,
        x.size,
        x.shape[-1] if x.ndim else 1,
    )
    return slope


@real(stored=1)
def gelu(x):
    """ops.gelu: keeps the derivative."""
    x = contiguous(x)
    y = xp_of(x).empty(x.shape, dtype=x.dtype)
    slope = _gelu(x, None, y)
    return y, lambda g: (g * slope,)


@real(stored=2)
def linear_gelu(x, weight, bias):
    """ops.linear_gelu: bias and GELU in one launch on the product; keeps x and the derivative."""
    y, linear_vjp = linear(x, weight)
    slope = _gelu(y, contiguous(bias), y)
    width = len(weight)
    rows = y.size // max(1, width)

    @selective
    def vjp(g, needs):
        xp = xp_of(g)
        strips = -(-rows // STRIP)
        gz = xp.empty(g.shape, dtype=g.dtype)
        partial = xp.empty((strips, width), dtype=computed_in(g.dtype))
        launch(
            "gelu",
            "gelu_backward",
            g.dtype,
            strips * -(-width // THREADS),
            THREADS,
            contiguous(g),
            slope,
            gz,
            partial,
            rows,
            width,
        )
        gx, gweight, _ = linear_vjp(gz, needs)
        gbias = sums_by_the_end(xp, partial, needs[2]) if needs[2] else None
        return gx, gweight, gbias

    return y, vjp


def hashed(p, key, first_row):
    """What the kernels are told of a dropout: gain, threshold, key, first row, draw.

    key: a number, or an nn.DrawnKey, whose other part they read from memory.
    """
    threshold = round(p * 65536)
    draw = getattr(key, "draw", None)
    key = int(key) & 0xFFFFFFFF if draw is None else key.call
    return 65536 / (65536 - threshold), threshold, key, int(first_row), draw


@real(stored=1)
def dropout(x, p, key, first_row=0):
    """ops.dropout: keeps nothing, the mask is hashed again for the backward pass."""

    def dropped(x):
        x = contiguous(x)
        y = xp_of(x).empty(x.shape, dtype=x.dtype)
        row_size = x.size // max(1, len(x))
        launch_over(
            "dropout",
            "dropout",
            x.dtype,
            x.size,
            x,
            y,
            x.size,
            row_size,
            *hashed(p, key, first_row),
        )
        return y

    return dropped(x), lambda g: (dropped(g), None, None)


@real(stored=1)
def embedding(table, ids):
    """ops.embedding: gradients are added up in integers, so the order changes no bit."""

    @selective
    def vjp(g, needs):
        xp = xp_of(g)
        g = contiguous(g)
        places = contiguous(ids.astype("int32", copy=False))
        gtable, add = target(needs[0], xp, table.shape, computed_in(g.dtype))
        sums = xp.zeros(table.size + 1, dtype="int64")
        top = sums[-1:]  # the largest |g|
        share = 2.0 ** (ids.size.bit_length() - 61)  # |g| / unit < 2 / share: no sum overflows
        launch(
            "scatter", "largest", g.dtype, -(-g.size // (THREADS * STRIP)), THREADS, g, top, g.size
        )
        launch_over(
            "scatter",
            "add_rows",
            g.dtype,
            g.size,
            g,
            places,
            sums,
            top,
            g.size,
            *table.shape,
            share,
        )
        numbers = (table.size, share, add)
        launch_over("scatter", "to_real", g.dtype, table.size, sums, top, gtable, *numbers)
        return result(needs[0], gtable), None

    return table[ids], vjp
