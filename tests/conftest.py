"""What every test shares: hypothesis profiles, and the array backend that the suite runs on."""

import importlib
import os
import signal

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")       # tests run side by side: one BLAS thread each

import pytest  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:    # a suite started by `command &` ignores Ctrl-C, and so would
    signal.signal(signal.SIGINT, signal.default_int_handler)              # the processes that its tests send it to

COMMON = dict(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
settings.register_profile("dev", max_examples=10, **COMMON)
settings.register_profile("ci", max_examples=25, derandomize=True, **COMMON)
settings.register_profile("deep", max_examples=400, **COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


def pytest_addoption(parser):
    parser.addoption("--backend", choices=("numpy", "fakecupy", "hostcupy", "cupy"), default="numpy", help=(
        "where the ops compute: NumPy; fakecupy, a strict stand-in for CuPy; hostcupy, the real CuPy on the CPU; cupy, the "
        "real CuPy on this machine's GPU. On the last three every op of the suite runs on the device, forward and backward, "
        "and test_devices.py trains there; what is no computation (files, tokens, text) does not differ, and "
        "lessons are processes of their own"))


def pytest_configure(config):
    backend = config.getoption("--backend")
    if backend == "cupy":
        from tinyalbert.backend import check_device
        from tinyalbert.errors import UserError
        try:
            check_device("gpu")
        except UserError as error:
            raise pytest.UsageError(f"--backend cupy: {error}") from None
    elif backend != "numpy":
        device = importlib.import_module(backend)
        if backend == "hostcupy" and device.missing():
            raise pytest.UsageError(f"--backend hostcupy {device.missing()}")
        device.install()
    if backend != "numpy":
        import on_device
        on_device.move_ops()


@pytest.fixture(scope="session")
def data_dir():
    """The folder of real data sets that TINYALBERT_DATA names; the test is skipped without it."""
    folder = os.environ.get("TINYALBERT_DATA")
    if not folder:
        pytest.skip("needs real data: set TINYALBERT_DATA to the folder that holds it")
    from pathlib import Path
    return Path(folder)
