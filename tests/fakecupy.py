"""A strict stand-in for CuPy on NumPy: what would fail, or wait, on a GPU does so, or is counted, here.

`install()` puts it into sys.modules as `cupy`.  Its arrays never turn into NumPy arrays by themselves and never
mix with them; only names and keyword arguments that CuPy has exist (cupy_api.json, recorded from CuPy 14.2);
reductions and a[0] give 0-d arrays; indices that are too large wrap; writing twice to one place is refused.
`counts` has the calls that would launch a kernel (h2d, d2h: copies; sync: waits for the device).  Stricter than CuPy:
np.exp(device array) and iteration raise, and what `broadcast_to` returns can't be written to.

While a stream is captured (Stream.begin_capture), what CuPy refuses then is refused, and what it launches is noted: arrays have
their shapes, their numbers come when the graph is launched.

A kernel of CUDA C (RawModule) is a launch, does what kernel_references.py has under its name, and takes only what its
parameters take: contiguous arrays of the right type for pointers, int for long long, float for double.
"""

import contextlib
import ctypes
import inspect
import json
import math
import operator
import re
import sys
import types
from pathlib import Path

import kernel_references
import numpy as np

API = json.loads((Path(__file__).parent / "cupy_api.json").read_text(encoding="utf-8"))
SCALARS = (bool, int, float, complex, np.generic)
counts = {"launch": 0, "h2d": 0, "d2h": 0, "sync": 0, "wide": 0}       # wide: arrays of float64, scalars left out


def reset_counts():
    counts.update(dict.fromkeys(counts, 0))


QUIET = np.errstate(all="ignore")                # a GPU gives no warnings
captured = []                                    # of the stream that is captured: the list of what it would run; else nothing


def refuse_in_capture(what, error=RuntimeError):
    if captured:
        raise error(f"{what} while a stream is capturing")


def later(write):
    """Run what writes to arrays that are there, or note it for a graph."""
    if captured:
        captured[0].append(write)
    else:
        write()


def made(compute):
    """The device array that `compute` gives; in a graph it is computed anew at every launch, into the same memory."""
    result = wrap(compute())
    if captured:
        def again():
            new = compute()
            pairs = zip(result, new) if isinstance(result, (tuple, list)) else [(result, new)]
            for out, value in pairs:
                if isinstance(out, FakeArray):
                    if not np.shares_memory(out._a, value):    # a view follows by itself
                        out._a[...] = value
        captured[0].append(again)
    return result


def _count(name, n=1):
    counts[name] += n


class FakeArray:
    """A device array: a NumPy array that only this file may touch."""

    __slots__ = ("_a",)
    __module__ = "cupy"
    __hash__ = None
    __array_ufunc__ = None                       # NumPy scalars on the left defer to our operators, np.exp(x) raises

    def __init__(self, *_, **__):
        raise TypeError("make device arrays with cupy.asarray")

    def __array__(self, dtype=None, copy=None):
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct a NumPy "
                        "array explicitly.")

    def __array_function__(self, func, types, args, kwargs):
        raise TypeError(f"numpy.{func.__name__} was called on a device array: use xp")

    def get(self):
        refuse_in_capture("a copy to the host")
        _count("d2h")
        _count("sync")
        return self._a.copy()

    def set(self, host, stream):
        """A copy on another stream arrives when somebody waits for it, no sooner."""
        assert isinstance(host, np.ndarray) and (host.shape, host.dtype) == (self.shape, self.dtype)
        assert any(host.base is memory for memory in PINNED), "page-locked memory is copied from without waiting"
        refuse_in_capture("a copy to the device")
        _count("h2d")
        stream.later.append(lambda: self._a.__setitem__(..., host))

    def item(self):
        return self.get().item()

    def tolist(self):
        return self.get().tolist()

    def __bool__(self):
        return bool(self.get())

    def __float__(self):
        return float(self.item())

    def __int__(self):
        return int(self.item())

    def __len__(self):
        return len(self._a)

    def __iter__(self):
        raise TypeError("iterating over a device array launches a kernel for each element: slice it, or .get() it once")

    def __repr__(self):
        return f"device {self.get()!r}"

    def __getitem__(self, given):
        key, gathers = _index(given, self._a.shape)
        _count("launch", gathers)
        if gathers and _has_mask(key):           # the result's shape must come back to the host
            refuse_in_capture("a copy to the host")
            _count("sync")
        if gathers:
            return made(lambda: np.asarray(self._a[_index(given, self._a.shape)[0]]))
        key = key if isinstance(key, tuple) else (key,)
        return wrap(self._a[key if any(k is ... for k in key) else (*key, ...)])     # a view, even of one number

    def __setitem__(self, given, value):
        key, scatters = _index(given, self._a.shape)
        _count("launch")
        if scatters and not _has_mask(key) and np.ndim(unwrap(value)):
            places = np.arange(self._a.size).reshape(self._a.shape)[key]
            if np.unique(places).size != places.size:
                raise ValueError("a[ids] = values with repeated ids: which value wins is undefined on a device")
        value = unwrap(value)
        later(lambda: self._a.__setitem__(_index(given, self._a.shape)[0], value))


for _name in ("shape", "dtype", "ndim", "size", "nbytes", "strides", "itemsize", "flags"):
    setattr(FakeArray, _name, property(lambda self, name=_name: getattr(self._a, name)))
FakeArray.T = property(lambda self: wrap(self._a.T))
FakeArray.base = property(lambda self: wrap(self._a.base) if isinstance(self._a.base, np.ndarray) else None)
FakeArray.data = property(lambda self: types.SimpleNamespace(ptr=self._a.ctypes.data))    # its address, for kernels
FakeArray.mT = property(lambda self: wrap(self._a.swapaxes(-1, -2)))


def wrap(value):
    """NumPy's arrays, also inside tuples and lists, as device arrays."""
    if isinstance(value, (tuple, list)):
        return type(value)(map(wrap, value))
    if not isinstance(value, (np.ndarray, np.generic)):
        return value
    result = object.__new__(FakeArray)
    result._a = np.asarray(value)
    _count("wide", result._a.dtype == np.float64 and result._a.size > 16)
    return result


def unwrap(value):
    """Device arrays as NumPy's; a NumPy array among them is the mistake this file is for."""
    if isinstance(value, FakeArray):
        return value._a
    if isinstance(value, np.ndarray):
        raise TypeError("Unsupported type <class 'numpy.ndarray'>: a host array met device arrays")
    if isinstance(value, (tuple, list)):
        return type(value)(map(unwrap, value))
    return value


def _has_mask(key):
    return any(isinstance(k, np.ndarray) and k.dtype == bool for k in (key if isinstance(key, tuple) else (key,)))


def _index(key, shape):
    """(key for NumPy, whether it gathers): CuPy copies host index arrays up and wraps what is out of bounds."""
    parts, gathers, axis = [], False, 0
    keys = key if isinstance(key, tuple) else (key,)
    named = sum(k is not None and k is not Ellipsis for k in keys)
    for k in keys:
        if isinstance(k, (list, np.ndarray)):
            k = np.asarray(k)
            if k.ndim:
                refuse_in_capture("a copy to the device")
                _count("h2d")
        k = k._a if isinstance(k, FakeArray) else k
        if k is Ellipsis:
            axis += len(shape) - named
        elif isinstance(k, np.ndarray):
            gathers = True
            axis += max(1, k.ndim) if k.dtype == bool else 1
            if k.dtype != bool and shape[axis - 1]:
                k = k % shape[axis - 1]
        elif k is not None:
            axis += 1
        parts.append(k)
    return (tuple(parts) if isinstance(key, tuple) else parts[0]), gathers


# --- operators and methods --------------------------------------------------------------------------------

def _operator(f, swapped=False):
    @QUIET
    def apply(self, other):
        if not isinstance(other, (*SCALARS, FakeArray, np.ndarray)):
            return NotImplemented
        if f is operator.matmul:                 # CuPy's wrapper of cuBLAS
            refuse_in_capture("a call of cuBLAS", NotImplementedError)
        _count("launch")
        a, b = self._a, unwrap(other)
        return made(lambda: f(b, a) if swapped else f(a, b))
    return apply


def _in_place(f):
    @QUIET
    def apply(self, other):
        _count("launch")
        given = unwrap(other)
        later(lambda: f(self._a, given))
        return self
    return apply


def _unary(f):
    @QUIET
    def apply(self):
        _count("launch")
        return made(lambda: f(self._a))
    return apply


for _name in "add sub mul truediv floordiv mod pow matmul and_ or_ xor lshift rshift".split():
    _bare = _name.strip("_")
    setattr(FakeArray, f"__{_bare}__", _operator(getattr(operator, _name)))
    setattr(FakeArray, f"__r{_bare}__", _operator(getattr(operator, _name), swapped=True))
    if _name != "matmul":                        # CuPy has no a @= b
        setattr(FakeArray, f"__i{_bare}__", _in_place(getattr(operator, f"i{_bare}")))
for _name in "lt le gt ge eq ne".split():
    setattr(FakeArray, f"__{_name}__", _operator(getattr(operator, _name)))
for _name in "neg pos abs invert".split():
    setattr(FakeArray, f"__{_name}__", _unary(getattr(operator, _name)))

VIEWS = {"reshape", "transpose", "swapaxes", "squeeze", "view", "ravel", "broadcast_to", "expand_dims", "moveaxis", "split",
         "asarray", "empty", "empty_like"}
WAITS = {"unique", "nonzero", "flatnonzero", "argwhere", "array_equal", "bincount", "repeat"}
WRITES = {"fill", "sort", "put", "itemset", "copyto", "put_along_axis", "scatter_add"}     # to arrays that are there


def _refuse_keywords(name, given, allowed):
    unknown = sorted(set(given) - set(allowed))
    if unknown and "**" not in allowed:
        raise TypeError(f"cupy.{name}() got an unexpected keyword argument {unknown[0]!r}; it takes {', '.join(allowed)}")


def _method(name, allowed):
    @QUIET
    def call(self, *args, **keywords):
        _refuse_keywords(f"ndarray.{name}", keywords, allowed)
        if name == "astype" and not keywords.get("copy", True) and self.dtype == args[0]:
            return self                          # nothing to do, and no launch
        return computed(name, getattr(self._a, name), args, keywords)
    return call


def computed(name, function, args, keywords):
    """What a method or function of NumPy gives for device arrays."""
    if name in WAITS:
        refuse_in_capture("a wait")
        _count("sync")
    _count("launch", name not in VIEWS)
    args, keywords = unwrap(args), {k: unwrap(v) for k, v in keywords.items()}
    if name in WRITES:
        later(lambda: function(*args, **keywords))
        return None
    return made(lambda: function(*args, **keywords))


for _name, _allowed in API["methods"].items():
    setattr(FakeArray, _name, _method(_name, _allowed))


# --- the namespace ----------------------------------------------------------------------------------------

class Ufunc:
    """An elementwise function: device arrays and scalars only, and no where=, order=, subok=."""

    def __init__(self, name):
        self.name, self.f = name, getattr(np, name)

    @QUIET
    def __call__(self, *args, **keywords):
        _refuse_keywords(self.name, keywords, ("out", "dtype", "casting"))
        if not any(isinstance(a, FakeArray) for a in args):
            raise TypeError(f"Unsupported type {type(args[0])} for cupy.{self.name}: no argument is a device array")
        if self.name == "matmul":
            refuse_in_capture("a call of cuBLAS", NotImplementedError)
        _count("launch")
        args, given = unwrap(args), {k: unwrap(v) for k, v in keywords.items()}
        if "out" not in keywords:
            return made(lambda: self.f(*args, **given))
        later(lambda: self.f(*args, **given))
        return keywords["out"]

    def at(self, a, ids, values):
        types_of = {"add": "int32 int64 uint32 uint64 float16 float32 float64", "subtract": "int32 uint32",
                    "maximum": "int32 int64 uint32 uint64 float32 float64"}
        if a.dtype.name not in types_of.get(self.name, types_of["maximum"] if self.name == "minimum" else "").split():
            raise TypeError(f"cupy.{self.name}.at does not support {a.dtype}")
        _count("launch")
        given = unwrap(values)
        later(lambda: self.f.at(a._a, _index(ids, a.shape)[0], given))


MAKES = {"array", "asarray", "zeros", "ones", "empty", "full", "arange", "linspace", "eye", "result_type"}   # from host values


def _function(name):
    def call(*args, **keywords):
        _refuse_keywords(name, keywords, API["functions"][name])
        keywords.pop("blocking", None)
        if name in ("array", "asarray"):
            value = args[0]
            if isinstance(value, FakeArray):
                return value if name == "asarray" and not (args[1:] or keywords) else wrap(np.array(value._a, *args[1:], **keywords))
            if not isinstance(value, np.ndarray) and isinstance(value, (list, tuple)):
                value = unwrap(value)
            refuse_in_capture("a copy to the device")
            _count("h2d")
            return wrap(np.array(value, *args[1:], **keywords))            # a copy: no aliasing of host memory
        if name not in MAKES and not any(isinstance(a, (FakeArray, list, tuple)) for a in args):
            raise TypeError(f"cupy.{name} was called on {type(args[0])}: it would silently compute with NumPy")
        if name == "concatenate" and len(args[0]) > 8:         # their addresses are sent
            refuse_in_capture("a copy to the device")
        return computed(name, getattr(np, name), args, keywords)
    return call


def asnumpy(a):
    return a.get() if isinstance(a, FakeArray) else np.asarray(a)


def erf(x):
    _count("launch")
    return made(lambda: np.vectorize(math.erf, otypes=[np.float64])(unwrap(x)).astype("f" if x.dtype == "f" else "d"))


# --- cuBLAS -----------------------------------------------------------------------------------------------

def _cuda_type(number):
    return np.dtype({0: "float32", 1: "float64", 2: "float16", 14: "bfloat16"}[number])


def _scalar(address, wide):
    return np.frombuffer((ctypes.c_char * wide.itemsize).from_address(address), wide)[0].copy()


def _gemm(a_transposed, b_transposed, m, n, k, alpha, A, a_type, lda, a_stride, B, b_type, ldb, b_stride, beta, C, c_type, ldc,
          c_stride, batches, how, algorithm):
    """c = alpha a b + beta c for matrices that lie in memory column by column."""
    _count("launch")

    def matrices(address, kind, line, stride, rows, columns):
        assert line >= max(1, rows), "a leading dimension that cuBLAS refuses"
        dtype = _cuda_type(kind)
        size = max(0, (batches - 1) * stride + (columns - 1) * line + rows) if columns else 0
        memory = np.frombuffer((ctypes.c_char * (size * dtype.itemsize)).from_address(address), dtype)
        steps = [step * dtype.itemsize for step in (stride, 1, line)]
        return np.lib.stride_tricks.as_strided(memory, (batches, rows, columns), steps)

    wide = _cuda_type(1 if a_type == 1 else 0)
    assert how == {1: 70}.get(a_type, how) and (how != 77 or a_type == 0) and how in (68, 70, 77), how
    alpha, beta = _scalar(alpha, wide), _scalar(beta, wide)    # read at once, as from host memory
    assert alpha == 1 and beta in (0, 1)
    a = matrices(A, a_type, lda, a_stride, *((k, m) if a_transposed else (m, k)))
    b = matrices(B, b_type, ldb, b_stride, *((n, k) if b_transposed else (k, n)))
    c = matrices(C, c_type, ldc, c_stride, m, n)

    @QUIET
    def multiply():
        x, y = (o.swapaxes(1, 2) if transposed else o for o, transposed in ((a.astype(wide), a_transposed), (b.astype(wide), b_transposed)))
        c[...] = x @ y + c if beta else x @ y
    later(multiply)


class Cublas:
    """cuBLAS for the library's own calls (tinyalbert/kernels/gpu/cublas.py)."""

    def cublasCreate_v2(self, place):
        ctypes.c_void_p.from_address(place).value = 1
        return 0

    def cublasSetStream_v2(self, handle, stream):
        return 0

    def cublasSetWorkspace_v2(self, handle, workspace, size):
        return 0

    def cublasGemmStridedBatchedEx(self, handle, *arguments):
        _gemm(*arguments)
        return 0


def _wrapped_gemm(handle, *arguments):
    refuse_in_capture("a call of cuBLAS", NotImplementedError)
    _gemm(*arguments)


CUBLAS = types.SimpleNamespace(gemmStridedBatchedEx=_wrapped_gemm)


# --- streams ----------------------------------------------------------------------------------------------

PINNED = []                                      # page-locked memory
lag = 0                                          # how many marks the device is behind


def empty_pinned(shape, dtype):
    PINNED.append(np.full(shape, 0xAB, dtype=dtype))
    return PINNED[-1][...]


class Event:
    """A mark on a stream: `done` when `lag` more were made on it, as if the device were that late."""

    def __init__(self, stream, place):
        stream.marks += 1
        self.stream, self.place, self.number = stream, place, stream.marks

    @property
    def done(self):
        if captured:
            captured.append("a question")
        return self.stream.marks >= self.number + lag


class Stream:
    """What is `later` on a stream is done when another stream waits for a mark behind it; the first one works at once."""

    ptr, current = 0, []

    def __init__(self, non_blocking=False):
        self.later, self.marks, self.non_blocking = [], 0, non_blocking

    def __enter__(self):
        Stream.current.append(self)
        return self

    def __exit__(self, *error):
        Stream.current.pop()

    def synchronize(self):
        if captured:
            captured.append("a wait")
            raise RuntimeError("cudaErrorStreamCaptureUnsupported")
        _count("sync")

    def begin_capture(self, mode=None):
        assert not captured and self.non_blocking, "only a stream of one's own can be captured"
        captured.append([])

    def end_capture(self):
        notes, *spoilt = captured
        captured.clear()
        if spoilt:
            raise RuntimeError(f"cudaErrorStreamCaptureInvalidated: {spoilt}")
        return Graph(notes)

    def is_capturing(self):
        return bool(captured)

    def record(self):
        return Event(self, len(self.later))

    def wait_event(self, event):
        for copy in event.stream.later[:event.place]:
            copy()
        event.stream.later = event.stream.later[event.place:]


class Graph:
    """What a stream would have run."""

    def __init__(self, notes):
        self.notes = notes

    @QUIET
    def launch(self, stream=None):
        _count("launch")
        for note in self.notes:
            note()


class MemoryPool:
    def malloc(self, size):
        return types.SimpleNamespace(ptr=0)


WORK = Stream()


# --- kernels in CUDA C ------------------------------------------------------------------------------------

C_TYPES = {"float": "float32", "double": "float64", "__half": "float16", "__nv_bfloat16": "bfloat16"}


class RawModule:
    """CUDA C whose kernels run as kernel_references.py has them."""

    def __init__(self, *, code, options=()):
        found = {name: kind for kind, name in re.findall(r"typedef (\w+) (Stored|Real);", code)}
        self.stored = np.dtype(C_TYPES[found.get("Stored", "float")])
        self.real = np.dtype(C_TYPES[found.get("Real", "float")])
        self.signatures = {name: [tuple(p.replace("const ", "").rsplit(" ", 1)) for p in re.split(r",\s+", parameters)]
                           for name, parameters in re.findall(r"__global__ void (\w+)\(([^)]*)\)", code)}

    def get_function(self, name):
        signature = self.signatures[name]

        def run(grid, block, args):
            threads = math.prod(block)
            assert math.prod(grid) > 0 and 32 <= threads <= 1024 and threads & (threads - 1) == 0, (grid, block)
            assert len(args) == len(signature), f"{name} was given {len(args)} arguments; it takes {len(signature)}"
            for kind, a in zip(signature, args):
                self.check(name, *kind, a)
            _count("launch")
            given = [a._a if isinstance(a, FakeArray) else a.copy() if isinstance(a, np.ndarray) else a for a in args]
            later(lambda: self.compute(name, grid, block, given))
        return run

    def check(self, kernel, kind, parameter, a):
        """CuPy passes an int as long long and a float as double, whatever the kernel's parameter is."""
        where = f"{kernel}: {parameter} ({kind}) was given"
        if kind in ("Arrays", "Later"):          # a struct, by value
            assert type(a) is np.ndarray and a.shape == () and a.dtype.names, f"{where} {a!r}"
        elif not kind.endswith("*"):
            assert type(a) is {"long long": int, "double": float}[kind], f"{where} {a!r}"
        elif not (type(a) is int and a == 0):    # a null pointer
            wanted = {"Real*": self.real, "Stored*": self.stored, "int*": np.dtype("int32"), "float*": np.dtype("float32"),
                      "double*": np.dtype("float64")}.get(kind, np.dtype("int64"))
            assert isinstance(a, FakeArray) and a.dtype == wanted, f"{where} {type(a)} of {getattr(a, 'dtype', None)}"
            assert a.flags.c_contiguous and a.flags.writeable, f"{where} an array with gaps, or a view that repeats"

    @QUIET
    def compute(self, name, grid, block, args):
        """What the kernel does; test_gpu_kernels.py puts the compiled kernel in its place.

        Of 16-bit arrays the reference gets float32 copies, which are rounded back into them.
        """
        reference = getattr(kernel_references, name)
        more = {"real": self.real} if "real" in inspect.signature(reference).parameters else {}
        pointers = [kind.endswith("*") for kind, _ in self.signatures[name]]
        copies = {id(a): a.astype(np.float32) for a in args if getattr(a, "dtype", None) == self.stored != self.real}
        wide = [copies.get(id(a), a) for a in args]
        reference(*(None if pointer and isinstance(a, int) else a for pointer, a in zip(pointers, wide)), **more)
        for a, copy in zip(args, wide):
            if copy is not a:
                a[...] = copy.astype(a.dtype)


def _lookup(name):
    """The attribute `name` of the module `cupy`: only what the recorded CuPy has."""
    kind = API["functions"].get(name)
    if kind is None:
        raise AttributeError(f"module 'cupy' has no attribute {name!r}, or it is not in cupy_api.json")
    if isinstance(getattr(np, name, None), type) or kind == "value":
        return getattr(np, name)
    value = Ufunc(name) if kind == "ufunc" else _function(name)
    setattr(cupy, name, value)
    return value


class Device:
    """One of the GPUs; `in_use` is the number of the one that was chosen last."""

    in_use, cublas_handle, compute_capability = 0, 1, "80"

    def __init__(self, device=None):
        self.id = device

    def use(self):
        Device.in_use = self.id


cupy = types.ModuleType("cupy", __doc__)
vars(cupy).update(
    RawModule=RawModule,
    __version__="fake", __getattr__=_lookup, ndarray=FakeArray, asnumpy=asnumpy,
    cuda=types.SimpleNamespace(is_available=lambda: True, runtime=types.SimpleNamespace(getDeviceCount=lambda: 1),
                               Stream=Stream, get_current_stream=lambda: (Stream.current or [WORK])[-1], cublas=CUBLAS, Device=Device,
                               MemoryPool=MemoryPool, using_allocator=contextlib.nullcontext),
    get_default_memory_pool=MemoryPool)


def modules():
    """{name: module}: what `import cupy` and `from cupyx.scipy.special import erf` are to find."""
    cupyx, scipy, special = (types.ModuleType(n) for n in ("cupyx", "cupyx.scipy", "cupyx.scipy.special"))
    cupyx.scipy, scipy.special, special.erf, cupyx.empty_pinned = scipy, special, erf, empty_pinned
    with contextlib.suppress(ImportError):       # the folder kernels/ was taken out
        from tinyalbert.kernels.gpu import cublas
        cublas.LIBRARIES[cupy.__version__] = Cublas()
    return {"cupy": cupy, "cupyx": cupyx, "cupyx.scipy": scipy, "cupyx.scipy.special": special}


def install():
    """Let the package see this as CuPy for the rest of the process."""
    sys.modules.update(modules())
    return cupy
