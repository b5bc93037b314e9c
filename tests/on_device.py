"""The suite on another device: every op moves its arrays to `cupy`, runs there, and brings the results back.

So each test of an op, a module or a model computes on the device without knowing of it, gradients included.
Models, optimisers and training that live on the device throughout are in test_devices.py.
"""

import functools
import sys
import threading

import fakecupy
import numpy as np

from tinyalbert import ops
from tinyalbert.tensor import KERNELS, OPS, Sum, selective

ACTIVE = True                # False: ops stay where their arrays are, as without this file
REAL = ("hostcupy", "cupy")  # the backends of the suite that are CuPy itself
ONE_AT_A_TIME = threading.RLock()                # CUDA is safe for threads, what hostcupy puts in its place is not


class Unknown:
    """A count that a GPU does not give: whatever a test says of it holds there."""

    __eq__ = __le__ = __gt__ = __ge__ = lambda self, other: True
    __add__ = __sub__ = lambda self, other: self
    def __bool__(self):
        return False


def library(config):
    """(module `cupy`, its counts) of the backend of the suite, if it is CuPy itself; None if it is not."""
    backend = config.getoption("--backend")
    if backend not in REAL:
        return None
    if backend == "hostcupy":
        import hostcupy
        counts = hostcupy.counts
    else:
        counts = dict.fromkeys(("launch", "h2d", "d2h", "d2d", "sync"), Unknown())
    return sys.modules["cupy"], counts


def as_gpu(monkeypatch, config):
    """What stands for the GPU in a test that moves its arrays itself: (module `cupy`, its counts).

    What is on the CPU stays there.
    """
    monkeypatch.setattr(sys.modules[__name__], "ACTIVE", False)
    if real := library(config):
        return real
    for name, module in fakecupy.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    return fakecupy.cupy, fakecupy.counts


def up(a):
    return sys.modules["cupy"].asarray(a) if isinstance(a, (np.ndarray, np.generic)) else a


def down(a):
    a = a.array if isinstance(a, Sum) else a     # a gradient that others may add to
    return a.get() if isinstance(a, sys.modules["cupy"].ndarray) else a


def moved(raw, there=None):
    """The op `raw` for NumPy arrays, computed on the device by `there`; arrays that are there already stay."""
    there = there or raw

    @functools.wraps(raw)
    def run(*args, **static):
        if not ACTIVE or any(isinstance(a, sys.modules["cupy"].ndarray) for a in args):
            return raw(*args, **static)
        with ONE_AT_A_TIME:
            out, device_vjp = there(*map(up, args), **static)
            out = down(out)

        def vjp(g):
            with ONE_AT_A_TIME:
                return tuple(map(down, device_vjp(up(g))))

        @selective
        def selective_vjp(g, needs):
            with ONE_AT_A_TIME:
                return tuple(map(down, device_vjp(up(g), needs)))
        return out, selective_vjp if isinstance(device_vjp, selective) else vjp
    return run


def move_ops():
    """Run every op on the device: the plain definition, and the fused version in the place of NumPy's."""
    for name, raw in list(OPS.items()):
        OPS[name] = getattr(ops, name).raw = moved(raw)
        KERNELS[name, "numpy"] = moved(raw, KERNELS.get((name, "cupy")))
