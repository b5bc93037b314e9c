"""A text file as people have it: compressed, with a byte order mark, in another encoding."""

import bz2
import codecs
import gzip
import lzma
import sys
import zlib
from pathlib import Path

from ..errors import UserError

COMPRESSED = {".gz": gzip.decompress, ".bz2": bz2.decompress, ".xz": lzma.decompress}
MARKS = (  # the longer first: UTF-32's begins with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)
NO_TEXT = {
    b"PK\x03\x04": "a spreadsheet or a zip archive; save the sheet as CSV, or unpack it",
    b"PAR1": "a Parquet file; turn it into JSON lines (pandas: read_parquet, then to_json)",
    b"SQLite": "a database; export its table as CSV",
}
STANDARD_INPUT = "-"


def ending(source):
    """The ending of a file's name in lower case, that of the compression left out."""
    path = Path(source)
    if path.suffix.lower() in COMPRESSED:
        path = path.with_suffix("")
    return path.suffix.lower()


def is_file(source):
    """Whether a word is the path of a file or folder, not a text."""
    try:
        return Path(source).exists()
    except (OSError, ValueError):  # a text that is too long for a path
        return False


def read_text(source, encoding=None, say=lambda line: None):
    """The text of a file, or of the standard input for "-".

    encoding: of a file that is not UTF-8; by default a byte order mark tells it, and a file with
    few other letters is taken for Windows-1252, which say() is told.
    """
    return decode(_bytes_of(source), name_of(source), encoding, say)


def name_of(source):
    """How messages call a source."""
    return "standard input" if str(source) == STANDARD_INPUT else str(source)


def _bytes_of(source):
    """What stands in a file, decompressed."""
    if str(source) == STANDARD_INPUT:
        return getattr(sys.stdin, "buffer", sys.stdin).read()
    path = Path(source)
    try:
        data = path.read_bytes()
        unpack = COMPRESSED.get(path.suffix.lower())
        return unpack(data) if unpack else data
    except FileNotFoundError:
        raise UserError(f"there is no file {path}") from None
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, ValueError) as error:
        raise UserError(
            f"{path} can't be decompressed ({error}); is the download complete?"
        ) from None
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}; check the path") from None


def decode(data, name, encoding=None, say=lambda line: None):
    """The text of bytes; see read_text.  name: how messages call them."""
    for start, what in NO_TEXT.items():
        if data.startswith(start):
            raise UserError(f"{name} is no text but {what}")
    for mark, marked in MARKS:
        if data.startswith(mark):
            return _decoded(data, marked, name)
    wide = encoding and codecs.lookup(encoding).name.startswith(("utf-16", "utf-32"))
    if wide:
        return _decoded(data, encoding, name)
    if b"\0" in data:
        raise UserError(
            f"{name} has NUL bytes, as UTF-16 without a byte order mark does; if so: "
            "--encoding utf-16-le"
        )
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        place = f"{name}, line {line}: not UTF-8 (byte 0x{data[error.start]:02x})"
    if encoding:
        return _decoded(data, encoding, name)
    others = len(data.translate(None, bytes(range(128))))
    mixed = not data.decode("utf-8", "ignore").isascii()  # some of it is UTF-8: it is damaged
    if mixed or others * 10 > len(data):
        raise UserError(
            f"{place}; name the encoding of the file, for example --encoding latin-1, cp1251 or "
            "gbk, or mend the line"
        )
    say(f"{place}; taken for Windows-1252 (--encoding names another)")
    return data.decode("cp1252", "replace")


def _decoded(data, encoding, name):
    """Bytes in a named encoding as text."""
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise UserError(
            f"{name} is not {encoding} (byte {error.start + 1:,}: {error.reason}); name its "
            "encoding with --encoding"
        ) from None
