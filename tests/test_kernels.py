"""Kernels: equal to the plain ops, forward and gradient, whatever the shape, layout, precision and block size."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import CASES, lay_out, seeds

import tinyalbert
from tinyalbert import ops
from tinyalbert.gradcheck import gradcheck
from tinyalbert.modes import no_grad
from tinyalbert.tensor import KERNELS, OPS, call_vjp, unbroadcast

pytest.importorskip("tinyalbert.kernels", reason="the folder kernels/ was taken out")
from tinyalbert.kernels.cpu import attention as numpy_attention  # noqa: E402
from tinyalbert.kernels.cpu import blocks as numpy_blocks
from tinyalbert.kernels.cpu import dropout as numpy_dropout

NAMES = sorted(name for name, module in KERNELS if module == "numpy" and name in OPS)
TOLERANCE = {np.float64: 1e-10, np.float32: 1e-5, np.float16: 1e-2}          # of float16 for terms of order 1
ALL = pytest.mark.parametrize("name", NAMES)
ON_NUMPY = pytest.mark.skipif("config.getoption('--backend') != 'numpy'", reason="a device has threads and sums of its own")


@pytest.fixture(autouse=True, params=[8, numpy_blocks.BLOCK], ids=["tiny blocks", "real blocks"])
def block(request, monkeypatch):
    """With blocks of 8 elements even small arrays are cut, with and without a rest."""
    for module in (numpy_blocks, numpy_attention, numpy_dropout):
        monkeypatch.setattr(module, "BLOCK", request.param)


def is_float(a):
    return isinstance(a, np.ndarray) and a.dtype.kind == "f"


def assert_close(got, want, scale=None):
    """Equal to the tolerance of the precision, relative to the largest number (of the summands, if `scale`)."""
    assert got.shape == want.shape and got.dtype == want.dtype and np.isfinite(got).all()
    largest = max(float(abs(want).max(initial=0)), scale or 0.0, 1e-3)
    np.testing.assert_allclose(got, want, rtol=0, atol=TOLERANCE[want.dtype.type] * largest)


def assert_same(name, arrays, static, rng):
    """Kernel and plain op agree; neither writes to what it was given, and twice the same is the same bit for bit."""
    raw, kernel = OPS[name], KERNELS[name, "numpy"]
    before = [a.copy() if isinstance(a, np.ndarray) else a for a in arrays]
    (want, plain_vjp), (got, vjp) = raw(*arrays, **static), kernel(*arrays, **static)
    assert_close(got, want)
    g = np.asarray(rng.standard_normal(want.shape), want.dtype)
    g_before, needs = g.copy(), tuple(map(is_float, arrays))
    plain, fast, again = (call_vjp(f, g, needs) for f in (plain_vjp, vjp, kernel(*arrays, **static)[1]))
    assert len(plain) == len(fast)
    largest = max([float(abs(d).max(initial=0)) for d in plain if d is not None])
    if "gelu" in name:                           # its slope is a sum of terms of order 1, and 0 near x = -0.75
        largest = max(largest, float(abs(g).max(initial=0)))
    for a, d, e, f in zip(arrays, plain, fast, again):
        assert (d is None) == (e is None)
        if d is not None:
            assert_close(unbroadcast(e, a.shape), unbroadcast(d, a.shape), largest)
            np.testing.assert_array_equal(e, f)
    np.testing.assert_array_equal(g, g_before)
    for a, b in zip(arrays, before):
        np.testing.assert_array_equal(a, b)


def assert_finite_in_float16(name, arrays, static, digits):
    """Whatever float16 can hold, the kernel makes no infinity and no NaN of it; equal to the plain op if `digits`."""
    arrays = [a.astype(np.float16) if is_float(a) else a for a in arrays]
    results = []
    for fn in (OPS[name], KERNELS[name, "numpy"]):
        out, vjp = fn(*arrays, **static)
        gradients = call_vjp(vjp, np.ones_like(out), tuple(map(is_float, arrays)))
        results.append([out, *(unbroadcast(d, a.shape) for a, d in zip(arrays, gradients) if d is not None)])
    for want, got in zip(*results, strict=True):
        assert got.shape == want.shape and got.dtype == np.float16 and np.isfinite(got).all()
        if digits:
            scale = max(1.0, float(abs(want).max(initial=0)))
            np.testing.assert_allclose(got, want, rtol=0, atol=TOLERANCE[np.float16] * scale)


def test_there_are_kernels_and_each_is_of_an_op():
    assert NAMES and set(NAMES) <= set(OPS)


@ALL
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@given(data=st.data())
def test_equal_to_the_plain_op(name, dtype, data):
    case = data.draw(CASES[name])
    arrays = [a.astype(dtype) if is_float(a) else a for a in case.arrays]
    assert_same(name, arrays, case.static, case.rng)


@ON_NUMPY
@ALL
@given(data=st.data())
def test_float16(name, data):
    case = data.draw(CASES[name])
    bias = case.arrays[3] if name == "attention" else None
    some_key = bias is None or (bias == 0).any(axis=-1).all()
    assert_finite_in_float16(name, case.arrays, case.static, digits="norm" not in name and some_key)


@ALL
@given(data=st.data())
def test_gradient(name, data):
    case = data.draw(CASES[name])
    gradcheck(KERNELS[name, "numpy"], *case.arrays, rng=case.rng, **case.static)


@ALL
@given(data=st.data())
def test_what_is_not_recorded_is_the_same(name, data):
    case = data.draw(CASES[name])
    want = KERNELS[name, "numpy"](*case.arrays, **case.static)[0]
    with no_grad():
        np.testing.assert_array_equal(KERNELS[name, "numpy"](*case.arrays, **case.static)[0], want)


# --- sizes that need several blocks, and uneven ones ------------------------------------------------------

@st.composite
def large(draw):
    """(rng, rows, width, lay): a few rows of odd width, or enough for several real blocks."""
    rng = np.random.default_rng(draw(seeds))
    rows, width = draw(st.sampled_from([(1, 1), (1, 77), (37, 1), (130, 255), (517, 257)]))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    return rng, rows, width, lambda *shape: lay_out(draw, rng.standard_normal(shape).astype(dtype))


@given(case=large())
def test_large_row_kernels(case):
    rng, rows, width, values = case
    assert_same("gelu", [values(rows, width)], {}, rng)
    assert_same("linear_gelu", [values(rows, 5), values(width, 5), values(width)], {}, rng)
    if width > 2:                                # of two features only the sign is left, and 1 / std explodes
        assert_same("layer_norm", [values(rows, width), values(width), values(width)], {}, rng)
        x, residual = values(rows, width), values(rows, width)
        assert_same("add_layer_norm", [x, residual, values(width), values(width)], {}, rng)


@given(case=large())
def test_large_cross_entropy(case):
    rng, rows, width, values = case
    labels = np.where(rng.random(rows) < 0.3, -100, rng.integers(0, width, rows))
    logits = values(rows, width)
    raw, kernel = OPS["cross_entropy"], KERNELS["cross_entropy", "numpy"]
    (want, plain), (got, vjp) = raw(logits, labels), kernel(logits, labels)
    assert_close(got, want)
    assert_close(vjp(np.asarray(2, logits.dtype))[0], plain(np.asarray(2, logits.dtype))[0])


@st.composite
def sentences(draw):
    """(rng, q, k, v, bias, static) for attention: odd lengths, padding, heads, dropout, scores of any size."""
    rng, dtype = np.random.default_rng(draw(seeds)), draw(st.sampled_from([np.float32, np.float64]))
    B, N, T, D = draw(st.sampled_from([(1, 1, 1, 1), (3, 2, 7, 5), (2, 3, 65, 8), (5, 4, 33, 4), (1, 2, 200, 3)]))
    q, k, v = (lay_out(draw, rng.standard_normal((B, T, N * D)).astype(dtype)) for _ in range(3))
    bias = None
    if draw(st.booleans()):
        lengths = rng.integers(0, T + 1, B)      # 0: a sequence that is all padding
        bias = np.where(np.arange(T) < lengths[:, None], 0, -10000).astype(dtype)[:, None, None, :]
    static = dict(num_heads=N)
    if draw(st.booleans()):
        static |= dict(p=0.3, key=draw(seeds), first_row=draw(st.integers(0, 9)))
    return rng, q * dtype(draw(st.sampled_from([0, 1, 10]))), k, v, bias, static


@given(case=sentences())
def test_large_attention(case):
    rng, q, k, v, bias, static = case
    assert_same("attention", [q, k, v, bias], static, rng)


@ON_NUMPY
@given(case=sentences())
def test_large_attention_in_float16(case):
    _, *arrays, static = case
    assert_finite_in_float16("attention", arrays, static, digits=False)


@pytest.mark.parametrize("size", [100.0, 1000.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_attention_of_huge_scores(size, dtype):
    """Rows whose scores all lie far below those of other rows of their block: softmax must not become 0 / 0."""
    rng = np.random.default_rng(0)
    q, k, v = rng.standard_normal((3, 2, 9, 4)).astype(dtype)
    q[:, :, :] = np.sign(q) * np.linspace(0, size, 9, dtype=dtype)[:, None]
    k = np.abs(k)
    q[:, ::2] = -np.abs(q[:, ::2])
    want, plain = ops.attention.raw(q, k, v, None, 1)
    got, vjp = KERNELS["attention", "numpy"](q, k, v, None, 1)
    assert np.isfinite(got).all()
    np.testing.assert_allclose(got, want, rtol=0, atol=size * TOLERANCE[dtype])
    g = rng.standard_normal(want.shape).astype(dtype)
    for a, b in zip(vjp(g)[:3], plain(g)[:3]):
        assert np.isfinite(a).all()
        np.testing.assert_allclose(a, b, rtol=0, atol=size ** 2 * TOLERANCE[dtype])


@given(seed=seeds, rows=st.integers(0, 6), columns=st.lists(st.integers(1, 9), min_size=1, max_size=2),
       p=st.sampled_from([0.0, 0.1, 0.9]), key=st.integers(0, 2**40), first_row=st.integers(0, 2**31))
def test_the_dropout_mask_is_the_same_bit_for_bit(seed, rows, columns, p, key, first_row):
    shape = (rows, *columns)
    want = ops.dropout_mask(shape, p, key, first_row, np)
    np.testing.assert_array_equal(numpy_dropout.keep_mask(shape, p, key, first_row), want)


def test_a_long_dropout_row():
    shape = (3, 4, 211, 211)                     # more words than one block holds, and an odd number of elements
    want = ops.dropout_mask(shape, 0.1, 7, 2, np)
    np.testing.assert_array_equal(numpy_dropout.keep_mask(shape, 0.1, 7, 2), want)


# --- memory and threads -----------------------------------------------------------------------------------

@given(shape=st.lists(st.integers(0, 9), max_size=3), dtype=st.sampled_from([np.float32, np.float64, np.uint16]))
def test_empty_begins_at_a_cache_line(shape, dtype):
    a = numpy_blocks.empty(tuple(shape), dtype)
    assert a.shape == tuple(shape) and a.dtype == dtype and a.flags.c_contiguous
    assert a.size == 0 or a.ctypes.data % 64 == 0


@ALL
@given(data=st.data())
def test_results_share_no_memory(name, data):
    """What a kernel returns stays as it is when the kernel runs again: nothing of the scratch memory gets out."""
    case = data.draw(CASES[name])
    kernel, needs = KERNELS[name, "numpy"], tuple(map(is_float, case.arrays))
    out, vjp = kernel(*case.arrays, **case.static)
    g = np.ones_like(out)
    first = [out, *(d for d in call_vjp(vjp, g, needs) if d is not None)]
    copies = [a.copy() for a in first]
    other = [a + 1 if is_float(a) else a for a in case.arrays]
    out, vjp = kernel(*other, **case.static)
    call_vjp(vjp, 2 * g, needs)
    for a, b in zip(first, copies):
        np.testing.assert_array_equal(a, b)


@ON_NUMPY
@ALL
@pytest.mark.parametrize("block", [8], indirect=True)
def test_threads_do_not_share_scratch_memory(name, block):
    """Two threads run a kernel and its vjp over and over, each on inputs of its own: the bits of one thread alone."""
    from concurrent.futures import ThreadPoolExecutor
    rng, static = np.random.default_rng(0), {"attention": {"num_heads": 2, "p": 0.1, "key": 1}, "dropout": {"p": 0.3, "key": 1}}
    x, rows = [(2, 12, 8)], [(60, 20)]
    shapes = {"attention": x * 3, "dropout": rows, "gelu": rows, "cross_entropy": rows, "linear": [(400, 3), (20, 3), (20,)],
              "linear_gelu": rows + [(50, 20), (50,)], "layer_norm": rows + [(20,)] * 2, "add_layer_norm": rows * 2 + [(20,)] * 2}
    more = {"attention": [None], "cross_entropy": [rng.integers(0, 20, 60)]}.get(name, [])
    inputs = [[rng.standard_normal(s).astype(np.float32) for s in shapes[name]] + more for _ in range(6)]

    def work(arrays):
        out, vjp = KERNELS[name, "numpy"](*arrays, **static.get(name, {}))
        return [out, *(d for d in call_vjp(vjp, np.ones_like(out), tuple(map(is_float, arrays))) if d is not None)]
    want, interval = [work(arrays) for arrays in inputs], sys.getswitchinterval()
    sys.setswitchinterval(1e-6)                  # threads take turns within a block, not only between kernels
    try:
        with ThreadPoolExecutor(2) as pool:
            results = list(pool.map(work, inputs * 5))
    finally:
        sys.setswitchinterval(interval)
    for got, expected in zip(results, want * 5, strict=True):
        for a, b in zip(got, expected, strict=True):
            np.testing.assert_array_equal(a, b)


EVERYTHING_AND_A_STEP = """
import importlib, pkgutil, sys
sys.path[:0] = sys.argv[1:]                      # the package's folder, and NumPy's
import numpy as np, tinyalbert
for module in pkgutil.walk_packages(tinyalbert.__path__, "tinyalbert."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
from tinyalbert import AlbertConfig, AlbertForPreTraining, Trainer, tensor
model = AlbertForPreTraining(AlbertConfig.preset("tiny", vocab_size=50, hidden_dropout_prob=0.1), seed=0)
rows = np.random.default_rng(0).integers(5, 50, (4, 8))
step = Trainer(model, lr=0.01, total_steps=1, warmup=0).step(
    {"input_ids": rows, "labels": np.where(rows < 20, rows, -100), "sentence_order_label": rows[:, 0] % 2})
print(tinyalbert.__file__)
print(len(tensor.KERNELS), "tinyalbert.kernels" in sys.modules)
print(*step.values(), *(float(f(p.data)) for p in model.parameters() for f in (np.sum, np.linalg.norm)))
"""


@pytest.mark.parametrize("block", [numpy_blocks.BLOCK], indirect=True)
def test_the_package_works_without_the_folder(tmp_path, block):
    """Copy the package, leave kernels/ out, import all of it, train a step: the same step to float32's digits."""
    import shutil
    package, results = Path(tinyalbert.__file__).parent, []
    shutil.copytree(package, tmp_path / "tinyalbert", ignore=shutil.ignore_patterns("kernels", "__pycache__"))
    for folder in (package.parent, tmp_path):    # -I -S: no other path, and nothing that finds an installed tinyalbert
        done = subprocess.run([sys.executable, "-I", "-S", "-c", EVERYTHING_AND_A_STEP, folder, Path(np.__file__).parent.parent],
                              capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        where, kernels, numbers = done.stdout.splitlines()
        assert where == str(folder / "tinyalbert" / "__init__.py")
        assert (kernels == "0 False") == (folder == tmp_path)
        results.append(np.array(numbers.split(), float))
    np.testing.assert_allclose(*results, rtol=1e-4, atol=1e-4)
