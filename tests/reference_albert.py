"""ALBERT's forward pass a second time, from the paper (Lan et al. 2020, §3; Devlin et al. 2019), in plain NumPy.

It shares no code with the package: float64 arrays, einsum, one function a formula.  `w` is a state_dict.
"""

import math

import numpy as np

ERF = np.vectorize(math.erf, otypes=[float])
ACT = {"gelu_new": lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x ** 3))),
       "gelu": lambda x: 0.5 * x * (1 + ERF(x / math.sqrt(2))),
       "relu": lambda x: np.where(x > 0, x, 0), "tanh": np.tanh, "linear": lambda x: x}


def norm(x, w, name, eps):
    return (x - x.mean(-1)[..., None]) / np.sqrt(x.var(-1)[..., None] + eps) * w[name + ".weight"] + w[name + ".bias"]


def dense(x, w, name, groups=1):
    """One group of features at a time, on its own rows of the weight."""
    parts = zip(np.split(x, groups, -1), np.split(w[name + ".weight"], groups))
    return np.concatenate([np.einsum("...i,oi->...o", *part) for part in parts], -1) + w[name + ".bias"]


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def self_attention(x, mask, w, name, c):
    """One head at a time, on its own slice of the features."""
    D = c.hidden_size // c.num_attention_heads
    q, k, v = (dense(x, w, f"{name}.{part}", c.projection_groups) for part in ("query", "key", "value"))
    heads = []
    for n in range(c.num_attention_heads):
        own = slice(n * D, (n + 1) * D)
        scores = np.einsum("bid,bjd->bij", q[..., own], k[..., own]) / math.sqrt(D)
        scores = scores - 10000 * (1 - mask[:, None, :])
        heads.append(np.einsum("bij,bjd->bid", softmax(scores), v[..., own]))
    return np.concatenate(heads, -1)


def feed_forward(x, w, name, c):
    inner = ACT[c.hidden_act](dense(x, w, name + ".ffn", c.projection_groups))
    if c.gated_ffn:
        inner = inner * dense(x, w, name + ".ffn_gate", c.projection_groups)
    return dense(inner, w, name + ".ffn_output", c.projection_groups)


def layer(x, mask, w, name, c):
    first, second = name + ".attention.LayerNorm", name + ".full_layer_layer_norm"
    if c.pre_norm:
        read = norm(x, w, first, c.layer_norm_eps)
        x = x + dense(self_attention(read, mask, w, name + ".attention", c), w, name + ".attention.dense")
        return x + feed_forward(norm(x, w, second, c.layer_norm_eps), w, name, c)
    attended = dense(self_attention(x, mask, w, name + ".attention", c), w, name + ".attention.dense")
    a = norm(x + attended, w, first, c.layer_norm_eps)
    return norm(a + feed_forward(a, w, name, c), w, second, c.layer_norm_eps)


def encode(w, c, ids, mask, types):
    """(B, T) ids, mask, types -> every hidden state, the projected embeddings first."""
    e = "albert.embeddings."
    x = w[e + "word_embeddings.weight"][ids] + w[e + "token_type_embeddings.weight"][types]
    x = norm(x + w[e + "position_embeddings.weight"][np.arange(ids.shape[1])], w, e + "LayerNorm", c.layer_norm_eps)
    if c.embedding_projection:
        x = dense(x, w, "albert.encoder.embedding_hidden_mapping_in")
    states = [x]
    for i in range(c.num_hidden_layers):
        group = math.floor(i * c.num_hidden_groups / c.num_hidden_layers + 1e-9)
        for j in range(c.inner_group_num):
            states.append(layer(states[-1], mask, w,
                                f"albert.encoder.albert_layer_groups.{group}.albert_layers.{j}", c))
    if c.pre_norm:
        states[-1] = norm(states[-1], w, "albert.encoder.final_layer_norm", c.layer_norm_eps)
    return states


def pool(w, hidden):
    return np.tanh(dense(hidden[:, 0], w, "albert.pooler"))


def vocabulary_scores(w, c, hidden):
    z = norm(ACT[c.hidden_act](dense(hidden, w, "predictions.dense")), w, "predictions.LayerNorm", c.layer_norm_eps)
    return np.einsum("bte,ve->btv", z, w["albert.embeddings.word_embeddings.weight"]) + w["predictions.bias"]


def mean_loss(scores, labels):
    """Mean of -log softmax at the labels that are not -100."""
    chosen = labels != -100
    return -np.log(softmax(scores[chosen])[np.arange(chosen.sum()), labels[chosen]]).mean()


def pretraining_loss(w, c, ids, mask, types, labels, order):
    hidden = encode(w, c, ids, mask, types)[-1]
    sop = dense(pool(w, hidden), w, "sop_classifier.classifier")
    return mean_loss(vocabulary_scores(w, c, hidden), labels) + mean_loss(sop, order)
