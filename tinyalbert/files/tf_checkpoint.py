"""Read the original ALBERT checkpoints of google-research/albert without TensorFlow.

A checkpoint `prefix` is two or more files: `prefix.data-00000-of-00001` holds the numbers, one
variable after the other, and `prefix.index` says what is where.  The index is a sorted table in
LevelDB's format (tensorflow/core/lib/io/table): blocks of key-value pairs, a block that lists the
blocks, a footer that finds it.  Keys are variable names; values are protocol buffers
(tensorflow/core/protobuf/tensor_bundle.proto).  Every block and every variable carries a CRC-32C,
and each is checked.
"""

import math
import os
import re
from dataclasses import dataclass

import numpy as np

from ..errors import LACKS, UserError
from ..strict_json import read_at_most
from .protobuf import message, repeated, varint
from .safetensors_file import bfloat16_to_float32

TABLE_MAGIC = 0xDB4775248B80FB57
FOOTER = 48  # bytes
DTYPES = {
    1: "<f4",
    2: "<f8",
    3: "<i4",
    4: "u1",
    5: "<i2",
    6: "i1",
    9: "<i8",
    10: "?",
    14: "<u2",
    19: "<f2",
}
BFLOAT16 = 14
# What is believed of an index; ALBERT's have 3 KiB with names of 100 letters.
LARGEST_INDEX = 1 << 26  # bytes
MOST_VARIABLES = 100_000
LONGEST_NAME = 1000
MOST_AXES = 16
OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"  # Keras' own table, no numbers
KERAS_NORM = re.compile(r"^(.*/)layer_normalization(?:_(\d+))?(/(?:gamma|beta))$")

# Google's names (modeling.py) -> transformers' names, rules applied one after the other
RENAMED = [
    (re.compile(pattern), name)
    for pattern, name in (
        (r"^module/", ""),  # TF-Hub exports
        (r"^bert/", "albert/"),
        (
            r"/transformer/group_(\d+)/inner_group_(\d+)/",
            r"/albert_layer_groups/\1/albert_layers/\2/",
        ),
        (r"(/albert_layers/\d+)/LayerNorm_1/", r"\1/full_layer_layer_norm/"),
        (r"(/albert_layers/\d+)/LayerNorm/", r"\1/attention/LayerNorm/"),
        (r"/attention_\d+/self/", "/attention/"),
        (r"/attention_\d+/output/dense/", "/attention/dense/"),
        (r"/ffn_\d+/intermediate/dense/", "/ffn/"),
        (r"/ffn_\d+/intermediate/output/dense/", "/ffn_output/"),
        (r"/pooler/dense/", "/pooler/"),
        (r"^cls/predictions/transform/", "predictions/"),
        (r"^cls/predictions/output_bias$", "predictions/bias"),
        (r"^cls/seq_relationship/output_", "sop_classifier/classifier/"),
        (r"^cls/squad/output_", "qa_outputs/"),
        (r"^output_(weights|bias)$", r"classifier/\1"),
        (r"/(kernel|gamma|weights)$", "/weight"),
        (r"/beta$", "/bias"),
        (r"_embeddings$", "_embeddings/weight"),
        (r"/", "."),
    )
]


def load_tf(prefix):
    """{transformers' name: array} of a checkpoint of google-research/albert.

    Kernels [in, out] become Linear weights [out, in].  What belongs to the training is left out:
    the optimiser's slots, and counters, which are single numbers.  A variable that has no
    counterpart keeps its own name, so that a restore report lists it.  Google has no E->H
    projection when E = H, transformers always has one: then it is the identity.
    """
    state = {}
    arrays = {n: a for n, a in read_tf(prefix, skip=training_variables).items() if a.ndim}
    googles = google_norms(arrays)
    for name, array in arrays.items():
        renamed = hf_name(googles.get(name, name))
        if renamed in state:
            raise UserError(f"{prefix} holds {renamed} twice, once as {name}; expected one model")
        state[renamed] = array.T if name.endswith("/kernel") and renamed != name else array
    projection = "albert.encoder.embedding_hidden_mapping_in."
    words = state.get("albert.embeddings.word_embeddings.weight")
    hidden = next(
        (a.shape[-1] for name, a in state.items() if name.endswith("full_layer_layer_norm.weight")),
        None,
    )
    if words is not None and words.shape[-1] == hidden and f"{projection}weight" not in state:
        state[f"{projection}weight"] = np.eye(hidden, dtype=words.dtype)
        state[f"{projection}bias"] = np.zeros(hidden, words.dtype)
    return state


def training_variables(names):
    """Those of the variables that an optimiser keeps: slots, under the name of what they are for.

    bert/pooler/dense/kernel/adam_m is one, since there is bert/pooler/dense/kernel.
    """
    names = set(names)
    return {name for name in names if name.rpartition("/")[0] in names or name == OBJECT_GRAPH}


def google_norms(names):
    """{name: Google's name} of layer norms that bear Keras' names, numbered in order of making.

    A layer has two of them, attention's first; every other part has one.
    """
    numbers = {}  # of each scope, such as bert/embeddings/
    found = [(name, match) for name in names if (match := KERAS_NORM.match(name))]
    for _, match in found:
        numbers.setdefault(match[1], set()).add(int(match[2] or 0))
    renamed = {}
    for name, match in found:
        place = sorted(numbers[match[1]]).index(int(match[2] or 0))
        expected = 2 if "/inner_group_" in match[1] else 1
        if len(numbers[match[1]]) == expected:  # else another model
            renamed[name] = f"{match[1]}{('LayerNorm', 'LayerNorm_1')[place]}{match[3]}"
    return renamed


def hf_name(name):
    """The transformers name of one of Google's variables, or its own if it has none there."""
    renamed = name
    for pattern, replacement in RENAMED:
        renamed = pattern.sub(replacement, renamed)
    known = (
        r"(albert|predictions|sop_classifier|classifier|qa_outputs"
        r"|start_logits|end_logits|answer_class)\."
    )
    return renamed if re.match(known, renamed) else name


# --- the checkpoint's files -----------------------------------------------------------------------


def read_tf(prefix, skip=None):
    """{variable name: array} of a TensorFlow checkpoint.

    skip: a function of all names that returns those to leave out.
    """
    prefix = str(prefix)
    try:
        entries = dict(read_table(f"{prefix}.index"))
        header = message(entries.pop(b""), {1: int, 2: int})
        if header.get(2, 0):
            raise ValueError("numbers in big-endian order")
        names = {key.decode(): value for key, value in entries.items()}
        left_out = skip(names) if skip else ()
        variables = {
            name: _variable(value, header.get(1, 1))
            for name, value in names.items()
            if name not in left_out
        }
        _check_sizes(prefix, variables)
        return {name: _array(prefix, variable) for name, variable in variables.items()}
    except FileNotFoundError as error:
        raise UserError(
            f"there is no {error.filename}; a checkpoint is named by what its files have in "
            "common, like folder/model.ckpt-best, and needs .index and .data- files"
        ) from None
    except UserError as error:
        raise UserError(f"{prefix}: {error}") from None
    except (LookupError, OSError, TypeError, ValueError, OverflowError) as error:
        if getattr(error, "errno", None) in LACKS:
            raise
        raise UserError(
            f"{prefix} is truncated or is not a TensorFlow checkpoint ({type(error).__name__}: "
            f"{error}); fetch it again"
        ) from None


@dataclass(frozen=True)
class Variable:
    """Where an array is, of how many bytes, and what they mean."""

    kind: int  # in DTYPES
    shape: list
    file: str  # what its name adds to the prefix
    offset: int
    size: int
    crc: int


def _variable(value, shards):
    """The Variable of one BundleEntryProto.

    Its fields: dtype 1, shape 2, shard 3, offset 4, size 5, crc32c 6, slices 7.
    """
    entry = message(value, {1: int, 2: bytes, 3: int, 4: int, 5: int, 6: int, 7: bytes})
    if 7 in entry or entry.get(1) not in DTYPES:
        raise UserError(
            f"a variable is in slices or of type number {entry.get(1)}; only whole variables of "
            "numbers are read"
        )
    shape = [message(dim, {1: int}).get(1, 0) for dim in repeated(entry.get(2, b""), 2)]
    size = entry.get(5, 0)
    if len(shape) > MOST_AXES or size != math.prod(shape) * np.dtype(DTYPES[entry[1]]).itemsize:
        raise ValueError(f"{size} bytes for shape {shape[:MOST_AXES]}")
    file = f".data-{entry.get(3, 0):05d}-of-{shards:05d}"
    return Variable(entry[1], shape, file, entry.get(4, 0), size, entry.get(6, 0))


def _check_sizes(prefix, variables):
    """Refuse variables that reach beyond their files or together are more than these hold."""
    sizes = {v.file: os.stat(prefix + v.file).st_size for v in variables.values()}
    for name, variable in variables.items():
        if variable.offset + variable.size > sizes[variable.file]:
            raise ValueError(f"{name} ends beyond the end of {variable.file}")
    if sum(variable.size for variable in variables.values()) > sum(sizes.values()):
        raise ValueError("the variables are more than the files hold")


def _array(prefix, variable):
    """The numbers of a Variable."""
    with open(prefix + variable.file, "rb") as file:
        file.seek(variable.offset)
        data = np.fromfile(file, np.uint8, variable.size)
    if data.size != variable.size or masked_crc32c(data) != variable.crc:
        raise ValueError(f"wrong checksum in {variable.file}")
    array = data.view(DTYPES[variable.kind]).reshape(variable.shape)
    return bfloat16_to_float32(array) if variable.kind == BFLOAT16 else array


def read_table(path):
    """(key, value) pairs of a LevelDB table file, in order, which is that of the keys."""
    with open(path, "rb") as file:
        data = read_at_most(file, LARGEST_INDEX + 1)
    footer = data[-FOOTER:]
    if len(data) > LARGEST_INDEX:
        raise ValueError(f"an index of more than {LARGEST_INDEX >> 20} MiB")
    if len(footer) < FOOTER or int.from_bytes(footer[-8:], "little") != TABLE_MAGIC:
        raise ValueError("the index has no footer")
    _, at = _handle(footer, 0)  # the meta index block, always empty
    index, _ = _handle(footer, at)
    end = count = 0
    last = None
    for _, value in _block(data, *index):
        offset, size = _handle(value, 0)[0]
        if offset < end:  # read once each, so that a small file can't mean endless work
            raise ValueError("blocks of the index overlap")
        end = offset + size
        for key, content in _block(data, offset, size):
            count += 1
            if count > MOST_VARIABLES or (last is not None and key <= last):
                raise ValueError("names out of order, or too many of them")
            last = key
            yield key, content


def _handle(data, at):
    """A block's (offset, size), and where the next thing begins."""
    offset, at = varint(data, at)
    size, at = varint(data, at)
    return (offset, size), at


def _block(data, offset, size):
    """(key, value) pairs of one block.  A key is stored as what differs from the key before it."""
    stop = offset + size
    if stop + 5 > len(data) or size < 4:
        raise ValueError(f"a block of {size} bytes at {offset} of {len(data)}")
    block = data[offset:stop]
    kind = data[stop]
    crc = int.from_bytes(data[stop + 1 : stop + 5], "little")
    if masked_crc32c(np.frombuffer(block + bytes([kind]), np.uint8)) != crc:
        raise ValueError("wrong checksum in the index")
    if kind != 0:
        raise UserError(
            "the checkpoint's index is compressed, which TensorFlow does not do; it is not read "
            "here"
        )
    end = size - 4 - 4 * int.from_bytes(block[-4:], "little")  # restart points, for searching
    at = 0
    key = b""
    while at < end:
        shared, at = varint(block, at)
        fresh, at = varint(block, at)
        length, at = varint(block, at)
        if shared > len(key) or at + fresh + length > end or shared + fresh > LONGEST_NAME:
            raise ValueError("a name or value beyond the end of its block")
        key = key[:shared] + block[at : at + fresh]
        at += fresh
        yield key, block[at : at + length]
        at += length


# --- checksums ------------------------------------------------------------------------------------


def _crc_table():
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(0x82F63B78), table >> 1)
    return table


CRC_TABLE = _crc_table()


def crc32c(data):
    """CRC-32C (Castagnoli) of a uint8 array.

    Byte by byte, Python would take a minute for a base model.  The register is a linear function
    (over bits) of its start and of the data, so pieces of equal length are run side by side from 0
    and then joined: register(a + b) = shift(register(a)) ^ register(b), where shift runs over as
    many zero bytes as b has bytes.
    """
    length = max(1, math.isqrt(data.size))  # bytes in a piece; about as many pieces
    pieces = data[: data.size // length * length].reshape(-1, length)  # (P, length)
    registers = np.zeros(len(pieces), np.uint32)
    shift = np.uint32(1) << np.arange(32, dtype=np.uint32)  # the images of the 32 single bits
    for column in np.ascontiguousarray(pieces.T):
        registers = CRC_TABLE[(registers ^ column) & 255] ^ (registers >> 8)
        shift = CRC_TABLE[shift & 255] ^ (shift >> 8)
    bits = np.arange(32, dtype=np.uint32)
    register = 0xFFFFFFFF
    for piece in registers.tolist():
        register = int(np.bitwise_xor.reduce(shift[(register >> bits) & 1 == 1])) ^ piece
    for byte in data[pieces.size :].tolist():
        register = int(CRC_TABLE[(register ^ byte) & 255]) ^ (register >> 8)
    return register ^ 0xFFFFFFFF


def masked_crc32c(data):
    """The checksum as LevelDB stores it: rotated and shifted.

    So it can itself be part of data with a checksum.
    """
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
