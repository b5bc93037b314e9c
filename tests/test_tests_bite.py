"""The tests are tested: a wrong gradient of any op must be caught by gradcheck."""

import math
import re

import numpy as np
import pytest
from hypothesis import find, settings
from strategies import CASES, Case

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


ALWAYS_ZERO = {("self_attention", 5)}            # the bias of the keys shifts a row of scores: no wrong factor shows


def gradients_of(name, case):
    """Of each argument, None where it has none, for a random cotangent."""
    out, vjp = OPS[name](*case.arrays, **case.static)
    floats = tuple(isinstance(a, np.ndarray) and a.dtype.kind == "f" for a in case.arrays)
    gradients = call_vjp(vjp, case.rng.standard_normal(out.shape), floats)
    return [None if (name, i) in ALWAYS_ZERO else d for i, d in enumerate(gradients)]


def telling(name, more=lambda case, gradients: True):
    """A case with at least three elements in every gradient: nothing that is trivially 0; and of which `more` holds."""
    def enough(case):
        gradients = gradients_of(name, case)
        given = [d for d in gradients if d is not None]
        # the bias of attention is summed by softmax's own Jacobian: one key alone has no gradient
        return bool(given and all(d.size >= 3 and abs(d).max() > 1e-2 for d in given) and more(case, gradients))
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
        if isinstance(a, np.ndarray) and a.dtype == np.float64 and (name, i) not in ALWAYS_ZERO:
            caught(spoil(OPS[name], change, only=i), case)


def changed_by_transposing(case, gradients):
    """Numbers of the arguments whose gradient is square in its last two axes and not symmetric."""
    return [i for i, (a, d) in enumerate(zip(case.arrays, gradients)) if d is not None and d.shape == a.shape
            and a.ndim > 1 and a.shape[-1] == a.shape[-2] and abs(d - d.swapaxes(-1, -2)).max(initial=0) > 1e-2]


@pytest.mark.parametrize("name", sorted(OPS))
def test_transposed(name):
    """In one argument's gradient the last two axes are exchanged."""
    case = telling(name, changed_by_transposing)
    for i in changed_by_transposing(case, gradients_of(name, case)):
        caught(spoil(OPS[name], lambda d: d.swapaxes(-1, -2), only=i), case)


STRETCHED = {                                    # inputs of which the last is stretched over the rows of the result
    **{name: [(4, 3), (3,)] for name in ("add", "sub", "mul", "div")}, "where": [(4, 3), (4, 3), (3,)],
    "matmul": [(4, 2, 3), (3, 5)], "linear": [(4, 3), (5, 3), (5,)], "linear_gelu": [(4, 3), (5, 3), (5,)],
    "layer_norm": [(4, 3), (3,), (3,)], "add_layer_norm": [(4, 3), (4, 3), (3,), (3,)],
    "attention": [(4, 5, 6), (4, 5, 6), (4, 5, 6), (1, 1, 1, 5)],
    "self_attention": [(4, 5, 6), *[(6, 6)] * 3, *[(6,)] * 3, (1, 1, 1, 5)],
    "linear_add_norm": [(4, 3), (5, 3), (4, 5), (5,), (5,), (5,)]}
BARE = {"neg", "power", "exp", "log", "sqrt", "absolute", "tanh", "sigmoid", "relu", "gelu", "gelu_erf", "sum", "mean", "max",
        "reshape", "transpose", "getitem", "concat", "embedding", "softmax", "log_softmax", "cross_entropy", "mse",
        "bce_with_logits", "dropout"}            # nothing is stretched


@pytest.mark.parametrize("half", ["one of the terms", "their mean"])
@pytest.mark.parametrize("name", STRETCHED)
def test_unbroadcast_skipped_or_half_done(name, half):
    """A stretched argument's gradient is a sum over the rows of g; a vjp is linear, so row 0 alone gives one term."""
    rng = np.random.default_rng(0)
    arrays, static = [rng.uniform(0.5, 2, s) for s in STRETCHED[name]], {"num_heads": 2} if "attention" in name else {}
    if name == "where":
        arrays[0] = arrays[0] < 1.2
    case = Case(arrays, static, 0)

    def wrong(*arrays, **static):
        out, vjp = OPS[name](*arrays, **static)

        def wrong_vjp(g):
            row_0, needs = np.where(np.arange(len(g)).reshape(-1, *[1] * (g.ndim - 1)) == 0, g, 0), (True,) * len(arrays)
            gradients, first = list(call_vjp(vjp, g, needs)), call_vjp(vjp, row_0, needs)
            last = len(arrays) - 1
            gradients[last] = first[last] if half == "one of the terms" else gradients[last] / len(g)
            return gradients
        return out, wrong_vjp
    gradcheck(OPS[name], *arrays, rng=rng, **static)
    caught(wrong, case)


def test_every_op_is_stretched_or_bare():
    assert BARE | set(STRETCHED) == set(OPS) and not BARE & set(STRETCHED)


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


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("term", ["mean", "xhat", None])
def test_layer_norm_without_one_term(term, residual):
    def add_layer_norm(x, residual, gamma, beta):
        y, vjp = layer_norm_without(term)(x + residual, gamma, beta)
        return y, lambda g: (vjp(g)[0], *vjp(g))
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(shape) for shape in [(3, 5)] * (1 + residual) + [5, 5]]
    fn = add_layer_norm if residual else layer_norm_without(term)
    if term is None:
        return gradcheck(fn, *arrays, rng=rng)
    caught(fn, Case(arrays, {}, 0))


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
    """The diagonal of its Jacobian alone."""
    def softmax(x):
        y = ops.softmax.raw(x)[0]
        return y, lambda g: (y * g,)
    caught(softmax, Case([np.random.default_rng(0).standard_normal((3, 4))], {}, 0))


def test_softmax_times_7():
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
