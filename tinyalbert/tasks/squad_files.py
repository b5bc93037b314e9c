"""Questions about paragraphs, from files in SQuAD's format, JSON lines and the story world.

SQuAD 1.1 and 2.0 (Rajpurkar et al. 2016, 2018) are one JSON object:

    {"version": "v2.0", "data": [{"title": ..., "paragraphs": [{"context": ..., "qas": [
        {"id": ..., "question": ..., "answers": [{"text": ..., "answer_start": ...}],
         "is_impossible": false}]}]}]}

JSON lines have one question a line, as the `datasets` library writes them: {"id", "context",
"question", "answers": {"text": [...], "answer_start": [...]}}.  A table has columns of these names;
an answer may be there by itself, or as JSON.
"""

from dataclasses import dataclass

from ..errors import UserError
from ..stories.tasks import story_rows
from ..strict_json import JSONDecodeError, loads
from .fields import TABLES, Fields
from .text_files import ending, name_of, read_text

COLUMNS = {  # what those of a table are usually called
    "id": ("id", "qid", "question_id"),
    "question": ("question", "query"),
    "context": ("context", "paragraph", "passage", "text", "document"),
    "answer": ("answers", "answer", "answer_text"),
    "answer_start": ("answer_start", "start"),
}


@dataclass
class Question:
    """A question about a paragraph, its right answers, and where it stands.

    answers: [(text, first character in `context`), ...], empty if there is no answer or it is not
    known.  layout: (tokens a row, tokens that windows share, tokens of a question) as the caller of
    a pipeline has it.
    """

    id: str
    question: str
    context: str
    answers: list
    where: str  # "file, question id", for messages
    layout: tuple | None = None
    truth: dict | None = None  # the answers, where they are not to be learned from


def read_questions(source, split, bad_rows, seed=0):
    """The Questions of a file (.json: SQuAD's format, .jsonl: one a line) or of `stories:qa[:N]`.

    split: "train" needs each answer at its place in the paragraph, "test" somewhere in it,
    "predict" none.
    """
    questions, seen = [], set()
    for place, record in _records(str(source), seed, split, bad_rows):
        with bad_rows.skipping():
            question = _question(record, place, split)
            if question.id in seen:
                raise UserError(f"{question.where}: the id {question.id!r} stands twice")
            seen.add(question.id)
            questions.append(question)
    return questions


def _records(source, seed, split, bad_rows):
    """(where, record) of each question; a record has the fields of a line of JSON lines."""
    if source.startswith("stories:"):
        rows = story_rows(source, "qa", seed, "test" if split == "predict" else split)
        return [(f"{source}, row {i}", row) for i, row in enumerate(rows, 1)]
    name, text = name_of(source), read_text(source, unix=True)
    kind, start = ending(source), text.lstrip()[:1]
    if kind in TABLES or (kind not in (".json", ".jsonl") and start not in ("{", "[")):
        return _of_table(source, text, bad_rows, split)
    lines = [(f"{name}, line {i}", line) for i, line in enumerate(text.split("\n"), 1)]
    lines = [(where, line) for where, line in lines if line.strip()]
    if kind == ".jsonl" or (kind != ".json" and lines and _is_record(lines[0][1])):
        return [(where, _numbered(_json(line, where), where)) for where, line in lines]
    whole = _json(text, name, whole=True)
    if isinstance(whole, list):
        places = [f"{name}, element {i}" for i in range(1, len(whole) + 1)]
        return [(where, _numbered(record, where)) for where, record in zip(places, whole)]
    return list(_squad(name, whole))


def _of_table(source, text, bad_rows, split):
    """(where, record) of each row of a table; an answer may be a text alone, or as JSON has it."""
    records = []
    for where, found in Fields(source, COLUMNS, bad_rows).of_text(text):
        if "question" not in found or "context" not in found:
            raise UserError(
                f"{name_of(source)}: no columns question and context; expected them, a .json file "
                "in SQuAD's format, a .jsonl file with context, question and answers in each line, "
                "or stories:qa"
            )
        answer = found.pop("answer", None)
        start = found.pop("answer_start", "")
        if split != "predict" or answer is not None:
            found["answers"] = _answers_of(answer or "", str(start).strip(), where)
            found["is_impossible"] = not found["answers"]["text"]
        records.append((where, _numbered(found, where)))
    return records


def _answers_of(cell, start, where):
    """{"text", "answer_start"} of a cell with one answer, or with the same in JSON."""
    if not isinstance(cell, str):
        return cell
    if cell.lstrip().startswith("{"):
        return _json(cell, where)
    texts = [cell] if cell.strip() else []
    return {"text": texts, "answer_start": [int(start) if start.isdecimal() else None] * len(texts)}


def _is_record(line):
    """Whether a line is a question of its own."""
    try:
        return "question" in loads(line)
    except (JSONDecodeError, TypeError):
        return False


def _json(text, where, whole=False):
    """The value of a file's text (whole) or of one line."""
    try:
        return loads(text)
    except JSONDecodeError as error:
        place = f"{where}, line {error.lineno}" if whole else where
        raise UserError(f"{place}: not JSON ({error.msg}); is the file whole?") from None


def _numbered(record, where):
    """A record with an id, if need be the number of its line."""
    return {"id": where.rsplit(" ", 1)[1], **record} if isinstance(record, dict) else record


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
    truth = record.get("answers")
    if record.get("is_impossible"):
        truth = {"text": [], "answer_start": []}
    return Question(
        str(record["id"]), record["question"], record["context"], answers, where, truth=truth
    )


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
    if split == "train" and start is not None:
        raise UserError(
            f"{where}: the answer {text!r} does not start at character {start!r} of its paragraph; "
            f"it stands at {found}: correct answer_start"
        )
    return text, found
