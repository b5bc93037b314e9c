"""Every op: its gradient, its dtype, its manners; then what single ops mean."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import CASES, seeds

from tinyalbert import attention, ops
from tinyalbert.backend import scatter_add
from tinyalbert.gradcheck import gradcheck
from tinyalbert.modes import use_kernels
from tinyalbert.tensor import OPS, Tensor, backward, call_vjp, unbroadcast

ALL = pytest.mark.parametrize("name", sorted(OPS))


def is_float(a):
    return isinstance(a, np.ndarray) and a.dtype.kind == "f"


def cast(arrays, dtype):
    return [a.astype(dtype) if is_float(a) else a for a in arrays]


def test_every_op_has_a_case():
    assert set(CASES) == set(OPS)


@ALL
@given(data=st.data())
def test_gradient(name, data):
    case = data.draw(CASES[name])
    gradcheck(OPS[name], *case.arrays, rng=case.rng, **case.static)


@ALL
@pytest.mark.parametrize("kernels", [False, True])
@given(data=st.data())
def test_gradient_through_tensors(name, kernels, data):
    """The reverse sweep hands out what the raw vjp returns, summed down to each input's shape."""
    case = data.draw(CASES[name])
    tensors = [Tensor(a, True) if is_float(a) else a for a in case.arrays]
    with use_kernels(kernels):
        out = getattr(ops, name)(*tensors, **case.static)
        want, vjp = OPS[name](*case.arrays, **case.static)
        g = np.asarray(case.rng.standard_normal(want.shape))
        gradients = backward(out, g)
    np.testing.assert_allclose(out.data, want, rtol=1e-12, atol=1e-12)
    needs = tuple(map(is_float, case.arrays))
    for tensor, gradient in zip(tensors, call_vjp(vjp, g, needs)):
        if isinstance(tensor, Tensor):
            np.testing.assert_allclose(gradients[tensor], unbroadcast(gradient, tensor.shape), rtol=1e-10, atol=1e-12)


@ALL
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@given(data=st.data())
def test_dtype_in_is_dtype_out(name, dtype, data):
    case = data.draw(CASES[name])
    arrays = cast(case.arrays, dtype)
    out, vjp = OPS[name](*arrays, **case.static)
    assert out.dtype == dtype
    gradients = call_vjp(vjp, np.ones_like(out), tuple(map(is_float, arrays)))
    assert [g.dtype for a, g in zip(arrays, gradients) if is_float(a)] == [dtype] * sum(map(is_float, arrays))


@ALL
@pytest.mark.parametrize("kernels", [False, True])
@given(data=st.data())
def test_inputs_and_cotangents_are_never_written_to(name, kernels, data):
    case = data.draw(CASES[name])
    g = np.asarray(case.rng.standard_normal(OPS[name](*case.arrays, **case.static)[0].shape))
    arrays = [a.copy() if isinstance(a, np.ndarray) else a for a in case.arrays]
    for a in (*arrays, g):
        if isinstance(a, np.ndarray):
            a.flags.writeable = False            # writing raises
    with use_kernels(kernels):
        backward(getattr(ops, name)(*[Tensor(a, True) if is_float(a) else a for a in arrays], **case.static), g)


@ALL
@given(data=st.data())
def test_a_gradient_that_nobody_needs_changes_no_other(name, data):
    case = data.draw(CASES[name])
    out, vjp = OPS[name](*case.arrays, **case.static)
    floats = [i for i, a in enumerate(case.arrays) if is_float(a)]
    all_of_them = call_vjp(vjp, np.ones_like(out), tuple(map(is_float, case.arrays)))
    for i in floats:
        alone = call_vjp(vjp, np.ones_like(out), tuple(j == i for j in range(len(case.arrays))))
        np.testing.assert_array_equal(alone[i], all_of_them[i])


# --- the same thing twice ---------------------------------------------------------------------------------

def run(fn, arrays, g):
    """Output and gradients of fn(*tensors) in float64."""
    tensors = [Tensor(a, True) for a in arrays]
    out = fn(*tensors)
    gradients = backward(out, g)
    return [out.data] + [gradients[t] for t in tensors]


def assert_same(one, other, arrays, g):
    for a, b in zip(run(one, arrays, g), run(other, arrays, g)):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-11)


@given(data=st.data())
def test_attention_is_attention_spelled_out(data):
    case = data.draw(CASES["attention"])
    *qkv, bias = case.arrays
    N, dropout = case.static["num_heads"], {k: v for k, v in case.static.items() if k != "num_heads"}
    g = case.rng.standard_normal(qkv[0].shape)
    assert_same(lambda q, k, v: ops.attention(q, k, v, bias, **case.static),
                lambda q, k, v: attention.attend(q, k, v, bias, N, dropout)[0], qkv, g)


@given(case=CASES["add_layer_norm"])
def test_add_layer_norm_is_layer_norm_of_the_sum(case):
    eps, g = case.static["eps"], case.rng.standard_normal(case.arrays[0].shape)
    assert_same(lambda x, r, a, b: ops.add_layer_norm(x, r, a, b, eps=eps),
                lambda x, r, a, b: ops.layer_norm(x + r, a, b, eps=eps), case.arrays, g)


@given(case=CASES["layer_norm"])
def test_layer_norm_is_its_definition(case):
    def composed(x, gamma, beta):
        centred = x - x.mean(axis=-1, keepdims=True)
        variance = (centred * centred).mean(axis=-1, keepdims=True)
        return centred / ops.sqrt(variance + case.static["eps"]) * gamma + beta
    g = case.rng.standard_normal(case.arrays[0].shape)
    assert_same(lambda *a: ops.layer_norm(*a, eps=case.static["eps"]), composed, case.arrays, g)


@given(case=CASES["cross_entropy"])
def test_cross_entropy_is_the_mean_of_minus_log_softmax(case):
    logits, labels = case.arrays
    rows, flat = np.flatnonzero(labels.reshape(-1) != -100), labels.reshape(-1)

    def composed(x):
        logp = ops.log_softmax(x.reshape(-1, x.shape[-1]))
        picked = [logp[int(r), int(flat[r])].reshape(1) for r in rows]
        return -ops.concat(*picked, axis=0).mean() if picked else (x * 0.0).sum()
    assert_same(lambda x: ops.cross_entropy(x, labels), composed, [logits], np.array(1.7))


@given(case=CASES["linear"])
def test_linear_is_matmul_and_add(case):
    def composed(x, weight, bias=None):
        y = ops.matmul(x.reshape(math.prod(x.shape[:-1]), x.shape[-1]), weight.T)
        return (y if bias is None else y + bias).reshape(*x.shape[:-1], weight.shape[0])
    g = case.rng.standard_normal((*case.arrays[0].shape[:-1], len(case.arrays[1])))
    assert_same(ops.linear, composed, case.arrays, g)


@given(case=CASES["softmax"])
def test_softmax_is_exp_over_its_sum(case):
    def composed(x):
        e = ops.exp(x)
        return e / e.sum(axis=case.static["axis"], keepdims=True)
    g = case.rng.standard_normal(case.arrays[0].shape)
    assert_same(lambda x: ops.softmax(x, **case.static), composed, case.arrays, g)
    assert_same(lambda x: ops.log_softmax(x, **case.static), lambda x: ops.log(composed(x)), case.arrays, g)


# --- values, from formulas written another way ------------------------------------------------------------

NUMPY = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "where": np.where,
         "neg": np.negative, "exp": np.exp, "log": np.log, "sqrt": np.sqrt, "absolute": np.fabs, "tanh": np.tanh,
         "sigmoid": lambda x: 1 / (1 + np.exp(-x)), "relu": lambda x: np.where(x > 0, x, 0), "sum": np.sum,
         "mean": np.mean, "max": np.amax, "matmul": np.einsum, "power": lambda x, exponent: np.exp(exponent * np.log(x)),
         "reshape": np.reshape, "transpose": np.transpose, "mse": lambda a, b: np.mean((a - b) ** 2),
         "getitem": lambda x, key: x[key], "concat": lambda *a, axis: np.concatenate(a, axis),
         "embedding": lambda table, ids: np.take(table, ids, axis=0),
         "bce_with_logits": lambda x, t: -np.mean(t * np.log(1 / (1 + np.exp(-x)))
                                                  + (1 - t) * np.log(1 / (1 + np.exp(x))))}
NUMPY["matmul"] = lambda a, b: np.einsum("...nk,...km->...nm", a, b)


@pytest.mark.parametrize("name", sorted(NUMPY))
@given(data=st.data())
def test_value(name, data):
    case = data.draw(CASES[name])
    np.testing.assert_allclose(OPS[name](*case.arrays, **case.static)[0], NUMPY[name](*case.arrays, **case.static),
                               rtol=1e-12, atol=1e-12)


TABLE = [(-3, -0.0036373921, -0.0040496941), (-1, -0.1588080094, -0.1586552539), (-0.5, -0.1542859902, -0.1542687694),
         (0.5, 0.3457140098, 0.3457312306), (1, 0.8411919906, 0.8413447461), (2, 1.9545976941, 1.9544997361)]


@pytest.mark.parametrize("x, tanh_form, exact", TABLE)
def test_gelu_table(x, tanh_form, exact):
    x = np.array([float(x)])
    assert ops.gelu.raw(x)[0][0] == pytest.approx(tanh_form, abs=5e-11)
    assert ops.gelu_erf.raw(x)[0][0] == pytest.approx(exact, abs=5e-11)


def test_the_two_gelus_differ_most_near_2_7():
    x = np.linspace(-5, 5, 10001)
    difference = np.abs(ops.gelu.raw(x)[0] - ops.gelu_erf.raw(x)[0])
    assert difference.max() == pytest.approx(4.7324e-4, rel=1e-4)
    assert abs(x[difference.argmax()]) == pytest.approx(2.699, abs=2e-3)


# --- meaning ----------------------------------------------------------------------------------------------

@given(case=CASES["softmax"], shift=st.floats(-100, 100))
def test_softmax_sums_to_1_and_ignores_a_shift(case, shift):
    x, axis = case.arrays[0], case.static["axis"]
    y = ops.softmax.raw(x, axis)[0]
    np.testing.assert_allclose(y.sum(axis=axis), 1, rtol=1e-12)
    np.testing.assert_allclose(ops.softmax.raw(x + shift, axis)[0], y, rtol=1e-10)


def test_large_scores_stay_finite():
    x = np.array([[1e4, -1e4, 0.0], [-1e4, -1e4, -1e4]], np.float32)
    for fn in (ops.softmax, ops.log_softmax):
        y, vjp = fn.raw(x)
        assert np.isfinite(y).all() and np.isfinite(vjp(np.ones_like(y))[0]).all()
    for fn in (ops.sigmoid, ops.gelu, ops.tanh, ops.gelu_erf):
        assert np.isfinite(fn.raw(x)[0]).all()
    assert np.isfinite(ops.bce_with_logits.raw(x, np.zeros_like(x))[0])


@given(seed=seeds, shift=st.floats(-10, 10), scale=st.floats(0.1, 10))
def test_layer_norm_ignores_shift_and_scale(seed, shift, scale):
    rng = np.random.default_rng(seed)
    x, one, zero = rng.standard_normal((3, 8)), np.ones(8), np.zeros(8)
    y, vjp = ops.layer_norm.raw(x, one, zero)
    np.testing.assert_allclose(ops.layer_norm.raw(scale * x + shift, one, zero)[0], y, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(y.mean(axis=-1), 0, atol=1e-12)
    np.testing.assert_allclose(y.var(axis=-1), 1, rtol=1e-8)
    gx = vjp(rng.standard_normal(y.shape))[0]
    np.testing.assert_allclose(gx.sum(axis=-1), 0, atol=1e-10)             # no gradient along the mean
    np.testing.assert_allclose((gx * y).sum(axis=-1), 0, atol=1e-8)        # nor along x-hat


@given(rows=st.integers(1, 5), V=st.integers(1, 50))
def test_cross_entropy_of_uniform_scores_is_log_V(rows, V):
    assert ops.cross_entropy.raw(np.ones((rows, V)), np.zeros(rows, int))[0] == pytest.approx(math.log(V), abs=1e-12)


@given(seed=seeds)
def test_cross_entropy_ignores_rows_that_do_not_count(seed):
    rng = np.random.default_rng(seed)
    x, labels = rng.standard_normal((6, 4)), np.array([0, -100, 3, 2, -100, 1])
    y, vjp = ops.cross_entropy.raw(x, labels)
    assert y == pytest.approx(ops.cross_entropy.raw(x[labels >= 0], labels[labels >= 0])[0], rel=1e-12)
    assert (vjp(np.array(1.0))[0][labels < 0] == 0).all()
    y, vjp = ops.cross_entropy.raw(x, np.full(6, -100))
    assert y == 0 and (vjp(np.array(1.0))[0] == 0).all()


def test_repeated_ids_add_up():
    ids = np.array([1, 1, 3, 1])
    gradient = ops.embedding.raw(np.zeros((5, 2)), ids)[1](np.ones((4, 2)))[0]
    np.testing.assert_array_equal(gradient[:, 0], [0, 3, 0, 1, 0])


@given(seed=seeds, n=st.integers(0, 30), V=st.integers(1, 6))
def test_scatter_add_is_a_loop(seed, n, V):
    rng = np.random.default_rng(seed)
    table, ids, rows = rng.standard_normal((V, 3)), rng.integers(0, V, n), rng.standard_normal((n, 3))
    want = table.copy()
    for i, row in zip(ids, rows):
        want[i] += row
    scatter_add(table, ids, rows)
    np.testing.assert_allclose(table, want, rtol=1e-12, atol=1e-12)


@given(data=st.data())
def test_ties_share_the_gradient_of_max(data):
    n = data.draw(st.integers(1, 5))
    np.testing.assert_allclose(ops.max.raw(np.ones(n))[1](np.array(1.0))[0], 1 / n)


@pytest.mark.parametrize("name", ["relu", "absolute"])
def test_the_gradient_at_the_kink_is_0(name):
    assert OPS[name](np.zeros(1))[1](np.ones(1))[0] == 0


@given(key=st.integers(0, 2**32 - 1), p=st.sampled_from([0.1, 0.5, 0.9]))
def test_dropout_drops_the_share_p_and_keeps_the_mean(key, p):
    n = 200 * 301
    y = ops.dropout.raw(np.ones((200, 301)), p, key)[0]
    bound = 6 * math.sqrt(p * (1 - p) / n)
    assert abs((y == 0).mean() - p) < bound
    np.testing.assert_allclose(y[y != 0], 1 / (1 - round(p * 65536) / 65536), rtol=1e-12)   # p in 16 bits


@pytest.mark.parametrize("p", [2**-16, 1 - 2**-16])
def test_dropout_counts_in_steps_of_2_to_the_minus_16(p):
    """The smallest share that can be dropped is one step, and so is the smallest that can be kept."""
    dropped = ~ops.dropout_mask((2048, 2048), p, 0, 0, np)
    assert abs(dropped.mean() - p) < 4 * math.sqrt(p * (1 - p) / dropped.size)             # one more step: 8 times


@given(key=st.integers(0, 2**32 - 1), cut=st.integers(0, 9), first_row=st.integers(0, 99))
def test_dropout_masks_do_not_depend_on_how_rows_are_split(key, cut, first_row):
    def mask(rows, first):
        return ops.dropout_mask((rows, 3, 5), 0.4, key, first, np)
    parts = np.concatenate([mask(cut, first_row), mask(9 - cut, first_row + cut)])
    np.testing.assert_array_equal(mask(9, first_row), parts)


@given(key=st.integers(0, 2**40), first_row=st.integers(0, 2**31), columns=st.integers(1, 6), p=st.sampled_from([0.1, 0.5]))
def test_dropout_masks_are_the_same_hash_for_ever(key, first_row, columns, p):
    """In Python's integers, element by element: a resumed run must see the masks of the run it resumes."""
    def mix(x):
        for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
            x = (x ^ x >> shift) * factor % 2**32
        return x ^ x >> 16

    def keep(row, column):
        word = mix((mix(((first_row + row) * 0x9E3779B9 + key) % 2**32) + column // 2) % 2**32)
        return (word >> 16 * (column % 2)) % 2**16 >= round(p * 65536)
    want = [[keep(row, column) for column in range(columns)] for row in range(3)]
    np.testing.assert_array_equal(ops.dropout_mask((3, columns), p, key, first_row, np), want)


def test_defaults():
    """What is left out: the last axis, every gradient, no dropout, first row 0."""
    x = np.random.default_rng(0).standard_normal((2, 3, 4))
    for fn in (ops.softmax, ops.log_softmax, ops.concat):
        np.testing.assert_array_equal(fn.raw(x)[0], fn.raw(x, axis=2)[0])
    np.testing.assert_array_equal(ops.concat.raw(x, x)[0], np.concatenate([x, x], 2))
    for fn, arrays in ((ops.mul, (x, x)), (ops.matmul, (x, x.swapaxes(1, 2))), (ops.linear, (x, x[0], x[0, :, 0])),
                       (ops.linear_gelu, (x, x[0], x[0, :, 0])), (ops.attention, (x, x, x, None, 2)),
                       (ops.embedding, (x[0], np.array([1])))):
        out, vjp = fn.raw(*arrays)
        for a, gradient in zip(arrays, vjp(np.ones_like(out))):
            assert (gradient is not None) == is_float(a)
    for p in ({}, {"p": 0.5}):
        with_zeros = ops.attention.raw(x, x, x, None, 2, **{"p": 0.0, "key": 0, "first_row": 0, **p})[0]
        np.testing.assert_array_equal(ops.attention.raw(x, x, x, None, 2, **p)[0], with_zeros)
    np.testing.assert_array_equal(ops.dropout.raw(x, 0.5, 1)[0], ops.dropout.raw(x, 0.5, 1, 0)[0])
    for fn in (ops.sum, ops.mean, ops.max):
        assert fn.raw(x)[0].shape == () and fn.raw(x, 1)[0].shape == (2, 4)
    np.testing.assert_array_equal(ops.sum.raw(x, 1)[0], Tensor(x).sum(1).data)
    np.testing.assert_allclose(Tensor(x).sum(1).data, x.sum(1), rtol=1e-13)      # CuPy adds in another order
    assert Tensor(x).sum(1).shape == Tensor(x).mean(1).shape == (2, 4)
    assert ops.layer_norm.raw(np.array([[1.0, 1 + 1e-5]]), np.ones(2), np.zeros(2))[0][0, 1] == pytest.approx(0.98058, abs=1e-4)
    np.testing.assert_array_equal(ops.add_layer_norm.raw(x, x, x[0, 0], x[0, 1])[0],
                                  ops.layer_norm.raw(x + x, x[0, 0], x[0, 1], 1e-12)[0])
    assert ops.cross_entropy.raw(x, np.full((2, 3), -100))[0] == 0


def test_dropout_masks_of_neighbours_are_unlike():
    """Rows, columns and keys next to each other: about half of the bits agree at p = 1/2."""
    masks = np.stack([ops.dropout_mask((64, 64), 0.5, key, 0, np) for key in range(8)]).astype(float) - 0.5
    for axis in range(3):
        a, b = np.take(masks, range(1, masks.shape[axis]), axis), np.take(masks, range(masks.shape[axis] - 1), axis)
        assert abs(4 * (a * b).mean()) < 6 / math.sqrt(a.size)


@given(seed=seeds)
def test_operators_are_the_ops(seed):
    a, b = np.random.default_rng(seed).uniform(0.5, 2, (2, 3, 3))
    x, y = Tensor(a), Tensor(b)
    for got, want in ((x + y, a + b), (x - y, a - b), (x * y, a * b), (x / y, a / b), (x @ y, a @ b), (-x, -a),
                      (x ** 2, a ** 2), (x[1], a[1]), (x.T, a.T), (2 - x, 2 - a), (2 / x, 2 / a), (a - y, a - b),
                      (a @ y, a @ b), (x.sum(axis=0), a.sum(axis=0)), (x.mean(), a.mean()), (1 + x, 1 + a),
                      (3 * x, 3 * a), (x.reshape(9), a.reshape(9)), (x.transpose(1, 0), a.T)):
        np.testing.assert_allclose(got.data, want, rtol=1e-12)
