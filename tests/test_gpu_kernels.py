"""The CUDA kernels without a GPU: their bodies run on the CPU against the plain ops, and compile for two GPUs.

g++ compiles each kernel behind tests/hostcupy/cudacpu.h, which runs the threads of a block in order, or in reverse.
With `--backend hostcupy` (or `cupy`, on a GPU) the real CuPy launches them instead.  Without a GPU not shown: races that
both orders hide, speed.
"""

import ctypes
import functools
import inspect
import math
import shutil
import subprocess
import sys
from pathlib import Path

import fakecupy
import hostcupy
import numpy as np
import on_device
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import CASES

from tinyalbert import LAMB, AdamW, ops
from tinyalbert.modes import no_grad, use_kernels
from tinyalbert.nn import Parameter
from tinyalbert.tensor import KERNELS, Sum, Tensor, call_vjp, selective, unbroadcast

pytest.importorskip("tinyalbert.kernels", reason="the folder kernels/ was taken out")
from tinyalbert.kernels.gpu import attention as gpu_attention  # noqa: E402
from tinyalbert.kernels.gpu import later as gpu_later  # noqa: E402
from tinyalbert.kernels.gpu import launch as gpu_launch  # noqa: E402

FOLDER = Path(gpu_launch.__file__).parent
FILES = [path.stem for path in sorted(FOLDER.glob("*.cu")) if "__global__" in path.read_text(encoding="utf-8")]
NAMES = sorted(name for name, module in KERNELS if module == "cupy" and hasattr(ops, name))
DTYPES = [np.float32, np.float64]
TOLERANCE = {np.float64: 1e-11, np.float32: 4e-6}              # of the largest number
both = pytest.mark.parametrize("dtype", DTYPES)


class Compiled(fakecupy.RawModule):
    """RawModule of the stand-in for CuPy, with the kernels themselves in place of their NumPy references."""

    def __init__(self, *, code, options=(), flags=()):
        super().__init__(code=code)
        self.run = hostcupy.kernels(code, "-DCUDACPU_STRICT", *flags)

    def compute(self, name, grid, block, args):
        values = [(ctypes.c_char * a.nbytes).from_buffer_copy(a.tobytes()) if isinstance(a, np.ndarray) and a.dtype.names else
                  ctypes.c_void_p(a.ctypes.data) if isinstance(a, np.ndarray) else
                  ctypes.c_double(a) if isinstance(a, float) else ctypes.c_longlong(a) for a in args]
        self.run(name, grid[0], block[0], values)


def forget_modules():
    gpu_launch._module.cache_clear()
    gpu_launch._kernel.cache_clear()


def stand_in(monkeypatch, *flags):
    """`cupy`: the stand-in, which runs the compiled kernels."""
    if hostcupy.missing():
        pytest.skip(hostcupy.missing())
    for name, module in fakecupy.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(fakecupy.cupy, "RawModule", functools.partial(Compiled, flags=flags))
    return fakecupy.cupy


@pytest.fixture(autouse=True, params=["in order", "reversed"])
def cupy(request, monkeypatch):
    monkeypatch.setattr(on_device, "ACTIVE", False)            # what is on the CPU is computed there, plainly
    forget_modules()
    if request.config.getoption("--backend") not in on_device.REAL:
        yield stand_in(monkeypatch, *["-DCUDACPU_REVERSED"] * (request.param == "reversed"))
    elif request.param == "reversed":
        pytest.skip("CuPy's own launches are in order")
    else:
        yield sys.modules["cupy"]
    forget_modules()


def is_float(a):
    return getattr(a, "dtype", np.dtype(int)).kind == "f"


def up(a):
    return sys.modules["cupy"].asarray(a) if isinstance(a, np.ndarray) else a


def down(a):
    a = a.array if isinstance(a, Sum) else a
    return a if a is None else a.get()


def on_gpu(name, arrays, static, g):
    """Result and gradients of a kernel, as NumPy arrays; nothing that it was given is changed."""
    given_up = [up(a) for a in arrays]
    out, vjp = KERNELS[name, "cupy"](*given_up, **static)
    results = [call_vjp(vjp, up(g), tuple(map(is_float, arrays))) for _ in range(2)]     # keep_graph=True asks twice
    for a, b in zip(arrays, given_up):
        if isinstance(a, np.ndarray):
            np.testing.assert_array_equal(down(b), a)
    first, second = ([down(d) for d in gradients] for gradients in results)
    for a, b in zip(first, second):
        np.testing.assert_array_equal(a, b)      # in the same order every time: the same bits
    with no_grad():
        np.testing.assert_array_equal(down(KERNELS[name, "cupy"](*given_up, **static)[0]), down(out))
    return down(out), first


def assert_same(name, arrays, static, rng):
    """Kernel and plain op agree, forward and backward."""
    dtype = next(a.dtype.type for a in arrays if is_float(a))
    want, vjp = getattr(ops, name).raw(*arrays, **static)
    g = np.asarray(rng.standard_normal(want.shape), dtype)
    gradients = call_vjp(vjp, g, tuple(map(is_float, arrays)))
    got, results = on_gpu(name, arrays, static, g)
    assert len(gradients) == len(results)
    largest = max([1.0, *(float(abs(d).max(initial=0)) for d in gradients if d is not None)])
    for a, d, e in [(want, want, got), *zip(arrays, gradients, results)]:
        if is_float(a):
            d, e = unbroadcast(d, a.shape), unbroadcast(e, a.shape)
            assert e.shape == d.shape and e.dtype == d.dtype == dtype
            np.testing.assert_allclose(e, d, rtol=0, atol=TOLERANCE[dtype] * max(largest, float(abs(d).max(initial=0))))


# --- ops --------------------------------------------------------------------------------------------------

def test_each_kernel_is_of_an_op():
    assert NAMES == ["add_layer_norm", "attention", "cross_entropy", "dropout", "embedding", "gelu", "layer_norm", "linear",
                     "linear_add_norm", "linear_gelu", "self_attention"]


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_small_and_odd_shapes(name, data):
    case = data.draw(CASES[name])
    assert_same(name, case.arrays, case.static, case.rng)


STORED = {"layer_norm": 1, "add_layer_norm": 2, "gelu": 1, "linear": 2, "linear_gelu": 2, "attention": 3, "dropout": 1,
          "self_attention": 4, "linear_add_norm": 3,
          "cross_entropy": 1, "embedding": 1}    # the first arrays, of 16 bits where any are; the others are float32
WEIGHTS = {"linear": [2], "linear_gelu": [2], "embedding": [1], "self_attention": [2, 3, 4], "linear_add_norm": [2]}


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_16_bits_in_memory_and_32_in_between(name, kind, data):
    """The kernel itself, and no plain op in its place: near the plain op in float64 on the same rounded numbers."""
    if kind == "bfloat16":
        pytest.importorskip("ml_dtypes", reason="bfloat16 needs ml_dtypes")
    case, dtype = data.draw(CASES[name]), np.dtype(kind)
    arrays = [a if not is_float(a) else a.astype("f").astype(dtype if i < STORED[name] else "f")
              for i, a in enumerate(case.arrays)]
    wide = [a.astype(float) if hasattr(a, "dtype") and a.dtype.kind in "fV" else a for a in arrays]
    want, vjp = getattr(ops, name).raw(*wide, **case.static)
    g = case.rng.standard_normal(want.shape).astype("f").astype(dtype if name != "cross_entropy" else "f")
    needs = tuple(map(is_float, case.arrays))
    expected = call_vjp(vjp, g.astype(float), needs)
    out, vjp = KERNELS[name, "cupy"].__wrapped__(*map(up, arrays), **case.static)
    got = call_vjp(vjp, up(g), needs)
    assert out.dtype == ("float32" if name == "cross_entropy" else dtype)
    largest = max([1.0, *(float(abs(d).max(initial=0)) for d in (want, *expected) if d is not None)])
    for i, (a, d, e) in enumerate([(want, want, out), *zip(wide, expected, got)]):
        if d is not None and e is not None and getattr(a, "ndim", None) is not None and np.asarray(a).dtype.kind == "f":
            weight = i > STORED[name] or i in WEIGHTS.get(name, ())
            e = e.array if isinstance(e, Sum) else e
            assert e.dtype == ("float32" if weight or i == 0 and name == "cross_entropy" else dtype)
            np.testing.assert_allclose(unbroadcast(down(e).astype(float), a.shape), unbroadcast(d, a.shape), rtol=0,
                                       atol=8 * 2.0 ** (-11 if kind == "float16" else -8) * largest)


@both
@pytest.mark.parametrize("shape", [(), (0, 3), (1,), (7,), (3, 5, 77), (2, 513)])
def test_gelu(shape, dtype):
    rng = np.random.default_rng(0)
    assert_same("gelu", [np.asarray(3 * rng.standard_normal(shape), dtype)], {}, rng)


@both
@pytest.mark.parametrize("rows, width", [(0, 5), (1, 1), (17, 3), (16, 257), (33, 300)])
def test_linear_gelu(rows, width, dtype):
    rng = np.random.default_rng(0)
    assert_same("linear_gelu", [rng.standard_normal(s).astype(dtype) for s in ((rows, 6), (width, 6), width)], {}, rng)


@both
@pytest.mark.parametrize("rows, width", [(0, 4), (1, 1), (3, 31), (16, 32), (17, 33), (2, 255), (40, 256), (5, 257), (2, 1000)])
def test_layer_norm(rows, width, dtype):
    rng = np.random.default_rng(0)
    x, residual = 3 + rng.standard_normal((2, rows, width)).astype(dtype)
    gamma, beta = rng.standard_normal((2, width)).astype(dtype)
    assert_same("layer_norm", [x, gamma, beta], {"eps": 1e-5}, rng)
    assert_same("add_layer_norm", [x, residual, gamma, beta], {}, rng)


def test_a_large_mean_costs_layer_norm_no_digits():
    rng = np.random.default_rng(0)
    x = (1000 + rng.standard_normal((3, 300))).astype(np.float32)
    want = ops.layer_norm.raw(x.astype(np.float64), np.ones(300), np.zeros(300))[0]
    got = KERNELS["layer_norm", "cupy"](up(x), up(np.ones(300, np.float32)), up(np.zeros(300, np.float32)))[0]
    np.testing.assert_allclose(down(got), want, atol=2e-4)


@both
@pytest.mark.parametrize("rows, width", [(0, 3), (1, 1), (37, 2), (3, 257), (300, 5), (2, 1000)])
@pytest.mark.parametrize("integers", [np.int32, np.int64])
def test_cross_entropy(rows, width, dtype, integers):
    rng = np.random.default_rng(0)
    logits = (5 * rng.standard_normal((rows, width))).astype(dtype)
    for share in (0, 0.3, 1):
        labels = np.where(rng.random(rows) < share, -100, rng.integers(0, width, rows)).astype(integers)
        assert_same("cross_entropy", [logits, labels], {}, rng)


def test_a_label_outside_the_vocabulary_makes_the_loss_nan():
    for label in (-1, 5):
        loss = KERNELS["cross_entropy", "cupy"](up(np.zeros((2, 5), np.float32)), up(np.array([0, label], np.int32)))[0]
        assert np.isnan(down(loss))


@both
@pytest.mark.parametrize("shape", [(1,), (5,), (3, 7), (2, 3, 111), (300, 1)])
def test_dropout_is_numpys_bit_for_bit(shape, dtype):
    rng = np.random.default_rng(0)
    x, g = (np.asarray(rng.standard_normal(shape), dtype) for _ in range(2))
    for p, key, first_row in ((0.0, 1, 0), (0.1, 2**40 + 12345, 3), (0.9, 2**32 - 1, 2**32 - 2)):
        static = {"p": p, "key": key, "first_row": first_row}
        want, vjp = ops.dropout.raw(x, **static)
        got, gradients = on_gpu("dropout", [x], static, g)
        np.testing.assert_array_equal(got, want)
        np.testing.assert_array_equal(gradients[0], vjp(g)[0])


@both
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(0, 600), rows=st.integers(1, 4), scale=st.sampled_from([1e-30, 1.0, 1e30]))
def test_rows_of_an_embedding_add_up_to_the_same_bits_in_any_order(dtype, seed, n, rows, scale):
    rng = np.random.default_rng(seed)
    table, ids = np.zeros((rows, 3), dtype), rng.integers(-rows, rows, n).astype("int32")
    g = (scale * rng.standard_normal((n, 3)) * 10.0 ** rng.integers(-5, 1, (n, 1))).astype(dtype)
    order = rng.permutation(n)
    got, again = (down(KERNELS["embedding", "cupy"](up(table), up(ids[o]))[1](up(g[o]))[0]) for o in (slice(None), order))
    np.testing.assert_array_equal(got, again)
    want = [[math.fsum(g[ids % rows == row, column]) for column in range(3)] for row in range(rows)]
    np.testing.assert_allclose(got, want, rtol=np.finfo(dtype).eps,
                               atol=n * 2.0 ** (n.bit_length() - 62) * float(abs(g).max(initial=0)))     # half a unit each


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_the_gradient_of_an_embedding_is_not_finite_where_one_number_is_not(bad):
    g = np.ones((4, 2), np.float32)
    g[1, 0] = bad
    got = down(KERNELS["embedding", "cupy"](up(np.zeros((3, 2), np.float32)), up(np.array([0, 1, 1, 0], "int32")))[1](up(g))[0])
    assert not np.isfinite(got[1, 0])


@both
@pytest.mark.parametrize("B, N, M, T, D", [(1, 1, 1, 1, 1), (3, 2, 7, 7, 5), (2, 3, 1, 33, 4), (2, 1, 5, 65, 3), (1, 2, 3, 300, 2)])
@pytest.mark.parametrize("dropout", [{}, {"p": 0.3, "key": 7, "first_row": 2}], ids=["kept", "dropped"])
def test_attention(B, N, M, T, D, dropout, dtype):
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal((B, n, N * D)).astype(dtype) for n in (M, T, T))
    padding = np.where(np.arange(T) < rng.integers(1, T + 1, B)[:, None], 0, -1000).astype(dtype)[:, None, None, :]
    if dtype == np.float64:                      # float32 has four digits behind 1000: of either rounding
        padding[0] = -1000                       # a sequence that is all padding
    for bias in (None, padding, padding[:1], padding.astype(np.int16), rng.standard_normal((B, N, M, T)).astype(dtype)):
        assert_same("attention", [q, k, v, bias], {"num_heads": N, **dropout}, rng)


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_layouts(name, data):
    """Arrays with gaps, transposed or reversed on the device itself."""
    case = data.draw(CASES[name])
    want = KERNELS[name, "cupy"](*map(up, case.arrays), **case.static)[0]
    strided = [a if not is_float(a) or not a.ndim else up(np.repeat(a, 2, axis=-1))[..., ::2] for a in case.arrays]
    got = KERNELS[name, "cupy"](*(a if is_float(a) and not isinstance(a, np.ndarray) else up(a) for a in strided),
                                **case.static)[0]
    np.testing.assert_allclose(down(got), down(want), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_a_gradient_is_added_to_what_is_there(name, data):
    """In place of an array a vjp may return the Sum that it was given; the other gradients stay as they are."""
    case = data.draw(CASES[name])
    dtype = next(a.dtype for a in case.arrays if is_float(a))
    out, vjp = KERNELS[name, "cupy"](*map(up, case.arrays), **case.static)
    g = up(case.rng.standard_normal(out.shape).astype(dtype))
    floats = tuple(map(is_float, case.arrays))
    want = [down(d) for d in call_vjp(vjp, g, floats)]
    for add in (False, True):
        sums = [Sum(up(np.full(a.shape, 5.0, dtype)), add) if is_float(a) else False for a in case.arrays]
        got = call_vjp(vjp, g, tuple(sums))
        for a, need, d, e in zip(case.arrays, sums, want, got):
            if not is_float(a) or d is None:
                continue
            d = unbroadcast(d, a.shape)
            if e is need:
                assert need.used and need.add
                np.testing.assert_allclose(down(need.array), d + 5 * add, rtol=1e-5, atol=1e-5 * max(1, abs(d).max(initial=0)))
            else:
                np.testing.assert_allclose(unbroadcast(down(e), a.shape), d, rtol=1e-6, atol=1e-7)
                assert down(need.array).size == 0 or (down(need.array) == 5).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@given(seed=st.integers(0, 2**32 - 1), count=st.sampled_from([0, 1, 5, 97, 200]), kinds=st.sampled_from([1, 3, 24, 25, 60]))
@settings(max_examples=10)
def test_sums_at_the_end_are_those_made_at_once(seed, count, kinds, dtype):
    """Bit for bit; more partial sums and more places than one launch takes, and places that two groups share."""
    rng = np.random.default_rng(seed)
    later, begun = gpu_later.LaterSums(), rng.random(kinds) < 0.5
    starts = [rng.standard_normal(int(rng.integers(0, 70))).astype(dtype) for _ in range(kinds)]
    at_once, at_the_end = ([Sum(up(a), bool(add), queue) for a, add in zip(starts, begun)] for queue in (None, later))
    for _ in range(count):
        first = int(rng.integers(kinds))
        places = [i for i in range(kinds) if len(starts[i]) == len(starts[first]) and rng.random() < 0.7 or i == first][:3]
        partial = up(rng.standard_normal((int(rng.integers(1, 40)), len(places) * len(starts[first]))).astype(dtype))
        for sums in (at_once, at_the_end):
            needs = [sums[i] for i in places]
            found = gpu_launch.sums_by_the_end(sys.modules["cupy"], partial, *needs)
            assert (list(found) if len(needs) > 1 else [found]) == needs
    later.run()
    for once, end in zip(at_once, at_the_end):
        assert once.used == end.used and once.add == end.add
        np.testing.assert_array_equal(down(once.array), down(end.array))


def test_a_launch_takes_no_more_than_cuda_allows():
    assert gpu_later.TABLE.itemsize <= 4096
    code = (FOLDER / "sums.cu").read_text(encoding="utf-8")
    assert f"#define MOST {gpu_later.MOST}\n" in code and f"#define GROUPS {gpu_later.GROUPS}\n" in code


@pytest.mark.parametrize("together", [True, False])
def test_weights_that_follow_each_other_in_memory_are_one_matrix(together):
    rng = np.random.default_rng(0)
    flat = up(rng.standard_normal(60).astype("f"))
    arrays = [flat[i * 20:i * 20 + 12].reshape(3, 4) for i in range(3)]
    if together:
        arrays = [flat[i * 12:i * 12 + 12].reshape(3, 4) for i in range(1, 4)]
    whole = gpu_attention.joined(arrays)
    np.testing.assert_array_equal(down(whole), np.concatenate([down(a) for a in arrays]))
    assert (whole.data.ptr == arrays[0].data.ptr) is together
    sums = [Sum(a, True) for a in arrays]
    need = gpu_attention.together(sums)
    assert isinstance(need, Sum) is together
    parts = gpu_attention.apart(sums, need if together else whole)
    assert all(s.used for s in sums) is together and len(parts) == 3
    assert gpu_attention.together([Sum(a, i > 0) for i, a in enumerate(arrays)]) is True       # one of them begins anew


def kept_by(vjp):
    """{name: value} of what a vjp keeps for the backward pass."""
    found = inspect.getclosurevars(vjp.vjp if isinstance(vjp, selective) else vjp).nonlocals
    return {**found, **kept_by(found["back"])} if "back" in found else found


def test_nothing_is_kept_that_nobody_asks_for(cupy):
    x, w = up(np.ones((3, 5), np.float32)), up(np.ones(5, np.float32))
    for run, kept in ((lambda: KERNELS["gelu", "cupy"](x), ["slope"]),
                      (lambda: KERNELS["linear_gelu", "cupy"](x, up(np.ones((2, 5), np.float32)), w[:2]), ["slope"]),
                      (lambda: KERNELS["add_layer_norm", "cupy"](x, x, w, w), ["xhat", "rstd"])):
        with no_grad():
            closure = kept_by(run()[1])
        assert [closure[name] for name in kept] == [None] * len(kept)
        assert all(kept_by(run()[1])[name] is not None for name in kept)


def test_mixtures_take_the_plain_op():
    w = np.ones(4, np.float32)
    x, y = np.eye(4, dtype=np.float16), np.eye(4, dtype=np.float32)
    got = ops.add_layer_norm(*(Tensor(up(a)) for a in (x, y, w, w))).data
    np.testing.assert_array_equal(down(got), ops.add_layer_norm.raw(x.astype("f"), y, w, w)[0].astype(np.float16))
    assert ops.layer_norm(*(Tensor(up(a)) for a in (np.eye(4, dtype=np.float64), w, w))).dtype == np.float64


# --- optimisers -------------------------------------------------------------------------------------------

def optimised(kind, device, dtype, steps, **options):
    """Parameters and moments after some steps, of which one leaves a parameter out."""
    rng = np.random.default_rng(0)
    sizes = {"w": (33, 7), "bias": (5,), "large": (3, 9001), "one": (1,), "zero": (4,)}
    values = {name: rng.standard_normal(shape).astype(dtype) * (name != "zero") for name, shape in sizes.items()}
    send = up if device == "gpu" else np.array
    parameters = {name: Parameter(a.copy()) for name, a in values.items()}
    for name, p in parameters.items():
        p.data = send(values[name])
    optimizer = kind(parameters.items(), lr=0.01, **options)
    for step in range(steps):
        g = {name: rng.standard_normal(shape).astype(dtype) for name, shape in sizes.items()}
        optimizer.step({name: send(a) for name, a in g.items() if (step, name) != (1, "w")}, lr=0.01 * (step + 1))
    state = optimizer.state_dict()
    return {**{name: on_device.down(p.data) if device == "gpu" else p.data for name, p in parameters.items()},
            **{name: a if isinstance(a, np.ndarray) else a.get() for name, a in state.items()}}


@both
@pytest.mark.parametrize("kind", [AdamW, LAMB])
@pytest.mark.parametrize("options", [{}, {"bias_correction": True}, {"weight_decay": 0, "betas": (0, 0.9), "eps": 1}])
def test_optimisers(kind, options, dtype):
    got, want = (optimised(kind, device, dtype, 3, **options) for device in ("gpu", "cpu"))
    assert list(got) == list(want)
    for name, a in want.items():
        assert got[name].dtype == a.dtype
        np.testing.assert_allclose(got[name], a, rtol=20 * TOLERANCE[dtype], atol=TOLERANCE[dtype])
    again = optimised(kind, "gpu", dtype, 3, **options)
    for name, a in got.items():
        np.testing.assert_array_equal(again[name], a)


@pytest.mark.parametrize("kind, launches", [(AdamW, 1), (LAMB, 3)])
def test_a_step_of_an_optimiser_is_so_many_launches_and_the_table_goes_up_once(kind, launches, cupy, request):
    counts = (on_device.library(request.config) or (cupy, fakecupy.counts))[1]
    p = {str(i): Parameter(np.ones(i + 1, np.float32)) for i in range(30)}
    for parameter in p.values():
        parameter.data = up(parameter.data)
    optimizer, gradients = kind(p.items(), lr=0.1), {name: up(np.ones(q.shape, np.float32)) for name, q in p.items()}
    optimizer.step(gradients)
    before = dict(counts)
    optimizer.step(gradients)
    assert counts["launch"] - before["launch"] == launches
    assert (counts["h2d"], counts["d2h"], counts["sync"]) == (before["h2d"], before["d2h"], before["sync"])
    optimizer.step({**gradients, "0": up(np.ones(1, np.float32))})         # another address
    assert counts["h2d"] == before["h2d"] + 2
    with use_kernels(False):
        optimizer.step(gradients)
    assert counts["launch"] - before["launch"] > 2 * launches + 30


@pytest.mark.parametrize("kind", [AdamW, LAMB])
def test_parameters_of_two_precisions_are_updated_one_by_one(kind):
    p = {"a": Parameter(np.ones(3, np.float32)), "b": Parameter(np.ones(3, np.float64))}
    for q in p.values():
        q.data = up(q.data)
    kind(p.items(), lr=0.1).step({name: up(np.ones(3, q.dtype)) for name, q in p.items()})
    assert all(abs(down(q.data) - 1).min() > 1e-3 for q in p.values())


@pytest.mark.parametrize("count", [1, 3, 128, 129, 300])
@pytest.mark.parametrize("kind", ["float32", "float16"])
def test_any_number_of_arrays_is_collected(count, kind):
    rng = np.random.default_rng(count)
    arrays = [None if rng.random() < 0.2 else rng.standard_normal((int(rng.integers(0, 4)), 3)).astype("f") for _ in range(count)]
    sizes = [7 if a is None else a.size for a in arrays]
    bounds, flat = np.cumsum([0] + sizes).tolist(), up(np.full(sum(sizes), 5.0, kind))
    pieces = [np.zeros(n, "f") if a is None else a.reshape(-1) for a, n in zip(arrays, sizes)]
    want = np.concatenate(pieces).astype(kind)
    there = [up(a) if i % 2 or a is None else up(np.asfortranarray(a)) for i, a in enumerate(arrays)]
    KERNELS["collect", "cupy"](there, flat, bounds)
    np.testing.assert_array_equal(down(flat), want)
    KERNELS["collect", "cupy"](there, flat, bounds, add=True)
    np.testing.assert_array_equal(down(flat), want + want)


# --- mistakes ---------------------------------------------------------------------------------------------

def assert_adds_up(rng):
    """Three partial sums of the same gradient, at the end."""
    partials = rng.standard_normal((3, 20, 5)).astype("f")
    later = gpu_later.LaterSums()
    need = Sum(up(np.zeros(5, "f")), False, later)
    for partial in partials:
        later.take(up(partial), (need,))
    later.run()
    np.testing.assert_allclose(down(need), partials.sum(axis=(0, 1)), rtol=1e-5)


def without_barrier(source, number):
    """`source` with its n-th __syncthreads() taken out, or none."""
    if number is None:
        return source
    parts = source.split("__syncthreads();")
    return "__syncthreads();".join(parts[:number]) + ";" + "__syncthreads();".join(parts[number:])


@pytest.mark.parametrize("file, barrier", [("norm", 1), ("norm", 2), ("norm", 3), ("norm", 7), ("softmax", 4), ("softmax", 5),
                                           ("sums", 1), ("sums", 2)])
def test_a_barrier_that_is_missing_is_noticed(file, barrier, monkeypatch, request):
    """The third of block_max is left out: it protects a second call, which no kernel makes."""
    if request.config.getoption("--backend") in on_device.REAL:
        pytest.skip("the stand-in shows it")
    real, rng = gpu_launch.source, np.random.default_rng(0)
    assert [real(f, "float32").count("__syncthreads();") for f in ("norm", "softmax", "sums")] == [7, 6, 2]
    x, w = rng.standard_normal((17, 70)), rng.standard_normal((2, 70))
    q = 40 * rng.standard_normal((1, 70, 3))     # exp of such scores overflows, unless the largest was found

    def check():
        forget_modules()
        assert_same("layer_norm", [x, *w], {"eps": 1e-5}, rng)
        assert_same("attention", [q, q, q, None], {"num_heads": 1}, rng)
        assert_adds_up(rng)
    check()
    mistaken = {file: barrier}
    monkeypatch.setattr(gpu_launch, "source", lambda f, dtype: without_barrier(real(f, dtype), mistaken.get(f)))
    noticed = []
    for flags in ((), ("-DCUDACPU_REVERSED",)):                # one of the orders shows it
        stand_in(monkeypatch, *flags)
        try:
            check()
        except AssertionError as error:
            noticed.append(error)
    assert noticed


def test_arguments_that_a_gpu_would_misread_are_refused(request):
    if request.config.getoption("--backend") in on_device.REAL:
        pytest.skip("the stand-in checks them")
    x, y, dtype = up(np.ones(4, np.float32)), up(np.ones(4, np.float32)), np.dtype(np.float32)
    good = [x, y, 4, 4, 1.0, 0, 0, 0, 0]
    gpu_launch.launch("dropout", "dropout", dtype, 1, 32, *good)
    for place, wrong in ((4, 1), (2, 4.0), (2, np.int32(4)), (4, np.float32(1)), (0, np.ones(4)), (0, up(np.ones(4))), (0, y[::2])):
        with pytest.raises(AssertionError, match="was given"):
            gpu_launch.launch("dropout", "dropout", dtype, 1, 32, *good[:place], wrong, *good[place + 1:])
    with pytest.raises(AssertionError, match="takes 9"):
        gpu_launch.launch("dropout", "dropout", dtype, 1, 32, *good[:-1])


# --- for a GPU --------------------------------------------------------------------------------------------

def nvrtc():
    """NVIDIA's compiler as a library, from the wheel nvidia-cuda-nvrtc or the system, or None."""
    found = [p for folder in map(Path, sys.path) for p in sorted(folder.glob("nvidia/*/lib/libnvrtc.so.*"))
             if "builtins" not in p.name]
    try:
        return ctypes.CDLL(str(found[0]) if found else "libnvrtc.so")
    except OSError:
        return None


def compile_with_nvrtc(library, source, gpu):
    """Machine code for `gpu` (sm_80, sm_90); the compiler's message as a RuntimeError."""
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    assert not library.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernels.cu", 0, None, None)
    given = [f"--gpu-architecture={gpu}", "--std=c++17", *hostcupy._cuda_headers()]
    options = (ctypes.c_char_p * len(given))(*(option.encode() for option in given))
    failed = library.nvrtcCompileProgram(program, len(given), options)
    what = "ProgramLog" if failed else "CUBIN"
    assert not getattr(library, f"nvrtcGet{what}Size")(program, ctypes.byref(size))
    text = ctypes.create_string_buffer(size.value)
    assert not getattr(library, f"nvrtcGet{what}")(program, text)
    library.nvrtcDestroyProgram(ctypes.byref(program))
    if failed:
        raise RuntimeError(text.value.decode())
    return text.raw


def compile_with_nvcc(source, gpu, folder):
    (folder / "kernels.cu").write_text(source)
    done = subprocess.run(["nvcc", "-cubin", f"-arch={gpu}", "-Werror", "all-warnings", "-o", folder / "kernels.cubin",
                           folder / "kernels.cu"], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)
    return (folder / "kernels.cubin").read_bytes()


@pytest.fixture
def compile_for(tmp_path, request):
    if request.getfixturevalue("cupy") is not None and "reversed" in request.node.name:
        pytest.skip("compiled once")
    library = nvrtc()
    if library:
        return functools.partial(compile_with_nvrtc, library)
    if shutil.which("nvcc"):
        return functools.partial(compile_with_nvcc, folder=tmp_path)
    pytest.skip("needs NVIDIA's compiler: pip install nvidia-cuda-nvrtc, or nvcc on the PATH")


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("gpu", ["sm_80", "sm_90"])
def test_every_kernel_compiles_for_a_gpu(file, gpu, compile_for):
    names = [name for name in fakecupy.RawModule(code=gpu_launch.source(file, "float32")).signatures]
    for dtype in gpu_launch.TYPES:
        if "16" in dtype and not (hostcupy._cuda_headers() or shutil.which("nvcc")):
            pytest.skip("16 bits need CUDA's headers: pip install nvidia-cuda-runtime")
        code = compile_for(gpu_launch.source(file, dtype), gpu)
        assert code[:4] == b"\x7fELF" and all(name.encode() in code for name in names)


def test_a_typing_error_is_found_by_the_compiler(compile_for):
    with pytest.raises(RuntimeError, match="blockSum"):
        compile_for(gpu_launch.source("norm", "float32").replace("= block_sum(sum)", "= blockSum(sum)"), "sm_80")
