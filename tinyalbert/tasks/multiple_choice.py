"""Multiple choice: which of several options answers a question about a passage.

Every option is read on its own behind the passage, [CLS] passage [SEP] question option [SEP], and
given one score; the softmax over the options is the answer (google-research/albert, run_race.py).
A passage that is too long is cut or read in windows; question and option always stand whole.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from .. import ops
from ..heads import AlbertForMultipleChoice
from ..stories.tasks import story_rows
from .batches import together
from .choice_files import letter, of_record, parts_of, read_questions
from .metrics import words
from .report import nothing_told_apart
from .tables import write_table
from .task import Task
from .text_files import ending


class Scored(NamedTuple):
    """A prediction: the options of a question and their logits (C,)."""

    options: list
    logits: np.ndarray


class MultipleChoice(Task):
    """Examples are choice_files.Question, predictions Scored."""

    name = pipeline = "multiple-choice"
    metric = "accuracy"
    model_class = AlbertForMultipleChoice
    recipes = {
        "laptop": {"batch_size": 16, "epochs": 4.0},
        "paper": {  # of RACE; version 2 of the models: lr 1e-5, dropout 0
            "lr": 2e-5,
            "batch_size": 32,
            "steps": 12000,
            "warmup": 1000,
            "max_length": 512,
            "dropout": 0.1,
        },
    }

    def read(self, source, split):
        if not str(source).startswith("stories:"):
            return read_questions(source, split, self.bad_rows, self.say)
        rows = story_rows(source, "choice", self.seed, "train" if split == "train" else "test")
        found = [of_record(row, f"{source}, row {i}") for i, row in enumerate(rows, 1)]
        return [question for each in found for question in each]

    def held_out(self, source):
        """The folder of a set that has a part of its own for evaluation."""
        return source if "test" in parts_of(Path(source)) else None

    def group(self, example):
        return example.passage or None  # questions about one passage tell of each other's answers

    def describe(self):
        return "one of the options is to be chosen; only passages are cut"

    def encode(self, example, encoder):
        options = [self._behind(example, option, encoder) for option in example.options]
        count = max(map(len, options))  # windows over the passage
        rows = [together([rows[min(i, len(rows) - 1)] for rows in options]) for i in range(count)]
        if example.label is None:
            return rows
        return [{**row, "labels": np.int32(example.label)} for row in rows]

    def _behind(self, example, option, encoder):
        """Rows of one option behind the passage, one for each window."""
        answered = example.with_option(option)
        if not example.passage:
            return encoder(answered, None, example.where)
        return encoder(example.passage, answered, example.where, cut="first")

    def decode(self, example, rows, outputs):
        """The mean of the windows' logits."""
        return Scored(example.options, outputs.mean(axis=0))

    def score(self, examples, predictions):
        """The share of right answers: of all, and of each group apart, such as middle and high."""
        return _shares(examples, _right(examples, predictions))

    def baselines(self, train, held_out):
        return {
            name: _shares(held_out, rule(held_out))[self.metric] for name, rule in BASELINES.items()
        }

    def confusion(self, examples, predictions):
        """Accuracy beside the simple rules, for all questions and for each group."""
        columns = {"accuracy": _right(examples, predictions)}
        columns |= {name: rule(examples) for name, rule in BASELINES.items()}
        lines = ["".join(name.rjust(16) for name in ("questions", *columns))]
        for group, places in _groups(examples):
            shares = "".join(f"{column[places].mean():16.4f}" for column in columns.values())
            lines.append(f"{group or 'all':8s}{len(places):8,d}{shares}")
        said = [self.answer(prediction)["label"] for prediction in predictions]
        alike = nothing_told_apart(said, [letter(example.label) for example in examples], "answer")
        lines += [alike] if alike else []
        return "\n".join(lines)

    def write(self, path, examples, predictions):
        """A table: index, the question's id, letter and text of the answer, all probabilities.

        The question is there too, and its answer if it is known: `evaluate` reads it back.
        """
        lines = ending(path) == ".jsonl"
        most = max((len(example.options) for example in examples), default=0)
        records = []
        for i, (example, prediction) in enumerate(zip(examples, predictions)):
            said = self.answer(prediction)
            record = {"index": i, "id": example.id, "prediction": said["label"]}
            record["option"] = said["answer"]
            shares = [f"{share:.4f}" for share in said["scores"]]
            record["probabilities"] = list(map(float, shares)) if lines else " ".join(shares)
            record |= {"context": example.passage, "question": example.question}
            if lines:
                record |= {"choices": example.options}
                record |= {} if example.label is None else {"label": example.label}
            else:
                options = [*example.options, *[""] * (most - len(example.options))]
                record |= {letter(n): option for n, option in enumerate(options)}
                record |= {"label": "" if example.label is None else letter(example.label)}
            records.append(record)
        write_table(path, records)

    def example(self, given):
        """{"context", "question", "choices"}, as in a plain file."""
        return of_record(given, "the question", need_labels=False)[0]

    def answer(self, prediction):
        """{"label": the answer's letter, "answer": its text, "score", "scores": of all options}."""
        scores = _softmax(prediction.logits).tolist()
        best = int(np.argmax(scores))
        options = prediction.options
        return {
            "label": letter(best),
            "answer": options[best],
            "score": scores[best],
            "scores": scores,
        }


def _softmax(logits):
    """Probabilities (C,)."""
    return ops.softmax.raw(logits)[0]


def _right(examples, predictions):
    """(N,): whether the best option is the right one."""
    return np.array([said.logits.argmax() == q.label for q, said in zip(examples, predictions)])


def _shares(examples, right):
    """{metric: share of right answers}, of all examples and of each group; right (N,)."""
    return {
        f"accuracy_{group}" if group else "accuracy": float(right[places].mean())
        for group, places in _groups(examples)
    }


def _groups(examples):
    """[(group, numbers of its examples)]: "" for all, then each, if there are several."""
    names = [example.group for example in examples]
    groups = [("", np.arange(len(names)))]
    if len(set(names)) > 1:
        groups += [
            (name, np.flatnonzero([name == each for each in names])) for name in sorted(set(names))
        ]
    return groups


# --- what is chosen without a model ---------------------------------------------------------------


def chance(examples):
    """(N,): the share of right answers of somebody who guesses."""
    return np.array([1 / len(example.options) for example in examples])


def _by_rule(rule):
    """A function of examples: (N,), 1 where the rule's best option is right; ties share it."""

    def right(examples):
        shares = []
        for example in examples:
            scores = np.array([rule(example, option) for option in example.options])
            best = np.flatnonzero(scores == scores.max())
            shares.append((example.label in best) / len(best))
        return np.array(shares)

    return right


def _length(example, option):
    return len(option)


def _overlap(example, option):
    """The share of the option's words that the passage has."""
    said = set(words(option))
    return len(said & set(words(example.passage))) / max(len(said), 1)


def _sliding_window(example, option):
    """Richardson et al. 2013: the best window of the passage over question and option.

    A window is as many words as these have together; it scores the sum of log(1 + 1 / count) of its
    words that are among them.
    """
    asked = set(words(f"{example.question} {option}"))
    passage = words(example.passage)
    if not passage:
        return 0.0
    kinds, which, counts = np.unique(passage, return_inverse=True, return_counts=True)
    worth = np.log1p(1 / counts) * [kind in asked for kind in kinds]
    sums = np.concatenate([[0.0], worth[which].cumsum()])
    size = min(len(asked), len(passage))
    return float((sums[size:] - sums[:-size]).max().round(9))


BASELINES = {
    "chance": chance,
    "longest option": _by_rule(_length),
    "word overlap": _by_rule(_overlap),
    "sliding window": _by_rule(_sliding_window),
}
