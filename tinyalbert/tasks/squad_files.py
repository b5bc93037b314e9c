"""Questions about paragraphs, from files in SQuAD's format, JSON lines and the story world.

SQuAD 1.1 and 2.0 (Rajpurkar et al. 2016, 2018) are one JSON object:

    {"version": "v2.0", "data": [{"title": ..., "paragraphs": [{"context": ..., "qas": [
        {"id": ..., "question": ..., "answers": [{"text": ..., "answer_start": ...}],
         "is_impossible": false}]}]}]}

JSON lines have one question a line, as the `datasets` library writes them: {"id", "context",
"question", "answers": {"text": [...], "answer_start": [...]}}.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError
from ..stories.tasks import story_rows


@dataclass
class Question:
    """A question about a paragraph, its right answers, and where it stands.

    answers: [(text, first character in `context`), ...], empty if there is no answer or it is not
    known.  layout: (tokens a row, tokens that windows share) if the caller of a pipeline chose it.
    """

    id: str
    question: str
    context: str
    answers: list
    where: str  # "file, question id", for messages
    layout: tuple | None = None


def read_questions(source, split, bad_rows, seed=0):
    """The Questions of a file (.json: SQuAD's format, .jsonl: one a line) or of `stories:qa[:N]`.

    split: "train" needs each answer at its place in the paragraph, "test" somewhere in it,
    "predict" none.
    """
    questions, seen = [], set()
    for place, record in _records(str(source), seed, split):
        with bad_rows.skipping():
            question = _question(record, place, split)
            if question.id in seen:
                raise UserError(f"{question.where}: the id {question.id!r} stands twice")
            seen.add(question.id)
            questions.append(question)
    return questions


def _records(source, seed, split):
    """(where, record) of each question; a record has the fields of a line of JSON lines."""
    if source.startswith("stories:"):
        rows = story_rows(source, "qa", seed, "test" if split == "predict" else split)
        return [(f"{source}, row {i}", row) for i, row in enumerate(rows, 1)]
    path = Path(source)
    kind = path.suffix.lower()
    if kind not in (".json", ".jsonl"):
        raise UserError(
            f"{path}: expected a .json file in SQuAD's format, a .jsonl file with id, context, "
            "question and answers in each line, or stories:qa"
        )
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"there is no file {path}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text ({error}); convert it first") from None
    if kind == ".jsonl":
        lines = enumerate(text.split("\n"), 1)
        return [_line(path, number, line) for number, line in lines if line.strip()]
    return list(_squad(path, _json(text, path)))


def _json(text, where):
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(
            f"{where}, line {error.lineno}: not JSON ({error.msg}); is the file whole?"
        ) from None


def _line(path, number, line):
    """(where, record) of one line of JSON lines; numbered in place of an id."""
    where = f"{path}, line {number}"
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise UserError(f"{where}: not JSON ({error.msg}); expected one object a line") from None
    return where, {"id": str(number), **record} if isinstance(record, dict) else record


def _squad(path, data):
    """(where, record) of each question of a file in SQuAD's format."""
    for article in _list(data, "data", path):
        title = article.get("title", "?") if isinstance(article, dict) else "?"
        for number, paragraph in enumerate(_list(article, "paragraphs", f"{path}, {title}"), 1):
            where = f"{path}, {title}, paragraph {number}"
            for question in _list(paragraph, "qas", where):
                if not isinstance(question, dict) or "id" not in question:
                    raise UserError(f"{where}: a question without an id; expected one in each")
                answers = question.get("answers")
                record = {"context": paragraph.get("context"), **question}
                if isinstance(answers, list):
                    record["answers"] = {
                        name: [_value(answer, name) for answer in answers]
                        for name in ("text", "answer_start")
                    }
                yield f"{path}, question {question['id']}", record


def _value(record, name):
    return record.get(name) if isinstance(record, dict) else None


def _list(record, name, where):
    """The list under a name of a JSON object."""
    if not isinstance(record, dict) or not isinstance(record.get(name), list):
        raise UserError(
            f"{where}: no list under {name!r}; expected SQuAD's format (data, paragraphs, qas)"
        )
    return record[name]


def _question(record, where, split):
    """A record as a Question; refuses what can't be used."""
    if not isinstance(record, dict):
        raise UserError(f"{where}: {type(record).__name__}; expected a JSON object")
    for name in ("context", "question"):
        if not isinstance(record.get(name), str) or not record[name].strip():
            raise UserError(f"{where}: {name} is {record.get(name)!r}; expected a text")
    answers = [] if split == "predict" else _answers(record, where, split)
    return Question(str(record["id"]), record["question"], record["context"], answers, where)


def _answers(record, where, split):
    """[(text, first character)] of a record that must tell them; [] if there is no answer."""
    if record.get("is_impossible"):
        return []
    given = record.get("answers")
    texts = _value(given, "text")
    starts = _value(given, "answer_start")
    if not isinstance(texts, list) or not isinstance(starts, list) or len(texts) != len(starts):
        raise UserError(
            f"{where}: answers is {given!r}; expected texts and where they start "
            '(for questions without labels: "predict")'
        )
    return [_checked(*answer, record["context"], where, split) for answer in zip(texts, starts)]


def _checked(text, start, context, where, split):
    """An answer that is where it says it is; one to be scored may stand anywhere."""
    if not isinstance(text, str) or not text.strip():
        raise UserError(f"{where}: the answer is {text!r}; expected a text")
    if isinstance(start, int) and start >= 0 and context.startswith(text, start):
        return text, start
    found = context.find(text)
    if found < 0:
        raise UserError(
            f"{where}: the answer {text!r} is not in its paragraph; copy it from there, letter by "
            "letter, or mark the question is_impossible"
        )
    if split == "train":
        raise UserError(
            f"{where}: the answer {text!r} does not start at character {start!r} of its paragraph; "
            f"it stands at {found}: correct answer_start"
        )
    return text, found
