"""Kernels of dropout: the same mask bit for bit, hashed in cache, kept as one byte per element."""

import math

import numpy as np

from .blocks import BLOCK, empty, matrix, narrow, row_blocks, scratch, wide, wide_out


def _mix(x, shifted):
    """ops._mix in place, with memory for the shifted numbers instead of a new array each time."""
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        x ^= np.right_shift(x, shift, out=shifted)
        x *= factor
    x ^= np.right_shift(x, 16, out=shifted)


def keep_mask(shape, p, key, first_row):
    """ops.dropout_mask(shape, p, key, first_row, np)."""
    size = math.prod(shape[1:])
    words = (size + 1) // 2  # 32-bit hashes in a row, of two elements each
    keep = np.empty((shape[0], size), bool)
    rows = np.arange(first_row, first_row + shape[0], dtype=np.uint32)
    rows = rows * 0x9E3779B9 + (key & 0xFFFFFFFF)
    _mix(rows, np.empty_like(rows))
    columns = np.arange(words, dtype=np.uint32)
    for part in row_blocks(len(rows), words):
        for start in range(0, words, BLOCK):
            some = columns[start : start + BLOCK]
            bits = scratch(0, (part.stop - part.start, len(some)), np.uint32)
            _mix(np.add(rows[part, None], some, out=bits), scratch(1, bits.shape, np.uint32))
            into = keep[part, 2 * start : 2 * (start + len(some))]
            np.greater_equal(bits.view(np.uint16)[:, : into.shape[1]], round(p * 65536), out=into)
    return keep.reshape(shape)


def _times_mask(x, keep, scale):
    """x * keep * scale, block by block."""
    flat = matrix(x.reshape(-1, 1) if x.ndim < 2 else x)
    y = empty(flat.shape, x.dtype)
    mask = keep.reshape(flat.shape)
    for part in row_blocks(*flat.shape):
        block = np.multiply(wide(flat[part], 0), mask[part], out=wide_out(y[part], 1))
        block *= scale
        narrow(block, y[part])
    return y.reshape(x.shape)


def dropout(x, p, key, first_row=0):
    """ops.dropout."""
    keep = keep_mask(x.shape, p, key, first_row)
    scale = 1 / (1 - round(p * 65536) / 65536)
    return _times_mask(x, keep, scale), lambda g: (_times_mask(g, keep, scale), None, None)
