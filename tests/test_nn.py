"""Modules: names, sharing, loading, starts, dropout."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds
from test_albert import batch, tiny

from tinyalbert.errors import UserError
from tinyalbert.heads import AlbertForPreTraining
from tinyalbert.nn import (
    Dropout,
    DropoutRng,
    Embedding,
    LayerNorm,
    Linear,
    Module,
    Parameter,
    truncated_normal,
)
from tinyalbert.tensor import Tensor


class Pair(Module):
    """Two layers, and a third name for the first."""

    def __init__(self, seed=0):
        rng = np.random.default_rng(seed)
        self.layers = [Linear(rng, 3, 4), Linear(rng, 4, 2)]
        self.norm = LayerNorm(4)
        self.again = self.layers[0]
        self.scale = Parameter(np.ones(1, np.float32))
        self.number = 7


def test_names_come_in_the_order_of_assignment_and_shared_ones_once():
    layers = ["layers.0.weight", "layers.0.bias", "layers.1.weight", "layers.1.bias"]
    assert [n for n, _ in Pair().named_parameters()] == [*layers, "norm.weight", "norm.bias", "scale"]
    assert list(Pair().state_dict()) == [*layers, "norm.weight", "norm.bias", "again.weight", "again.bias", "scale"]
    assert Pair().num_parameters() == 12 + 4 + 8 + 2 + 4 + 4 + 1


def test_load_is_a_copy_and_a_round_trip():
    a, b = Pair(0), Pair(1)
    assert b.load_state_dict(a.state_dict()) == ([], [])
    for x, y in zip(a.state_dict().values(), b.state_dict().values()):
        np.testing.assert_array_equal(x, y)
        assert not np.shares_memory(x, y)


def test_a_state_that_does_not_fit_changes_nothing():
    model = Pair()
    state = {n: a + 1 for n, a in model.state_dict().items()}
    before = {n: a.copy() for n, a in model.state_dict().items()}
    for change, message in (({"other": np.ones(1)}, "unexpected: other"), ({"scale": np.ones(2)}, r"got \(2,\), expected \(1,\)")):
        with pytest.raises(UserError, match=message):
            model.load_state_dict({**state, **change})
    lacking = {n: a for n, a in state.items() if n != "norm.bias"}
    with pytest.raises(UserError, match="missing: norm.bias"):
        model.load_state_dict(lacking)
    for n, a in model.state_dict().items():
        np.testing.assert_array_equal(a, before[n])
    assert model.load_state_dict({**lacking, "other": 1}, strict=False) == (["norm.bias"], ["other"])
    np.testing.assert_array_equal(model.scale.data, 2)
    with pytest.raises(UserError, match="expected"):                        # wrong shapes even then
        model.load_state_dict({"scale": np.ones(2)}, strict=False)


def test_train_and_eval_reach_every_module():
    model = AlbertForPreTraining(tiny(), seed=0)
    assert all(m.training for m in model.train().modules())
    assert not any(m.training for m in model.eval().modules())


@given(seed=seeds, std=st.sampled_from([0.02, 1.0]))
def test_truncated_normal(seed, std):
    n = 40000
    x = truncated_normal(np.random.default_rng(seed), (n,), std) / std
    assert x.dtype == np.float32 and np.abs(x).max() <= 2.0001
    assert abs(x.mean()) < 6 * 0.88 / n ** 0.5 and abs(x.std() - 0.8796) < 0.02
    assert abs((np.abs(x) < 1).mean() - 0.6827 / 0.9545) < 6 * 0.5 / n ** 0.5


def test_values_at_the_start():
    model = AlbertForPreTraining(tiny(), seed=0)
    for name, p in model.named_parameters():
        if "norm" in name.lower():
            np.testing.assert_array_equal(p.data, 1.0 if name.endswith("weight") else 0.0)
        elif name.endswith("bias"):
            np.testing.assert_array_equal(p.data, 0)
        else:
            assert 0.2 < p.data.std() < 0.5, name          # 0.8796 * 0.4
    same, other = (AlbertForPreTraining(tiny(), seed=s).albert.pooler.weight.data for s in (0, 1))
    np.testing.assert_array_equal(same, model.albert.pooler.weight.data)
    assert (same != other).any()


@given(seed=seeds)
def test_layers_are_their_formulas(seed):
    rng = np.random.default_rng(seed)
    linear, x = Linear(rng, 3, 4), rng.standard_normal((2, 5, 3)).astype(np.float32)
    linear.bias.data[:] = rng.standard_normal(4)
    np.testing.assert_allclose(linear(Tensor(x)).data, x @ linear.weight.data.T + linear.bias.data, rtol=1e-5, atol=1e-6)
    table, ids = Embedding(rng, 6, 3), rng.integers(0, 6, (2, 4))
    np.testing.assert_array_equal(table(ids).data, table.weight.data[ids])
    norm, y = LayerNorm(3, eps=0.1), rng.standard_normal((2, 5, 3)).astype(np.float32)
    want = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 0.1)
    np.testing.assert_allclose(norm(Tensor(x)).data, want, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(norm(Tensor(x), Tensor(y)).data, norm(Tensor(x + y)).data, rtol=1e-5, atol=1e-6)


def test_dropout_is_off_by_default_and_needs_keys_when_on():
    x, dropout = Tensor(np.ones((50, 50), np.float32)), Dropout(0.5)
    assert dropout(x) is x
    dropout.train()
    with pytest.raises(UserError, match="DropoutRng"):
        dropout(x)
    rng = DropoutRng(3)
    first, second = dropout(x, rng).data, dropout(x, rng).data
    assert (first != second).any()                         # a new key for each call
    np.testing.assert_array_equal(first, dropout(x, DropoutRng(3)).data)
    assert (first != dropout(x, DropoutRng(4)).data).any()
    assert Dropout(0.0).train()(x) is x


@given(seed=seeds, cut=st.integers(1, 4))
def test_dropout_of_a_cut_batch_is_that_of_the_whole(seed, cut):
    config = tiny(hidden_dropout_prob=0.3, attention_probs_dropout_prob=0.3)
    model = AlbertForPreTraining(config, seed=0).astype(np.float64).train()
    b = batch(np.random.default_rng(seed), B=5)
    whole = model(**b, rng=DropoutRng(seed)).last_hidden_state.data
    parts = [model(**{k: v[rows] for k, v in b.items()}, rng=DropoutRng(seed, first)).last_hidden_state.data
             for rows, first in ((slice(0, cut), 0), (slice(cut, 5), cut))]
    np.testing.assert_allclose(whole, np.concatenate(parts), rtol=1e-9, atol=1e-11)
    assert not np.allclose(whole, model.eval()(**b).last_hidden_state.data)
