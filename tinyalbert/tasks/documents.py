"""A folder of texts as paragraphs, each with its file and its place in it."""

import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError
from ..pretraining.corpus import found_at
from ..text.folders import BadFiles
from .text_files import files_ending_in, read_text

ENDINGS = (".txt", ".text", ".md", ".rst")
_BLANK_LINE = re.compile(r"(?>\r\n|[\n\r])[^\S\n\r]*(?>\r\n|[\n\r])")


@dataclass(frozen=True)
class Paragraph:
    """Some characters of a file: `text` is what read_text gives, [start : start + len(text)].

    read_text (text_files.py) keeps line ends as they are, and leaves out a byte-order mark.
    """

    text: str
    file: str
    start: int
    line: int  # of its first character, from 1


def read_paragraphs(source, say=lambda line: None):
    """All Paragraphs of a text, or of the texts (ENDINGS) below a folder, sorted by name.

    Blank lines part them.  Files and folders whose names begin with a dot are passed over.  Names
    are told from the folder on.  say: told what of a folder is read and what is left out.
    """
    source = Path(source)
    if not source.exists():
        raise UserError(f"there is no {source}; expected a folder of texts, or one text")
    paragraphs = []
    problems = BadFiles()
    for file in texts_of(source, say):
        name = str(file.relative_to(source) if source.is_dir() else file)
        with problems.noting():
            paragraphs += split_paragraphs(read_text(file), name)
    problems.raise_any(source)
    if not paragraphs:
        raise UserError(f"{source} has no text, only white space; expected paragraphs")
    return paragraphs


def texts_of(source, say=lambda line: None):
    """A file itself, or the texts below a folder; say() is told of them and what else is there."""
    if Path(source).is_dir():
        return files_ending_in(ENDINGS, source, say)
    return found_at(source).files


def split_paragraphs(text, file=""):
    """The Paragraphs of a text, without the white space around them."""
    bounds = [0]
    for blank in _BLANK_LINE.finditer(text):
        bounds += [blank.start(), blank.end()]
    bounds.append(len(text))
    paragraphs = []
    line = 1
    seen = 0  # characters whose line ends are counted
    for lo, hi in zip(bounds[::2], bounds[1::2]):
        part = text[lo:hi]
        start = lo + len(part) - len(part.lstrip())
        if not part.strip():
            continue
        line += len(re.findall(r"\r\n|[\n\r]", text[seen:start]))
        seen = start
        paragraphs.append(Paragraph(part.strip(), file, start, line))
    return paragraphs
