"""Multi-head self-attention as ALBERT has it, and its padding mask.  Taught in lesson 08."""

import math

from . import ops
from .backend import xp_of
from .nn import Dropout, Linear, Module, ResidualNorm, projection
from .ops import merge_heads, split_heads
from .tensor import kernel_for


def padding_bias(attention_mask, dtype):
    """The attention bias that hides padding, or None if nothing is padded.

    attention_mask (B, T) of 1 (token) and 0 (padding) -> (B, 1, 1, T) of 0 and -10000.

    The bias is added to the scaled scores of every query and head (google-research/albert,
    modeling.py).  A sequence that is all padding is shifted by the same amount everywhere and stays
    finite.
    """
    xp = xp_of(attention_mask)
    if xp.__name__ == "numpy" and attention_mask.all():  # on a GPU looking would mean waiting
        return None
    return (attention_mask[:, None, None, :] == 0).astype(dtype) * -10000.0


def attend(q, k, v, bias, num_heads, dropout=None):
    """Attention spelled out in single ops: (B, T, H) x 3 -> (B, T, H), weights (B, N, T, T).

    The definition that the fused ops.attention is tested against, and the path that shows the
    weights.
    """
    q, k, v = (split_heads(x, num_heads) for x in (q, k, v))  # (B, N, T, D)
    scores = q @ k.transpose(0, 1, 3, 2) * (1 / math.sqrt(q.shape[-1]))  # (B, N, T, T)
    weights = ops.softmax(scores if bias is None else scores + bias)
    if dropout:
        weights = ops.dropout(weights, **dropout)
    return merge_heads(weights @ v), weights


class AlbertAttention(Module):
    """Self-attention, its output projection, the first of a layer's two residual sums.

    LayerNorm(dropout(dense(attention(q, k, v))) + hidden): (B, T, H) -> (B, T, H); with pre_norm
    the layer norm comes before q, k and v.
    """

    def __init__(self, rng, config):
        H, std = config.hidden_size, config.initializer_range
        groups = config.projection_groups
        self.num_heads = config.num_attention_heads
        self.query = projection(rng, H, H, std, groups)
        self.key = projection(rng, H, H, std, groups)
        self.value = projection(rng, H, H, std, groups)
        self.dense = Linear(rng, H, H, std)  # never in groups: it mixes the heads
        self.LayerNorm = ResidualNorm(H, config.layer_norm_eps, config.pre_norm)
        self.attention_dropout = Dropout(config.attention_probs_dropout_prob)
        self.output_dropout = Dropout(config.hidden_dropout_prob)

    def forward(self, hidden, bias=None, rng=None, output_attentions=False):
        """Attention, projection, residual sum and layer norm; returns (hidden, weights).

        hidden (B, T, H), bias (B, 1, 1, T) or None -> (hidden (B, T, H), weights (B, N, T, T) or
        None).
        """
        read = self.LayerNorm.before(hidden)
        dropout = self.attention_dropout.key(rng) or {}
        context, weights = self.attend(read, bias, dropout, output_attentions)
        # output_dropout(dense(context)), added to `hidden` and normalised
        attended = self.LayerNorm.around(context, self.dense, self.output_dropout, hidden, rng)
        return attended, weights

    def attend(self, x, bias, dropout, output_attentions=False):
        """What each token reads of all: (B, T, H) -> (B, T, H), and the weights or None."""
        heads = self.num_heads
        maps = self.query, self.key, self.value
        fused = isinstance(self.query, Linear) and not output_attentions
        if fused and kernel_for("self_attention", x.data):  # one product for all three
            parameters = [m.weight for m in maps] + [m.bias for m in maps]
            return ops.self_attention(x, *parameters, bias, num_heads=heads, **dropout), None
        q, k, v = (m(x) for m in maps)  # (B, T, H) each
        if output_attentions:
            return attend(q, k, v, bias, heads, dropout)
        return ops.attention(q, k, v, bias, num_heads=heads, **dropout), None
