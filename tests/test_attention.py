"""Attention: masks, heads, and what permuting or hiding keys does."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds
from test_albert import shaken, tiny

from tinyalbert import ops
from tinyalbert.attention import AlbertAttention, attend, merge_heads, padding_bias, split_heads
from tinyalbert.nn import DropoutRng
from tinyalbert.tensor import Tensor, backward


@given(seed=seeds, shape=st.tuples(*[st.integers(1, 3)] * 4))
def test_heads_get_their_own_features(seed, shape):
    B, T, N, D = shape
    x = np.random.default_rng(seed).standard_normal((B, T, N * D))
    heads = split_heads(Tensor(x), N).data
    assert heads.shape == (B, N, T, D)
    for n in range(N):
        np.testing.assert_array_equal(heads[:, n], x[:, :, n * D:(n + 1) * D])
    np.testing.assert_array_equal(merge_heads(split_heads(Tensor(x), N)).data, x)
    np.testing.assert_array_equal(ops.merge_heads(ops.split_heads(x, N)), x)


def test_padding_bias():
    mask = np.array([[1, 1, 0], [0, 0, 0]])
    bias = padding_bias(mask, np.float32)
    assert bias.shape == (2, 1, 1, 3) and bias.dtype == np.float32
    np.testing.assert_array_equal(bias[:, 0, 0], [[0, 0, -10000], [-10000] * 3])
    assert padding_bias(np.ones((2, 3), int), np.float32) is None


@given(seed=seeds)
def test_weights_are_shares_and_padding_gets_none(seed):
    rng = np.random.default_rng(seed)
    q, k, v = (Tensor(rng.standard_normal((2, 5, 6))) for _ in range(3))
    mask = np.array([[1, 1, 1, 0, 0], [1] * 5])
    out, weights = attend(q, k, v, padding_bias(mask, np.float64), 3)
    assert weights.shape == (2, 3, 5, 5)
    np.testing.assert_allclose(weights.data.sum(-1), 1, rtol=1e-12)
    assert (weights.data[0, :, :, 3:] == 0).all()
    alone = [Tensor(t.data[:1, :3]) for t in (q, k, v)]
    np.testing.assert_allclose(out.data[:1, :3], attend(*alone, None, 3)[0].data, rtol=1e-10, atol=1e-12)


@given(seed=seeds)
def test_a_fully_masked_row_looks_at_its_tokens_as_if_none_were_masked(seed):
    """Every score is shifted alike: the same softmax, to the digits that -10000 leaves."""
    rng = np.random.default_rng(seed)
    q, k, v = (rng.standard_normal((1, 4, 6)) for _ in range(3))
    bias = padding_bias(np.zeros((1, 4), int), np.float64)
    masked, plain = (ops.attention.raw(q, k, v, b, 2)[0] for b in (bias, None))
    np.testing.assert_allclose(masked, plain, rtol=1e-8, atol=1e-10)


@given(seed=seeds)
def test_permutation_equivariance(seed):
    rng = np.random.default_rng(seed)
    layer, order = shaken(AlbertAttention(rng, tiny()), seed), rng.permutation(5)
    x = rng.standard_normal((2, 5, 8))
    np.testing.assert_allclose(layer(Tensor(x[:, order]))[0].data, layer(Tensor(x))[0].data[:, order], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("training", [False, True])
@given(seed=seeds)
def test_showing_the_weights_changes_nothing(training, seed):
    """The fused op and the spelled-out path: same output, same gradients, dropout included."""
    rng = np.random.default_rng(seed)
    config = tiny(attention_probs_dropout_prob=0.2, hidden_dropout_prob=0.2)
    layer, x = shaken(AlbertAttention(rng, config), seed).train(training), rng.standard_normal((2, 5, 8))
    g, results = rng.standard_normal(x.shape), []
    for show in (False, True):
        leaf = Tensor(x, True)
        out, weights = layer(leaf, None, DropoutRng(seed), show)
        assert (weights is not None) == show
        assert layer(leaf, None, DropoutRng(seed))[1] is None      # only when asked for
        gradients = backward(out, g)
        results.append([out.data, gradients[leaf], *(gradients[p] for p in layer.parameters())])
    for a, b in zip(*results):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11)
