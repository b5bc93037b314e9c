"""Classification: one of several labels for a text or a pair of texts."""

import re
from collections import Counter
from dataclasses import dataclass

import numpy as np

from .. import ops
from ..checks import as_count
from ..errors import UserError
from ..modes import no_grad
from ..ops import IGNORE
from ..options import OneOf, option
from ..window_heads import AlbertForWindowClassification
from .baselines import has_sklearn, said_by_logistic_regression
from .batches import together
from .metrics import bag_of_words_baseline, classification_metrics
from .options import TableSettings, TaskSettings
from .report import confusions, label_report, nothing_told_apart, one_against_rest, some
from .tables import write_table
from .text_files import ending
from .texts import TextTask

IMBALANCED = 2 / 3  # share of the commonest label, from which macro F1 picks the best checkpoint
POOLING = ("mean", "max", "attention", "probabilities", "learned")
AT_ONCE = 8  # windows of a text that learned attention is trained on together, at most


@dataclass(frozen=True, kw_only=True)
class LabelSettings(TaskSettings):
    """Settings of tasks that give labels to texts, wherever these come from."""

    window_pooling: str = option(
        "mean",
        "how the windows of a long text agree (--long windows): the mean of their logits, the "
        "largest, a mean in which those that are surer count more, the mean of their "
        "probabilities, or a mean whose weights are learned",
        check=OneOf(*POOLING),
    )
    class_weights: str = option(
        "none",
        "balanced: the rows of every label weigh as much in all, so that rare ones are learned",
        check=OneOf("none", "balanced"),
    )
    full_report: bool = option(
        False, "print every label and the whole confusion table, however many labels", free=True
    )


@dataclass(frozen=True, kw_only=True)
class ClassificationSettings(TableSettings, LabelSettings):
    """Settings of classification."""


class Classification(TextTask):
    """A prediction is the logits (L,) of the labels."""

    name = "classification"
    metric = "accuracy"
    Settings = ClassificationSettings
    targets = ("labels", "weights")

    def __init__(self, settings=None, seed=0, say=lambda line: None, labels=None):
        super().__init__(settings, seed, say)
        self.labels = labels  # found out by `fit`
        self.learned = self.settings.window_pooling == "learned"
        if self.learned:
            self.model_class = AlbertForWindowClassification
        self.weights = None  # of the labels in the loss, if they differ

    # --- labels -----------------------------------------------------------------------------------

    def label(self, row):
        return self.spelling(super().label(row))

    def spelling(self, label):
        """A label as the model has it, if that has it in another spelling, such as 1.0 for 1."""
        own = {spelled(name): name for name in self.labels or ()}
        return own.get(spelled(label), spelled(label)) if label else label

    def kinds(self, example):
        return (example.label,)

    def fit(self, examples):
        self.labels = label_names(examples, self.say)
        counts = Counter(row.label for row in examples)
        if max(counts.values()) >= IMBALANCED * len(examples):
            self.metric = "macro_f1"
        if self.settings.class_weights == "balanced":
            even = len(examples) / len(self.labels)
            self.weights = {name: even / count for name, count in counts.items()}

    def describe(self):
        return f"labels {some(self.labels)}"

    def configure(self, config):
        return config.with_labels(self.labels)

    def restore(self, config):
        self.labels = [config.id2label[i] for i in range(config.num_labels)]

    def encode(self, example, encoder):
        rows = super().encode(example, encoder)
        if self.weights is None or example.label is None:
            return rows
        weight = np.float32(self.weights.get(example.label, 0.0))
        return [{**row, "weights": weight} for row in rows]

    def read_by(self, encoder, example):
        """If attention is learned, several windows stand in a row: what they share is trained."""
        rows = super().read_by(encoder, example)
        if not self.learned:
            return rows
        return [together(rows[i : i + AT_ONCE]) for i in range(0, len(rows), AT_ONCE)]

    def target(self, example):
        """The id of the label; of one that training did not have, none."""
        known = example.label in self.labels
        return np.int32(self.labels.index(example.label) if known else IGNORE)

    # --- predictions ------------------------------------------------------------------------------

    def probabilities(self, logits):
        """(..., L) of logits (..., L)."""
        return softmax(logits)

    def infer(self, model, batch):
        """Logits (B, L); where attention is learned (B, N, 1 + L), a score before those of each
        window.
        """
        if not self.learned:
            return super().infer(model, batch)
        with no_grad():
            out = model(**batch)
        scores = out.window_scores.numpy()[..., None]
        return np.concatenate([scores, out.window_logits.numpy()], axis=-1)

    def decode(self, example, rows, outputs):
        """Logits (L,) on which the windows agree, each with its own (windows, L)."""
        if self.learned:
            windows = np.concatenate(list(outputs))  # (windows, 1 + L)
            return softmax(windows[:, 0]) @ windows[:, 1:]
        if self.settings.window_pooling == "max":
            return outputs.max(axis=0)
        if self.settings.window_pooling == "attention":
            return attended(outputs)
        if self.settings.window_pooling == "probabilities" and len(outputs) > 1:
            return self.logits(self.probabilities(outputs).mean(axis=0))
        return outputs.mean(axis=0)

    def logits(self, probabilities):
        """Logits (L,) that have these probabilities."""
        return np.log(np.maximum(probabilities, 1e-30))

    def write(self, path, examples, predictions):
        """A table: index, prediction, texts, label if it is known, the probability of each label.

        `evaluate` reads it back.
        """
        records = []
        for record, prediction in zip(self.columns_of(examples), predictions):
            said = {"prediction": self.said(prediction)}
            record = {"index": record.pop("index"), **said, **record}
            pairs = zip(self.labels, self.probabilities(prediction))
            if ending(path) == ".jsonl":
                record["probabilities"] = {name: round(float(p), 6) for name, p in pairs}
            else:
                record |= {f"p({name})": f"{p:.4f}" for name, p in pairs}
            records.append(record)
        write_table(path, records)

    def said(self, prediction):
        """A prediction as `write` has it."""
        return self.labels[prediction.argmax()]

    def answer(self, prediction, top_k="", function_to_apply=None):
        """{"label", "score"} of the best label; with top_k the best so many in a list, None: all.

        function_to_apply: "softmax", "sigmoid" or "none", in place of what fits the task.
        """
        scores = self.scores(prediction, function_to_apply)
        best = [
            {"label": self.labels[i], "score": float(scores[i])}
            for i in np.argsort(-scores, kind="stable")
        ]
        if top_k == "":  # transformers' word for "not given"
            return best[0]
        return best if top_k is None else best[: as_count("top_k", top_k)]

    def scores(self, prediction, function_to_apply):
        """(L,) of logits (L,), through a function by its name."""
        functions = {
            None: self.probabilities,
            "softmax": softmax,
            "sigmoid": sigmoid,
            "none": lambda logits: logits,
        }
        if function_to_apply not in functions:
            raise UserError(
                f"function_to_apply {function_to_apply!r} is unknown; expected softmax, sigmoid or "
                "none"
            )
        return functions[function_to_apply](prediction)

    # --- scores -----------------------------------------------------------------------------------

    def score(self, examples, predictions):
        """{metric: value}; a label that training did not have is never right."""
        said = np.stack(predictions).argmax(axis=1)
        gold, names = self._gold(examples)
        if gold.min() >= len(self.labels):
            raise UserError(
                f"no row has a label that the model knows: it knows {some(self.labels)}, and the "
                f"rows have {some(names[len(self.labels) :], 5)}. Are they a test set without "
                "labels? `tinyalbert predict` needs none"
            )
        return classification_metrics(gold, said, len(names), len(self.labels) == 2)

    def _gold(self, examples):
        """(right ids (N,), names): labels that training did not have come behind the others."""
        new = sorted({row.label for row in examples} - set(self.labels))
        names = [*self.labels, *new]
        ids = {name: i for i, name in enumerate(names)}
        return np.array([ids[row.label] for row in examples]), names

    def baselines(self, train, held_out):
        """The commonest label, and the labels told by words without a model of language."""
        labels = encode_labels(train, self.labels)
        commonest = np.full(len(held_out), np.bincount(labels).argmax())

        def value(said):
            return self.score(held_out, np.eye(len(self.labels))[said])[self.metric]

        if has_sklearn():
            name = "TF-IDF + logistic regression"
            said = said_by_logistic_regression(train, labels, held_out)
        else:
            name = "naive Bayes"
            self.say("a stronger baseline needs scikit-learn: pip install 'tinyalbert[baselines]'")
            texts = [f"{row.text} {row.pair or ''}" for row in train]
            others = [f"{row.text} {row.pair or ''}" for row in held_out]
            said = bag_of_words_baseline(texts, labels, others, len(self.labels))
        return {"majority": value(commonest), name: value(said)}

    def confusion(self, examples, predictions):
        """What is odd, each label's own scores, and which are taken for which."""
        gold, names = self._gold(examples)
        said = np.stack(predictions).argmax(axis=1)
        whole = self.settings.full_report
        parts = [
            *self._remarks(gold, said, names),
            label_report(one_against_rest(gold, said, len(names)), names, whole),
            confusions(gold, said, names, whole),
        ]
        return "\n\n".join(parts)

    def _remarks(self, gold, said, names):
        """Lines about labels unknown to the model, and about a model that always says one."""
        unknown = gold >= len(self.labels)
        if unknown.any():
            yield (
                f"{unknown.sum():,} of {len(gold):,} rows have labels that the model was not "
                f"trained on, and count as wrong: {some(names[len(self.labels) :], 5)}"
            )
        alike = nothing_told_apart([names[i] for i in said], gold.tolist())
        if alike:
            yield f"{alike}, and so may --class-weights balanced"


def attended(windows):
    """Logits (L,) of the windows' own (windows, L), those that stand out weighing more.

    A window's weight is a softmax over the windows of how far its logits are spread: attention
    without parameters, for long texts of which a part tells the label.
    """
    weights = softmax(windows.std(axis=-1))
    return weights @ windows


def softmax(logits):
    """Probabilities (..., L) of logits, on the host."""
    return ops.softmax.raw(logits)[0]


def sigmoid(logits):
    """1 / (1 + exp(-x)), elementwise, on the host."""
    return ops.sigmoid.raw(logits)[0]


def spelled(label):
    """One spelling of what spreadsheets and programs write in several: 1 and 1.0, true and True."""
    if re.fullmatch(r"-?[0-9]+\.0+", label):
        return label.partition(".")[0]
    return label.lower() if label.lower() in ("true", "false") else label


def label_names(rows, say=lambda line: None):
    """The labels in the order of their ids: sorted, as numbers if all of them are.

    Refuses labels that look like numbers to be predicted; say() is told where they may be.
    """
    names = sorted({row.label for row in rows})
    if all(re.fullmatch(r"-?\d+", name) for name in names):
        names.sort(key=int)
    if len(names) < 2:
        raise UserError(
            f"every row has the label {names[0]!r}; a classifier needs at least two labels "
            "(for numbers to be predicted: --regression)"
        )
    if any(_has_decimals(name) for name in names) and all(map(_is_number, names)):
        numbers = f"the labels are {len(names):,} numbers with decimals ({some(names, 3)})"
        if len(names) > min(20, len(rows) / 10):
            raise UserError(
                f"{numbers}, in {len(rows):,} rows; did you mean --regression, which predicts "
                "numbers?"
            )
        say(f"{numbers}, taken for names of classes; did you mean --regression?")
    elif len(names) > max(20, len(rows) / 2):
        raise UserError(
            f"{len(names):,} different labels ({some(names, 3)}) in {len(rows):,} rows; a "
            "classifier needs several rows of each. Is it the right column (--label-column)? For "
            "numbers to be predicted: --regression"
        )
    return names


def _is_number(name):
    try:
        float(name)
    except ValueError:
        return False
    return True


def _has_decimals(name):
    return _is_number(name) and "." in name and float(name) % 1 != 0


def label_id(row, names):
    """The id of a row's label; refuses one that is not among `names`."""
    if row.label not in names:
        raise UserError(
            f"{row.where}: the label {row.label!r} is unknown to this model; it knows {some(names)}"
        )
    return names.index(row.label)


def encode_labels(rows, names):
    """Label ids (N,) int32."""
    return np.array([label_id(row, names) for row in rows], dtype=np.int32)
