"""Products and GELU by oneDNN, from the extra `onednn`, called through its C interface with ctypes.

oneDNN compiles a piece of machine code, a primitive, for each shape, type and layout; each thread
keeps its own, since a primitive has memory of its own to work in.  The call gives up the
interpreter's lock.  Names and numbers are those of oneDNN 3 (oneapi-src/oneDNN, dnnl_types.h).
"""

import collections
import ctypes
import os
import threading

import numpy as np

from ..modes import mode
from .layout import readable
from .loading import load
from .plain import is_bfloat16
from .unusable import Unusable

FILES = ("libdnnl.so.3",)
OPENMP = "libgomp.so.1"
MOST_PRIMITIVES = 512  # of a thread; the one that was used longest ago goes first

CPU, IN_ORDER = 1, 1
BFLOAT16, FLOAT32 = 2, 3
FORWARD, GELU_TANH = 64, 0x2B
SRC, DST, WEIGHTS, BIAS, DIFF_SRC, DIFF_DST = 1, 17, 33, 41, 129, 145

Handle = ctypes.c_void_p
forked = False  # threads that OpenMP started before a fork are not in this process


def _after_fork():
    global forked
    forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class Version(ctypes.Structure):
    """dnnl_version_t, as far as it's read here."""

    _fields_ = [("major", ctypes.c_int), ("minor", ctypes.c_int)]


class Argument(ctypes.Structure):
    """dnnl_exec_arg_t: which argument of a primitive, and its memory."""

    _fields_ = [("which", ctypes.c_int), ("memory", Handle)]


class OneDnn:
    """The matmul and eltwise primitives of oneDNN."""

    name = "onednn"
    has_gelu = True

    def __init__(self):
        self.library = load("oneDNN", FILES, "onednn", ("linux",))
        self.openmp = ctypes.CDLL(OPENMP)  # which oneDNN has loaded
        try:
            self.library.dnnl_version.restype = ctypes.POINTER(Version)
            version = self.library.dnnl_version().contents
        except AttributeError as error:
            raise Unusable(f"oneDNN can't be used: {error}") from None
        if version.major != 3:
            raise Unusable(f"oneDNN is of version {version.major}.{version.minor}; expected 3")
        self.execute = self.library.dnnl_primitive_execute
        self.execute.argtypes = [Handle, Handle, ctypes.c_int, ctypes.c_void_p]
        self.set_handle = self.library.dnnl_memory_set_data_handle
        self.set_handle.argtypes = [Handle, Handle]
        self.destroy = self.library.dnnl_primitive_destroy
        self.destroy.argtypes = [Handle]
        self.most_threads = self.openmp.omp_get_max_threads()  # OMP_NUM_THREADS, or all cores
        self.engine = self.make("engine_create", CPU, ctypes.c_size_t(0))
        self.here = _OfThread(self)

    def fast_at_sixteen_bits(self, units):
        """Where the processor has units for it, whoever made it."""
        return bool(units)

    def call(self, name, *arguments):
        """Call dnnl_NAME; what it refuses raises Unusable with its status."""
        status = getattr(self.library, f"dnnl_{name}")(*arguments)
        if status:
            raise Unusable(f"oneDNN: dnnl_{name} gave status {status}")

    def make(self, name, *arguments):
        """The handle that dnnl_NAME writes to its first argument."""
        handle = Handle()
        self.call(name, ctypes.byref(handle), *arguments)
        return handle

    def multiply(self, a, b, out, bias=None):
        """As products.multiply says."""
        if 0 in (*a.shape, *b.shape):
            out[...] = 0 if bias is None else bias
            return out
        result = readable(out)
        arrays = {SRC: readable(a), WEIGHTS: readable(b), DST: result}
        if bias is not None:
            bias = np.ascontiguousarray(bias, dtype=np.float32)
            arrays[BIAS] = bias.reshape((1,) * (out.ndim - 1) + bias.shape)
        self._run("matmul", arrays)
        if result is not out:
            out[...] = result
        return out

    def round_to(self, x, out):
        """out = x, float32 rounded to bfloat16; of any layout."""
        self._run("reorder", {SRC: x, DST: out})

    def gelu(self, z, out):
        """out = gelu(z), in its tanh form; both contiguous and of one type."""
        self._run("gelu", {SRC: z, DST: out})

    def gelu_gradient(self, g, z, out):
        """out = g gelu'(z); all contiguous and of one type."""
        self._run("gelu_gradient", {SRC: z, DIFF_DST: g, DIFF_SRC: out})

    def _run(self, kind, arrays):
        """Execute the primitive of this kind on {argument: array}."""
        if next(iter(arrays.values())).size == 0:
            return
        here = self.here
        threads = here.use_threads()
        key = (kind, threads, *((w, a.shape, a.strides, a.dtype.char) for w, a in arrays.items()))
        primitive = here.primitives.get(key)
        if primitive is None:
            primitive = here.primitives[key] = _Primitive(self, kind, arrays)
            if len(here.primitives) > MOST_PRIMITIVES:
                here.primitives.popitem(last=False)
        else:
            here.primitives.move_to_end(key)
        primitive.run(here.stream, arrays)


class _OfThread(threading.local):
    """What each thread has of its own."""

    def __init__(self, library):
        self.library = library
        self.stream = library.make("stream_create", library.engine, IN_ORDER)
        self.primitives = collections.OrderedDict()

    def use_threads(self):
        """Let calls from this thread take as many threads as it may; returns how many.

        Said before each call, since others set the number too: threadpoolctl's limits, when they
        end, set that of all libraries back.
        """
        threads = 1 if mode.one_thread or forked else self.library.most_threads
        self.library.openmp.omp_set_num_threads(threads)
        return threads


class _Primitive:
    """A compiled primitive with the memory objects of its arguments."""

    def __init__(self, library, kind, arrays):
        self.library = library
        layouts = {which: _layout(library, array) for which, array in arrays.items()}
        description = getattr(self, f"_describe_{kind}")(layouts)
        self.handle = library.make("primitive_create", description)
        self.memories = [
            library.make("memory_create", layout, library.engine, None)
            for layout in layouts.values()
        ]
        self.arguments = (Argument * len(arrays))(*zip(arrays, self.memories))
        library.call("primitive_desc_destroy", description)
        for layout in layouts.values():
            library.call("memory_desc_destroy", layout)

    def _describe_matmul(self, layouts):
        return self.library.make(
            "matmul_primitive_desc_create",
            self.library.engine,
            layouts[SRC],
            layouts[WEIGHTS],
            layouts.get(BIAS),
            layouts[DST],
            None,
        )

    def _describe_reorder(self, layouts):
        engine = self.library.engine
        return self.library.make(
            "reorder_primitive_desc_create", layouts[SRC], engine, layouts[DST], engine, None
        )

    def _describe_gelu(self, layouts, out=DST):
        return self.library.make(
            "eltwise_forward_primitive_desc_create",
            self.library.engine,
            FORWARD,
            GELU_TANH,
            layouts[SRC],
            layouts[out],
            ctypes.c_float(0),
            ctypes.c_float(0),
            None,
        )

    def _describe_gelu_gradient(self, layouts):
        forward = self._describe_gelu(layouts, DIFF_SRC)
        backward = self.library.make(
            "eltwise_backward_primitive_desc_create",
            self.library.engine,
            GELU_TANH,
            layouts[DIFF_SRC],
            layouts[DIFF_DST],
            layouts[SRC],
            ctypes.c_float(0),
            ctypes.c_float(0),
            forward,
            None,
        )
        self.library.call("primitive_desc_destroy", forward)
        return backward

    def run(self, stream, arrays):
        """Execute on arrays of the layouts that it was made for."""
        for memory, array in zip(self.memories, arrays.values()):
            self.library.set_handle(memory, array.ctypes.data)
        status = self.library.execute(self.handle, stream, len(arrays), self.arguments)
        if status:
            raise RuntimeError(f"oneDNN: dnnl_primitive_execute gave status {status}")

    def __del__(self):
        for memory in vars(self).get("memories", ()):
            self.library.library.dnnl_memory_destroy(memory)
        if "handle" in vars(self):
            self.library.destroy(self.handle)


def _layout(library, array):
    """The memory descriptor of an array."""
    n = array.ndim
    numbers = ctypes.c_int64 * n
    strides = [stride // array.itemsize for stride in array.strides]
    for axis in reversed(range(n)):  # of an axis of one entry NumPy has any stride
        if array.shape[axis] == 1:
            strides[axis] = 1 if axis == n - 1 else strides[axis + 1] * array.shape[axis + 1]
    kind = BFLOAT16 if is_bfloat16(array.dtype) else FLOAT32
    return library.make(
        "memory_desc_create_with_strides", n, numbers(*array.shape), kind, numbers(*strides)
    )
