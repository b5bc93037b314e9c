"""cuBLAS called directly, through ctypes, on the library that CuPy has loaded.

CuPy's own wrapper refuses to be captured in a CUDA graph; cuBLAS itself does not.  It also needs
memory to work in, which it would allocate in the middle of a capture, and CuPy's wrapper takes what
it was given away again at every call.  So each stream has a handle of its own, with a workspace
that is set once.  Where the library can't be opened, CuPy's wrapper takes its place: the same
numbers, but no graphs.
"""

import ctypes
import functools

# cudaDataType of library_types.h, cublasComputeType_t and cublasGemmAlgo_t of cublas_api.h
CUDA_TYPES = {"float32": 0, "float64": 1, "float16": 2, "bfloat16": 14}
COMPUTE_32F, COMPUTE_64F, COMPUTE_TF32 = 68, 70, 77
DEFAULT_ALGORITHM = -1

WORKSPACE = 32 << 20  # bytes, as NVIDIA recommends for Hopper; older GPUs need less

# {version of CuPy: its cuBLAS, or None where it can't be opened}; a stand-in enters its own
LIBRARIES = {}

_INT, _LONG, _POINTER = ctypes.c_int, ctypes.c_longlong, ctypes.c_void_p
_MATRIX = [_POINTER, _INT, _INT, _LONG]  # address, type, elements from line to line, to the next
_SIGNATURES = {
    "cublasCreate_v2": [_POINTER],
    "cublasSetStream_v2": [_POINTER, _POINTER],
    "cublasSetWorkspace_v2": [_POINTER, _POINTER, ctypes.c_size_t],
    "cublasGemmStridedBatchedEx": [
        *(_POINTER, _INT, _INT, _INT, _INT, _INT),  # handle, transposed?, transposed?, m, n, k
        *(_POINTER, *_MATRIX, *_MATRIX),  # alpha, a, b
        *(_POINTER, *_MATRIX),  # beta, c
        *(_INT, _INT, _INT),  # matrices, computed in, algorithm
    ],
}


def open_library():
    """The cuBLAS that this process has loaded, as a ctypes.CDLL; raises if it isn't found."""
    from cuda.pathfinder import load_nvidia_dynamic_lib  # comes with CuPy

    library = ctypes.CDLL(load_nvidia_dynamic_lib("cublas").abs_path)
    for name, arguments in _SIGNATURES.items():
        getattr(library, name).argtypes = arguments
    return library


def library_of(cupy):
    """The cuBLAS of this CuPy, opened once; None if it can't be."""
    if cupy.__version__ not in LIBRARIES:
        try:
            LIBRARIES[cupy.__version__] = open_library()
        except (ImportError, OSError, RuntimeError, AttributeError):
            LIBRARIES[cupy.__version__] = None
    return LIBRARIES[cupy.__version__]


def _check(status, what):
    if status:
        raise RuntimeError(f"cuBLAS: {what} failed with status {status}")


@functools.cache
def _handle(library, device, stream):
    """(handle, workspace) for a stream of a device; the workspace must live as long."""
    import cupy

    handle = ctypes.c_void_p()
    _check(library.cublasCreate_v2(ctypes.addressof(handle)), "cublasCreate")
    _check(library.cublasSetStream_v2(handle.value, stream), "cublasSetStream")
    # from the pool of all, whatever pool a step of training has for itself
    workspace = cupy.get_default_memory_pool().malloc(WORKSPACE)
    status = library.cublasSetWorkspace_v2(handle.value, workspace.ptr, WORKSPACE)
    _check(status, "cublasSetWorkspace")
    return handle.value, workspace


def gemm(*arguments):
    """cublasGemmStridedBatchedEx on CuPy's current stream.

    The arguments are those behind the handle.  Scalars and matrices are addresses, the former on
    the host.
    """
    import cupy

    library = library_of(cupy)
    device = cupy.cuda.Device()
    if library is None:
        cupy.cuda.cublas.gemmStridedBatchedEx(device.cublas_handle, *arguments)
        return
    handle, _ = _handle(library, device.id, cupy.cuda.get_current_stream().ptr)
    _check(library.cublasGemmStridedBatchedEx(handle, *arguments), "cublasGemmStridedBatchedEx")
