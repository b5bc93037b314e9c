"""First values that imitate trained attention: heads that look at a token's neighbours and at equal pieces."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyalbert import AlbertConfig, AlbertForPreTraining, UserError
from tinyalbert.pretraining.mimetic import (
    imitate_trained_attention,
    orthonormal,
    rotation,
    sinusoids,
)

SIZES = {
    "mini": {},
    "wider than the embedding": dict(hidden_size=256),
    "narrower than the embedding": dict(hidden_size=64, num_attention_heads=2),
    "no projection": dict(embedding_projection=False),
    "normalised before": dict(pre_norm=True),
    "a set a layer": dict(num_hidden_groups=4),
    "tiny": dict(hidden_size=64, embedding_size=64, num_hidden_layers=2, num_attention_heads=2),
}


def started(seed=0, **size):
    config = AlbertConfig.preset("mini", vocab_size=300, initializer_range=0.03, **size)
    model = AlbertForPreTraining(config, seed=seed)
    imitate_trained_attention(model, seed)
    return model


@given(position=st.integers(0, 400), tokens=st.integers(-3, 3), pairs=st.integers(1, 20))
def test_going_on_is_a_rotation(position, tokens, pairs):
    table, frequencies = sinusoids(410, 2 * pairs)
    position += 3
    np.testing.assert_allclose(rotation(frequencies, tokens) @ table[position], table[position + tokens], atol=1e-12)


@given(seed=st.integers(0, 1000), rows=st.integers(1, 12), columns=st.integers(1, 12))
def test_orthonormal_keeps_lengths(seed, rows, columns):
    matrix = orthonormal(np.random.default_rng(seed), rows, columns)
    assert matrix.shape == (rows, columns)
    product = matrix.T @ matrix if rows >= columns else matrix @ matrix.T
    np.testing.assert_allclose(product, np.eye(min(rows, columns)), atol=1e-12)


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@given(seed=st.integers(0, 1000))
def test_heads_look_at_neighbours_and_at_equal_pieces(size, seed):
    """Random pieces, each of them twice: 24 and the same 24 again."""
    model, rng = started(seed, **size), np.random.default_rng(seed)
    half = rng.permutation(np.arange(5, 300))[:24]
    ids = np.concatenate([half, half])[None]
    weights = model(ids, output_attentions=True).attentions[0].numpy()[0]                # (N, T, T)
    share = {d: np.trace(weights, offset=d, axis1=1, axis2=2) / (48 - abs(d)) for d in range(-24, 25)}     # (N,) each
    after, before, *same = range(len(weights))
    even = 1 / 48                                                                        # a token, of random heads
    assert share[1][after] == max(s[after] for s in share.values()) > 10 * even
    assert share[-1][before] == max(s[before] for s in share.values()) > 10 * even
    for head in same:
        others = [s[head] for d, s in share.items() if d and abs(d) != 24]
        assert min(share[24][head], share[-24][head]) > 5 * max(others)


def test_a_model_without_room_for_positions_runs():
    """Heads of one dimension: no sinusoid fits."""
    model = started(embedding_size=4, hidden_size=4, num_attention_heads=4, intermediate_size=8)
    assert np.isfinite(model(np.arange(5, 20)[None]).sop_logits.numpy()).all()


def test_queries_in_groups_are_refused():
    with pytest.raises(UserError, match="projection_groups"):
        started(projection_groups=2)


def test_all_else_is_as_it_was():
    """Values, feed-forward, heads: the values of the same seed; nothing gets another shape or type."""
    plain = AlbertForPreTraining(AlbertConfig.preset("mini", vocab_size=300, initializer_range=0.03), seed=3).state_dict()
    mimetic = started(3).state_dict()
    changed = {name for name in plain if not np.array_equal(plain[name], mimetic[name])}
    layer = "albert.encoder.albert_layer_groups.0.albert_layers.0.attention."
    assert changed == {"albert.embeddings.position_embeddings.weight", "albert.embeddings.word_embeddings.weight",
                       "albert.encoder.embedding_hidden_mapping_in.weight", layer + "query.weight", layer + "key.weight"}
    assert all(plain[name].dtype == mimetic[name].dtype and plain[name].shape == mimetic[name].shape for name in plain)
    assert all(np.array_equal(value, mimetic[name]) for name, value in started(3).state_dict().items())
