"""Read pytorch_model.bin without torch and without pickle.

`torch.save` writes the numbers and, beside them, a pickle: a little program that builds the state
dict.  Running it with Python's pickle module would let a file run any code.  Here the program is
read opcode by opcode, and only what a state dict of tensors needs is understood: dicts, lists,
tuples, strings, numbers, and three constructors by name, none of which is called.  Anything else is
refused.  Both layouts are read, the zip archive of torch >= 1.6 and the older stream, which the
first released ALBERT files use.
"""

import io
import math
import os
import pickletools
import struct
import zipfile
from dataclasses import dataclass

import numpy as np

from ..checks import WHOLE, Number, shown
from ..errors import LACKS, UserError
from .safetensors_file import bfloat16_to_float32

MAGIC = 0x1950A86A20F9469CFC6C  # the first object of the old layout
STORAGES = {
    "torch.DoubleStorage": "<f8",
    "torch.FloatStorage": "<f4",
    "torch.HalfStorage": "<f2",
    "torch.BFloat16Storage": "<u2",
    "torch.LongStorage": "<i8",
    "torch.IntStorage": "<i4",
    "torch.ShortStorage": "<i2",
    "torch.CharStorage": "i1",
    "torch.ByteStorage": "u1",
    "torch.BoolStorage": "?",
}
# What is believed of a file; a model has some dozens of tensors with some dozens of opcodes each.
MOST_OPCODES = 200_000
LONGEST_ARGUMENT = 100_000  # bytes of a string or number in the pickle
MOST_SHARING = 4  # how often a number may be in some tensor, for tied weights
MOST_AXES = 16
LENGTH = Number(int, 0, most=1 << 48)  # of an axis, a stride, an offset
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
LITERALS = {
    "BININT",
    "BININT1",
    "BININT2",
    "LONG1",
    "LONG4",
    "BINFLOAT",
    "BINUNICODE",
    "SHORT_BINUNICODE",
    "BINUNICODE8",
    "INT",
    "LONG",
    "UNICODE",
}


class Name(str):
    """The dotted name of something that the pickle would import; it stays a name."""


@dataclass(frozen=True)
class Storage:
    """A run of `size` numbers, in the file under `key`."""

    kind: str
    key: str
    size: int


@dataclass(frozen=True)
class Strided:
    """A tensor: a window on a storage."""

    storage: Storage
    offset: int
    shape: tuple
    strides: tuple


def read_torch(path):
    """{name: array} of a file written by torch.save(model.state_dict()); bfloat16 -> float32."""
    try:
        with open(path, "rb") as file:
            zipped = zipfile.is_zipfile(file)
            file.seek(0)
            state, numbers = _read_zip(file) if zipped else _read_stream(file)
            if not isinstance(state, dict) or not all(
                isinstance(t, Strided) for t in state.values()
            ):
                raise UserError(
                    "this is something other than a state dict of tensors; write it with "
                    "torch.save(model.state_dict(), path)"
                )
            _check_sizes(state, numbers)
            return {name: _array(tensor, numbers) for name, tensor in state.items()}
    except FileNotFoundError:
        raise UserError(f"there is no {path}") from None
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except (
        OSError,
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
        OverflowError,
        EOFError,
        zipfile.BadZipFile,
        NotImplementedError,
        RuntimeError,
        struct.error,
    ) as error:
        if getattr(error, "errno", None) in LACKS:
            raise
        raise UserError(
            f"{path} is truncated or was not written by torch.save; expected a state dict "
            f"({type(error).__name__}: {str(error)[:200]})"
        ) from None


def _read_zip(file):
    """The zip layout -> (state dict of Strided, {key: bytes}).

    Its files are <root>/data.pkl and <root>/data/<key>.
    """
    archive = zipfile.ZipFile(file)
    entries = {info.filename.partition("/")[2]: info for info in archive.infolist()}
    if len(entries) < len(archive.infolist()):
        raise ValueError("a name stands twice in the archive")
    if any(info.compress_type != zipfile.ZIP_STORED for info in entries.values()):
        raise ValueError("a compressed archive")
    if sum(info.file_size for info in entries.values()) > os.fstat(file.fileno()).st_size:
        raise ValueError("the files in the archive are larger than the archive")
    if "byteorder" in entries and archive.read(entries["byteorder"]) != b"little":
        raise ValueError("numbers in big-endian order")
    state = unpickle(io.BytesIO(archive.read(entries["data.pkl"])))
    return state, {key: archive.read(entries[f"data/{key}"]) for key in _storages(state)}


def _read_stream(file):
    """The old layout -> (state dict of Strided, {key: bytes}).

    A stream of magic number, version, system, state dict and keys, then for each key a length and
    the numbers.
    """
    if unpickle(file) != MAGIC:
        raise ValueError("no magic number")
    unpickle(file)
    if unpickle(file).get("little_endian") is not True:
        raise ValueError("numbers in big-endian order")
    state = unpickle(file)
    keys = unpickle(file)
    storages = _storages(state)
    numbers = {}
    for key in keys:
        if not isinstance(key, str):
            raise ValueError("a storage without a name")
        size = int.from_bytes(file.read(8), "little")
        size *= np.dtype(STORAGES[storages[key].kind]).itemsize
        if size > os.fstat(file.fileno()).st_size - file.tell():
            raise ValueError(f"storage {key} ends beyond the end of the file")
        numbers[key] = file.read(size)
    return state, numbers


def _storages(state):
    """{key: Storage} of what a state dict refers to."""
    tensors = state.values() if isinstance(state, dict) else ()
    return {t.storage.key: t.storage for t in tensors if isinstance(t, Strided)}


def _check_sizes(state, numbers):
    """Refuse tensors that reach beyond their storages, or together are far more than these hold."""
    total = 0
    for name, tensor in state.items():
        storage = tensor.storage
        held = len(numbers[storage.key]) // np.dtype(STORAGES[storage.kind]).itemsize
        size = math.prod(tensor.shape)
        last = tensor.offset + sum((n - 1) * by for n, by in zip(tensor.shape, tensor.strides))
        if held != storage.size or (size and (size > held or last >= held)):
            raise ValueError(f"{name} is larger than its storage")
        total += size
    if total > MOST_SHARING * sum(len(data) for data in numbers.values()):
        raise ValueError("the tensors are many times larger than what is stored")


def _array(tensor, numbers):
    """The array of a Strided, a window on its storage's bytes that can't reach beyond them."""
    storage = tensor.storage
    dtype = np.dtype(STORAGES[storage.kind])
    data = np.frombuffer(numbers[storage.key], dtype)
    array = np.lib.stride_tricks.as_strided(
        data[tensor.offset :] if math.prod(tensor.shape) else data,
        tensor.shape,
        [stride * dtype.itemsize for stride in tensor.strides],
    )
    return bfloat16_to_float32(array) if storage.kind == "torch.BFloat16Storage" else array


def unpickle(file):
    """Read one pickle that holds tensors and plain values, up to its end; refuse every other."""
    machine = _Machine()
    for count, (opcode, argument, _) in enumerate(pickletools.genops(_Limited(file))):
        if opcode.name == "STOP":
            return machine.stack.pop()
        if count > MOST_OPCODES:
            raise ValueError(f"a pickle of more than {MOST_OPCODES:,} steps")
        machine.step(opcode.name, argument)
    raise EOFError("the pickle has no end")


class _Limited:
    """A file as pickletools reads it: what has a length is not longer than LONGEST_ARGUMENT."""

    def __init__(self, file):
        self.file = file
        self.tell = file.tell

    def read(self, n):
        if n > LONGEST_ARGUMENT:
            raise ValueError(f"a value of {n} bytes in the pickle")
        return self.file.read(n)

    def readline(self):
        return self.file.readline(LONGEST_ARGUMENT)


class _Machine:
    """The stack machine that a pickle is a program for, with the opcodes of a state dict."""

    def __init__(self):
        self.stack = []
        self.outer = []  # the stacks below each open MARK
        self.memo = {}

    def step(self, name, argument):
        """Run one opcode."""
        if name not in ("PROTO", "FRAME") and not (
            self._push(name, argument) or self._collect(name) or self._build(name)
        ):
            raise UserError(
                f"this file is more than a state dict: its pickle uses {name}. Only plain weights "
                "are read, since loading anything else could run code"
            )

    def _push(self, name, argument):
        """Opcodes that put one value on the stack, or remember it; False for any other."""
        stack = self.stack
        match name:
            case _ if name in LITERALS:
                stack.append(argument)
            case _ if name in CONSTANTS:
                stack.append(CONSTANTS[name])
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_TUPLE":
                stack.append(())
            case "BINPUT" | "LONG_BINPUT" | "PUT":
                self.memo[argument] = stack[-1]
            case "MEMOIZE":
                self.memo[len(self.memo)] = stack[-1]
            case "BINGET" | "LONG_BINGET" | "GET":
                stack.append(self.memo[argument])
            case "GLOBAL":
                stack.append(Name(argument.replace(" ", ".")))
            case _:
                return False
        return True

    def _collect(self, name):
        """Opcodes that gather values into tuples, lists and dicts; False for any other."""
        match name:
            case "MARK":
                self.outer.append(self.stack)
                self.stack = []
            case "TUPLE":
                items = self._since_mark()
                self.stack.append(tuple(items))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                n = int(name[-1])
                self.stack[-n:] = [tuple(self.stack[-n:])]
            case "APPEND":
                item = self.stack.pop()
                self._top(list).append(item)
            case "APPENDS":
                items = self._since_mark()
                self._top(list).extend(items)
            case "SETITEM":
                value = self.stack.pop()
                key = self.stack.pop()
                self._top(dict)[_text(key)] = value
            case "SETITEMS":
                items = self._since_mark()
                keys = map(_text, items[::2])
                self._top(dict).update(zip(keys, items[1::2], strict=True))
            case _:
                return False
        return True

    def _build(self, name):
        """Opcodes that make objects, of the few kinds that are allowed; False for any other."""
        stack = self.stack
        match name:
            case "STACK_GLOBAL":
                attribute = _text(stack.pop())
                module = _text(stack.pop())
                stack.append(Name(f"{module}.{attribute}"))
            case "BINPERSID":
                stack.append(_storage(*stack.pop()))
            case "REDUCE":
                arguments = stack.pop()
                function = stack.pop()
                stack.append(_construct(function, arguments))
            case "BUILD":
                stack.pop()  # attributes of the dict: versions of the modules, not needed
            case _:
                return False
        return True

    def _since_mark(self):
        """The values since the last MARK, taken off; the stack below it is in use again."""
        items = self.stack
        self.stack = self.outer.pop()
        return items

    def _top(self, kind):
        """The value on top, which has to be a list or a dict."""
        if not isinstance(self.stack[-1], kind):
            raise ValueError(f"a {kind.__name__} is filled that is none")
        return self.stack[-1]


def _text(value):
    """A value that has to be a string.

    Every key is one: hashing tuples in one another could take for ever.
    """
    if not isinstance(value, str):
        raise ValueError(f"a {type(value).__name__} in place of a name")
    return value


def _storage(tag, kind, key, location, size, view=None):
    """What stands for a storage in the pickle."""
    if tag != "storage" or not isinstance(kind, Name) or kind not in STORAGES or view is not None:
        raise UserError(
            f"this file holds numbers of kind {shown(kind)}; expected one of {', '.join(STORAGES)}"
        )
    return Storage(str(kind), _text(key), WHOLE.accept(size))


def _construct(function, arguments):
    """What one of the three constructors that a state dict's pickle may name would return."""
    if isinstance(function, Name) and isinstance(arguments, tuple):
        if function == "collections.OrderedDict" and not arguments:
            return {}
        if function == "torch._utils._rebuild_tensor_v2":
            storage, offset, shape, strides, *_ = arguments
            if isinstance(storage, Storage):
                return _strided(storage, offset, shape, strides)
        if function == "torch._utils._rebuild_parameter" and isinstance(arguments[0], Strided):
            return arguments[0]
    raise UserError(
        f"this file is more than a state dict: it would call {shown(function)}. Only plain weights "
        "are read, since loading anything else could run code"
    )


def _strided(storage, offset, shape, strides):
    """The Strided of a tensor's description, if that is one."""
    if not isinstance(shape, tuple) or not isinstance(strides, tuple):
        raise ValueError("a tensor without a shape")
    if len(shape) != len(strides) or len(shape) > MOST_AXES:
        raise ValueError(f"a tensor of {len(shape)} axes with {len(strides)} strides")
    for number in (offset, *shape, *strides):
        LENGTH.accept(number)
    return Strided(storage, offset, shape, strides)
