"""The text of other people's files: compressed or not, with or without a byte order mark, in UTF-8,
UTF-16 or UTF-32, with line ends of any kind.

`TextReader` gives it in pieces, `decode` as a whole; what can't be read is refused with its line
and with what helps (foreign.py).
"""

import bz2
import codecs
import gzip
import lzma
import shlex
import zlib
from pathlib import Path

from ..errors import UserError
from .foreign import PACKED, damaged, likely_encoding, not_text, refuse_no_text

OPENERS = {"gzip": gzip.open, "bzip2": bz2.open, "xz": lzma.open}
ENDINGS = (".gz", ".bz2", ".xz")
UNPACKING = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile)  # what goes wrong there
MARKS = {  # the longer first: UTF-32's begins with UTF-16's
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
    codecs.BOM_UTF8: "utf-8",
}
HEAD = 1 << 12  # bytes by which a file is known


def unpacked(file, name):
    """An open file, or what it holds if it is compressed, whatever its name.

    A name that says so of another file is refused.
    """
    head = file.read(8)
    file.seek(0)
    for start, packer in PACKED.items():
        if head.startswith(start):
            return OPENERS[packer](file, "rb")
    suffix = Path(name).suffix
    if suffix.lower() in ENDINGS and head:
        plain = shlex.quote(str(name).removesuffix(suffix))
        raise UserError(
            f"{name} can't be decompressed: it is not compressed as its name says; rename it: "
            f"mv {shlex.quote(str(name))} {plain}"
        )
    return file


def marked_encoding(head):
    """(encoding that a byte order mark tells, or None; the length of the mark)."""
    for mark, encoding in MARKS.items():
        if head.startswith(mark):
            return encoding, len(mark)
    return None, 0


def unix_ends(text):
    """A text whose lines end with a line feed alone; a carriage return is a line end too.

    Two of them and a line feed are one, which a conversion that was done twice has made.
    """
    if "\r" not in text:
        return text
    return text.replace("\r\r\n", "\n").replace("\r\n", "\n").replace("\r", "\n")


def writable(text):
    """A text that can be written to a file and read from it.

    Halves of surrogate pairs, as names of files and JSON have them, become U+FFFD; NUL is left out.
    """
    text = text.replace("\0", "")
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


class TextReader:
    """The text of a file, piece by piece, as UTF-8 with line feeds.

    handle: gives the bytes.  name: how errors call the file.
    """

    def __init__(self, handle, name):
        self.handle = handle
        self.name = name
        self.line = 1  # of what comes next
        self.beyond_ascii = False  # whether there was a letter of several bytes
        head = handle.read(HEAD)
        refuse_no_text(head, name)
        encoding, mark = marked_encoding(head)
        self.encoding = encoding or "utf-8"
        self._decoder = codecs.getincrementaldecoder(self.encoding)()
        self._first = head[mark:]
        self._held = ""  # carriage returns whose line feed may follow

    def read(self, size):
        """About `size` bytes; b"" at the end."""
        while True:
            data = self._first + self.handle.read(max(0, size - len(self._first)))
            self._first = b""
            text = self._held + self._decoded(data)
            kept = text.rstrip("\r") if data else text
            kept = max(kept, text[:-2], key=len)
            self._held = text[len(kept) :]
            if kept or not data:
                break
        text = unix_ends(kept)
        self.line += text.count("\n")
        self.beyond_ascii = self.beyond_ascii or not text.isascii()
        return text.encode()

    def _decoded(self, data):
        """The text of the next bytes, those that were left over included."""
        try:
            text = self._decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            self._refuse(error.object, error.start)
        if "\0" in text and self.encoding == "utf-8":
            self._refuse(data, data.index(0))
        return text

    def _refuse(self, data, at):
        """Refuse the file for the byte data[at]."""
        read = unix_ends(self._held + data[:at].decode(self.encoding, "ignore"))
        line = self.line + read.count("\n")
        if self.encoding != "utf-8":
            raise damaged(self.name, line, self.encoding)
        raise not_text(self.name, line, data, at, self.beyond_ascii)


def decode(data, name, encoding=None, say=lambda line: None, option=False):
    """The text of bytes, with the line ends that it has.

    encoding: of a text that is not UTF-8; by default a byte order mark tells it, and a text with
    few letters beyond ASCII is taken for Windows-1252, which say() is told.  name: how messages
    call it.  option: whether the user can name the encoding with --encoding.
    """
    refuse_no_text(data[:HEAD], name)
    marked, mark = marked_encoding(data)
    data = data[mark:]
    wide = encoding and codecs.lookup(encoding).name.startswith(("utf-16", "utf-32"))
    if wide and marked is None:
        marked = encoding
    try:
        text = data.decode(marked or "utf-8")
        if "\0" not in text:
            return text
        at = data.find(0)
    except UnicodeDecodeError as error:
        at = error.start
    line = 1 + unix_ends(data[:at].decode(marked or "utf-8", "ignore")).count("\n")
    if marked and marked != "utf-8":
        raise damaged(name, line, marked)
    if encoding:
        return _decoded(data, encoding, name)
    if likely_encoding(data) != "CP1252":
        raise not_text(name, line, data, at, option=option)
    other = " (--encoding names another)" if option else ""
    say(f"{name}, line {line}: not UTF-8 (byte 0x{data[at]:02x}); taken for Windows-1252{other}")
    return data.decode("cp1252", "replace")


def _decoded(data, encoding, name):
    """Bytes in the encoding that the user named as text."""
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = 1 + data.count(b"\n", 0, error.start)
        raise UserError(
            f"{name}, line {line}: not {encoding} ({error.reason}); name its encoding with "
            "--encoding"
        ) from None
