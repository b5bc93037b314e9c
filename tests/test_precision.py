"""Half precision: what is 16 bits is near what is float32, what overflows changes nothing, and nothing is waited for.

Runs on the stand-in for CuPy (fakecupy.py), or on what `pytest --backend` chose; bf16 where ml_dtypes is installed.
"""

import importlib.util
import sys
import types

import numpy as np
import on_device
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import CASES
from test_devices import counted
from test_training import batch_at, tiny_config

from tinyalbert import AlbertForPreTraining, Trainer, UserError, ops, products
from tinyalbert.backend import to_device, to_host
from tinyalbert.cli import main
from tinyalbert.files.checkpoint import load_state
from tinyalbert.modes import use_kernels
from tinyalbert.nn import Parameter
from tinyalbert.precision import (
    MOVES,
    PRODUCTS,
    SUMS,
    LossScale,
    Precision,
    check_precision,
)
from tinyalbert.pretraining.pretrain import pretrain
from tinyalbert.tasks.finetune import finetune
from tinyalbert.tensor import KERNELS, OPS, Tensor, backward, call_vjp, unbroadcast
from tinyalbert.training.loop import train
from tinyalbert.training.metrics import TrainingDiverged

HALF = ["fp16", *(["bf16"] if importlib.util.find_spec("ml_dtypes") else [])]
ROUNDING = {"fp16": 2.0**-11, "bf16": 2.0**-8}   # the largest relative error of one rounding
half = pytest.mark.parametrize("precision", HALF)
with_and_without = pytest.mark.parametrize("kernels", [True, False], ids=["kernels", "plain"])


@pytest.fixture(autouse=True)
def device(monkeypatch, request):
    """The library that stands for the GPU: (module `cupy`, its counts)."""
    return on_device.as_gpu(monkeypatch, request.config)


def types_of_results(monkeypatch):
    """{op: types of its results}, filled as ops run."""
    seen = {}
    real = Precision.run

    def spied(self, raw, kernel, args, arrays, static):
        out, vjp = real(self, raw, kernel, args, arrays, static)
        seen.setdefault(raw.__name__, set()).add(out.dtype.name)
        return out, vjp
    monkeypatch.setattr(Precision, "run", spied)
    return seen


def trainer(precision="fp32", **options):
    options = {"lr": 3e-3, "total_steps": 9, "threads": 1, "clip": 0.5, **options}
    return Trainer(AlbertForPreTraining(tiny_config(), seed=1).to("gpu"), precision=precision, **options)


def numbers_of(t):
    """Every parameter and moment, on the host."""
    state = {**t.model.state_dict(), **t.optimizer.state_dict()}
    return {name: to_host(a) for name, a in state.items() if name != "global_step"}


def scaled_to(t, value):
    t.precision.loss_scale.state[:1] = value


# --- what is refused --------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", ["tf32", "fp16", "bf16"])
def test_a_cpu_without_16_bit_units_computes_in_float32_only(name, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(products, "sixteen_bit_units", lambda: [])
    with pytest.raises(UserError, match=f"'{name}' on the CPU.*expected 'fp32'"):
        Trainer(AlbertForPreTraining(tiny_config(), seed=1), precision=name)
    for command in (["pretrain", "stories:20", "--steps", "1"], ["finetune", "stories:topic:20", "--model", "nowhere"]):
        assert main([*command, "--output", str(tmp_path / "out"), "--precision", name]) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and "on the CPU" in said and "--device gpu" in said
        assert not (tmp_path / "out").exists()   # before the work begins


def test_an_unknown_precision_is_refused():
    with pytest.raises(UserError, match="'fp8' is unknown; expected one of fp32, tf32, fp16, bf16, bf16-emulated"):
        check_precision("fp8", "gpu")


def test_an_old_gpu_has_fp16_only(monkeypatch, device):
    assert check_precision("tf32", "gpu") == "tf32"
    monkeypatch.setattr(device[0].cuda, "Device", lambda: types.SimpleNamespace(compute_capability="75"))
    assert check_precision("fp16", "gpu") == "fp16" and check_precision("fp32", "gpu") == "fp32"
    for name in ("tf32", "bf16"):
        with pytest.raises(UserError, match=f"'{name}' on a GPU of compute capability 7.5; expected 8.0"):
            check_precision(name, "gpu")


def test_bf16_without_ml_dtypes_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(UserError, match="pip install ml_dtypes"):
        check_precision("bf16", "gpu")


def test_a_subclass_of_the_loss_scale_keeps_the_kernel_and_its_own_update_wins(monkeypatch):
    calls, plain = [], type("Plain", (LossScale,), {})
    monkeypatch.setitem(KERNELS, ("LossScale", "numpy"), lambda scale, norm: calls.append(scale))
    scale = plain(np)
    scale.update(np.float32(1))
    assert calls == [scale]
    own = type("Own", (LossScale,), {"update": lambda self, norm: "own"})(np)
    assert own.update(np.float32(1)) == "own" and calls == [scale]


# --- one op -----------------------------------------------------------------------------------------------

def rounded_to(precision, a):
    return to_host(to_device(np.asarray(a, np.float32), "gpu").astype(Precision(precision, one_weight()).dtype))


def one_weight():
    w = Parameter(np.ones((1, 1), np.float32))
    w.data = to_device(w.data, "gpu")
    return [("w", w)]


@half
@with_and_without
@pytest.mark.parametrize("name", sorted(OPS))
@given(data=st.data())
def test_an_op_is_float32s_on_rounded_numbers(name, precision, kernels, data):
    """All inputs in 16 bits: the result, and each gradient, is near the one of float32 and of the type it should have."""
    case = data.draw(CASES[name])
    context = Precision(precision, one_weight())
    is_number = [getattr(a, "dtype", np.dtype(int)).kind == "f" for a in case.arrays]
    small = [rounded_to(precision, a) if number else a for a, number in zip(case.arrays, is_number)]
    wide = [a.astype(np.float64) if number else a for a, number in zip(small, is_number)]
    want, vjp = OPS[name](*wide, **case.static)
    tensors = [Tensor(to_device(a, "gpu"), requires_grad=True) if number else
               to_device(np.asarray(a), "gpu") if isinstance(a, (np.ndarray, np.generic)) else a for a, number in zip(small, is_number)]
    with use_kernels(kernels), context.active():
        out = getattr(ops, name)(*tensors, **case.static)
    assert out.dtype == (np.float32 if name in SUMS else context.dtype)
    size = max(1.0, float(abs(want).max(initial=0)))
    close = 8 * ROUNDING[precision]
    np.testing.assert_allclose(to_host(out.data).astype(float), want, rtol=0, atol=close * size)
    if name == "max" or not out.size:            # equal after rounding: the gradient is shared out
        return
    g = rounded_to(precision, case.rng.standard_normal(out.shape))
    expected = [d for d, number in zip(call_vjp(vjp, g.astype(float), is_number), is_number) if number]
    leaves = [t for t in tensors if isinstance(t, Tensor)]
    expected = [d if d is None else unbroadcast(d, t.shape) for d, t in zip(expected, leaves)]
    with use_kernels(kernels), context.active():
        got = backward(out, to_device(g, "gpu").astype(out.dtype))
    largest = max([size, *(float(abs(d).max(initial=0)) for d in expected if d is not None)])
    for t, d in zip(leaves, expected):
        if d is not None:
            assert got[t].dtype == context.dtype
            np.testing.assert_allclose(to_host(got[t]).astype(float), d, rtol=0, atol=close * largest)


@half
@with_and_without
def test_the_gradient_of_a_weight_never_is_16_bits(precision, kernels):
    """Its sum is beyond what 16 bits hold (65504), and finer than what they tell apart."""
    w = Parameter(np.zeros((3, 2), np.float32))
    b = Parameter(np.zeros(3, np.float32))
    for p in (w, b):
        p.data = to_device(p.data, "gpu")
    x = Tensor(to_device(np.full((1025, 2), 1.0, np.float32), "gpu"), requires_grad=True)
    context = Precision(precision, [("w", w), ("b", b)])
    with use_kernels(kernels), context.active():
        y = ops.linear(x, w, b)
        gradients = backward(y, to_device(np.full((1025, 3), 128.0, np.float32), "gpu").astype(y.dtype))
    for p in (w, b):
        assert gradients[p].dtype == np.float32
        np.testing.assert_array_equal(to_host(gradients[p]), 1025 * 128.0)
    assert gradients[x].dtype == np.float32      # as x itself


@half
def test_products_read_copies_that_follow_the_weights(precision):
    w = Parameter(np.ones((2, 2), np.float32))
    w.data = to_device(w.data, "gpu")
    x, context = Tensor(to_device(np.ones((1, 2), np.float32), "gpu")), Precision(precision, [("w", w)])
    for value in (1.0, 3.0):
        w.data[...] = value
        with context.active():
            assert to_host(ops.linear(x, w).data).astype(float).tolist() == [[2 * value] * 2]
    assert w.data.dtype == np.float32


@pytest.mark.parametrize("kernels", [True, False], ids=["kernels", "plain"])
@given(changes=st.lists(st.booleans(), min_size=1, max_size=12), interval=st.integers(1, 4),
       start=st.sampled_from([1.0, 2.0, 64.0]))
def test_the_loss_scale_follows_its_rule(kernels, changes, interval, start):
    scale = LossScale(sys.modules["cupy"], start, interval)
    value, steps = start, 0
    for finite in changes:
        norm = to_device(np.array(3.5 if finite else [np.inf, np.nan][steps % 2], np.float32), "gpu")
        with use_kernels(kernels):
            flag = scale.update(norm)
        steps = steps + 1 if finite else 0
        value = value if finite else max(1.0, value / 2)
        if steps == interval:
            value, steps = 2 * value, 0
        assert (to_host(scale.value), to_host(flag)) == (value, finite)
        assert to_host(scale.state).tolist() == [value, steps, finite]


# --- a training -------------------------------------------------------------------------------------------

@pytest.mark.parametrize("precision", ["tf32", *HALF])
@pytest.mark.parametrize("optimizer", ["adamw", "lamb"])
@with_and_without
def test_steps_are_near_float32s(precision, optimizer, kernels):
    near, exact = (trainer(p, optimizer=optimizer, accumulation=2) for p in (precision, "fp32"))
    with use_kernels(kernels):
        for step in range(5):
            got, want = near.step(batch_at(step)), exact.step(batch_at(step))
            close = 0.02 * ROUNDING.get(precision, 2.0**-11) / ROUNDING["fp16"]
            assert got["loss"] == pytest.approx(want["loss"], rel=close / 8)
            assert got["grad_norm"] == pytest.approx(want["grad_norm"], rel=close)
    for name, a in numbers_of(near).items():
        assert a.dtype == np.float32, name       # the masters and the moments
    assert near.gradients.flat.dtype == np.float32
    if precision in HALF:
        changed = [abs(a - b).max() for a, b in zip(numbers_of(near).values(), numbers_of(exact).values())]
        assert max(changed) > 0                  # it was another arithmetic


@half
def test_activations_have_16_bits_behind_the_first_product(precision, monkeypatch):
    seen = types_of_results(monkeypatch)
    trainer(precision).step(batch_at(0))
    short = Precision(precision, one_weight()).dtype.name
    for name in ("linear", "linear_gelu", "self_attention", "linear_add_norm", "tanh", "gelu"):
        assert seen[name] == {short}, name
    assert seen["cross_entropy"] == {"float32"}
    assert seen["layer_norm"] == {"float32", short}            # of the embeddings, before any product, and of the head
    assert PRODUCTS | MOVES | SUMS <= OPS.keys()


@pytest.mark.parametrize("optimizer", ["adamw", "lamb"])
@with_and_without
def test_an_overflow_changes_nothing_but_the_scale(optimizer, kernels):
    t = trainer("fp16", optimizer=optimizer)
    with use_kernels(kernels):
        t.step(batch_at(0))
        before = numbers_of(t)
        scaled_to(t, 2.0**60)
        metrics = t.step(batch_at(1))
        assert (metrics["skipped"], metrics["loss_scale"], metrics["grad_norm"]) == (1, 2.0**60, 0)
        assert np.isfinite(metrics["loss"])
        for name, a in numbers_of(t).items():
            np.testing.assert_array_equal(a, before[name])
        assert to_host(t.precision.loss_scale.value) == 2.0**59
        scaled_to(t, 2.0**12)
        metrics = t.step(batch_at(1))
        assert (metrics["skipped"], metrics["loss_scale"]) == (0, 2.0**12) and metrics["grad_norm"] > 0
    assert any((a != before[name]).any() for name, a in numbers_of(t).items())


def test_without_the_scale_small_gradients_would_be_lost():
    """What it is for: gradients of 1e-8 are 0 in fp16; multiplied by 65536, and divided again in float32, they are there."""
    rng = np.random.default_rng(0)
    w = Parameter(rng.standard_normal((7, 5)).astype(np.float32))
    x, labels = rng.standard_normal((4, 5)).astype(np.float32), np.array([0, 3, 6, 1], np.int32)
    exact = backward(ops.cross_entropy(ops.linear(Tensor(x), w), labels) * 1e-8)[w]
    w.data, x, labels = (to_device(a, "gpu") for a in (w.data, x, labels))
    found, context = {}, Precision("fp16", [("w", w)])
    for scale in (1.0, 65536.0):
        with context.active():
            loss = ops.cross_entropy(ops.linear(Tensor(x), w), labels) * 1e-8
            found[scale] = to_host(backward(loss, to_device(np.array(scale, np.float32), "gpu"))[w]) / scale
    assert not found[1.0].any() and exact.any()
    np.testing.assert_allclose(found[65536.0], exact, rtol=0, atol=0.01 * abs(exact).max())


def test_a_scale_of_1_that_overflows_is_a_divergence():
    t = trainer("fp16")
    scaled_to(t, 1.0)
    t.model.predictions.LayerNorm.weight.data[...] = 1e30      # its product is beyond fp16
    before = numbers_of(t)
    with pytest.raises(TrainingDiverged, match="step 1 gave .*The step was not taken"):
        t.step(batch_at(0)).check_finite()
    for name, a in numbers_of(t).items():
        np.testing.assert_array_equal(a, before.get(name, 0))


@half
def test_a_resumed_run_is_the_uninterrupted_one(precision, tmp_path):
    def run(folder, steps, **more):
        t = trainer(precision, total_steps=None, schedule=lambda step: 3e-3)
        if t.precision.loss_scale:
            t.precision.loss_scale.interval = 2
            scaled_to(t, 2.0**14)
        train(t, batch_at, steps, output_dir=tmp_path / folder, log_every=2, save_every=3, progress=False, **more)
        return t

    whole = run("whole", 6)
    run("parts", 3)
    parts = run("parts", 6, resume=True)
    assert parts.precision.state() == whole.precision.state()
    if precision == "fp16":
        assert parts.precision.state()[0] == 2.0**17           # doubled at 2, 4 and 6: also across the checkpoint
    for name, a in numbers_of(whole).items():
        np.testing.assert_array_equal(numbers_of(parts)[name], a)
    assert {a.dtype.name for a in load_state(tmp_path / "whole").values()} == {"float32"}
    log = [line for line in (tmp_path / "whole" / "log.jsonl").read_text().splitlines() if '"train"' in line]
    assert all(("loss_scale" in line and "skipped" in line) == (precision == "fp16") for line in log)


@pytest.mark.parametrize("precision", ["tf32", *HALF])
@pytest.mark.parametrize("optimizer", ["adamw", "lamb"])
def test_a_step_waits_for_nothing_and_copies_once(precision, optimizer, device):
    t, plain = trainer(precision, optimizer=optimizer), trainer(optimizer=optimizer)
    for one in (t, plain):
        one.step(batch_at(0))
    metrics, cost = counted(device[1], t.step, batch_at(1))
    assert (cost["sync"], cost["d2h"], cost["h2d"]) == (0, 0, 1)
    assert cost["launch"] <= counted(device[1], plain.step, batch_at(1))[1]["launch"] + 12
    assert not cost.get("wide")
    assert counted(device[1], dict, metrics)[1]["d2h"] == 1
    _, cost = counted(device[1], train, t, batch_at, 9, log_every=3, progress=False)
    assert (cost["d2h"], cost["h2d"]) == (3, 7)


def test_tf32_is_asked_of_products_of_float32_alone(device, monkeypatch):
    cublas = pytest.importorskip("tinyalbert.kernels.gpu.cublas", reason="the folder kernels/ was taken out")
    asked, real = {}, cublas.gemm

    def spied(*args):
        asked.setdefault(precision, set()).add((args[7], args[-2]))        # the operands' type, what it is computed in
        return real(*args)
    monkeypatch.setattr(cublas, "gemm", spied)
    for precision in ("fp32", "tf32", *HALF):
        trainer(precision).step(batch_at(0))
    assert asked["fp32"] == {(0, cublas.COMPUTE_32F)}
    assert asked["tf32"] == {(0, cublas.COMPUTE_TF32)}
    assert asked["fp16"] == {(2, cublas.COMPUTE_32F)}
    assert asked.get("bf16", {(14, cublas.COMPUTE_32F)}) == {(14, cublas.COMPUTE_32F)}


@half
def test_pretraining_and_fine_tuning_from_text(precision, tmp_path):
    from tinyalbert import AlbertConfig
    config = AlbertConfig(vocab_size=300, embedding_size=16, hidden_size=24, num_attention_heads=2, intermediate_size=48,
                          num_hidden_layers=2, max_position_embeddings=32)
    quiet, found = dict(threads=1, progress=False, say=lambda text: None, device="gpu"), []
    for name in (precision, "fp32"):
        model = tmp_path / name
        found.append(pretrain("stories:60", model, config=config, vocab_size=300, steps=4, eval_every=2, batch_size=4,
                              max_seq_length=32, stages=(), workers=1, precision=name, **quiet))
        found[-1] |= finetune("stories:topic:24", "stories:topic:12", tmp_path / f"{name}-classes", model=model, steps=4,
                              batch_size=8, max_length=32, precision=name, **quiet)["metrics"]
        assert {a.dtype.name for a in load_state(tmp_path / f"{name}-classes").values()} == {"float32"}
    assert found[0]["mlm_loss"] == pytest.approx(found[1]["mlm_loss"], rel=1e-3)
    lower, full = (load_state(tmp_path / name) for name in (precision, "fp32"))      # one rounded loss can be the same
    assert any(not np.array_equal(lower[name], full[name]) for name in full)


# --- on the CPU -------------------------------------------------------------------------------------------

def fast_here():
    try:
        return [products.sixteen_bits().name]
    except products.Unusable:
        return []


ON_CPU = [*(["bf16-emulated"] if "bf16" in HALF else []), *(["bf16"] if "bf16" in HALF and fast_here() else [])]
_precisions = pytest.mark.parametrize("precision", ON_CPU)
_on_numpy = pytest.mark.skipif("config.getoption('--backend') != 'numpy'", reason="there NumPy's kernels are the device's")


def on_cpu(test):
    return _precisions(_on_numpy(test))


def cpu_trainer(precision="fp32", **options):
    options = {"lr": 3e-3, "total_steps": 9, "threads": 1, "clip": 0.5, **options}
    return Trainer(AlbertForPreTraining(tiny_config(), seed=1), precision=precision, **options)


@on_cpu
@with_and_without
def test_steps_on_the_cpu_are_near_float32s_and_the_same_every_time(precision, kernels):
    near, again, exact = cpu_trainer(precision), cpu_trainer(precision), cpu_trainer()
    with use_kernels(kernels):
        for step in range(4):
            got, same, want = (t.step(batch_at(step)) for t in (near, again, exact))
            assert (got["loss"], got["grad_norm"]) == (same["loss"], same["grad_norm"])
            assert got["loss"] == pytest.approx(want["loss"], rel=0.02) and got["loss"] != want["loss"]
            assert got["grad_norm"] == pytest.approx(want["grad_norm"], rel=0.16)
    for name, a in numbers_of(near).items():
        assert a.dtype == np.float32, name       # the weights and the moments
        np.testing.assert_array_equal(a, numbers_of(again)[name])
    assert near.gradients.flat.dtype == np.float32


@on_cpu
def test_threads_share_the_products_of_16_bits(precision):
    one, two = cpu_trainer(precision), cpu_trainer(precision, threads=2)
    for step in range(3):
        got, want = two.step(batch_at(step)), one.step(batch_at(step))
        assert got["loss"] == pytest.approx(want["loss"], rel=0.01)


@on_cpu
def test_what_is_kept_on_the_cpu_has_16_bits(precision, monkeypatch):
    seen = types_of_results(monkeypatch)
    cpu_trainer(precision).step(batch_at(0))
    for name in ("linear", "linear_gelu", "attention", "add_layer_norm", "tanh", "gelu"):
        assert seen[name] == {"bfloat16"}, name
    assert seen["cross_entropy"] == {"float32"}


@on_cpu
def test_a_run_on_the_cpu_resumes_bit_for_bit(precision, tmp_path):
    def run(folder, steps, **more):
        t = cpu_trainer(precision, total_steps=None, schedule=lambda step: 3e-3, threads=2)
        train(t, batch_at, steps, output_dir=tmp_path / folder, log_every=2, save_every=2, progress=False, **more)
        return t

    whole = run("whole", 4)
    run("parts", 2)
    parts = run("parts", 4, resume=True)
    for name, a in numbers_of(whole).items():
        np.testing.assert_array_equal(numbers_of(parts)[name], a)
    assert {a.dtype.name for a in load_state(tmp_path / "whole").values()} == {"float32"}


def test_another_library_is_said_when_a_run_goes_on(tmp_path, capsys, monkeypatch):
    def run(steps, **more):
        t = cpu_trainer(total_steps=None, schedule=lambda step: 3e-3)
        train(t, batch_at, steps, output_dir=tmp_path / "run", save_every=2, **more)
    run(2)
    monkeypatch.setattr(products, "PLAIN", type("Other", (products.Plain,), {"name": "other"})())
    run(4, resume=True)
    assert "resumed with products other; the run had numpy" in capsys.readouterr().err


def test_the_emulation_is_for_the_cpu():
    with pytest.raises(UserError, match="'bf16-emulated' is for the CPU; on a GPU, use bf16"):
        check_precision("bf16-emulated", "gpu")


@on_cpu
@pytest.mark.parametrize("kind", ["SequenceClassification", "TokenClassification", "QuestionAnswering", "MaskedLM", "SentenceEmbedding"])
def test_answers_in_16_bits_are_near_float32s(kind, precision):
    import tinyalbert
    model = getattr(tinyalbert, f"AlbertFor{kind}")(tiny_config(), seed=1)
    ids = batch_at(0)["input_ids"]
    mask = np.ones_like(ids)
    mask[0, 3:] = 0

    def answers():
        with tinyalbert.no_grad():
            out = model(ids, mask)
        name = next(n for n in ("logits", "start_logits", "embeddings") if n in out.keys())
        return out[name].numpy()
    want = answers()
    with Precision(precision, model.named_parameters()).active():
        got = answers()
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, want, rtol=0, atol=0.05 * abs(want).max())
    assert (got != want).any()
