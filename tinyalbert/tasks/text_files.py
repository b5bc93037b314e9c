"""A text file as people have it, or the standard input."""

import sys
from pathlib import Path

from ..errors import UserError
from ..text.plain_text import ENDINGS, UNPACKING, decode, unix_ends, unpacked

STANDARD_INPUT = "-"


def ending(source):
    """The ending of a file's name in lower case, that of the compression left out."""
    path = Path(source)
    if path.suffix.lower() in ENDINGS:
        path = path.with_suffix("")
    return path.suffix.lower()


def is_file(source):
    """Whether a word is the path of a file or folder, not a text."""
    try:
        return Path(source).exists()
    except (OSError, ValueError):  # a text that is too long for a path
        return False


def read_text(source, encoding=None, say=lambda line: None, option=False, unix=False):
    """The text of a file, or of the standard input for "-".

    encoding, say, option: as in plain_text.decode.  unix: lines end with a line feed, whatever the
    file has; else line ends stay as they are.
    """
    text = decode(_bytes_of(source), name_of(source), encoding, say, option)
    return unix_ends(text) if unix else text


def name_of(source):
    """How messages call a source."""
    return "standard input" if str(source) == STANDARD_INPUT else str(source)


def _bytes_of(source):
    """What stands in a file, decompressed."""
    if str(source) == STANDARD_INPUT:
        return getattr(sys.stdin, "buffer", sys.stdin).read()
    try:
        with open(source, "rb") as file:
            return unpacked(file, source).read()
    except FileNotFoundError:
        raise UserError(f"there is no file {source}") from None
    except UNPACKING as error:
        raise UserError(
            f"{source} can't be decompressed ({error}); is the download complete?"
        ) from None
    except OSError as error:
        raise UserError(f"{source}: {error.strerror or error}; check the path") from None
