"""Text in files, folders and built-in corpora -> documents, each a list of sentences.

No file is ever read as a whole.  Text may be written down in four ways, detected from the beginning
of each file or named by the caller:

  lines     one sentence a line, a blank line between documents (google-research/albert's input)
  prose     running text; a blank line ends a paragraph; two, or the file's end, a document
  wikitext  WikiText: a paragraph a line, ` = Title = ` begins a document
  jsonl     one JSON object a line, a document in its "text": prose, or a list of sentences

Each may be compressed with gzip.  Reading comes in two halves, so that `prepare` can do the second
in many processes: `read_blocks` cuts the raw bytes, `parse` turns a block into documents.
"""

import codecs
import gzip
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError
from ..strict_json import JSONDecodeError, loads
from ..text.sentences import split_sentences

FORMATS = ("lines", "prose", "wikitext", "jsonl")
# How many documents a built-in corpus has unless told otherwise, and how many go in a block.
BUILT_IN = {"stories": (20_000, 400), "python": (100_000, 100_000)}
BLOCK_BYTES = 1 << 18  # about what one task of `prepare` gets to parse
SAMPLE_BYTES = 1 << 15  # what tells a file's format
LINE_BYTES = 1 << 26  # a JSON line longer than this counts as a mistake
DOCUMENT_SENTENCES = 2000  # a longer document is split, so memory stays bounded

_TITLE = re.compile(r"\s*= [^=].* =\s*")
_BLANK_LINES = re.compile(rb"\n[ \t\r]*\n\s*(?=\S)")
_SENTENCE_END = re.compile(rb"[.!?][\"')\]]*+\s++(?=\S)")


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


# --- which files ----------------------------------------------------------------------------------


def find_files(source):
    """The files of a path: itself, or all below a folder, sorted by name, without hidden ones."""
    path = Path(source)
    if path.is_dir():
        files = sorted(
            p
            for p in path.rglob("*")
            if p.is_file() and not any(part.startswith(".") for part in p.relative_to(path).parts)
        )
        if not files:
            raise UserError(f"the folder {path} holds no files; expected text, .jsonl or .gz files")
        return files
    if not path.exists():
        raise UserError(
            f"there is no file or folder {path}; expected text, or a built-in corpus: "
            f"{', '.join(BUILT_IN)} (with a number of documents: stories:5000)"
        )
    return [path]


def _open(path):
    """The bytes of a file, decompressed if its name ends in .gz."""
    return gzip.open(path, "rb") if path.suffix.lower() == ".gz" else open(path, "rb")


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
    else:
        if blanks := list(_BLANK_LINES.finditer(text)):
            return blanks[-1].end(), format == "prose" and blanks[-1][0].count(b"\n") < 3
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


def _file_blocks(path, handle, format):
    """Blocks of one open file."""
    text = handle.read(BLOCK_BYTES)
    if text.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise UserError(
            f"{path} is UTF-16; expected UTF-8: convert it first (iconv -f UTF-16 -t UTF-8)"
        )
    text = text.removeprefix(codecs.BOM_UTF8)
    format = format or detect_format(path, text)
    line = 1
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
            more = handle.read(BLOCK_BYTES)
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


def read_blocks(sources, format=None, progress=lambda read: None):
    """Blocks of all sources in order.

    progress is called with the number of bytes read from disk since the last call.
    """
    if format is not None and format not in FORMATS:
        raise UserError(f"format {format!r} is unknown; expected one of {', '.join(FORMATS)}")
    for source in as_list(sources):
        if built_in := _built_in(source):
            yield from _built_in_blocks(*built_in)
            continue
        for path in find_files(source):
            try:
                if path.stat().st_size == 0 and path == Path(source):
                    raise UserError(f"{path} is empty; expected text")
                with _open(path) as handle:
                    raw = getattr(handle, "fileobj", None) or handle  # below the decompression
                    done = 0
                    for block in _file_blocks(path, handle, format):
                        yield block
                        at = raw.tell()
                        progress(at - done)
                        done = at
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                raise UserError(
                    f"{path} can't be decompressed ({error}); is it a whole .gz file?"
                ) from None
            except OSError as error:
                raise UserError(f"{path} can't be read: {error.strerror or error}") from None


# --- second half: documents -----------------------------------------------------------------------


def _decode(block):
    """The text of a Block; a UserError with file and line if it is not UTF-8."""
    if (at := block.text.find(b"\0")) < 0:
        try:
            return block.text.decode("utf-8")
        except UnicodeDecodeError as error:
            at = error.start
    line = block.line + block.text.count(b"\n", 0, at)
    raise UserError(
        f"{block.path}, line {line}: not UTF-8 text (byte 0x{block.text[at]:02x}); convert the "
        "file first (iconv -f LATIN1 -t UTF-8), or leave it out"
    )


def _paragraph_sentences(text):
    """Sentences of paragraphs with blank lines between them."""
    return [s for paragraph in re.split(r"\n\s*\n", text) for s in split_sentences(paragraph)]


def _prose_documents(text):
    """Documents of running text."""
    for part in re.split(r"\n[^\S\n]*\n[^\S\n]*\n\s*", text):  # two or more blank lines
        yield _paragraph_sentences(part)


def _lines_documents(text):
    """Documents of one sentence a line."""
    document = []
    for line in text.removesuffix("\n").split("\n"):
        if sentence := line.strip():
            document.append(sentence)
        else:
            yield document
            document = []
    yield document


def _wikitext_documents(text):
    """Documents of WikiText; a title is a document's first sentence."""
    document = []
    for line in text.split("\n"):
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


def _json_documents(block, text):
    """Documents of JSON lines."""
    for number, line in enumerate(text.split("\n"), block.line):
        if not line.strip():
            continue
        where = f"{block.path}, line {number}"
        try:
            record = loads(line)
        except JSONDecodeError as error:
            if line.lstrip().startswith("["):
                raise UserError(_array_advice(where)) from None
            raise UserError(
                f'{where}: not JSON ({error.msg}); expected one object a line with a "text"'
            ) from None
        value = record.get("text") if isinstance(record, dict) else None
        if isinstance(value, str):
            yield _paragraph_sentences(value)
        elif isinstance(value, list) and all(isinstance(s, str) for s in value):
            yield [clean for s in value if (clean := " ".join(s.split()))]
        elif isinstance(record, list):
            raise UserError(_array_advice(where))
        else:
            raise UserError(f'{where}: no "text" that is a string or a list of strings')


def _array_advice(where):
    return f"{where}: a JSON array; expected one object a line (jq -c '.[]' makes such lines of it)"


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
    text = _decode(block)
    if block.format == "jsonl":
        return list(_json_documents(block, text))
    return list(PARSERS[block.format](text))


def documents(sources, format=None, progress=lambda read: None):
    """All documents of the sources in order, each a list of 1 to 2,000 sentences.

    progress: see read_blocks.
    """
    current = []
    for block in read_blocks(sources, format, progress):
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
