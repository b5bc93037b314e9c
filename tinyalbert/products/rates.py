"""How fast each library multiplies here, for `tinyalbert doctor` and the benchmark."""

import os
import subprocess
import sys
import time

import numpy as np

from ..modes import use_one_thread
from . import LIBRARIES, find
from .processor import sixteen_bit_units

SHAPE = (1024, 1024, 256)  # rows, outputs, inputs: a feed-forward layer of H 256
OPENBLAS_SETTINGS = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
FREE_RATE = """
import sys
sys.path[:] = sys.argv[1:]
from tinyalbert.products.rates import rate
print(rate("numpy"))
"""


def rate(name, dtype="float32", seconds=0.15):
    """GFLOP/s of the library `name` on one thread, or None if it can't be used.

    The best of as many as fit into `seconds` of the processor's time: others may be busy too.
    """
    from threadpoolctl import threadpool_limits

    library, _ = find(name)
    if library is None:
        return None
    n, m, k = SHAPE
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(shape, np.float32).astype(dtype) for shape in ((n, k), (m, k)))
    out = np.empty((n, m), np.float32)
    best = np.inf
    with threadpool_limits(1, "blas"), use_one_thread():
        library.multiply(a, b.T, out)
        end = time.thread_time() + seconds
        while time.thread_time() < end:
            start = time.perf_counter()
            library.multiply(a, b.T, out)
            best = min(best, time.perf_counter() - start)
    return 2 * n * m * k / best / 1e9


def rates():
    """{(library, "float32" or "bfloat16"): GFLOP/s} of what can be used and is fast by itself."""
    found = {(name, "float32"): rate(name) for name in LIBRARIES}
    units = sixteen_bit_units()
    for name in LIBRARIES:
        library, _ = find(name)
        if library and library.fast_at_sixteen_bits(units):
            try:
                import ml_dtypes  # noqa: F401  # gives NumPy the type
            except ImportError:
                break
            found[name, "bfloat16"] = rate(name, "bfloat16")
    return {key: value for key, value in found.items() if value}


def rate_without_settings():
    """NumPy's GFLOP/s without the environment's OPENBLAS_* settings, or None if there are none."""
    set_here = [name for name in OPENBLAS_SETTINGS if name in os.environ]
    if not set_here:
        return None
    free = {name: value for name, value in os.environ.items() if name not in set_here}
    command = [sys.executable, "-c", FREE_RATE, *sys.path]
    done = subprocess.run(command, env=free, capture_output=True, text=True, timeout=60)
    return float(done.stdout) if done.returncode == 0 else None
