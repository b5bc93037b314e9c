"""How well a model guesses masked words and sentence order on held-out batches."""

import functools

import numpy as np

from ..backend import to_host
from ..heads import IGNORE
from ..modes import no_grad
from ..training.replicas import Single, Threads, batch_size, split

TASKS = ("mlm", "sop")  # masked words, sentence order


def evaluate_pretraining(model, batches, replicas=None, ranks=None, rows=32):
    """Losses and accuracies of held-out batches, means over all targets.

    Returns {"mlm_loss", "mlm_accuracy", "sop_loss", "sop_accuracy"}.

    Scores over the vocabulary are computed at the masked positions only.  Pieces of at most `rows`
    rows are dealt to threads and processes; their sums are added in the order of the batches.
    """
    model.eval()
    replicas = replicas or Threads(1)
    ranks = ranks or Single()
    pieces = [part for batch in batches for part, _ in split(batch, -(-batch_size(batch) // rows))]
    mine = replicas.run(
        functools.partial(_pretraining_sums, model), pieces[ranks.rank :: ranks.size]
    )
    sums = np.zeros((len(TASKS), 3))  # loss, right guesses, targets
    for part in mine:
        sums += [part[task] for task in TASKS]
    ranks.all_reduce(sums)
    metrics = {}
    for task, (loss, right, targets) in zip(TASKS, sums):
        if targets:
            metrics[f"{task}_loss"] = float(loss / targets)
            metrics[f"{task}_accuracy"] = float(right / targets)
    return metrics


def _pretraining_sums(model, batch):
    """Sums over one batch: {task: (loss, right guesses, targets)}."""
    with no_grad():
        out = model(**batch)
    words = to_host(batch.get("labels", np.zeros(0)))
    orders = to_host(batch.get("sentence_order_label", np.zeros(0)))
    answers = {"mlm": (out.target_logits, words[words != IGNORE]), "sop": (out.sop_logits, orders)}
    sums = {}
    for task, (logits, targets) in answers.items():
        if task not in out.losses:
            sums[task] = (0.0, 0, 0)
            continue
        right = (to_host(logits.data.argmax(-1)) == targets).sum()
        sums[task] = (out.losses[task].item() * len(targets), right, len(targets))
    return sums
