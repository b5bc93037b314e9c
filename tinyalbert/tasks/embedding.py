"""Sentence embeddings: a vector of length 1 for each text, close for texts that belong together.

Pairs are learned from (Reimers & Gurevych 2019): scored ones, as in STS-B, by the order of their
scores; others by their partners, since every other text of the same group of a batch is a wrong
answer (Henderson et al. 2017; Gao et al. 2021).  No pair of texts is written down that is not in
the source.

A batch is cut into groups of at most `--group` pairs, and wrong answers come from the own group
alone.  Threads, processes and accumulation share out whole groups, so that the loss is the same
however many there are.
"""

import io
import zlib
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from ..errors import UserError
from ..files.writing import replacing
from ..heads import IGNORE, AlbertForSentenceEmbedding
from ..modes import no_grad
from ..options import AMOUNT, Number, OneOf, option
from ..pretraining.corpus import documents
from ..stories.tasks import TASKS, story_rows
from .metrics import regression_metrics, retrieval_metrics
from .options import TableSettings
from .tables import read_table, write_table
from .task import Task
from .text_files import ending, name_of, read_text
from .texts import is_text

TABLES = (".tsv", ".csv", ".jsonl", ".json")


@dataclass(frozen=True)
class Texts:
    """One text to embed, or a pair of them."""

    texts: tuple
    score: float | None  # how close the two are, on any scale
    where: str  # for messages


@dataclass(frozen=True, kw_only=True)
class EmbeddingSettings(TableSettings):
    """What makes a vector, and what is learned from."""

    pooling: str = option(
        "mean",
        "a vector is the mean of its tokens' states, or the state of [CLS]",
        check=OneOf("mean", "cls"),
    )
    group: int = option(
        16, "pairs of a batch that are wrong answers for each other", check=Number(int, 2)
    )
    scale: float = option(20.0, "what the losses multiply a cosine by", check=AMOUNT)
    positive: str = option(
        None,
        "learn from pairs with this label alone (a number: or more), as ones that belong together",
        metavar="LABEL",
    )


class Embedding(Task):
    """A prediction is the vectors (1, H) of a text or (2, H) of a pair."""

    name = "embedding"
    pipeline = "sentence-embedding"
    model_class = AlbertForSentenceEmbedding
    metric = "spearman"  # of pairs without scores: "mrr"
    new_head = False
    Settings = EmbeddingSettings
    targets = ("labels", "scores")
    recipes = {
        "laptop": {},
        # Reimers & Gurevych 2019, §4.2
        "paper": {"epochs": 4.0, "batch_size": 16, "lr": 2e-5, "warmup": 0.1},
    }

    # --- reading ----------------------------------------------------------------------------------

    def read(self, source, split):
        """Texts of a table with one or two columns of text, of plain text, or built in.

        Plain text: to train, neighbouring sentences are a pair; to predict, a line is a text, and
        the source may be one text, or "-" for the standard input.  Built in: stories:retrieval.
        """
        name = str(source).removeprefix("stories:").partition(":")[0]
        if str(source).startswith("stories:") and name in TASKS:
            examples = self._built_in(source, split)
        elif split == "predict" and is_text(source):
            return [Texts((str(source),), None, "the text")]
        elif split == "predict" and ending(source) == ".txt":
            return self._lines(source)
        elif split == "predict" or ending(source) in TABLES:
            examples = self._table(source, split)
        else:
            examples = _neighbours(source)
        if split != "predict":  # the held-out examples, read last, decide
            scored = any(example.score is not None for example in examples)
            self.metric = "spearman" if scored else "mrr"
        return examples

    def _built_in(self, source, split):
        rows = story_rows(source, "retrieval", self.seed, "train" if split == "train" else "test")
        return [
            Texts((row["query"], row["text"]), None, f"{source}, row {i}")
            for i, row in enumerate(rows, 1)
        ]

    def _table(self, source, split):
        rows = read_table(
            source, self.settings, need_labels=False, bad_rows=self.bad_rows, say=self.say
        )
        examples = []
        for row in rows:
            with self.bad_rows.skipping():
                if row.pair is None and split == "predict":
                    examples.append(Texts((row.text,), None, row.where))
                elif row.pair is None:
                    raise UserError(
                        f"{row.where}: one text; expected two that belong together (name the "
                        "column of the second with --pair-column)"
                    )
                elif self._is_scored(row, split):
                    examples.append(Texts((row.text, row.pair), _score(row), row.where))
                elif _is_positive(row.label, self.settings.positive):
                    examples.append(Texts((row.text, row.pair), None, row.where))
        return examples

    def _is_scored(self, row, split):
        """Whether the label of a pair is its score.  With --positive only held-out pairs have one,
        if it is a number.
        """
        positive = self.settings.positive
        return positive is None or (split != "train" and _number(row.label) is not None)

    def _lines(self, source):
        """Every line of a file, or of the standard input, as a text."""
        text, name = read_text(source, self.settings.encoding, unix=True), name_of(source)
        examples = []
        for number, line in enumerate(io.StringIO(text, newline=None), 1):
            with self.bad_rows.skipping():
                if not line.strip():
                    raise UserError(f"{name}, line {number}: empty; expected a text a line")
                examples.append(Texts((line.strip(),), None, f"{name}, line {number}"))
        return examples

    # --- the model --------------------------------------------------------------------------------

    def describe(self):
        what = "the order of scores" if self.metric == "spearman" else "what belongs together"
        return f"{what} is to be learned, in groups of {self.settings.group} pairs"

    def configure(self, config):
        self.restore(config)
        return config

    def restore(self, config):
        config.extra["sentence_pooling"] = self.settings.pooling
        config.extra["similarity_scale"] = self.settings.scale

    def encode(self, example, encoder):
        windows = [encoder(text, None, example.where) for text in example.texts]
        counts = [len(each) for each in windows]
        rows = []
        for i in range(max(counts)):
            row = _together([each[min(i, len(each) - 1)] for each in windows])
            rows.append({**row, **_targets(example), "about": counts})
        return rows

    def arrange(self, batch):
        """Rows (N, ...) in groups (B, G, ...) as equal as can be; what is missing is a copy that
        does not count.
        """
        count = len(batch["input_ids"])
        groups = np.array_split(np.arange(count), -(-count // self.settings.group))
        size = max(map(len, groups))
        places = np.stack([np.resize(group, size) for group in groups])  # (B, G)
        copies = np.stack([np.arange(size) >= len(group) for group in groups])
        batch = {name: values[places] for name, values in batch.items()}
        for name, absent in (("labels", IGNORE), ("scores", np.nan)):
            if name in batch:
                batch[name][copies] = absent
        return batch

    def infer(self, model, batch):
        with no_grad():
            return model(**batch).embeddings.numpy()  # (B, 1 or 2, H)

    def decode(self, example, rows, outputs):
        """The mean over the windows of each text, of length 1 again."""
        counts = rows[0]["about"]
        vectors = np.stack([outputs[:count, i].mean(axis=0) for i, count in enumerate(counts)])
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    # --- how good it is ---------------------------------------------------------------------------

    def score(self, examples, predictions):
        """Of scored pairs spearman and pearson of the cosines; of others how they are found."""
        _check_pairs(examples)
        first, second = np.stack(predictions, axis=1)  # (N, H) each
        return _metrics(examples, first, second)

    def baselines(self, train, held_out):
        """The cosine of TF-IDF vectors, if scikit-learn is there."""
        try:
            from sklearn.feature_extraction.text import TfidfVectorizer
        except ImportError:
            self.say("the baseline TF-IDF needs scikit-learn: pip install 'tinyalbert[baselines]'")
            return {}
        texts = [text for example in [*train, *held_out] for text in example.texts]
        vectorizer = TfidfVectorizer(token_pattern=r"(?u)\w+|[^\w\s]", sublinear_tf=True)
        vectorizer.fit(texts)
        first, second = (
            vectorizer.transform([example.texts[i] for example in held_out]) for i in (0, 1)
        )
        return {"TF-IDF": _metrics(held_out, first, second)[self.metric]}

    def write(self, path, examples, predictions):
        """.npy: the vectors (N, H), of pairs (N, 2, H).  Else a table: index, and the numbers of
        the vector; of pairs their cosine, texts and score, which `evaluate` reads back.
        """
        vectors = np.stack(predictions)
        if Path(path).suffix == ".npy":
            with replacing(path) as file:
                np.save(file, vectors[:, 0] if vectors.shape[1] == 1 else vectors)
            return
        lines = ending(path) == ".jsonl"
        records = []
        for i, (example, pair) in enumerate(zip(examples, vectors)):
            texts = dict(zip(("text", "text_pair"), example.texts))
            truth = {} if example.score is None else {"score": example.score}
            if len(pair) == 2:
                cosine = float(pair[0] @ pair[1])
                records.append({"index": i, "cosine": round(cosine, 6), **texts, **truth})
            elif lines:
                records.append(
                    {"index": i, **texts, "vector": [round(float(value), 6) for value in pair[0]]}
                )
            else:
                numbers = {f"v{n}": f"{value:.6f}" for n, value in enumerate(pair[0])}
                records.append({"index": i, **numbers})
        write_table(path, records)

    # --- for the pipeline -------------------------------------------------------------------------

    def example(self, given):
        if not isinstance(given, str):
            raise UserError(f"got {given!r}; expected a text or a list of texts")
        return Texts((given,), None, "")

    def answer(self, prediction):
        return prediction[0]

    def collect(self, answers, single):
        """(H,) for one text, (N, H) for several."""
        return answers[0] if single else np.stack(answers)


def _number(label):
    """A label as a number; None if it is none."""
    try:
        return float(label)
    except (TypeError, ValueError):
        return None


def _score(row):
    """The label of a pair as a number, None if there is no column of labels."""
    score = _number(row.label)
    if row.label is not None and not np.isfinite(np.nan if score is None else score):
        raise UserError(
            f"{row.where}: the label {row.label!r} is no number; expected a score, or --positive "
            "LABEL to learn from the pairs with that label alone"
        )
    return score


def _is_positive(label, positive):
    """Whether a label is the positive one, or as large a number."""
    number, least = _number(label), _number(positive)
    return label == positive if None in (number, least) else number >= least


def _neighbours(source):
    """Pairs of neighbouring sentences of each document of a text."""
    return [
        Texts(pair, None, f"{source}, document {number}")
        for number, sentences in enumerate(documents([source]), 1)
        for pair in pairwise(sentences)
    ]


def _together(rows):
    """Rows of one or two texts as one row, {field: (1 or 2, T)}."""
    width = max(len(row["input_ids"]) for row in rows)
    return {
        name: np.stack([np.pad(row[name], (0, width - len(row[name]))) for row in rows])
        for name in rows[0]
    }


def _targets(example):
    """What is learned from a pair: its score, or which other texts are the same as its own."""
    if len(example.texts) < 2:
        return {}
    if example.score is not None:
        return {"scores": np.float32(example.score)}
    numbers = [zlib.crc32(text.encode()) & 0x7FFFFFFF for text in example.texts]
    return {"labels": np.array(numbers, dtype=np.int32)}


def _check_pairs(examples):
    """Refuse what has no right answer."""
    for example in examples:
        if len(example.texts) < 2:
            raise UserError(f"{example.where}: one text; expected a pair, to score its closeness")


def _metrics(examples, first, second):
    """Scores of the vectors of pairs, arrays or sparse matrices (N, H) of rows of length 1."""
    scores = [example.score for example in examples]
    if None not in scores:
        product = first.multiply(second) if hasattr(first, "multiply") else first * second
        metrics = regression_metrics(scores, np.asarray(product.sum(axis=1)).reshape(-1))
        return {name: metrics[name] for name in ("spearman", "pearson")}
    return retrieval_metrics([example.texts for example in examples], first, second)
