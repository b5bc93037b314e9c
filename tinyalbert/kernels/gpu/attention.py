"""Kernel of attention on a GPU (heads.cu, softmax.cu).

It takes three launches beside the products, which are two forward and four backward.
"""

import math

from ...backend import xp_of
from ...ops import merge_heads
from ...tensor import selective, unbroadcast
from .elementwise import hashed
from .launch import computed_in, contiguous, launch, launch_over, real, threads_for
from .product import product


@real(stored=3)
def attention(q, k, v, bias, num_heads, p=0.0, key=0, first_row=0):
    """ops.attention: scores become weights in place, the one (B, N, M, T) array that is kept."""
    xp = xp_of(q)
    dtype = q.dtype
    B, M, H = q.shape
    T = k.shape[1]
    N = num_heads
    D = H // N
    q = contiguous(q)
    k = contiguous(k)
    v = contiguous(v)
    sizes = (q.size, k.size, M, T, N, D)
    random = hashed(p, key, first_row)

    def split(name, arrays, *shapes):
        """`arrays` (B, rows, H), cut into heads of these shapes by the kernel `name`."""
        outputs = [xp.empty(shape, dtype=dtype) for shape in shapes]
        launch_over(
            "heads", name, dtype, max(sizes[:2]), *arrays, *outputs, *sizes, 1 / math.sqrt(D)
        )
        return outputs

    queries, keys, values = split(
        "split_forward", (q, k, v), (B, N, M, D), (B, N, D, T), (B, N, T, D)
    )
    weights = product(queries, keys)  # (B, N, M, T)
    by_key = (
        bias is not None
        and bias.shape in ((B, 1, 1, T), (1, 1, 1, T))
        and bias.dtype == computed_in(dtype)
    )
    if bias is not None and not by_key:  # another shape, or integers: an addition of its own
        weights = (weights + bias).astype(dtype, copy=False)
    dropped = xp.empty(weights.shape, dtype=dtype) if p else None
    masked = (None, 0)  # the bias, and how far apart those of two examples lie
    if by_key:
        masked = (contiguous(bias), T if len(bias) > 1 else 0)
    launch(
        "softmax",
        "softmax_forward",
        dtype,
        B * N * M,
        threads_for(T),
        weights,
        dropped,
        *masked,
        T,
        N * M,
        *random,
    )
    context = product(dropped if p else weights, values)  # (B, N, M, D)

    @selective
    def vjp(g, needs):
        queries, keys, values, g, transposed_g = split(
            "split_backward",
            (q, k, v, contiguous(g)),
            (B, N, D, M),
            (B, N, T, D),
            (B, N, D, T),
            (B, N, M, D),
            (B, N, D, M),
        )
        gscores = product(g, values)
        dropped = xp.empty(weights.shape, dtype=dtype) if p else None
        launch(
            "softmax",
            "softmax_backward",
            dtype,
            B * N * M,
            threads_for(T),
            weights,
            gscores,
            dropped,
            T,
            N * M,
            *random,
        )
        gq = xp.empty((B, M, H), dtype=dtype)
        gk = xp.empty((B, T, H), dtype=dtype)
        gv = xp.empty((B, T, H), dtype=dtype)
        launch_over(
            "heads",
            "merge_backward",
            dtype,
            max(sizes[:2]),
            product(gscores, keys),
            product(queries, gscores),
            product(transposed_g, dropped if p else weights),
            gq,
            gk,
            gv,
            *sizes,
        )
        gbias = None
        if bias is not None and needs[3]:
            gbias = unbroadcast(gscores.astype(computed_in(dtype), copy=False), bias.shape)
        return gq, gk, gv, gbias, None, None, None, None

    return merge_heads(context), vjp
