"""How well a model guesses masked words and sentence order on held-out batches."""

import functools

import numpy as np

from ..backend import to_host
from ..heads import IGNORE
from ..modes import no_grad
from ..training.replicas import Single, Threads, batch_size, split


def evaluate_pretraining(model, batches, replicas=None, ranks=None, rows=32):
    """{"mlm_loss", "mlm_accuracy", "sop_loss", "sop_accuracy"} of held-out batches: means over all
    targets.

    Scores over the vocabulary are computed at the masked positions only.  Pieces of at most `rows`
    rows are dealt to threads and processes; their sums are added in the order of the batches."""
    model.eval()
    replicas, ranks = replicas or Threads(1), ranks or Single()
    pieces = [part for batch in batches for part, _ in split(batch, -(-batch_size(batch) // rows))]
    mine = replicas.run(
        functools.partial(_pretraining_sums, model), pieces[ranks.rank :: ranks.size]
    )
    sums = np.sum([np.zeros(6), *mine], axis=0)
    ranks.all_reduce(sums)
    names = ("mlm_loss", "mlm_accuracy", "sop_loss", "sop_accuracy")
    totals = np.repeat(sums[4:], 2)
    return {name: float(x / n) for name, x, n in zip(names, sums, totals) if n}


def _pretraining_sums(model, batch):
    """Sums over one batch: word loss, words right, order loss, orders right, words, orders."""
    with no_grad():
        out = model(**batch)
    words, orders = (
        to_host(batch.get(name, np.zeros(0))) for name in ("labels", "sentence_order_label")
    )
    answers = {"mlm": (out.target_logits, words[words != IGNORE]), "sop": (out.sop_logits, orders)}
    sums = np.zeros(6)
    for i, name in enumerate(answers):
        if name in out.losses:
            logits, targets = answers[name]
            hits = (to_host(logits.data.argmax(-1)) == targets).sum()
            sums[[2 * i, 2 * i + 1, 4 + i]] = (
                out.losses[name].item() * len(targets),
                hits,
                len(targets),
            )
    return sums
