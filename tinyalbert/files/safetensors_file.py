"""The safetensors format.

safetensors (github.com/huggingface/safetensors) is eight bytes with the length of a JSON header,
the header {name: {dtype, shape, data_offsets}}, and the arrays one after the other: simple enough
to read and write here, bfloat16 included, which NumPy does not know.
"""

import json
import math
import os

import numpy as np

from ..backend import to_host
from ..checks import TEXT, WHOLE, ListOf, Named, OneOf, checked, shown
from ..errors import LACKS, UserError
from ..strict_json import parse_object
from .writing import replacing

DTYPES = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": np.uint16,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U64": np.uint64,
    "U32": np.uint32,
    "U16": np.uint16,
    "U8": np.uint8,
    "BOOL": np.bool_,
}
NAMES = {np.dtype(dtype): name for name, dtype in DTYPES.items() if name != "BF16"}
ENTRY = {"dtype": OneOf(*DTYPES), "shape": ListOf(WHOLE), "data_offsets": ListOf(WHOLE)}
LONGEST_HEADER = 100_000_000  # the format's own limit
MOST_AXES = 16
MOST_NUMBERS = 1 << 48  # of one array


def write_safetensors(path, arrays, metadata=None, before=None):
    """Write {name: array} and {key: text} to `path`, whole or not at all.

    Wide types first, then by name, so that every array is aligned and equal content gives equal
    bytes.
    before: called when all is on the disk, before the file takes the place of the old one.
    """
    names = sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name))
    header = {"__metadata__": metadata} if metadata else {}
    end = 0
    for name in names:
        array = arrays[name]
        begin = end
        end += array.size * array.dtype.itemsize
        header[name] = {
            "dtype": NAMES[array.dtype],
            "shape": list(array.shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with replacing(path) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in names:
            array = to_host(arrays[name])
            array = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
            file.write(array.reshape(-1).view(np.uint8).data)
        if before:
            file.flush()
            os.fsync(file.fileno())
            before()


def read_safetensors(path):
    """({name: array}, {key: text}) of a safetensors file; bfloat16 becomes float32.

    Nothing of the arrays is read before the header is known to describe exactly the bytes that
    are there: no entry overlaps another, and none is missing.
    """
    try:
        with open(path, "rb") as file:
            header = _header(file, path)
            metadata = header.pop("__metadata__", {})
            checked({"__metadata__": metadata}, {"__metadata__": Named(TEXT)}, path)
            _check_layout(header, os.fstat(file.fileno()).st_size - file.tell(), path)
            data = np.fromfile(file, np.uint8)
    except FileNotFoundError:
        raise UserError(f"there is no {path}") from None
    except OSError as error:
        if error.errno in LACKS:
            raise
        raise UserError(f"{path} can't be read ({error.strerror or error})") from None
    return {name: _array(entry, data) for name, entry in header.items()}, metadata


def _header(file, path):
    """The JSON header; the file then stands where the arrays begin."""
    begin = file.read(8)
    size = int.from_bytes(begin, "little")
    rest = os.fstat(file.fileno()).st_size - 8
    if len(begin) < 8 or size > min(rest, LONGEST_HEADER):
        raise UserError(
            f"{path} is truncated or is not a safetensors file: its header would have {size} bytes "
            f"of the {max(rest, 0)} that are left; expected a file as written by this package or "
            "by transformers"
        )
    return parse_object(file.read(size), f"{path}, header", "{name: dtype, shape, data_offsets}")


def _check_layout(header, size, path):
    """Refuse entries unless they tell, one after the other, the `size` bytes of the arrays."""
    for name, entry in header.items():
        checked(entry, ENTRY, f"{path}, {shown(name)}")
    end = 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        place = f"{path}, {shown(name)}"
        span = entry["data_offsets"]
        shape = entry["shape"]
        if len(span) != 2 or span[0] != end or span[1] < span[0]:
            raise UserError(
                f"{place} has the bytes {shown(span)}; expected a span from {end} on: entries "
                "neither overlap nor leave holes"
            )
        if len(shape) > MOST_AXES or math.prod(n for n in shape if n) > MOST_NUMBERS:
            raise UserError(
                f"{place} has the shape {shown(shape)}; expected at most {MOST_AXES} axes and "
                f"{MOST_NUMBERS:,} numbers"
            )
        needed = math.prod(shape) * np.dtype(DTYPES[entry["dtype"]]).itemsize
        if span[1] - span[0] != needed:
            raise UserError(
                f"{place} has {span[1] - span[0]} bytes; expected {needed} for the shape "
                f"{shape} of {entry['dtype']}"
            )
        end = span[1]
    if end != size:
        raise UserError(
            f"{path} has {size} bytes of arrays; expected {end} by its header: it is truncated or "
            "damaged, so fetch or write it again"
        )


def _array(entry, data):
    """The array that one header entry describes: a window on `data`."""
    dtype = np.dtype(DTYPES[entry["dtype"]]).newbyteorder("<")
    begin, end = entry["data_offsets"]
    array = data[begin:end].view(dtype).reshape(entry["shape"])
    return bfloat16_to_float32(array) if entry["dtype"] == "BF16" else array


def bfloat16_to_float32(bits):
    """uint16 -> float32: bfloat16 is the upper half of a float32."""
    return (bits.astype(np.uint32) << 16).view(np.float32)
