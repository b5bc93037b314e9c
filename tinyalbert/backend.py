"""Where arrays live: NumPy on the CPU, CuPy on a GPU.  First file of the reading order.

Everything above this file computes with `xp = xp_of(x)`, the module that owns the array: `numpy` or
`cupy`.  There is no global "current backend": the arrays decide.  CuPy is imported only when
someone asks for a GPU.  Three differences between the two libraries matter and are dealt with here:
the scatter-add of the embedding gradient, the error function, and the copy between host and device.
"""

import math
import sys

import numpy as np

from .errors import UserError

DEFAULT_DTYPE = np.float32
PROVEN = set()  # the CuPy that passed probe_gpu: the probe waits, once is enough
# functions of CuPy, called when a GPU is first asked for: parallel.py picks one, kernels/
# compiles
FIRST_USE = []


def _cupy():
    """CuPy, if it is already imported: an array of CuPy's can't exist before that."""
    return sys.modules.get("cupy")


def xp_of(*arrays):
    """The array module (numpy or cupy) that owns `arrays`; Python scalars and None belong to
    either.
    """
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
            where = ", ".join(
                f"{type(b).__module__.split('.')[0]} {b.shape}"
                for b in arrays
                if hasattr(b, "shape")
            )
            raise UserError(
                f"arrays on both the CPU and the GPU met in one operation ({where}); "
                'move one side with model.to("gpu") / model.to("cpu") or to_device(array, "gpu")'
            )
        found = xp
    return found or np


def probe_gpu():
    """State of the GPU path: ("ok" | "missing" | "no-device" | "broken", what was seen, what to
    do).

    Runs a real matrix product and a kernel: a CuPy built for the wrong CUDA imports well and fails
    only there."""
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
        for prepare in FIRST_USE:
            prepare(cupy)
        float((cupy.ones((2, 2), dtype="float32") @ cupy.ones((2, 2), dtype="float32")).sum())
    except Exception as error:
        return (
            "broken",
            f"CuPy is installed but a test failed: {' '.join(str(error).split())[:300]}",
            "usual cause: missing CUDA libraries; pip install 'cupy-cuda12x[ctk]', one cupy "
            "package only",
        )
    return "ok", f"CuPy {cupy.__version__}", ""


def check_device(device):
    """`device` if it can be used ("cpu" or "gpu"); otherwise a UserError that says what is
    missing.
    """
    if device not in ("cpu", "gpu"):
        raise UserError(f"device {device!r} is unknown; expected 'cpu' or 'gpu'")
    if device == "gpu" and _cupy() not in PROVEN:
        state, seen, fix = probe_gpu()
        if state != "ok":
            raise UserError(f"device 'gpu' can't be used ({state}): {seen}; {fix}")
        PROVEN.add(_cupy())
    return device


def device_of(array):
    """ "cpu" or "gpu"."""
    return "cpu" if xp_of(array) is np else "gpu"


def to_host(array):
    """A NumPy array with the same values; synchronises when `array` is on a GPU."""
    return (
        array
        if isinstance(array, np.ndarray)
        else np.asarray(array)
        if xp_of(array) is np
        else array.get()
    )


def to_device(array, device):
    """`array` on "cpu" or "gpu"; the same object if it is there already."""
    if device_of(array) == check_device(device):
        return array
    return to_host(array) if device == "cpu" else _cupy().asarray(array)


def scatter_add(table, ids, rows):
    """table[ids[i]] += rows[i] in place, repeated ids included.  table (V, E), ids (N,), rows (N,
    E).

    On the CPU equal ids are brought together by a sort and summed by one reduction: many times
    quicker than `np.add.at`, in a fixed order.  A GPU adds atomically, in no fixed order (but see
    kernels/gpu/scatter.cu)."""
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
