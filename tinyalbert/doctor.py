"""What this machine has, and what of it tinyalbert would use: `tinyalbert doctor`."""

import importlib.metadata
import os
import platform
import shutil
import time

import numpy as np

from . import __version__
from .backend import probe_gpu, to_host
from .config import AlbertConfig
from .errors import UserError
from .heads import AlbertForPreTraining
from .ops import IGNORE
from .precision import PRECISIONS, check_precision
from .tensor import KERNELS
from .training.replicas import physical_cores
from .training.trainer import Trainer


def _version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _memory():
    """Total and free memory as text."""
    try:
        page = os.sysconf("SC_PAGE_SIZE")
        total = page * os.sysconf("SC_PHYS_PAGES") / 2**30
        free = page * os.sysconf("SC_AVPHYS_PAGES") / 2**30
        return f"{total:.1f} GiB, {free:.1f} GiB free"
    except (ValueError, AttributeError, OSError):
        return "unknown"


def product_rate(seconds=0.3, n=1024):
    """GFLOP/s of float32 matrix products on one thread."""
    from threadpoolctl import threadpool_limits

    a = np.ones((n, n), dtype=np.float32)
    with threadpool_limits(1, "blas"):
        a @ a
        count = 0
        start = time.perf_counter()
        while time.perf_counter() - start < seconds:
            a @ a
            count += 1
        return 2 * n**3 * count / (time.perf_counter() - start) / 1e9


def gpu_step_difference():
    """How far a training step on the GPU is from NumPy's: (gradients, parameters).

    Both are largest differences.  The gradients' is relative to the largest gradient, the
    parameters' to the learning rate.  Comparing tensor by tensor would not do: the bias of the keys
    has no gradient at all (it shifts a row of scores), only rounding errors.
    """
    config = AlbertConfig.preset("tiny", vocab_size=500)
    rng = np.random.default_rng(0)
    ids = rng.integers(5, 500, (4, 32)).astype(np.int32)
    batch = {
        "input_ids": ids,
        "attention_mask": np.ones_like(ids),
        "labels": np.where(rng.random(ids.shape) < 0.2, ids, IGNORE),
        "sentence_order_label": np.array([0, 1, 0, 1], dtype=np.int32),
    }
    trainers = [
        Trainer(AlbertForPreTraining(config).to(device), lr=1e-3, threads=1)
        for device in ("cpu", "gpu")
    ]
    for trainer in trainers:
        trainer.step(batch)
    cpu, gpu = (to_host(trainer.gradients.flat) for trainer in trainers)
    moved = max(
        abs(to_host(q.data) - p.data).max()
        for p, q in zip(*(t.model.parameters() for t in trainers))
    )
    return float(abs(gpu - cpu).max() / abs(cpu).max()), float(moved / trainers[0].lr)


def usable_precisions():
    """The precisions that the GPU can train in, and why not in the others."""
    usable = []
    missing = []
    for name in PRECISIONS:
        try:
            usable.append(check_precision(name, "gpu"))
        except UserError as error:
            missing.append(str(error))
    return "; ".join([", ".join(usable), *missing])


def report(device=None):
    """(text with a line for each thing that matters, whether everything asked for works)."""
    from threadpoolctl import threadpool_info

    blas = next(
        (
            f"{i['internal_api']} {i.get('version')} ({i.get('architecture', 'unknown')})"
            for i in threadpool_info()
            if i["user_api"] == "blas"
        ),
        "none found",
    )
    state, seen, fix = probe_gpu()
    lines = {
        "tinyalbert": __version__,
        "Python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        "NumPy": f"{np.__version__}, BLAS {blas}",
        "products": f"{product_rate():.0f} GFLOP/s on one thread",
        "threads": f"{physical_cores()} replicas, one per physical core, each with one BLAS thread",
        "kernels": f"{len(KERNELS)} fused ops" if KERNELS else "off: plain ops only",
        "memory": _memory(),
        "disk here": f"{shutil.disk_usage('.').free / 2**30:.1f} GiB free",
        "GPU": f"{state}: {seen}" + (f"; {fix}" if fix else ""),
        "MPI": f"mpi4py {_version('mpi4py')}",
        **{
            p: _version(p)
            for p in ("sentencepiece", "safetensors", "threadpoolctl", "tqdm", "matplotlib")
        },
    }
    ok = device != "gpu" or state == "ok"
    if device == "gpu" and state == "ok":
        gradients, parameters = gpu_step_difference()
        ok = gradients < 1e-3 and parameters < 0.2
        lines["precisions"] = usable_precisions()
        lines["GPU step"] = (
            f"{'right' if ok else 'WRONG'}: one training step differs from NumPy's by "
            f"{gradients:.1e} of the largest gradient and {parameters:.1e} of the learning rate "
            "(below 1e-3, 0.2)"
        )
    return "\n".join(f"{name:14s}{value}" for name, value in lines.items()), ok
