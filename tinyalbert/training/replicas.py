"""One model on several threads and in several processes, one sum of gradients per step.

A batch is cut along its rows.  Each thread runs forward and backward on its part with the one set
of parameters; `backward` returns gradients instead of storing them, so threads never collide.  The
parts' gradients are then added into one flat buffer (`GradientSum`), in a fixed order, and the
buffer is summed over the processes (`Single`, `MpiRanks`).  On a CPU, n threads with a
single-threaded BLAS each beat one thread with an n-threaded BLAS: layer norm, GELU and softmax run
side by side too, not only the matrix products.
"""

import ctypes
import functools
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from ..backend import to_device, to_host, xp_of
from ..errors import UserError
from ..modes import mode, use_one_thread
from ..tensor import Sum, kernel_for

MOST_THREADS = 1024


def physical_cores():
    """Cores that this process may use.

    Hyper-threads count once; CPU affinity and container quotas are respected.
    """
    try:
        allowed = os.sched_getaffinity(0)
    except AttributeError:  # not Linux
        return os.cpu_count() or 1
    cores = {_siblings(cpu) for cpu in allowed}
    return max(1, min(len(cores), _quota()))


def _siblings(cpu):
    """The hyper-threads of `cpu`'s core as Linux writes them ("0,64"), or `cpu` itself."""
    try:
        return Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list").read_text()
    except OSError:
        return cpu


def _quota(path="/sys/fs/cgroup/cpu.max"):
    """How many CPUs the container may use ("150000 100000" -> 1); very many if unlimited."""
    try:
        quota, period = Path(path).read_text().split()
        return max(1, int(quota) // int(period))
    except (OSError, ValueError):  # no control groups, or "max": no limit
        return 1 << 30


@functools.cache
def _blas():
    """Handle on the loaded BLAS libraries.

    Finding them takes a millisecond, setting their threads 10 µs.
    """
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


class _SingleThreadedBlas:
    """Context in which a BLAS call takes one thread, for all threads of this process.

    Runs may overlap: the first to begin sets it, the last to end sets it back.
    """

    def __init__(self):
        self.lock = threading.Lock()
        self.runs = 0
        self.before = []  # (BLAS library, its threads)

    def __enter__(self):
        with self.lock:
            if self.runs == 0:
                libraries = _blas().lib_controllers
                self.before = [
                    (each, each.get_num_threads()) for each in libraries if each.user_api == "blas"
                ]
                for library, _ in self.before:
                    _set_threads(library, 1)
            self.runs += 1

    def __exit__(self, *error):
        with self.lock:
            self.runs -= 1
            if self.runs == 0:
                self.restore()

    def restore(self):
        """Give each library the threads that it had."""
        for library, threads in self.before:
            _set_threads(library, threads)

    def forked(self):
        """In a forked process, which has none of the runs of its parent."""
        if self.runs:
            self.restore()
        self.__init__()


def _set_threads(library, threads):
    """Set the threads of a BLAS library of threadpoolctl, from whatever thread this is.

    Since 3.8 it lets only the thread that was first do so, and ignores the others.
    """
    getattr(library, "_real_set_num_threads", library.set_num_threads)(threads)


_single_threaded_blas = _SingleThreadedBlas()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_single_threaded_blas.forked)


def split(batch, n, first_row=0):
    """Cut a dict of arrays along its rows into at most n parts: [(part, first row), ...]."""
    rows = batch_size(batch)
    bounds = [rows * i // n for i in range(n + 1)]
    return [
        ({name: a[lo:hi] for name, a in batch.items()}, first_row + lo)
        for lo, hi in zip(bounds, bounds[1:])
        if hi > lo
    ]


def batch_size(batch):
    """Rows of a batch; refuses a batch whose arrays disagree."""
    sizes = {name: len(a) for name, a in batch.items()}
    if not sizes or len(set(sizes.values())) > 1 or 0 in sizes.values():
        raise UserError(
            f"a batch with {sizes or 'no arrays'} rows; expected a dict of arrays with the same "
            f"number "
            "of rows, at least one"
        )
    return next(iter(sizes.values()))


def own_rows(rows, ranks):
    """(first, last + 1) of this process's rows of a batch of `rows`."""
    if rows < ranks.size:
        raise UserError(
            f"a batch of {rows} rows can't be dealt to {ranks.size} processes; raise --batch-size "
            "or start fewer"
        )
    return rows * ranks.rank // ranks.size, rows * (ranks.rank + 1) // ranks.size


def own_part(batch, ranks):
    """This process's rows of a batch, a dict of arrays."""
    first, end = own_rows(batch_size(batch), ranks)
    return {name: array[first:end] for name, array in batch.items()}


class Threads:
    """n replicas on n threads of this process.

    By default one per physical core; processes on the same machine share the cores.
    """

    def __init__(self, n=None):
        self.n = max(1, physical_cores() // _processes_here()) if n is None else n
        if not 1 <= self.n <= MOST_THREADS:
            raise UserError(
                f"{n} threads; expected from 1 to {MOST_THREADS}, or None for one on each core"
            )
        self._pool = None
        self._process = os.getpid()  # in which the pool was made

    def run(self, fn, parts):
        """[fn(part) for part in parts], side by side, in order; the first error is raised here."""
        parts = list(parts)
        with _single_threaded_blas, use_one_thread():
            if self.n == 1 or len(parts) < 2:
                return [fn(part) for part in parts]
            if self._process != os.getpid():  # forked: the pool's threads stayed in the parent
                self._pool, self._process = None, os.getpid()
            self._pool = self._pool or ThreadPoolExecutor(self.n, thread_name_prefix="replica")
            task = functools.partial(_with_switches, mode.snapshot(), fn)
            return list(self._pool.map(task, parts))

    def close(self):
        """Let the threads go; a later run starts new ones."""
        if self._pool and self._process == os.getpid():
            self._pool.shutdown()
        self._pool = None


def _with_switches(switches, fn, part):
    """fn(part) with the switches (no_grad, use_kernels, precision) of the thread that asked."""
    mode.adopt(switches)
    return fn(part)


def in_kinds(parameters):
    """{name: Parameter} with the weights of products first, then biases and the like.

    So the weights of a layer's queries, keys and values follow each other, and so do their biases.
    """
    return dict(sorted(parameters.items(), key=lambda item: item[1].ndim != 2))


class GradientSum:
    """The sum of the gradients of several parts, in one flat buffer that every step reuses.

    `views` {name: array} are windows on the buffer in the parameters' shapes: the optimiser reads
    them, and an all-reduce over processes sends the buffer as one message.
    """

    def __init__(self, named_parameters):
        self.parameters = dict(named_parameters)
        if any(xp_of(p.data) is not np for p in self.parameters.values()):
            self.parameters = in_kinds(self.parameters)
        arrays = [p.data for p in self.parameters.values()]
        xp = xp_of(*arrays)
        self.bounds = np.cumsum([0] + [a.size for a in arrays]).tolist()
        self.flat = xp.zeros(self.bounds[-1], dtype=arrays[0].dtype)
        self.views = {
            name: self.flat[lo:hi].reshape(p.shape)
            for (name, p), lo, hi in zip(self.parameters.items(), self.bounds, self.bounds[1:])
        }
        self.clear()

    def clear(self):
        """Forget the last step's sum; the next `add` writes over it."""
        self.touched = dict.fromkeys(self.parameters, False)
        self._empty = True

    def add(self, gradients, replicas):
        """Add [{leaf Tensor: array}, ...], one dict a part, always in the order of the parts.

        The buffer is cut into as many slices as there are threads, and each thread adds up one
        slice: the order of additions, and with it every bit of the sum, depends only on how the
        batch was cut.  On a GPU each part takes one launch.
        """
        if kernel_for("collect", self.flat) and all(
            a.dtype == self.flat.dtype == "float32" for part in gradients for a in part.values()
        ):
            for part in gradients:
                self.note(self.collect(part, add=not self._empty))
            return
        sources = []  # (lo, hi, flat arrays of the parts that touch this parameter)
        for (name, p), lo, hi in zip(self.parameters.items(), self.bounds, self.bounds[1:]):
            arrays = [part[p].reshape(-1) for part in gradients if p in part]
            self.touched[name] |= bool(arrays)
            sources.append((lo, hi, arrays))
        total = self.bounds[-1]
        slices = [
            (total * i // replicas.n, total * (i + 1) // replicas.n) for i in range(replicas.n)
        ]
        replicas.run(functools.partial(self._add_slice, sources), slices)
        self._empty = False

    def gather(self):
        """Lay the parameters themselves one behind the other too, in the same order."""
        flat = xp_of(self.flat).empty(self.flat.shape, dtype=self.flat.dtype)
        for p, lo, hi in zip(self.parameters.values(), self.bounds, self.bounds[1:]):
            place = flat[lo:hi].reshape(p.shape)
            place[...] = p.data
            p.data = place

    def sums(self, add):
        """{parameter: Sum} in the buffer, for a sweep that adds up there (see tensor.backward)."""
        LaterSums = kernel_for("LaterSums", self.flat)
        later = LaterSums and LaterSums()
        return {p: Sum(self.views[name], add, later) for name, p in self.parameters.items()}

    def finish(self, sums, add):
        """After that sweep: 0 for what it left out; returns whether each parameter was used."""
        for later in {each.later for each in sums.values()} - {None}:
            later.run()
        for each in sums.values():
            if not (each.used or add):
                each.array.fill(0)
        return tuple(each.used for each in sums.values())

    def collect(self, part, add):
        """Write, or add, the gradients {leaf Tensor: array} of a part in one launch on a GPU.

        Returns, for each parameter, whether it has one; nothing here is changed but the buffer.
        """
        found = [part.get(p) for p in self.parameters.values()]
        kernel_for("collect", self.flat)(found, self.flat, self.bounds, add=add)
        return tuple(g is not None for g in found)

    def note(self, used):
        """Note that a part was added; used: what `collect` returned for it."""
        self.touched = {name: a or b for (name, a), b in zip(self.touched.items(), used)}
        self._empty = False

    def _add_slice(self, sources, bounds):
        start, stop = bounds
        for lo, hi, arrays in sources:
            a, b = max(lo, start), min(hi, stop)
            if a >= b:
                continue
            out, parts = self.flat[a:b], [array[a - lo : b - lo] for array in arrays]
            if self._empty:
                out[...] = parts.pop(0) if parts else 0
            for part in parts:
                out += part

    def reduced(self, ranks):
        """{name: gradient} summed over all processes, without the parameters that no loss uses."""
        touched = np.array(list(self.touched.values()), dtype=np.float64)
        ranks.all_reduce(touched)
        ranks.all_reduce(self.flat)
        return {name: view for (name, view), used in zip(self.views.items(), touched) if used}


class Single:
    """The processes that train together: this one alone."""

    rank = 0
    size = 1

    def all_reduce(self, array):
        """Replace `array`, in place, by its sum over the processes."""

    def barrier(self):
        """Wait until every process is here."""

    def fail(self, message, code):
        """Say on stderr why the work stops; returns the exit code."""
        print(message, file=sys.stderr, flush=True)
        return code


class MpiRanks:
    """The processes that `mpiexec -n N` started, through mpi4py."""

    def __init__(self):
        try:
            from mpi4py import MPI
        except ImportError as error:
            raise UserError(
                f"several processes need mpi4py, which can't be imported ({error}); "
                "pip install 'tinyalbert[mpi]', or start one process without mpiexec"
            ) from None
        self._comm = MPI.COMM_WORLD
        self._sum_in_place = functools.partial(self._comm.Allreduce, MPI.IN_PLACE)
        self.rank = self._comm.Get_rank()
        self.size = self._comm.Get_size()
        self.reads_gpu = _reads_gpu(MPI.__file__)

    def all_reduce(self, array):
        """As Single.all_reduce; through host memory, unless this MPI reads a GPU's memory."""
        owner = xp_of(array)
        if owner is not np and self.reads_gpu:
            # MPI does not know what the GPU is still computing
            owner.cuda.get_current_stream().synchronize()
            self._sum_in_place(array)
            return
        host = to_host(array)
        self._sum_in_place(host)
        if host is not array:
            array[...] = to_device(host, "gpu")

    def barrier(self):
        """Wait until every process is here."""
        self._comm.Barrier()

    def fail(self, message, code):
        """As Single.fail, and end the whole job: the others would wait for this process forever."""
        if self.rank:
            time.sleep(2)  # rank 0 reports what all ranks stumbled over
            message = f"process {self.rank} of {self.size}: {message}"
        print(message, file=sys.stderr, flush=True)
        time.sleep(0.5)  # mpiexec drops what it has not yet passed on when a job aborts
        self._comm.Abort(code)


def _reads_gpu(library):
    """Whether the MPI that `library` is linked to was built for CUDA, to read a GPU."""
    try:
        return bool(ctypes.CDLL(library).MPIX_Query_cuda_support())
    except (OSError, AttributeError):  # an MPI that has no such question
        return False


def launched_ranks():
    """MpiRanks if this process was started by mpiexec as one of several, else Single."""
    return MpiRanks() if _largest("PMI_SIZE", "OMPI_COMM_WORLD_SIZE") > 1 else Single()


def _processes_here():
    """How many processes of this job mpiexec started on this machine."""
    return _largest("MPI_LOCALNRANKS", "OMPI_COMM_WORLD_LOCAL_SIZE")


def _largest(*names):
    """The largest of these environment variables (MPICH's and Open MPI's), at least 1."""
    values = (os.environ.get(name, "") for name in names)
    return max(1, *(int(value) if value.isdigit() else 1 for value in values))
