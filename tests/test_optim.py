"""Optimisers against their definitions, against Google's numbers and against independent implementations."""

import math
import sys

import fakecupy
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyalbert import (
    LAMB,
    AdamW,
    AlbertConfig,
    AlbertForPreTraining,
    Muon,
    UserError,
    backend,
    ops,
    optim,
)
from tinyalbert.modes import use_kernels
from tinyalbert.nn import Parameter
from tinyalbert.optim import (
    adamw_step,
    clip_by_global_norm,
    freeze,
    google_schedule,
    lamb_step,
    linear_warmup_decay,
    muon_step,
    orthogonalised,
    sqrt_scaled_lr,
    unscale,
)
from tinyalbert.tensor import KERNELS, backward

seeds = st.integers(0, 2**32 - 1)
KINDS = {"adamw": (AdamW, adamw_step), "lamb": (LAMB, lamb_step)}
CLASSES = {"adamw": AdamW, "lamb": LAMB, "muon": Muon}
SHAPES = {"encoder.weight": (7, 5), "encoder.bias": (7,), "LayerNorm.weight": (4,), "table": (3, 2, 2), "scalar": ()}


def draw(rng, dtype=np.float64, shapes=SHAPES):
    return {name: np.asarray(rng.standard_normal(shape), dtype=dtype) for name, shape in shapes.items()}


def parameters(arrays):
    return {name: Parameter(a.copy()) for name, a in arrays.items()}


# --- Google's numbers ---------------------------------------------------------------------------------------

def test_lamb_takes_the_steps_of_google_research():
    """Two steps of lamb_optimizer.py at lr 0.01, decay 0.01: the matrix decays and is adapted, the bias not."""
    p = parameters({"dense/W": np.array([[.5, -.25], [1, .75]]), "bias": np.array([0, .1])})
    g = {"dense/W": np.array([[.1, -.2], [.3, .05]]), "bias": np.array([.2, -.1])}
    optimizer = LAMB(p.items(), lr=0.01)
    optimizer.step(g)
    np.testing.assert_allclose(p["dense/W"].data, [[.4931562628, -.2431605862], [.9931440152, .7431530186]], atol=1e-10)
    np.testing.assert_allclose(p["bias"].data, [-.0316177774, .1316127798], atol=1e-10)
    optimizer.step(g)
    np.testing.assert_allclose(p["dense/W"].data, [[.4863742554, -.2363818073], [.9863530259, .7363685396]], atol=1e-10)


def test_the_direction_and_the_ratio_of_google_research():
    w, g = np.array([[.5, -.25], [1, .75]]), np.array([[.1, -.2], [.3, .05]])
    m = v = np.zeros_like(w)
    for expected, expected_ratio in (([[3.1662779763, -3.1642777392], [3.1719443620, 3.1677789243]], .2161445463),
                                     ([[4.2535729879, -4.2515481094], [4.2592063267, 4.2551231177]], .1594426021)):
        u, _, _ = optim.adam_direction(w, g, m, v)
        np.testing.assert_allclose(u, expected, atol=1e-9)
        np.testing.assert_allclose(np.linalg.norm(w) / np.linalg.norm(u), expected_ratio, atol=1e-9)
        w, m, v = lamb_step(w, g, m, v, lr=0.01)


def test_adamw_reaches_the_target_of_google_research():
    """optimization_test.py: least squares, 100 steps at 0.2 without decay."""
    p = {"w": Parameter(np.array([.1, -.2, -.1]))}
    target, optimizer = np.array([.4, .2, -.5]), AdamW(p.items(), lr=0.2, weight_decay=0.0)
    for _ in range(100):
        optimizer.step({"w": 2 / 3 * (p["w"].data - target)})
    np.testing.assert_allclose(p["w"].data, target, atol=1e-2)


# --- the definitions and independent implementations --------------------------------------------------------

@pytest.mark.parametrize("kind", KINDS)
@given(seed=seeds, steps=st.integers(1, 4), decay=st.sampled_from([0.0, 0.01, 0.3]), corrected=st.booleans())
def test_the_blocked_optimiser_is_its_definition(kind, seed, steps, decay, corrected):
    rng = np.random.default_rng(seed)
    cls, definition = KINDS[kind]
    expected = draw(rng)
    expected["big"] = rng.standard_normal(2 * optim.BLOCK + 17)                  # more than one block
    p, moments = parameters(expected), {name: (0.0 * a, 0.0 * a) for name, a in expected.items()}
    optimizer = cls(p.items(), lr=0.1, betas=(0.8, 0.9), weight_decay=decay, bias_correction=corrected)
    for t in range(1, steps + 1):
        g = {name: rng.standard_normal(a.shape) for name, a in expected.items()}
        before = {name: a.copy() for name, a in g.items()}
        optimizer.step(g)
        for name, w in expected.items():
            excluded = "bias" in name or "LayerNorm" in name
            step = adamw_step if excluded else definition
            expected[name], *moments[name] = step(
                w, g[name], *moments[name], lr=0.1, betas=(0.8, 0.9), decay=0.0 if excluded else decay,
                corrections=(1 - 0.8 ** t, 1 - 0.9 ** t) if corrected else (1.0, 1.0))
            np.testing.assert_allclose(p[name].data, expected[name], rtol=1e-11, atol=1e-13)
            np.testing.assert_array_equal(g[name], before[name])                # gradients are the caller's


def plain_lamb(w, gradients, lr, decay):
    """LAMB in loops over Python floats, written from You et al. 2020 alone."""
    w, m, v = list(w), [0.0] * len(w), [0.0] * len(w)
    for g in gradients:
        u = []
        for i in range(len(w)):
            m[i] += 0.1 * (g[i] - m[i])
            v[i] += 0.001 * (g[i] ** 2 - v[i])
            u.append(m[i] / (math.sqrt(v[i]) + 1e-6) + decay * w[i])
        trust = math.hypot(*w) / math.hypot(*u)
        w = [wi - lr * trust * ui for wi, ui in zip(w, u)]
    return w


@given(seed=seeds, size=st.integers(1, 9), steps=st.integers(1, 5))
def test_lamb_against_plain_loops(seed, size, steps):
    rng = np.random.default_rng(seed)
    w, gradients = rng.standard_normal(size), rng.standard_normal((steps, size))
    p = {"w": Parameter(w.copy())}
    optimizer = LAMB(p.items(), lr=0.05)
    for g in gradients:
        optimizer.step({"w": g})
    np.testing.assert_allclose(p["w"].data, plain_lamb(w.tolist(), gradients.tolist(), 0.05, 0.01), rtol=1e-9)


@pytest.mark.parity
@pytest.mark.parametrize("seed", range(3))
def test_adamw_with_bias_correction_is_torchs(seed):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(seed)
    arrays = {name: a for name, a in draw(rng).items() if "bias" not in name and "LayerNorm" not in name}
    p = parameters(arrays)
    theirs = {name: torch.nn.Parameter(torch.tensor(a)) for name, a in arrays.items()}
    ours = AdamW(p.items(), lr=0.01, eps=1e-8, weight_decay=0.1, bias_correction=True)
    reference = torch.optim.AdamW(theirs.values(), lr=0.01, eps=1e-8, weight_decay=0.1)
    for _ in range(10):
        g = {name: rng.standard_normal(a.shape) for name, a in arrays.items()}
        for name, t in theirs.items():
            t.grad = torch.tensor(g[name])
        ours.step(g)
        reference.step()
    for name, t in theirs.items():
        np.testing.assert_allclose(p[name].data, t.detach().numpy(), rtol=1e-10, atol=1e-13)


@given(seed=seeds, steps=st.integers(1, 4), decay=st.sampled_from([0.0, 0.3]), momentum=st.sampled_from([0.0, 0.95]))
def test_muon_is_its_definition_between_hidden_states_and_adamw_elsewhere(seed, steps, decay, momentum):
    rng = np.random.default_rng(seed)
    expected = draw(rng, shapes={**SHAPES, "albert.encoder.ffn.weight": (3, 8), "encoder.0.LayerNorm.weight": (4,)})
    hidden = {"encoder.weight", "albert.encoder.ffn.weight"}
    p, moments = parameters(expected), {name: (0.0 * a, 0.0 * a) for name, a in expected.items()}
    optimizer = Muon(p.items(), lr=0.1, momentum=momentum, betas=(0.8, 0.9), weight_decay=decay)
    for _ in range(steps):
        g = {name: rng.standard_normal(a.shape) for name, a in expected.items()}
        optimizer.step(g)
        for name, w in expected.items():
            m, v = moments[name]
            if name in hidden:
                expected[name], m = muon_step(w, g[name], m, 0.1, momentum, decay)
            else:
                excluded = "bias" in name or "LayerNorm" in name
                expected[name], m, v = adamw_step(w, g[name], m, v, lr=0.1, betas=(0.8, 0.9), decay=0.0 if excluded else decay)
            moments[name] = m, v
            np.testing.assert_allclose(p[name].data, expected[name], rtol=1e-10, atol=1e-12)
    assert all(not optimizer.moments[name][1].any() for name in hidden)


@given(seed=seeds, rows=st.integers(1, 12), columns=st.integers(1, 12))
def test_orthogonalised_keeps_the_singular_vectors_and_evens_out_the_values(seed, rows, columns):
    """By the singular value decomposition, which shares nothing with Newton-Schulz."""
    rng = np.random.default_rng(seed)
    u, s, v = np.linalg.svd(rng.standard_normal((rows, columns)), full_matrices=False)
    s = np.maximum(s, 0.05 * np.linalg.norm(s))
    inside = u.T @ orthogonalised(u * s @ v) @ v.T
    values = np.diag(inside)
    np.testing.assert_allclose(inside - np.diag(values), 0, atol=1e-9)
    assert 0.6 < values.min() and values.max() < 1.3


@given(seed=seeds, scale=st.sampled_from([1e-2, 7.0, 1e4]))
def test_muon_sees_neither_the_scale_nor_the_axes_of_a_gradient(seed, scale):
    """Turned on both sides, transposed or multiplied, the gradient gives the same update, turned or transposed."""
    rng = np.random.default_rng(seed)
    g = rng.standard_normal((5, 3))
    left, right = (np.linalg.qr(rng.standard_normal((n, n)))[0] for n in g.shape)
    plain = orthogonalised(g)
    np.testing.assert_allclose(orthogonalised(scale * left @ g @ right), left @ plain @ right, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(orthogonalised(g.T), plain.T, rtol=1e-9, atol=1e-12)
    assert not orthogonalised(0 * g).any()


@given(seed=seeds, rows=st.integers(2, 40), columns=st.integers(2, 40))
def test_a_muon_update_is_about_as_long_as_one_of_adamw(seed, rows, columns):
    """Root mean square 0.2 per number of a square matrix: as AdamW's, whatever the shape."""
    g = np.random.default_rng(seed).standard_normal((rows, columns))
    w, _ = muon_step(0 * g, g, 0 * g, lr=1.0)
    assert 0.1 < np.sqrt((w * w).mean()) < 0.3


# --- what the optimisers mean -------------------------------------------------------------------------------

@given(seed=seeds, scale=st.sampled_from([1e-3, 7.0, 1e4]), steps=st.integers(1, 4))
def test_lamb_does_not_see_the_scale_of_the_gradient(seed, scale, steps):
    rng = np.random.default_rng(seed)
    start, results = draw(rng, shapes={"w": (5, 3)}), []
    gradients = [draw(rng, shapes={"w": (5, 3)}) for _ in range(steps)]
    for factor in (1.0, scale):
        p = parameters(start)
        optimizer = LAMB(p.items(), lr=0.1, eps=1e-30)
        for g in gradients:
            optimizer.step({"w": factor * g["w"]})
        results.append(p["w"].data)
    np.testing.assert_allclose(*results, rtol=1e-9)


@given(seed=seeds, lr=st.floats(1e-4, 0.5))
def test_a_lamb_step_is_as_long_as_lr_times_the_tensor(seed, lr):
    w, g = np.random.default_rng(seed).standard_normal((2, 6, 4))
    p = {"w": Parameter(w.copy())}
    LAMB(p.items(), lr=lr).step({"w": g})
    np.testing.assert_allclose(np.linalg.norm(p["w"].data - w), lr * np.linalg.norm(w), rtol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("w, g", [(0.0, 1.0), (1.0, 0.0), (0.0, 0.0)])
def test_lamb_with_an_empty_norm_takes_the_plain_step(kind, w, g):
    w, g = np.full((2, 2), w, np.float32), np.full((2, 2), g, np.float32)
    plain = w - 0.1 * (0.1 * g) / (math.sqrt(0.001) * g + 1e-6)
    p = {"w": Parameter(w.copy())}
    KINDS[kind][0](p.items(), lr=0.1, weight_decay=0.0).step({"w": g})
    np.testing.assert_allclose(p["w"].data, plain, rtol=1e-5)
    np.testing.assert_allclose(KINDS[kind][1](w, g, 0 * w, 0 * w, lr=0.1, decay=0.0)[0], plain, rtol=1e-5)


@pytest.mark.parametrize("kind", CLASSES)
def test_what_decays(kind):
    """Without gradients that move anything, decay alone changes weights, tables and W, no bias and no norm."""
    config = AlbertConfig(vocab_size=20, embedding_size=4, hidden_size=8, num_attention_heads=2, intermediate_size=8,
                          num_hidden_layers=2, max_position_embeddings=8)
    named = dict(AlbertForPreTraining(config).named_parameters())
    named |= {"W": Parameter(np.ones((2, 2))), "b": Parameter(np.ones(2))}
    for p in named.values():
        p.data = p.data + 1.0
    before = {name: p.data.copy() for name, p in named.items()}
    CLASSES[kind](named.items(), lr=0.1).step({name: np.zeros_like(p.data) for name, p in named.items()})
    decayed = {name for name, p in named.items() if not np.array_equal(p.data, before[name])}
    assert decayed == {name for name in named if not (name.endswith("bias") or "ayer_norm" in name
                                                      or "LayerNorm" in name or name == "b")}
    assert {"W", "albert.embeddings.position_embeddings.weight", "albert.pooler.weight"} <= decayed
    assert not {"b", "predictions.bias",
                "albert.encoder.albert_layer_groups.0.albert_layers.0.full_layer_layer_norm.weight"} & decayed


@pytest.mark.parametrize("kind", CLASSES)
def test_without_a_gradient_nothing_changes(kind):
    p = parameters(draw(np.random.default_rng(0)))
    optimizer = CLASSES[kind](p.items(), lr=0.1)
    before = {name: q.data.copy() for name, q in p.items()}
    optimizer.step({"table": np.ones(SHAPES["table"])})
    assert [name for name in p if not np.array_equal(p[name].data, before[name])] == ["table"]
    assert set(optimizer.state_dict()) == {"table/adam_m", "table/adam_v", "global_step"}


@pytest.mark.parametrize("kind", CLASSES)
def test_a_step_that_is_not_finite_changes_neither_parameters_nor_moments(kind):
    """Whether it is, is a number on the device: nobody waits for it."""
    rng = np.random.default_rng(0)
    start, gradients = draw(rng), [draw(rng), draw(rng)]
    ends = []
    for finite in (None, np.array(1.0), np.array(0.0)):
        p = parameters(start)
        optimizer = CLASSES[kind](p.items(), lr=0.1)
        optimizer.step(gradients[0])
        once = [a.copy() for name in p for a in (p[name].data, *optimizer.moments[name])]
        optimizer.step(gradients[1], finite=finite)
        ends.append([a for name in p for a in (p[name].data, *optimizer.moments[name])])
    for before, plain, good, bad in zip(once, *ends):
        np.testing.assert_array_equal(good, plain)
        np.testing.assert_array_equal(bad, before)


@pytest.mark.parametrize("kind", KINDS)
def test_a_kernel_takes_the_step_unless_kernels_are_off(kind, monkeypatch):
    """One for this optimiser and this array module; it gets all parameters at once."""
    p, calls = parameters(draw(np.random.default_rng(0))), []
    monkeypatch.setitem(KERNELS, (KINDS[kind][0].__name__, "numpy"), lambda self, arrays, lr, finite: calls.append([*arrays]))
    optimizer = KINDS[kind][0](p.items(), lr=0.1)
    for on in (True, False):
        with use_kernels(on):
            before = {name: q.data.copy() for name, q in p.items()}
            optimizer.step({name: np.ones(shape) for name, shape in SHAPES.items()})
        assert all(np.array_equal(p[name].data, before[name]) == on for name in p)
    assert calls == [list(SHAPES)]


def changed_update(self, name, w, g, m, v, lr):
    w -= lr


CHANGES = {                                      # a subclass, and whether the kernel still computes what it does
    "nothing": ({}, True), "a method beside the rule": ({"state_dict": lambda self: {}}, True),
    "_update": ({"_update": changed_update}, False), "_direction": ({"_direction": lambda *_: 0.0}, False),
    "_add_to_moments": ({"_add_to_moments": lambda *_: None}, False),
    "update_each": ({"update_each": lambda *_: None}, False),
    "_update, with a kernel of its own": ({"_update": changed_update, "kernel": "Mine"}, True)}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_subclass_has_the_kernel_of_its_parent_unless_it_changes_the_rule(kind, change, monkeypatch):
    methods, keeps = CHANGES[change]
    parent = KINDS[kind][0]
    child = type("Mine", (parent,), methods)
    mixed = type("Mixed", (type("Mixin", (), methods), parent), {})       # the same, from a class beside the parent
    grandchild = type("Grandchild", (child,), {})
    calls = []
    for name in (parent.__name__, "Mine"):
        monkeypatch.setitem(KERNELS, (name, "numpy"), lambda self, *_: calls.append(self.kernel))
    for cls in (child, mixed, grandchild):
        calls.clear()
        p = parameters(draw(np.random.default_rng(0)))
        cls(p.items(), lr=0.1).step({name: np.ones(shape) for name, shape in SHAPES.items()})
        assert calls == ([methods.get("kernel", parent.__name__)] if keeps else [])
    assert parent.kernel == parent.__name__      # and the parent keeps its own


def test_a_changed_rule_takes_the_step():
    p = parameters(draw(np.random.default_rng(0)))
    before = {name: q.data.copy() for name, q in p.items()}
    child = type("Mine", (AdamW,), {"_update": changed_update})
    child(p.items(), lr=0.5).step({name: np.ones(shape) for name, shape in SHAPES.items()})
    for name, q in p.items():
        np.testing.assert_array_equal(q.data, before[name] - 0.5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_rate_of_zero_fills_the_moments_only(kind):
    """The first step of Google's schedule."""
    p = parameters(draw(np.random.default_rng(0)))
    before = {name: q.data.copy() for name, q in p.items()}
    optimizer = KINDS[kind][0](p.items(), lr=1.0)
    optimizer.step({name: np.ones(shape) for name, shape in SHAPES.items()}, lr=0.0)
    for name in p:
        np.testing.assert_array_equal(p[name].data, before[name])
        np.testing.assert_allclose(optimizer.moments[name][0], 0.1)
        np.testing.assert_allclose(optimizer.moments[name][1], 0.001)


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(seed=seeds)
def test_in_place_and_in_the_parameters_precision(kind, dtype, seed):
    rng = np.random.default_rng(seed)
    p, strided = parameters(draw(rng, dtype)), Parameter(np.zeros((3, 4), dtype).T)
    arrays = {name: q.data for name, q in p.items()}
    optimizer = CLASSES[kind]([*p.items(), ("strided", strided)], lr=0.1)
    for _ in range(2):
        optimizer.step({**draw(rng, dtype), "strided": np.ones((3, 4), dtype).T})
    assert all(p[name].data is arrays[name] for name in p)
    assert all(a.dtype == dtype for pair in optimizer.moments.values() for a in (*pair, strided.data))
    assert (strided.data != 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_of_the_models_size_is_allocated(kind):
    import tracemalloc
    n = 40 * optim.BLOCK
    p, g = {"w": Parameter(np.ones(n, np.float32))}, {"w": np.ones(n, np.float32)}
    optimizer = KINDS[kind][0](p.items(), lr=0.1)
    optimizer.load_state_dict({"w/adam_m": g["w"], "w/adam_v": g["w"], "global_step": np.array(1)})
    tracemalloc.start()
    optimizer.step(g)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2.5 * 4 * optim.BLOCK                # bytes: the two blocks of scratch, of which n has forty


@pytest.mark.parametrize("kind", CLASSES)
@given(seed=seeds, before=st.integers(0, 3), after=st.integers(1, 3), corrected=st.booleans())
def test_state_round_trip(kind, seed, before, after, corrected):
    """Saved after some steps and loaded into a new optimiser: the same bits as without the interruption."""
    rng = np.random.default_rng(seed)
    p = parameters(draw(rng, np.float32))
    def new(q):
        return CLASSES[kind](q.items(), lr=0.1, bias_correction=corrected)
    optimizer = new(p)
    for _ in range(before):
        optimizer.step(draw(rng, np.float32))
    saved = {name: a.copy() for name, a in optimizer.state_dict().items()}
    q = parameters({name: a.data for name, a in p.items()})
    resumed = new(q)
    resumed.load_state_dict(saved)
    for _ in range(after):
        g = draw(rng, np.float32)
        optimizer.step(g)
        resumed.step(g)
    assert resumed.steps == optimizer.steps == before + after
    assert all(np.array_equal(p[name].data, q[name].data) for name in p)


def test_a_loaded_state_takes_the_parameters_precision():
    p, state = {"w": Parameter(np.ones(3, np.float32))}, {"w/adam_m": np.ones(3), "w/adam_v": np.ones(3)}
    optimizer = AdamW(p.items(), lr=0.1)
    optimizer.load_state_dict({**state, "global_step": np.array(7)})
    assert [a.dtype for a in optimizer.moments["w"]] == [np.float32] * 2
    assert optimizer.state_dict()["global_step"] == 7 and optimizer.state_dict()["global_step"].dtype == np.int64


def test_gradients_as_backward_returns_them():
    p = {"W": Parameter(np.ones((2, 3))), "b": Parameter(np.zeros(2)), "unused": Parameter(np.ones(2))}
    optimizer = AdamW(p.items(), lr=0.1)
    gradients = backward(ops.linear(np.ones((4, 3)), p["W"], p["b"]).sum())
    optimizer.step(gradients)
    assert (p["W"].data < 1).all() and (p["b"].data < 0).all() and (p["unused"].data == 1).all()


def test_freezing():
    config = AlbertConfig(vocab_size=20, embedding_size=4, hidden_size=8, num_attention_heads=2, intermediate_size=8,
                          num_hidden_layers=2, max_position_embeddings=8)
    model = AlbertForPreTraining(config)
    frozen = freeze(model.named_parameters(), r"albert\.embeddings|predictions\.bias")
    assert len(frozen) == 6 and "albert.embeddings.word_embeddings.weight" in frozen
    loss = model(input_ids=np.ones((2, 4), int), labels=np.ones((2, 4), int), sentence_order_label=np.ones(2, int)).loss
    gradients, named = backward(loss), dict(model.named_parameters())
    assert {name for name in named if named[name] not in gradients} == set(frozen)
    with pytest.raises(UserError, match="no parameter's name matches 'encodr'"):
        freeze(model.named_parameters(), "encodr")


# --- clipping -----------------------------------------------------------------------------------------------

@given(seed=seeds, limit=st.floats(1e-3, 1e3), dtype=st.sampled_from([np.float32, np.float64]))
def test_clipping(seed, limit, dtype):
    rng = np.random.default_rng(seed)
    g = draw(rng, dtype)
    before = {name: a.copy() for name, a in g.items()}
    norm = np.linalg.norm(np.concatenate([a.reshape(-1) for a in g.values()]).astype(float))
    found = clip_by_global_norm(g, limit)
    np.testing.assert_allclose(found, norm, rtol=1e-5)
    for name in g:
        assert g[name].dtype == dtype
        np.testing.assert_allclose(g[name], before[name] / max(1, norm / limit), rtol=1e-5)


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_gradients_that_are_not_finite_are_left_for_the_caller_to_see(bad):
    g = {"a": np.array([1.0, bad]), "b": np.array([3.0])}
    assert not math.isfinite(clip_by_global_norm(g, 1.0))
    assert g["b"] == 3.0
    assert clip_by_global_norm({}, 1.0) == 0.0
    assert clip_by_global_norm({"a": np.full(4, 2.0)}, math.inf) == 4.0


@pytest.fixture
def cupy(monkeypatch):
    """What `pytest --backend` chose, or the stand-in."""
    for name, module in fakecupy.modules().items() if "cupy" not in sys.modules else ():
        monkeypatch.setitem(sys.modules, name, module)
    return sys.modules["cupy"]


@pytest.mark.parametrize("limit", [1.0, 5.0, 100.0, math.inf])
@pytest.mark.parametrize("loss_scale", [None, 1024.0])
def test_clipping_on_a_device(cupy, limit, loss_scale):
    """Without asking for the norm: what is short enough is multiplied by 1.  A loss scale leaves no trace."""
    times = 1.0 if loss_scale is None else cupy.asarray(np.array(loss_scale))
    g = {"a": cupy.asarray(np.full(4, 2.0)) * times, "b": cupy.asarray(np.array([3.0])) * times, "none": None}
    unscale(g, None if loss_scale is None else times)
    assert clip_by_global_norm(g, limit).item() == 5.0
    np.testing.assert_allclose(g["a"].get(), 2.0 * min(1, limit / 5), rtol=1e-15)
    np.testing.assert_allclose(g["b"].get(), 3.0 * min(1, limit / 5), rtol=1e-15)


@pytest.mark.parametrize("shape", [(5, 3), (3, 5)])
def test_muon_on_a_device_is_muon_on_the_host(cupy, shape):
    w, g = np.random.default_rng(0).standard_normal((2, *shape))
    ends = []
    for there in (np.asarray, cupy.asarray):
        p = Parameter(np.zeros(shape))
        p.data = there(w.copy())
        optimizer = Muon([("encoder.weight", p)], lr=0.1)
        for _ in range(2):
            optimizer.step({"encoder.weight": there(g.copy())})
        ends.append(backend.to_host(p.data))
    np.testing.assert_allclose(*ends, rtol=1e-10)


def test_a_device_takes_an_array_in_one_block(cupy):
    for size in (1, 3, 3 * optim.BLOCK):
        assert optim.blocks(cupy.asarray(np.zeros(size))) == [slice(0, size)]
    assert optim.blocks(cupy.asarray(np.zeros(0))) == []


# --- schedules ----------------------------------------------------------------------------------------------

def test_googles_schedule_with_its_jump():
    rates = {s: google_schedule(s, 0.00176, 3125, 125000) for s in (0, 1000, 3124, 3125, 62500, 125000, 130000)}
    expected = {0: 0.0, 1000: 0.0005632, 3124: 0.0017594368, 3125: 0.001716, 62500: 0.00088, 125000: 0.0, 130000: 0.0}
    np.testing.assert_allclose(list(rates.values()), list(expected.values()), atol=1e-15)
    assert google_schedule(1100, 1.0, 200, 10000, start=1000) == 0.5             # a second warm-up
    assert google_schedule(1200, 1.0, 200, 10000, start=1000) == 1 - 0.12
    assert google_schedule(900, 1.0, 200, 10000, start=1000) == 0.0
    assert google_schedule(25, 1.0, 0, 100, power=2.0, end=0.2) == 0.2 + 0.8 * 0.75 ** 2


@given(warmup=st.integers(0, 50), more=st.integers(1, 200), power=st.sampled_from([0.5, 1.0, 2.0]),
       end=st.sampled_from([0.0, 0.1]))
def test_the_continuous_schedule(warmup, more, power, end):
    total = warmup + more
    rates = np.array([linear_warmup_decay(s, 1.0, warmup, total, power, end) for s in range(total + 3)])
    assert rates[:total].min() > 0 and rates.max() == 1.0 == rates[max(warmup - 1, 0)]
    assert (np.diff(rates[:warmup]) > 0).all() and (np.diff(rates[warmup:]) <= 0).all()
    assert (rates[total:] == end).all()
    if power == 1.0 and end == 0.0:                        # what it does unless told otherwise
        assert rates.tolist() == [linear_warmup_decay(s, 1.0, warmup, total) for s in range(total + 3)]
    if power == 1.0:                                       # no jump anywhere
        assert np.abs(np.diff(rates)).max() <= max(1 / max(warmup, 1), 1 / more) + 1e-12


def test_scaling_with_the_batch():
    assert sqrt_scaled_lr(0.00176, 4096) == 0.00176
    assert sqrt_scaled_lr(0.00176, 1024) == 0.00088
    assert sqrt_scaled_lr(1.0, 64, reference_batch=16) == 2.0


# --- bad input ----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("options, message", [
    ({"lr": -1.0}, "lr is -1.0"), ({"eps": 0.0}, "eps is 0.0"), ({"betas": (0.9, 1.0)}, r"betas is \(0.9, 1.0\)"),
    ({"weight_decay": -0.1}, "weight_decay is -0.1"), ({"lr": -1.0, "weight_decay": -0.1}, "lr is -1.0")])
def test_impossible_settings_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        AdamW([], **{"lr": 0.1, **options})


def test_settings_at_their_limits_are_not():
    p = {"w": Parameter(np.ones(3))}
    AdamW(p.items(), lr=0.0, betas=(0.0, 0.0), eps=1e-30, weight_decay=0.0).step({"w": np.array([1.0, -2.0, 3.0])}, lr=0.5)
    np.testing.assert_allclose(p["w"].data, [0.5, 1.5, 0.5])              # without means: the gradient's sign


def test_gradients_and_states_that_do_not_belong_are_refused():
    p = parameters(draw(np.random.default_rng(0)))
    before = {name: q.data.copy() for name, q in p.items()}
    optimizer = AdamW(p.items(), lr=0.1)
    with pytest.raises(UserError, match="a gradient for 'encoder.wieght'"):
        optimizer.step({"table": np.ones(SHAPES["table"]), "encoder.wieght": np.ones((7, 5))})
    with pytest.raises(UserError, match=r"the gradient of table has shape \(3,\); expected \(3, 2, 2\)"):
        optimizer.step({"scalar": np.ones(()), "table": np.ones(3)})
    assert all(np.array_equal(p[name].data, before[name]) for name in p) and optimizer.steps == 0
    good = {"table/adam_m": np.zeros(SHAPES["table"]), "table/adam_v": np.zeros(SHAPES["table"]),
            "global_step": np.array(3)}
    for bad in ({**good, "other/adam_m": np.zeros(2)}, {**good, "table/adam_v": np.zeros(2)},
                {name: a for name, a in good.items() if name != "table/adam_v"},
                {name: a for name, a in good.items() if name != "global_step"}):
        with pytest.raises(UserError, match="not the optimiser's state"):
            optimizer.load_state_dict(bad)
    assert optimizer.steps == 0 and not optimizer.moments
    optimizer.load_state_dict(good)
    assert optimizer.steps == 3


def test_blocks_cover_the_array_once():
    for size in (0, 1, optim.BLOCK, optim.BLOCK + 1, 3 * optim.BLOCK - 1):
        covered = [a for part in optim.blocks(np.zeros(size)) for a in range(*part.indices(size))]
        assert covered == list(range(size))
    assert backend.xp_of(np.zeros(1)) is np
