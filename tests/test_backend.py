"""Devices and host helpers, as far as they show without a GPU."""

import math
import sys

import numpy as np
import pytest

from tinyalbert.backend import (
    check_device,
    device_of,
    erf,
    probe_gpu,
    scatter_add,
    to_device,
    to_host,
    xp_of,
)
from tinyalbert.errors import UserError


class OtherArray:
    """An array of a second library, under CuPy's name."""
    shape = (2,)


@pytest.fixture
def other_library(monkeypatch):
    module = type(sys)("cupy")
    module.ndarray = OtherArray
    monkeypatch.setitem(sys.modules, "cupy", module)
    return module


def test_the_arrays_decide(other_library):
    assert xp_of(np.ones(2), 3, None) is np and xp_of() is np and xp_of(np.float32(1)) is np
    assert xp_of(1.0, OtherArray()) is other_library and device_of(OtherArray()) == "gpu"
    with pytest.raises(UserError, match="both the CPU and the GPU"):
        xp_of(np.ones(2), OtherArray())


def test_without_cupy_the_error_says_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)         # import cupy raises
    assert probe_gpu()[0] in ("missing", "broken")
    with pytest.raises(UserError, match="'gpu' can't be used"):
        check_device("gpu")
    with pytest.raises(UserError, match="expected 'cpu' or 'gpu'"):
        to_device(np.ones(2), "tpu")


def test_the_host_keeps_its_arrays():
    a = np.ones(2)
    assert to_host(a) is a and to_device(a, "cpu") is a and isinstance(to_host(1.5), np.ndarray)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_erf(dtype):
    x = np.linspace(-3, 3, 13, dtype=dtype)
    assert erf(x).dtype == dtype
    np.testing.assert_allclose(erf(x), [math.erf(v) for v in x], rtol=4 * np.finfo(dtype).eps)


def test_scatter_add_of_nothing():
    table = np.ones((2, 3))
    scatter_add(table, np.zeros(0, int), np.zeros((0, 3)))
    np.testing.assert_array_equal(table, 1)
