"""Kernel of attention that takes a few heads at a time.

Their scores thus stay in cache from the product to the softmax.

Softmax's division is left to the end, where it meets D columns instead of T: with e = exp(scores)
and r the sums of its rows, softmax is e / r.  Kept for the backward pass: e, r, the output, and the
mask of the dropout.
"""

import math

import numpy as np

from ...tensor import selective, unbroadcast
from .blocks import BLOCK, empty, recording, scratch
from .dropout import keep_mask

# exp of a score up to LARGE and sums from TINY on are ordinary numbers, and so is 1 / r
LARGE = 20.0
TINY = 1e-20


def _heads(x, num_heads):
    """(B, T, H) -> (B, N, T, D), a view: np.matmul takes it without a copy."""
    return x.reshape(*x.shape[:2], num_heads, x.shape[2] // num_heads).transpose(0, 2, 1, 3)


def _blocks(B, N, size):
    """Index pairs (examples, heads) of blocks of about BLOCK scores; a head has `size`."""
    if N * size > BLOCK:
        heads = max(1, BLOCK // size)
        return [
            (slice(b, b + 1), slice(n, n + heads)) for b in range(B) for n in range(0, N, heads)
        ]
    examples = max(1, BLOCK // max(1, N * size))
    return [(slice(b, b + examples), slice(0, N)) for b in range(0, B, examples)]


def _exponentials(q, k, bias, e):
    """Write e = exp(q kᵀ + bias - shift) of a block of heads; returns its row sums (..., T, 1).

    Softmax is the same for any shift.  The usual one, each row's largest score, takes longer to
    find than the exponentials to compute.  The largest score of the block does as well, unless all
    scores of some row are far below it; if it is small, so does none.  LARGE and TINY are beyond
    float16: there each row has its own.
    """
    ones = np.ones((e.shape[-1], 1), e.dtype)
    for by_row in (e.dtype == np.float16, True):
        np.matmul(q, k.swapaxes(-1, -2), out=e)
        if bias is not None:
            e += bias
        if by_row:
            e -= e.max(axis=-1, keepdims=True)
        elif abs(top := e.max(initial=-np.inf)) > LARGE:
            e -= top
        np.exp(e, out=e)
        sums = e @ ones
        if not sums.min(initial=1) < TINY:
            break
    return sums


def attention(q, k, v, bias, num_heads, p=0.0, key=0, first_row=0):
    """ops.attention: scores, softmax and dropout of a block of heads at a time, no head copied."""
    shapes = (q.shape, k.shape, v.shape)
    dtype = q.dtype
    q = _heads(q, num_heads)  # (B, N, M, D)
    k = _heads(k, num_heads)  # (B, N, T, D)
    v = _heads(v, num_heads)
    B, N, M, D = q.shape
    T = k.shape[2]
    scale = 1 / math.sqrt(D)
    gain = 1 / (1 - round(p * 65536) / 65536)
    size = (B, N, M, T)
    blocks = _blocks(B, N, M * T)
    context = empty(shapes[0], dtype)
    y = _heads(context, N)
    e = empty(size, dtype) if recording() else None
    sums = np.empty((B, N, M, 1), dtype)
    kept = keep_mask(size, p, key, first_row) if p else None
    bias_shape = None
    if bias is not None:
        bias_shape = bias.shape
        bias = np.broadcast_to(bias, (B, *bias_shape[1:]))

    def dropped(part, at):
        """The weights that are left of this block, times r / gain."""
        if kept is None:
            return part
        return np.multiply(part, kept[at], out=scratch(2, part.shape, dtype))

    def bias_at(at):
        if bias is None:
            return None
        examples, heads = at
        return bias[examples, heads if bias.shape[1] > 1 else slice(None)]

    for at in blocks:
        scaled = np.multiply(q[at], scale, out=scratch(0, q[at].shape, dtype))
        part = scratch(1, (*scaled.shape[:3], T), dtype) if e is None else e[at]
        sums[at] = _exponentials(scaled, k[at], bias_at(at), part)
        np.matmul(dropped(part, at), v[at], out=y[at])
        y[at] *= gain / sums[at]

    @selective
    def vjp(g, needs):
        g = _heads(g, N)
        gradients = [empty(shape, dtype) for shape in shapes]
        gq, gk, gv = (_heads(x, N) for x in gradients)
        gbias = np.empty(size, dtype) if bias is not None and needs[3] else None
        for at in blocks:  # weights * (g vᵀ - rowsum(g y)) is the gradient of the scores
            part = e[at]
            over_r = np.divide(g[at], sums[at], out=scratch(0, g[at].shape, dtype))
            along = np.vecdot(over_r, y[at])[..., None]
            over_r *= gain
            np.matmul(dropped(part, at).swapaxes(-1, -2), over_r, out=gv[at])
            gscores = np.matmul(over_r, v[at].swapaxes(-1, -2), out=scratch(1, part.shape, dtype))
            if kept is not None:
                gscores *= kept[at]
            gscores -= along
            gscores *= part
            if gbias is not None:
                gbias[at] = gscores
            gscores *= scale
            np.matmul(gscores, k[at], out=gq[at])
            np.matmul(gscores.swapaxes(-1, -2), q[at], out=gk[at])
        if gbias is not None:
            gbias = unbroadcast(gbias, bias_shape)
        return *gradients, gbias, None, None, None, None

    return context, vjp
