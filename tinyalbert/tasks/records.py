"""From a file or a folder to records, {column: value}, whatever its format.

Read are: tables with tabs, commas, semicolons or bars between their columns, with and without a
header; JSON lines, JSON arrays; fastText's `__label__x some text`; TREC's `COARSE:fine some text`;
folders of texts, one for each label; and, for predictions, plain lines.  The format is told by what
stands in the file; its ending decides only where that leaves a choice.
"""

import csv
import io
import itertools
import re
import shlex
from pathlib import Path

from ..errors import UserError
from ..strict_json import JSONDecodeError, decode_at, loads
from ..text.folders import BadFiles, describe_read, files_of
from .columns import DELIMITERS, UNUSED, guessed, is_usual
from .text_files import STANDARD_INPUT, ending, name_of, read_text

LABEL_MARK = "__label__"
TREC = re.compile(r"([A-Z]{2,}):(\w+) +(\S.*)")
JSON = (".json", ".jsonl", ".ndjson")
SAMPLE = 1000  # rows that are looked at to tell what a table is


class Records:
    """The records of a source.  Iterating gives (where it stands, {column: value}).

    settings: TableSettings.  need_labels: False for predictions, where lines may be plain.
    bad_rows: of the task; rows that can't be used go there.  say: told what was found out.
    """

    def __init__(self, source, settings, need_labels, bad_rows, say):
        self.source = source
        self.name = name_of(source)
        self.settings = settings
        self.need_labels = need_labels
        self.bad_rows = bad_rows
        self.say = say
        self.layout = {}  # {setting: value} with which a file without a header is read alike
        # what has no names of its own takes those that are asked for, typed or remembered
        self.text_name = settings.text_column or "text"
        self.label_name = settings.label_column or "label"

    def __iter__(self):
        if str(self.source) != STANDARD_INPUT and Path(self.source).is_dir():
            return self._label_folders()
        text = read_text(self.source, self.settings.encoding, self.say, option=True, unix=True)
        return self.of_text(text)

    def of_text(self, text):
        """(where it stands, {column: value}) of the records of a text that was read."""
        start = text.lstrip()
        kind = ending(self.source)
        if start.startswith("[") and (kind == ".json" or _is_json(start)):
            return self._array(text)
        if start.startswith("{") and (kind in JSON or _is_json(_first_line(start))):
            several = _is_json(_first_line(start)) and start.strip().count("\n")
            return self._json_lines(text) if several else self._object(text)
        if kind in JSON:
            return self._json_lines(text)
        if start.startswith(LABEL_MARK):
            return self._fasttext(text)
        if all(TREC.match(line) for line in start.split("\n")[:20] if line.strip()) and start:
            return self._trec(text)
        return self._table(text, kind)

    def _lines(self, text):
        """(where, line) of the lines that are not blank."""
        for number, line in enumerate(io.StringIO(text), 1):
            if line.strip():
                yield f"{self.name}, line {number}", line.strip()

    # --- lines of a known form --------------------------------------------------------------------

    def _plain(self, text):
        return ((where, {self.text_name: line}) for where, line in self._lines(text))

    def _fasttext(self, text):
        """Every word that begins with __label__ is a label, wherever it stands, as in fastText."""
        for where, line in self._lines(text):
            words = line.split()
            labels = [word.removeprefix(LABEL_MARK) for word in words if word[:9] == LABEL_MARK]
            rest = " ".join(word for word in words if word[:9] != LABEL_MARK)
            with self.bad_rows.skipping():
                if self.need_labels and not labels:
                    raise UserError(f"{where}: no word begins with {LABEL_MARK}; expected a label")
                label = labels[0] if len(labels) == 1 else labels
                yield where, {self.text_name: rest, self.label_name: label}

    def _trec(self, text):
        """The coarse label is the label; --label-column fine chooses the other."""
        for where, line in self._lines(text):
            with self.bad_rows.skipping():
                match = TREC.fullmatch(line)
                if match is None:
                    raise UserError(f"{where}: {line[:40]!r}; expected COARSE:fine and a text")
                coarse, fine, question = match.groups()
                yield where, {"label": coarse, "fine": f"{coarse}:{fine}", "text": question}

    # --- folders ----------------------------------------------------------------------------------

    def _label_folders(self):
        """The texts of a folder: those in its folders have these as labels."""
        folder = Path(self.source)
        found = files_of(folder)
        files = found.files + [path for why, path in found.left_out if why == "empty"]
        parts = {path: path.relative_to(folder).parts for path in sorted(files)}
        inner = [path for path in files if len(parts[path]) == 2]
        for path in parts:
            if len(parts[path]) > 2:
                whole = folder / parts[path][0]
                raise UserError(
                    f"{whole} has folders of its own; expected a folder for each label, with a "
                    f"text in each file. Is it {whole} that should be read?"
                )
        if not inner and self.need_labels:
            raise UserError(
                f"{folder} is a folder without folders that hold texts; expected one for each "
                "label, with a text in each file, or a table"
            )
        left_out = [each for each in found.left_out if each[0] != "empty"]  # a row without text
        if inner:
            beside = [path for path in parts if len(parts[path]) == 1]
            left_out += [("beside the folders", path) for path in beside]
            parts = {path: parts[path] for path in parts if len(parts[path]) == 2}
        self.say(describe_read(folder, list(parts), left_out))
        yield from self._labelled_texts(folder, parts)

    def _labelled_texts(self, folder, parts):
        """Texts with the folder that they are in, if any; all that can't be read are told at once.

        parts: {path: its folder and name}.
        """
        texts = []
        problems = BadFiles()
        skip = self.bad_rows.skip
        for path, (*label, _) in parts.items():
            with self.bad_rows.skipping() if skip else problems.noting():
                text = read_text(path, self.settings.encoding, option=True).strip()
                if not text:
                    raise UserError(f"{path} is empty; expected a text")
                labelled = {self.label_name: label[0]} if label else {}
                texts.append((str(path), {self.text_name: text, **labelled}))
        with self.bad_rows.skipping():
            problems.raise_any(folder)
        yield from texts

    # --- JSON -------------------------------------------------------------------------------------

    def _json_lines(self, text):
        for where, line in self._lines(text):
            with self.bad_rows.skipping():
                try:
                    record = loads(line)
                except JSONDecodeError as error:
                    raise UserError(
                        f"{where}: not JSON ({error.msg}); expected one JSON object a line, or one "
                        "array of objects"
                    ) from None
                yield where, _object(record, where)

    def _array(self, text, at=None):
        """The objects of a JSON array, which begins at text[at], with their lines."""
        at = (text.index("[") if at is None else at) + 1
        line, counted = 1, 0
        while True:
            at = re.compile(r"[\s,]*").match(text, at).end()
            if text[at : at + 1] == "]":
                return
            line += text.count("\n", counted, at)
            counted = at
            try:
                record, at = decode_at(text, at)
            except JSONDecodeError as error:
                raise UserError(
                    f"{self.name}, line {error.lineno}: not JSON ({error.msg}); expected an array "
                    "of objects"
                ) from None
            where = f"{self.name}, line {line}"
            with self.bad_rows.skipping():
                yield where, _object(record, where)

    def _object(self, text):
        """One JSON object: a record, columns with their values, or a list of records in it."""
        try:
            whole = loads(text)
        except JSONDecodeError as error:
            raise UserError(
                f"{self.name}, line {error.lineno}: not JSON ({error.msg}); expected one object a "
                "line, or one array of objects"
            ) from None
        if _is_split(whole):  # as pandas writes it with orient="split"
            whole = {name: list(each) for name, each in zip(whole["columns"], zip(*whole["data"]))}
        elif _is_indexed(whole):  # and with orient="index"
            whole = {"data": list(whole.values())}
        values = [
            list(each.values()) if isinstance(each, dict) else each for each in whole.values()
        ]
        many = [each for each in values if isinstance(each, list)]
        records = [each for each in many if each and all(isinstance(one, dict) for one in each)]
        if len(records) == 1:
            for number, record in enumerate(records[0], 1):
                yield f"{self.name}, entry {number}", record
        elif len(records) > 1:
            raise UserError(
                f"{self.name} holds {len(records)} lists of records, in {', '.join(whole)}; "
                "expected one in a file of its own (jq .NAME makes such a file)"
            )
        elif len(many) < len(values):
            yield f"{self.name}, line 1", whole
        elif len({len(each) for each in many}) == 1:
            for number, row in enumerate(zip(*many), 1):
                yield f"{self.name}, entry {number}", dict(zip(whole, row))
        else:
            raise UserError(
                f"{self.name} is one JSON object with {', '.join(list(whole)[:10]) or 'nothing'}; "
                "expected an array of objects, or one object a line (jq -c '.[]' makes such lines)"
            )

    # --- tables -----------------------------------------------------------------------------------

    def _table(self, text, kind):
        if not text.strip():
            raise UserError(f"{self.name} is empty; expected rows with a text and a label each")
        asked, text = _without_separator_line(text)
        quoted = _is_quoted(text)
        delimiter, header = self._layout(text, kind, quoted, asked)
        if delimiter is None:
            yield from self._plain(text)
            return
        rows = self._rows(text, delimiter, quoted or delimiter != "\t")
        if header is None:
            _, header = next(rows)
            header = [name.strip() for name in header]
        self._check_names(header)
        what = {"\t": "tab", ",": "comma", ";": "semicolon"}.get(delimiter, delimiter)
        for line, cells in rows:
            where = f"{self.name}, line {line}"
            if not any(cell.strip() for cell in cells) or _is_rule(cells, delimiter):
                continue
            with self.bad_rows.skipping():
                while len(cells) > len(header) and not cells[-1].strip():
                    cells.pop()
                if len(header) == 1:  # nothing is separated
                    cells = [f"{delimiter} ".join(cells)]
                if len(cells) != len(header):
                    raise UserError(
                        f"{where}: {len(cells)} columns; expected {len(header)} "
                        f"({', '.join(header)}). Is there a {what} too many or too few?"
                    )
                yield where, dict(zip(header, cells))

    def _check_names(self, header):
        """Refuse a name that two columns have, if one of them may be read."""
        for name in dict.fromkeys(header):
            if header.count(name) > 1 and (is_usual(name) or name in self._asked()):
                raise UserError(
                    f"{self.name}, line 1: a column name stands twice in {header}; give each its "
                    "own"
                )

    def _asked(self):
        """The names of columns that the settings have."""
        settings = self.settings
        names = (settings.text_column, settings.pair_column, settings.label_column)
        return [name for name in names if name]

    def _layout(self, text, kind, quoted, preferred):
        """(delimiter, names of the columns) of a table.

        Names of None stand in its first line; a delimiter of None means plain lines.  preferred:
        the delimiter that the file itself names.
        """
        settings = self.settings
        preferred = preferred or {".tsv": "\t", ".csv": ","}.get(kind)
        order = dict.fromkeys([settings.delimiter, preferred, *DELIMITERS.values()])
        samples = {
            each: _sample(text, each, quoted or each != "\t") for each in order if each is not None
        }
        for delimiter, rows in samples.items():
            if self._is_header(rows):
                self._check_columns(rows[0])
                return delimiter, None

        named = settings.columns and [name.strip() for name in settings.columns.split(",")]
        if settings.delimiter:
            samples = {settings.delimiter: samples[settings.delimiter]}
        widths = {each: _usual_width(rows) for each, rows in samples.items()}
        fit = [each for each, width in widths.items() if named and width == len(named)]
        numbers = [int(name) for name in self._asked() if name.isdecimal()]
        if numbers and not named:  # commas may stand in texts between other delimiters
            wide = [each for each, width in widths.items() if width >= max(numbers)]
            fit = sorted(wide, key=widths.get, reverse=True)
        delimiter = next(
            iter(fit or [each for each, width in widths.items() if width > 1]),
            settings.delimiter or preferred,
        )
        width = widths.get(delimiter, 1)
        if named:
            return self._named(named, delimiter, width, kind)
        if not self.need_labels and delimiter != "\t" and not (preferred or settings.delimiter):
            return None, None
        if (settings.text_column or "").isdecimal():
            return delimiter or "\t", [str(i + 1) for i in range(width)]
        if self._asked():
            return delimiter or "\t", None  # whoever chooses the columns says what is missing

        rows = samples[delimiter or "\t"]
        names, clear = guessed([row for row in rows if len(row) == width])
        if clear and self.need_labels:
            self.layout = {"columns": ",".join(names), "delimiter": delimiter}
            self.say(
                f"{self.name} has no header; its columns look like {', '.join(names)} (if they are "
                "others: --columns)"
            )
            return delimiter, names
        first = f"the first line is {', '.join(repr(cell[:30]) for cell in rows[0][:8])}"
        if len(rows[0]) < 2:
            raise UserError(
                f"{self.name}: no column has a name that a text usually has, and none of "
                f"{', '.join(DELIMITERS)} separates columns; {first}. Expected a text and a label "
                "in each row; name what separates them (--delimiter), or put a tab there (after "
                f"the first word: sed 's/ /\\t/' {shlex.quote(self.name)} > labelled.tsv)"
            )
        example = names or _by_length([row for row in rows if len(row) == len(rows[0])])
        raise UserError(
            f"{self.name}: no column has a name that a text usually has; {first}. Name the columns "
            "with --text-column and --label-column or, if the file has no header, all of them in "
            f"their order: --columns {','.join(example)} ({UNUSED}: not read)"
        )

    def _check_columns(self, header):
        """Say so if --columns has other names than the header."""
        header = [name.strip() for name in header]
        named = [name.strip() for name in (self.settings.columns or "").split(",")]
        if self.settings.columns and self.need_labels and named != header:
            self.say(
                f"{self.name}: the first line names the columns ({', '.join(header)}), so "
                "--columns is not used"
            )

    def _named(self, names, delimiter, width, kind):
        """The layout of a table whose columns are named by --columns.

        For predictions the labels may be left out, and plain lines may have commas.
        """
        delimiter = delimiter or "\t"
        if self.need_labels:
            self.layout = {"columns": ",".join(names), "delimiter": delimiter}
            self.say(f"{self.name}: the first line is the first row, since --columns names columns")
            return delimiter, names
        unlabelled = [name for name in names if name != (self.settings.label_column or "label")]
        doubtful = delimiter == "," and kind != ".csv"
        if width == len(names) > 1 and not doubtful:
            return delimiter, names
        if width == len(unlabelled) > 1 and not doubtful:
            return delimiter, unlabelled
        return None, None

    def _is_header(self, rows):
        """Whether the first of some rows names columns.

        A number, and an only usual name, is a name only if it does not come again below, as labels
        do.
        """
        asked = self._asked()
        if rows and len({cell.casefold() for cell in rows[0] if is_usual(cell)}) > 1:
            return True
        for i, cell in enumerate(rows[0] if rows else []):
            again = any(row[i : i + 1] == [cell] for row in rows[1:])
            if cell in asked and not (cell.isdecimal() and again):
                return True
            if is_usual(cell) and not again:
                return True
        return False

    def _rows(self, text, delimiter, quoted):
        """(number of its first line, cells) of the rows of a table, blank ones left out."""
        for line, last, cells in _parsed(text, delimiter, quoted):
            if cells is not None:
                yield line, cells
                continue
            with self.bad_rows.skipping():
                reach = f" before line {last}" if last > line else ""
                raise UserError(
                    f"{self.name}, line {line}: a quote opens in this row and does not close"
                    f"{reach} where its column ends; close it, and write a quote inside quotes "
                    'twice ("")'
                )


def _parsed(text, delimiter, quoted):
    """(number of its first line, of its last, cells) of the rows of a table, blank ones left out.

    The cells are None where a quote does not close; reading goes on with the line after its first.
    """
    lines = list(io.StringIO(text, newline=""))
    begin = 0
    while begin < len(lines):
        rest = map(lines.__getitem__, range(begin, len(lines)))
        reader = _reader(rest, delimiter, quoted, strict=True)
        done = 0  # lines of the rows that were read
        try:
            for cells in reader:
                if cells:
                    yield begin + done + 1, begin + reader.line_num, cells
                done = reader.line_num
            return
        except csv.Error:
            yield begin + done + 1, begin + reader.line_num, None
        begin += done + 1


def _without_separator_line(text):
    """(delimiter or None, text): a first line `sep=;`, as Excel reads it, becomes a blank one."""
    first, end, rest = text.partition("\n")
    if re.fullmatch(r"\W?sep=.\W?\s*", first):
        return first.strip().strip('"')[-1], end + rest
    return None, text


def _reader(lines, delimiter, quoted, strict=False):
    """A csv.reader; quoted: a delimiter or a line end between quotes is part of a cell."""
    csv.field_size_limit(1 << 30)  # a whole book may stand in one cell
    quoting = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    spaces = quoted and delimiter != "\t"  # those between a comma and a quote
    return csv.reader(
        lines, delimiter=delimiter, quoting=quoting, strict=strict, skipinitialspace=spaces
    )


def _by_length(rows):
    """Names for columns, for want of better: the longest is the text, the shortest the label."""
    lengths = [sum(map(len, column)) for column in zip(*rows)]
    names = [UNUSED] * len(lengths)
    names[lengths.index(min(lengths))] = "label"
    names[lengths.index(max(lengths))] = "text"
    return names


def _is_rule(cells, delimiter):
    """Whether a row is the line below a header of Markdown."""
    return delimiter == "|" and all(re.fullmatch(r" *:?-+:? *|", cell) for cell in cells)


def _sample(text, delimiter, quoted):
    """Lists of cells of the first rows, without blank ones and those where a quote goes wrong."""
    start = text[: 200 * SAMPLE]
    if len(start) < len(text):
        start = start[: start.rfind("\n") + 1] or start
    parsed = (cells for _, _, cells in _parsed(start, delimiter, quoted))
    filled = (cells for cells in parsed if cells is not None and any(map(str.strip, cells)))
    return [[cell.strip() for cell in cells] for cells in itertools.islice(filled, SAMPLE)]


def _usual_width(rows):
    """The number of columns that nearly all rows have; 0 if there is none."""
    widths = [len(row) for row in rows]
    usual = max(widths, key=widths.count, default=0)
    return usual if widths.count(usual) >= 0.8 * len(widths) else 0


def _is_split(whole):
    """Whether a JSON object has the names of columns and rows of as many cells."""
    names, rows = whole.get("columns"), whole.get("data")
    return (
        isinstance(names, list)
        and isinstance(rows, list)
        and all(isinstance(name, str) for name in names)
        and all(isinstance(row, list) and len(row) == len(names) for row in rows)
    )


def _is_indexed(whole):
    """Whether a JSON object has a record under each of its names, which are numbers."""
    return bool(whole) and all(
        name.isdecimal() and isinstance(each, dict) and any(map(is_usual, each))
        for name, each in whole.items()
    )


def _is_quoted(text):
    """Whether quotes around a cell between tabs are no part of it, as in a CSV.

    In GLUE's files they are part of the text.  They are not where all names in the first line have
    them, where that alone makes all rows equally long, or where each is closed and some have
    others, written twice, between them.
    """
    if "\t" not in text or '"' not in text:
        return False
    file = io.StringIO(text, newline="")
    bare = [row for row in _reader(file, "\t", False) if row]
    file.seek(0)
    try:
        rows = [row for row in _reader(file, "\t", True, strict=True) if row]
    except csv.Error:
        return False
    if len({len(row) for row in rows}) != 1:
        return False
    if all(cell[:1] == cell[-1:] == '"' for cell in bare[0]):
        return True
    doubled = '""' in text and any('"' in cell for row in rows for cell in row)
    return len({len(row) for row in bare}) != 1 or (len(bare) == len(rows) and doubled)


def _first_line(text):
    return text.partition("\n")[0]


def _is_json(text):
    try:
        loads(text)
    except ValueError:
        return False
    return True


def _object(record, where):
    """A record of a JSON file; refuses what is no object."""
    if isinstance(record, list):
        raise UserError(
            f"{where}: a list; expected a JSON object (of lists, jq -r '.[] | @tsv' makes a table)"
        )
    if not isinstance(record, dict):
        raise UserError(f"{where}: {type(record).__name__}; expected a JSON object")
    return record
