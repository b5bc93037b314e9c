"""Answers to lesson 08, their hints, and typical wrong answers."""

import numpy as np

from tinyalbert import ops


def _softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def split_heads(x, n):
    B, T, H = x.shape
    return x.reshape(B, T, n, H // n).transpose(0, 2, 1, 3)


def masked_weights(scores, mask):
    return _softmax(np.where(mask[:, None, :] == 1, scores, scores - 10000.0))


def _backward(q, k, v, g, root, softmax_part=True):
    weights = _softmax(q @ k.T / np.sqrt(q.shape[1]))
    gweights = g @ v.T
    gscores = weights * (gweights - (gweights * weights).sum(-1, keepdims=True)) if softmax_part else gweights
    return np.concatenate([gscores @ k / root, gscores.T @ q / root, weights.T @ g])


def one_head_backward(q, k, v, g):
    return _backward(q, k, v, g, np.sqrt(q.shape[1]))


def _zeros_for_padding(scores, mask):
    return _softmax(scores * mask[:, None, :])


# what an answer is compared with, where it is not the function above
REFERENCES = {
    "split_heads": lambda x, n: ops.split_heads(x, n),
    "masked_weights": lambda scores, mask: ops.softmax.raw(scores + (mask[:, None, :] == 0) * -10000.0)[0],
    "one_head_backward": lambda q, k, v, g: np.concatenate([d[0] for d in ops.attention.raw( q[None], k[None], v[None], None, num_heads=1)[1](g[None])[:3]]),
}

HINTS = {
    "split_heads": "first cut the last axis in two, then bring the heads before the tokens",
    "masked_weights": "mask says which keys exist; keys are the last axis of scores, so mask needs an axis before its own last",
    "one_head_backward": "gv = weightsᵀ g; gweights = g vᵀ; softmax's vjp; gq = gscores k / root, gk = gscoresᵀ q / root; return np.concatenate([gq, gk, gv])",
}

MISTAKES = {
    "split_heads": {
        "reshaped without exchanging the axes: this splits up the tokens, not each token's numbers":
            lambda x, n: x.reshape(x.shape[0], n, x.shape[1], x.shape[2] // n),
        "cut, but the axes are not exchanged: heads must come before tokens":
            lambda x, n: x.reshape(x.shape[0], x.shape[1], n, x.shape[2] // n),
        "neighbouring numbers went to different heads: cut the last axis into (n, H // n), not (H // n, n)":
            lambda x, n: x.reshape(*x.shape[:2], -1, n).transpose(0, 3, 1, 2),
    },
    "masked_weights": {
        "the mask is missing, or masks the queries, which has no effect: lowering a whole row leaves its softmax the same":
            lambda scores, mask: _softmax(scores),
        "a score of 0 is not a weight of 0: the mask must be added before softmax as a large negative number":
            _zeros_for_padding,
    },
    "one_head_backward": {
        "the division by the root of D is missing on the way back": lambda q, k, v, g: _backward(q, k, v, g, 1.0),
        "softmax's own backward pass is missing":
            lambda q, k, v, g: _backward(q, k, v, g, np.sqrt(q.shape[1]), softmax_part=False),
    },
}
