"""Products by Intel's MKL, from the extra `mkl`, called through ctypes.

Its sequential layer is used: one thread for each replica of the model.  The call gives up the
interpreter's lock.  On processors of other vendors MKL takes slower paths, and has no fast 16 bits.
"""

import ctypes

import numpy as np

from .layout import readable
from .loading import load
from .processor import is_intel
from .unusable import Unusable

FILES = ("libmkl_rt.so.3", "libmkl_rt.so.2", "libmkl_rt.so", "mkl_rt.3.dll", "mkl_rt.2.dll")
ROW_MAJOR, NO_TRANSPOSE, TRANSPOSE = 101, 111, 112  # of CBLAS
SEQUENTIAL, LP64 = 1, 0
BLOCK = 1 << 17  # elements of a block of results that is rounded while it is in cache


class Mkl:
    """cblas_sgemm and cblas_gemm_bf16bf16f32."""

    name = "mkl"
    has_gelu = False

    def __init__(self):
        library = load("MKL", FILES, "mkl", ("linux", "win32"))
        try:
            library.MKL_Set_Threading_Layer(SEQUENTIAL)
            library.MKL_Set_Interface_Layer(LP64)
            self._multiply = {4: library.cblas_sgemm, 2: library.cblas_gemm_bf16bf16f32}
        except AttributeError as error:
            raise Unusable(f"MKL is too old: {error}") from None
        size, number, pointer = ctypes.c_int, ctypes.c_float, ctypes.c_void_p
        for function in self._multiply.values():
            function.restype = None
            function.argtypes = [size] * 6 + [number, pointer, size, pointer, size, number]
            function.argtypes += [pointer, size]

    def fast_at_sixteen_bits(self, units):
        """On Intel's alone: on an AMD EPYC with AVX512-BF16 it took 4 times NumPy's float32."""
        return is_intel()

    def round_to(self, x, out):
        """out = x, float32 rounded to bfloat16."""
        out[...] = x

    def multiply(self, a, b, out, bias=None):
        """As products.multiply says."""
        if 0 in (*a.shape, *b.shape):
            out[...] = 0 if bias is None else bias
            return out
        for at in np.ndindex(out.shape[:-2]):
            self._multiply_matrix(a[at], b[at], out[at], bias)
        return out

    def _multiply_matrix(self, a, b, out, bias):
        """Blocks of rows, so that bias and rounding find the result in cache."""
        b = readable(b)
        whole = out.dtype == np.float32 and bias is None
        step = len(out) if whole else max(1, BLOCK // out.shape[1])
        for start in range(0, len(out), step):
            rows = out[start : start + step]
            block = rows
            if rows.dtype != np.float32 or not rows.flags.c_contiguous:
                block = np.empty(rows.shape, np.float32)
            self._gemm(readable(a[start : start + step]), b, block)
            if bias is not None:
                block += bias
            if block is not rows:
                rows[...] = block

    def _gemm(self, a, b, out):
        (n, k), m = a.shape, b.shape[1]
        arguments = [ROW_MAJOR, *(_order(x)[0] for x in (a, b)), n, m, k, 1.0]
        for x in (a, b):
            arguments += [x.ctypes.data, _order(x)[1]]
        self._multiply[a.itemsize](*arguments, 0.0, out.ctypes.data, m)


def _order(x):
    """(how CBLAS is to read the matrix x, its leading dimension)."""
    rows, columns = (stride // x.itemsize for stride in x.strides)
    if x.strides[1] == x.itemsize or x.shape[1] == 1:
        return NO_TRANSPOSE, max(rows if x.shape[0] > 1 else 0, x.shape[1])
    return TRANSPOSE, max(columns, x.shape[0])
