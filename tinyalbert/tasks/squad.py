"""Extractive question answering: which words of a paragraph answer a question, or that none do.

SQuAD 1.1 and 2.0 as google-research/albert has them (run_squad_v1.py, run_squad_v2.py; ALBERT's
paper, table 14).  A row is [CLS] question [SEP] window of the paragraph [SEP]; the model scores
each token as the start and the end of the answer, and [CLS] as "not in this window".
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import ops
from ..checks import as_count
from ..errors import UserError
from ..files.writing import replacing
from ..heads import IGNORE
from ..options import COUNT, Number, option
from ..text.rows import RowEncoder
from .answer_heads import ConditionalHead, LinearHead
from .fields import is_written_as_table
from .options import TaskSettings
from .report import nothing_told_apart
from .spans import Window, best_answers, called_answers, tokens_of
from .squad_files import Question, read_questions
from .squad_scores import lexical_answer, scores
from .tables import write_table
from .task import Task
from .text_files import ending

NUMBER = Number(float, -1e9)


@dataclass(frozen=True, kw_only=True)
class SquadSettings(TaskSettings):
    """How paragraphs are read and answers chosen."""

    doc_stride: int = option(128, "tokens that windows over a paragraph move on by", check=COUNT)
    max_query_length: int = option(64, "tokens of a question; more are cut off", check=COUNT)
    max_answer_length: int = option(30, "tokens of an answer", check=COUNT)
    n_best: int = option(20, "starts and ends that are combined, and answers kept", check=COUNT)
    unanswerable: bool = option(
        False, "there may be no answer (found out from the training questions)"
    )
    null_threshold: float = option(
        0.0, "odds for no answer above which none is given", check=NUMBER
    )


@dataclass
class Reading:
    """What a model says of a question: its best answers, and the odds that there is none.

    windows and outputs are kept for whoever has other rules than the task.
    """

    question: Question
    answers: list  # of spans.Answer, best first
    odds: float
    windows: list  # of spans.Window
    outputs: list  # an array for each window, as `infer` gives it


class Squad(Task):
    """An example is a Question, a prediction a Reading."""

    name = "squad"
    pipeline = "question-answering"
    reader = LinearHead()
    model_class = reader.model_class
    targets = reader.targets
    padding = {**Task.padding, "p_mask": 1}
    metric = "f1"
    Settings = SquadSettings
    long = ("windows", "error")  # a paragraph is read to its end
    recipes = {
        "laptop": {"long": "windows", "doc_stride": 64},
        "paper": {  # SQuAD 1.1
            "long": "windows",
            "lr": 5e-5,
            "batch_size": 48,
            "dropout": 0.0,
            "steps": 3649,
            "warmup": 365.0,
            "max_length": 384,
        },
    }
    predictions = "predictions.json"

    def __init__(self, settings=None, seed=0, say=lambda line: None):
        super().__init__(settings, seed, say)
        self.unanswerable = self.settings.unanswerable
        self._begin_counts()

    def read(self, source, split):
        return read_questions(source, split, self.bad_rows, self.seed)

    def fit(self, examples):
        self.unanswerable |= not all(example.answers for example in examples)

    def describe(self):
        some = "some questions have no answer" if self.unanswerable else "every question has one"
        return f"answers are words of a paragraph; {some}"

    def configure(self, config):
        if self.unanswerable:
            config.extra["unanswerable"] = True
        return config

    def restore(self, config):
        self.unanswerable |= bool(config.extra.get("unanswerable"))

    def group(self, example):
        return example.context  # its questions tell of each other's answers

    # --- rows -------------------------------------------------------------------------------------

    def encode(self, example, encoder):
        """A row for each window over the paragraph; its "about" is the Window."""
        question = encoder.segment(example.question)
        context = self._context_tokens(encoder, example.context)
        encoder, question, step = self._layout(example, encoder, question)
        rows = encoder(question, context, example.where, cut="second", tokens=True, step=step)
        place = len(question) + 2
        windows = []
        for i, row in enumerate(rows):
            begin = i * step
            starts_word = begin == 0 or context[begin - 1][2] != context[begin][2]
            windows.append(Window(place, begin, row["about"][place:-1], starts_word))
        targets = self._targets(example, context, windows)
        return [
            {**row, "about": window, **self.reader.fields(row, window, places)}
            for row, window, places in zip(rows, windows, targets)
        ]

    def _layout(self, example, encoder, question):
        """(encoder, question, step of the windows): as set, or as a pipeline's caller has it."""
        length, overlap, limit = example.layout or (None, None, self.settings.max_query_length)
        self.cut_questions += len(question) > limit
        question = question[:limit]
        if not example.layout:
            size = encoder.max_length - 3 - len(question)  # tokens of a window
            shared = encoder.overlap
            step = self.settings.doc_stride if shared is None else size - shared
            return encoder, question, max(1, min(step, size))
        encoder = RowEncoder(encoder.tokenizer, min(length, encoder.max_length))
        if overlap is None:
            overlap = min(encoder.max_length // 2, 128)
        size = encoder.max_length - 3 - len(question)
        return encoder, question, max(1, size - overlap)

    def _context_tokens(self, encoder, context):
        """The tokens of a paragraph; it is often that of the question before."""
        key = (encoder.tokenizer, context)
        if self._last[0] != key:
            self._last = key, encoder.segment(context)
        return self._last[1]

    def _targets(self, example, context, windows):
        """For each window the places of the answer's first and last token in the row.

        The first of several answers counts.  They are (0, 0), [CLS], where the window does not hold
        all of it.
        """
        if not example.answers:
            return [(0, 0)] * len(windows)
        text, start = example.answers[0]
        tokens = tokens_of(context, start, start + len(text))
        if tokens is None:  # nothing of it is left by the tokenizer
            self.lost += 1
            return [(IGNORE, IGNORE)] * len(windows)
        places = []
        for window in windows:
            first, last = (token - window.begin for token in tokens)
            inside = 0 <= first and last < len(window.tokens)
            places.append((first + window.place, last + window.place) if inside else (0, 0))
        self.lost += not any(first for first, _ in places)
        return places

    def _begin_counts(self):
        self.cut_questions = 0
        self.lost = 0
        self._last = (None, None)

    def remarks(self):
        lines = []
        if self.cut_questions:
            what = "question was" if self.cut_questions == 1 else "questions were"
            lines.append(f"{self.cut_questions:,} {what} cut to the tokens of --max-query-length")
        if self.lost:
            what = "answer is" if self.lost == 1 else "answers are"
            lines.append(
                f"{self.lost:,} {what} whole in no window, and so not learned (lower --doc-stride "
                "or raise --max-length)"
            )
        self._begin_counts()
        return lines

    # --- answers ----------------------------------------------------------------------------------

    def infer(self, model, batch):
        return self.reader.infer(model, batch)

    def decode(self, example, rows, outputs):
        windows = [row["about"] for row in rows]
        spans = [
            self.reader.spans(output, window, self.settings.n_best)
            for output, window in zip(outputs, windows)
        ]
        answers = best_answers(
            example.context, windows, spans, self.settings.n_best, self.settings.max_answer_length
        )
        none = min(self.reader.none(output) for output in outputs)
        odds = self.reader.odds(none, answers[0].score) if answers else 0.0
        return Reading(example, answers, odds, windows, list(outputs))

    def said(self, reading):
        """The answer that is given: a text of the paragraph, or "" if there is none."""
        if not reading.answers or reading.odds > self.threshold:
            return ""
        return reading.answers[0].text

    @property
    def threshold(self):
        """The odds above which no answer is given."""
        return self.settings.null_threshold if self.unanswerable else float("inf")

    def score(self, examples, predictions):
        """The names and percentages of SQuAD's scripts; see squad_scores.scores."""
        answers = [[text for text, _ in example.answers] for example in examples]
        texts = [reading.answers[0].text if reading.answers else "" for reading in predictions]
        odds = [reading.odds for reading in predictions]
        return scores(answers, texts, odds, self.threshold)

    def baselines(self, train, held_out):
        """Counting words, and never giving an answer."""
        answers = [[text for text, _ in example.answers] for example in held_out]
        said = [lexical_answer(example.question, example.context) for example in held_out]
        rules = {"shared words": said}
        if not all(answers):
            rules["no answer"] = [""] * len(held_out)
        odds = [0.0] * len(held_out)
        return {
            name: scores(answers, each, odds, None)[self.metric] for name, each in rules.items()
        }

    def confusion(self, examples, predictions):
        """A remark, if every question gets the same answer, or none."""
        right = ["".join(text for text, _ in example.answers[:1]) for example in examples]
        return nothing_told_apart([self.said(each) for each in predictions], right, "answer")

    def write(self, path, examples, predictions):
        """JSON in the format that SQuAD's scripts and leaderboards read, and two files beside it.

        `predictions.json` is {id: text}; `nbest_predictions.json` has the best answers with their
        probabilities and characters; `null_odds.json`, for models that may give no answer, the
        odds that there is none.  A table, or JSON lines: a question each, read back by `evaluate`.
        """
        path = Path(path)
        if is_written_as_table(path):
            lines = ending(path) == ".jsonl"
            write_table(path, [self._row(i, each, lines) for i, each in enumerate(predictions)])
            return
        said = {reading.question.id: self.said(reading) for reading in predictions}
        _write_json(path, said)
        n_best = {reading.question.id: self._n_best(reading) for reading in predictions}
        _write_json(path.with_name(f"nbest_{path.name}"), n_best)
        if self.unanswerable:
            odds = {reading.question.id: reading.odds for reading in predictions}
            name = path.name.replace("predictions", "null_odds")
            name = name if name != path.name else f"null_odds_{name}"
            _write_json(path.with_name(name), odds)

    def _row(self, index, reading, lines):
        """A reading as a row of a table, or as a line of JSON."""
        question, said = reading.question, self.said(reading)
        best = self._n_best(reading)[:1] if said else []
        row = {"index": index, "id": question.id, "prediction": said}
        for name in ("probability", "start", "end"):
            row[name] = best[0][name] if best else None if lines else ""
        row |= {"question": question.question, "context": question.context}
        if question.truth is not None:
            row["answers"] = question.truth if lines else json.dumps(question.truth)
            if lines:
                row["is_impossible"] = not question.truth["text"]
        return row

    def _n_best(self, reading):
        """The answers of a reading, as a list of dicts."""
        if not reading.answers:
            return []
        probabilities = ops.softmax.raw(np.array([each.score for each in reading.answers]))[0]
        return [
            {
                "text": answer.text,
                "probability": float(probability),
                **dict(zip(self.reader.scores, (answer.start_score, answer.end_score))),
                "start": answer.start,
                "end": answer.end,
            }
            for answer, probability in zip(reading.answers, probabilities)
        ]

    # --- as transformers' pipeline ----------------------------------------------------------------

    def call(
        self,
        inputs=None,
        *,
        question=None,
        context=None,
        max_seq_len=None,
        doc_stride=None,
        max_question_len=64,
        **options,
    ):
        """pipeline(question=..., context=...), each a text or a list of texts; or {"question",
        "context"}, or a list of these.

        max_seq_len: tokens a row, by default those of the model, at most 384.  doc_stride: tokens
        that windows share, by default 128 or half a row.  max_question_len: tokens of a question;
        more are cut off.  options: those of `answer`.
        """
        given = _paired(question, context) if inputs is None else inputs
        given = [given] if isinstance(given, dict) else list(given)
        layout = (max_seq_len or 384, doc_stride, max_question_len)
        return [{**each, "layout": layout} for each in given], len(given) == 1, options

    def example(self, given):
        for name in ("question", "context"):
            if not isinstance(given.get(name), str) or not given[name].strip():
                raise UserError(f"{name} is {given.get(name)!r}; expected a text")
        text = given["question"], given["context"]
        return Question("", *text, [], f"the question {text[0]!r}", given.get("layout"))

    def answer(
        self,
        reading,
        top_k=1,
        max_answer_len=15,
        handle_impossible_answer=False,
        align_to_words=True,
    ):
        """{"score", "start", "end", "answer"}, or the best `top_k` of them in a list.

        score: a probability.  max_answer_len: in tokens.  handle_impossible_answer: the empty
        answer may be among them.  align_to_words: answers are widened to whole words.
        """
        for name, value in (("top_k", top_k), ("max_answer_len", max_answer_len)):
            as_count(name, value)
        count = 2 * top_k + 10 if align_to_words else top_k  # widened, some are the same
        spans = [
            self.reader.probable(output, window, count, max_answer_len)
            for output, window in zip(reading.outputs, reading.windows)
        ]
        answers = called_answers(
            reading.question.context,
            reading.windows,
            spans,
            top_k,
            handle_impossible_answer,
            align_to_words,
        )
        return answers[0] if len(answers) == 1 else answers

    def collect(self, answers, single):
        """The answer itself for a single question."""
        return answers[0] if single else answers


class Squad2(Squad):
    """With ALBERT's own head for SQuAD 2.0, which weighs whether there is an answer at all."""

    name = "squad2"
    reader = ConditionalHead()
    model_class = reader.model_class
    targets = reader.targets
    recipes = {
        "laptop": Squad.recipes["laptop"],
        "paper": {
            "long": "windows",
            "lr": 3e-5,
            "batch_size": 48,
            "dropout": 0.0,
            "steps": 8144,
            "warmup": 814.0,
            "max_length": 512,
        },
    }


def _paired(question, context):
    """[{"question", "context"}, ...] of texts or lists of texts."""
    if question is None or context is None:
        raise UserError("a question and its context are needed: (question=..., context=...)")
    questions = [question] if isinstance(question, str) else list(question)
    contexts = [context] * len(questions) if isinstance(context, str) else list(context)
    if len(questions) != len(contexts):
        raise UserError(
            f"{len(questions)} questions and {len(contexts)} contexts; expected as many of both, "
            "or one context"
        )
    return [{"question": q, "context": c} for q, c in zip(questions, contexts)]


def _write_json(path, values):
    with replacing(path, text=True) as file:
        file.write(json.dumps(values, indent=2, ensure_ascii=False) + "\n")
