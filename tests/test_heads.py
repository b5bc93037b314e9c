"""Every head: its loss differentiates through the whole model, and adds up when a batch is cut."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from strategies import seeds
from test_albert import batch, shaken, tiny

from tinyalbert import heads, ops, span_heads, window_heads
from tinyalbert.config import AlbertConfig
from tinyalbert.errors import UserError
from tinyalbert.gradcheck import gradcheck
from tinyalbert.modes import use_kernels
from tinyalbert.nn import Dropout, DropoutRng
from tinyalbert.readout import rows_read
from tinyalbert.tensor import Tensor, backward, topological_order

KINDS = {"AlbertForPreTraining": {}, "AlbertForMaskedLM": {}, "AlbertForTokenClassification": {"num_labels": 4},
         "AlbertForQuestionAnswering": {}, "AlbertForSequenceClassification": {"num_labels": 3},
         "regression": {"num_labels": 1}, "weighted": {"num_labels": 3},
         "multi_label": {"num_labels": 3, "problem_type": "multi_label_classification"},
         "AlbertForMultipleChoice": {}, "AlbertForSentenceEmbedding": {}, "ranking": {},
         "AlbertForConditionalQuestionAnswering": {}, "AlbertForWindowClassification": {"num_labels": 3}}
OF_SEVERAL = ("AlbertForMultipleChoice", "AlbertForWindowClassification")
OF_GROUPS = ("AlbertForSentenceEmbedding", "ranking")
ALL = pytest.mark.parametrize("kind", KINDS)


def make(kind, seed, **changes):
    """A model in float64 and a batch of 4 for it."""
    rng = np.random.default_rng(seed)
    other = heads.AlbertForSentenceEmbedding if kind == "ranking" else heads.AlbertForSequenceClassification
    cls = getattr(span_heads if "Conditional" in kind else window_heads if "Window" in kind else heads, kind, other)
    model, b = shaken(cls(tiny(**KINDS[kind], **changes), seed=0), seed), batch(rng, B=4)
    labels, order = b.pop("labels"), b.pop("sentence_order_label")
    if kind == "AlbertForQuestionAnswering":
        b.update(start_positions=np.array([0, 3, 99, 2]), end_positions=np.array([1, 6, 99, 99]))
    elif kind == "AlbertForConditionalQuestionAnswering":
        b.update(start_positions=np.array([0, 3, 99, 2]), end_positions=np.array([0, 3, 99, 99]), is_impossible=np.array([1, 0, 0, 0]),
                 p_mask=(np.arange(b["input_ids"].shape[1]) > 3) * np.ones((4, 1), int))
    elif kind in OF_SEVERAL:
        b = {k: np.stack([v, v[:, ::-1], np.roll(v, 1, 0)], 1) for k, v in b.items()}
        b["labels"] = rng.integers(0, 3, 4)
    elif kind in OF_GROUPS:                      # 4 groups of 3 pairs of texts
        b = {k: np.stack([np.stack([v, np.roll(v, i, 0)], 1) for i in (1, 2, 3)], 1) for k, v in b.items()}
        if kind == "ranking":
            b["scores"] = rng.integers(0, 3, (4, 3)).astype(float)
            b["scores"][0, 2] = np.nan
        else:
            b["labels"] = rng.integers(0, 9, (4, 3, 2))
            b["labels"][0, 2] = -100
    else:
        b["labels"] = {"AlbertForPreTraining": labels, "AlbertForMaskedLM": labels, "regression": rng.random(4),
                       "AlbertForTokenClassification": np.where(labels < 0, -100, labels % 4),
                       "multi_label": rng.integers(0, 2, (4, 3)).astype(float)}.get(kind, rng.integers(0, 3, 4))
    if kind == "AlbertForPreTraining":
        b["sentence_order_label"] = order
    if kind == "weighted":
        b["weights"] = rng.random(4) * 2
    return model, b


PARTS = ("embeddings", "attention", "ffn", "norm", "")         # of a model, by what is in a name; "": mapping, pooler, head


@ALL
@settings(max_examples=5)
@given(seed=seeds)
def test_the_gradient_of_the_loss(kind, seed):
    """Along a random direction of each part's parameters, as one vector, at the tolerance of single ops."""
    model, b = make(kind, seed)
    parts = {part: [] for part in PARTS}
    for name, p in model.named_parameters():
        parts[next(part for part in PARTS if part in name)].append(p)

    def loss(*vectors):
        for parameters, vector in zip(parts.values(), vectors):
            for p, a in zip(parameters, np.split(vector, np.cumsum([p.size for p in parameters])[:-1])):
                p.data = a.reshape(p.shape)
        out = model(**b).loss

        def vjp(g):
            gradients = backward(out, np.asarray(g))
            return [np.concatenate([gradients.get(p, 0 * p.data).reshape(-1) for p in some]) for some in parts.values()]
        return out.data, vjp
    gradcheck(loss, *(np.concatenate([p.data.reshape(-1) for p in some]) for some in parts.values()),
              rng=np.random.default_rng(seed), h=1e-6)       # hundreds of numbers move at once: a smaller step


@pytest.mark.parametrize("kernels", [False, True])
@ALL
@settings(max_examples=5)
@given(seed=seeds)
def test_two_backward_calls_are_exactly_twice(kernels, kind, seed):
    model, b = make(kind, seed)
    with use_kernels(kernels):
        loss = model(**b).loss
        loss.backward(keep_graph=True)
        once = {p: p.grad.copy() for p in model.parameters() if p.grad is not None}
        loss.backward()
    assert once
    for p, g in once.items():
        np.testing.assert_array_equal(p.grad, 2 * g)


@ALL
@settings(max_examples=5)
@given(seed=seeds)
def test_the_kernels_change_no_loss_and_no_gradient(kind, seed):
    """Dropout included."""
    model, b = make(kind, seed, hidden_dropout_prob=0.2, attention_probs_dropout_prob=0.2)
    results = []
    for kernels in (False, True):
        with use_kernels(kernels):
            loss = model.train()(**b, rng=DropoutRng(seed)).loss
            results.append((loss.data, backward(loss)))
    (plain, want), (fast, got) = results
    np.testing.assert_allclose(fast, plain, rtol=1e-11)
    assert got.keys() == want.keys()
    scale = max(abs(g).max() for g in want.values())
    for name, p in model.named_parameters():
        if p in want:
            np.testing.assert_allclose(got[p], want[p], rtol=1e-9, atol=1e-11 * scale, err_msg=name)


@ALL
@given(seed=seeds)
def test_a_cut_batch_has_the_loss_of_the_whole(kind, seed):
    model, b = make(kind, seed)
    parts = [{k: v[rows] for k, v in b.items()} for rows in (slice(0, 1), slice(1, 4))]
    total, loss = model.loss_counts(**b), 0.0
    for part in parts:
        counts, losses = model.loss_counts(**part), model(**part).losses
        loss += sum(losses[k].item() * counts[k] / total[k] for k in total if total[k])
    assert loss == pytest.approx(model(**b).loss.item(), rel=1e-11)


# What may be wrong with an argument: (what is done to it, arguments for which that is no mistake).
MISTAKES = {
    "floats": (lambda a: a + 0.5, {"attention_mask", "regression labels", "multi_label labels", "weights", "scores", "is_impossible",
                                   "p_mask"}),
    "booleans": (lambda a: a > 0, {"attention_mask", "multi_label labels", "is_impossible", "p_mask"}),
    "texts": (lambda a: a.astype(str), set()),
    "nothing": (lambda a: np.where(a == a.flat[0], None, a).tolist(), set()),
    "ragged": (lambda a: [*a[:-1].tolist(), a[-1].tolist()[:-1]] if a.ndim > 1 else [*a.tolist(), [1]], set()),
    "too large": (lambda a: a + 10**6, {"start_positions", "end_positions", "embedding labels", "regression labels", "weights", "scores"}),
    "too small": (lambda a: np.where(a == -100, a, a - 10**3), {"start_positions", "end_positions", "embedding labels",
                                                                "regression labels", "scores"}),
    "too few": (lambda a: a[:-1], {"input_ids"}),                                   # then it is the others that are too many
    "too many": (lambda a: np.concatenate([a, a]), {"input_ids"}),
    "another axis": (lambda a: np.stack([a, a], -1), set()),
    "infinite": (lambda a: np.full(a.shape, np.inf), set()),
}


@ALL
@pytest.mark.parametrize("mistake", MISTAKES)
def test_an_argument_of_a_wrong_kind_is_named(kind, mistake):
    """Not in NumPy's words, and never taken for something else."""
    model, b = make(kind, 3)
    change, no_mistake = MISTAKES[mistake]
    short = {"AlbertForSentenceEmbedding": "embedding"}.get(kind, kind)
    for name in b:
        if {name, f"{short} {name}"} & no_mistake:
            continue
        with pytest.raises(UserError, match=rf"^(got )?{name}\b") as caught:
            model(**{**b, name: change(np.asarray(b[name]))})
        assert "expected" in str(caught.value) and "inhomogeneous" not in str(caught.value)


@ALL
def test_lists_in_place_of_arrays_are_the_same(kind):
    model, b = make(kind, 4)
    lists = {name: a.tolist() for name, a in b.items()}
    assert model(**lists).loss.item() == model(**b).loss.item()
    assert model.loss_counts(**lists) == model.loss_counts(**b)
    narrow = {name: a.astype(np.int16) if a.dtype.kind == "i" else a for name, a in b.items()}
    assert model(**narrow).loss.item() == model(**b).loss.item()


def test_nothing_to_read_is_said():
    for model in (heads.AlbertForMaskedLM(tiny()), heads.AlbertForSequenceClassification(tiny()), heads.AlbertForMultipleChoice(tiny()),
                  heads.AlbertForSentenceEmbedding(tiny())):
        for ids in (None, [], [[1.5]], 7, "a text", [[2, 3], [4]]):
            with pytest.raises(UserError, match="input_ids"):
                model(input_ids=ids)


def test_every_number_is_a_target():
    """-100 means "no target" among ids alone: as a number to be predicted, or in its batch, it counts in every part."""
    model, b = make("regression", 1)
    b["labels"] = np.full((4, 1), -100.0)
    assert model.loss_counts(**b) == {"classification": 4}
    b["labels"][1:] = 1.0
    half, rest = ({k: v[rows] for k, v in b.items()} for rows in (slice(0, 2), slice(2, 4)))
    assert (model(**half).loss.item() + model(**rest).loss.item()) / 2 == pytest.approx(model(**b).loss.item())
    assert model.loss_counts(**half) == model.loss_counts(**rest)
    model, b = make("multi_label", 1)
    with pytest.raises(UserError, match="labels from -100.0 to .*; expected 0 to 1"):
        model(**{**b, "labels": np.full((4, 3), -100.0)})
    model, b = make("AlbertForPreTraining", 1)
    b["sentence_order_label"] = np.array([0, -100, 1, -100])                   # among ids it is none, of any term
    assert model.loss_counts(**b)["sop"] == 2


@given(seed=seeds)
def test_weights_of_decisions(seed):
    """Equal to the weighted mean of the decisions' own cross-entropies."""
    rng = np.random.default_rng(seed)
    logits, labels, weights = rng.normal(0, 4, (3, 5)), rng.integers(0, 2, (3, 5)).astype(float), rng.random((3, 5)) * 2
    each = [ops.bce_with_logits(Tensor(x), y).item() for x, y in zip(logits.ravel(), labels.ravel())]
    got = heads._weighted_decisions(Tensor(logits), labels, weights)
    assert got.item() == pytest.approx(np.mean(weights.ravel() * each), rel=1e-9)
    assert heads._weighted_decisions(Tensor(logits), labels, np.ones((3, 5))).item() == pytest.approx(np.mean(each), rel=1e-9)


@given(seed=seeds)
def test_weights_of_rows(seed):
    """Equal to the weighted sum of the rows' own losses; weights of 1 change nothing; a row without a label adds nothing."""
    model, b = make("weighted", seed)
    weights = b.pop("weights")
    rows = [model(**{k: v[i:i + 1] for k, v in b.items()}).loss.item() for i in range(4)]
    assert model(**b, weights=weights).loss.item() == pytest.approx(np.mean(weights * rows), rel=1e-9)
    assert model(**b, weights=np.ones(4)).loss.item() == pytest.approx(model(**b).loss.item(), rel=1e-9)
    b["labels"][2] = -100
    kept = [0, 1, 3]
    assert model(**b, weights=weights).loss.item() == pytest.approx(np.mean((weights * rows)[kept]), rel=1e-9)
    for wrong in ({"weights": weights[:2]}, {"labels": None, "weights": weights}):
        with pytest.raises(UserError, match="weights"):
            model(**{**b, **wrong})


@ALL
@given(seed=seeds, groups=st.sampled_from([1, 2]), inner=st.sampled_from([1, 2]))
def test_what_nobody_reads_of_the_last_layer_changes_nothing(kind, seed, groups, inner):
    """Whoever asks for all hidden states gets every token computed; the loss and all gradients are the same."""
    model, b = make(kind, seed, num_hidden_groups=groups, inner_group_num=inner)
    some, whole = model(**b), model(**b, output_hidden_states=True)
    np.testing.assert_allclose(some.loss.data, whole.loss.data, rtol=1e-12)
    got, want = backward(some.loss), backward(whole.loss)
    for name, p in model.named_parameters():
        assert (p in got) == (p in want), name
        if p in want:
            np.testing.assert_allclose(got[p], want[p], rtol=1e-10, atol=1e-12 * max(abs(want[p]).max(), 1e-3), err_msg=name)


@pytest.mark.parametrize("kind", ["AlbertForPreTraining", "AlbertForMaskedLM"])
@given(seed=seeds)
def test_what_is_read_after_the_loss_is_what_there_is_without_labels(kind, seed):
    model, b = make(kind, seed)
    scores = "prediction_logits" if kind == "AlbertForPreTraining" else "logits"
    out, bare = model(**b), model(**{k: v for k, v in b.items() if "label" not in k})
    for name in (scores, "last_hidden_state"):
        np.testing.assert_allclose(out[name].data, bare[name].data, rtol=1e-12)
    if kind == "AlbertForPreTraining":
        np.testing.assert_allclose(out.target_logits.data, bare[scores].data[b["labels"] != heads.IGNORE], rtol=1e-12)


@given(labels=arrays(np.int64, st.tuples(st.integers(1, 5), st.integers(1, 9)), elements=st.sampled_from([-100, 0, 3])))
def test_rows_read(labels):
    """Token 0 first, every target once, in the order of the batch, and nothing else but token 0 again."""
    B, T = labels.shape
    rows, places, targets = rows_read(labels)
    assert rows[:, 0].tolist() == [b * T for b in range(B)]
    assert rows.reshape(-1)[places].tolist() == np.flatnonzero(labels != -100).tolist()
    assert targets.tolist() == labels[labels != -100].tolist()
    rest = np.delete(rows.reshape(-1), places)
    assert (rest % T == 0).all() and rows.shape[1] == 1 + (labels != -100).sum(1).max()
    assert (rows // T == np.arange(B)[:, None]).all()


def test_only_the_read_tokens_are_computed_and_with_dropout_all():
    """The last layer's feed-forward sees as many rows as the loss reads; dropout draws for every token, as ever."""
    for dropout, rows in ((0.0, 4 * 3), (0.1, 4 * 6)):
        model = heads.AlbertForMaskedLM(tiny(hidden_dropout_prob=dropout)).train()
        labels = np.full((4, 6), heads.IGNORE)
        labels[:, 2:4] = 5
        last = model(input_ids=np.ones((4, 6), int), labels=labels, rng=DropoutRng(0)).loss
        widths = [t.shape for t in topological_order(last) if t.ndim == 3 and t.shape[-1] == model.config.intermediate_size]
        assert math.prod(widths[-1][:-1]) == rows and math.prod(widths[0][:-1]) == 4 * 6


@pytest.mark.parametrize("batch, words", [
    ({"attention_mask": np.ones((2, 3), int)}, "attention_mask of shape (2, 3); expected (2, 4)"),
    ({"token_type_ids": np.zeros((1, 4), int)}, "token_type_ids of shape (1, 4); expected (2, 4)"),
    ({"input_ids": [2, 5, 3]}, "expected (sequences, tokens)"), ({"input_ids": 2}, "expected (sequences, tokens)"),
    ({"labels": np.array([1])}, "labels of shape (1,); expected (2,)"),
    ({"labels": np.array([1, 0, 1])}, "labels of shape (3,); expected (2,)"),
])
def test_arrays_of_different_shapes_are_refused(batch, words):
    """NumPy would stretch or cut some of them to fit, and the loss would be another one."""
    model = heads.AlbertForSequenceClassification(AlbertConfig.preset("tiny", vocab_size=30))
    with pytest.raises(UserError) as refusal:
        model(**{"input_ids": np.full((2, 4), 7), **batch})
    assert words in str(refusal.value)


@pytest.mark.parametrize("sop", [False, True])
@pytest.mark.parametrize("ffn", [False, True])
def test_what_is_dropped(ffn, sop, monkeypatch):
    """The embeddings, and in each layer attention's weights and output; Google also the feed-forward's output
    (ffn_dropout), transformers in its place the pooled vector before the sentence-order head (sop_dropout)."""
    config = tiny(hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.2, classifier_dropout_prob=0.3,
                  ffn_dropout=ffn, sop_dropout=sop)
    dropped, key = [], Dropout.key

    def recorded(self, rng):
        static = key(self, rng)
        dropped.extend([static["p"]] if static else [])
        return static
    monkeypatch.setattr(Dropout, "key", recorded)
    heads.AlbertForPreTraining(config).train()(**batch(np.random.default_rng(0)), rng=DropoutRng(0))
    assert dropped == [0.1] + ([0.2, 0.1] + [0.1] * ffn) * config.num_hidden_layers + [0.3] * sop


@given(seed=seeds, count=st.integers(1, 9))
def test_the_end_given_the_start(seed, count):
    """Plainly: for each start a linear map of both states, one beside the other; no answer from the expected start and [CLS]."""
    model, b = make("AlbertForConditionalQuestionAnswering", seed, extra={"starts": count})
    model.eval()
    blocked = b["p_mask"] == 1
    out = model(**{k: v for k, v in b.items() if k not in ("start_positions", "end_positions", "is_impossible")})
    h = model.albert(*(b[name] for name in ("input_ids", "attention_mask", "token_type_ids"))).last_hidden_state.data
    weights = {n: p.data for n, p in model.named_parameters()}

    def dense(x, name):
        return x @ weights[f"{name}.weight"].T + weights.get(f"{name}.bias", 0)
    start = np.where(blocked, heads.BLOCKED, dense(h, "start_logits.dense")[..., 0])
    np.testing.assert_allclose(out.start_logits.data, start, rtol=1e-10)
    shares = np.exp(start - start.max(axis=1, keepdims=True))
    expected = (shares[..., None] * h).sum(1) / shares.sum(1, keepdims=True)
    cls = dense(np.tanh(dense(np.concatenate([expected, h[:, 0]], -1), "answer_class.dense_0")), "answer_class.dense_1")
    np.testing.assert_allclose(out.cls_logits.data, cls[:, 0], rtol=1e-10)
    K = min(count, h.shape[1])
    assert out.start_top_index.shape == (4, K) and out.end_logits.shape == (4, K, h.shape[1])
    for i, places in enumerate(out.start_top_index):
        assert sorted(start[i, places], reverse=True) == sorted(start[i], reverse=True)[:K] == list(start[i, places])
        for j, place in enumerate(places):
            x = np.tanh(dense(np.concatenate([h[i], np.broadcast_to(h[i, place], h[i].shape)], -1), "end_logits.dense_0"))
            x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + model.config.layer_norm_eps)
            x = x * weights["end_logits.LayerNorm.weight"] + weights["end_logits.LayerNorm.bias"]
            end = np.where(blocked[i], heads.BLOCKED, dense(x, "end_logits.dense_1")[:, 0])
            np.testing.assert_allclose(out.end_logits.data[i, j], end, rtol=1e-8, atol=1e-10)
