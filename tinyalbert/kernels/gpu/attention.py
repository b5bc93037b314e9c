"""Kernel of attention on a GPU (heads.cu, softmax.cu): three launches beside two products, and
three beside four.
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
    """ops.attention: scores become weights in place; the weights are the one (B, N, M, T) array
    that is kept.
    """
    xp, dtype, N, D = xp_of(q), q.dtype, num_heads, q.shape[-1] // num_heads
    (B, M, H), T = q.shape, k.shape[1]
    q, k, v = map(contiguous, (q, k, v))
    sizes, random = (q.size, k.size, M, T, N, D), hashed(p, key, first_row)

    def split(name, arrays, *shapes):
        """`arrays`, tokens by features, cut into heads and brought into these shapes by the kernel
        `name`.
        """
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
    masked = (contiguous(bias), T if len(bias) > 1 else 0) if by_key else (None, 0)
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
        gscores, dropped = product(g, values), xp.empty(weights.shape, dtype=dtype) if p else None
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
        gq, gk, gv = (xp.empty((B, n, H), dtype=dtype) for n in (M, T, T))
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
