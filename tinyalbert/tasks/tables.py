"""Labelled rows from whatever people have them in, with the file and line in every complaint."""

import csv
import json
from dataclasses import dataclass, field

from ..errors import UserError
from ..files.writing import replacing
from ..text.plain_text import unix_ends, writable
from .columns import LABELS, choose_columns
from .options import TableSettings
from .records import Records
from .task import BadRows
from .text_files import ending, name_of


@dataclass
class Row:
    """One example: a text, a second text or None, a label or None, and where it stands.

    The label is kept as it is written; several labels of one text, as in a JSON list, are a tuple.
    """

    text: str
    pair: str | None
    label: str | tuple | None
    where: str  # "file, line n", for messages
    # the label, where it is not to be learned from
    truth: str | tuple | None = field(default=None, kw_only=True)


@dataclass
class Table:
    """The Rows of a source, and what was found out about its columns."""

    rows: list
    layout: dict  # {setting: value} with which a file without a header is read alike


def read_table(source, settings=None, **options):
    """All Rows of a file; see open_table."""
    return open_table(source, settings, **options).rows


def open_table(
    source,
    settings=None,
    need_labels=True,
    labels=LABELS,
    empty_labels=False,
    bad_rows=None,
    say=lambda line: None,
):
    """The Table of a file in any format that records.py knows.

    settings: TableSettings; columns are found by their usual names unless they are named there.
    need_labels: False for predictions, where lines may be plain.  labels: usual names of the label.
    empty_labels: whether a row may have none.  bad_rows: of the task.  say: told which columns are
    read.
    """
    settings = settings or TableSettings()
    bad_rows = bad_rows or BadRows()
    records = Records(source, settings, need_labels, bad_rows, say)
    rows, columns = [], None
    for where, record in records:
        if columns is None:
            present = list(record)
            columns = choose_columns(present, settings, labels, need_labels, name_of(source))
            say(f"{name_of(source)}: {columns.describe(present)}")
        with bad_rows.skipping():
            row = _row(record, columns, where)
            if need_labels and not empty_labels and row.label in (None, "", ()):
                raise UserError(f"{where}: the label is empty")
            rows.append(row)
    if not rows and not bad_rows.problems:
        raise UserError(f"{name_of(source)} holds no rows below its header")
    return Table(rows, records.layout)


def _row(record, columns, where):
    """The Row of a record."""
    text = _text(record, columns.text, where)
    pair = _text(record, columns.pair, where) if columns.pair else None
    label = _label(record.get(columns.label), columns.label, where) if columns.label else None
    return Row(text, pair, label, where)


def _text(record, column, where):
    value = record.get(column)
    if value is None:
        raise UserError(f"{where}: nothing under {column!r}")
    return _written(value, column, where)


def _label(value, column, where):
    """A label as it is written, but for the white space in it; a tuple of several."""
    if isinstance(value, list):
        return tuple(_label(each, column, where) for each in value)
    return None if value is None else " ".join(_written(value, column, where).split())


def _written(value, column, where):
    """A text or a number as text, without the space around it."""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, (str, int, float)):
        raise UserError(f"{where}: {value!r} under {column!r}; expected a text or a number")
    return writable(str(value)).strip()


def write_table(path, records):
    """Write records, {column: value}, as the ending says: .csv, .jsonl, or else tabs.

    Between tabs each stretch of white space in a text is one space, and where a cell begins with a
    quote all are quoted; values that are lists or dicts are written as such in .jsonl alone, and
    have to be texts elsewhere.  What is written is read back by open_table.
    """
    kind = ending(path)
    with replacing(path, text=True) as file:
        if kind == ".jsonl":
            for record in records:
                file.write(writable(json.dumps(record, ensure_ascii=False)) + "\n")
            return
        names = list(records[0]) if records else []
        rows = [names, *([record[name] for name in names] for record in records)]
        cells = [[unix_ends(writable(str(cell))) for cell in row] for row in rows]
        if kind == ".csv":
            csv.writer(file, lineterminator="\n").writerows(cells)
            return
        cells = [[" ".join(cell.split()) for cell in row] for row in cells]
        if any(cell.startswith('"') for row in cells for cell in row):
            quoted = csv.writer(file, csv.excel_tab, lineterminator="\n", quoting=csv.QUOTE_ALL)
            quoted.writerows(cells)
            return
        file.writelines("\t".join(row) + "\n" for row in cells)
