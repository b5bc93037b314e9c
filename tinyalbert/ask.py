"""Questions over a folder of texts: BM25 finds paragraphs, a fine-tuned model reads them.

    ask = Documents("runs/answers", "texts/")
    ask("Who found the kite?")  # [{"answer", "file", "start", "end", "score", "also"}, ...]

The paragraph is the unit, of finding and of reading, so it does not matter how texts are shared out
among files.  All windows of all paragraphs that are read count as one long text: their answers are
compared by raw logits, which no window's softmax has scaled, and one decision is made whether there
is an answer at all.  BM25: Robertson & Zaragoza 2009, by the library bm25s.
"""

import warnings

import numpy as np

from .checks import as_count
from .errors import UserError
from .tasks.batches import Features
from .tasks.documents import read_paragraphs
from .tasks.inference import load_finetuned, predict, row_encoder, task_of
from .tasks.spans import best_answers
from .tasks.squad import Squad
from .tasks.squad_files import Question
from .tasks.squad_scores import normalized
from .training.replicas import Threads

TOKEN = r"(?u)\b\w+\b"


class Documents:
    """A collection of texts, and a model that answers questions about them."""

    def __init__(
        self,
        model,
        documents,
        paragraphs=20,
        device="cpu",
        threads=None,
        say=lambda line: None,
        **settings,
    ):
        """model: a folder of the task squad or squad2.  documents: a folder of texts, or one
        text.  paragraphs: so many are read for a question.  say: told which files are read and
        what is left out.  settings: of the task, such as null_threshold, in place of those that
        the model was fine-tuned with.
        """
        if not issubclass(task_of(model)[0], Squad):
            raise UserError(
                f"{model} holds no model that answers questions; train one: tinyalbert finetune "
                f"squad QUESTIONS --model {model}"
            )
        self.task, self.model, self.tokenizer = load_finetuned(model, device, settings=settings)
        self.paragraphs = read_paragraphs(documents, say)
        self.finder = Finder([paragraph.text for paragraph in self.paragraphs])
        self.count = paragraphs
        self.threads = threads

    def __call__(self, question, top_k=5):
        """The best `top_k` answers, best first; those for a smaller `top_k` are the first of them.

        Each is {"answer", "file", "start", "end", "score", "also"}: text[start:end] of the file is
        the answer; the score is the sum of the logits of its start and its end; "also" lists where
        else the same answer was found, as [file, start].  If the model holds that no paragraph has
        an answer, the first one is empty, its file None, its score that of [CLS].
        """
        as_count("top_k", top_k)
        if not question.strip():
            raise UserError("the question is empty")
        found = [self.paragraphs[i] for i in self.finder(question, self.count)]
        if not found:  # no paragraph has a word of the question
            return [_empty(None)]
        readings = self._read(question, found)
        answers = merged(self._answers(readings, found))
        none = min(
            self.task.reader.none(output) for reading in readings for output in reading.outputs
        )
        odds = self.task.reader.odds(none, answers[0]["score"]) if answers else np.inf
        if odds > self.task.threshold or not answers:
            answers.insert(0, _empty(none))
        return answers[:top_k]

    def _read(self, question, found):
        """A Reading of each paragraph."""
        examples = [Question("", question, each.text, [], f"{question!r}") for each in found]
        features = Features(self.task, examples, row_encoder(self.task, self.model, self.tokenizer))
        for line in self.task.remarks():
            warnings.warn(line, stacklevel=3)
        return predict(self.task, self.model, features, replicas=Threads(self.threads))

    def _answers(self, readings, found):
        """The answers of all paragraphs as dicts, best first."""
        settings, reader = self.task.settings, self.task.reader
        answers = []
        for reading, paragraph in zip(readings, found):
            spans = [
                reader.spans(output, window, settings.n_best, raw=True)
                for output, window in zip(reading.outputs, reading.windows)
            ]
            text, windows = paragraph.text, reading.windows
            for each in best_answers(
                text, windows, spans, settings.n_best, settings.max_answer_length
            ):
                start, end = paragraph.start + each.start, paragraph.start + each.end
                place = {"file": paragraph.file, "start": start, "end": end}
                answers.append({"answer": each.text, **place, "score": each.score, "also": []})
        return sorted(answers, key=lambda answer: -answer["score"])


def merged(answers):
    """Answers, best first, without those that say what a better one says.

    Of equal texts (without case, articles and punctuation) the best stays and lists the places of
    the others; of stretches of one file that overlap the best stays.
    """
    kept = []
    for answer in answers:
        same = next((one for one in kept if _same_text(one, answer)), None)
        if same is None and not any(_overlap(one, answer) for one in kept):
            kept.append(answer)
        elif same is not None and not _overlap(same, answer):
            same["also"].append([answer["file"], answer["start"]])
    return kept


def _same_text(one, other):
    key = normalized(other["answer"])
    return normalized(one["answer"]) == key != "" or one["answer"] == other["answer"]


def _overlap(one, other):
    inside = one["start"] < other["end"] and other["start"] < one["end"]
    return one["file"] == other["file"] and inside


def _empty(score):
    return {"answer": "", "file": None, "start": 0, "end": 0, "score": score, "also": []}


class Finder:
    """Which texts have the words of a question, the rarer the better: BM25."""

    def __init__(self, texts):
        self._library = _bm25s()
        words = self._words(texts)
        self._index = self._library.BM25() if any(words) else None
        if self._index:
            self._index.index(words, show_progress=False)

    def _words(self, texts):
        """The words of each text, in lower case, without the commonest English ones."""
        return self._library.tokenize(
            texts, token_pattern=TOKEN, stopwords="en", return_ids=False, show_progress=False
        )

    def __call__(self, question, count):
        """The numbers of the best `count` texts that share a word with the question, best first."""
        [words] = self._words([question])
        if not (words and self._index):
            return []
        scores = self._index.get_scores(words)
        order = np.argsort(-scores, kind="stable")[:count]
        return [int(i) for i in order if scores[i] > 0]


def _bm25s():
    try:
        import bm25s
    except ImportError:
        raise UserError(
            "finding paragraphs needs the library bm25s, which is not installed: "
            "pip install 'tinyalbert[search]'"
        ) from None
    return bm25s
