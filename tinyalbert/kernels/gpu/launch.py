"""Kernels in CUDA C, compiled at first use and launched.

Each is in the text of a .cu file, which is compiled once for each precision.

A launch has a fixed price, about 10 µs of the processor whatever the arrays' size, so a kernel does
in one what the plain op does in many.  CuPy is not imported before an array of its is there.  What
the compiler is told: Stored, the type of the numbers in memory; Real, the one they are computed in,
float32 where 16 bits are stored; THREADS, the most threads of a block; STRIP, the rows that one
block adds up.
"""

import functools
import re
from pathlib import Path

import numpy as np

from ...precision import rounded
from ...tensor import OPS, Sum

# {type of an array: (Stored, Real, what is included)}
TYPES = {
    "float32": ("float", "float", ""),
    "float64": ("double", "double", ""),
    "float16": ("__half", "float", "#include <cuda_fp16.h>\n"),
    "bfloat16": ("__nv_bfloat16", "float", "#include <cuda_bf16.h>\n"),
}
THREADS, STRIP = 256, 16
COLUMNS = 32  # that a block of sums.cu adds up


def source(file, dtype):
    """The whole text that is compiled.

    Constants, then kernels/gpu/<file>.cu with its #include lines filled in.
    """

    def text(name):
        code = (Path(__file__).parent / name).read_text(encoding="utf-8")
        return re.sub(r'#include "(\w+\.cu)"\n', lambda include: text(include[1]), code)

    stored, real, headers = TYPES[dtype]
    return (
        f"{headers}typedef {stored} Stored;\ntypedef {real} Real;\n#define THREADS {THREADS}\n"
        f"#define STRIP {STRIP}\n{text(f'{file}.cu')}"
    )


@functools.cache
def name_of(dtype):
    """dtype.name, cached.

    NumPy makes the name anew each time, which takes the processor almost as long as a launch.
    """
    return dtype.name


@functools.cache
def _module(file, dtype):
    import cupy

    # a b + c rounded twice, as NumPy does it: rounded once, a b - a b is not 0, and layer norm
    # divides that by its standard deviation.  The kernels wait for memory, not for arithmetic.
    return cupy.RawModule(code=source(file, dtype), options=("--fmad=false",))


@functools.cache
def _kernel(file, name, dtype):
    return _module(file, dtype).get_function(name)


def launch(file, name, dtype, blocks, threads, *args):
    """Run kernel `name` of kernels/gpu/<file>.cu; nothing is waited for.

    Arrays go as pointers, None as a null pointer, integers as long long, floats as double.
    """
    if blocks:  # of an empty array there is nothing to do, and CUDA refuses it
        _kernel(file, name, name_of(dtype))(
            (blocks,), (threads,), tuple(0 if a is None else a for a in args)
        )


def launch_over(file, name, dtype, size, *args):
    """Run a kernel with one thread for each of `size` elements."""
    launch(file, name, dtype, -(-size // THREADS), THREADS, *args)


def threads_for(width):
    """The number of threads of a block that works on a row.

    A power of two from one warp up, for the sums over pairs.
    """
    return min(THREADS, max(32, 1 << (width - 1).bit_length()))


def contiguous(x):
    """x with its elements in order and without gaps, as the kernels count them.

    If it is so already, x itself is returned.
    """
    return x if x.flags.c_contiguous else x.copy()


def computed_in(dtype):
    """The type that kernels compute and keep sums in for arrays of `dtype`.

    It is float32 for 16 bits.
    """
    return np.dtype("float64" if dtype == "float64" else "float32")


def target(need, xp, shape, dtype):
    """(array, 1 or 0): where a kernel writes a gradient, and whether it adds to what is there.

    need: what a vjp was told of it, a tensor.Sum or something else, which gives a new array.
    """
    if isinstance(need, Sum):
        return need.array, int(need.add)
    return xp.empty(shape, dtype=dtype), 0


def result(need, array):
    """What a vjp returns of a gradient that a kernel has written to target(need, ...)."""
    if isinstance(need, Sum):
        need.written()
        return need
    return array


def strip_sums(xp, partial, *needs):
    """(strips, n) -> (n,): the second stage of a sum over rows, always in the same order.

    needs: what a vjp was told of the gradient; of two or three, each gets as many columns, and
    their results come as a list.
    """
    strips, width = partial.shape
    needs = needs or (True,)
    part = width // len(needs)
    targets = [target(need, xp, (part,), computed_in(partial.dtype)) for need in needs]
    arrays = [array for array, _ in targets] + [None] * (3 - len(needs))
    add = sum(added << i for i, (_, added) in enumerate(targets))
    numbers = (strips, width, part, add)
    blocks = -(-width // COLUMNS)
    launch("sums", "strip_sums", partial.dtype, blocks, THREADS, partial, *arrays, *numbers)
    found = [result(need, array) for need, (array, _) in zip(needs, targets)]
    return found if len(found) > 1 else found[0]


def sums_by_the_end(xp, partial, *needs):
    """strip_sums, or, if all needs are Sums that can wait, its work at the end of the sweep.

    partial: small, since it is kept so long.
    """
    queues = {need.later if isinstance(need, Sum) else None for need in needs}
    later = queues.pop()
    if later is None or queues:
        return strip_sums(xp, partial, *needs)
    later.take(partial, needs)
    return needs if len(needs) > 1 else needs[0]


def real(stored):
    """Decorator of a kernel that needs its arrays to be of matching types.

    The first `stored` arrays must be of one type, and the other numbers of the type it computes in.
    Where they are not, the plain op takes its place, as it does without kernels.
    """

    def decorate(kernel):
        @functools.wraps(kernel)
        def run(*args, **static):
            first, *others = (
                [name_of(a.dtype) for a in part if hasattr(a, "dtype") and a.dtype.kind in "fV"]
                for part in (args[:stored], args[stored:])
            )
            fits = (
                len(set(first)) == 1
                and first[0] in TYPES
                and set(*others) <= {name_of(computed_in(first[0]))}
            )
            return (kernel if fits else rounded(OPS[kernel.__name__]))(*args, **static)

        return run

    return decorate
