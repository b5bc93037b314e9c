"""Questions with options to choose from, from files as they are published.

RACE (Lai et al. 2017), SWAG (Zellers et al. 2018), DREAM (Sun et al. 2019), and plain JSON lines;
what a file holds is told by its content.  Of a folder with parts for training and for evaluation,
the part that is asked for is read.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError
from ..strict_json import JSONDecodeError, loads
from ..text.folders import BadFiles, describe_read
from .fields import Fields
from .text_files import ending, files_ending_in, name_of, read_text

# what a part of a published set is called, as a file or a folder
PARTS = {"train": ("train",), "test": ("dev", "valid", "val"), "predict": ("test",)}
ENDINGS = (".txt", ".json", ".jsonl", ".csv", ".tsv")
PLAIN = '{"context": TEXT, "question": TEXT, "choices": [TEXT, ...], "label": NUMBER}'

COLUMNS = {  # what those of a table are usually called; the first two as in SWAG
    "context": ("sent1", "context", "passage", "article", "text"),
    "question": ("sent2", "question", "query"),
    "label": ("label", "answer", "correct"),
    "id": ("id", "video-id", "qid"),
}
OPTIONS = [  # of the first option, the second, ...
    (letter, f"option_{letter}", f"option {letter}", f"choice{i}", f"option{i}", f"ending{i}")
    for i, letter in enumerate("abcdefghij")
]


@dataclass
class Question:
    """A passage ("" for none), a question about it, and the options for its answer.

    label: the number of the right option; None if it is not known.  group: the part of the set
    whose score is told apart, such as RACE's middle and high.
    """

    passage: str
    question: str
    options: list
    label: int | None
    where: str  # "file, line n", for messages
    group: str = ""
    id: str = ""

    def with_option(self, option):
        """Question and option in one text: the option stands in the blank, or behind the question.

        As in google-research/albert, race_utils.py; a blank of several "_" is one.
        """
        if "_" in self.question:
            return re.sub("_+", lambda blank: option, self.question)
        return f"{self.question} {option}".strip()


def read_questions(source, split, bad_rows, say=lambda line: None):
    """The Questions of a file, a folder, or the standard input for "-".

    split: as Task.read has it.  bad_rows: a BadRows, around each record.  say: told what of a
    folder is read and what is left out.
    """
    questions = []
    problems = BadFiles()
    files = {}
    for path in _files(part_of(Path(source), split, say), say):
        with problems.noting():
            files[path] = list(_records(path, bad_rows))
    problems.raise_any(source)
    for path, records in files.items():
        for where, record in records:
            with bad_rows.skipping():
                questions += of_record(record, where, split != "predict", path)
    return questions


def part_of(folder, split, say=lambda line: None):
    """The file or folder of a set's part: what PARTS calls it in `folder`; else `folder` itself."""
    parts = parts_of(folder)
    if parts and split not in parts:
        raise UserError(
            f"{folder} has no part named {' or '.join(PARTS[split])}; expected one, or name a file"
        )
    if parts:
        left_out = [("no part of the set", path) for path in others_in(folder, parts)]
        say(describe_read(folder, [parts[split]], left_out))
    return parts.get(split, folder)


def parts_of(folder):
    """{split: file or folder} of a set whose parts stand side by side in a folder."""
    parts = {}
    for split, names in PARTS.items():
        found = [path for name in names for path in _parts_in(folder) if _stem(path) == name]
        if len(found) > 1 and _stem(found[0]) == _stem(found[1]):
            raise UserError(
                f"{found[0]} and {found[1].name} are both called {_stem(found[0])}; expected one "
                "in the folder, or name the file to be read"
            )
        if found:
            parts[split] = found[0]
    return parts


def others_in(folder, parts):
    """What stands beside the parts of a set."""
    return [path for path in sorted(folder.iterdir()) if path not in parts.values()]


def _parts_in(folder):
    """The folders and the files that may be parts of a set."""
    inside = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in inside if path.is_dir() or ending(path) in ENDINGS]


def _stem(path):
    """The name of a folder, or of a file without its ending."""
    name = path.name.lower()
    return name if path.is_dir() else name.rpartition(ending(path))[0]


def _files(path, say):
    """The files of a part: itself, or those of a folder."""
    return files_ending_in(ENDINGS, path, say, _in_all) if path.is_dir() else [path]


def _in_all(files):
    """What is left out beside an `all.txt`, which stands for its neighbours."""
    whole = {file.parent for file in files if file.name == "all.txt"}
    beside = [file for file in files if file.parent in whole and file.name != "all.txt"]
    return [("beside an all.txt", file) for file in beside]


def _records(path, bad_rows):
    """(where, record) of a file.

    A record is a line of JSON, still as text, or what stands for one: an element of an array, a row
    of a table.
    """
    text, name = read_text(path, unix=True), name_of(path)
    first = text.lstrip()[:1]
    if first == "[":
        records = _json(text, name)
        return [(f"{name}, element {i}", record) for i, record in enumerate(records, 1)]
    if first != "{":
        return _table(text, name, bad_rows)
    lines = text.split("\n")
    if not _is_json(lines[0]) and _is_json(text):  # one object on several lines
        return [(name, text)]
    return [(f"{name}, line {i}", line) for i, line in enumerate(lines, 1) if line.strip()]


def _table(text, name, bad_rows):
    """(where, record) of a table with a column for each option, as SWAG's or as `write` makes."""
    columns = {**COLUMNS, **{f"option {i}": names for i, names in enumerate(OPTIONS)}}
    records = []
    for where, found in Fields(name, columns, bad_rows).of_text(text):
        options = [found.pop(f"option {i}", None) or "" for i in range(len(OPTIONS))]
        while options and not options[-1].strip():
            options.pop()
        if len(options) < 2:
            raise UserError(
                f"{name} holds no questions that are known: expected the JSON of RACE or DREAM, "
                "the CSV of SWAG (with a column ending0), a table with columns context, question, "
                f"A, B, C, ... and label, or lines such as {PLAIN}"
            )
        records.append((where, {**found, "choices": options}))
    return records


def _is_json(text):
    try:
        loads(text)
    except JSONDecodeError:
        return False
    return True


def _json(text, where):
    try:
        return loads(text)
    except JSONDecodeError as error:
        raise UserError(f"{where}: not JSON ({error})") from None


# --- the forms ------------------------------------------------------------------------------------


def of_record(record, where, need_labels=True, path=Path()):
    """The Questions of a record; an answer that is missing or unknown is refused if it is needed.

    path: the file, which says how hard RACE's questions are.
    """
    if isinstance(record, str):
        record = _json(record, where)
    form = _form(record, where)
    try:
        questions = form(record, where)
    except UserError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError) as problem:
        raise UserError(
            f"{where}: not as expected ({type(problem).__name__}: {problem}); compare it with the "
            "records around it"
        ) from None
    for each in questions:
        if form is _race:
            each.group = _level(each.id, path)
        if len(each.options) < 2:
            raise UserError(f"{each.where}: {len(each.options)} options; expected at least two")
        if each.label is None and need_labels:
            raise UserError(
                f"{each.where}: no answer; expected one to train on or to score. For a test set "
                "without answers: tinyalbert predict"
            )
    return questions


def _form(record, where):
    """Which of the forms below a record has."""
    if isinstance(record, list) and len(record) == 3:
        return _dream
    if isinstance(record, dict):
        if "article" in record:
            return _race
        if "ending0" in record:
            return _swag
        if "choices" in record or "options" in record:
            return _plain
    raise UserError(f"{where}: no question with options; expected a line such as {PLAIN}")


def _race(record, where):
    """{"article", "questions", "options": a list for each question, "answers": letters, "id"}."""
    answers = record.get("answers") or [None] * len(record["questions"])
    parts = zip(record["questions"], record["options"], answers, strict=True)
    questions = []
    for i, (question, options, answer) in enumerate(parts, 1):
        place = f"{where}, question {i}"
        options = _texts(options, place)
        label = None if answer is None else _by_letter(answer, options, place)
        name = f"{record.get('id', '')}-{i}"
        questions.append(Question(record["article"], question, options, label, place, id=name))
    return questions


def _level(name, path):
    """RACE's middle or high: by the record's id, or by its folder."""
    words = (name, *reversed(path.parts))
    return next((level for word in words for level in ("middle", "high") if level in word), "")


def _dream(record, where):
    """[turns of a dialogue, [{"question", "choice", "answer": text}, ...], id]."""
    turns, asked, name = record
    questions = []
    for i, each in enumerate(asked, 1):
        place = f"{where} ({name}), question {i}"
        options = _texts(each["choice"], place)
        label = _by_text(each["answer"], options, place) if "answer" in each else None
        passage = "\n".join(turns)
        questions.append(
            Question(passage, each["question"], options, label, place, id=f"{name}-{i}")
        )
    return questions


def _swag(record, where):
    """{"sent1", "sent2": how the second sentence begins, "ending0", ..., "label": number}."""
    names = sorted(name for name in record if re.fullmatch(r"ending\d+", name or ""))
    options = [record[name] for name in names]
    label = record.get("label")
    label = _by_number(label, options, where) if label not in (None, "") else None
    name = str(record.get("video-id", ""))
    return [
        Question(record["sent1"], record["sent2"], _texts(options, where), label, where, id=name)
    ]


def _plain(record, where):
    """{"context", "question", "choices", "label"}; names and answers in the usual variants."""
    options = _texts(record.get("choices", record.get("options")), where)
    passage = next((record[n] for n in ("context", "passage", "text") if n in record), "")
    answer = next((record[n] for n in ("label", "answer") if record.get(n) not in (None, "")), None)
    label = None if answer is None else _answer(answer, options, where)
    name = str(record.get("id", ""))
    question = record.get("question", "")
    return [Question(passage, question, options, label, where, id=name)]


def _texts(options, where):
    """Options as a list of texts."""
    if not isinstance(options, list) or not all(
        isinstance(each, (str, int, float)) for each in options
    ):
        raise UserError(f"{where}: the options are {options!r}; expected a list of texts")
    return [str(each) for each in options]


def _answer(answer, options, where):
    """The number of the right option: as a number, as the text of an option, as a letter."""
    if isinstance(answer, str) and not answer.isdecimal() or answer in options:
        if answer in options or len(answer) > 1:
            return _by_text(answer, options, where)
        return _by_letter(answer, options, where)
    return _by_number(answer, options, where)


def _by_letter(answer, options, where):
    letters = [letter(i) for i in range(len(options))]
    if answer not in letters:
        raise UserError(f"{where}: the answer {answer!r}; expected one of {', '.join(letters)}")
    return letters.index(answer)


def _by_text(answer, options, where):
    if answer not in options:
        raise UserError(f"{where}: the answer {answer!r} is none of the options {options!r}")
    return options.index(answer)


def _by_number(answer, options, where):
    number = int(answer) if str(answer).isdecimal() else -1
    if not 0 <= number < len(options):
        raise UserError(
            f"{where}: the answer {answer!r}; expected the number of an option, "
            f"0 to {len(options) - 1}"
        )
    return number


def letter(number):
    """What the option with this number is called: A, B, ..."""
    return chr(ord("A") + number)
