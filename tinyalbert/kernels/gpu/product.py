"""Matrix products on a GPU by cuBLAS itself, and ops.linear by them.

CuPy's `@` takes arrays of 16 bits only if they have two axes (more are converted to float32, or
refused), and gives 16 bits back.  cuBLAS adds up in float32 whatever the operands are, and can
write float32: gradients of weights do not pass through 16 bits.  It reads transposed operands as
they are.
"""

import functools
import math

import numpy as np

from ...backend import xp_of
from ...modes import mode
from ...tensor import Sum, selective
from . import cublas
from .cublas import CUDA_TYPES
from .launch import computed_in, contiguous, launch_over, name_of, real, strip_sums


def _operand(x):
    """(x, 1 if it is transposed in memory, else 0, elements from one of its lines to the next)."""
    if not x.flags.c_contiguous and x.swapaxes(-1, -2).flags.c_contiguous:
        return x, 1, x.shape[-2]
    return contiguous(x), 0, x.shape[-1]


@functools.cache
def _one_and_zero(dtype):
    """What cuBLAS multiplies the product and the old result by, read from host memory."""
    return np.array(1, dtype), np.array(0, dtype)


def _written(into):
    into.written()
    return into


def product(a, b, dtype=None, into=None):
    """a @ b, of a's type or `dtype`.

    If `into` is a tensor.Sum, the product is added there by cuBLAS itself, and it is returned.

    Shapes: (..., n, k), (..., k, m), leading axes equal -> (..., n, m).  In the precision "tf32"
    float32 is rounded to TF32 first, with 10 bits behind the point.
    """
    a, a_transposed, a_line = _operand(a)
    b, b_transposed, b_line = _operand(b)
    *batch, n, k = a.shape
    m = b.shape[-1]
    added = isinstance(into, Sum)
    c = into.array if added else xp_of(a).empty((*batch, n, m), dtype=dtype or a.dtype)
    if not (a.size and b.size):
        if not (added and into.add):
            c.fill(0)  # a sum of nothing, if it is not itself empty
        return _written(into) if added else c
    tf32 = mode.precision is not None and mode.precision.name == "tf32"
    how = cublas.COMPUTE_64F if name_of(a.dtype) == "float64" else cublas.COMPUTE_32F
    if tf32 and a.dtype == "float32":
        how = cublas.COMPUTE_TF32
    one, zero = _one_and_zero(computed_in(a.dtype))
    a_type = CUDA_TYPES[name_of(a.dtype)]
    b_type = CUDA_TYPES[name_of(b.dtype)]
    c_type = CUDA_TYPES[name_of(c.dtype)]
    # cuBLAS counts column by column, so what it sees is the transpose of each array, and c' = b' a'
    cublas.gemm(
        b_transposed,
        a_transposed,
        m,
        n,
        k,
        one.ctypes.data,
        b.data.ptr,
        b_type,
        max(1, b_line),
        k * m,
        a.data.ptr,
        a_type,
        max(1, a_line),
        n * k,
        (one if added and into.add else zero).ctypes.data,
        c.data.ptr,
        c_type,
        m,
        n * m,
        math.prod(batch),
        how,
        cublas.DEFAULT_ALGORITHM,
    )
    return c if not added else _written(into)


def in_shape(found, shape):
    """A product in this shape; a tensor.Sum has it already."""
    return found if isinstance(found, Sum) else found.reshape(shape)


@real(stored=2)
def linear(x, weight, bias=None):
    """ops.linear: the gradients of weight and bias are float32 where x and weight have 16 bits."""
    rows = contiguous(x).reshape(math.prod(x.shape[:-1]), x.shape[-1])
    xp = xp_of(x)
    y = product(rows, weight.T)
    if bias is not None:
        launch_over("sums", "add_to_rows", y.dtype, y.size, y, contiguous(bias), y.size, y.shape[1])

    @selective
    def vjp(g, needs):
        g = contiguous(g).reshape(len(rows), len(weight))
        gx = in_shape(product(g, weight, into=needs[0]), x.shape) if needs[0] else None
        gweight = product(g.T, rows, computed_in(g.dtype), needs[1]) if needs[1] else None
        gbias = strip_sums(xp, g, needs[2]) if bias is not None and needs[2] else None
        return gx, gweight, gbias

    return y.reshape(*x.shape[:-1], len(weight)), vjp
