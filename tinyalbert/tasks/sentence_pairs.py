"""Sentences with their translations, from parallel files, tables and JSON lines.

    train.en,train.de      two files: line n of one translates line n of the other
    pairs.tsv, pairs.csv   a column of each, with a header or without
    pairs.jsonl            {"en": ..., "de": ...}, or {"translation": {"en": ..., "de": ...}}
    stories:translation:N  the stories' invented language

Each may be compressed.  To predict, a file with one source a line will do, - for standard input, or
a text itself.
"""

import csv
import re
from dataclasses import dataclass

from ..errors import UserError
from ..stories.tasks import story_rows
from ..strict_json import JSONDecodeError, loads
from .options import TableSettings
from .records import Records
from .text_files import ending, is_file, name_of, read_text
from .texts import is_text

EXPECTED = "expected two files as in train.en,train.de, or a .tsv, .csv or .jsonl of both"
HEADERS = {"source", "target", "src", "tgt", "text", "translation", "input", "output"}
NAMED = (("source", "target"), ("src", "tgt"), ("text", "translation"), ("input", "output"))
LANGUAGE = re.compile(r"[a-z]{2,3}([-_][A-Za-z]{2,4})?")  # en, deu, pt_BR


@dataclass
class SentencePair:
    """A text and its translation, None if there is none, and where they stand, for messages."""

    source: str
    target: str | None
    where: str


def read_pairs(source, split, bad_rows, columns=(None, None), seed=0, say=lambda line: None):
    """All SentencePairs of a source; in the split "predict" they need no translation.

    columns: names of those of the source and of the target, if they are not the first two.
    """
    source = str(source)
    if source.startswith("stories:"):
        rows = story_rows(source, "translation", seed, "train" if split == "train" else "test")
        found = [
            (row["source"], row["target"], f"{source}, row {i}") for i, row in enumerate(rows, 1)
        ]
    elif split == "predict" and is_text(source):
        found = [(source, None, "the text")]
    elif "," in source and not is_file(source):
        found = _parallel(source)
    elif ending(source) in (".tsv", ".csv", ".jsonl", ".json"):
        found = _table(source, columns, bad_rows, say)
    elif split == "predict":
        found = ((line, None, where) for line, where in _lines(source))
    else:
        raise UserError(f"{source} has no translations; {EXPECTED}")
    pairs = []
    for text, translation, where in found:
        with bad_rows.skipping():
            pairs.append(_checked(text, translation, where, split))
    return pairs


def _checked(text, translation, where, split):
    """The pair; refuses one of which something is missing."""
    if split == "predict":  # told beside the prediction, if it is there
        translation = translation if isinstance(translation, str) and translation.strip() else None
    elif translation is None:
        raise UserError(f"{where}: there is no translation; {EXPECTED}")
    for what, value in (("text", text), ("translation", translation)):
        given = value is not None or what == "text"
        if given and not (isinstance(value, str) and value.strip()):
            raise UserError(f"{where}: the {what} is {value!r}; expected a sentence")
    return SentencePair(text.strip(), translation and translation.strip(), where)


def _parallel(source):
    """The pairs of two files of as many lines."""
    paths = source.split(",")
    if len(paths) != 2:
        raise UserError(f"{source} names {len(paths)} files; {EXPECTED}")
    first, second = (list(_lines(path)) for path in paths)
    if len(first) != len(second):
        raise UserError(
            f"{paths[0]} has {len(first):,} lines, {paths[1]} has {len(second):,}; expected as "
            "many, line n of one being the translation of line n of the other"
        )
    return [(text, other, where) for (text, where), (other, _) in zip(first, second)]


def _lines(path):
    """(line, where it stands) of a text file or of the standard input."""
    return _lines_of(read_text(path, unix=True), path)


def _lines_of(text, path):
    """(line, where it stands) of a text that was read."""
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()  # what stands behind the last line's end
    for number, line in enumerate(lines, 1):
        yield line.rstrip("\r"), f"{name_of(path)}, line {number}"


def _table(path, columns, bad_rows, say):
    """(text, translation, where) of each row of a table or of JSON lines."""
    chosen = None
    for record, where in _json(path, bad_rows) if "json" in ending(path) else _cells(path, columns):
        names = list(record)
        if chosen is None:
            usual = _usual(names)
            chosen = [_column(names, columns[i] or usual[i], i, path) for i in (0, 1)]
            say(f"{path}: source from {chosen[0]!r}, translation from {chosen[1]!r}")
        yield record.get(chosen[0]), record.get(chosen[1]), where


def _usual(names):
    """(source, target): the columns that are called so; (None, None) if none is."""
    by_name = {name.strip().casefold(): name for name in reversed(names)}
    for source, target in NAMED:
        alone = not all(map(LANGUAGE.fullmatch, names[:2]))
        if source in by_name and (target in by_name or alone):
            return by_name[source], by_name.get(target)
    return None, None


def _column(names, asked, place, path):
    """The column that was asked for, or the one in this place; None if there is none."""
    if asked and asked not in names:
        raise UserError(f"{path} has no column {asked!r}; it has {', '.join(map(repr, names))}")
    return asked or (names[place] if place < len(names) else None)


def _cells(path, columns):
    """({column: text}, where) of a table; without a header the columns are 1, 2, ..."""
    lines = ((line + "\n", where) for line, where in _lines(path))
    place = [""]

    def text():
        for line, where in lines:
            place[0] = where
            yield line

    tabs = ending(path) == ".tsv"
    how = {"delimiter": "\t", "quoting": csv.QUOTE_NONE} if tabs else {"strict": True}
    header = None
    try:
        for values in csv.reader(text(), **how):
            if header is None and _is_header(values, columns):
                header = values
            elif values:
                header = header or [str(i) for i in range(1, len(values) + 1)]
                yield dict(zip(header, values)), place[0]
    except csv.Error as error:
        raise UserError(f"{place[0]}: not a readable table ({error})") from None


def _is_header(values, columns):
    """Whether the first row of a table has names: those asked for, usual ones, or languages."""
    names = [value.strip() for value in values]
    if any(asked in names for asked in columns if asked):
        return True
    usual = [name.lower() in HEADERS or bool(LANGUAGE.fullmatch(name)) for name in names]
    return (len(names) > 1 and all(usual[:2])) or _usual(names) != (None, None)


def _json(path, bad_rows):
    """({field: value}, where) of JSON lines, or of a JSON array.

    The fields are those of "translation" if it has both texts.
    """
    text = read_text(path, unix=True)
    if text.lstrip().startswith("["):
        records = Records(path, TableSettings(), False, bad_rows, str).of_text(text)
        yield from ((_unwrapped(record, where), where) for where, record in records)
        return
    for line, where in _lines_of(text, path):
        record = None
        with bad_rows.skipping():
            record = _record(line, where) if line.strip() else None
        if record is not None:
            yield record, where


def _record(line, where):
    try:
        record = loads(line)
    except JSONDecodeError as error:
        raise UserError(f"{where}: not JSON ({error.msg}); expected a JSON object") from None
    return _unwrapped(record, where)


def _unwrapped(record, where):
    if isinstance(record, dict) and isinstance(record.get("translation"), dict):
        record = record["translation"]
    if not isinstance(record, dict):
        raise UserError(f"{where}: {type(record).__name__}; expected a JSON object")
    return record
