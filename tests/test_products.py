"""The libraries behind the door of products: each gives what NumPy gives, whatever the shape, type and layout; what is missing or broken is said."""

import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import CASES, lay_out, seeds

from tinyalbert import products
from tinyalbert.errors import UserError
from tinyalbert.modes import use_one_thread, use_precision, use_products
from tinyalbert.nn import Parameter
from tinyalbert.ops import gelu
from tinyalbert.precision import Precision
from tinyalbert.products import loading, mkl, onednn, rates
from tinyalbert.products.processor import about, sixteen_bit_units
from tinyalbert.tensor import KERNELS, OPS, call_vjp, unbroadcast

BFLOAT16 = np.dtype(pytest.importorskip("ml_dtypes").bfloat16)
HERE = {name: library for name in products.LIBRARIES if (library := products.find(name)[0])}
each_library = pytest.mark.parametrize("library", HERE.values(), ids=HERE)
EPS = {np.dtype(np.float64): 1e-13, np.dtype(np.float32): 2e-6, BFLOAT16: 2.0**-8}


@pytest.fixture(autouse=True)
def on_numpy(request, monkeypatch):
    if request.config.getoption("--backend") != "numpy":
        pytest.skip("products of the CPU")
    monkeypatch.delenv(products.VARIABLE, raising=False)


@st.composite
def products_of(draw):
    """(a, b, an array for the result, bias or None) of any layout, sizes from 0, up to two leading axes."""
    rng = np.random.default_rng(draw(seeds))
    lead = draw(st.sampled_from([(), (), (2,), (2, 3), (0,)]))
    n, k, m = (draw(st.sampled_from([1, 2, 3, 7, 16, 33, 70, 0])) for _ in range(3))
    kind, into = draw(st.sampled_from([(np.float32,) * 2, (BFLOAT16,) * 2, (BFLOAT16, np.float32), (np.float64,) * 2]))
    a = lay_out(draw, rng.standard_normal((*lead, n, k)).astype(kind))
    b = lay_out(draw, rng.standard_normal((*lead, m, k)).astype(kind)).swapaxes(-1, -2)
    if draw(st.booleans()):                      # as heads are: (..., N, T, D) in memory (..., T, N, D)
        a = np.ascontiguousarray(a.swapaxes(0, -2)).swapaxes(0, -2)
    out = lay_out(draw, np.full((*lead, n, m), 9, into))
    bias = rng.standard_normal(m).astype(np.float32 if kind == BFLOAT16 else kind) if draw(st.booleans()) else None
    return a, b, out, bias


@each_library
@given(case=products_of())
def test_a_product_is_numpys(library, case):
    a, b, out, bias = case
    if a.dtype == np.float64:
        library = products.library_for(a.dtype)  # whatever is chosen
        assert library is products.PLAIN
    before = a.copy(), b.copy()
    want = a.astype(float) @ b.astype(float) + (0 if bias is None else bias)
    size = np.abs(a.astype(float)) @ np.abs(b.astype(float)) + (1 if bias is None else 1 + np.abs(bias))
    assert library.multiply(a, b, out, bias) is out
    error = np.abs(out.astype(float) - want)
    assert (error <= EPS[out.dtype] * size + EPS[np.dtype(np.float32)] * size).all()
    for x, same in zip((a, b), before):
        np.testing.assert_array_equal(x, same)


@each_library
@pytest.mark.parametrize("kind", [np.float32, BFLOAT16], ids=["float32", "bfloat16"])
def test_the_same_bits_every_time_and_in_every_thread(library, kind):
    rng = np.random.default_rng(0)
    cases = [(rng.standard_normal((n, k)).astype(kind), rng.standard_normal((m, k)).astype(kind))
             for n, m, k in [(64, 48, 32), (33, 70, 128), (1, 200, 65)]]

    def work(case):
        a, b = case
        with use_one_thread():
            return library.multiply(a, b.T, np.empty((len(a), len(b)), np.float32))
    want = [work(case) for case in cases]
    with ThreadPoolExecutor(2) as pool:
        for got, expected in zip(pool.map(work, cases * 20), want * 20, strict=True):
            np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("library", [each for each in HERE.values() if each.has_gelu], ids=lambda each: each.name)
@pytest.mark.parametrize("kind", [np.float32, BFLOAT16], ids=["float32", "bfloat16"])
@given(seed=seeds, shape=st.tuples(st.integers(0, 9), st.integers(1, 40)), size=st.sampled_from([0.1, 1.0, 30.0]))
def test_gelu_of_a_library(library, kind, seed, shape, size):
    rng = np.random.default_rng(seed)
    z, g = ((size * rng.standard_normal(shape)).astype(kind) for _ in range(2))
    y, gz = np.empty_like(z), np.empty_like(z)
    library.gelu(z, y)
    library.gelu_gradient(g, z, gz)
    want, vjp = gelu.raw(z.astype(float))
    close = 2 * EPS[np.dtype(kind)]
    np.testing.assert_allclose(y.astype(float), want, rtol=close, atol=close)
    np.testing.assert_allclose(gz.astype(float), vjp(g.astype(float))[0], rtol=4 * close, atol=4 * close * size)


# --- kernels through the door -----------------------------------------------------------------------------

def on_the_cpu(name):
    """A Precision of bf16 whose products a library computes, fast here or not."""
    precision = Precision("bf16-emulated", [("w", Parameter(np.ones((1, 1), np.float32)))])
    precision.products = None if name == "numpy" else HERE[name]
    return precision


@pytest.mark.parametrize("name", sorted(name for name, module in KERNELS if module == "numpy" and name in OPS))
@pytest.mark.parametrize("library", HERE)
@given(data=st.data())
def test_a_kernel_of_16_bits_is_the_plain_op_on_rounded_numbers(name, library, data):
    case = data.draw(CASES[name])
    is_number = [isinstance(a, np.ndarray) and a.dtype.kind == "f" for a in case.arrays]
    first = {"linear": 2, "linear_gelu": 2, "layer_norm": 1, "add_layer_norm": 2}.get(name, 9)   # biases, gains, shifts
    small = [a.astype(np.float32 if i >= first else BFLOAT16) if is_number[i] else a for i, a in enumerate(case.arrays)]
    wide = [a.astype(float) if number else a for a, number in zip(small, is_number)]
    want, plain = OPS[name](*wide, **case.static)
    with use_precision(on_the_cpu(library)):
        out, vjp = KERNELS[name, "numpy"](*small, **case.static)
        assert out.dtype == (np.float32 if name == "cross_entropy" else BFLOAT16)
        g = case.rng.standard_normal(want.shape).astype(out.dtype)
        got = call_vjp(vjp, g, tuple(is_number))
        again = call_vjp(KERNELS[name, "numpy"](*small, **case.static)[1], g, tuple(is_number))
    size = max(1.0, float(abs(want).max(initial=0)))
    np.testing.assert_allclose(out.astype(float), want, rtol=0, atol=0.03 * size)
    expected = call_vjp(plain, g.astype(float), tuple(is_number))
    largest = max([size, *(float(abs(d).max(initial=0)) for d in expected if d is not None)])
    for a, d, e, f in zip(case.arrays, expected, got, again):
        assert (d is None) == (e is None)
        if d is not None:
            np.testing.assert_allclose(unbroadcast(e, a.shape).astype(float), unbroadcast(d, a.shape), rtol=0, atol=0.05 * largest)
            np.testing.assert_array_equal(e, f)


@pytest.mark.parametrize("library", HERE)
@given(data=st.data(), seed=seeds, shape=st.lists(st.integers(0, 40), min_size=1, max_size=3))
def test_gradients_of_16_bits_are_added_as_ml_dtypes_adds_them(library, data, seed, shape):
    rng = np.random.default_rng(seed)
    a, b = (lay_out(data.draw, rng.standard_normal(shape).astype(BFLOAT16)) for _ in range(2))
    want, own = a + b, a.copy()
    with use_precision(on_the_cpu(library)):
        new, same = KERNELS["added", "numpy"](a, b), KERNELS["added", "numpy"](own, b, own)
    assert same is own
    for got in (new, same):
        assert got.dtype == BFLOAT16
        np.testing.assert_array_equal(got.astype(np.float32), want.astype(np.float32))


@each_library
@pytest.mark.parametrize("bits", [0x7FC00000, 0x7F800000, 0xFF800000, 0x7F7FFFFF, 0x3F808000, 0x3F818000, 0x3F808001, 0x80000000])
def test_rounding_to_16_bits_is_to_the_nearest_even(library, bits):
    x = np.full((2, 3), bits, np.uint32).view(np.float32)
    out = np.zeros((2, 3), BFLOAT16)
    library.round_to(x, out)
    np.testing.assert_array_equal(out.astype(np.float32), x.astype(BFLOAT16).astype(np.float32))


@pytest.mark.parametrize("name", HERE)
def test_other_limits_of_threads_do_not_reach_a_thread_that_may_start_none(name):
    from threadpoolctl import threadpool_limits
    a, b = np.ones((64, 64), np.float32), np.ones((64, 64), np.float32)
    with use_one_thread():
        want = HERE[name].multiply(a, b, np.empty((64, 64), np.float32))
        with threadpool_limits(2):
            pass
        np.testing.assert_array_equal(HERE[name].multiply(a, b, np.empty((64, 64), np.float32)), want)
        if name == "onednn":
            assert HERE[name].openmp.omp_get_max_threads() == 1


# --- which library is taken -------------------------------------------------------------------------------

def test_numpy_multiplies_unless_another_is_named(monkeypatch):
    single = np.dtype(np.float32)
    assert products.library_for(single) is products.PLAIN
    for name, library in HERE.items():
        monkeypatch.setenv(products.VARIABLE, name)
        assert products.library_for(single).name == library.name == name
        with use_products("numpy"):
            assert products.library_for(single).name == "numpy"
        assert products.library_for(np.dtype(np.float64)) is products.PLAIN
    monkeypatch.setenv(products.VARIABLE, "cublas")
    with pytest.raises(UserError, match="TINYALBERT_PRODUCTS is 'cublas'; expected one of numpy, onednn, mkl"):
        products.library_for(single)


@pytest.fixture
def elsewhere(monkeypatch, tmp_path):
    """An environment without libraries, whose `lib` folder is returned; nothing found before is remembered."""
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr(loading.site, "getuserbase", lambda: str(tmp_path))
    for module in (onednn, mkl):
        monkeypatch.setattr(module, "FILES", ("libno_such_library.so",))
    forget()
    yield tmp_path / "lib"
    forget()


def forget():
    products.find.cache_clear()
    products._usable.cache_clear()


@pytest.mark.parametrize("name", ["onednn", "mkl"])
def test_a_missing_or_broken_library_is_said_and_numpy_multiplies(name, elsewhere, monkeypatch):
    monkeypatch.setenv(products.VARIABLE, name)
    with pytest.warns(UserWarning, match=rf"not installed \(pip install 'tinyalbert\[{name}\]'\); NumPy multiplies instead"):
        assert products.library_for(np.dtype(np.float32)) is products.PLAIN
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert products.library_for(np.dtype(np.float32)) is products.PLAIN      # said once
    monkeypatch.setattr(loading.platform, "machine", lambda: "aarch64")
    forget()
    assert f"not installed, and the extra {name!r} has none for this system" in products.find(name)[1]
    elsewhere.mkdir()
    (elsewhere / "libno_such_library.so").write_bytes(b"no library")
    forget()
    assert "is installed but can't be loaded" in products.find(name)[1]


def test_a_library_that_multiplies_wrongly_is_not_used():
    class Wrong(products.Plain):
        name = "wrong"

        def multiply(self, a, b, out, bias=None):
            out[...] = 1
            return out
    with pytest.raises(products.Unusable, match="wrong is installed, but a test product was wrong"):
        products.check_right(Wrong())


def test_why_there_are_no_products_of_16_bits(elsewhere, monkeypatch):
    monkeypatch.setattr(products, "sixteen_bit_units", lambda: [])
    with pytest.raises(products.Unusable, match="this processor has neither AMX nor AVX512-BF16$"):
        products.sixteen_bits()
    monkeypatch.setattr(products, "sixteen_bit_units", lambda: ["AMX", "AVX512-BF16"])
    with pytest.raises(products.Unusable, match=r"has AMX, but .*tinyalbert\[onednn\].*tinyalbert\[mkl\]"):
        products.sixteen_bits()
    monkeypatch.setenv(products.VARIABLE, "numpy")
    with pytest.raises(products.Unusable, match="numpy has no fast products of 16 bits on this processor"):
        products.sixteen_bits()


@pytest.mark.parametrize(("text", "units"), [
    ("model name\t: A\nflags\t\t: fpu avx512_bf16 amx_bf16\n\nflags : none\n", ["AMX", "AVX512-BF16"]),
    ("model name\t: B\nflags\t\t: fpu avx2\n", []), ("processor\t: 0\nFeatures\t: fp asimd bf16\n", []), ("", [])])
def test_what_a_processor_says(text, units, tmp_path, monkeypatch):
    (tmp_path / "cpuinfo").write_text(text)
    found = about(str(tmp_path / "cpuinfo"))
    monkeypatch.setattr(products.processor, "about", lambda: found)
    assert sixteen_bit_units() == units
    assert about(str(tmp_path / "missing")) == {}


def test_the_rates_are_those_of_what_is_here(monkeypatch):
    monkeypatch.setattr(rates, "SHAPE", (512, 512, 64))
    monkeypatch.setattr(rates.rate, "__defaults__", ("float32", 0.001))
    found = rates.rates()
    assert {name for name, kind in found if kind == "float32"} == set(HERE) and min(found.values()) > 0
    assert rates.rate("numpy", seconds=0.001) > 0
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    monkeypatch.delenv("OPENBLAS_L2_SIZE", raising=False)
    assert rates.rate_without_settings() is None
