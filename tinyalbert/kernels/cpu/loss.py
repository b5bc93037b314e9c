"""Kernel of the cross-entropy: the backward pass computes the softmax anew rather than keep (R, V)
numbers.
"""

import numpy as np

from .blocks import empty, row_blocks, scratch


def cross_entropy(logits, labels, ignore_index=-100):
    """ops.cross_entropy: rows in blocks; beside the gradient there is never a second array of the
    logits' size.
    """
    x, labels = logits.reshape(-1, logits.shape[-1]), labels.reshape(-1)
    counts = (labels != ignore_index).astype(x.dtype)
    picked = np.where(labels != ignore_index, labels, 0)
    share = counts / max(counts.sum(), 1)
    log_sums, ones = np.empty((len(x), 1), x.dtype), np.ones((x.shape[1], 1), x.dtype)
    parts = row_blocks(*x.shape)
    for part in parts:
        block, top = scratch(0, x[part].shape, x.dtype), x[part].max(axis=-1, keepdims=True)
        np.exp(np.subtract(x[part], top, out=block), out=block)
        log_sums[part] = np.log(block @ ones) + top
    losses = log_sums[:, 0] - x[np.arange(len(x)), picked]

    def vjp(g):
        gx = empty(x.shape, x.dtype)
        for part in parts:
            block = np.subtract(x[part], log_sums[part], out=gx[part])
            np.exp(block, out=block)
            block[np.arange(len(block)), picked[part]] -= 1
            block *= (share[part] * g)[:, None]
        return gx.reshape(logits.shape), None

    return np.asarray((losses * share).sum()), vjp
