"""Training on a device equals training on NumPy, waits for nothing, copies once; mistakes that a GPU punishes are caught.

Runs on the stand-in for CuPy (fakecupy.py), or on what `pytest --backend` chose.
"""

import ast
import functools
import inspect
import json
import re
import types
from pathlib import Path

import fakecupy
import numpy as np
import on_device
import pytest
from test_training import T, V, batch_at, tiny_config

import tinyalbert
from tinyalbert import (
    AlbertConfig,
    AlbertForConditionalQuestionAnswering,
    AlbertForMaskedLM,
    AlbertForMultipleChoice,
    AlbertForPreTraining,
    AlbertForQuestionAnswering,
    AlbertForSentenceEmbedding,
    AlbertForSequenceClassification,
    AlbertForTokenClassification,
    AlbertForTranslation,
    Trainer,
    UserError,
    ops,
)
from tinyalbert.backend import check_device, choose_gpu, probe_gpu, scatter_add, to_device, to_host
from tinyalbert.cli import main
from tinyalbert.decoder import DECODER
from tinyalbert.doctor import gpu_step_difference, report, usable_precisions
from tinyalbert.files.checkpoint import load_state
from tinyalbert.modes import no_grad
from tinyalbert.nn import DropoutRng
from tinyalbert.pretraining.evaluation import evaluate_pretraining
from tinyalbert.pretraining.pretrain import pretrain
from tinyalbert.tasks.finetune import finetune
from tinyalbert.tensor import KERNELS, Tensor, backward
from tinyalbert.training.loop import train
from tinyalbert.training.metrics import TrainingDiverged
from tinyalbert.training.replicas import MpiRanks, _reads_gpu
from tinyalbert.transfer import Sender, to_device_together

PACKAGE = Path(tinyalbert.__file__).parent
# Ceilings for a step of two layers with dropout: CuPy's own (lessons/experiments/gpu.md says 87), and the stand-in's, which counts one
# for each function that it is asked for, products included.
LAUNCHES = {"cupy": {"adamw": 87, "lamb": 89}, "stand-in": {"adamw": 144, "lamb": 146}}


@pytest.fixture(autouse=True)
def device(monkeypatch, request):
    """The library that stands for the GPU: (module `cupy`, its counts).  What is on the CPU stays there."""
    return on_device.as_gpu(monkeypatch, request.config)


def counted(counts, work, *args, **keywords):
    """(what `work` returns, what it launches, copies and waits for)."""
    before = dict(counts)
    result = work(*args, **keywords)
    return result, {name: counts[name] - before[name] for name in before}


def close(on_device, on_host, rtol=2e-4, atol=2e-6):
    assert on_device.dtype == on_host.dtype
    np.testing.assert_allclose(to_host(on_device), on_host, rtol=rtol, atol=atol)


def trainers(**options):
    """The same run on the device and on NumPy; the clipping bites."""
    return [Trainer(AlbertForPreTraining(tiny_config(), seed=1).to(name), lr=3e-3, total_steps=9, threads=1, clip=0.5,
                    **options) for name in ("gpu", "cpu")]


# --- the same numbers -------------------------------------------------------------------------------------

@pytest.mark.parametrize("optimizer", ["adamw", "lamb"])
@pytest.mark.parametrize("accumulation", [1, 2])
def test_three_steps_of_pretraining_are_numpys(optimizer, accumulation):
    gpu, cpu = trainers(optimizer=optimizer, accumulation=accumulation)
    for step in range(3):
        got, want = gpu.step(batch_at(step)), cpu.step(batch_at(step))
        assert got["grad_norm"] > 0.5            # so it was clipped
        np.testing.assert_allclose([got[name] for name in want], list(want.values()), rtol=2e-5)
    for (name, a), b in zip(gpu.model.named_parameters(), cpu.model.parameters()):
        close(a.data, b.data, atol=2e-5), name
    for name, a in gpu.optimizer.state_dict().items():
        close(a, cpu.optimizer.state_dict()[name], atol=2e-5)


def test_a_state_that_is_on_the_device_is_loaded_there():
    one, two = (AlbertForPreTraining(tiny_config(), seed=seed).to("gpu") for seed in (1, 2))
    assert two.load_state_dict(one.state_dict()) == ([], [])
    for a, b in zip(one.parameters(), two.parameters()):
        close(a.data, to_host(b.data), 0, 0)


def head_cases():
    rng, few = np.random.default_rng(0), {"num_labels": 3}
    ids = rng.integers(5, V, (4, T)).astype(np.int32)
    labels = np.where(rng.random((4, T)) < 0.4, rng.integers(0, 3, (4, T)), -100)
    pretraining = batch_at(0)
    words = {name: pretraining[name] for name in ("input_ids", "attention_mask", "labels")}
    pairs = rng.integers(5, V, (2, 2, 2, T)).astype(np.int32)
    groups = {"input_ids": pairs, "attention_mask": (np.arange(T) < rng.integers(3, T, (2, 2, 2, 1))).astype(np.int32)}
    return {
        "pretraining": (AlbertForPreTraining, pretraining, {}), "words": (AlbertForMaskedLM, words, {}),
        "classes": (AlbertForSequenceClassification, {"input_ids": ids, "labels": np.array([0, 2, 1, 1])}, few),
        "numbers": (AlbertForSequenceClassification, {"input_ids": ids, "labels": np.array([0.5, 2, -1, 1])},
                    {"num_labels": 1}),
        "weighted classes": (AlbertForSequenceClassification, {
            "input_ids": ids, "labels": np.array([0, 2, -100, 1]), "weights": np.array([0.5, 2, 1, 1], np.float32)}, few),
        "several classes": (AlbertForSequenceClassification, {
            "input_ids": ids, "labels": np.array([[0, 1, 1], [1, 0, 0], [0, 0, 0], [1, 1, 1]], np.float32)},
            {**few, "problem_type": "multi_label_classification"}),
        "weighted several": (AlbertForSequenceClassification, {
            "input_ids": ids, "labels": np.array([[0, 1, 1], [1, 0, 0], [0, 0, 0], [1, 1, 1]], np.float32),
            "weights": rng.random((4, 3)).astype(np.float32)}, {**few, "problem_type": "multi_label_classification"}),
        "tokens": (AlbertForTokenClassification, {"input_ids": ids, "labels": labels}, few),
        "answers": (AlbertForQuestionAnswering, {"input_ids": ids, "start_positions": np.array([0, 3, 5, 99]),
                                                 "end_positions": np.array([1, 4, 5, 99])}, {}),
        "conditional": (AlbertForConditionalQuestionAnswering, {
            "input_ids": ids, "start_positions": np.array([0, 3, 5, 0]), "end_positions": np.array([0, 4, 5, 99]),
            "is_impossible": np.array([1, 0, 0, 0]), "p_mask": (np.arange(T) == 1) * np.ones((4, 1), int)}, {}),
        "translation": (AlbertForTranslation, {"input_ids": ids, "labels": np.where(labels < 0, -100, labels + 4)},
                        {"extra": {DECODER: {"vocab_size": 9}}}),
        "choices": (AlbertForMultipleChoice, {"input_ids": ids.reshape(2, 2, T), "labels": np.array([0, 1])}, {}),
        "vectors": (AlbertForSentenceEmbedding, {**groups, "labels": np.array([[[1, 2], [3, 4]], [[5, 6], [-100, -100]]])},
                    {"extra": {"similarity_scale": 1.0}}),                             # 20 would enlarge rounding, too
        "ranks": (AlbertForSentenceEmbedding, {**groups, "scores": np.array([[1, 2], [0.5, 0]], np.float32)}, {})}


@pytest.mark.parametrize("activation", ["gelu_new", "gelu", "relu"])
@pytest.mark.parametrize("head", head_cases())
def test_loss_and_gradients_of_every_head_are_numpys_and_the_batch_travels_once(head, activation, device):
    kind, batch, more = head_cases()[head]
    sides = []
    for name in ("gpu", "cpu"):
        model = kind(tiny_config(hidden_act=activation, **more), seed=3).to(name).train()
        out, cost = counted(device[1], model, **batch, rng=DropoutRng(5))
        assert cost["h2d"] == (name == "gpu") and cost["sync"] == cost["d2h"] == 0
        gradients = backward(out.loss)
        sides.append((out.loss, {n: gradients.get(p) for n, p in model.named_parameters()}))
    (got, gradients), (want, expected) = sides
    close(got.data, want.data)
    for name, g in expected.items():
        assert (g is None) == (gradients[name] is None), name
        if g is not None:
            close(gradients[name], g)


def test_a_run_on_the_device_logs_saves_resumes_and_evaluates(tmp_path):
    def run(name, folder, steps, **more):
        t = Trainer(AlbertForPreTraining(tiny_config(), seed=1).to(name), lr=3e-3, threads=1)
        metrics = train(t, batch_at, steps, lambda model, replicas: evaluate_pretraining(model, [batch_at(99)], replicas),
                        tmp_path / folder, log_every=2, eval_every=3, progress=False, **more)
        return t.model, metrics

    def log(folder):
        lines = [json.loads(line) for line in (tmp_path / folder / "log.jsonl").read_text().splitlines()]
        return [{k: v for k, v in line.items() if "second" not in k and k != "kind"} for line in lines[1:]]

    metrics, wanted = run("gpu", "gpu", 6)[1], run("cpu", "cpu", 6)[1]
    assert metrics == pytest.approx(wanted, rel=1e-4)
    assert len(log("gpu")) == len(log("cpu"))
    for got, want in zip(log("gpu"), log("cpu")):
        assert got == pytest.approx(want, rel=1e-4)
    run("gpu", "half", 3)
    resumed, _ = run("gpu", "half", 6, resume=True)
    straight = Trainer(AlbertForPreTraining(tiny_config(), seed=1).to("gpu"), lr=3e-3, threads=1, total_steps=3)
    for step in range(6):
        straight.total_steps = 3 if step < 3 else 6
        straight.step(batch_at(step))
    for a, b in zip(resumed.parameters(), straight.model.parameters()):
        np.testing.assert_array_equal(to_host(a.data), to_host(b.data))


def test_a_run_that_diverges_stops_before_it_saves(tmp_path):
    t = Trainer(AlbertForPreTraining(tiny_config(), seed=1).to("gpu"), lr=3e-3, threads=1)

    def poisoned(batch, lr=None, step=t.step):
        if t.steps_done == 4:
            t.model.predictions.bias.data[...] = float("nan")
        return step(batch, lr)
    t.step = poisoned
    with pytest.raises(TrainingDiverged, match="step 5 gave mlm loss nan.*parameters are lost.*checkpoint, of step 4"):
        train(t, batch_at, 8, output_dir=tmp_path, save_every=2, log_every=100, eval_every=100, progress=False)
    saved = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[0])
    assert saved["kind"] == "start"


def test_a_short_pretraining_and_a_fine_tuning_are_numpys(tmp_path):
    """From text to a classifier: the same weights and metrics, whichever device they were made on."""
    config = AlbertConfig(vocab_size=300, embedding_size=16, hidden_size=24, num_attention_heads=2, intermediate_size=48,
                          num_hidden_layers=2, max_position_embeddings=32)
    quiet, metrics = dict(threads=1, progress=False, say=lambda text: None), []
    for name in ("gpu", "cpu"):
        model, classifier = tmp_path / name, tmp_path / f"{name}-classes"
        metrics.append(pretrain("stories:60", model, config=config, vocab_size=300, steps=4, eval_every=2, batch_size=4,
                                max_seq_length=32, stages=(), workers=1, device=name, **quiet))
        metrics[-1] |= finetune("stories:topic:24", "stories:topic:12", classifier, model=model, steps=4, batch_size=8,
                                max_length=32, device=name, **quiet)["metrics"]
    assert metrics[0] == pytest.approx(metrics[1], rel=1e-4)
    for kind in ("", "-classes"):
        got, want = (load_state(tmp_path / f"{name}{kind}") for name in ("gpu", "cpu"))
        assert got.keys() == want.keys()
        for name, value in got.items():
            close(np.asarray(value), np.asarray(want[name]), atol=2e-5)


def test_the_doctor_compares_a_step_with_numpys():
    gradients, parameters = gpu_step_difference()
    assert 0 <= gradients < 1e-5 and 0 <= parameters < 1e-2
    text, fine = report("gpu")
    assert fine and "GPU step      right" in text
    assert re.search(r"^precisions +fp32, tf32, fp16", text, re.MULTILINE)


@pytest.mark.parametrize("spoilt", ["GELU", "AdamW"])
def test_the_doctor_sees_a_wrong_step(spoilt, monkeypatch, capsys):
    if spoilt == "GELU":
        right = KERNELS["linear_gelu", "cupy"]
        monkeypatch.setitem(KERNELS, ("linear_gelu", "cupy"), lambda x, weight, bias: right(x, weight, bias + 0.1))
    else:
        monkeypatch.setitem(KERNELS, ("AdamW", "cupy"), lambda *_, **__: None)
    assert main(["doctor", "--device", "gpu"]) == 2 and "GPU step      WRONG" in capsys.readouterr().out


def test_a_cupy_that_compiles_nothing_is_found_before_the_work(device, monkeypatch, capsys):
    """CUDA's compiler or headers are missing: products work, no kernel does."""
    def fails(*_, **__):
        raise RuntimeError("nvrtc: error:\n  cannot open source file 'cuda_fp16.h'")
    monkeypatch.setattr(device[0], "RawModule", fails)
    monkeypatch.setattr("tinyalbert.backend.working_cupy", None)
    with pytest.raises(UserError, match="broken.*cannot open source file"):
        check_device("gpu")
    assert main(["doctor", "--device", "gpu"]) == 2 and "broken: " in capsys.readouterr().out


@pytest.mark.parametrize("name", ["MPI_LOCALRANKID", "OMPI_COMM_WORLD_LOCAL_RANK"])
def test_each_process_of_a_machine_has_a_gpu_of_its_own(name, device, monkeypatch):
    chosen = []
    monkeypatch.setattr(device[0].cuda.runtime, "getDeviceCount", lambda: 4)
    monkeypatch.setattr(device[0].cuda, "Device", lambda n: types.SimpleNamespace(use=lambda: chosen.append(n)))
    choose_gpu(device[0])                        # one process alone takes what it finds
    for rank in (0, 3, 5):
        monkeypatch.setenv(name, str(rank))
        choose_gpu(device[0])
    assert chosen == [0, 3, 1]


def test_the_probe_chooses_the_gpu_before_it_computes(device, monkeypatch):
    order = []
    monkeypatch.setattr("tinyalbert.backend.choose_gpu", lambda cupy: order.append("choose"))
    monkeypatch.setattr("tinyalbert.backend.try_gpu", lambda cupy: order.append("try"))
    assert probe_gpu()[0] == "ok" and order == ["choose", "try"]


def test_the_probe_runs_once(device, monkeypatch):
    check_device("gpu")
    monkeypatch.setattr("tinyalbert.backend.probe_gpu", lambda: pytest.fail("asked again"))
    check_device("gpu")


def test_the_doctor_says_why_a_precision_is_missing(device, monkeypatch):
    monkeypatch.setattr(device[0].cuda, "Device", lambda: types.SimpleNamespace(compute_capability="75"))
    assert usable_precisions().startswith("fp32, fp16; precision 'tf32' on a GPU of compute capability 7.5")


def test_an_mpi_without_the_question_does_not_read_a_gpu():
    import ctypes.util
    assert not _reads_gpu(ctypes.util.find_library("c")) and not _reads_gpu("/nowhere/libmpi.so")


# --- what a step costs ------------------------------------------------------------------------------------

@pytest.mark.parametrize("optimizer", ["adamw", "lamb"])
def test_a_step_waits_for_nothing_and_copies_once(optimizer, device):
    gpu, _ = trainers(optimizer=optimizer)
    gpu.step(batch_at(0))
    metrics, cost = counted(device[1], gpu.step, batch_at(1))
    assert (cost["sync"], cost["d2h"], cost["h2d"]) == (0, 0, 1)
    assert cost["launch"] <= LAUNCHES["cupy" if hasattr(device[0], "_core") else "stand-in"][optimizer]
    assert not cost.get("wide"), "float64 arrays in a float32 model"
    _, cost = counted(device[1], dict, metrics)
    assert cost["d2h"] == 1 and cost["sync"] <= 1 and cost["h2d"] == 0
    assert counted(device[1], dict, metrics)[1]["d2h"] == 0    # and never again


@pytest.mark.parametrize("head", head_cases())
def test_a_step_of_every_head_waits_for_nothing_and_copies_once(head, device):
    kind, batch, more = head_cases()[head]
    gpu = Trainer(kind(tiny_config(**more), seed=3).to("gpu"), lr=1e-3, total_steps=9)
    gpu.step(batch)
    _, cost = counted(device[1], gpu.step, batch)
    assert (cost["sync"], cost["d2h"], cost["h2d"]) == (0, 0, 1)


def test_gradients_of_a_part_are_added_up_in_one_launch(device):
    gpu, _ = trainers()
    gpu.step(batch_at(0))
    part = {p: to_device(np.full(p.shape, 2.0, np.float32), "gpu") for p in gpu.model.parameters()[1:]}     # one is missing
    gpu.gradients.clear()
    for count in (1, 2, 3):
        _, cost = counted(device[1], gpu.gradients.add, [part] * count, gpu.replicas)
        assert cost["launch"] == count and not any(cost.get(name) for name in ("h2d", "d2h", "d2d", "sync"))
    first, *others = gpu.gradients.views.values()
    assert not to_host(first).any() and all((to_host(view) == 12).all() for view in others)
    assert list(gpu.gradients.touched.values()) == [False] + [True] * len(others)


def test_a_run_waits_once_for_each_line_of_its_log(device):
    gpu, _ = trainers()
    _, cost = counted(device[1], train, gpu, batch_at, 9, log_every=3, progress=False)
    assert cost["d2h"] == 3 and cost["h2d"] == 9 + 1           # the optimiser's table of addresses goes up once


def test_together_is_one_by_one(device):
    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, 99, (3, 5)).astype(np.int32), None, rng.random(7), np.zeros((0, 2), np.int64),
              rng.random((3, 3)) < 0.5, rng.random((2, 3)).astype(np.float32).T, np.array([7], np.int64)]
    there, cost = counted(device[1], to_device_together, arrays, "gpu")
    assert cost["h2d"] == 1
    for got, want in zip(there, arrays):
        if want is None:
            assert got is None
        else:
            assert got.shape == want.shape
            close(got, want, 0, 0)
    assert all(a is b for a, b in zip(to_device_together(there, "gpu"), there))
    np.testing.assert_array_equal(to_device_together(there, "cpu")[0], arrays[0])


@pytest.mark.skipif("config.getoption('--backend') in on_device.REAL", reason="the stand-in can be late")
@pytest.mark.parametrize("lag", [0, 1, 3])
def test_memory_that_may_be_on_its_way_is_not_written_to(lag, device, monkeypatch):
    monkeypatch.setattr(fakecupy, "lag", lag)
    rng, sender, sent = np.random.default_rng(0), Sender(device[0]), []
    for step in range(8):
        a = rng.integers(0, 99, 30 * step + 1)
        there, cost = counted(device[1], sender.send, [a], [0, a.nbytes])
        assert (cost["h2d"], cost["d2h"], cost["sync"]) == (1, 0, 0)
        sent.append((there.view(a.dtype), a))
    for there, a in sent:                        # each is an array of its own, whatever was sent after it
        np.testing.assert_array_equal(to_host(there), a)
    assert len(sender.slots) == lag + 1
    large = np.arange(100_000)
    np.testing.assert_array_equal(to_host(sender.send([large], [0, large.nbytes]).view(large.dtype)), large)
    assert len(sender.slots) == lag + 2


@pytest.mark.skipif("config.getoption('--backend') in on_device.REAL", reason="the stand-in can be late")
def test_work_that_does_not_wait_for_its_batch_finds_something_else(device, monkeypatch):
    sender, a = Sender(device[0]), np.arange(7)
    monkeypatch.setattr(fakecupy.Stream, "wait_event", lambda self, event: None)
    assert (to_host(sender.send([a], [0, a.nbytes]).view(a.dtype)) != a).any()


@pytest.mark.parametrize("reads_gpu", [True, False])
def test_an_mpi_that_reads_the_gpu_gets_the_array_itself(reads_gpu, device, monkeypatch):
    """A stand-in for two processes with equal arrays; the sum comes to where the array lies."""
    ranks, seen = object.__new__(MpiRanks), []

    def double(array):
        seen.append(isinstance(array, np.ndarray))
        array *= 2
    ranks._sum_in_place, ranks.reads_gpu = double, reads_gpu
    a = to_device(np.arange(5, dtype=np.float32), "gpu")
    _, cost = counted(device[1], ranks.all_reduce, a)
    assert seen == [not reads_gpu] and cost["sync"] + (not reads_gpu) >= 1
    assert (cost["h2d"], cost["d2h"]) == ((0, 0) if reads_gpu else (1, 1))
    np.testing.assert_array_equal(to_host(a), 2 * np.arange(5))
    host = np.ones(3)
    ranks.all_reduce(host)
    assert host.tolist() == [2, 2, 2] and seen[1:] == [True]


# --- mistakes ---------------------------------------------------------------------------------------------

def test_ids_outside_the_vocabulary_are_found_before_they_are_sent():
    model = AlbertForPreTraining(tiny_config(), seed=1).to("gpu")
    batch = batch_at(0)
    with pytest.raises(UserError, match="input_ids from"):             # a GPU would read another row
        model(**{**batch, "input_ids": batch["input_ids"] + V})


def test_a_mixture_says_what_is_where(device):
    cp, _ = device
    with pytest.raises(UserError, match=r"both the CPU and the GPU.*cupy \(2,\), numpy \(2,\)"):
        ops.add(Tensor(cp.asarray(np.ones(2))), Tensor(np.ones(2)))
    with pytest.raises(TypeError):
        cp.asarray(np.ones(2)) + np.ones(2)
    with pytest.raises(TypeError):
        cp.concatenate([cp.asarray(np.ones(2)), np.ones(2)])
    with pytest.raises(TypeError):
        np.asarray(cp.asarray(np.ones(2)))


def test_keywords_and_names_that_cupy_lacks_are_refused(device):
    a = device[0].asarray(np.ones(3))
    with pytest.raises(TypeError):
        device[0].exp(a, where=a > 0)
    with pytest.raises(TypeError):
        device[0].sum(a, initial=0)
    with pytest.raises(TypeError):
        a.max(where=a > 0)
    with pytest.raises(AttributeError):
        device[0].errstate  # noqa: B018


def test_hidden_waits_are_counted(device):
    a = device[0].asarray(np.ones(3)).sum()
    for peek in (float, bool, int, lambda x: x.item(), lambda x: x.tolist(), lambda x: 1 if x > 2 else 0):
        assert counted(device[1], peek, a)[1]["d2h"] == 1


fake_only = pytest.mark.skipif("config.getoption('--backend') in on_device.REAL", reason="stricter than CuPy on purpose")


@fake_only
def test_the_stand_in_is_stricter_than_cupy():
    a = fakecupy.cupy.asarray(np.ones(3))
    for mistake in (lambda: np.exp(a), lambda: np.sum(a), lambda: np.concatenate([a, a]), lambda: list(a),
                    lambda: fakecupy.cupy.exp(np.ones(3)), lambda: fakecupy.cupy.sum(np.ones(3))):
        with pytest.raises(TypeError):
            mistake()
    with pytest.raises(ValueError, match="repeated"):
        a[fakecupy.cupy.asarray([0, 0])] = fakecupy.cupy.asarray([1.0, 2.0])
    with pytest.raises(ValueError, match="read-only"):
        fakecupy.cupy.broadcast_to(a, (2, 3))[0] = 1.0
    assert a[fakecupy.cupy.asarray([5])].tolist() == [1.0]     # wraps, as CuPy does: ids are checked on the host


@fake_only
@pytest.mark.parametrize("mistake", [lambda y: float(y.sum()) * y, lambda y: np.tanh(y), lambda y: y + np.ones(y.shape)])
def test_a_mistake_planted_in_the_model_is_found(mistake, monkeypatch, device):
    real = ops.linear
    monkeypatch.setattr(ops, "linear", lambda x, *rest: Tensor(mistake(real(x, *rest).data)))
    ops.linear.raw = real.raw
    model = AlbertForPreTraining(tiny_config(), seed=1).to("gpu")
    try:
        with no_grad():
            _, cost = counted(device[1], model, np.full((2, T), 5))
    except TypeError:
        return
    assert cost["sync"] > 0


def test_scatter_add_repeats(device):
    table = device[0].zeros((3, 2), dtype="float32")
    scatter_add(table, to_device(np.array([1, 1, 2]), "gpu"), to_device(np.ones((3, 2), np.float32), "gpu"))
    np.testing.assert_array_equal(to_host(table)[:, 0], [0, 2, 1])


@pytest.mark.skipif("config.getoption('--backend') != 'hostcupy'", reason="needs the real CuPy: --backend hostcupy")
def test_what_is_recorded_of_cupy_is_so(device):
    cupy = device[0]
    assert cupy.__version__ == fakecupy.API["version"]
    for name, recorded in fakecupy.API["functions"].items():
        real = functools.reduce(getattr, name.split("."), cupy) if not name.startswith("random.") else None
        if recorded == "ufunc":
            assert isinstance(real, cupy.ufunc), name
        elif real is not None and recorded != "value":
            kinds = inspect.signature(real).parameters.values()
            named = [p.name for p in kinds if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
            assert named + ["**"] * any(p.kind == p.VAR_KEYWORD for p in kinds) == recorded, name
    for name in fakecupy.API["methods"]:
        assert callable(getattr(cupy.ndarray, name)), name
    with pytest.raises(NotImplementedError, match="draw on the host"):
        cupy.random.default_rng(0)


# --- the library uses what CuPy has -----------------------------------------------------------------------

def uses_of_xp(tree):
    """(name, keywords, line) of every xp.name and xp_of(...).name in a file, called or not."""
    calls = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            owner = node.value
            if (isinstance(owner, ast.Name) and owner.id == "xp") or (
                    isinstance(owner, ast.Call) and getattr(owner.func, "id", "") == "xp_of"):
                call = calls.get(id(node))
                yield node.attr, [k.arg for k in call.keywords] if call else [], node.lineno


@pytest.mark.parametrize("path", [p for p in sorted(PACKAGE.rglob("*.py")) if not p.name.startswith("numpy_")],
                         ids=lambda p: str(p.relative_to(PACKAGE)))
def test_every_function_and_keyword_is_one_that_cupy_has(path):
    for name, keywords, line in uses_of_xp(ast.parse(path.read_text(encoding="utf-8"))):
        if name == "__name__":
            continue
        allowed = fakecupy.API["functions"].get(name)
        assert allowed, f"{path.name}, line {line}: CuPy has no {name}, or cupy_api.json lacks it"
        allowed = ("out", "dtype", "casting") if allowed == "ufunc" else allowed
        assert set(keywords) <= set(allowed), f"{path.name}, line {line}: {name}({', '.join(keywords)})"


def test_the_walk_over_the_source_finds_names_and_keywords():
    tree = ast.parse("y = xp.sum(x, where=m)\nz = xp_of(x).exp(x)\nf = xp.tanh\n")
    assert sorted(uses_of_xp(tree)) == [("exp", [], 2), ("sum", ["where"], 1), ("tanh", [], 3)]
