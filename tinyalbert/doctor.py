"""What this machine has, and what of it tinyalbert would use: `tinyalbert doctor`."""

import importlib.metadata
import os
import platform
import shutil

import numpy as np

from . import __version__, products
from .backend import probe_gpu, to_host
from .config import AlbertConfig
from .errors import UserError
from .heads import AlbertForPreTraining
from .ops import IGNORE
from .precision import PRECISIONS, check_precision
from .products import rates
from .products.processor import model_name, sixteen_bit_units
from .tensor import KERNELS
from .training.replicas import physical_cores
from .training.trainer import Trainer

NOTEWORTHY = 1.1  # a gain in speed below this may be chance


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


def product_lines():
    """{name: line} about who multiplies matrices here, how fast, and what would be faster."""
    measured = rates.rates()
    numpy_rate = measured["numpy", "float32"]
    said = []
    for name in products.LIBRARIES:
        single = measured.get((name, "float32"))
        half = measured.get((name, "bfloat16"))
        if single:
            said.append(f"{name} {single:.0f}" + (f" (16 bits: {half:.0f})" if half else ""))
        else:
            said.append(products.find(name)[1])
    lines = {"products": f"GFLOP/s on one thread: {'; '.join(said)}"}
    free = rates.rate_without_settings()
    if free and free > NOTEWORTHY * numpy_rate:
        names = " and ".join(name for name in rates.OPENBLAS_SETTINGS if name in os.environ)
        lines["slowed down"] = (
            f"{names} in the environment hold NumPy back: {numpy_rate:.0f} GFLOP/s with, "
            f"{free:.0f} without; unset them to train faster"
        )
    lines["float32 by"] = _float32_line(measured)
    lines["bf16 by"] = _bf16_line(measured)
    return lines


def _float32_line(measured):
    """Which library multiplies float32, and whether another would be faster."""
    taken = products.library_for(np.dtype(np.float32)).name
    single = {name: value for (name, kind), value in measured.items() if kind == "float32"}
    best = max(single, key=single.get)
    if single[best] <= NOTEWORTHY * single[taken]:
        return f"{taken}, as fast as any here"
    gain = single[best] / single[taken]
    return f"{taken}; set {products.VARIABLE}={best}, which is {gain:.2f} times as fast here"


def _bf16_line(measured):
    """Which library multiplies 16 bits, or why none does."""
    try:
        check_precision("bf16", "cpu")
        taken = products.sixteen_bits().name
    except UserError as error:
        return str(error)
    gain = measured[taken, "bfloat16"] / measured["numpy", "float32"]
    units = sixteen_bit_units()[0]
    return f"{taken} on {units}, {gain:.1f} times NumPy's float32: --precision bf16"


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
    names = list(trainers[0].gradients.views)  # the buffer itself is in another order on a GPU
    cpu, gpu = (
        np.concatenate([to_host(trainer.gradients.views[name]).reshape(-1) for name in names])
        for trainer in trainers
    )
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
        "processor": f"{model_name()}, {' and '.join(sixteen_bit_units()) or 'no 16-bit units'}",
        **product_lines(),
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
