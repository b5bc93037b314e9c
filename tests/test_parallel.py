"""Replicas: the parts of a batch give the sum that the whole gives, in an order that threads can't change."""

import os
import sys
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyalbert import UserError, no_grad, ops
from tinyalbert.modes import mode, use_kernels
from tinyalbert.nn import Parameter
from tinyalbert.tensor import Tensor
from tinyalbert.training import replicas as parallel
from tinyalbert.training.replicas import (
    GradientSum,
    Single,
    Threads,
    _quota,
    launched_ranks,
    physical_cores,
    split,
)

seeds = st.integers(0, 2**32 - 1)


@given(rows=st.integers(1, 40), n=st.integers(1, 9), first_row=st.integers(0, 1000))
def test_parts_are_the_batch_in_order_and_near_equal(rows, n, first_row):
    batch = {"input_ids": np.arange(rows * 3).reshape(rows, 3), "labels": np.arange(rows)}
    parts = split(batch, n, first_row)
    sizes = [len(part["labels"]) for part, _ in parts]
    assert len(parts) == min(n, rows) and max(sizes) - min(sizes) <= 1
    for name, whole in batch.items():
        np.testing.assert_array_equal(np.concatenate([part[name] for part, _ in parts]), whole)
    assert [row - first_row for _, row in parts] == [part["labels"][0] for part, _ in parts]


@pytest.mark.parametrize("batch", [{}, {"a": np.zeros(3), "b": np.zeros(2)}, {"a": np.zeros((0, 4))}])
def test_a_batch_without_a_common_number_of_rows_is_refused(batch):
    with pytest.raises(UserError, match="same number of rows"):
        split(batch, 2)


def test_run_keeps_the_order_and_uses_the_threads():
    meet = threading.Barrier(3, timeout=20)           # passes only if three parts are at work at once

    def work(i):
        meet.wait()
        return i * i

    replicas = Threads(3)
    assert replicas.run(work, range(3)) == [0, 1, 4]
    replicas.close()
    assert replicas.run(lambda i: -i, range(7)) == [0, -1, -2, -3, -4, -5, -6]
    replicas.close()


def test_an_error_in_a_thread_is_raised_where_run_was_called():
    replicas = Threads(2)
    with pytest.raises(ZeroDivisionError):
        replicas.run(lambda i: 1 // i, [1, 0, 2])
    assert replicas.run(abs, [-1, -2]) == [1, 2]      # and the threads go on
    replicas.close()


def test_threads_take_over_the_switches_of_their_caller():
    replicas, x = Threads(2), Tensor(np.ones(3), requires_grad=True)
    for context, recording, kernels in ((no_grad(), False, True), (use_kernels(False), True, False)):
        with context:
            assert replicas.run(lambda _: ((x * x).requires_grad, mode.kernels), range(2)) == [(recording, kernels)] * 2
    assert replicas.run(lambda _: (x * x).requires_grad, range(2)) == [True] * 2
    replicas.close()


def test_blas_is_held_to_one_thread_during_run_and_let_go_after():
    from threadpoolctl import ThreadpoolController, threadpool_limits

    held = {library.filepath for library in parallel._blas().lib_controllers}    # SciPy may have brought another since

    def blas_threads(_=None):
        return [lib["num_threads"] for lib in ThreadpoolController().info() if lib["filepath"] in held and lib["user_api"] == "blas"]

    with threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        for n in (1, 2):
            replicas = Threads(n)
            assert {t for threads in replicas.run(blas_threads, range(2)) for t in threads} <= {1}
            replicas.close()
        assert blas_threads() == before


@given(seed=seeds, parts=st.integers(1, 5), n=st.integers(1, 4), micro_batches=st.integers(1, 3),
       order=st.sampled_from("CF"))
def test_gradients_are_summed_whatever_the_threads(seed, parts, n, micro_batches, order):
    rng = np.random.default_rng(seed)
    shapes = {"table": (7, 3), "matrix": (2, 5), "scalar": (), "unused": (4,)}
    parameters = {name: Parameter(np.zeros(shape, np.float32)) for name, shape in shapes.items()}
    replicas, total = Threads(n), GradientSum(parameters.items())
    for _ in range(2):                                # the buffer is used again: nothing of the first use is left
        total.clear()
        expected = {name: np.zeros(shape) for name, shape in shapes.items()}
        for _ in range(micro_batches):
            gradients = []
            for _ in range(parts):
                used = {name: np.array(rng.standard_normal(shapes[name]), np.float32, order=order)
                        for name in ("table", "matrix", "scalar") if rng.random() < 0.7}
                gradients.append({parameters[name]: g for name, g in used.items()})
                for name, g in used.items():
                    expected[name] += g
            total.add(gradients, replicas)
        reduced = total.reduced(Single())
        assert "unused" not in reduced
        for name, view in total.views.items():
            np.testing.assert_allclose(view, expected[name], rtol=1e-5, atol=1e-6)
            assert (name in reduced) == bool(np.any(expected[name]))
            assert np.shares_memory(view, total.flat)
    replicas.close()


@given(seed=seeds)
def test_the_sum_has_the_same_bits_for_any_number_of_adding_threads(seed):
    rng = np.random.default_rng(seed)
    p, q = Parameter(np.zeros((11, 3), np.float32)), Parameter(np.zeros(5, np.float32))
    gradients = [{p: rng.standard_normal((11, 3)).astype(np.float32), q: rng.standard_normal(5).astype(np.float32)}
                 for _ in range(4)]
    sums = []
    for n in (1, 2, 3):
        replicas, total = Threads(n), GradientSum([("p", p), ("q", q)])
        total.add(gradients, replicas)
        sums.append(total.flat.tobytes())
        replicas.close()
    assert len(set(sums)) == 1


def test_replicas_share_parameters_and_do_not_meet():
    """Two threads differentiate the same parameter at once; both gradients are right."""
    from tinyalbert.tensor import backward
    w = Parameter(np.arange(4.0, dtype=np.float32))
    replicas = Threads(2)
    found = replicas.run(lambda c: backward(ops.sum(w * w * c))[w], [1.0, 3.0])
    np.testing.assert_allclose(found, [2 * w.data, 6 * w.data])
    assert w.grad is None
    replicas.close()


def test_number_of_threads(monkeypatch):
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert 1 <= physical_cores() <= allowed and Threads().n == physical_cores()
    monkeypatch.setattr(parallel, "physical_cores", lambda: 8)
    monkeypatch.setenv("MPI_LOCALNRANKS", "3")
    assert Threads().n == 2                           # three processes share the machine
    with pytest.raises(UserError, match="expected from 1 to 1024"):
        Threads(0)


@pytest.mark.parametrize("text, cpus", [("150000 100000", 1), ("400000 100000", 4), ("50000 100000", 1), ("max 100000", 1 << 30)])
def test_container_quota(tmp_path, text, cpus):
    (tmp_path / "cpu.max").write_text(text)
    assert _quota(tmp_path / "cpu.max") == cpus and _quota(tmp_path / "missing") == 1 << 30


def test_one_process_alone(monkeypatch):
    for name in ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    ranks, x = launched_ranks(), np.array([1.0, 2.0])
    ranks.all_reduce(x)
    ranks.barrier()
    assert (ranks.rank, ranks.size, x.tolist()) == (0, 1, [1.0, 2.0])


def test_a_launch_by_mpiexec_without_mpi4py_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    monkeypatch.setenv("PMI_SIZE", "2")
    with pytest.raises(UserError, match=r"tinyalbert\[mpi\]"):
        launched_ranks()
