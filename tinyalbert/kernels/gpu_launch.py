"""Kernels in CUDA C: the text of a .cu file, compiled at first use, once for each precision, and launched.

A launch has a fixed price, about 10 µs of the processor whatever the arrays' size, so a kernel does in one what
the plain op does in many.  CuPy is not imported before an array of its is there.  What the compiler is told: REAL,
the type of the numbers; THREADS, the most threads of a block; STRIP, the rows that one block adds up.
"""

import functools
import re
from pathlib import Path

from ..tensor import OPS

TYPES = {"float32": "float", "float64": "double"}
THREADS, STRIP = 256, 16


def source(file, dtype):
    """The whole text that is compiled: constants, then kernels/<file>.cu with its #include lines filled in."""
    def text(name):
        code = (Path(__file__).parent / name).read_text(encoding="utf-8")
        return re.sub(r'#include "(\w+\.cu)"\n', lambda include: text(include[1]), code)
    return f"#define REAL {TYPES[dtype]}\n#define THREADS {THREADS}\n#define STRIP {STRIP}\n{text(f'{file}.cu')}"


@functools.cache
def _module(file, dtype):
    import cupy
    return cupy.RawModule(code=source(file, dtype))


@functools.cache
def _kernel(file, name, dtype):
    return _module(file, dtype).get_function(name)


def launch(file, name, dtype, blocks, threads, *args):
    """Run kernel `name` of kernels/<file>.cu; nothing is waited for.

    Arrays go as pointers, None as a null pointer, integers as long long, floats as double.
    """
    if blocks:                                   # of an empty array there is nothing to do, and CUDA refuses it
        _kernel(file, name, dtype.name)((blocks,), (threads,), tuple(0 if a is None else a for a in args))


def launch_over(file, name, dtype, size, *args):
    """Run a kernel with one thread for each of `size` elements."""
    launch(file, name, dtype, -(-size // THREADS), THREADS, *args)


def threads_for(width):
    """Threads of a block that works on a row: a power of two from one warp up, for the sums over pairs."""
    return min(THREADS, max(32, 1 << (width - 1).bit_length()))


def contiguous(x):
    """x with its elements in order and without gaps, as the kernels count them: itself, where it is so."""
    return x if x.flags.c_contiguous else x.copy()


def strip_sums(xp, partial):
    """(strips, n) -> (n,): the second stage of a sum over rows, always in the same order."""
    sums = xp.empty(partial.shape[1], dtype=partial.dtype)
    launch("sums", "strip_sums", sums.dtype, -(-sums.size // 32), THREADS, partial, sums, *partial.shape)
    return sums


def real(kernel):
    """`kernel` where all numbers are float32 or all are float64; the plain op where they are not."""
    @functools.wraps(kernel)
    def run(*args, **static):
        found = {a.dtype.name for a in args if hasattr(a, "dtype") and a.dtype.kind == "f"}
        return (kernel if len(found) == 1 and found <= TYPES.keys() else OPS[kernel.__name__])(*args, **static)
    return run
