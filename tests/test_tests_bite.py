"""The tests are tested: a wrong gradient of any op must be caught by gradcheck."""

import math
import re

import numpy as np
import pytest
from hypothesis import find, settings
from strategies import CASES

from tinyalbert import ops
from tinyalbert.gradcheck import gradcheck
from tinyalbert.tensor import OPS, call_vjp


def spoil(raw, change, only=None):
    """`raw` with a vjp whose gradients (all, or that of argument `only`) go through `change`."""
    def wrong(*arrays, **static):
        out, vjp = raw(*arrays, **static)

        def wrong_vjp(g):
            gradients = call_vjp(vjp, g, tuple(isinstance(a, np.ndarray) and a.dtype.kind == "f" for a in arrays))
            return [d if d is None or (only is not None and i != only) else change(np.asarray(d))
                    for i, d in enumerate(gradients)]
        return out, wrong_vjp
    wrong.__name__ = f"wrong_{raw.__name__}"
    return wrong


def telling(name):
    """A case with at least three elements in every gradient: nothing that is trivially 0."""
    def enough(case):
        out, vjp = OPS[name](*case.arrays, **case.static)
        floats = tuple(isinstance(a, np.ndarray) and a.dtype.kind == "f" for a in case.arrays)
        gradients = [d for d in call_vjp(vjp, case.rng.standard_normal(out.shape), floats) if d is not None]
        # the bias of attention is summed by softmax's own Jacobian: one key alone has no gradient
        return len(gradients) > 0 and all(d.size >= 3 and abs(d).max() > 1e-2 for d in gradients)
    return find(CASES[name], enough, settings=settings(max_examples=5000, database=None, derandomize=True))


WRONG = {"zero": lambda d: d * 0, "0.999": lambda d: d * 0.999, "7": lambda d: d * 7, "sign": lambda d: -d}


@pytest.fixture(scope="module")
def cases():
    return {name: telling(name) for name in OPS}


def caught(fn, case, draws=3):
    """gradcheck refuses `fn` in each of a few random directions."""
    for seed in range(draws):
        with pytest.raises(AssertionError):
            gradcheck(fn, *case.arrays, rng=np.random.default_rng([case.seed, seed]), **case.static)


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("name", sorted(OPS))
def test_wrong_factor(name, wrong, cases):
    case = cases[name]
    gradcheck(OPS[name], *case.arrays, rng=case.rng, **case.static)        # the right one passes
    caught(spoil(OPS[name], WRONG[wrong]), case)


@pytest.mark.parametrize("wrong", ["zero", "0.999", "none"])
@pytest.mark.parametrize("name", sorted(OPS))
def test_one_arguments_gradient_is_wrong(name, wrong, cases):
    case = cases[name]
    change = {"none": lambda d: None, **WRONG}[wrong]
    for i, a in enumerate(case.arrays):
        if isinstance(a, np.ndarray) and a.dtype == np.float64:
            caught(spoil(OPS[name], change, only=i), case)


@pytest.mark.parametrize("name, shapes", [("matmul", [(3, 3), (3, 3)]), ("linear", [(3, 3), (3, 3), (3,)]),
                                          ("mul", [(3, 3), (3, 3)]), ("softmax", [(3, 3)]), ("gelu", [(3, 3)])])
def test_transposed(name, shapes):
    rng = np.random.default_rng(0)
    with pytest.raises(AssertionError):
        gradcheck(spoil(OPS[name], lambda d: d.T), *[rng.standard_normal(s) for s in shapes], rng=rng)


@pytest.mark.parametrize("name", ["add", "mul", "sub"])
def test_unbroadcast_skipped_or_half_done(name):
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((4, 3)), rng.standard_normal(3)
    for half in (lambda d: d[0], lambda d: d.mean(axis=0)):
        with pytest.raises(AssertionError):
            gradcheck(spoil(OPS[name], half, only=1), a, b, rng=rng)


def layer_norm_without(term):
    def layer_norm(x, gamma, beta, eps=1e-12):
        centred = x - x.mean(axis=-1, keepdims=True)
        rstd = 1 / np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + eps)
        xhat = centred * rstd

        def vjp(g):
            gx = g * gamma
            mean, along = gx.mean(axis=-1, keepdims=True), xhat * (gx * xhat).mean(axis=-1, keepdims=True)
            return rstd * (gx - (term != "mean") * mean - (term != "xhat") * along), g * xhat, g
        return xhat * gamma + beta, vjp
    return layer_norm


@pytest.mark.parametrize("term", ["mean", "xhat", None])
def test_layer_norm_without_one_term(term):
    rng = np.random.default_rng(0)
    arrays = rng.standard_normal((3, 5)), rng.standard_normal(5), rng.standard_normal(5)
    if term is None:
        return gradcheck(layer_norm_without(None), *arrays, rng=rng)
    with pytest.raises(AssertionError):
        gradcheck(layer_norm_without(term), *arrays, rng=rng)


def test_a_wrong_digit_in_gelu():
    """0.0447 for 0.044715 in the slope."""
    def gelu(x):
        k = math.sqrt(2 / math.pi)
        y, t = ops.gelu.raw(x)[0], np.tanh(k * (x + 0.044715 * x ** 3))
        return y, lambda g: (g * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * k * (1 + 3 * 0.0447 * x * x)),)
    rng = np.random.default_rng(0)
    with pytest.raises(AssertionError):
        gradcheck(gelu, rng.standard_normal((4, 4)), rng=rng)


def test_softmax_without_its_sum():
    """What a check of sum(softmax(x)) can't see: with g = 1 the right gradient is 0."""
    def softmax(x):
        y = ops.softmax.raw(x)[0]
        return y, lambda g: (7 * ops.softmax.raw(x)[1](g)[0],)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 4))
    np.testing.assert_allclose(softmax(x)[1](np.ones((3, 4)))[0], 0, atol=1e-12)
    with pytest.raises(AssertionError):
        gradcheck(softmax, x, rng=rng)


def test_the_message_is_a_diagnosis():
    rng = np.random.default_rng(0)
    with pytest.raises(AssertionError) as error:
        gradcheck(spoil(OPS["mul"], lambda d: 2 * d), rng.standard_normal((2, 3)), rng.standard_normal(3), rng=rng)
    assert re.search(r"wrong_mul, argument 0 of shapes \[\(2, 3\), \(3,\)\]: analytic .*, numeric .*, ratio 2\b",
                     str(error.value))
