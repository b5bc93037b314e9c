"""Kernel of the sum of gradients that meet at one Tensor."""

import numpy as np

from .blocks import empty, is_bfloat16, narrow, row_blocks, wide, wide_out


def added(a, b, out=None):
    """a + b, two arrays of one shape, into `out`, which may be a; 16 bits are added in float32."""
    if not (is_bfloat16(a) and is_bfloat16(b) and a.flags.c_contiguous and b.flags.c_contiguous):
        if out is None:
            return a + b
        out += b
        return out
    out = empty(a.shape, a.dtype) if out is None else out
    x, y, total = (each.reshape(-1) for each in (a, b, out))
    for part in row_blocks(x.size, 1):
        block = np.add(wide(x[part], 0), wide(y[part], 1), out=wide_out(total[part], 2))
        narrow(block, total[part])
    return out
