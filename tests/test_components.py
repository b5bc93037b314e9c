"""The gradient through whole components, attention, layer, encoder: by their inputs and by each of their parameters."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import seeds
from test_albert import shaken, tiny

from tinyalbert import ops
from tinyalbert.albert import AlbertEncoder, AlbertLayer
from tinyalbert.attention import AlbertAttention
from tinyalbert.gradcheck import gradcheck
from tinyalbert.nn import DropoutRng
from tinyalbert.readout import gather_rows, layer_at
from tinyalbert.tensor import Tensor, backward

B, T = 2, 4


def check(component, width, seed, output, call=None):
    """gradcheck of component(x (B, T, width), bias), with every parameter an argument and dropout as it is set.

    But the keys' bias: it adds the same to all scores of a query, which softmax ignores, so its gradient is 0.
    """
    named = list(component.named_parameters())
    parameters, idle = ([p for name, p in named if name.endswith("key.bias") == is_idle] for is_idle in (False, True))
    rng = np.random.default_rng(seed)
    bias = np.where(rng.random((B, 1, 1, T)) < 0.5, 0.0, -100.0)           # why not -10000: strategies.attentions
    bias[..., :2] = 0                            # of one key alone softmax is 1, and the query has no gradient

    def run(x, *values):
        for p, a in zip(parameters, values):
            p.data = a
        leaf = Tensor(x, True)
        out = output((call or component)(leaf, bias, DropoutRng(seed)))

        def vjp(g):
            gradients = backward(out, g)
            assert all(abs(gradients[p]).max() < 1e-11 * abs(g).sum() for p in idle)
            return [gradients.get(t) for t in (leaf, *parameters)]
        return out.data, vjp
    run.__name__ = type(component).__name__
    gradcheck(run, rng.standard_normal((B, T, width)), *(p.data for p in parameters), rng=rng)


CONFIGS = st.fixed_dictionaries({
    "hidden_act": st.sampled_from(["gelu_new", "gelu", "tanh"]), "num_attention_heads": st.sampled_from([1, 2, 4]),
    "hidden_dropout_prob": st.sampled_from([0.0, 0.3]), "attention_probs_dropout_prob": st.sampled_from([0.0, 0.3])},
    optional={"pre_norm": st.just(True), "gated_ffn": st.just(True), "projection_groups": st.sampled_from([2, 4])})
ENCODERS = st.sampled_from([
    {}, {"embedding_size": 8}, {"embedding_size": 8, "embedding_projection": False}, {"num_hidden_groups": 2},
    {"inner_group_num": 2}, {"shared_parameters": "attention"}, {"shared_parameters": "ffn"}, {"shared_parameters": "none"}])
ROWS = np.array([[0, 2], [4, 4]])                # some tokens of each sequence, one of them twice


@given(changes=CONFIGS, seed=seeds)
def test_attention(changes, seed):
    config = tiny(**changes)
    check(shaken(AlbertAttention(np.random.default_rng(seed), config), seed).train(), 8, seed, lambda out: out[0])


@given(changes=CONFIGS, seed=seeds)
def test_layer(changes, seed):
    config = tiny(**changes)
    check(shaken(AlbertLayer(np.random.default_rng(seed), config), seed).train(), 8, seed, lambda out: out[0])


@given(changes=CONFIGS, seed=seeds)
def test_layer_at_some_rows(changes, seed):
    layer = shaken(AlbertLayer(np.random.default_rng(seed), tiny(**changes)), seed)
    check(layer, 8, seed, lambda out: out, lambda x, bias, rng: layer_at(layer, gather_rows(x, ROWS), x, bias))


@settings(max_examples=8)
@given(changes=CONFIGS, more=ENCODERS, seed=seeds)
def test_encoder(changes, more, seed):
    """All its hidden states, side by side."""
    config = tiny(**changes, **more)
    check(shaken(AlbertEncoder(np.random.default_rng(seed), config), seed).train(), config.embedding_size, seed,
          lambda out: ops.concat(*out[0]))
