"""Kernels of attention on a GPU (heads.cu, softmax.cu).

Attention takes three launches beside the products, which are two forward and four backward.  With
the three linear maps before it there is one product more forward, and two backward.
"""

import math
from typing import NamedTuple

from ...backend import xp_of
from ...ops import merge_heads
from ...tensor import Sum, selective, unbroadcast
from .elementwise import hashed
from .launch import (
    computed_in,
    contiguous,
    launch,
    launch_over,
    real,
    result,
    strip_sums,
    threads_for,
)
from .product import in_shape, product


class Layout(NamedTuple):
    """Where the kernels of heads.cu find q, k and v: they are rows of `line` elements.

    k and v begin `second` and `third` elements behind their arrays' addresses.
    """

    line: int
    second: int = 0
    third: int = 0


def _attend(q, k, v, biases, bias, sizes, layout, random):
    """(context (B, M, H), back) of q, k and v with their biases (or None).

    sizes: elements of q, elements of k, M, T, N, D.  random: elementwise.hashed of the dropout.
    back(g, gq, gk, gv) writes the gradients into these arrays, in the same layout, and returns that
    of the scores (B, N, M, T).
    """
    xp = xp_of(q)
    dtype = q.dtype
    _, size, M, T, N, D = sizes
    B = size // (T * N * D) if size else 0
    scale = 1 / math.sqrt(D)

    def split(name, arrays, *shapes):
        """`arrays` (B, rows, H), cut into heads of these shapes by the kernel `name`."""
        outputs = [xp.empty(shape, dtype=dtype) for shape in shapes]
        numbers = (*sizes, *layout, scale)
        launch_over("heads", name, dtype, max(sizes[:2]), *arrays, *outputs, *numbers)
        return outputs

    queries, keys, values = split(
        "split_forward", (q, k, v, *biases), (B, N, M, D), (B, N, D, T), (B, N, T, D)
    )
    weights = product(queries, keys)  # (B, N, M, T)
    by_key = (
        bias is not None
        and bias.shape in ((B, 1, 1, T), (1, 1, 1, T))
        and bias.dtype == computed_in(dtype)
    )
    if bias is not None and not by_key:  # another shape, or integers: an addition of its own
        weights = (weights + bias).astype(dtype, copy=False)
    dropped = xp.empty(weights.shape, dtype=dtype) if random[1] else None
    masked = (None, 0)  # the bias, and how far apart those of two examples lie
    if by_key:
        masked = (contiguous(bias), T if len(bias) > 1 else 0)
    threads = threads_for(T)
    numbers = (T, N * M, *random)
    launch(
        "softmax", "softmax_forward", dtype, B * N * M, threads, weights, dropped, *masked, *numbers
    )
    context = product(weights if dropped is None else dropped, values)  # (B, N, M, D)

    def back(g, gq, gk, gv):
        queries, keys, values, g, transposed_g = split(
            "split_backward",
            (q, k, v, *biases, contiguous(g)),
            (B, N, D, M),
            (B, N, T, D),
            (B, N, D, T),
            (B, N, M, D),
            (B, N, D, M),
        )
        gscores = product(g, values)
        dropped = xp.empty(weights.shape, dtype=dtype) if random[1] else None
        arrays = (weights, gscores, dropped)
        launch("softmax", "softmax_backward", dtype, B * N * M, threads, *arrays, *numbers)
        products = (
            product(gscores, keys),
            product(queries, gscores),
            product(transposed_g, weights if dropped is None else dropped),
        )
        places = (gq, gk, gv, *sizes, *layout)
        launch_over("heads", "merge_backward", dtype, max(sizes[:2]), *products, *places)
        return gscores

    return merge_heads(context), back


def _bias_gradient(bias, needed, gscores):
    if bias is None or not needed:
        return None
    return unbroadcast(gscores.astype(computed_in(gscores.dtype), copy=False), bias.shape)


@real(stored=3)
def attention(q, k, v, bias, num_heads, p=0.0, key=0, first_row=0):
    """ops.attention: scores become weights in place, the one (B, N, M, T) array that is kept."""
    q, k, v = map(contiguous, (q, k, v))
    M, H = q.shape[1:]
    sizes = (q.size, k.size, M, k.shape[1], num_heads, H // num_heads)
    random = hashed(p, key, first_row)
    context, back = _attend(q, k, v, (None,) * 3, bias, sizes, Layout(H), random)

    @selective
    def vjp(g, needs):
        xp = xp_of(g)
        gradients = [xp.empty(a.shape, dtype=a.dtype) for a in (q, k, v)]
        gscores = back(g, *gradients)
        return *gradients, _bias_gradient(bias, needs[3], gscores), None, None, None, None

    return context, vjp


# --- with the linear maps before it ---------------------------------------------------------------


def joined(arrays):
    """Arrays (rows, ...) of one shape, one behind the other, as one array.

    It is a view if they lie so in memory, as a Trainer places the weights on a GPU.
    """
    first = arrays[0]
    base = first.base
    follows = base is not None and all(
        a.flags.c_contiguous
        and a.shape == first.shape
        and a.data.ptr == first.data.ptr + i * first.nbytes
        and a.base is not None
        and a.base.data.ptr == base.data.ptr
        for i, a in enumerate(arrays)
    )
    if not follows:
        return xp_of(first).concatenate([contiguous(a) for a in arrays])
    start = (first.data.ptr - base.data.ptr) // first.dtype.itemsize
    whole = base.reshape(-1)[start : start + len(arrays) * first.size]
    return whole.reshape(len(arrays) * len(first), *first.shape[1:])


def together(needs):
    """One Sum over all of a vjp's `needs`, if they are Sums that lie one behind the other.

    Otherwise True: the gradient is an array of its own, which `apart` cuts.
    """
    if not all(isinstance(need, Sum) and need.add == needs[0].add for need in needs):
        return True
    array = joined([need.array for need in needs])
    if array.base is None or array.data.ptr != needs[0].array.data.ptr:
        return True
    return Sum(array, needs[0].add)


def apart(needs, gradient):
    """What a vjp returns for each of `needs`; gradient: what came of together(needs)."""
    if isinstance(gradient, Sum):
        return [result(need, None) for need in needs]
    rows = len(gradient) // len(needs)
    return [gradient[i * rows : (i + 1) * rows] for i in range(len(needs))]


@real(stored=4)
def self_attention(x, wq, wk, wv, bq, bk, bv, bias, num_heads, p=0.0, key=0, first_row=0):
    """ops.self_attention: one product for q, k and v; keeps it without the biases, and x."""
    B, T, H = x.shape
    rows = contiguous(x).reshape(B * T, H)
    weights = joined((wq, wk, wv))  # (3 H, H)
    biases = [contiguous(b) for b in (bq, bk, bv)]
    maps = product(rows, weights.T)  # (B T, 3 H)
    sizes = (x.size, x.size, T, T, num_heads, H // num_heads)
    layout = Layout(3 * H, H, 2 * H)
    random = hashed(p, key, first_row)
    context, back = _attend(maps, maps, maps, biases, bias, sizes, layout, random)

    @selective
    def vjp(g, needs):
        xp = xp_of(g)
        gmaps = xp.empty(maps.shape, dtype=maps.dtype)
        gscores = back(g, gmaps, gmaps, gmaps)
        gx = in_shape(product(gmaps, weights, into=needs[0]), x.shape) if needs[0] else None
        gweights = gbiases = [None] * 3
        if any(needs[1:4]):
            need = together(needs[1:4])
            gweights = apart(needs[1:4], product(gmaps.T, rows, computed_in(g.dtype), need))
        if any(needs[4:7]):
            gbiases = apart(needs[4:7], strip_sums(xp, gmaps, together(needs[4:7])))
        gbias = _bias_gradient(bias, needs[7], gscores)
        return gx, *gweights, *gbiases, gbias, None, None, None, None

    return context, vjp
