"""Products by NumPy: always there, and the definition of the others."""

import numpy as np


def is_bfloat16(dtype):
    """Whether a type is bfloat16, which ml_dtypes adds to NumPy."""
    return dtype.itemsize == 2 and dtype.name == "bfloat16"  # the first test is quicker


class Plain:
    """NumPy's matmul; 16 bits are widened, multiplied and rounded: right, but slow."""

    name = "numpy"
    has_gelu = False

    def fast_at_sixteen_bits(self, units):
        """Never: OpenBLAS, as NumPy brings it, has no such product."""
        return False

    def round_to(self, x, out):
        """out = x, float32 rounded to bfloat16."""
        out[...] = x

    def multiply(self, a, b, out, bias=None):
        """As products.multiply says."""
        if not is_bfloat16(a.dtype):
            np.matmul(a, b, out=out)
            if bias is not None:
                out += bias
            return out
        product = np.matmul(a.astype(np.float32), b.astype(np.float32))
        if bias is not None:
            product += bias
        out[...] = product
        return out
