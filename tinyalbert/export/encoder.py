"""ALBERT's encoder as ONNX nodes; the reading order is that of albert.py."""

import math

import numpy as np

ACTIVATIONS = {
    "gelu_new": ("Gelu", {"approximate": "tanh"}),
    "gelu": ("Gelu", {}),
    "relu": ("Relu", {}),
    "tanh": ("Tanh", {}),
    "linear": ("Identity", {}),
}
HIDDEN = -10000.0  # what a padded key's score gets, as in attention.py


class Builder:
    """Writes the parts of a model into a Graph.  Values are names; shapes as in albert.py."""

    def __init__(self, graph, model):
        self.graph = graph
        self.config = model.config
        self.names = {id(p.data): name for name, p in model.named_parameters()}

    def weight(self, parameter):
        """A parameter's value."""
        return self.graph.weight(self.names[id(parameter.data)], parameter.data)

    def linear(self, x, module):
        """x Wᵀ + b; a module without a bias has none."""
        return self.product(x, module.weight, getattr(module, "bias", None))

    def product(self, x, weight, bias=None):
        """(..., I) times a weight (O, I) -> (..., O)."""
        name = self.names[id(weight.data)]
        y = self.graph.op("MatMul", x, self.graph.transposed(name, weight.data))
        return y if bias is None else self.graph.op("Add", y, self.weight(bias))

    def layer_norm(self, x, module):
        """Over the last axis."""
        return self.graph.op(
            "LayerNormalization",
            x,
            self.weight(module.weight),
            self.weight(module.bias),
            axis=-1,
            epsilon=module.eps,
        )

    def activation(self, x, name=None):
        """The config's activation, or the named one."""
        kind, attributes = ACTIVATIONS[name or self.config.hidden_act]
        return self.graph.op(kind, x, **attributes)

    def embeddings(self, module, ids, types):
        """(B, T) -> (B, T, E)."""
        op = self.graph.op
        words = op("Gather", self.weight(module.word_embeddings.weight), ids)
        kinds = op("Gather", self.weight(module.token_type_embeddings.weight), types)
        length = op("Shape", ids, start=1, end=2)
        zero = self.graph.constant([0], np.int64)
        positions = op("Slice", self.weight(module.position_embeddings.weight), zero, length, zero)
        return self.layer_norm(op("Add", op("Add", words, kinds), positions), module.LayerNorm)

    def padding_bias(self, mask):
        """(B, T) of 1 and 0 -> (B, 1, 1, T) of 0 and HIDDEN."""
        op = self.graph.op
        hidden = op("Equal", mask, self.graph.constant(0, np.int64))
        bias = op("Mul", op("Cast", hidden, to=1), self.graph.constant(HIDDEN))
        return op("Unsqueeze", bias, self.graph.constant([1, 2], np.int64))

    def heads_of(self, x, axes):
        """(B, T, H) -> (B, N, T, D) in the order of `axes`."""
        N = self.config.num_attention_heads
        shape = self.graph.constant([0, 0, N, self.config.hidden_size // N], np.int64)
        return self.graph.op("Transpose", self.graph.op("Reshape", x, shape), perm=axes)

    def attention(self, hidden, bias, module):
        """Self-attention, projection, residual sum and norm: (B, T, H) -> (B, T, H)."""
        op = self.graph.op
        q = self.heads_of(self.linear(hidden, module.query), [0, 2, 1, 3])  # (B, N, T, D)
        k = self.heads_of(self.linear(hidden, module.key), [0, 2, 3, 1])  # (B, N, D, T)
        v = self.heads_of(self.linear(hidden, module.value), [0, 2, 1, 3])  # (B, N, T, D)
        scale = 1 / math.sqrt(self.config.hidden_size // self.config.num_attention_heads)
        scores = op("Mul", op("MatMul", q, k), self.graph.constant(scale))
        weights = op("Softmax", op("Add", scores, bias), axis=-1)  # (B, N, T, T)
        context = op("Transpose", op("MatMul", weights, v), perm=[0, 2, 1, 3])
        shape = self.graph.constant([0, 0, self.config.hidden_size], np.int64)
        projected = self.linear(op("Reshape", context, shape), module.dense)
        return self.layer_norm(op("Add", projected, hidden), module.LayerNorm)

    def layer(self, hidden, bias, module):
        """Attention and feed-forward."""
        attended = self.attention(hidden, bias, module.attention)
        inner = self.activation(self.linear(attended, module.ffn))  # (B, T, F)
        projected = self.linear(inner, module.ffn_output)
        total = self.graph.op("Add", projected, attended)
        return self.layer_norm(total, module.full_layer_layer_norm)

    def encode(self, albert, ids, mask, types):
        """(B, T) three times -> hidden states (B, T, H)."""
        hidden = self.embeddings(albert.embeddings, ids, types)
        projection = albert.encoder.embedding_hidden_mapping_in
        if projection is not None:
            hidden = self.linear(hidden, projection)
        bias = self.padding_bias(mask)
        for layer in albert.encoder.layers():
            hidden = self.layer(hidden, bias, layer)
        return hidden

    def first_token(self, hidden):
        """(B, T, H) -> (B, H)."""
        return self.graph.op("Gather", hidden, self.graph.constant(0, np.int64), axis=1)

    def pool(self, hidden, albert):
        """(B, T, H) -> (B, H)."""
        return self.graph.op("Tanh", self.linear(self.first_token(hidden), albert.pooler))
