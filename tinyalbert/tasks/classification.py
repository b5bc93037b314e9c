"""Sequence classification and regression: rows -> token ids -> pooled vector -> label, score,
predictions.

GLUE's single-sentence and sentence-pair tasks are of this kind (google-research/albert,
run_classifier.py)."""

import csv
import json
import re
import warnings
from pathlib import Path

import numpy as np

from ..errors import UserError
from ..modes import no_grad
from .metrics import classification_metrics, confusion_table, regression_metrics


def label_names(rows, config=None):
    """The labels in the order of their ids: the model's own if it was fine-tuned before, else
    sorted.
    """
    if config is not None and config.extra.get("id2label"):
        return [config.id2label[i] for i in range(config.num_labels)]
    names = sorted({row.label for row in rows})
    if all(re.fullmatch(r"-?\d+", name) for name in names):
        names.sort(key=int)
    if len(names) < 2:
        raise UserError(
            f"every row has the label {names[0]!r}; a classifier needs at least two labels "
            "(for numbers to be predicted: --regression)"
        )
    return names


def encode_labels(rows, names):
    """Label ids (N,) int32, or numbers (N,) float32 for regression (names None)."""
    if names is None:
        if bad := next((row for row in rows if not _is_number(row.label)), None):
            raise UserError(
                f"{bad.where}: {bad.label!r} is no number; regression needs one in each row"
            )
        return np.array([float(row.label) for row in rows], dtype=np.float32)
    ids = {name: i for i, name in enumerate(names)}
    for row in rows:
        if row.label not in ids:
            raise UserError(
                f"{row.where}: the label {row.label!r} is unknown to this model; "
                f"it knows {', '.join(names)}"
            )
    return np.array([ids[row.label] for row in rows], dtype=np.int32)


def _is_number(text):
    try:
        return abs(float(text)) < 1e38  # of float32, and not nan
    except ValueError:
        return False


class Features:
    """Encoded rows, and the batches that are drawn from them.

    Each batch is padded to its own longest row, and rows of about the same length meet in a batch,
    so that little is spent on padding."""

    def __init__(self, rows, tokenizer, max_length=128, labels=None):
        coded = [
            tokenizer(row.text, row.pair, truncation=True, max_length=max_length) for row in rows
        ]
        self.ids = [np.asarray(c["input_ids"], dtype=np.int32) for c in coded]
        self.types = [np.asarray(c["token_type_ids"], dtype=np.int32) for c in coded]
        self.lengths = np.array([len(ids) for ids in self.ids])
        self.labels = labels

    def __len__(self):
        return len(self.ids)

    def take(self, indices):
        """The batch of these rows: ids, mask and types (B, T), labels (B,)."""
        longest = int(self.lengths[indices].max())
        batch = {
            name: np.zeros((len(indices), longest), dtype=np.int32)
            for name in ("input_ids", "attention_mask", "token_type_ids")
        }
        for row, i in enumerate(indices):
            n = self.lengths[i]
            batch["input_ids"][row, :n], batch["token_type_ids"][row, :n] = (
                self.ids[i],
                self.types[i],
            )
            batch["attention_mask"][row, :n] = 1
        if self.labels is not None:
            batch["labels"] = self.labels[indices]
        return batch

    def steps_per_epoch(self, batch_size):
        """Batches in one pass over the rows; the last may be smaller."""
        return -(-len(self) // batch_size)

    def batch(self, step, batch_size, seed=0, pool=32):
        """Training batch number `step`: a pure function of (seed, step), so that a resumed run
        agrees.

        Every epoch is a new order of the rows.  Within pools of `pool` batches rows are sorted by
        length, then the pool's batches are shuffled."""
        epoch, place = divmod(step, self.steps_per_epoch(batch_size))
        return self.take(self._epoch_order(epoch, batch_size, seed, pool)[place])

    def _epoch_order(self, epoch, batch_size, seed, pool):
        if getattr(self, "_cached", (None,))[0] != (epoch, batch_size, seed, pool):
            rng = np.random.default_rng((seed, epoch))
            order = rng.permutation(len(self))
            batches = []
            for start in range(0, len(order), pool * batch_size):
                rows = order[start : start + pool * batch_size]
                rows = rows[np.argsort(self.lengths[rows], kind="stable")]
                batches += [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]
            self._cached = (
                (epoch, batch_size, seed, pool),
                [batches[i] for i in rng.permutation(len(batches))],
            )
        return self._cached[1]


def check_fits(tokenizer, config, folder):
    """Refuse a tokenizer whose vocabulary is not that of the model, which may be padded a
    little.
    """
    if not 0 <= config.vocab_size - tokenizer.vocab_size < 128:
        raise UserError(
            f"{folder}: the tokenizer has {tokenizer.vocab_size} pieces, the model knows "
            f"{config.vocab_size}; expected the tokenizer that the model was trained with"
        )


def load_trained(kind, folder, what, command):
    """A model of the class `kind` from a folder that has all of its weights, with a trained head
    for this very task.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the refusal says it
        model = kind.from_pretrained(folder)
    if model.restore_report.missing:
        lacks = ", ".join(model.restore_report.missing)
        raise UserError(
            f"{folder} holds no {what} (it lacks {lacks}); train it first: tinyalbert {command}"
        )
    return model


def predict_logits(model, features, batch_size=64, replicas=None):
    """Logits (N, num_labels) of all rows, in their order; batches of like length, dropout off."""
    model.eval()
    order = np.argsort(features.lengths, kind="stable")
    parts = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]

    def run(indices):
        batch = {k: v for k, v in features.take(indices).items() if k != "labels"}
        with no_grad():
            return model(**batch).logits.numpy()

    aside = replicas and model.device() == "cpu"  # threads are no help to a GPU
    results = replicas.run(run, parts) if aside else [run(p) for p in parts]
    logits = np.empty((len(features), results[0].shape[1]), dtype=results[0].dtype)
    for indices, values in zip(parts, results):
        logits[indices] = values
    return logits


def softmax(logits):
    """Probabilities (N, L) of logits, on the host."""
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def score(logits, labels, names):
    """Metrics of logits (N, L) against labels (N,); with names None the task is regression."""
    if names is None:
        return regression_metrics(labels, logits[:, 0])
    return classification_metrics(labels, logits.argmax(axis=1), len(names))


def key_metric(names):
    """The metric that picks the best checkpoint."""
    return "pearson" if names is None else "accuracy"


def format_confusion(gold, predicted, names):
    """The confusion table as text: a row for each right label, a column for each predicted one."""
    table = confusion_table(gold, predicted, len(names))
    width = max(max(len(n) for n in names), len(str(table.max())), 5) + 2
    lines = ["right \\ predicted".ljust(max(18, width)) + "".join(n.rjust(width) for n in names)]
    lines += [
        n.ljust(max(18, width)) + "".join(str(c).rjust(width) for c in row)
        for n, row in zip(names, table)
    ]
    return "\n".join(lines)


def write_predictions(path, rows, logits, names):
    """TSV of the predictions: index, prediction, then the probability of each label (or the number
    alone).
    """
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        if names is None:
            writer.writerow(["index", "prediction"])
            writer.writerows([i, f"{value:.4f}"] for i, value in enumerate(logits[:, 0]))
        else:
            writer.writerow(["index", "prediction", *names])
            writer.writerows(
                [i, names[row.argmax()], *(f"{p:.4f}" for p in row)]
                for i, row in enumerate(softmax(logits))
            )


def write_results(folder, metrics):
    """eval_results.json in `folder`."""
    Path(folder, "eval_results.json").write_text(
        json.dumps(metrics, indent=2) + "\n", encoding="utf-8"
    )
