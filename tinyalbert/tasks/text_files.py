"""A text file as people have it, or the standard input."""

import io
import sys
from pathlib import Path

from ..errors import UserError
from ..text.folders import describe_left_out, describe_read, files_of
from ..text.plain_text import ENDINGS, UNPACKING, decode, unix_ends, unpacked

STANDARD_INPUT = "-"


def ending(source):
    """The ending of a file's name in lower case, that of the compression left out."""
    path = Path(source)
    if path.suffix.lower() in ENDINGS:
        path = path.with_suffix("")
    return path.suffix.lower()


def files_ending_in(endings, folder, say=lambda line: None, beside=None):
    """The files below a folder whose names end so, sorted; say() is told of them and the others.

    beside: a function of the files that gives [(why, path), ...] of those to be left out as well.
    """
    found = files_of(folder)
    left_out = [
        *found.left_out,
        *(("of another ending", path) for path in found.files if ending(path) not in endings),
    ]
    files = [path for path in found.files if ending(path) in endings]
    if beside:
        left_out += beside(files)
    others = {path for _, path in left_out}
    files = [path for path in files if path not in others]
    if files:
        say(describe_read(folder, files, left_out))
        return files
    rest = describe_left_out(left_out)
    raise UserError(
        f"{folder} has no files that end in {', '.join(endings)}; expected some"
        + (f" ({rest})" if rest else "")
    )


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
            if not file.seekable():  # a pipe
                file = io.BytesIO(file.read())
            return unpacked(file, source).read()
    except FileNotFoundError:
        raise UserError(f"there is no file {source}") from None
    except UNPACKING as error:
        raise UserError(
            f"{source} can't be decompressed ({error}); is the download complete?"
        ) from None
    except OSError as error:
        raise UserError(f"{source}: {error.strerror or error}; check the path") from None
