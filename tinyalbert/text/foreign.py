"""Bytes that are no UTF-8 text: what they are, and the command that makes such text of the file."""

import re
import shlex
from pathlib import Path

from ..errors import UserError

# how a compressed file begins, and the program that unpacks it (-dc) and packs it
PACKED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\0": "xz"}
OFFICE = (".xlsx", ".xlsm", ".ods", ".docx", ".odt", ".pptx", ".odp", ".epub")
_PANDAS = (
    "python -c 'import pandas, sys; pandas.read_parquet(sys.argv[1])"
    '.to_json(sys.argv[2], orient="records", lines=True)\''
)
LFS_MARK = b"version https://git-lfs"
# how files begin that are no text: what they are, and a command that makes text of them
NO_TEXT = {
    b"PK\x03\x04": ("a zip archive", "unzip {file} -d {stem}"),
    b"PAR1": ("a Parquet file", _PANDAS + " {file} {stem}.jsonl"),
    b"SQLite format": ("a database", "sqlite3 -csv -header {file} 'select * from TABLE'"),
    b"%PDF": ("a PDF document", "pdftotext {file} {stem}.txt"),
    b"{\\rtf": ("an RTF document", "pandoc {file} -t plain -o {stem}.txt"),
    b"\xd0\xcf\x11\xe0": ("an old Office document", "soffice --headless --convert-to txt {file}"),
    b"Rar!": ("a rar archive", "unrar x {file} {stem}/"),
    b"7z\xbc\xaf": ("a 7z archive", "7z x {file} -o{stem}"),
    b"\x28\xb5\x2f\xfd": ("compressed with zstd", "zstd -d {file} -o {stem}"),
    b"\x04\x22\x4d\x18": ("compressed with lz4", "lz4 -d {file} {stem}"),
    b"\x5d\0\0": ("compressed with lzma", "xz --format=lzma -dc {file} > {stem}.out"),
    b"\x1f\x9d": ("compressed with compress", "gzip -dc {file} > {stem}.out"),
    b"ARROW1": ("a Feather file", _PANDAS.replace("parquet", "feather") + " {file} {stem}.jsonl"),
    LFS_MARK: ("a pointer of Git LFS, which stands for the file", "git lfs pull --include {file}"),
    b"\x89PNG": ("a picture", None),
    b"\xff\xd8\xff": ("a picture", None),
    b"GIF8": ("a picture", None),
    b"\x93NUMPY": ("an array of numbers", None),
    b"\x7fELF": ("a program", None),
}
MANY_BYTES = 16  # beyond ASCII: more tell an encoding, fewer may be slips
TAR_MARK = slice(257, 262)
TAR = ("a tar archive", "mkdir -p {stem} && tar -xf {file} -C {stem}")
# encodings that only a reader can tell apart
LIKELY = (
    "CP1252",
    "CP1251",
    "KOI8-R",
    "GB18030",
    "BIG5",
    "SHIFT_JIS",
    "EUC-KR",
    "CP850",
    "MACINTOSH",
)
_ASCII = bytes(range(128))
_SEQUENCE = re.compile(  # a letter in UTF-8 beyond ASCII
    rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}"
)
# bytes that are no letter or rare letters in Windows-1252, but common ones in DOS's and Mac's sets
_RARE = bytes({*range(0x81, 0xA0)} - {*b"\x82\x84\x85\x91\x92\x93\x94\x95\x96\x97\x99"})


def refuse_no_text(head, name):
    """Refuse a file whose first bytes, `head`, are those of another format than text."""
    signs = [known for start, known in NO_TEXT.items() if head.startswith(start)]
    signs += [TAR] if head[TAR_MARK] == b"ustar" else []
    if not signs:
        return
    what, command = signs[0]
    path = Path(name)
    file = shlex.quote(str(name))
    advice = "expected text"
    if path.suffix.lower() in OFFICE:
        what = "a spreadsheet or a document of an office program"
        advice = "save the sheet as CSV, or the text as plain text"
    elif command:
        stem = shlex.quote(re.sub(r"(\.tar)?\.\w+$", "", str(name)))
        advice = f"make text of it: {command.format(file=file, stem=stem)}"
    hidden = shlex.quote(str(path.with_name(f".{path.name}")))
    raise UserError(
        f"{name} is no text but {what}; {advice} (of a folder, files whose names begin with a dot "
        f"are left out: mv {file} {hidden})"
    )


def likely_encoding(data, before=False):
    """What bytes are that are no UTF-8 text.

    An encoding; "zeros" for text with NUL bytes, "damaged" for UTF-8 that is broken in places;
    None if nothing tells.  before: whether there was UTF-8 beyond ASCII before them.
    """
    if 0 in data:
        return _with_zeros(data)
    others = data.translate(None, _ASCII)
    letters = sum(map(len, _SEQUENCE.findall(data)))  # bytes of whole ones
    slips = len(others) - letters
    # in an East Asian encoding up to half of the bytes look like UTF-8 by chance
    chance = slips > MANY_BYTES and slips * 4 > letters
    if not chance and (before or letters * 2 > slips):
        return "damaged"
    rare = len(others) - len(others.translate(None, _RARE))
    western = len(others) * 10 <= len(data) and rare * 4 <= len(others)
    return "CP1252" if western else None


def _with_zeros(data):
    """What bytes are among which some are 0: UTF-16 or UTF-32, in which every other byte of ASCII
    is, or three of four; or else "zeros".
    """
    zeros = data.count(0)
    places = [data[i::4].count(0) * 4 > 0.9 * len(data) for i in range(4)]
    if places in ([False, True, True, True], [True, True, True, False]):
        return "UTF-32BE" if places[0] else "UTF-32LE"
    even = data[::2].count(0)
    aligned = max(even, zeros - even) > 0.9 * zeros
    if aligned and zeros * 4 < len(data):  # a text with few letters of ASCII, or with a slip
        try:
            data.replace(b"\0", b"").decode()
            aligned = False
        except UnicodeDecodeError:
            pass
    if not aligned:
        return "zeros"
    return "UTF-16BE" if even * 2 > zeros else "UTF-16LE"


def in_place(name, change):
    """A shell command that changes a file.  change: a filter of its text; "gzip -dc" comes first
    if the file is compressed.
    """
    file, new = shlex.quote(str(name)), shlex.quote(f"{name}.new")
    packer = _packer(name)
    if packer:
        return f"{packer} -dc {file} | {change} | {packer} > {new} && mv {new} {file}"
    return f"{change} < {file} > {new} && mv {new} {file}"


def _packer(name):
    """The program that compressed a file, or None."""
    try:
        with open(name, "rb") as file:
            head = file.read(8)
    except OSError:  # standard input
        return None
    return next((packer for start, packer in PACKED.items() if head.startswith(start)), None)


def not_text(name, line, data, at, before=False, option=False):
    """The UserError for bytes that are no UTF-8: what they seem to be, and what helps.

    data[at] is the first wrong one, which stands in this line of the file; what is around it tells
    the encoding.  before: as in likely_encoding.  option: whether --encoding may name it.
    """
    likely = likely_encoding(data, before)
    found = f"{name}, line {line}: not UTF-8 text (byte 0x{data[at]:02x})"
    if likely == "zeros":
        mend = in_place(name, r"tr -d '\000'")
        return UserError(f"{found}; if it is text at all, leave such bytes out: {mend}")
    if likely == "damaged":
        return damaged(name, line, "utf-8", f"{found}, though others are", option)
    if likely:
        what = "Windows-1252, or Latin-1" if likely == "CP1252" else f"{likely} without a mark"
        python = re.sub("(?<=[0-9])(?=[lb]e$)", "-", likely.lower())
        option = f" (or --encoding {python})" if option else ""
        mend = in_place(name, f"iconv -f {likely} -t UTF-8")
        return UserError(f"{found}; it looks like {what}: {mend}{option}")
    start = data.rfind(b"\n", 0, at) + 1
    option = " (or --encoding ENCODING)" if option else ""
    mend = in_place(name, "iconv -f ENCODING -t UTF-8")
    return UserError(
        f"{found}; only a reader can tell its encoding. This line is "
        f"{_readings(data[start : at + 200])}; take the one that reads well: {mend}{option}"
    )


def damaged(name, line, encoding, found=None, option=False):
    """The UserError for a file in this encoding, some bytes of which are not.

    found: how the message begins.
    """
    whole = encoding[:6].upper().removesuffix("-")  # a mark tells the rest
    found = found or f"{name}, line {line}: damaged {whole}"
    mend = in_place(name, f"iconv -c -f {whole} -t UTF-8").replace(" && ", "; ")
    option = " (or --encoding ENCODING)" if option else ""
    return UserError(f"{found}; mend the line, or leave such bytes out: {mend}{option}")


def _readings(data):
    """The first line of some bytes in each of the encodings that it may be in."""
    line = data.split(b"\n")[0]
    readings = []
    for encoding in LIKELY:
        try:
            text = line.decode(encoding)
        except UnicodeDecodeError as error:
            if error.start < 8:
                continue
            text = line[: error.start].decode(encoding)
        readings.append(f"{text.strip()[:16]!r} in {encoding}")
    return ", ".join(readings)
