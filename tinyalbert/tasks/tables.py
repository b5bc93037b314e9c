"""Labelled rows from TSV, CSV and JSON-lines files, with the file and line in every complaint."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError

TEXT_COLUMNS = (
    "text",
    "sentence",
    "text_a",
    "sentence1",
    "premise",
    "question1",
    "question",
    "review",
)
PAIR_COLUMNS = ("text_b", "sentence2", "hypothesis", "question2", "pair")
LABEL_COLUMNS = ("label", "labels", "score", "class", "gold_label")


@dataclass
class Row:
    """One example: text, a second text or None, label or None, and where it stands.

    The label is kept as it is written.
    """

    text: str
    pair: str | None
    label: str | None
    where: str  # "file, line n", for messages


def _records(path):
    """(line number, {column: value}) of a table; the suffix tells the format."""
    path = Path(path)
    kind = path.suffix.lower()
    if path.is_dir():
        raise UserError(f"{path} is a folder; expected a .tsv, .csv or .jsonl file")
    if kind not in (".tsv", ".csv", ".jsonl", ".json"):
        raise UserError(f"{path} has the ending {kind or '(none)'}; expected .tsv, .csv or .jsonl")
    try:
        with open(
            path, encoding="utf-8-sig", newline=""
        ) as file:  # without the BOM that Excel writes
            if kind in (".jsonl", ".json"):
                for number, line in enumerate(file, 1):
                    if line.strip():
                        try:
                            record = json.loads(line)
                        except json.JSONDecodeError as error:
                            raise UserError(
                                f"{path}, line {number}: not JSON ({error.msg}); "
                                "expected one JSON object a line"
                            ) from None
                        if not isinstance(record, dict):
                            raise UserError(
                                f"{path}, line {number}: {type(record).__name__}; expected a JSON "
                                f"object"
                            )
                        yield number, record
                return
            csv.field_size_limit(1 << 30)  # a whole book may stand in one cell
            if kind == ".tsv":  # GLUE's files: a tab is a tab, a quote is a quote
                reader = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            else:
                reader = csv.reader(file, strict=True)
            header = [name.strip() for name in next(reader, [])]
            if not header:
                raise UserError(
                    f"{path} is empty; expected a first line with the names of the columns"
                )
            if len(set(header)) != len(header):
                raise UserError(
                    f"{path}, line 1: a column name stands twice in {header}; give each its own"
                )
            for values in reader:
                if not values:
                    continue
                if len(values) != len(header):
                    raise UserError(
                        f"{path}, line {reader.line_num}: {len(values)} columns; expected "
                        f"{len(header)} "
                        f"({', '.join(header)}). Is there a tab or comma too many or too few?"
                    )
                yield reader.line_num, dict(zip(header, values))
    except FileNotFoundError:
        raise UserError(f"there is no file {path}") from None
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is not UTF-8 text ({error}); convert it first (iconv -f LATIN1 -t UTF-8)"
        ) from None
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: not a readable table ({error})") from None


def _choose(columns, asked, usual, what, path, required):
    """The column that was asked for, or the first usual name that is there."""
    if asked:
        if asked not in columns:
            raise UserError(
                f"{path} has no column {asked!r} for the {what}; it has {', '.join(columns)}"
            )
        return asked
    found = next((name for name in usual if name in columns), None)
    if found is None and required:
        raise UserError(
            f"{path} has no column for the {what}: it has {', '.join(columns)}; expected one of "
            f"{', '.join(usual)}, or name it with --{what.replace(' ', '-')}-column"
        )
    return found


def read_table(
    path,
    text_column=None,
    pair_column=None,
    label_column=None,
    need_labels=True,
    say=lambda text: None,
):
    """All Rows of a file.

    Columns are found by their usual names unless they are named; say() is told which.
    """
    rows, chosen = [], None
    for number, record in _records(path):
        if chosen is None:
            columns = list(record)
            chosen = (
                _choose(columns, text_column, TEXT_COLUMNS, "text", path, True),
                _choose(columns, pair_column, PAIR_COLUMNS, "pair", path, False),
                _choose(columns, label_column, LABEL_COLUMNS, "label", path, need_labels),
            )
            unused = [repr(name) for name in columns if name not in chosen]
            say(
                f"{path}: "
                + ", ".join(
                    f"{what} from {name!r}"
                    for what, name in zip(("text", "second text", "label"), chosen)
                    if name
                )
                + f"; not used: {', '.join(unused)}" * bool(unused)
            )
        values = []
        for column in chosen:
            value = record.get(column) if column else None
            if column and value is None and (column != chosen[2] or need_labels):
                raise UserError(f"{path}, line {number}: nothing under {column!r}")
            if isinstance(value, (list, dict)):
                raise UserError(
                    f"{path}, line {number}: {value!r} under {column!r}; expected a text or a "
                    f"number"
                )
            values.append(value if value is None else str(value).strip())
        if need_labels and not values[2]:
            raise UserError(f"{path}, line {number}: the label is empty")
        rows.append(Row(*values, where=f"{path}, line {number}"))
    if not rows:
        raise UserError(f"{path} holds no rows below its header")
    return rows
