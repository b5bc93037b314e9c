"""The encoder: equal to a second derivation, and ALBERT's idea, shared gradients, as a test."""

import re

import numpy as np
import pytest
import reference_albert as reference
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds

from tinyalbert.albert import AlbertModel
from tinyalbert.config import AlbertConfig
from tinyalbert.errors import UserError
from tinyalbert.heads import AlbertForPreTraining
from tinyalbert.tensor import backward


def tiny(**changes):
    return AlbertConfig(**{**dict(vocab_size=17, embedding_size=6, hidden_size=8, num_hidden_layers=3,
                                  num_attention_heads=2, intermediate_size=12, max_position_embeddings=9,
                                  initializer_range=0.4), **changes})


def shaken(model, seed):
    """In float64, with every parameter, gains and biases too, away from its start."""
    rng = np.random.default_rng(seed)
    for p in model.astype(np.float64).parameters():
        p.data = p.data + 0.2 * rng.standard_normal(p.shape)
    return model


def batch(rng, B=3, T=7, V=17):
    mask = (np.arange(T) < rng.integers(1, T + 1, (B, 1))).astype(np.int32)
    labels = np.where(rng.random((B, T)) < 0.4, rng.integers(0, V, (B, T)), -100)
    labels[0, 0] = 3
    return dict(input_ids=rng.integers(0, V, (B, T)), attention_mask=mask, token_type_ids=rng.integers(0, 2, (B, T)),
                labels=labels, sentence_order_label=rng.integers(0, 2, B))


CONFIGS = st.sampled_from([
    {}, {"num_hidden_groups": 2}, {"num_hidden_groups": 3, "inner_group_num": 2}, {"inner_group_num": 2},
    {"embedding_size": 8}, {"embedding_size": 8, "embedding_projection": False}, {"hidden_act": "gelu"},
    {"hidden_act": "relu"}, {"num_attention_heads": 8}, {"shared_parameters": "none"}, {"layer_norm_eps": 0.1},
    {"shared_parameters": "attention"}, {"shared_parameters": "ffn"}, {"num_attention_heads": 1}, {"pre_norm": True},
    {"gated_ffn": True}, {"projection_groups": 2}, {"pre_norm": True, "gated_ffn": True, "projection_groups": 4}])


@given(changes=CONFIGS, seed=seeds)
def test_equal_to_the_reference(changes, seed):
    config = tiny(**changes)
    model, b = shaken(AlbertForPreTraining(config, seed=0), seed), batch(np.random.default_rng(seed))
    w = model.state_dict()
    out = model(**b, output_hidden_states=True)
    inputs = b["input_ids"], b["attention_mask"], b["token_type_ids"]
    for got, want in zip(out.hidden_states, reference.encode(w, config, *inputs), strict=True):
        np.testing.assert_allclose(got.data, want, rtol=1e-12, atol=1e-12)
    scores = reference.vocabulary_scores(w, config, want)
    np.testing.assert_allclose(out.prediction_logits.data, scores, rtol=0, atol=1e-12 * abs(scores).max())
    np.testing.assert_allclose(out.loss.data, reference.pretraining_loss(w, config, *inputs, b["labels"],
                                                                         b["sentence_order_label"]), rtol=1e-12)


@given(layers=st.integers(1, 9), data=st.data(), seed=seeds)
def test_layer_i_uses_group_floor_i_G_over_L(layers, data, seed):
    groups = data.draw(st.integers(1, layers))
    model = AlbertModel(tiny(num_hidden_layers=layers, num_hidden_groups=groups), seed=0)
    used = []
    for number, group in enumerate(model.encoder.albert_layer_groups):
        layer = group.albert_layers[0]
        layer.forward = lambda *a, number=number, run=layer.forward: (used.append(number), run(*a))[1]
    model(input_ids=np.zeros((1, 2), int))
    assert used == [i * groups // layers for i in range(layers)]


@pytest.mark.parametrize("changes", [
    {}, {"shared_parameters": "attention"}, {"shared_parameters": "ffn"}, {"num_hidden_layers": 4, "num_hidden_groups": 2},
    {"inner_group_num": 2}, {"num_hidden_layers": 4, "num_hidden_groups": 2, "inner_group_num": 2},
    {"num_hidden_layers": 4, "num_hidden_groups": 3},
    {"shared_parameters": "ffn", "pre_norm": True, "gated_ffn": True, "projection_groups": 2}], ids=str)
@given(seed=seeds)
def test_shared_gradient_is_the_sum_of_untied_gradients(changes, seed):
    """A model that shares, and one with the same weights copied to every layer: same loss, gradients add up."""
    config = tiny(**changes)
    shared, L, G = shaken(AlbertForPreTraining(config, seed=0), seed), config.num_hidden_layers, config.num_hidden_groups
    untied = AlbertForPreTraining(tiny(**{**changes, "shared_parameters": "none"}), seed=1).astype(np.float64)
    copies = {name: [re.sub(r"groups\.\d+", f"groups.{i}", name) for i in range(L) if f"groups.{i * G // L}." in name]
              or [name] for name in shared.state_dict()}         # a parameter of group g is copied to the layers that use g
    untied.load_state_dict({n: a for name, a in shared.state_dict().items() for n in copies[name]})
    b = batch(np.random.default_rng(seed))
    losses = shared(**b).loss, untied(**b).loss
    np.testing.assert_allclose(losses[0].data, losses[1].data, rtol=1e-12)
    gradients = [backward(loss) for loss in losses]
    names_of = {}
    for name, p in shared._paths():
        names_of.setdefault(p, []).append(name)
    own = dict(untied.named_parameters())
    for p, names in names_of.items():
        parts = [gradients[1][own[n]] for name in names for n in copies[name]]
        np.testing.assert_allclose(gradients[0][p], sum(parts), rtol=1e-9, atol=1e-12)


@given(seed=seeds)
def test_padding_never_changes_real_tokens(seed):
    rng = np.random.default_rng(seed)
    model, b = shaken(AlbertModel(tiny(), seed=0), seed), batch(rng)
    other = {"input_ids": np.where(b["attention_mask"], b["input_ids"], rng.integers(0, 17, b["input_ids"].shape)),
             "attention_mask": b["attention_mask"], "token_type_ids": b["token_type_ids"]}
    real = b["attention_mask"] == 1
    outs = [model(x["input_ids"], x["attention_mask"], b["token_type_ids"]).last_hidden_state.data for x in (b, other)]
    np.testing.assert_allclose(outs[0][real], outs[1][real], rtol=1e-12)
    longer = [np.pad(x, ((0, 0), (0, 2))) for x in (b["input_ids"], b["attention_mask"], b["token_type_ids"])]
    np.testing.assert_allclose(model(*longer).last_hidden_state.data[:, :-2][real], outs[0][real], rtol=1e-10)


def test_a_sequence_of_padding_alone_is_finite():
    model = AlbertModel(tiny(), seed=0)
    assert np.isfinite(model(np.zeros((2, 4), int), np.zeros((2, 4), int)).last_hidden_state.data).all()


@given(seed=seeds)
def test_without_positions_a_permuted_text_gives_permuted_vectors(seed):
    rng = np.random.default_rng(seed)
    model = shaken(AlbertModel(tiny(), seed=0), seed)
    ids, order = rng.integers(0, 17, (2, 7)), rng.permutation(7)
    with_positions = [model(i).last_hidden_state.data for i in (ids, ids[:, order])]
    model.embeddings.position_embeddings.weight.data[:] = 0
    plain, permuted = (model(i).last_hidden_state.data for i in (ids, ids[:, order]))
    np.testing.assert_allclose(plain[:, order], permuted, rtol=1e-10, atol=1e-12)
    if (order != np.arange(7)).any():
        assert not np.allclose(with_positions[0][:, order], with_positions[1])


def test_errors_say_what_was_wanted():
    model = AlbertModel(tiny(), seed=0)
    for ids, message in ((np.zeros((1, 10), int), "positions for 9"), (np.full((1, 2), 17), "0 to 16"),
                         (np.full((1, 2), -1), "0 to 16"), (np.zeros(3, int), "expected")):
        with pytest.raises(UserError, match=message):
            model(ids)
