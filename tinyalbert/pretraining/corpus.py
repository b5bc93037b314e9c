"""Text in files, folders and built-in corpora -> documents, each a list of sentences.

No file is ever read as a whole.  Text may be written down in four ways, detected from the beginning
of each file or named by the caller:

  lines     one sentence a line, a blank line between documents (google-research/albert's input)
  prose     running text; a blank line ends a paragraph; two, or the file's end, a document
  wikitext  WikiText: a paragraph a line, ` = Title = ` begins a document
  jsonl     one JSON object a line, a document in its "text": prose, or a list of sentences

Files may be compressed, and end their lines in any way (plain_text.py).  Reading comes in two
halves, so that `prepare` can do the second in many processes: `read_blocks` cuts the text into
blocks, `parse` turns a block into documents.
"""

import contextlib
import json
import re
import shlex
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import UserError
from ..strict_json import JSONDecodeError, decode_at, loads
from ..text.folders import BadFiles, Found, describe_left_out, files_of
from ..text.foreign import in_place
from ..text.plain_text import UNPACKING, TextReader, unpacked
from ..text.sentences import split_sentences

FORMATS = ("lines", "prose", "wikitext", "jsonl")
# How many documents a built-in corpus has unless told otherwise, and how many go in a block.
BUILT_IN = {"stories": (20_000, 400), "python": (100_000, 100_000)}
BLOCK_BYTES = 1 << 18  # about what one task of `prepare` gets to parse
SAMPLE_BYTES = 1 << 15  # what tells a file's format
LINE_BYTES = 1 << 26  # a JSON line longer than this counts as a mistake
CHECKED_BYTES = 1 << 30  # after a bad file, so much of the others is looked at for more
LOOKED_AT = 1 << 24  # of a JSON file, to tell what makes lines of it
DOCUMENT_SENTENCES = 2000  # a longer document is split, so memory stays bounded
NAMED = 4  # so many files are listed one by one

_TITLE = re.compile(r"\s*= [^=].* =\s*")
_BLANK_LINES = re.compile(rb"\n[ \t]*+\n\s*+")
_SENTENCE_END = re.compile(rb"[.!?][\"')\]]*+\s++(?=\S)")
_LINE = re.compile(r"\S[^\n]*")  # one that is not blank, from its first letter


# a program of jq: of lines that may be anything, those of which `_is_document` holds
_WITH_TEXT = (
    'fromjson? | objects | select(.text | type == "string" or (type == "array" and '
    'all(type == "string")))'
)


class BadFile(UserError):
    """A complaint about one file, which may not be the only bad one."""


@dataclass(frozen=True)
class Block:
    """Some raw text of one file.

    continues: its first document is the rest of the last one in the block before.
    A block of a built-in corpus has no text, but the number of its first document (line) and how
    many there are (documents).
    """

    path: str
    line: int  # number of the first line, for messages
    text: bytes
    format: str
    continues: bool
    documents: int = 0


@dataclass
class Account:
    """What was read of the sources of a corpus."""

    formats: dict = field(default_factory=dict)  # {path: format}
    left_out: list = field(default_factory=list)  # [(why, path), ...]
    documents: int | None = None

    def describe(self):
        """In words: the files, what they were taken for, what was left out; "" of built-in text."""
        parts = []
        if len(self.formats) > NAMED:
            counts = Counter(self.formats.values()).most_common()
            kinds = ", ".join(f"{count:,} as {format}" for format, count in counts)
            parts.append(f"read {len(self.formats):,} files: {kinds}")
        elif self.formats:
            kinds = ", ".join(f"{path} as {format}" for path, format in self.formats.items())
            parts.append(f"read {kinds}")
        if self.documents is not None:
            parts.append(f"{self.documents:,} documents")
        if self.left_out:
            parts.append(describe_left_out(self.left_out))
        return "; ".join(parts)


# --- which files ----------------------------------------------------------------------------------


def find_files(source):
    """The files of a path: itself, or all below a folder, sorted by name, without hidden ones."""
    return found_at(source).files


def found_at(source):
    """The Found of a path: the files to be read, and what is left out."""
    path = Path(source)
    if path.is_dir():
        found = files_of(path)
        if not found.files:
            left_out = describe_left_out(found.left_out)
            raise UserError(
                f"the folder {path} holds no files; expected text, .jsonl or compressed text"
                + (f" ({left_out})" if left_out else "")
            )
        return found
    if not path.exists():
        raise UserError(
            f"there is no file or folder {path}; expected text, or a built-in corpus: "
            f"{', '.join(BUILT_IN)} (with a number of documents: stories:5000)"
        )
    if not path.is_file():
        raise UserError(f"{path} is no file that can be read twice; write the text to a file first")
    return Found([path])


def detect_format(path, sample):
    """lines, prose, wikitext or jsonl, from a file's name and its first bytes."""
    if ".json" in "".join(Path(path).suffixes).lower():
        return "jsonl"
    sample = sample[:SAMPLE_BYTES]
    lines = [line for line in sample.decode("utf-8", "replace").split("\n") if line.strip()]
    if len(lines) > 1 and len(sample) == SAMPLE_BYTES:
        lines.pop()  # it is cut
    if lines and lines[0].lstrip().startswith("{"):
        try:
            return "jsonl" if "text" in loads(lines[0]) else "prose"
        except JSONDecodeError:
            pass
    if any(_TITLE.fullmatch(line) for line in lines):
        return "wikitext"
    one_sentence = sum(len(split_sentences(line)) == 1 for line in lines)
    return "lines" if one_sentence >= 0.9 * len(lines) else "prose"


# --- first half: bytes ----------------------------------------------------------------------------


def _cut(text, format):
    """Where to cut a text longer than a block, or None.

    A cut is (position, whether its document goes on).  Between documents or paragraphs if possible;
    if a long text has no such place, after a sentence, a word or a letter.  None: read on.
    """
    if format in ("jsonl", "wikitext"):
        if at := text.rfind(b"\n") + 1:
            # in WikiText the document goes on, unless the next block begins with a title
            return at, format == "wikitext"
    elif cut := _cut_at_blank_lines(text, format):
        return cut
    if format == "jsonl" or len(text) < 2 * BLOCK_BYTES:
        return None
    if format == "lines":
        at = text.rfind(b"\n") + 1
    else:
        ends = [m.end() for m in _SENTENCE_END.finditer(text, len(text) // 2)]
        at = ends[-1] if ends else text.rfind(b" ") + 1
    if not at:
        at = len(text) - 1
        while at > 1 and text[at] & 0xC0 == 0x80:  # not inside a letter of several bytes
            at -= 1
    return at, True


def _cut_at_blank_lines(text, format):
    """The last cut between documents or paragraphs, or None."""
    ends_document = 2 if format == "lines" else 3  # so many line ends
    cut = None
    for blank in _BLANK_LINES.finditer(text):
        goes_on = blank[0].count(b"\n") < ends_document
        # of those at the end of the text more may follow
        if blank.end() < len(text) or (not goes_on and cut is None):
            cut = blank.end(), goes_on
    return cut


def _file_blocks(path, reader, format, account):
    """Blocks of one file, which a TextReader gives."""
    line = 1
    text = reader.read(BLOCK_BYTES)
    while text.isspace():
        line += text.count(b"\n")
        text = reader.read(BLOCK_BYTES)
    format = format or detect_format(path, text)
    if text:
        account.formats[str(path)] = format
    else:
        account.left_out.append(("without text", path))
    continues = False
    more = True
    while more or text:
        cut = _cut(text, format) if more else (len(text), False)
        if cut:
            at, goes_on = cut
            yield Block(str(path), line, text[:at], format, continues)
            line += text.count(b"\n", 0, at)
            text = text[at:]
            continues = goes_on
        elif len(text) > LINE_BYTES:
            raise UserError(
                f"{path}, line {line}: longer than {LINE_BYTES >> 20} MB; expected one JSON "
                "object a line"
            )
        if more:
            more = reader.read(max(BLOCK_BYTES, len(text)))  # so that long lines take linear time
            text += more


def _built_in_blocks(name, count):
    """Blocks of a built-in corpus without their documents: the workers make those in `parse`."""
    usual, size = BUILT_IN[name]
    total = count or usual
    for start in range(0, total, size):
        yield Block(name, start, b"", "built-in", False, min(size, total - start))


def _built_in(source):
    """(name, number of documents or None) of a built-in corpus (stories, stories:5000), or None."""
    name, _, count = str(source).partition(":")
    if name not in BUILT_IN:
        return None
    if count and not (count.isdigit() and int(count)):
        raise UserError(
            f"{source}: {count!r} is no number of documents; expected, for example, {name}:5000"
        )
    return name, int(count) if count else None


def as_list(sources):
    """One source or several -> a list; checks that there is one."""
    sources = [sources] if isinstance(sources, (str, Path)) else list(sources)
    if not sources:
        raise UserError(
            "no corpus was named; expected files, folders or a built-in corpus: "
            f"{', '.join(BUILT_IN)}"
        )
    return sources


def check_sources(sources, output):
    """Refuse, before any work, missing sources and an output folder inside one of them."""
    for source in as_list(sources):
        if _built_in(source):
            continue
        find_files(source)  # raises if there are none
        if Path(source).resolve() in Path(output).resolve().parents:
            raise UserError(
                f"the output folder {output} lies inside the corpus {source}, all of whose files "
                "are read; name an output folder elsewhere, or the text files one by one"
            )


def source_bytes(sources):
    """Size on disk of all sources, for a progress bar; None if one of them is built in."""
    sources = as_list(sources)
    if any(map(_built_in, sources)):
        return None
    return sum(path.stat().st_size for source in sources for path in find_files(source))


def read_blocks(sources, format=None, progress=lambda read: None, account=None):
    """Blocks of all sources in order.

    progress is called with the number of bytes read from disk since the last call.  account: an
    Account to be filled.
    """
    if format is not None and format not in FORMATS:
        raise UserError(f"format {format!r} is unknown; expected one of {', '.join(FORMATS)}")
    account = Account() if account is None else account
    for source in as_list(sources):
        if built_in := _built_in(source):
            yield from _built_in_blocks(*built_in)
            continue
        found = found_at(source)
        account.left_out += found.left_out
        for path in found.files:
            if path == Path(source) and path.stat().st_size == 0:
                raise UserError(f"{path} is empty; expected text")
            yield from _blocks_of(path, format, progress, account)


def _blocks_of(path, format, progress, account):
    """Blocks of a file; whatever is wrong with it is a BadFile."""
    try:
        with open(path, "rb") as raw:
            done = 0
            reader = TextReader(unpacked(raw, path), path)
            for block in _file_blocks(path, reader, format, account):
                yield block
                at = raw.tell()
                progress(at - done)
                done = at
    except UNPACKING as error:
        raise BadFile(
            f"{path} can't be decompressed ({error}); is it whole? Copy or download it again, or "
            "leave it out"
        ) from None
    except OSError as error:
        raise BadFile(f"{path} can't be read: {error.strerror or error}") from None
    except UserError as error:
        raise BadFile(str(error)) from None


@contextlib.contextmanager
def all_bad_files(sources, format=None):
    """Around the work on sources: where one file is bad, all that are bad are named together."""
    try:
        yield
    except BadFile as first:
        sources = [source for source in as_list(sources) if not _built_in(source)]
        files = [path for source in sources for path in find_files(source)]
        if len(files) == 1:
            raise UserError(str(first)) from None
        problems = BadFiles()
        left = CHECKED_BYTES
        for path in files:
            with problems.noting():
                for block in _blocks_of(path, format, lambda read: None, Account()):
                    left -= len(block.text)
                    if block.format == "jsonl":
                        for _ in _json_records(block):
                            pass
            if left < 0:
                problems.problems.append(f"(after {path} no more was looked at)")
                break
        problems.raise_any(", ".join(map(str, sources)))
        raise UserError(str(first)) from None


# --- second half: documents -----------------------------------------------------------------------


def _paragraph_sentences(text):
    """Sentences of paragraphs with blank lines between them."""
    return [s for paragraph in re.split(r"\n\s*\n", text) for s in split_sentences(paragraph)]


def _prose_documents(text):
    """Documents of running text."""
    for part in re.split(r"\n[^\S\n]*\n[^\S\n]*\n\s*", text):  # two or more blank lines
        yield _paragraph_sentences(part)


def _lines_documents(text):
    """Documents of one sentence a line."""
    for part in re.split(r"(?:^|\n)[^\S\n]*\n\s*", text):  # one or more blank lines
        yield [sentence for line in part.split("\n") if (sentence := line.strip())]


def _wikitext_documents(text):
    """Documents of WikiText; a title is a document's first sentence."""
    document = []
    for line in _LINE.findall(text):
        if _TITLE.fullmatch(line):
            yield document
            document = []
        document += split_sentences(line.strip(" ="))
    yield document


PARSERS = {
    "lines": _lines_documents,
    "prose": _prose_documents,
    "wikitext": _wikitext_documents,
}


def _json_documents(block):
    """Documents of JSON lines."""
    for text in _json_records(block):
        if isinstance(text, str):
            yield _paragraph_sentences(text)
        else:
            yield [clean for sentence in text if (clean := " ".join(sentence.split()))]


def _json_records(block):
    """The "text" of each JSON line, a string or a list of strings."""
    number, counted = block.line, 0
    text = block.text.decode()
    for line in _LINE.finditer(text):
        number += text.count("\n", counted, line.start())
        counted = line.start()
        where = f"{block.path}, line {number}"
        what = "a JSON array" if line[0][0] == "[" else None
        try:
            record = loads(line[0])
        except JSONDecodeError as error:
            what = what or f"not JSON ({error.msg})"
            whole = number == 1 or line[0][0] == "["
            raise BadFile(_not_json_lines(where, what, block.path, None if whole else "")) from None
        value = record.get("text") if isinstance(record, dict) else None
        if not _is_document(value):
            what = what or 'no "text" that is a string or a list of strings'
            raise BadFile(_not_json_lines(where, what, block.path, line[0]))
        yield value


def _not_json_lines(where, what, path, text):
    """The complaint about a file that should hold JSON lines.

    text: of a line, which tells the command that makes such lines of it; None: of the whole file.
    """
    if text is None:
        with open(path, "rb") as raw:
            text = TextReader(unpacked(raw, path), path).read(LOOKED_AT).decode()
    program = _jq_program(text)
    if program is None:
        leave_out = f"jq -cR {shlex.quote(_WITH_TEXT)}"
        advice = f"; such lines alone are kept by {in_place(path, leave_out)}"
    else:
        advice = f"; such lines are made by {in_place(path, f'jq -c {shlex.quote(program)}')}"
    return f'{where}: {what}; expected one object a line with a "text"{advice}'


def _jq_program(text):
    """What jq has to do with a file that begins like this, so that each line is an object with a
    text; None if it is not told.
    """
    start = re.match(r"\s*(\[\s*)?", text)
    each = ".[]" if start[1] else ""
    try:
        value, _ = decode_at(text, start.end())
    except JSONDecodeError:
        return each or None
    if isinstance(value, dict) and not each:  # perhaps an object with a list of records
        lists = [name for name, many in value.items() if isinstance(many, list) and many]
        if len(lists) == 1 and lists != ["text"]:
            each, value = f".[{json.dumps(lists[0])}][]", value[lists[0]][0]
    if isinstance(value, str):
        made = "{text: .}"
    elif isinstance(value, dict) and _is_document(value.get("text")):
        made = ""
    else:  # the longest of its texts
        texts = [(len(text), name) for name, text in _items(value) if isinstance(text, str)]
        if not texts:
            return None
        made = f"{{text: .[{json.dumps(max(texts)[1])}]}}"
    return " | ".join(part for part in (each, made) if part) or "."


def _is_document(text):
    """Whether a record's "text" is one: a string, or a list of strings."""
    if isinstance(text, list):
        return all(isinstance(sentence, str) for sentence in text)
    return isinstance(text, str)


def _items(value):
    return value.items() if isinstance(value, dict) else ()


def _built_in_documents(block):
    """Documents of a built-in corpus."""
    if block.path == "stories":
        from ..stories.corpus import generate

        return [story.sentences for story in generate(block.documents, start=block.line)]
    from .python_text import documents

    return list(documents(block.documents))


def parse(block):
    """The documents of a Block, each a list of sentences.

    If block.continues, the first one (perhaps empty) goes on the last document before it.
    """
    if block.format == "built-in":
        return _built_in_documents(block)
    if block.format == "jsonl":
        return list(_json_documents(block))
    return list(PARSERS[block.format](block.text.decode()))


def documents(sources, format=None, progress=lambda read: None, account=None):
    """All documents of the sources in order, each a list of 1 to 2,000 sentences.

    progress, account: see read_blocks.
    """
    account = Account() if account is None else account
    account.documents = 0
    with all_bad_files(sources, format):
        for document in _whole_documents(read_blocks(sources, format, progress, account)):
            account.documents += 1
            yield document


def _whole_documents(blocks):
    """The documents of blocks, those put together that go on from one to the next."""
    current = []
    for block in blocks:
        for index, document in enumerate(parse(block)):
            if index or not block.continues:
                if current:
                    yield current
                current = []
            current = current + document
            while len(current) > DOCUMENT_SENTENCES:
                yield current[:DOCUMENT_SENTENCES]
                current = current[DOCUMENT_SENTENCES:]
    if current:
        yield current
