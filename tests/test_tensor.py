"""The reverse sweep: order, sums over uses, memory, threads, and refusals."""

import contextlib
import threading
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from strategies import seeds

from tinyalbert import ops
from tinyalbert.errors import UserError
from tinyalbert.modes import no_grad, use_kernels
from tinyalbert.tensor import (
    KERNELS,
    OPS,
    Node,
    Sum,
    Tensor,
    backward,
    call_vjp,
    op,
    selective,
    unbroadcast,
)


def leaf(*shape):
    return Tensor(np.random.default_rng(0).standard_normal(shape), True)


def test_a_value_used_twice_is_complete_before_it_is_used():
    a = leaf(3)
    b = a + a
    (b + b).sum().backward()
    np.testing.assert_array_equal(a.grad, 4)


@pytest.mark.parametrize("depth", [1, 3000])
def test_deep_chains(depth):
    a = x = leaf(2)
    for _ in range(depth):
        x = x + 1.0
    x.sum().backward()
    np.testing.assert_array_equal(a.grad, 1)


def test_two_backward_calls_are_exactly_twice():
    a = leaf(4)
    loss = ops.exp(a * a).sum()
    loss.backward(keep_graph=True)
    once = a.grad.copy()
    loss.backward()
    np.testing.assert_array_equal(a.grad, 2 * once)
    with pytest.raises(UserError, match="already differentiated"):
        loss.backward()


def test_the_graph_is_gone_after_one_sweep():
    loss = ops.exp(leaf(3)).sum()
    backward(loss)
    with pytest.raises(UserError, match="already differentiated"):
        backward(loss)


@pytest.mark.parametrize("keep, left", [(False, 0), (True, 6)])
def test_memory_falls_during_the_sweep(keep, left):
    """The first op of the chain, last in the sweep, counts the later results that are still there."""
    a, alive, saved = leaf(5), [], []

    def count(g):
        alive.append(len([r for r in saved if r() is not None]))
        return (g,)
    y = Tensor(a.data, True, Node((a,), count, "count"))
    for _ in range(6):
        y = ops.exp(y * 0.1)
        saved.append(weakref.ref(y.data))
    y = y.sum()
    backward(y, keep_graph=keep)
    assert alive == [left]


def test_no_grad_and_refusals():
    a = leaf(2)
    with no_grad():
        assert not (a * 2.0).requires_grad
    assert (a * 2.0).requires_grad
    with pytest.raises(UserError, match="requires_grad"):
        Tensor(np.ones(1)).backward()
    with pytest.raises(UserError, match="scalar"):
        (a * 2.0).backward()
    with pytest.raises(TypeError, match="in place"):
        a[0] = 1.0


def test_no_grad_belongs_to_one_thread():
    a, seen = leaf(2), []
    with no_grad():
        thread = threading.Thread(target=lambda: seen.append((a * 2.0).requires_grad))
        thread.start()
        thread.join()
    assert seen == [True]


@given(data=st.data(), seed=seeds)
def test_unbroadcast_is_the_transpose_of_broadcasting(data, seed):
    """<unbroadcast(g), x> = <g, broadcast(x)>."""
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=3, max_side=3))
    big = data.draw(hnp.broadcastable_shapes(shape, max_dims=4, max_side=3))
    big = np.broadcast_shapes(shape, big)
    rng = np.random.default_rng(seed)
    x, g = np.asarray(rng.standard_normal(shape)), np.asarray(rng.standard_normal(big))
    down = unbroadcast(g, shape)
    assert down.shape == shape
    np.testing.assert_allclose((down * x).sum(), (g * x).sum(), rtol=1e-9, atol=1e-12)


def test_kernels_are_used_unless_switched_off(monkeypatch):
    monkeypatch.setitem(KERNELS, ("neg", "numpy"), lambda x: (x * 0 + 7, None))
    x, values = Tensor(np.ones(1)), []
    for context in (contextlib.nullcontext(), use_kernels(False), use_kernels(True), contextlib.nullcontext()):
        with context:
            values.append((-x).item())
    assert values == [7, -1, 7, 7]


def test_precision_of_data():
    assert Tensor(1.5).dtype == np.float32 and Tensor([1.0, 2.0]).dtype == np.float32
    assert Tensor(np.ones(2)).dtype == Tensor(np.float64(1)).dtype == np.float64


def test_tensors_are_equal_only_to_themselves_so_they_can_be_keys():
    a, b = leaf(2), leaf(2)
    assert a == a and not a == b and {a: 1, b: 2}[a] == 1
    assert np.asarray(a).dtype == np.float64 and a.__array__(np.float32).dtype == np.float32


def test_gradients_are_never_shared_with_what_was_passed_in():
    a, b = leaf(2), leaf(2)
    grads = backward((a + b + a).sum())
    np.testing.assert_array_equal(grads[a], 2)
    np.testing.assert_array_equal(grads[b], 1)


@pytest.mark.parametrize("add", [False, True])
def test_gradients_of_leaves_are_added_up_where_the_caller_wants_them(add):
    rng = np.random.default_rng(0)
    w, v, unused = (Tensor(rng.standard_normal((3, 3)), requires_grad=True) for _ in range(3))
    x = Tensor(rng.standard_normal((2, 3)))

    def loss():
        return ((x @ w + v[:2]) @ w * w[0]).sum()
    want = backward(loss())
    sums = {p: Sum(np.full((3, 3), 7.0), add) for p in (w, unused)}
    rest = backward(loss(), into=sums)
    assert set(rest) == {v} and sums[w].used and not sums[unused].used
    np.testing.assert_array_equal(rest[v], want[v])
    np.testing.assert_allclose(sums[w].array, want[w] + 7 * add, rtol=1e-12)
    assert (sums[unused].array == 7).all()


def test_what_a_vjp_gives_away_is_added_to_in_place():
    """The first gradient of a Tensor is a Sum; a vjp behind it adds its own to that, or the sweep does."""
    mine = np.zeros(3)

    @op
    def gives(x):
        return x + 0.0, lambda g: (Sum(mine.__iadd__(g)),)

    @op
    def adds(x):
        @selective
        def vjp(g, needs):
            if isinstance(needs[0], Sum):
                needs[0].take(2 * g)
                return (needs[0],)
            return (2 * g,)
        return 2 * x, vjp
    for other, gradient in ((adds, 2), (lambda t: t * 5.0, 5)):
        leaf = Tensor(np.ones(3), requires_grad=True)
        x = leaf + 0.0
        mine[...] = 0
        first = gives(x)
        loss = (other(x) + first).sum()
        np.testing.assert_array_equal(backward(loss)[leaf], np.full(3, 1.0 + gradient))
    for name in ("gives", "adds"):
        del OPS[name]


def test_no_gradient_is_computed_that_nobody_needs():
    x = np.ones((2, 2))
    for name in ("mul", "matmul"):
        _, vjp = OPS[name](x, x)
        assert [g is None for g in call_vjp(vjp, x, (True, False))] == [False, True]
        assert [g is None for g in call_vjp(vjp, x, (False, True))] == [True, False]
    for name in ("linear", "linear_gelu"):
        _, vjp = OPS[name](x, x, x[0])
        for i in range(3):
            needs = tuple(j == i for j in range(3))
            assert tuple(g is not None for g in call_vjp(vjp, x, needs)) == needs
    _, vjp = OPS["add"](x, x)                    # one that doesn't ask
    for g in call_vjp(vjp, x, (True, False)):
        np.testing.assert_array_equal(g, x)


def test_a_selective_vjp_gives_every_gradient_unless_told():
    x = np.ones((2, 2))
    _, vjp = OPS["matmul"](x, x)
    assert isinstance(vjp, selective)
    for got, want in zip(vjp(x), call_vjp(vjp, x, (True, True)), strict=True):
        np.testing.assert_array_equal(got, want)


def broken(message):
    """A function of Tensors whose backward pass fails."""
    def cube_root(x):
        def vjp(g):
            raise ValueError(message)
        return np.cbrt(x), vjp
    return cube_root


def test_an_error_in_a_backward_pass_says_which_op_it_was():
    before = dict(OPS)
    lifted = op(broken("no such slope"))
    OPS.pop("cube_root")
    assert OPS == before
    with pytest.raises(ValueError, match="no such slope") as error:
        (lifted(leaf(2, 3)) * 2.0).sum().backward()
    assert error.value.__notes__ == ["in the backward pass of cube_root, whose output has shape (2, 3)"]


def test_every_tensor_of_an_op_knows_its_name():
    a = leaf(3)
    assert ops.exp(a * 2.0).node.name == "exp" and (a * 2.0).node.name == "mul" and a.node is None


def test_what_an_op_has_no_gradient_for_is_left_out():
    """Numbers of rows are no variables, though somebody declared them so; nor is what they were made from."""
    table, ids = leaf(3, 2), Tensor(np.array([0, 2]), True)
    assert set(backward(ops.embedding(table, ids).sum())) == {table}
    assert set(backward(ops.embedding(table, ids.reshape(1, 2)).sum())) == {table}


def test_only_the_first_sum_of_gradients_makes_an_array():
    """The first may belong to somebody else; the rest are added to the sum in place."""
    calls = []

    class Counted(np.ndarray):
        def __add__(self, other):
            calls.append("+")
            return np.ndarray.__add__(self, other)

        def __iadd__(self, other):
            calls.append("+=")
            return np.ndarray.__iadd__(self, other)
    a = leaf(2)
    same = np.ones(2).view(Counted)
    y = Tensor(np.ones(2), True, Node((a, a, a, a), lambda g: [same] * 4, "four"))
    np.testing.assert_array_equal(backward(y, np.ones(2))[a], [4, 4])
    np.testing.assert_array_equal(same, [1, 1])
    assert calls == ["+", "+=", "+="]


def test_the_values_of_16_bits_come_as_float32():
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    values = Tensor(np.array([1.5, -2.0, 3.0], np.float32).astype(bfloat16)).numpy()
    assert values.dtype == np.float32 and values.tolist() == [1.5, -2.0, 3.0]
    assert Tensor(np.ones(2, np.float16)).numpy().dtype == np.float16
