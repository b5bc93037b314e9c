"""Every head: its loss differentiates through the whole model, and adds up when a batch is cut."""

import numpy as np
import pytest
from hypothesis import given
from strategies import seeds
from test_albert import batch, shaken, tiny

from tinyalbert import heads
from tinyalbert.tensor import backward

KINDS = {"AlbertForPreTraining": {}, "AlbertForMaskedLM": {}, "AlbertForTokenClassification": {"num_labels": 4},
         "AlbertForQuestionAnswering": {}, "AlbertForSequenceClassification": {"num_labels": 3},
         "regression": {"num_labels": 1},
         "multi_label": {"num_labels": 3, "problem_type": "multi_label_classification"},
         "AlbertForMultipleChoice": {}}
ALL = pytest.mark.parametrize("kind", KINDS)


def make(kind, seed, **changes):
    """A model in float64 and a batch of 4 for it."""
    rng = np.random.default_rng(seed)
    cls = getattr(heads, kind, heads.AlbertForSequenceClassification)
    model, b = shaken(cls(tiny(**KINDS[kind], **changes), seed=0), seed), batch(rng, B=4)
    labels, order = b.pop("labels"), b.pop("sentence_order_label")
    if kind == "AlbertForQuestionAnswering":
        b.update(start_positions=np.array([0, 3, 99, 2]), end_positions=np.array([1, 6, 99, 99]))
    elif kind == "AlbertForMultipleChoice":
        b = {k: np.stack([v, v[:, ::-1], np.roll(v, 1, 0)], 1) for k, v in b.items()}
        b["labels"] = rng.integers(0, 3, 4)
    else:
        b["labels"] = {"AlbertForPreTraining": labels, "AlbertForMaskedLM": labels, "regression": rng.random(4),
                       "AlbertForTokenClassification": np.where(labels < 0, -100, labels % 4),
                       "multi_label": rng.integers(0, 2, (4, 3)).astype(float)}.get(kind, rng.integers(0, 3, 4))
    if kind == "AlbertForPreTraining":
        b["sentence_order_label"] = order
    return model, b


@ALL
@given(seed=seeds)
def test_the_loss_along_a_random_direction_of_all_parameters(kind, seed):
    model, b = make(kind, seed)
    gradients, rng, h = backward(model(**b).loss), np.random.default_rng(seed), 1e-6
    start = {p: p.data for p in model.parameters()}
    v = {p: rng.standard_normal(p.shape) for p in start}
    values = []
    for s in (1, -1):
        for p in start:
            p.data = start[p] + s * h * v[p]
        values.append(model(**b).loss.item())
    numeric = (values[0] - values[1]) / (2 * h)
    terms = [float((gradients[p] * v[p]).sum()) for p in start if p in gradients]
    assert abs(sum(terms) - numeric) <= 1e-6 * (sum(map(abs, terms)) + 1e-3), (kind, sum(terms), numeric)


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
