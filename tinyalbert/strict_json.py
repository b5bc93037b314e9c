"""JSON as strangers' files hold it: every reader of this package takes it from here.

Python's json module lets through what breaks later, far from the file: numbers of thousands of
digits, values in one another until the stack is full, the same name twice (the last one wins),
halves of surrogate pairs, which can't be written again.  Here the first three are refused, with
their place, and the last becomes U+FFFD.
"""

import json
import re
from json import JSONDecodeError
from pathlib import Path

from .errors import LACKS, UserError

DEEPEST = 64  # objects and lists in one another
MOST_DIGITS = 100  # of a whole number; transformers writes one of 31
MOST_BYTES = 1 << 26  # of a small file that is read whole
SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class _Refused(ValueError):
    """What a hook found, and the text by which its place is found."""

    def __init__(self, why, mark):
        super().__init__(why)
        self.mark = mark


def _whole_number(digits):
    if len(digits) > MOST_DIGITS:
        raise _Refused(f"a number of {len(digits)} digits", digits)
    return int(digits)


def _object(pairs):
    values = dict(pairs)
    if len(values) < len(pairs):
        names = sorted(name for name, _ in pairs)
        twice = next(name for name, after in zip(names, names[1:]) if name == after)
        raise _Refused(f"the name {twice[:80]!r} stands twice", f'"{twice}"')
    return values


_DECODER = json.JSONDecoder(parse_int=_whole_number, object_pairs_hook=_object)


def loads(text):
    """The value of a JSON text; a JSONDecodeError says what is wrong with it, and where."""
    return _decoded(text, 0, whole=True)[0]


def decode_at(text, at):
    """The JSON value that begins at text[at], and where it ends."""
    return _decoded(text, at, whole=False)


def _decoded(text, at, whole):
    try:
        value, end = (_DECODER.decode(text), None) if whole else _DECODER.raw_decode(text, at)
    except RecursionError:
        raise JSONDecodeError("too many objects in one another", text, at) from None
    except _Refused as found:
        place = max(at, text.rfind(found.mark, at))
        raise JSONDecodeError(str(found), text, place) from None
    if text.count("[", at, end) + text.count("{", at, end) > DEEPEST and _depth(value) > DEEPEST:
        raise JSONDecodeError(f"more than {DEEPEST} objects in one another", text, at)
    if SURROGATE.search(text, at, len(text) if end is None else end):
        value = json.loads(_paired(json.dumps(value, ensure_ascii=False)))
    return value, end


def _depth(value):
    """How many objects and lists are in one another, up to one more than DEEPEST."""
    level = [value]
    for depth in range(DEEPEST + 1):
        level = [each for each in level if isinstance(each, (dict, list))]
        if not level:
            return depth
        level = [
            inner for each in level for inner in (each.values() if isinstance(each, dict) else each)
        ]
    return DEEPEST + 1


def _paired(text):
    """Halves of surrogate pairs are put together; what is left alone becomes U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def read_at_most(file, size):
    """The first `size` bytes of a file, or all if there are fewer, in the memory that they need.

    file.read(size) asks for as much memory as `size` says, whatever the file has.
    """
    parts = []
    while size > 0 and (part := file.read(min(size, 1 << 20))):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def read_json(path, expected="a JSON object"):
    """{name: value} of a small JSON file, which holds one object.

    expected: what the file should be, for the message where it is something else.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            data = read_at_most(file, MOST_BYTES + 1)
    except FileNotFoundError:
        raise UserError(f"there is no file {path}; expected {expected}") from None
    except OSError as error:
        if error.errno in LACKS:
            raise
        raise UserError(f"{path} can't be read ({error.strerror}); expected {expected}") from None
    if len(data) > MOST_BYTES:
        raise UserError(f"{path} is larger than {MOST_BYTES >> 20} MiB; expected {expected}")
    return parse_object(data, path, expected)


def parse_object(data, where, expected="a JSON object"):
    """{name: value} of the bytes of one JSON object; where: the file they are from."""
    value = parse(data, where, expected)
    if not isinstance(value, dict):
        raise UserError(f"{where} holds {type(value).__name__}; expected {expected}")
    return value


def parse(data, where, expected):
    """The value of the bytes of a JSON text."""
    try:
        return loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise UserError(
            f"{where} is not JSON: no UTF-8 at byte {error.start}; expected {expected}"
        ) from None
    except JSONDecodeError as error:
        raise UserError(
            f"{where} is not JSON: {error.msg} (line {error.lineno}, column {error.colno}); "
            f"expected {expected}"
        ) from None
