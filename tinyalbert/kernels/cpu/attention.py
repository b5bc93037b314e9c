"""Kernel of attention that takes a few heads at a time.

Their scores thus stay in cache from the product to the softmax.

Softmax's division is left to the end, where it meets D columns instead of T: with e = exp(scores)
and r the sums of its rows, softmax is e / r.  Kept for the backward pass: e, r, the output, and the
mask of the dropout.
"""

import math

import numpy as np

from ...products import multiply
from ...tensor import selective, unbroadcast
from .blocks import BLOCK, empty, is_bfloat16, narrow, recording, scratch, wide, wide_out, wide_type
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
        multiply(q, k.swapaxes(-1, -2), e)
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


def _without_dropped(weights, kept, slot):
    """The weights that are left, in scratch memory; all of them if `kept` is None."""
    if kept is None:
        return weights
    left = scratch(slot, weights.shape, weights.dtype)
    if is_bfloat16(weights):  # 0 or 1 times its bits
        np.multiply(weights.view(np.uint16), kept, out=left.view(np.uint16))
    else:
        np.multiply(weights, kept, out=left)
    return left


def _narrowed(x, dtype, slot):
    """x, or x rounded to `dtype` in scratch memory if that is another type."""
    if x.dtype == dtype:
        return x
    rounded = scratch(slot, x.shape, dtype)
    narrow(x, rounded)
    return rounded


def _forward(q, k, v, bias, kept, weights, y, scale, gain):
    """Attention in a block of heads: writes `weights` (softmax times r) and y; returns r.

    Operands of products and what is kept have q's type, scores and softmax the wide one.
    """
    kind = wide_type(q)
    scaled = np.multiply(wide(q, 0), scale, out=scratch(1, q.shape, kind))
    scores = wide_out(weights, 3)
    sums = _exponentials(_narrowed(scaled, q.dtype, 2), k, bias, scores)
    narrow(scores, weights)
    mixed = wide_out(y, 4)
    multiply(_without_dropped(weights, kept, 5), v, mixed)
    mixed *= gain / sums
    narrow(mixed, y)
    return sums


def _backward(g, q, k, v, kept, weights, y, sums, scale, gain, gradients):
    """Gradients of a block of heads, into `gradients` of q, k, v and the scores (or None).

    That of the scores is softmax * (g vᵀ - rowsum(g y)).
    """
    gq, gk, gv, gbias = gradients
    kind = wide_type(q)
    over_r = np.divide(wide(g, 0), sums, out=scratch(1, g.shape, kind))
    along = np.vecdot(over_r, wide(y, 0))[..., None]
    over_r *= gain
    over_r = _narrowed(over_r, q.dtype, 2)
    multiply(_without_dropped(weights, kept, 3).swapaxes(-1, -2), over_r, gv)
    gscores = multiply(over_r, v.swapaxes(-1, -2), scratch(4, weights.shape, kind))
    if kept is not None:
        gscores *= kept
    gscores -= along
    gscores *= wide(weights, 5)
    if gbias is not None:
        gbias[...] = gscores
    gscores *= scale
    gscores = _narrowed(gscores, q.dtype, 6)
    multiply(gscores, k, gq)
    multiply(gscores.swapaxes(-1, -2), q, gk)


def attention(q, k, v, bias, num_heads, p=0.0, key=0, first_row=0):
    """ops.attention: scores, softmax and dropout of a block of heads at a time, no head copied."""
    shapes = (q.shape, k.shape, v.shape)
    dtype = q.dtype
    q, k, v = (_heads(x, num_heads) for x in (q, k, v))  # (B, N, M, D), (B, N, T, D) twice
    B, N, M, D = q.shape
    T = k.shape[2]
    scale = 1 / math.sqrt(D)
    gain = 1 / (1 - round(p * 65536) / 65536)
    size = (B, N, M, T)
    blocks = _blocks(B, N, M * T)
    context = empty(shapes[0], dtype)
    y = _heads(context, N)
    e = empty(size, dtype) if recording() else None
    sums = np.empty((B, N, M, 1), wide_type(q))
    kept = keep_mask(size, p, key, first_row) if p else None
    bias_shape = None
    if bias is not None:
        bias_shape = bias.shape
        bias = np.broadcast_to(bias, (B, *bias_shape[1:]))

    def bias_at(at):
        if bias is None:
            return None
        examples, heads = at
        return bias[examples, heads if bias.shape[1] > 1 else slice(None)]

    for at in blocks:
        part = scratch(6, (*q[at].shape[:3], T), dtype) if e is None else e[at]
        mask = None if kept is None else kept[at]
        sums[at] = _forward(q[at], k[at], v[at], bias_at(at), mask, part, y[at], scale, gain)

    @selective
    def vjp(g, needs):
        g = _heads(g, N)
        gradients = [empty(shape, dtype) for shape in shapes]
        heads = [_heads(x, N) for x in gradients]
        gbias = np.empty(size, sums.dtype) if bias is not None and needs[3] else None
        for at in blocks:
            mask = None if kept is None else kept[at]
            own = (a[at] for a in (e, y, sums))
            into = [x[at] for x in heads] + [None if gbias is None else gbias[at]]
            _backward(g[at], q[at], k[at], v[at], mask, *own, scale, gain, into)
        if gbias is not None:
            gbias = unbroadcast(gbias, bias_shape)
        return *gradients, gbias, None, None, None, None

    return context, vjp
