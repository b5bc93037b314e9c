"""Inputs for every op, drawn by hypothesis: structure from hypothesis, values from a seed.

CASES maps the name of an op to a strategy of `Case(arrays, static, seed)`.  Shapes broadcast, have axes of size 1 and,
where an empty result means something, 0; arrays are contiguous, transposed or strided; indices repeat; mask
rows may be all padding.  Values keep away from kinks (relu, abs) and ties (max) by construction.
"""

from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinyalbert.decoder import causal_bias

seeds = st.integers(0, 2**32 - 1)


class Case(NamedTuple):
    arrays: list          # float64 arrays are differentiated, integer and boolean ones are not
    static: dict          # keyword arguments
    seed: int             # for cotangents and directions

    @property
    def rng(self):
        return np.random.default_rng(self.seed)


def sides(low=1, high=4):
    """Lengths of an axis.  The simplest is 3 and 0 is rare: a gradient of no or one element proves little."""
    return st.sampled_from([n for n in (3, 2, 4, 1, 3, 2, 4, 0) if low <= n <= high])


def shapes(min_side=1, min_dims=0, max_dims=4, max_side=4):
    dims = st.sampled_from([n for n in (2, 1, 3, 4, 2, 0) if min_dims <= n <= max_dims])
    return dims.flatmap(lambda n: st.tuples(*[sides(min_side, max_side)] * n))


@st.composite
def broadcastable(draw, count, min_side=0, max_dims=3):
    """`count` shapes that broadcast: parts of one shape with some axes 1 and some leading axes left out."""
    full, out = draw(shapes(min_side, 0, max_dims)), []
    for _ in range(count):
        own = tuple(n if draw(st.sampled_from([True, True, False])) else 1 for n in full)
        out.append(own[draw(st.sampled_from([0, 0, 1, len(own)])):])
    return out


def lay_out(draw, array):
    """The same values, contiguous, in transposed memory, or with gaps between the elements."""
    layout = draw(st.sampled_from(["plain", "transposed", "strided", "reversed"]))
    if array.ndim == 0 or layout == "plain":
        return array
    if layout == "transposed":
        return np.asfortranarray(array)
    if layout == "reversed":
        return np.ascontiguousarray(array[::-1])[::-1]
    return np.repeat(array, 2, axis=-1)[..., ::2]


def normal(rng, shape):
    return np.asarray(rng.standard_normal(shape))


def positive(rng, shape):
    return np.asarray(rng.uniform(0.5, 3.0, shape))


def off_zero(rng, shape):
    x = normal(rng, shape)
    return np.asarray(x + np.sign(x) * 0.1)


def without_ties(rng, shape):
    n = int(np.prod(shape))
    return np.asarray(0.1 * rng.permutation(n).reshape(shape) - 0.03 * n)


def finish(draw, arrays, seed, **static):
    return Case([lay_out(draw, a) for a in arrays], static, seed)


@st.composite
def unary(draw, values=normal):
    seed, shape = draw(seeds), draw(shapes(0))
    return finish(draw, [values(np.random.default_rng(seed), shape)], seed)


@st.composite
def binary(draw, first=normal, second=normal, condition=False):
    """Two arrays of broadcastable shapes, and for `where` a third, of booleans."""
    seed, n = draw(seeds), 2 + condition
    rng, fit = np.random.default_rng(seed), draw(broadcastable(n))
    arrays = [first(rng, fit[-2]), second(rng, fit[-1])]
    return finish(draw, ([rng.random(fit[0]) < 0.5] if condition else []) + arrays, seed)


@st.composite
def powers(draw):
    seed, shape = draw(seeds), draw(shapes(0))
    return finish(draw, [positive(np.random.default_rng(seed), shape)], seed,
                  exponent=draw(st.sampled_from([2, 3, 0.5, -1, -0.5, 1])))


@st.composite
def reductions(draw, values=normal, of_nothing=False):
    """Reduced axes are empty only if the reduction of nothing has a value."""
    seed, shape = draw(seeds), list(draw(shapes(0, max_dims=3)))
    axes = st.none()
    if shape:
        axes = axes | st.integers(-len(shape), len(shape) - 1) | hnp.valid_tuple_axes(len(shape), min_size=1)
    axis = draw(axes)
    if not of_nothing:
        for i in range(len(shape)) if axis is None else np.atleast_1d(axis):
            shape[i] = shape[i] or 1
    return finish(draw, [values(np.random.default_rng(seed), shape)], seed, axis=axis, keepdims=draw(st.booleans()))


@st.composite
def reshapes(draw):
    seed, shape = draw(seeds), draw(shapes(0))
    n = int(np.prod(shape))
    last = shape + (-1 if n else 2,)             # of nothing, -1 could be any number
    target = draw(st.sampled_from([(n,), (-1,), (1, n), (n, 1, 1), tuple(reversed(shape)), last]))
    return finish(draw, [normal(np.random.default_rng(seed), shape)], seed, shape=target)


@st.composite
def permutations(draw):
    seed, shape = draw(seeds), draw(shapes(0))
    return finish(draw, [normal(np.random.default_rng(seed), shape)], seed,
                  axes=tuple(draw(st.permutations(range(len(shape))))))


@st.composite
def slices(draw):
    seed, shape = draw(seeds), draw(shapes(0, min_dims=1, max_dims=3))
    return finish(draw, [normal(np.random.default_rng(seed), shape)], seed,
                  key=draw(hnp.basic_indices(shape, allow_newaxis=True)))


@st.composite
def joins(draw):
    """One to three arrays that differ in the joined axis only, which may be empty in some."""
    seed, shape = draw(seeds), draw(shapes(0, min_dims=1, max_dims=3))
    axis, rng = draw(st.integers(-len(shape), len(shape) - 1)), np.random.default_rng(seed)
    parts = []
    for length in draw(st.lists(sides(0, 3), min_size=1, max_size=3)):
        own = list(shape)
        own[axis] = length
        parts.append(normal(rng, own))
    return finish(draw, parts, seed, axis=axis)


@st.composite
def lookups(draw):
    """A short table and more ids than rows: repeats are certain, and rows that nobody asks for likely."""
    seed, shape = draw(seeds), draw(shapes(0, max_dims=3))
    rng, V = np.random.default_rng(seed), draw(sides())
    table = normal(rng, (V, draw(sides(0))))
    return finish(draw, [table, np.asarray(rng.integers(0, V, shape))], seed)


@st.composite
def products(draw):
    """(..., n, k) and (..., k, m), the leading axes broadcast."""
    seed, (n, k, m) = draw(seeds), draw(st.tuples(*[sides(0, 3)] * 3))
    lead = draw(broadcastable(2, max_dims=2))
    rng = np.random.default_rng(seed)
    return finish(draw, [normal(rng, (*lead[0], n, k)), normal(rng, (*lead[1], k, m))], seed)


@st.composite
def linears(draw, with_bias=(False, True)):
    seed, lead = draw(seeds), draw(shapes(0, max_dims=3))
    inputs, outputs = draw(sides(0)), draw(sides(0))
    rng = np.random.default_rng(seed)
    arrays = [normal(rng, (*lead, inputs)), normal(rng, (outputs, inputs))]
    return finish(draw, arrays + ([normal(rng, outputs)] if draw(st.sampled_from(with_bias)) else []), seed)


@st.composite
def along_axis(draw):
    """The axis itself is not empty: the softmax of nothing has no value."""
    seed, shape = draw(seeds), list(draw(shapes(0, min_dims=1)))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    shape[axis] = shape[axis] or 1
    return finish(draw, [normal(np.random.default_rng(seed), shape)], seed, axis=axis)


@st.composite
def norms(draw, inputs=1):
    """x (and a residual), gamma and beta.

    At least three features: one is always normalised to 0 and two to 1 and -1, so the gradient is rounding alone.
    """
    seed, lead, H = draw(seeds), draw(shapes(0, max_dims=3)), draw(st.integers(3, 6))
    rng = np.random.default_rng(seed)
    x = [3 + 2 * normal(rng, (*lead, H)) + np.linspace(0, 2, H) for _ in range(inputs)]
    return finish(draw, [*x, normal(rng, H), normal(rng, H)], seed, eps=draw(st.sampled_from([1e-12, 1e-5, 0.1])))


@st.composite
def classifications(draw):
    """Logits, and labels of which some, or all, do not count."""
    seed, lead, V = draw(seeds), draw(shapes(0, max_dims=2)), draw(sides())
    rng = np.random.default_rng(seed)
    labels = np.where(rng.random(lead) < draw(st.sampled_from([0, 0.3, 1])), -100, rng.integers(0, V, lead))
    return finish(draw, [normal(rng, (*lead, V)), np.asarray(labels)], seed)


@st.composite
def pairs(draw, second=normal):
    seed, shape = draw(seeds), draw(shapes(1))
    rng = np.random.default_rng(seed)
    return finish(draw, [off_zero(rng, shape), second(rng, shape)], seed)


@st.composite
def dropouts(draw):
    seed, shape = draw(seeds), draw(shapes(0, min_dims=1))
    return finish(draw, [normal(np.random.default_rng(seed), shape)], seed, p=draw(st.sampled_from([0.1, 0.5, 0.9])),
                  key=draw(st.integers(0, 2**32 - 1)), first_row=draw(st.integers(0, 1000)))


@st.composite
def attentions(draw):
    """q, k, v and a bias: none, the padding (some keys, or every key of a sequence), or what comes later; as many
    queries as keys, or fewer.

    -100 in place of -10000 leaves the finite difference two more digits; beside exp(0), exp(-100) is 0 just the same.
    """
    seed, B, (T, N, D) = draw(seeds), draw(sides(0, 3)), draw(st.tuples(*[sides(1, 3)] * 3))
    rng, M = np.random.default_rng(seed), draw(st.sampled_from([T, T, *range(T)]))
    arrays = [normal(rng, (B, rows, N * D)) for rows in (M, T, T)]
    bias = None
    hidden = draw(st.sampled_from([None, "padding", "later"]))
    if hidden == "padding":
        mask = rng.random((B, 1, 1, T)) < 0.6
        mask[:1] = draw(st.booleans())
        bias = np.where(mask, 0.0, -100.0)
    elif hidden == "later":
        bias = causal_bias(M, T, np.float64) / 100
    dropout = draw(st.sampled_from([{}, {"p": 0.3, "key": 12345, "first_row": 2}]))
    case = finish(draw, arrays, seed, num_heads=N, **dropout)
    return Case([*case.arrays, bias], case.static, seed)


@st.composite
def attended_maps(draw):
    """x, three maps with biases, and the padding or None.

    Small values: the bias of the keys has no gradient, and a finite difference is the rounding of the result alone.
    """
    seed, (B, T, N, D) = draw(seeds), draw(st.tuples(*[sides(1, 3)] * 4))
    rng, H = np.random.default_rng(seed), N * D
    arrays = [normal(rng, (B, T, H)), *(s * normal(rng, (H, H)) for s in (0.5, 0.5, 0.02)),
              *(s * normal(rng, H) for s in (0.5, 0.5, 0.02))]
    bias = np.where(rng.random((B, 1, 1, T)) < 0.6, 0.0, -100.0) if draw(st.booleans()) else None
    dropout = draw(st.sampled_from([{}, {"p": 0.3, "key": 12345, "first_row": 2}]))
    case = finish(draw, arrays, seed, num_heads=N, **dropout)
    return Case([*case.arrays, bias], case.static, seed)


@st.composite
def ends_of_layers(draw):
    """x, weight, residual, bias, gamma, beta; three features at least, as in norms."""
    seed, lead = draw(seeds), draw(shapes(0, min_dims=1, max_dims=3))
    inputs, H = draw(sides()), draw(st.integers(3, 6))
    rng = np.random.default_rng(seed)
    arrays = [normal(rng, (*lead, inputs)), normal(rng, (H, inputs)), 3 + normal(rng, (*lead, H)) + np.linspace(0, 4, H),
              normal(rng, H), normal(rng, H), normal(rng, H)]
    dropout = draw(st.sampled_from([{}, {"p": 0.3, "key": 12345, "first_row": 2}]))
    return finish(draw, arrays, seed, eps=draw(st.sampled_from([1e-5, 0.1])), **dropout)


CASES = {
    "add": binary(), "sub": binary(), "mul": binary(), "div": binary(second=positive),
    "where": binary(condition=True), "neg": unary(), "power": powers(), "exp": unary(), "log": unary(positive),
    "sqrt": unary(positive), "absolute": unary(off_zero), "tanh": unary(), "sigmoid": unary(),
    "relu": unary(off_zero), "gelu": unary(), "gelu_erf": unary(),
    "sum": reductions(of_nothing=True), "mean": reductions(), "max": reductions(without_ties),
    "reshape": reshapes(), "transpose": permutations(), "getitem": slices(), "concat": joins(),
    "embedding": lookups(), "matmul": products(), "linear": linears(),
    "linear_gelu": linears(with_bias=[True]),
    "softmax": along_axis(), "log_softmax": along_axis(), "layer_norm": norms(), "add_layer_norm": norms(2),
    "cross_entropy": classifications(), "mse": pairs(), "dropout": dropouts(), "attention": attentions(),
    "self_attention": attended_maps(), "linear_add_norm": ends_of_layers(),
    "bce_with_logits": pairs(lambda rng, shape: np.asarray(rng.random(shape))),
}
