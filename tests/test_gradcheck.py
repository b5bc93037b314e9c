"""The check itself: it accepts what is right, refuses what is not, and can be trusted at its tolerance."""

import numpy as np
import pytest
from hypothesis import given
from strategies import seeds

from tinyalbert import ops
from tinyalbert.gradcheck import gradcheck


@given(seed=seeds)
def test_takes_raw_and_lifted_ops(seed):
    rng = np.random.default_rng(seed)
    x, ids = rng.standard_normal((4, 3)), rng.integers(0, 4, 6)
    gradcheck(ops.softmax, x, rng=rng, axis=0)
    gradcheck(ops.softmax.raw, x, rng=rng)
    gradcheck(ops.embedding, x, ids, rng=rng)              # the ids are held fixed


@pytest.mark.parametrize("factor", [1 + 1e-5, 1 - 1e-5, 2, -1, 0])
@given(seed=seeds)
def test_refuses_a_wrong_factor(factor, seed):
    def cube(x):
        return x ** 3, lambda g: (factor * 3 * g * x * x,)
    rng = np.random.default_rng(seed)
    with pytest.raises(AssertionError, match="cube, argument 0"):
        gradcheck(cube, 1 + rng.random(1), rng=rng)


def test_refuses_missing_and_misshapen_gradients():
    rng = np.random.default_rng(0)
    for vjp, message in ((lambda g: (None,), "no gradient"), (lambda g: (g[:1],), "shape")):
        with pytest.raises(AssertionError, match=message):
            gradcheck(lambda x, vjp=vjp: (x * 1.0, vjp), rng.standard_normal((3, 2)), rng=rng)
