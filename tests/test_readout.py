"""The fast way through a head model gives what the plain one gives: outputs, losses, every gradient."""

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds
from test_albert import tiny
from test_heads import ALL, make

from tinyalbert import Trainer, UserError, heads, readout
from tinyalbert.albert import PreTrainedModel
from tinyalbert.modes import mode, no_grad, use_kernels, use_readout
from tinyalbert.nn import DropoutRng
from tinyalbert.optim import AdamW
from tinyalbert.tensor import Tensor, backward
from tinyalbert.training.replicas import Threads

MODELS = st.fixed_dictionaries({}, optional={
    "hidden_dropout_prob": st.sampled_from([0.0, 0.2]), "attention_probs_dropout_prob": st.sampled_from([0.0, 0.2]),
    "classifier_dropout_prob": st.sampled_from([0.0, 0.3]), "sop_dropout": st.booleans(), "num_hidden_layers": st.integers(1, 3),
    "num_hidden_groups": st.just(1), "inner_group_num": st.sampled_from([1, 2]), "num_attention_heads": st.sampled_from([1, 2, 8]),
    "hidden_act": st.sampled_from(["gelu_new", "gelu", "relu"]), "sentence_task": st.sampled_from(["sop", "none"]),
    "pre_norm": st.booleans(), "gated_ffn": st.booleans(), "projection_groups": st.sampled_from([1, 2])})
OPTIONS = st.sampled_from([{}, {}, {"output_hidden_states": True}, {"output_attentions": True}])


def values_of(out):
    """{name: array} of everything in an output, lists and dicts of Tensors taken apart."""
    found = {}
    for name in out.keys():
        value = out[name]
        parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, tuple) else [("", value)]
        found |= {f"{name} {part}": t.data for part, t in parts if t is not None}
    return found


@ALL
@given(changes=MODELS, options=OPTIONS, kernels=st.booleans(), training=st.booleans(), labelled=st.booleans(), seed=seeds)
def test_the_fast_way_is_the_plain_way(kind, changes, options, kernels, training, labelled, seed):
    model, b = make(kind, seed, **changes)
    model.train(training)
    if not labelled:
        b = {k: v for k, v in b.items() if "label" not in k and "positions" not in k and k != "weights"}
    results = []
    for fast in (True, False):
        with use_readout(fast), use_kernels(kernels):
            out = model(**b, rng=DropoutRng(seed), **options)
            outputs = values_of(out)
            results.append((outputs, backward(out.loss) if out.loss is not None and out.loss.requires_grad else {}))
    (got, gradients), (want, plain_gradients) = results
    assert got.keys() == want.keys()
    for name in want:
        np.testing.assert_allclose(got[name], want[name], rtol=1e-10, atol=1e-11, err_msg=name)
    for name, p in model.named_parameters():
        assert (p in gradients) == (p in plain_gradients), name
        if p in gradients:
            scale = max(abs(plain_gradients[p]).max(), 1e-3)
            np.testing.assert_allclose(gradients[p], plain_gradients[p], rtol=1e-9, atol=1e-11 * scale, err_msg=name)


@given(seed=seeds)
def test_no_target_at_all(seed):
    """The loss is 0, and so are all gradients, either way."""
    for kind in ("AlbertForPreTraining", "AlbertForMaskedLM"):
        model, b = make(kind, seed)
        b["labels"] = np.full_like(b["labels"], heads.IGNORE)
        for fast in (True, False):
            with use_readout(fast):
                assert model(**b).losses["mlm"].item() == 0


LATE = [("AlbertForPreTraining", "prediction_logits"), ("AlbertForPreTraining", "last_hidden_state"),
        ("AlbertForMaskedLM", "logits"), ("AlbertForMaskedLM", "last_hidden_state")]


@pytest.mark.parametrize("kind, name", LATE)
def test_a_late_value_is_computed_under_the_switches_of_the_call(kind, name):
    model, b = make(kind, 0)
    with no_grad():
        silent = model(**b)
    recorded = model(**b)
    assert not silent[name].requires_grad
    with no_grad():
        assert recorded[name].requires_grad
    assert Tensor(np.ones(1), True).__add__(1).requires_grad     # and the switches here are what they were
    for kernels in (False, True):
        used = []

        def linear(*args, used=used, run=readout.ops.linear.raw, **static):
            used.append(mode.kernels)
            return run(*args, **static)
        with use_kernels(kernels):
            out = model(**b)
        with use_kernels(not kernels), pytest.MonkeyPatch.context() as patch:
            patch.setattr(heads.MaskedLMHead, "forward", lambda self, *a, run=heads.MaskedLMHead.forward: (linear(
                np.ones((1, 1)), np.ones((1, 1)), np.ones(1)), run(self, *a))[1])
            out[name], out[heads_scores(kind)]
            assert mode.kernels is not kernels
        assert used == [kernels]


def heads_scores(kind):
    return getattr(heads, kind).scores


@pytest.mark.parametrize("kind, name", LATE)
def test_a_late_value_does_not_see_that_dropout_was_switched_on(kind, name):
    model, b = make(kind, 0, hidden_dropout_prob=0.5)
    want, out = model.eval()(**b)[name].data, model(**b)
    model.train()
    np.testing.assert_array_equal(out[name].data, want)


def test_a_late_value_is_computed_once_and_an_error_leaves_the_switches_alone():
    calls = []
    model, _ = make("AlbertForMaskedLM", 0)
    out = readout.LateOutput({"late": lambda: calls.append(1) or 7, "bad": lambda: 1 / 0}, model, now=1)
    assert sorted(out.keys()) == ["bad", "late", "now"] and not calls
    assert (out.late, out["late"], len(calls)) == (7, 7, 1)
    with use_kernels(False):
        with pytest.raises(ZeroDivisionError):
            out.bad                                     # noqa: B018
        assert mode.kernels is False
    with pytest.raises(AttributeError, match="no never; it has"):
        out.never                                       # noqa: B018


@pytest.mark.parametrize("change", ["step", "other optimiser", "other weights"])
@pytest.mark.parametrize("kind, name", LATE)
def test_a_late_value_of_weights_that_are_gone_is_refused(kind, name, change):
    """What was read before the step stays, what is first read behind it would belong to other weights."""
    model, b = make(kind, 0)
    state = {n: a.copy() for n, a in model.state_dict().items()}
    out, other = model(**b), model(**b)
    want = other[name].data.copy()
    if change == "step":
        Trainer(model, threads=1, lr=0.1).step(b)
    elif change == "other optimiser":
        AdamW([("one", model.parameters()[-1])], 0.1).step(backward(model(**b).loss))
    else:
        model.load_state_dict(state)
    np.testing.assert_array_equal(other[name].data, want)
    with pytest.raises(UserError, match=f"{name} is computed when it is first read.*use_readout"):
        out[name]
    assert out.loss.item() == other.loss.item() and model.eval()(**b)[name].shape == want.shape
    with use_readout(False):
        out = model(**b)
    Trainer(model, threads=1, lr=0.1).step(b)
    assert out[name].shape == want.shape


def test_the_switch_belongs_to_the_thread_and_goes_with_replicas():
    with use_readout(False):
        other = []
        thread = threading.Thread(target=lambda: other.append(mode.readout))
        thread.start()
        thread.join()
        pool = Threads(2)
        assert pool.run(lambda part: mode.readout, [0, 1]) == [False, False]
        pool.close()
    assert other == [True] and mode.readout is True


@ALL
@pytest.mark.parametrize("fast", [True, False])
def test_inputs_are_checked_once(kind, fast, monkeypatch):
    model, b = make(kind, 0)
    calls, checked = [], PreTrainedModel.checked
    monkeypatch.setattr(PreTrainedModel, "checked", lambda self, *a: calls.append(1) or checked(self, *a))
    with use_readout(fast):
        model(**b)
    assert calls == [1]


def test_a_subclass_keeps_the_fast_way():
    class Mine(heads.AlbertForMaskedLM):
        pass
    b = {"input_ids": np.ones((2, 6), int), "labels": np.full((2, 6), heads.IGNORE)}
    out = Mine(tiny())(**b)
    assert isinstance(out, readout.LateOutput)
