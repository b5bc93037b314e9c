"""Kernel of the cross-entropy: the softmax is not kept; the backward pass computes it again."""

import numpy as np

from .blocks import empty, narrow, row_blocks, scratch, wide, wide_out, wide_type


def cross_entropy(logits, labels, ignore_index=-100):
    """ops.cross_entropy: rows in blocks; only the gradient is another array of the logits' size."""
    x = logits.reshape(-1, logits.shape[-1])  # (R, V)
    labels = labels.reshape(-1)
    dtype = wide_type(x)
    counts = (labels != ignore_index).astype(dtype)
    picked = np.where(labels != ignore_index, labels, 0)
    share = counts / max(counts.sum(), 1)
    log_sums = np.empty((len(x), 1), dtype)
    ones = np.ones((x.shape[1], 1), dtype)
    parts = row_blocks(*x.shape)
    for part in parts:
        given = wide(x[part], 1)
        top = given.max(axis=-1, keepdims=True)
        block = scratch(0, given.shape, dtype)
        np.exp(np.subtract(given, top, out=block), out=block)
        log_sums[part] = np.log(block @ ones) + top
    losses = log_sums[:, 0] - x[np.arange(len(x)), picked].astype(dtype)

    def vjp(g):
        gx = empty(x.shape, x.dtype)
        for part in parts:
            block = np.subtract(wide(x[part], 1), log_sums[part], out=wide_out(gx[part], 0))
            np.exp(block, out=block)
            block[np.arange(len(block)), picked[part]] -= 1
            block *= (share[part] * g)[:, None]
            narrow(block, gx[part])
        return gx.reshape(logits.shape), None

    return np.asarray((losses * share).sum()), vjp
