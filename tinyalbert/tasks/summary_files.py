"""Documents and their summaries as they are published: folders of articles and summaries, JSON."""

import functools
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError
from ..stories.tasks import story_rows
from ..strict_json import JSONDecodeError, loads
from ..text.folders import describe_left_out
from ..text.sentences import sentence_spans
from .documents import split_paragraphs, texts_of
from .fields import TABLES, Fields
from .rouge import greedy_oracle
from .text_files import STANDARD_INPUT, ending, name_of, read_text
from .texts import is_text

ARTICLES = ("article", "articles", "documents")
SUMMARIES = ("summary", "summaries")
COLUMNS = {  # of tables, and names in JSON, of CNN/DailyMail, XSum and others
    "text": ("text", "article", "document", "content", "body", "dialogue"),
    "summary": ("summary", "highlights", "abstract"),
}


@dataclass(frozen=True)
class Document:
    """A text, its sentences and, to learn from, a summary."""

    text: str
    spans: tuple  # (start, end) of each sentence
    summary: tuple | None  # its sentences, which need not stand in the text
    where: str  # file and line, for messages

    def sentences(self):
        """The sentences, as they stand in the text."""
        return [self.text[start:end] for start, end in self.spans]

    @functools.cached_property
    def oracle(self):
        """Numbers of the sentences that come closest to the summary."""
        return greedy_oracle(self.sentences(), self.summary)


def document(text, summary=None, where=""):
    """The Document of a running text, of which blank lines part the paragraphs."""
    spans = [
        (paragraph.start + start, paragraph.start + end)
        for paragraph in split_paragraphs(text)
        for start, end in sentence_spans(paragraph.text)
    ]
    return _checked(Document(text, tuple(spans), _sentences_of(summary), where))


def document_of_sentences(sentences, summary=None, where=""):
    """The Document of a list of sentences; its text has one a line."""
    spans = []
    place = 0
    for sentence in sentences:
        if sentence.strip():
            start = place + len(sentence) - len(sentence.lstrip())
            spans.append((start, start + len(sentence.strip())))
        place += len(sentence) + 1
    return _checked(Document("\n".join(sentences), tuple(spans), _sentences_of(summary), where))


def _sentences_of(summary):
    """The sentences of a summary that is a text or a list of sentences."""
    if summary is None:
        return None
    if isinstance(summary, str):
        paragraphs = split_paragraphs(summary)
        return tuple(
            each.text[start:end] for each in paragraphs for start, end in sentence_spans(each.text)
        )
    return tuple(sentence.strip() for sentence in summary if sentence.strip())


def _checked(document):
    if not document.spans:
        raise UserError(f"{document.where}: no sentence in it; expected text, or leave it out")
    if document.summary is not None and not document.summary:
        raise UserError(
            f"{document.where}: its summary is empty; expected a sentence, or leave it out"
        )
    return document


def read_documents(source, split, bad_rows, seed=0, say=lambda line: None):
    """The Documents of a source.

    source: a folder with the folders `article` and `summary`, whose files have the same names;
    a table or JSON with "text" or "sentences", and "summary"; `stories:summary[:N]`.  split:
    "predict" needs no summaries, and takes a folder of texts, a file or the words of a text, or "-"
    for the standard input too.
    bad_rows: a BadRows, around each.  say: told what of a folder is read and what is left out.
    """
    if str(source).startswith("stories:"):
        items = _story_documents(source, seed, split)
    elif str(source) == STANDARD_INPUT:
        items = [lambda: document(read_text(source), where=name_of(source))]
    elif split == "predict" and is_text(source):
        items = [lambda: document(str(source), where="the text")]
    elif ending(source) in (".jsonl", ".json"):
        items = _json_documents(source, split != "predict")
    elif ending(source) in TABLES:
        items = _table_documents(source, bad_rows, split != "predict")
    else:
        items = _files(Path(source), split != "predict", say)
    documents = []
    for make in items:
        with bad_rows.skipping():
            documents.append(make())
    return documents


def _story_documents(source, seed, split):
    """What makes each document of the built-in ones."""
    split = "train" if split == "train" else "test"
    for number, row in enumerate(story_rows(source, "summary", seed, split), 1):
        chosen = [text for text, label in zip(row["sentences"], row["labels"]) if label]
        where = f"{source}, row {number}"
        yield lambda row=row, chosen=chosen, where=where: document_of_sentences(
            row["sentences"], chosen, where
        )


def _files(source, need_summary, say):
    """What makes each document of a folder, or of one text."""
    articles = next((source / name for name in ARTICLES if (source / name).is_dir()), None)
    if articles is None and need_summary:
        raise UserError(
            f"{source}: expected a folder with the folders {ARTICLES[0]} and {SUMMARIES[0]}, whose "
            "files have the same names, or JSON lines (.jsonl) with text and summary"
        )
    folder = articles or source
    if articles:
        known = (*ARTICLES, *SUMMARIES)
        others = [path for path in sorted(source.iterdir()) if path.name not in known]
        if others:
            say(f"{source}: {describe_left_out([('beside the folders', each) for each in others])}")
    for file in texts_of(folder, say):
        yield lambda file=file: document(
            read_text(file), _partner(source, folder, file) if need_summary else None, str(file)
        )


def _partner(source, articles, file):
    """The summary that belongs to an article."""
    name = file.relative_to(articles)
    candidates = [source / folder / name for folder in SUMMARIES]
    found = next((path for path in candidates if path.is_file()), None)
    if found is None:
        raise UserError(f"{file} has no summary; expected {candidates[0]}")
    return read_text(found)


def _json_documents(source, need_summary):
    """What makes each document of a file with a JSON object a line, or with an array of them."""
    text = read_text(source, unix=True)
    if text.lstrip().startswith("["):
        for number, record in enumerate(_loaded(text, source), 1):
            where = f"{source}, element {number}"
            yield lambda record=record, where=where: _of_record(record, where, need_summary)
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            where = f"{source}, line {number}"
            yield lambda line=line, where=where: _of_record(
                _loaded(line, where), where, need_summary
            )


def _table_documents(source, bad_rows, need_summary):
    """What makes each document of a table."""
    for where, record in Fields(source, COLUMNS, bad_rows):
        yield lambda record=record, where=where: _of_record(record, where, need_summary)


def _loaded(text, where):
    try:
        return loads(text)
    except JSONDecodeError as problem:
        raise UserError(f"{where}: not JSON ({problem.msg}); expected an object a line") from None


def _of_record(record, where, need_summary):
    if not isinstance(record, dict):
        raise UserError(f"{where}: {type(record).__name__}; expected a JSON object")
    text, summary = (
        next((record[name] for name in COLUMNS[field] if name in record), None)
        for field in ("text", "summary")
    )
    if need_summary and not (summary and _is_text(summary)):
        raise UserError(
            f'{where}: "summary" is {summary!r}; expected a text, or a list of sentences'
        )
    summary = summary if _is_text(summary) and summary else None
    if isinstance(record.get("sentences"), list) and _is_text(record["sentences"]):
        return document_of_sentences(record["sentences"], summary, where)
    if not isinstance(text, str):
        raise UserError(f'{where}: "text" is {text!r}; expected a text, or "sentences" as a list')
    return document(text, summary, where)


def _is_text(value):
    """Whether a value is a text or a list of texts."""
    return isinstance(value, str) or (
        isinstance(value, list) and all(isinstance(each, str) for each in value)
    )
