"""Files of tagged words, as they are published, and the files of predictions.

    columns      a word a line, its tag in the last column, a blank line between sentences; 2 to 4
                 columns (CoNLL-2000 ... 2003, WNUT) or CoNLL-U's 10, separated by tabs or spaces
    JSON lines   {"tokens", "tags"}, or {"text", "entities": [[start, end, type], ...]}, an object a
                 line, or a list of them in a .json file
    tables       .tsv or .csv with a header: a word a row, or to be predicted a text a row
    plain text   a text a line, to be predicted: split into words and marks

Nothing here knows what the tags mean; entities.py does.
"""

import io
import json
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass, field

from ..errors import UserError
from ..files.writing import replacing
from ..strict_json import JSONDecodeError, loads
from ..text.plain_text import writable
from .fields import Fields
from .tables import write_table
from .text_files import ending, name_of, read_text

TOKENS = ("tokens", "words")
TAGS = ("tags", "ner_tags", "pos_tags", "labels")
SPANS = ("entities", "spans", "label", "labels")
COLUMNS = {  # of tables with a header
    "word": ("word", "token", "words", "tokens", "form"),
    "tag": ("tag", "ner_tag", "tags", "ner_tags", "ner", "label", "labels", "upos", "pos"),
    "sentence": ("sentence #", "sentence", "sentence_id", "sentence id", "sent_id", "sentence_idx"),
    "text": ("text", "review", "tweet", "content", "message", "comment", "body"),
}
COLUMN_ENDINGS = (".conll", ".conllu", ".bio", ".iob", ".iob2", ".bioes")


@dataclass
class Sentence:
    """Words with their tags, and where they stand."""

    words: list  # of str
    given: list | None = None  # their tags as the file has them
    path: str = ""
    lines: list = field(default_factory=list)  # the line of each word
    text: str | None = None  # what the words were cut from, if that is known
    spans: list | None = None  # the characters (start, end) of each word in it
    unaligned: list = field(default_factory=list)  # types of entities that no words make up
    scheme: str | None = None  # of the given tags
    tags: list | None = None  # what is to be learned or compared with: IOB2 tags, or labels
    unit: str = "line"  # what `lines` counts, for messages
    stride: int | None = None  # tokens that windows share which are answered apart

    def where(self, word=0):
        """The place of a word, for messages."""
        return f"{self.path}, {self.unit} {self.lines[word]}" if self.lines else self.path


# --- reading --------------------------------------------------------------------------------------


def read_sentences(
    source,
    bad_rows,
    word_column=None,
    tag_column=None,
    encoding=None,
    labelled=True,
    say=lambda line: None,
):
    """The sentences of a file, or of standard input ("-"), a list of Sentence.

    bad_rows: a BadRows, around each sentence.  word_column, tag_column: numbers from 1; found out
    if None.  encoding: as in text_files.read_text.
    labelled: False if the tags may be missing.  say: told what was found.
    """
    # not splitlines, which also cuts at characters that may stand in a word
    text = read_text(source, encoding, say, option=True, unix=True)
    lines = [(number, line.rstrip("\n")) for number, line in enumerate(io.StringIO(text), 1)]
    source = name_of(source)
    content = [line for _, line in lines if line.strip(" \t")]
    if not content:
        raise UserError(f"{source} is empty; expected words with tags, one a line")
    if ending(source) in (".jsonl", ".json") or content[0].lstrip().startswith('{"'):
        return _from_json(source, lines, bad_rows, labelled)
    if not (word_column or tag_column) and _has_header(content, labelled):
        return _from_table(source, text, bad_rows)
    if not labelled and _is_plain(source, content):
        return [from_text(line, source, number) for number, line in lines if line.strip()]
    return _Columns(source, lines, word_column, tag_column, labelled, say).read(bad_rows)


def _has_header(content, labelled):
    """Whether the first line names the columns of a table."""
    first, *others = content
    delimiter = next((each for each in "\t,;|" if each in first), None)
    cells = [cell.strip(' "').casefold() for cell in first.split(delimiter)]
    known = {field for field, names in COLUMNS.items() for cell in cells if cell in names}
    if "word" in known and (delimiter or len(cells) == 1):
        return "tag" in known or not labelled
    texts = {"text", "sentence"} & known
    return not labelled and bool(texts) and (delimiter is not None or len(cells) == 1 < len(others))


def _from_table(source, text, bad_rows):
    """The sentences of a table: a word a row or a text a row."""
    records = Fields(source, COLUMNS, bad_rows).of_text(text)
    sentences, before = [], (None, 0)  # the last word's sentence and line
    for where, record in records:
        number = int(where.rsplit(" ", 1)[1])
        if "word" not in record:
            sentences.append(from_text(record.get("text", record.get("sentence")), source, number))
            continue
        name = record.get("sentence", "").strip() or before[0]
        begins = name != before[0] or ("sentence" not in record and number > before[1] + 1)
        before = name, number
        if begins or not sentences:
            sentences.append(Sentence([], [] if "tag" in record else None, source))
        sentences[-1].words.append(record["word"])
        sentences[-1].lines.append(number)
        if "tag" in record:
            sentences[-1].given.append(record["tag"].strip())
    return sentences


def _is_plain(source, content):
    """Whether lines are running text: they differ in their number of words, as columns don't."""
    if ending(source) in COLUMN_ENDINGS:
        return False
    rows = [line for line in content if not (line.startswith("# ") or _is_boundary(line))]
    if sum("\t" in line for line in rows) > len(rows) / 2:
        return False
    (columns, lines), *_ = Counter(len(line.split(" ")) for line in rows or content).most_common(1)
    if columns == 1:
        return lines <= len(rows) / 2
    tagged = all(_looks_like_a_tag(line.split(" ")[-1]) for line in rows)
    return lines <= 0.9 * len(rows) or not (tagged or lines >= 10)


def _looks_like_a_tag(cell):
    return cell == "O" or re.match(r"[BIESLUM]-.", cell) is not None


class _Columns:
    """A file with a word a line."""

    def __init__(self, source, lines, word_column, tag_column, labelled, say):
        self.path = source
        self.lines = lines
        content = [line for _, line in lines if line.strip(" \t") and not _is_boundary(line)]
        self.tabs = sum("\t" in line for line in content) > len(content) / 2
        rows = [self.cells(line) for line in content]
        if not rows:
            raise UserError(f"{source} has no words; expected words with tags, one a line")
        # the usual number of columns: a line with another is a comment or a mistake
        ((self.width, _),) = Counter(len(row) for row in rows).most_common(1)
        self.word, self.tag = self._chosen(rows, word_column, tag_column, labelled)
        self.tags = None
        if self.tag is not None:
            whole = [row for row in rows if len(row) == self.width]
            self.tags = {"O"} | {row[self.tag] for row in whole if row[0] != "#"}
            say(
                f"{source}: {self.width} columns, words in column {self.word + 1}, "
                f"tags in column {self.tag + 1}"
            )

    def cells(self, line):
        """The columns of a line."""
        if self.tabs:
            return [cell.strip(" ") for cell in line.split("\t")]
        return re.split("[ \t]+", line.strip(" \t"))

    def _chosen(self, rows, word, tag, labelled):
        """The places of the word and of the tag, which is None in a file of one column."""
        for name, column in (("word", word), ("tag", tag)):
            if column and column > self.width:
                raise UserError(
                    f"{self.path} has {self.width} columns; expected a --{name}-column of at most "
                    "that"
                )
        if self.width == 1:
            if labelled:
                raise UserError(
                    f"{self.path} has one column; expected words with tags, separated by a tab or "
                    "spaces"
                )
            return 0, None
        if self.width == 10 and not (word or tag):  # CoNLL-U: number, word, lemma, part of speech
            return 1, 3
        if self.width == 2 and not (word or tag) and self._tags_come_first(rows):
            return 1, 0
        return (word or 1) - 1, (tag or self.width) - 1

    def _tags_come_first(self, rows):
        """Whether column 1 is made of tags and column 2 is not, as in MIT's movie corpus."""
        rows = [row for row in rows if len(row) == 2]
        first_are_tags = all(_looks_like_a_tag(first) for first, _ in rows)
        second_are_tags = all(_looks_like_a_tag(second) for _, second in rows)
        return first_are_tags and not second_are_tags

    def read(self, bad_rows):
        """The sentences; bad_rows: a BadRows, around each."""
        sentences = []
        for block in self._blocks():
            with bad_rows.skipping():
                sentences.append(self._sentence(block))
        return sentences

    def _blocks(self):
        """The lines of each sentence: [(number, cells), ...]."""
        block = []
        for number, line in self.lines:
            if not line.strip(" \t") or _is_boundary(line):
                if block:
                    yield block
                block = []
                continue
            cells = self.cells(line)
            if not (self._is_comment(line, cells) and not block):
                block.append((number, cells))
        if block:
            yield block

    def _is_comment(self, line, cells):
        """Whether a line before a sentence is about it, such as "# id 7"; "#" may be a word too."""
        if not line.startswith("# "):
            return False
        unusual = self.tags is not None and cells[min(self.tag, len(cells) - 1)] not in self.tags
        return len(cells) != self.width or unusual

    def _sentence(self, block):
        words, tags, numbers = [], [], []
        for number, cells in block:
            if len(cells) != self.width:
                raise UserError(
                    f"{self.path}, line {number}: {_columns(len(cells))}; expected {self.width}, "
                    "as on the other lines"
                )
            if self.width == 10 and re.fullmatch(r"\d+[-.]\d+", cells[0]):
                continue  # CoNLL-U: a contraction whose parts follow, or a word left out
            if not cells[self.word]:
                raise UserError(f"{self.path}, line {number}: the word is missing")
            if self.tag is not None and not cells[self.tag]:
                raise UserError(
                    f"{self.path}, line {number}: {cells[self.word]!r} has no tag; expected one in "
                    f"column {self.tag + 1}"
                )
            words.append(cells[self.word])
            numbers.append(number)
            if self.tag is not None:
                tags.append(cells[self.tag])
        return Sentence(words, tags if self.tag is not None else None, self.path, numbers)


def _columns(count):
    return "1 column" if count == 1 else f"{count} columns"


def _is_boundary(line):
    """CoNLL-2003's line between two documents."""
    return re.match(r"-DOCSTART-(\s|$)", line) is not None


# --- JSON -----------------------------------------------------------------------------------------


def _from_json(source, lines, bad_rows, labelled):
    sentences = []
    for unit, number, record in _records(source, lines):
        with bad_rows.skipping():
            where = f"{source}, {unit} {number}"
            if not isinstance(record, dict):
                raise UserError(f"{where}: {record!r:.40}; expected a JSON object")
            sentence = _from_record(record, source, number, where, labelled)
            sentence.unit = unit
            sentences.append(sentence)
    return sentences


def _records(path, lines):
    """("line" or "object", its number, value) of each JSON value of a file of lines or a list."""
    first = next((line for _, line in lines if line.strip()), "")
    if first.lstrip().startswith("["):
        try:
            values = loads("\n".join(line for _, line in lines))
        except JSONDecodeError as error:
            raise UserError(
                f"{path}, line {error.lineno}: not JSON ({error.msg}); expected a list of objects, "
                "or an object a line"
            ) from None
        yield from (("object", i, value) for i, value in enumerate(values, 1))
        return
    for number, line in lines:
        if line.strip():
            try:
                value = loads(line)
            except JSONDecodeError as error:
                raise UserError(
                    f"{path}, line {number}: not JSON ({error.msg}); expected an object a line"
                ) from None
            yield "line", number, value


def _from_record(record, path, number, where, labelled):
    """The sentence of a JSON object."""
    tokens = _first_of(record, TOKENS)
    if tokens is None and isinstance(record.get("text"), str):
        given = _first_of(record, SPANS)
        if given is None and labelled:
            raise UserError(f"{where}: no entities; expected them under one of {', '.join(SPANS)}")
        sentence = from_text(record["text"], path, number)
        if given is not None:
            _mark(sentence, given, where)
        return sentence
    if not isinstance(tokens, list) or not all(isinstance(word, str) for word in tokens):
        raise UserError(
            f'{where}: no words; expected {{"tokens": [...], "tags": [...]}} or {{"text": "...", '
            '"entities": [[start, end, type], ...]}'
        )
    tags = _first_of(record, TAGS)
    if tags is None and labelled:
        raise UserError(f"{where}: no tags; expected them under one of {', '.join(TAGS)}")
    if tags is not None:
        if not isinstance(tags, list) or not all(isinstance(tag, str) and tag for tag in tags):
            raise UserError(
                f"{where}: the tags are {tags!r:.40}; expected a list of names such as B-PER"
            )
        if len(tags) != len(tokens):
            raise UserError(f"{where}: {len(tokens)} words and {len(tags)} tags; expected as many")
    return Sentence(list(tokens), tags, path, [number] * len(tokens))


def _first_of(record, names):
    return next((record[name] for name in names if record.get(name) is not None), None)


def _mark(sentence, given, where):
    """Give a sentence the tags of spans of its text; those that no words make up are counted."""
    if not isinstance(given, list):
        raise UserError(f"{where}: the entities are {given!r:.40}; expected a list")
    starts = {start: place for place, (start, _) in enumerate(sentence.spans)}
    ends = {end: place + 1 for place, (_, end) in enumerate(sentence.spans)}
    tags = ["O"] * len(sentence.words)
    for start, end, kind in sorted(_span(each, sentence.text, where) for each in given):
        first, last = starts.get(start), ends.get(end)
        if first is None or last is None or set(tags[first:last]) != {"O"}:
            sentence.unaligned.append(kind)
            continue
        tags[first:last] = [f"B-{kind}"] + [f"I-{kind}"] * (last - first - 1)
    sentence.given = tags


def _span(given, text, where):
    """(start, end, type) of a span of a text, without white space at its ends."""
    if isinstance(given, dict):
        start = _first_of(given, ("start", "start_offset"))
        end = _first_of(given, ("end", "end_offset"))
        kind = _first_of(given, ("label", "type", "entity_group", "entity"))
    elif isinstance(given, list) and len(given) == 3:
        start, end, kind = given
    else:
        start = end = kind = None  # refused below
    fine = isinstance(start, int) and isinstance(end, int) and isinstance(kind, str) and kind
    if not fine or not 0 <= start < end <= len(text) or not text[start:end].strip():
        raise UserError(
            f"{where}: the span {given!r:.60} in a text of {len(text)} characters; expected "
            "[start, end, type]"
        )
    inner = text[start:end]
    start += len(inner) - len(inner.lstrip())
    return start, start + len(inner.strip()), kind


# --- plain text -----------------------------------------------------------------------------------


def split_words(text):
    """The spans (start, end) of the words of a text; each mark or symbol is a word of its own."""
    spans = []
    joins = False  # whether the next letter belongs to the last word
    for place, letter in enumerate(text):
        kind = unicodedata.category(letter)[0]
        if letter.isspace():
            joins = False
        elif joins and kind not in "PS":
            spans[-1] = (spans[-1][0], place + 1)
        else:
            spans.append((place, place + 1))
            joins = kind not in "PS"
    return spans


def from_text(text, path, number):
    """The sentence of a text without tags."""
    spans = split_words(text)
    words = [text[start:end] for start, end in spans]
    return Sentence(words, None, path, [number] * len(words), text, spans)


# --- writing --------------------------------------------------------------------------------------


def write_columns(path, sentences, predicted):
    """Word, tag as given if there is one, predicted tag: what conlleval reads.

    The columns are separated by a space, or by tabs if a word or a tag has a space (conlleval -d
    '\\t').
    """
    tables = []
    for sentence, tags in zip(sentences, predicted):
        columns = [sentence.words, tags]
        if sentence.given is not None:
            columns.insert(1, sentence.given)
        tables.append([[_cell(each) for each in row] for row in zip(*columns)])
    spaced = any(" " in cell for rows in tables for row in rows for cell in row)
    separator = "\t" if spaced else " "
    with replacing(path) as file:
        for rows in tables:
            lines = [separator.join(row) + "\n" for row in rows]
            file.write("".join([*lines, "\n"]).encode())


def write_word_table(path, sentences, predicted):
    """A row for each word: the number of its sentence, the word, its tag if one is given, the
    predicted tag.  `read_sentences` reads it back.
    """
    records = []
    for number, (sentence, tags) in enumerate(zip(sentences, predicted), 1):
        given = sentence.given or [None] * len(tags)
        for word, tag, said in zip(sentence.words, given, tags):
            record = {"sentence": number, "word": _cell(word), "tag": tag, "prediction": said}
            records.append({k: v for k, v in record.items() if v is not None})
    write_table(path, records)


def _cell(word):
    """A word, or a tag, as a column can hold it."""
    return re.sub(r"[\t\r\n]+", " ", writable(word)).strip(" ") or "_"


def write_json_lines(path, sentences, predicted, found):
    """An object a line: tokens, tags as given if there are some, predicted tags, entities.

    found: for each sentence its predicted entities, whose places in the text are told if the
    sentence has one.
    """
    with replacing(path) as file:
        for sentence, tags, spans in zip(sentences, predicted, found):
            record = {} if sentence.text is None else {"text": sentence.text}
            record["tokens"] = sentence.words
            if sentence.given is not None:
                record["tags"] = sentence.given
            record["predicted"] = tags
            record["predicted_entities"] = [_told(sentence, *span) for span in spans]
            line = json.dumps(record, ensure_ascii=False) + "\n"
            file.write(line.encode(errors="backslashreplace"))  # half a pair, as JSON writes it


def _told(sentence, kind, start, end):
    """A predicted entity as JSON."""
    if sentence.text is None:
        return {"type": kind, "words": sentence.words[start:end]}
    first, last = sentence.spans[start][0], sentence.spans[end - 1][1]
    return {"type": kind, "start": first, "end": last, "text": sentence.text[first:last]}
