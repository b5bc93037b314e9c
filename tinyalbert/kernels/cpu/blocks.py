"""Rows by blocks: what the NumPy kernels share.

A chain of elementwise operations on a large array reads and writes main memory once for each
operation.  Cut into blocks of rows, every operation but the first finds its block in the L2 cache
and runs three times as fast. Two more things matter to NumPy's vector loops: memory that begins at
a multiple of 64 bytes (another factor of two), and few, large calls, since between two calls a
thread needs the interpreter's lock.
"""

import math
import threading

import numpy as np

from ...modes import mode
from ...products import plain, round_to

BLOCK = 1 << 17  # elements of a block: 512 KiB of float32, four of them in a 2 MiB L2 cache
LINE = 64  # bytes of a cache line and of an AVX-512 register


def empty(shape, dtype):
    """An uninitialised array that begins at a cache line; np.empty begins anywhere."""
    dtype = np.dtype(dtype)
    nbytes = math.prod(shape) * dtype.itemsize
    memory = np.empty(nbytes + LINE, np.uint8)
    start = -memory.ctypes.data % LINE
    return memory[start : start + nbytes].view(dtype).reshape(shape)


class _Scratch(threading.local):
    def __init__(self):
        self.memory = {}


_scratch = _Scratch()


def scratch(slot, shape, dtype):
    """Memory number `slot` of this thread, which the next call uses again: it stays in cache.

    It must not be handed to a caller, nor a slot asked for while it is in use: each kernel numbers
    its own from 0 and calls no other kernel while it needs them.
    """
    size = math.prod(shape)
    key = (slot, np.dtype(dtype))
    memory = _scratch.memory.get(key)
    if memory is None or memory.size < size:
        memory = _scratch.memory[key] = empty((size,), dtype)
    return memory[:size].reshape(shape)


def row_blocks(rows, width):
    """Slices that cover `rows` rows, each of about BLOCK elements and at least one row."""
    step = max(1, BLOCK // max(1, width))
    return [slice(i, min(i + step, rows)) for i in range(0, rows, step)]


def matrix(x):
    """(..., n) -> (R, n), contiguous; a view where that is possible."""
    return np.ascontiguousarray(x).reshape(math.prod(x.shape[:-1]), x.shape[-1])


def tile(slot, row, rows):
    """`row` repeated `rows` times, in scratch memory: twice as fast to use as a broadcast row."""
    repeated = scratch(slot, (rows, row.size), row.dtype)
    repeated[...] = row
    return repeated


def is_bfloat16(x):
    """Whether x has 16-bit numbers that are computed with in float32; see precision.py."""
    return plain.is_bfloat16(x.dtype)


def wide_type(*arrays):
    """The type that an op on these arrays is computed in."""
    return np.dtype(np.float32) if any(map(is_bfloat16, arrays)) else arrays[0].dtype


def widened(x):
    """x itself, or a float32 copy of a small array of bfloat16."""
    return x.astype(np.float32) if is_bfloat16(x) else x


def wide(x, slot):
    """x itself, or a float32 copy in scratch memory of a block of bfloat16."""
    if not is_bfloat16(x):
        return x
    copy = scratch(slot, x.shape, np.float32)
    copy[...] = x
    return copy


def wide_out(out, slot):
    """Where to compute what goes to `out`: there, or in scratch memory that `narrow` rounds."""
    return scratch(slot, out.shape, np.float32) if is_bfloat16(out) else out


def narrow(block, out):
    """Round `block` to `out`, unless it is `out`."""
    if block is not out:
        round_to(block, out)


def recording():
    """Whether ops record for a backward pass: without one, nothing need be kept for it."""
    return mode.recording
