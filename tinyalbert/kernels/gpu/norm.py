"""Kernels of the layer norm on a GPU (norm.cu): one launch forward, two backward."""

from ...backend import xp_of
from ..cpu.blocks import recording
from .launch import STRIP, computed_in, contiguous, launch, real, strip_sums, threads_for


@real(stored=1)
def layer_norm(x, gamma, beta, eps=1e-12):
    """ops.layer_norm: see add_layer_norm."""
    y, inner = add_layer_norm(x, None, gamma, beta, eps)

    def vjp(g):
        gx, _, ggamma, gbeta = inner(g)
        return gx, ggamma, gbeta

    return y, vjp


@real(stored=2)
def add_layer_norm(x, residual, gamma, beta, eps=1e-12):
    """ops.add_layer_norm: keeps xhat and 1 / std."""
    xp = xp_of(x)
    x = contiguous(x)
    if residual is not None:
        residual = contiguous(residual)
    gamma = contiguous(gamma)
    width = x.shape[-1]
    rows = x.size // width
    threads = threads_for(width)
    sums_in = computed_in(x.dtype)
    y = xp.empty(x.shape, dtype=x.dtype)
    xhat = xp.empty(x.size, dtype=x.dtype) if recording() else None
    rstd = xp.empty(rows, dtype=sums_in) if recording() else None
    launch(
        "norm",
        "layer_norm_forward",
        x.dtype,
        rows,
        threads,
        x,
        residual,
        gamma,
        contiguous(beta),
        y,
        xhat,
        rstd,
        width,
        float(eps),
    )

    def vjp(g):
        strips = -(-rows // STRIP)
        gx = xp.empty(g.shape, dtype=g.dtype)
        partial = xp.empty((strips, 2 * width), dtype=sums_in)
        launch(
            "norm",
            "layer_norm_backward",
            g.dtype,
            strips,
            threads,
            contiguous(g),
            xhat,
            rstd,
            gamma,
            gx,
            partial,
            rows,
            width,
        )
        sums = strip_sums(xp, partial)
        return gx, gx, sums[:width], sums[width:]

    return y, vjp
