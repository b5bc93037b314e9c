"""A training step as a CUDA graph: replays are the step itself, and mistakes in a capture are found.

Runs on the stand-in for CuPy (fakecupy.py), which notes what a captured stream would do, or on what `pytest --backend` chose.
On the real CuPy on the CPU every address in a graph can be looked at.
"""

import sys

import fakecupy
import numpy as np
import on_device
import pytest

pytest.importorskip("tinyalbert.kernels", reason="the folder kernels/ was taken out")
from tinyalbert.backend import to_device, to_host
from tinyalbert.kernels.gpu import cublas
from tinyalbert.kernels.gpu.product import product


@pytest.fixture(autouse=True)
def device(monkeypatch, request):
    """The library that stands for the GPU: (module `cupy`, its counts)."""
    monkeypatch.setattr(on_device, "ACTIVE", False)
    if real := on_device.library(request.config):
        return real
    for name, module in fakecupy.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    return fakecupy.cupy, fakecupy.counts


# --- cuBLAS -----------------------------------------------------------------------------------------------

def operands():
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape).astype("f") for shape in ((3, 5, 4), (3, 4, 7))]


def test_without_a_library_of_its_own_products_go_through_cupys_wrapper(device, monkeypatch):
    a, b = operands()
    want = to_host(product(to_device(a, "gpu"), to_device(b, "gpu")))
    monkeypatch.setitem(cublas.LIBRARIES, device[0].__version__, None)
    monkeypatch.setattr(cublas, "_handle", lambda *_: pytest.fail("a library that is not there was called"))
    np.testing.assert_array_equal(to_host(product(to_device(a, "gpu"), to_device(b, "gpu"))), want)


def test_a_library_that_is_not_found_is_looked_for_once(device, monkeypatch):
    asked = []

    def missing():
        asked.append(1)
        raise OSError("no such file")
    monkeypatch.setattr(cublas, "open_library", missing)
    monkeypatch.delitem(cublas.LIBRARIES, device[0].__version__)
    assert [cublas.library_of(device[0]) for _ in range(2)] == [None, None] and len(asked) == 1
    monkeypatch.setitem(cublas.LIBRARIES, device[0].__version__, None)


def test_a_stream_has_one_handle_whose_stream_and_workspace_are_set_once(device, monkeypatch):
    real, calls = cublas.library_of(device[0]), []

    class Counting:
        def __getattr__(self, name):
            calls.append(name)
            return getattr(real, name)
    monkeypatch.setitem(cublas.LIBRARIES, device[0].__version__, Counting())
    a, b = (to_device(x, "gpu") for x in operands())
    for _ in range(3):
        product(a, b)
    assert [name for name in calls if "Gemm" not in name] == ["cublasCreate_v2", "cublasSetStream_v2", "cublasSetWorkspace_v2"]
    assert sum("Gemm" in name for name in calls) == 3


def test_a_call_that_cublas_refuses_raises(device, monkeypatch):
    class Refusing:
        def __getattr__(self, name):
            return lambda *_: 13                 # CUBLAS_STATUS_EXECUTION_FAILED
    monkeypatch.setitem(cublas.LIBRARIES, device[0].__version__, Refusing())
    with pytest.raises(RuntimeError, match="cublasCreate failed with status 13"):
        product(*(to_device(x, "gpu") for x in operands()))


@pytest.mark.skipif("config.getoption('--backend') != 'hostcupy'", reason="needs the real CuPy: --backend hostcupy")
def test_the_library_that_cupy_has_loaded_is_found():
    library = cublas.open_library()
    assert all(getattr(library, name).argtypes == arguments for name, arguments in cublas._SIGNATURES.items())
