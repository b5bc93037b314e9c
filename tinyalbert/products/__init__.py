"""Who multiplies matrices on the CPU: one door for all products of the kernels.

Skip it at first reading.  Behind the door stand NumPy, which is always there, and libraries that
are called through ctypes where an extra has installed them.  A library is an object of one of the
classes here, with

    name         as TINYALBERT_PRODUCTS has it
    multiply(a, b, out, bias=None)     out = a b + bias, of float32, or of bfloat16 with sums in
                                       float32; returns out
    round_to(x, out)                   out = x, float32 rounded to bfloat16
    has_gelu     whether it has gelu(z, out) and gelu_gradient(g, z, out) of both types, in one pass

float32 is NumPy's, bit for bit, unless the environment variable TINYALBERT_PRODUCTS, or the switch
`modes.use_products`, names another library.  Products of 16 bits are the named library's, or those
of the first in LIBRARIES that is fast at them on this processor; NumPy computes the same slowly.
Nothing here is decided by a clock: the same machine with the same settings gives the same bits.
`tinyalbert doctor` measures all of them.
"""

import functools
import os
import warnings

import numpy as np

from ..errors import UserError
from ..modes import mode
from .mkl import Mkl
from .onednn import OneDnn
from .plain import Plain, is_bfloat16
from .processor import sixteen_bit_units
from .unusable import Unusable

VARIABLE = "TINYALBERT_PRODUCTS"
LIBRARIES = {"numpy": Plain, "onednn": OneDnn, "mkl": Mkl}
PLAIN = Plain()


@functools.cache
def find(name):
    """(the library `name` or None, why it can't be used or ""); tried once in a process."""
    try:
        library = LIBRARIES[name]()
        check_right(library)
        return library, ""
    except Unusable as reason:
        return None, str(reason)
    except (OSError, RuntimeError) as error:
        return None, f"{name} is installed, but fails: {error}"


def check_right(library):
    """Raise Unusable if one small product of the library is not NumPy's."""
    a = np.arange(35, dtype=np.float32).reshape(5, 7) - 17
    b = np.arange(42, dtype=np.float32).reshape(6, 7) % 11 - 5
    out = np.empty((5, 6), np.float32)
    if not np.array_equal(library.multiply(a, b.T, out), a @ b.T):  # small whole numbers: exact
        raise Unusable(f"{library.name} is installed, but a test product was wrong")


def check_name(name):
    """`name` if a library of LIBRARIES has it; otherwise a UserError."""
    if name not in LIBRARIES:
        raise UserError(
            f"{VARIABLE} is {name!r}; expected one of {', '.join(LIBRARIES)}, or leave it unset"
        )
    return name


def named():
    """The name that the switch or the environment variable has, or None."""
    name = mode.products or os.environ.get(VARIABLE)
    return check_name(name) if name else None


@functools.cache
def _usable(name):
    """The library `name`, or NumPy with a warning, once, if it can't be used."""
    library, reason = find(name)
    if library is None:
        warnings.warn(f"{reason}; NumPy multiplies instead", stacklevel=2)
    return library or PLAIN


def library_for(dtype):
    """The library that multiplies arrays of this type in the thread that asks."""
    if dtype == np.float32:
        name = named()
        return _usable(name) if name else PLAIN
    if is_bfloat16(dtype):
        return getattr(mode.precision, "products", None) or PLAIN
    return PLAIN


def multiply(a, b, out, bias=None):
    """out = a b + bias: (..., n, k), (..., k, m), (m,) or None -> out (..., n, m).

    Leading axes are equal.  a and b are of one type, which is out's or, of bfloat16, may be where
    out is float32.
    """
    return library_for(a.dtype).multiply(a, b, out, bias)


def round_to(x, out):
    """out = x, float32 rounded to bfloat16, to the nearest and of two nearest to the even one."""
    library_for(out.dtype).round_to(x, out)


def sixteen_bits():
    """The library whose products of bfloat16 are fast here; Unusable tells why none is.

    The reason is a clause for the middle of a sentence.
    """
    units = sixteen_bit_units()
    if not units:
        raise Unusable("this processor has neither AMX nor AVX512-BF16")
    reasons = []
    for name in [named()] if named() else [each for each in LIBRARIES if each != "numpy"]:
        library, reason = find(name)
        if library and library.fast_at_sixteen_bits(units):
            return library
        reasons.append(reason or f"{name} has no fast products of 16 bits on this processor")
    raise Unusable(f"this processor has {units[0]}, but {'; '.join(reasons)}")
