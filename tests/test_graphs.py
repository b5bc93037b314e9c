"""A training step as a CUDA graph: replays are the step itself, and mistakes in a capture are found.

Runs on the stand-in for CuPy (fakecupy.py), which notes what a captured stream would do, or on what `pytest --backend` chose.
On the real CuPy on the CPU every address in a graph can be looked at.
"""

import bisect
import contextlib
import ctypes
import sys

import fakecupy
import numpy as np
import on_device
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("tinyalbert.kernels", reason="the folder kernels/ was taken out")
from test_training import T, V, batch_at, tiny_config

from tinyalbert import (
    AdamW,
    AlbertForPreTraining,
    AlbertForSequenceClassification,
    Trainer,
    UserError,
)
from tinyalbert.backend import to_device, to_host
from tinyalbert.kernels.gpu import cublas
from tinyalbert.kernels.gpu import graphs as gpu_graphs
from tinyalbert.kernels.gpu.product import product
from tinyalbert.modes import use_kernels
from tinyalbert.nn import DropoutRng
from tinyalbert.optim import Muon
from tinyalbert.precision import Precision
from tinyalbert.pretraining.options import PretrainOptions
from tinyalbert.pretraining.pretrain import build_trainer
from tinyalbert.readout import capacity, filled_up, rows_read
from tinyalbert.tasks.finetune import _trainer
from tinyalbert.tasks.options import FinetuneOptions
from tinyalbert.training import captured
from tinyalbert.training.captured import Place
from tinyalbert.training.replicas import Single


@pytest.fixture(autouse=True)
def device(monkeypatch, request):
    """The library that stands for the GPU: (module `cupy`, its counts)."""
    return on_device.as_gpu(monkeypatch, request.config)


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


# --- fixed sizes ------------------------------------------------------------------------------------------

@given(n=st.integers(0, 10**6))
def test_capacities_are_few_and_hardly_larger(n):
    size = capacity(n)
    assert n <= size <= max(64, n + max(8, n / 8)) and capacity(size) == size
    assert len({capacity(k) for k in range(512, 1025)}) <= 10


@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 9), share=st.sampled_from([0.0, 0.1, 1.0]))
def test_filling_up_moves_no_target_and_adds_none(seed, rows, share):
    rng = np.random.default_rng(seed)
    labels = np.where(rng.random((rows, T)) < share, rng.integers(0, V, (rows, T)), -100)
    read, places, targets = rows_read(labels)
    more_rows, more_places, more_targets = filled_up(read, places, targets)
    K = len(targets)
    np.testing.assert_array_equal(more_rows.reshape(-1)[more_places[:K]], read.reshape(-1)[places])
    np.testing.assert_array_equal(more_targets[:K], targets)
    assert (more_targets[K:] == -100).all() and len(more_places) == len(more_targets) == capacity(K)
    assert set(more_rows.reshape(-1)) == set(read.reshape(-1)) and more_rows.shape[1] % 8 == 0


# --- replays are the step ---------------------------------------------------------------------------------

def varied(step):
    """A batch of which everything differs from step to step: ids, masks, targets (all, one, none), length."""
    batch = batch_at(step)
    labels = batch["labels"]
    if step % 5 == 1:
        labels[...] = batch["input_ids"]
    elif step % 5 == 2:
        labels[...] = -100
        labels[0, 1] = 7
    elif step == 8:
        labels[...] = -100
    return {name: a[:, :T // 2] if step % 3 == 1 and a.ndim == 2 else a for name, a in batch.items()}


def trainer(graphs=True, dropout=0.1, model=AlbertForPreTraining, config=None, **options):
    options = {"lr": 3e-3, "total_steps": 20, "warmup": 5, "threads": 1, "clip": 0.5, **options}
    return Trainer(model(config or tiny_config(dropout), seed=1).to("gpu"), graphs=graphs, **options)


def state_of(t):
    """Parameters and moments, on the host."""
    return {name: to_host(a) for name, a in {**t.model.state_dict(), **t.optimizer.state_dict()}.items()}


def assert_equal_runs(one, other, steps=20, batch=varied, before=lambda t, step: None):
    """Both trainers take the same steps: all metrics, parameters and moments agree, bit for bit."""
    results = []
    for t in (one, other):
        metrics = []
        for step in range(steps):
            before(t, step)
            metrics.append(t.step(batch(step)))
        results.append(([dict(m) for m in metrics], state_of(t)))
    (metrics, state), (expected, wanted) = results
    assert metrics == expected
    assert state.keys() == wanted.keys()
    for name, a in state.items():
        np.testing.assert_array_equal(a, wanted[name], err_msg=name)


def replays(t):
    """How many parts have a graph."""
    return sum(part.graph is not None for place in t.captured.graphs.kinds.values() for part in place.parts.values())


@pytest.mark.parametrize("options", [
    {}, {"optimizer": "lamb", "dropout": 0.0}, {"precision": "fp16"}, {"accumulation": 2, "precision": "tf32"},
    {"optimizer": "lamb", "precision": "bf16", "accumulation": 3}], ids=str)
def test_twenty_different_steps_are_the_eager_ones_bit_for_bit(options):
    if options.get("precision") == "bf16":
        pytest.importorskip("ml_dtypes", reason="bfloat16 needs ml_dtypes")
    one, other = trainer(**options), trainer(False, **options)
    assert_equal_runs(one, other, before=overflow if options.get("precision") == "fp16" else lambda t, step: None)
    assert replays(one) >= 4 and not replays(other)
    assert one.captured.graphs.reason is None


def overflow(t, step):
    """At two steps the loss scale is so large that fp16's gradients overflow."""
    if step in (9, 15):
        t.precision.loss_scale.state[:1] = 2.0**120


def test_a_replay_is_one_copy_and_two_starts(device):
    t = trainer()
    for step in range(4):
        t.step(batch_at(step))
    before = dict(device[1])
    t.step(batch_at(4))
    cost = {name: device[1][name] - before[name] for name in before}
    assert (cost["h2d"], cost["d2h"], cost["sync"]) == (1, 0, 0)
    assert cost.get("graph", 2) == 2 and cost["launch"] <= 3


def test_other_models_are_captured_too():
    rng = np.random.default_rng(0)

    def batch(step):
        return {"input_ids": rng.integers(5, V, (4, T)).astype(np.int32), "labels": np.array([0, 2, 1, 1])}
    batches = [batch(step) for step in range(6)]
    options = {"model": AlbertForSequenceClassification, "config": tiny_config(num_labels=3)}
    one, other = trainer(**options), trainer(False, **options)
    assert_equal_runs(one, other, 6, batches.__getitem__)
    assert replays(one) == 2


@pytest.mark.parametrize("change", ["freeze", "dropout", "clip", "data", "readout", "decay"])
def test_what_is_changed_between_two_steps_counts(change):
    """No graph of before is replayed with it."""
    def changed(t, step):
        if step != 5:
            return
        if change == "freeze":
            t.model.albert.embeddings.word_embeddings.weight.requires_grad = False
        elif change == "dropout":
            t.captured.dropouts[0].p = 0.5
        elif change == "clip":
            t.clip = 0.01
        elif change == "data":
            p = t.model.predictions.bias
            p.data = p.data + 1.0
        elif change == "decay":
            t.optimizer.weight_decay = 0.5
        elif change == "readout":
            t.model.albert.embeddings.LayerNorm.weight.data = t.model.albert.embeddings.LayerNorm.weight.data * 2.0
    assert_equal_runs(trainer(), trainer(False), 10, batch_at, changed)


class Halving:
    """Halves the weights at two steps, in arrays held since before the first step: no Parameter tells of it."""

    def __init__(self):
        self.held = {}

    def __call__(self, t, step):
        arrays = self.held.setdefault(t, [p.data for p in t.model.parameters()])
        for array in arrays if step in (4, 7) else []:
            array *= 0.5


@pytest.mark.parametrize("made", ["every step", "with the weights"])
def test_what_is_written_to_the_weights_between_two_replays_counts_in_the_next_step(made, monkeypatch):
    """16-bit copies that are made behind the optimiser's step, and not before the next one, are found out."""
    pytest.importorskip("ml_dtypes", reason="bfloat16 needs ml_dtypes")
    one, other, halve = trainer(precision="bf16"), trainer(False, precision="bf16"), Halving()
    if made == "every step":
        assert_equal_runs(one, other, 9, batch_at, halve)
        assert replays(one) == 2
        return
    want = []
    for step in range(9):
        halve(other, step)
        want.append(dict(other.step(batch_at(step))))
    copied, update = Precision.active, captured.CapturedStep._update

    def updated(self, *args):
        result = update(self, *args)
        with copied(self.trainer.precision):
            return result
    with copied(one.precision):
        pass
    monkeypatch.setattr(Precision, "active", lambda self, copy=True: copied(self, copy=False))
    monkeypatch.setattr(captured.CapturedStep, "_update", updated)
    got = []
    for step in range(9):
        halve(one, step)
        got.append(dict(one.step(batch_at(step))))
    assert got[:4] == want[:4] and got[4] != want[4]


def test_a_run_that_goes_on_from_a_state_is_the_uninterrupted_one():
    one, two = trainer(), trainer()
    for step in range(5):
        one.step(batch_at(step))
    two.model.load_state_dict({name: to_host(a) for name, a in one.model.state_dict().items()})
    two.optimizer.load_state_dict({name: to_host(a) for name, a in one.optimizer.state_dict().items()})
    two.steps_done = 5
    for step in range(5, 9):
        assert dict(one.step(batch_at(step))) == dict(two.step(batch_at(step)))
    for name, a in state_of(one).items():
        np.testing.assert_array_equal(a, state_of(two)[name])


def test_metrics_that_nobody_read_outlive_their_row(monkeypatch):
    monkeypatch.setattr(captured, "ROWS", 3)
    t = trainer()
    kept = [t.step(batch_at(step)) for step in range(8)]
    losses = [m.loss for m in kept]
    again = trainer(False)
    assert losses == [again.step(batch_at(step)).loss for step in range(8)]


def test_the_least_recently_used_kind_of_batch_is_dropped(monkeypatch):
    monkeypatch.setattr(gpu_graphs, "MOST", 2)
    one, other = trainer(), trainer(False)
    assert_equal_runs(one, other, 12, lambda step: {n: a[:2 + step % 3] for n, a in batch_at(step).items()})
    assert len(one.captured.graphs.kinds) == 2


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_steps_that_were_timed_before_are_the_same(precision):
    """Their graphs are those of the steps."""
    t, other = trainer(precision=precision), trainer(False, precision=precision)
    for _ in range(4):
        t.forward_backward(batch_at(0))
    assert_equal_runs(t, other, 4, batch_at)


def test_gradients_alone_are_those_of_a_step(device):
    t = trainer()
    for _ in range(4):
        losses = to_host(t.forward_backward(batch_at(0)))
    fresh = trainer(False)
    np.testing.assert_array_equal(losses, to_host(fresh.forward_backward(batch_at(0))))
    np.testing.assert_array_equal(to_host(t.gradients.flat), to_host(fresh.gradients.flat))


# --- without graphs ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("failure", ["begin_capture", "in it", "end_capture", "launch"])
def test_a_capture_that_fails_is_told_once_and_changes_nothing(failure, device, monkeypatch, capsys):
    def fail(*_, **__):
        raise RuntimeError(f"no graphs:\n  {failure}")
    t = trainer()
    if failure == "in it":
        real = captured.clip_by_global_norm

        def asks(summed, limit):
            norm = real(summed, limit)
            if t.captured.graphs.stream.is_capturing():
                fail()
            return norm
        monkeypatch.setattr(captured, "clip_by_global_norm", asks)
    elif failure == "launch":
        monkeypatch.setattr(gpu_graphs.Graphs, "_capture", lambda self, part, work: setattr(part, "graph", Refusing(fail)))
    else:
        stream = t.captured.graphs.stream
        t.captured.graphs.stream = Failing(stream, failure, fail)
    assert_equal_runs(t, trainer(False), 8, batch_at)
    assert capsys.readouterr().err.count("without CUDA graphs, more slowly: no graphs: " + failure) == 1


class Refusing:
    """A graph that can't be started."""

    def __init__(self, fail):
        self.launch = fail


class Failing:
    """A stream of which one method fails."""

    def __init__(self, stream, name, fail):
        self.stream, self.name, self.fail = stream, name, fail

    def __getattr__(self, name):
        if name == self.name:
            with contextlib.suppress(Exception):
                getattr(self.stream, name)()
                if name == "begin_capture":
                    self.stream.end_capture()
            return self.fail
        return getattr(self.stream, name)

    def __enter__(self):
        return self.stream.__enter__()

    def __exit__(self, *error):
        return self.stream.__exit__(*error)


def test_a_step_that_asks_for_a_number_is_taken_without_graphs(monkeypatch, capsys):
    """A model of a user's own: CuPy refuses the copy in the capture, and all goes on."""
    class Curious(AlbertForPreTraining):
        def forward(self, **batch):
            out = super().forward(**batch)
            float(out.loss.data)
            return out
    t = trainer(model=Curious)
    assert_equal_runs(t, trainer(False), 6, batch_at)
    assert capsys.readouterr().err.count("without CUDA graphs") == 1 and not replays(t)


def test_a_key_that_an_op_without_kernel_gets_is_an_error_and_the_plain_way_goes_on(monkeypatch, capsys):
    from tinyalbert import ops
    from tinyalbert.tensor import KERNELS
    monkeypatch.setitem(KERNELS, ("dropout", "cupy"), ops.dropout.raw)
    t = trainer()
    assert_equal_runs(t, trainer(False), 4, batch_at)
    assert t.captured is None and capsys.readouterr().err.count("without CUDA graphs, more slowly: TypeError") >= 1


def test_a_batch_that_is_on_the_gpu_takes_the_plain_way():
    t, other = trainer(dropout=0.0), trainer(False, dropout=0.0)
    for step in range(4):
        batch = batch_at(step)
        there = {name: to_device(a, "gpu") if name == "attention_mask" else a for name, a in batch.items()}
        got, want = t.step(there), other.step(batch)
        assert got.loss == pytest.approx(want.loss, rel=1e-5)
    assert not t.captured.graphs.kinds


def test_without_kernels_the_plain_way_is_taken():
    t = trainer()
    with use_kernels(False):
        t.step(batch_at(0))
    assert not t.captured.graphs.kinds


def test_a_mistake_in_the_batch_is_refused_as_ever():
    t = trainer()
    for step in range(3):
        t.step(batch_at(step))
    batch = batch_at(3)
    with pytest.raises(UserError, match="input_ids from"):
        t.step({**batch, "input_ids": batch["input_ids"] + V})
    t.step(batch)
    assert t.steps_done == 4


def test_an_optimiser_of_another_kind_has_no_captured_step():
    class Own(AdamW):
        def _update(self, name, w, g, m, v, lr):
            w -= lr * g
    model = AlbertForPreTraining(tiny_config(), seed=1).to("gpu")

    class Counting(AdamW):
        def step(self, gradients, **more):
            super().step(gradients, **more)
    for kind in (Own, Counting, Muon):
        assert Trainer(model, kind(model.named_parameters(), 1e-3)).captured is None
    assert Trainer(AlbertForPreTraining(tiny_config(), seed=1)).captured is None           # on a CPU


@pytest.mark.parametrize("no_graphs", [False, True])
def test_the_options_of_a_run_reach_its_trainer(no_graphs):
    model = AlbertForPreTraining(tiny_config(), seed=1).to("gpu")
    pretraining = PretrainOptions(sources=["my.txt"], output="out", no_graphs=no_graphs)
    finetuning = FinetuneOptions(train="my.tsv", dev="my.tsv", model="model", output="out", lr=1e-3, no_graphs=no_graphs)
    for t in (build_trainer(model, None, pretraining, Single()), _trainer(model, finetuning)):
        assert t.captured.graphs.on is not no_graphs


# --- mistakes that were planted are found -----------------------------------------------------------------

def stale_rate(monkeypatch):
    """The learning rate of the captured step goes into the graph as a number."""
    real = AdamW.apply
    monkeypatch.setattr(AdamW, "apply", lambda self, gradients, lr, finite=None: real(self, gradients, float(RATE[0]), finite))


RATE = [0.0]


def stale_key(monkeypatch):
    """The dropout key of the captured step goes into the graph as a number."""
    monkeypatch.setattr(captured, "DeviceDropoutRng", lambda draw: DropoutRng((0, RATE[1])))


def moving_batch(monkeypatch):
    """Each batch goes to another address."""
    real = Place.fill

    def fill(self, arrays):
        kept.append(self.memory)                 # else the next one may lie there
        parts = self.parts
        Place.__init__(self, sys.modules["cupy"], arrays, self._Part)
        self.parts = parts
        real(self, arrays)
    kept = []
    monkeypatch.setattr(Place, "fill", fill)


@pytest.mark.parametrize("mistake", [stale_rate, stale_key, moving_batch])
def test_a_mistake_that_freezes_something_into_a_graph_is_found(mistake, monkeypatch):
    eager = trainer(False)
    want = [dict(eager.step(batch_at(step))) for step in range(9)]
    mistake(monkeypatch)
    t = trainer()
    got = []
    for step in range(9):
        RATE[:] = t.lr_at(step), step
        got.append(dict(t.step(batch_at(step))))
    assert got[:2] == want[:2] and got != want


# --- what CuPy refuses in a capture -----------------------------------------------------------------------

def test_what_cupy_refuses_in_a_capture_is_refused(device):
    cupy = device[0]
    x = to_device(np.ones((10, 10), np.float32), "gpu")
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        product(x, x)                            # so that cuBLAS has its workspace
        stream.begin_capture()
        for copies in (lambda: x.get(), lambda: float(x.sum()), lambda: x[[1, 2]], lambda: cupy.asarray(np.ones(3)),
                       lambda: cupy.concatenate([x[0]] * 9)):
            with pytest.raises(RuntimeError):
                copies()
        with pytest.raises(NotImplementedError):
            x @ x
        for fine in (lambda: cupy.concatenate([x[0]] * 3), lambda: x.sum(), lambda: cupy.vdot(x, x), lambda: cupy.zeros(3),
                     lambda: cupy.where(x > 0, x, 0), lambda: product(x, x), lambda: cupy.maximum(x, 2.0)):
            fine()
        stream.end_capture()
        stream.begin_capture()
        with pytest.raises(RuntimeError):
            stream.synchronize()
            raise RuntimeError if spoilt(device) else AssertionError
    forget_spoilt(device)


def spoilt(device):
    if "hostcupy" not in sys.modules or device[0].__version__ == "fake":
        return False
    return bool(sys.modules["hostcupy"].graphs.spoilt)


def forget_spoilt(device):
    if device[0].__version__ == "fake":
        fakecupy.captured.clear()
    elif "hostcupy" in sys.modules:
        sys.modules["hostcupy"].graphs.spoilt.clear()
        sys.modules["hostcupy"].graphs.capturing.clear()


def test_in_a_capture_nothing_is_computed_and_each_launch_computes_anew(device):
    cupy = device[0]
    x = to_device(np.arange(4, dtype=np.float32), "gpu")
    y = to_device(np.zeros(4, np.float32), "gpu")
    stream = cupy.cuda.Stream(non_blocking=True)
    pool = cupy.cuda.MemoryPool()
    with stream, cupy.cuda.using_allocator(pool.malloc):
        cupy.exp(x) + 1.0                        # compiled before
        y += 0.0
        stream.begin_capture()
        y += cupy.exp(x) + 1.0
        graph = stream.end_capture()
        assert not to_host(y).any()
        graph.launch(stream)
        x[...] = 0.0
        graph.launch(stream)
    np.testing.assert_allclose(to_host(y), np.exp(np.arange(4)) + 1 + 2, rtol=1e-6)


# --- what is in a graph: on the real CuPy on the CPU ------------------------------------------------------

host_only = pytest.mark.skipif("config.getoption('--backend') != 'hostcupy'", reason="needs the real CuPy: --backend hostcupy")
LARGEST = {"adamw": 269, "lamb": 271}           # nodes of 6 layers with dropout: 31 a layer


@pytest.fixture
def memory(device, monkeypatch):
    """[(address, bytes)] of all memory that pools made from now on have asked for."""
    cupy, taken = device[0], []
    real = cupy.cuda.MemoryPool

    def allocate(size):
        block = cupy.cuda.memory._malloc(size)
        taken.append((block.ptr, size))
        return block
    monkeypatch.setattr(cupy.cuda, "MemoryPool", lambda: real(allocate))
    return taken


def nodes_of(t):
    """The nodes of all graphs of a trainer."""
    found = sys.modules["hostcupy"].graphs.graphs
    return [node for place in t.captured.graphs.kinds.values() for part in place.parts.values() if part.graph
            for node in found[part.graph.graph]]


def inside(address, spans):
    i = bisect.bisect_right(spans, (address, float("inf"))) - 1
    return i >= 0 and address < spans[i][0] + spans[i][1]


def named_arrays(t):
    """What a graph may read and write beside the memory of its pool."""
    places = t.captured.graphs.kinds.values()
    table = [a for pair in t.optimizer.scratch["tables"].values() for a in pair]
    arrays = [*(p.data for p in t.model.parameters()), *(a for pair in t.optimizer.moments.values() for a in pair),
              t.gradients.flat, *(place.memory for place in places), *(a if a.base is None else a.base for a in table)]
    arrays += [*(ring.numbers for ring in t.captured.rings.values()), *t.captured.losses.values()]
    if t.precision.dtype is not None:
        arrays.append(t.precision.flat)
    if t.precision.loss_scale is not None:
        arrays.append(t.precision.loss_scale.state)
    return sorted((a.data.ptr, a.nbytes) for a in arrays)


def strangers(t, memory):
    """Nodes with an address that lies in memory of somebody else."""
    hostcupy = sys.modules["hostcupy"]
    everything, pool, named = sorted(hostcupy.graphs.blocks.items()), sorted(memory), named_arrays(t)
    return [node.name for node in nodes_of(t) for word in node.arguments
            if inside(word, everything) and not inside(word, pool) and not inside(word, named)]


@host_only
@pytest.mark.parametrize("options", [{}, {"optimizer": "lamb", "precision": "fp16", "dropout": 0.0}], ids=str)
def test_every_address_in_a_graph_is_its_pools_or_has_a_name(options, memory):
    t = trainer(**options)
    for step in range(12):
        t.step(varied(step))
    assert replays(t) >= 4 and not strangers(t, memory)


@host_only
def test_a_replay_reads_nothing_that_only_the_capture_wrote(memory, monkeypatch):
    """All memory of the pool is nan before each graph."""
    real = gpu_graphs.Graphs.run

    def run(self, part, work, **more):
        if part.graph:
            for address, size in memory:
                ctypes.memset(address, 255, size)
        return real(self, part, work, **more)
    monkeypatch.setattr(gpu_graphs.Graphs, "run", run)
    assert_equal_runs(trainer(), trainer(False))


def changed_by_replays(t, cupy):
    """How many arrays that were made after a capture, and are no business of the step, its replays change."""
    for step in range(4):
        t.step(batch_at(step))
    others = [cupy.full(n, 7, "f") for n in (16, 48, 96, 192, 256, 512, 1024, 2048) for _ in range(3)]
    with t.captured.graphs.stream:
        others += [cupy.full(n, 7, "f") for n in (16, 48, 96, 192, 256, 512, 1024, 2048) for _ in range(3)]
    for step in range(4, 7):
        t.step(batch_at(step))
    return sum(int((a.get() != 7).any()) for a in others)


@host_only
def test_arrays_of_others_stay_as_they_are_and_a_shared_pool_is_found_out(device, monkeypatch):
    cupy = device[0]
    assert changed_by_replays(trainer(), cupy) == 0
    monkeypatch.setattr(cupy.cuda, "MemoryPool", cupy.get_default_memory_pool)
    assert changed_by_replays(trainer(), cupy) > 0


@host_only
@pytest.mark.parametrize("optimizer", ["adamw", "lamb"])
def test_a_capture_copies_nothing_waits_for_nothing_compiles_and_allocates_nothing(optimizer, device, monkeypatch):
    t, costs = trainer(optimizer=optimizer), []
    real = gpu_graphs.Graphs._capture

    def capture(self, part, work):
        before = dict(device[1])
        real(self, part, work)
        costs.append({name: device[1][name] - before[name] for name in before})
    monkeypatch.setattr(gpu_graphs.Graphs, "_capture", capture)
    for step in range(4):
        t.step(batch_at(step))
    assert len(costs) == 2
    for cost in costs:
        assert not any(cost[name] for name in ("h2d", "d2h", "sync", "query", "compile", "malloc", "graph")), cost
    assert not sys.modules["hostcupy"].graphs.spoilt


@host_only
@pytest.mark.parametrize("optimizer", ["adamw", "lamb"])
def test_the_nodes_of_a_step(optimizer):
    sizes = []
    for layers in (1, 6):
        config = tiny_config()
        config.num_hidden_layers = layers
        t = trainer(optimizer=optimizer, config=config)
        for _ in range(4):
            t.step(batch_at(0))
        sizes.append(len(nodes_of(t)))
    assert sizes[1] <= LARGEST[optimizer] and sizes[1] - sizes[0] <= 5 * 31
