"""Extractive summaries: the sentences of a document that tell most of it, in its own order.

Every sentence stands behind a [CLS] of its own, whose state says whether it is taken (Liu & Lapata
2019, §3.1).  Longer documents are read in windows that overlap, so that the last sentence has a
score, and some context, like the first.
"""

import json
import random
from dataclasses import dataclass

import numpy as np

from .. import ops
from ..errors import UserError
from ..files.writing import replacing
from ..heads import IGNORE, AlbertForTokenClassification
from ..options import AMOUNT, COUNT, WHOLE, option
from .fields import TABLES
from .metrics import words
from .options import TaskSettings
from .rouge import NAMES, ngrams, rouge_scorer
from .summary_files import Document, document, document_of_sentences, read_documents
from .tables import write_table
from .task import Task
from .text_files import ending


@dataclass(frozen=True, kw_only=True)
class SummarySettings(TaskSettings):
    """How long a summary is, and what it may repeat."""

    sentences: int = option(
        None,
        "sentences of a summary (default: as many as those that were learned from)",
        check=COUNT,
        group="length",
    )
    max_words: int = option(
        None, "or words, at most; one sentence at least", check=COUNT, group="length"
    )
    share: float = option(
        None,
        "or a share of the document's sentences",
        check=AMOUNT,
        group="length",
    )
    blocking: int = option(
        3, "no sentence shares so many words in a row with a better one; 0: any may", check=WHOLE
    )


@dataclass(frozen=True)
class Summary:
    """A prediction: the score of each sentence of a document, and which of them are taken."""

    document: Document
    scores: np.ndarray  # (sentences,) from 0 to 1
    chosen: list  # in the order of the document

    def sentences(self):
        """The sentences that are taken, as they stand in the text."""
        return [self.document.sentences()[i] for i in self.chosen]

    def spans(self):
        """[{"start", "end", "score"}] of the sentences that are taken."""
        return [
            {
                "start": self.document.spans[i][0],
                "end": self.document.spans[i][1],
                "score": float(self.scores[i]),
            }
            for i in self.chosen
        ]


class Summarization(Task):
    """Examples are summary_files.Document, predictions Summary."""

    name = "summary"
    pipeline = "summarization"
    model_class = AlbertForTokenClassification
    metric = "rougeLsum"
    labels = ("no", "yes")
    Settings = SummarySettings
    predictions = "summaries.jsonl"
    recipes = {
        "laptop": {"long": "windows", "batch_size": 16},
        # Liu & Lapata 2019, §4.2: BERT of 512 tokens; batches are theirs in tokens
        "paper": {"long": "windows", "max_length": 512, "batch_size": 36, "lr": 2e-3},
    }

    def __init__(self, settings=None, seed=0, say=lambda line: None):
        super().__init__(settings, seed, say)
        self.usual = 3  # sentences of a summary, found out by `fit`

    def read(self, source, split):
        if split != "predict":
            rouge_scorer()  # refuses before anything is trained
        return read_documents(source, split, self.bad_rows, self.seed, self.say)

    def fit(self, examples):
        counts = [len(each.oracle) for each in examples]
        self.usual = max(1, round(float(np.mean(counts))))

    def describe(self):
        settings = self.settings
        if settings.max_words:
            return f"summaries of at most {settings.max_words} words"
        if settings.share:
            return f"summaries of {settings.share:.0%} of the sentences"
        count = settings.sentences or self.usual
        return f"summaries of {count} sentence{'s' * (count > 1)}"

    def configure(self, config):
        config = config.with_labels(list(self.labels))
        config.extra["summary_sentences"] = self.usual
        return config

    def restore(self, config):
        self.usual = config.extra.get("summary_sentences", self.usual)

    # --- the model --------------------------------------------------------------------------------

    def encode(self, example, encoder):
        rows = encoder.of_sentences(example.sentences(), example.where)
        if example.summary is None:
            return rows
        for row in rows:
            labels = np.full(len(row["input_ids"]), IGNORE, dtype=np.int32)
            for sentence, place in row["about"]:
                labels[place] = sentence in example.oracle
            row["labels"] = labels
        return rows

    def decode(self, example, rows, outputs):
        """The mean probability of a sentence over its windows.  What was cut off comes last."""
        scores = [[] for _ in example.spans]
        for row, logits in zip(rows, outputs):
            yes = ops.softmax.raw(logits)[0][:, 1]  # (T,)
            for sentence, place in row["about"]:
                scores[sentence].append(yes[place])
        scores = np.array([np.mean(each) if each else 0.0 for each in scores])
        return Summary(example, scores, self.choose(example, np.argsort(-scores, kind="stable")))

    def choose(self, example, order, blocking=None):
        """Which sentences are taken if the best come first in `order`; in the document's order."""
        settings = self.settings
        blocking = settings.blocking if blocking is None else blocking
        sentences = [words(sentence) for sentence in example.sentences()]
        count = settings.sentences or self.usual
        if settings.max_words:
            count = len(sentences)
        elif settings.share:
            count = max(1, round(settings.share * len(sentences)))
        chosen, told, used = [], set(), 0
        for i in map(int, order):
            if len(chosen) == count:
                break
            grams = ngrams(sentences[i], blocking) if blocking else set()
            length = len(example.sentences()[i].split())
            if grams & told:
                continue
            if settings.max_words and chosen and used + length > settings.max_words:
                continue
            chosen.append(i)
            told |= grams
            used += length
        return sorted(chosen)

    # --- how good it is ---------------------------------------------------------------------------

    def score(self, examples, predictions):
        """F1 of ROUGE, mean over the documents."""
        return self._rouge(examples, [each.sentences() for each in predictions])

    def _rouge(self, examples, summaries):
        missing = next((each for each in examples if each.summary is None), None)
        if missing:
            raise UserError(f"{missing.where}: no summary to compare with; expected one")
        scorer = rouge_scorer()
        scores = [scorer(each.summary, summary) for each, summary in zip(examples, summaries)]
        return {name: float(np.mean([score[name] for score in scores])) for name in NAMES}

    def baselines(self, train, held_out):
        """The first sentences, sentences at random, and the best that sentences can do."""
        draw = random.Random(self.seed)
        ways = {
            "lead": lambda each: self.choose(each, range(len(each.spans)), blocking=0),
            "random": lambda each: self.choose(
                each, draw.sample(range(len(each.spans)), len(each.spans)), blocking=0
            ),
            "oracle": lambda each: sorted(each.oracle),
        }
        return {
            name: self._rouge(
                held_out, [[each.sentences()[i] for i in choice(each)] for each in held_out]
            )[self.metric]
            for name, choice in ways.items()
        }

    def write(self, path, examples, predictions):
        """A table or, by default, JSON lines: where the document stands, its summary, the places of
        its sentences, the text and the summary that it should have; `evaluate` reads them back.
        """
        lines = ending(path) not in TABLES
        records = []
        for i, (example, prediction) in enumerate(zip(examples, predictions)):
            record = {"index": i, "document": example.where, **self.answer(prediction)}
            record["text"] = example.text
            if example.summary is not None:
                record["summary"] = list(example.summary)
            if not lines:
                record["sentences"] = json.dumps(record["sentences"])
                record |= {"summary": " ".join(example.summary)} if example.summary else {}
            records.append(record)
        if not lines:
            write_table(path, records)
            return
        with replacing(path, text=True) as file:
            file.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in records)

    # --- for the pipeline -------------------------------------------------------------------------

    def example(self, given):
        """A text, or {"text"} or {"sentences": [...]}."""
        if isinstance(given, dict) and "sentences" in given:
            return document_of_sentences(given["sentences"], where="the document")
        return document(given["text"] if isinstance(given, dict) else given, where="the text")

    def answer(self, prediction):
        """{"summary_text", "sentences": [{"start", "end", "score"}]}, places in the text."""
        return {"summary_text": " ".join(prediction.sentences()), "sentences": prediction.spans()}
