"""Where arrays live: NumPy on the CPU, CuPy on a GPU.  First file of the reading order.

The rest of the package computes with `xp = xp_of(x)`, the module that owns the array: `numpy` or
`cupy`.  There is no global "current backend": the arrays decide.  CuPy is imported only when
someone asks for a GPU.  Three differences between the two libraries matter and are dealt with here:
the scatter-add of the embedding gradient, the error function, and the copy between host and device.
"""

import math
import os
import sys

import numpy as np

from .errors import UserError

DEFAULT_DTYPE = np.float32


# --- whose array is it ----------------------------------------------------------------------------


def _cupy():
    """CuPy, if it has been imported: before that there can be no array of CuPy's."""
    return sys.modules.get("cupy")


def xp_of(*arrays):
    """The array module (numpy or cupy) that owns `arrays`; Python scalars and None fit both."""
    cp = _cupy()
    found = None
    for a in arrays:
        if isinstance(a, (np.ndarray, np.generic)):
            xp = np
        elif cp is not None and isinstance(a, cp.ndarray):
            xp = cp
        else:
            continue
        if found is not None and xp is not found:
            raise _on_both_sides(arrays)
        found = xp
    return found or np


def _on_both_sides(arrays):
    """The error for arrays of NumPy and CuPy in one operation."""
    owners = [type(a).__module__.split(".")[0] for a in arrays if hasattr(a, "shape")]
    shapes = [a.shape for a in arrays if hasattr(a, "shape")]
    where = ", ".join(f"{owner} {shape}" for owner, shape in zip(owners, shapes))
    return UserError(
        f"arrays on both the CPU and the GPU met in one operation ({where}); "
        'move one side with model.to("gpu") / model.to("cpu") or to_device(array, "gpu")'
    )


# --- is there a GPU -------------------------------------------------------------------------------


def choose_gpu(cupy):
    """Give each process of a machine, as MPI numbers them, a GPU of its own, in turn.

    One process alone keeps CuPy's choice.  CuPy remembers the GPU for the thread that chooses it;
    no other thread of the process computes on a GPU.
    """
    for name in ("MPI_LOCALRANKID", "OMPI_COMM_WORLD_LOCAL_RANK"):
        number = os.environ.get(name, "")
        if number.isdigit():
            cupy.cuda.Device(int(number) % cupy.cuda.runtime.getDeviceCount()).use()
            return


ADD_ONE = """
extern "C" __global__ void add_one(float* x, long long size) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < size) x[i] += 1;
}
"""


def try_gpu(cupy):
    """Run a matrix product and a kernel compiled from CUDA C; raises if one of them fails.

    A CuPy built for another CUDA, or without CUDA's headers, imports well and fails only here.
    """
    x = cupy.ones((2, 2), dtype="float32")
    x = x @ x  # 2 everywhere
    add_one = cupy.RawModule(code=ADD_ONE).get_function("add_one")
    add_one((1,), (32,), (x, x.size))
    if float(x.sum()) != 12:
        raise ValueError(f"four times 1 + 1 + 1 gave a sum of {float(x.sum())}")


def probe_gpu():
    """Can a GPU be used?  Returns (state, what was seen, what to do).

    The state is "ok", "missing" (no CuPy), "no-device" or "broken".
    """
    try:
        import cupy
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "cupy":
            return (
                "missing",
                "CuPy is not installed",
                "pip install cupy-cuda12x (or cupy-cuda13x), or use --device cpu",
            )
        return (
            "broken",
            f"importing CuPy failed: {error}",
            "reinstall one cupy package only, or use --device cpu",
        )
    if not cupy.cuda.is_available():
        try:
            cupy.cuda.runtime.getDeviceCount()
            why = "no CUDA device"
        except Exception as error:
            why = str(error)
        return (
            "no-device",
            f"CuPy {cupy.__version__} is installed but finds no CUDA device ({why})",
            "check nvidia-smi, or use --device cpu",
        )
    try:
        choose_gpu(cupy)
        try_gpu(cupy)
    except Exception as error:
        return (
            "broken",
            f"CuPy is installed but a test failed: {' '.join(str(error).split())[:300]}",
            "usual cause: missing CUDA libraries; pip install 'cupy-cuda12x[ctk]', one cupy "
            "package only",
        )
    return "ok", f"CuPy {cupy.__version__}", ""


working_cupy = None  # the module that passed probe_gpu, which waits for the GPU: once is enough


def check_device(device):
    """`device`, "cpu" or "gpu", if it can be used; otherwise a UserError with what is missing."""
    global working_cupy
    if device not in ("cpu", "gpu"):
        raise UserError(f"device {device!r} is unknown; expected 'cpu' or 'gpu'")
    if device == "gpu" and (working_cupy is None or _cupy() is not working_cupy):
        state, seen, fix = probe_gpu()
        if state != "ok":
            raise UserError(f"device 'gpu' can't be used ({state}): {seen}; {fix}")
        working_cupy = _cupy()
    return device


# --- what the two do differently ------------------------------------------------------------------


def device_of(array):
    """ "cpu" or "gpu"."""
    return "cpu" if xp_of(array) is np else "gpu"


def to_host(array):
    """A NumPy array with the same values; synchronises when `array` is on a GPU."""
    if isinstance(array, np.ndarray):
        return array
    return np.asarray(array) if xp_of(array) is np else array.get()


def to_device(array, device):
    """`array` on "cpu" or "gpu"; the same object if it is there already."""
    if device_of(array) == check_device(device):
        return array
    return to_host(array) if device == "cpu" else _cupy().asarray(array)


def scatter_add(table, ids, rows):
    """table[ids[i]] += rows[i] in place, repeated ids included: (V, E), int (N,), (N, E).

    On the CPU equal ids are brought together by a sort and summed by one reduction: many times
    faster than `np.add.at`, in a fixed order.  A GPU adds atomically, in no fixed order (but see
    kernels/gpu/scatter.cu).
    """
    xp = xp_of(table, ids, rows)
    if xp is not np:
        xp.add.at(table, ids, rows)
        return
    if len(ids) == 0:
        return
    order = np.argsort(ids, kind="stable")
    ordered = ids[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    table[ordered[starts]] += np.add.reduceat(rows[order], starts, axis=0)


def erf(x):
    """The error function, elementwise, in x's dtype."""
    xp = xp_of(x)
    if xp is np:  # NumPy has none; the exact GELU is rare enough for a loop
        return np.vectorize(math.erf, otypes=[np.float64])(x).astype(x.dtype)
    from cupyx.scipy.special import erf as device_erf

    return device_erf(x).astype(x.dtype, copy=False)  # of float16 it would be float64
