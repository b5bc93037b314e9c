"""The real CuPy 14.2 on the CPU: no GPU, no driver, no CUDA compiler; for tests, in a process of its own.

CuPy's compiled modules call each other through the capsules in `module.__pyx_capi__`.  Before CuPy is imported,
those of the CUDA runtime and driver are replaced by functions on host memory; the CUDA source of each kernel
that CuPy makes is compiled by g++ behind a header that runs its threads (cudacpu.h); cublas.c stands for cuBLAS.
So CuPy's own type rules, indexing and kernels are what is tested.  Not shown: speed, races, cuBLAS's rounding.

`install()` before the first import of CuPy; `counts` has launches, copies (h2d, d2h) and waits (sync).  CUDA graphs are
in graphs.py.
Sorting and cupy.random are compiled into the wheel for a GPU and raise.
"""

import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import sys
import types
from pathlib import Path

from . import graphs
from .graphs import counts  # noqa: F401

HERE = Path(__file__).parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tinyalbert" / "hostcupy"
VERSION = "14.2.0"                               # the capsules are private: another version may lay them out otherwise
_kept = []                                       # callbacks run until the interpreter is gone: never freed

_TYPES = {"int": ctypes.c_int, "intptr_t": ctypes.c_ssize_t, "size_t": ctypes.c_size_t, "unsigned int": ctypes.c_uint,
          "float": ctypes.c_float, "uintmax_t": ctypes.c_size_t, "CUdevice": ctypes.c_int}
_capsule_new = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)(
    ("PyCapsule_New", ctypes.pythonapi))
_capsule_name = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(("PyCapsule_GetName", ctypes.pythonapi))


def missing():
    """Why this can't run here, or None."""
    if not sys.platform.startswith("linux"):
        return "needs Linux"
    if not (shutil.which("g++") and shutil.which("gcc")):
        return "needs g++, which compiles CuPy's kernels for the CPU (Debian, Ubuntu: apt install g++)"
    return None


def _type(text):
    text = text.strip()
    if text.endswith("__pyx_skip_dispatch"):
        return ctypes.c_int
    if "*" in text:
        return ctypes.py_object if text.startswith("PyObject") else ctypes.c_void_p
    return _TYPES[text]


def _replace(module, name, function):
    """Let CuPy's compiled code, and Python, call `function` in place of module.name."""
    signature = _capsule_name(module.__pyx_capi__[name])       # such as b"int (size_t, intptr_t)"
    result, _, arguments = signature.decode().rstrip(")").partition("(")
    types_ = [a for a in arguments.split(",") if a.strip() not in ("", "void")]
    wanted = sum("__pyx" not in a for a in types_)
    callback = ctypes.PYFUNCTYPE(_type(result), *map(_type, types_))(lambda *args: function(*args[:wanted]))
    _kept.extend([callback, signature, function])
    module.__pyx_capi__[name] = _capsule_new(ctypes.cast(callback, ctypes.c_void_p).value, signature, None)
    if hasattr(module, name):
        setattr(module, name, lambda *args, **_: function(*args))


def _replace_runtime(runtime, driver):
    libc = ctypes.CDLL(None)
    libc.aligned_alloc.restype, libc.aligned_alloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t] * 2
    libc.free.argtypes = [ctypes.c_void_p]
    modules, functions, sizes = [], {}, {}
    streams = iter(range(1024, 1 << 30))         # each has a number of its own

    def nothing(*_):
        return None

    def allocate(size, *_):
        counts["malloc"] += 1
        size = (max(size, 1) + 511) // 512 * 512
        pointer = libc.aligned_alloc(512, size)
        graphs.blocks[pointer] = size
        return pointer

    def free(pointer, *_, release=libc.free):
        graphs.blocks.pop(pointer, None)
        release(pointer)

    def copy(to, source, size, kind, *stream):
        counts[{1: "h2d", 2: "d2h"}.get(kind, "d2d")] += 1
        graphs.node(stream[0] if stream else 0, "copy", "", [to, source], lambda: ctypes.memmove(to, source, size))

    def fill(pointer, value, size, *stream):
        graphs.node(stream[0] if stream else 0, "fill", "", [pointer], lambda: ctypes.memset(pointer, value, size))

    def load(path):
        modules.append(ctypes.CDLL(path.decode()))
        return len(modules)

    def get_function(module, name):
        entry = getattr(modules[module - 1], f"__entry_{name}")
        entry.argtypes, entry.restype = [ctypes.c_void_p] + [ctypes.c_uint] * 6, None
        address = ctypes.cast(entry, ctypes.c_void_p).value
        functions[address] = entry
        widths = (ctypes.c_size_t * 256)()
        number = getattr(modules[module - 1], f"__sizes_{name}")(widths)
        sizes[address] = name, list(widths[:number])
        return address

    def launch(function, gx, gy, gz, bx, by, bz, shared, stream, parameters, extra):
        counts["launch"] += 1
        if stream not in graphs.capturing:
            functions[function](parameters, gx, gy, gz, bx, by, bz)
            return
        name, widths = sizes[function]           # CUDA copies the arguments when a launch is noted
        given = ctypes.cast(parameters, ctypes.POINTER(ctypes.c_void_p))
        values = [ctypes.create_string_buffer(ctypes.string_at(given[i], width), width) for i, width in enumerate(widths)]
        places = (ctypes.c_void_p * max(1, len(values)))(*map(ctypes.addressof, values))
        words = [int.from_bytes(v.raw[i:i + 8], "little") for v in values for i in range(0, len(v) - 7, 8)]
        graphs.node(stream, "kernel", name, words, lambda kept=values: functions[function](
            ctypes.addressof(places), gx, gy, gz, bx, by, bz))

    attributes = {75: 8, 76: 0, 10: 32, 1: 1024, 16: 8}        # compute capability 8.0, warp, threads, processors
    replaced = {
        nothing: "_ensure_context setDevice deviceSetLimit streamDestroy eventDestroy eventRecord streamWaitEvent "
                 "deviceEnablePeerAccess _deviceEnsurePeerAccess profilerStart profilerStop memAdvise graphDestroy "
                 "graphUpload",
        graphs.wait: "deviceSynchronize streamSynchronize eventSynchronize", graphs.query: "streamQuery",
        graphs.begin: "streamBeginCapture", graphs.end: "streamEndCapture", graphs.launch: "graphLaunch",
        graphs.forget: "graphExecDestroy", (lambda graph, *_: graph): "graphInstantiate",
        (lambda stream, *_: int(stream in graphs.capturing)): "streamIsCapturing",
        (lambda *_: next(streams)): "streamCreate streamCreateWithFlags streamCreateWithPriority",
        allocate: "malloc mallocAsync hostAlloc", free: "free freeAsync freeHost", copy: "memcpy memcpyAsync",
        fill: "memset memsetAsync", (lambda *_: 0): "getDevice eventQuery pointerGetMemoryType "
                                                    "deviceCanAccessPeer",
        (lambda *_: 1): "getDeviceCount", (lambda *_: 13020): "driverGetVersion",
        (lambda *_: (8 << 30, 8 << 30)): "memGetInfo", (lambda *_: 0.0): "eventElapsedTime",
        (lambda attribute, _: attributes.get(int(attribute), 0)): "deviceGetAttribute",
        (lambda *_: 1024): "eventCreate eventCreateWithFlags",
        (lambda _: {"name": b"hostcupy", "major": 8, "minor": 0, "multiProcessorCount": 8, "warpSize": 32,
                    "maxThreadsPerBlock": 1024, "sharedMemPerBlock": 49152}): "getDeviceProperties"}
    for function, names in replaced.items():
        for name in names.split():
            _replace(runtime, name, function)
    for name, function in {"moduleLoadData": load, "moduleGetFunction": get_function, "launchKernel": launch,
                           "moduleUnload": nothing, "ctxGetCurrent": lambda: 1}.items():
        _replace(driver, name, function)
    for value in (_kept, libc, counts, modules, functions, sizes, streams, graphs, ctypes):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(value))


def _built(name, *command):
    """Path in the cache of the library that `command` makes (it ends in -o); made once."""
    CACHE.mkdir(parents=True, exist_ok=True)
    path = CACHE / name
    if not path.exists():
        counts["compile"] += 1
        temporary = path.with_suffix(f".{os.getpid()}")
        done = subprocess.run([*map(str, command), "-o", str(temporary)], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{command[0]} could not make {name}:\n{done.stderr[:3000]}")
        temporary.replace(path)                  # at once: other test workers share the cache
    return path


def _load_blas():
    """cublas.c under the names that CuPy links against; what it lacks fails when it is called."""
    source = (HERE / "cublas.c").read_text()
    script = CACHE / "version.map"
    for name, text in (("libcublas.so.13", source), ("libcublasLt.so.13", "")):
        key = hashlib.sha256(text.encode()).hexdigest()[:16]
        CACHE.mkdir(parents=True, exist_ok=True)
        script.write_text("libcublas.so.13 { global: *; };\n")
        code = CACHE / f"{key}.c"
        code.write_text(text)
        path = _built(f"{key}-{name}", "gcc", "-O3", "-fassociative-math", "-fno-signed-zeros", "-fno-trapping-math", "-w",
                      "-shared", "-fPIC", f"-Wl,-soname,{name}", f"-Wl,--version-script={script}", code)
        _kept.append(ctypes.CDLL(str(path), ctypes.RTLD_GLOBAL))


def _cuda_headers():
    """-I options for the CUDA headers, which half precision needs: those of the wheel or of the system."""
    wheels = [p for folder in map(Path, sys.path) for p in folder.glob("nvidia/*/include") if (p / "cuda_fp16.h").exists()]
    return [f"-I{p}" for p in [*wheels, Path("/usr/local/cuda/include")] if p.exists()][:1]


def _library(source, *options):
    """Path of CPU code for a CUDA source; each kernel NAME has an entry __entry_NAME(void** parameters, grid, block)."""
    names = re.findall(r"__global__\s+void\s+(?:__launch_bounds__\([^)]*\)\s*)?(\w+)\s*\(", source)
    source = re.sub(r"extern\s+__shared__\s+([^;\[]+)\[\s*\]\s*;", r"static \1[12288];", source)
    call = "entry_with_barriers" if re.search("__sync(threads|warp)", source) else "entry"
    entries = "".join(f'extern "C" void __entry_{n}(void** p, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned '
                      f'by, unsigned bz) {{ cudacpu::{call}({n}, p, gx, bx); }}\n'
                      f'extern "C" int __sizes_{n}(size_t* out) {{ return cudacpu::sizes({n}, out); }}\n' for n in names)
    text = f'#include "cudacpu.h"\n{source}\n{entries}'
    shim = HERE / "cudacpu.h"
    flags = [option for option in options if option.startswith("-D")]      # a precompiled header is for one set of them
    version = hashlib.sha256(shim.read_bytes() + " ".join(flags).encode()).hexdigest()[:16]
    key = hashlib.sha256((version + text).encode()).hexdigest()[:32]
    CACHE.mkdir(parents=True, exist_ok=True)
    code = CACHE / f"{key}.cpp"
    code.write_text(text)
    compiler = ("g++", "-O1", "-w", "-fpermissive", "-fPIC", "-std=c++17", *flags)
    (CACHE / version).mkdir(exist_ok=True)       # the shim, read once by g++ for all kernels
    _built(f"{version}/cudacpu.h.gch", *compiler, "-x", "c++-header", shim)
    return _built(f"{key}.so", *compiler, "-shared", f"-I{CACHE / version}", f"-I{HERE}", *options, code)


def kernels(source, *flags):
    """The kernels of a CUDA source on host memory, without CuPy: run(name, blocks, threads, ctypes values of arguments).

    flags: -DCUDACPU_REVERSED runs the threads from the last to the first, -DCUDACPU_STRICT ends the process if some
    threads of a block have ended while others wait at a barrier.
    """
    source = re.sub(r"#include <cuda_[bf]p?f?16\.h>\n", "", source)         # cudacpu.h has these types itself
    library = ctypes.CDLL(str(_library(source, *flags)))

    def run(name, blocks, threads, values):
        pointers = (ctypes.c_void_p * len(values))(*(ctypes.addressof(value) for value in values))
        getattr(library, f"__entry_{name}")(pointers, *map(ctypes.c_uint, (blocks, 1, 1, threads, 1, 1)))
    return run


def _compile(source, options=(), **_):
    """CuPy's CUDA source as a module of CPU code, in place of NVRTC."""
    import cupy
    from cupy.cuda import function
    source = re.sub(r"#include <cupy/(complex|atomics)\.cuh>\n", "", source)
    headers = Path(cupy.__file__).parent / "_core" / "include"
    module = function.Module()
    module.load(str(_library(source, "-DCUDACPU_CUPY", f"-I{headers}", *_cuda_headers(),
                             f"-I{headers / 'cupy' / '_cccl' / 'libcudacxx'}")).encode())
    return module


class _NoRandom(types.ModuleType):
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        raise NotImplementedError("cupy.random is compiled for a GPU and gives garbage here: draw on the host")


def install():
    """Make `import cupy` give the real CuPy, computing on the CPU; returns it."""
    if "cupy" in sys.modules:
        return sys.modules["cupy"]
    os.environ["CUPY_ACCELERATORS"] = ""         # no CUB: it is compiled for a GPU
    flags = sys.getdlopenflags()
    sys.setdlopenflags(os.RTLD_LAZY)             # so that what cublas.c lacks matters only when it is called
    try:
        _load_blas()
        import cupy_backends.cuda.api.driver as driver
        import cupy_backends.cuda.api.runtime as runtime
        _replace_runtime(runtime, driver)
        import cupy
        import cupy.cuda.compiler
        import cupy_backends.cuda.libs.cublas  # noqa: F401
    finally:
        sys.setdlopenflags(flags)
    if cupy.__version__ != VERSION:
        raise RuntimeError(f"CuPy {cupy.__version__}; expected {VERSION}, whose inner interfaces this replaces: "
                           "pip install -e '.[hostcupy]'")
    cupy.cuda.compiler._compile_module_with_cache = _compile
    cupy.random = _NoRandom("cupy.random")
    try:
        from tinyalbert.kernels.gpu import cublas
    except ImportError:                          # the folder kernels/ was taken out
        return cupy
    cublas.LIBRARIES[cupy.__version__] = graphs.Cublas(cublas.open_library())
    return cupy
