"""Files of strangers that were made to break a reader: each is refused, soon, with the file and the place."""

import json
import os
import pickle
import struct
import time
import tracemalloc

import numpy as np
import pytest
from test_tf_checkpoint import field, varint, write_checkpoint
from test_torch_checkpoint import MAGIC, tensor, zip_file, zip_of

from tinyalbert import AlbertConfig, AlbertForMaskedLM, AlbertModel, AlbertTokenizer, UserError
from tinyalbert.convert import convert
from tinyalbert.files.checkpoint import load_state
from tinyalbert.files.protobuf import message, repeated
from tinyalbert.files.safetensors_file import read_safetensors, write_safetensors
from tinyalbert.files.tf_checkpoint import read_tf
from tinyalbert.files.torch_checkpoint import read_torch
from tinyalbert.info import describe

SMALL = AlbertConfig(vocab_size=30, embedding_size=4, hidden_size=8, num_hidden_layers=2, num_attention_heads=2,
                     intermediate_size=8, max_position_embeddings=16)


@pytest.fixture(autouse=True)
def _soon_and_small():
    """No refusal takes seconds or many megabytes, whatever the file says of itself."""
    tracemalloc.start()
    begun = time.process_time()
    yield
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 200 << 20
    assert time.process_time() - begun < 20      # of a machine that also does other things; the old ones took for ever


def refused(read, path, words):
    with pytest.raises(UserError, match=words) as refusal:
        read(path)
    assert str(path) in str(refusal.value)
    assert len(str(refusal.value)) < 1000


# --- safetensors ------------------------------------------------------------------------------------------------

def entry(shape, begin, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize("header, words", [
    ({"a": entry([4], 0, 16), "b": entry([4], 0, 16)}, "'b' has the bytes .0, 16.; expected a span from 16 on"),
    ({"a": entry([2], 0, 8), "b": entry([2], 4, 12), "c": entry([1], 12, 16)}, "neither overlap nor leave holes"),
    ({"a": entry([1], 0, 4), "b": entry([2], 8, 16)}, "neither overlap nor leave holes"),
    ({"a": entry([2], 0, 8)}, "16 bytes of arrays; expected 8"),
    ({"a": entry([8], 0, 32)}, "16 bytes of arrays; expected 32"),
    ({"a": entry([-1], 0, 16)}, "'a', shape is .-1."), ({"a": entry([True, 4], 0, 16)}, "shape is .True, 4."),
    ({"a": entry([4.0], 0, 16)}, "shape is"), ({"a": entry(4, 0, 16)}, "shape is 4; expected a list"),
    ({"a": entry([1] * 100 + [4], 0, 16)}, "at most 16 axes"), ({"a": entry([0, 2**62, 2**62], 0, 0)}, "numbers"),
    ({"a": entry([10**90], 0, 16)}, "numbers"),
    ({"a": entry([2], 0, 16)}, "has 16 bytes; expected 8"), ({"a": entry([4], 16, 0)}, "expected a span"),
    ({"a": {**entry([4], 0, 16), "data_offsets": [0, 8, 16]}}, "expected a span"),
    ({"a": {**entry([4], 0, 16), "data_offsets": [0.0, 16.0]}}, "data_offsets is"),
    ({"a": entry([4], 0, 16, "F8_E4M3")}, "dtype is 'F8_E4M3'; expected one of F64"), ({"a": entry([4], 0, 16, [])}, "dtype is"),
    ({"a": [1]}, "'a' is .1.; expected a JSON object"), ({"a": {}}, "'a' has no dtype"),
    ({"__metadata__": {"format": 1}, "a": entry([4], 0, 16)}, "__metadata__ is"),
    ({"__metadata__": "pt", "a": entry([4], 0, 16)}, "__metadata__ is"),
    ('{"a": 1, "a": 2}', "the name 'a' stands twice"), ("[" * 100_000, "in one another"), ("9" * 6000, "6000 digits"),
    ("{", "not JSON"), ("\ud800", "no UTF-8"), ("[]", "header holds list"),
], ids=range(28))
def test_a_header_says_what_is_there(header, words, tmp_path):
    text = header if isinstance(header, str) else json.dumps(header)
    text = text.encode("utf-8", "surrogatepass")
    (tmp_path / "m.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + bytes(16))
    refused(read_safetensors, tmp_path / "m.safetensors", words)


def test_entries_may_stand_in_any_order_and_be_empty(tmp_path):
    text = json.dumps({"b": entry([2], 8, 16), "none": entry([0, 3], 8, 8), "a": entry([2], 0, 8)}).encode()
    (tmp_path / "m").write_bytes(len(text).to_bytes(8, "little") + text + np.arange(4, dtype="<f4").tobytes())
    arrays, _ = read_safetensors(tmp_path / "m")
    assert {name: a.tolist() for name, a in arrays.items()} == {"a": [0, 1], "b": [2, 3], "none": []}


@pytest.mark.parametrize("weight_map, words", [
    ({}, "weight_map is empty"), (None, "weight_map is None"), ([], "weight_map is"), ({"a": 1}, "weight_map is"),
    ({"a": ".."}, "names the file '..'"), ({"a": "../secret.safetensors"}, "names the file"),
    ({"a": "/etc/passwd.bin"}, "names the file"), ({"a": "."}, "names the file"), ({"a": ""}, "names the file"),
    ({"a": "model.safetensors.index.json"}, "names the file"), ({"a": "config.json"}, "names the file"),
    ({"a": "sub/../x.safetensors"}, "names the file"), ({"a": "..\\x.bin"}, "names the file"),
    ({"b": "x.safetensors"}, "'b' is not in x.safetensors"), ({"a": "none.bin"}, "none.bin"),
])
def test_an_index_names_files_beside_it(weight_map, words, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    write_safetensors(tmp_path / "secret.safetensors", {"a": np.ones(2)})
    write_safetensors(folder / "x.safetensors", {"a": np.ones(2)})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(UserError, match=words) as refusal:
        load_state(folder)
    assert str(folder) in str(refusal.value)


# --- numbers that are none --------------------------------------------------------------------------------------

@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_weights_are_finite(value, dtype, tmp_path):
    model = AlbertModel(SMALL)
    model.save_pretrained(tmp_path)
    state = {name: array.astype(dtype) for name, array in model.state_dict().items()}
    write_safetensors(tmp_path / "model.safetensors", state)
    assert load_state(tmp_path).keys() == state.keys()
    state["pooler.bias"][3] = value
    write_safetensors(tmp_path / "model.safetensors", state)
    refused(AlbertModel.from_pretrained, tmp_path, "pooler.bias.*expected finite")


@pytest.mark.parametrize("content, words", [
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "a pointer of Git LFS"), (b"<!DOCTYPE html><html>404", "a web page"),
    (b"\n<html><body>", "a web page"), (None, "a pipe or a device")])
@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "spiece.model"])
def test_what_stands_in_place_of_a_file_is_named(name, content, words, tmp_path):
    if content is None:
        if not hasattr(os, "mkfifo"):
            pytest.skip("no pipes with names here")
        os.mkfifo(tmp_path / name)
    else:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=f"{name} is {words}"):
        AlbertTokenizer(tmp_path / name) if name == "spiece.model" else load_state(tmp_path)


def test_whole_numbers_are_not_converted(tmp_path):
    model = AlbertForMaskedLM(AlbertConfig.preset("tiny", vocab_size=50), seed=0)
    model.save_pretrained(tmp_path / "m")
    state = {name: a.astype(np.int8) for name, a in model.state_dict().items()}
    write_safetensors(tmp_path / "m" / "model.safetensors", state)
    with pytest.raises(UserError, match="int8 numbers; expected floating-point weights"):
        convert(tmp_path / "m", tmp_path / "x")


def test_large_weights_are_no_infinite_ones(tmp_path):
    write_safetensors(tmp_path / "m.safetensors", {"a": np.full(9, 3e38, np.float32)})    # its squares are infinite
    assert load_state(tmp_path / "m.safetensors")["a"].max() > 1e38


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.bool_])
def test_weights_are_no_whole_numbers(dtype, tmp_path):
    model = AlbertModel(SMALL)
    model.save_pretrained(tmp_path)
    state = {**model.state_dict(), "pooler.bias": np.zeros(8, dtype)}
    write_safetensors(tmp_path / "model.safetensors", state)
    with pytest.raises(UserError, match=f"pooler.bias: {np.dtype(dtype)}"):
        AlbertModel.from_pretrained(tmp_path)


# --- sizes that a config says -----------------------------------------------------------------------------------

@pytest.mark.parametrize("name", ["vocab_size", "embedding_size", "hidden_size", "num_hidden_layers", "inner_group_num",
                                  "intermediate_size", "max_position_embeddings", "type_vocab_size"])
@pytest.mark.parametrize("value", [10**9, 10**60])
def test_a_config_of_absurd_sizes_is_refused(name, value, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({**SMALL.to_dict(), name: value}))
    for read in (AlbertConfig.from_json_file, describe):
        refused(read, tmp_path / "config.json", f"{name} is .*; expected a whole number of at least 1 and at most")


def test_the_largest_sizes_take_no_memory_before_the_weights_are_known_to_fit(tmp_path):
    AlbertForMaskedLM(SMALL).save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({**SMALL.to_dict(), "vocab_size": 1 << 20, "hidden_size": 1 << 15}))
    with pytest.raises(UserError, match="do not fit"):
        AlbertForMaskedLM.from_pretrained(tmp_path)


# --- pickles ----------------------------------------------------------------------------------------------------

EMPTY_TUPLE, DUP_BY_MEMO, TUPLE2, APPEND, LIST = b")", b"q\x01h\x01", b"\x86", b"a", b"]"
SHARED = EMPTY_TUPLE + (DUP_BY_MEMO + TUPLE2) * 60             # 2**60 tuples in 300 bytes, if anyone counts or hashes them
DEEP_LIST = LIST * 60_000 + APPEND * 59_999
DEEP_TUPLE = EMPTY_TUPLE + b"\x85" * 60_000


def program(body):
    return b"\x80\x02" + body + b"."


@pytest.mark.parametrize("body, words", [
    (b"}" + SHARED + b"K\x01s", "a tuple in place of a name"),                          # as a key
    (b"}(" + SHARED + b"K\x01u", "a tuple in place of a name"),
    (b"}" + DEEP_TUPLE + b"K\x01s", "a tuple in place of a name"),
    (SHARED, "something other than a state dict"), (DEEP_LIST, "something other"), (DEEP_TUPLE, "something other"),
    (LIST * 200_001, "more than 200,000 steps"),
    (SHARED + b")R", "it would call"), (DEEP_TUPLE + b")R", "it would call"),
    (b"(X\x07\x00\x00\x00storage" + SHARED + b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x01tQ", "numbers of kind"),
    (b"ctorch\nFloatStorage\n" + SHARED + b"\x93", "in place of a name"),
    (b"]K\x01K\x02s", "a dict is filled that is none"), (b"}K\x01a", "a list is filled that is none"),
    (b"X\xff\xff\xff\x7fabc", "a value of 2147483647 bytes"), (b"\x8d" + b"\xff" * 8, "not written by torch.save"),
    (b"\x8b\xff\xff\xff\x7f1", "a value of"), (b"0", "more than a state dict"), (b"", "not written by torch.save"),
    (b"}" + b"X\x01\x00\x00\x00ah\x05s", "not written by torch.save"), (b"a", "not written"), (b"t", "not written"),
    (b"I" + b"9" * 90_000 + b"\n", "not written by torch.save|something other"),
], ids=range(22))
def test_a_pickle_is_no_program(body, words, tmp_path):
    zip_of(tmp_path / "m.bin", program(body))
    refused(read_torch, tmp_path / "m.bin", words)
    magic, system = pickle.dumps(MAGIC, 2), pickle.dumps({"little_endian": True}, 2)
    (tmp_path / "old.bin").write_bytes(magic + pickle.dumps(1001, 2) + system + program(body) + pickle.dumps([], 2))
    refused(read_torch, tmp_path / "old.bin", ".")


@pytest.mark.parametrize("shape, strides, offset, size", [
    ((2**50,), (1,), 0, 4), ((2, 2), (1,), 0, 4), ((-1,), (1,), 0, 4), ((4,), (-1,), 3, 4), ((4,), (1,), 2**40, 4),
    ((4,), (2,), 0, 4), ((1,) * 17, (1,) * 17, 0, 4), ((4,), (1,), 0, 5), ((8,), (0,), 0, 4),
])
def test_a_tensor_stays_in_its_storage(shape, strides, offset, size, tmp_path):
    zip_file(tmp_path / "m.bin", {"w": tensor("0", "FloatStorage", size, offset, shape, strides)}, {"0": bytes(16)})
    refused(read_torch, tmp_path / "m.bin", "not written by torch.save")


def test_many_names_of_one_large_array_are_refused(tmp_path):
    whole = tensor("0", "BFloat16Storage", 10_000, 0, (10_000,), (1,))
    zip_file(tmp_path / "m.bin", {f"w{i}": whole for i in range(500)}, {"0": bytes(20_000)})
    refused(read_torch, tmp_path / "m.bin", "many times larger than what is stored")


# --- TensorFlow and protocol buffers ----------------------------------------------------------------------------

@pytest.mark.parametrize("extra", [
    field(4, 10**9), field(4, 2**63), field(5, 10**12), field(5, 4), field(3, 7), field(6, np.uint32(1)), field(1, b"x"),
    field(2, 5), field(2, b"\xff"), field(4, b"1"), field(2, b"".join(field(2, field(1, 1)) for _ in range(40))),
])
def test_a_variable_stays_in_its_file(extra, tmp_path):
    write_checkpoint(tmp_path / "m", {"v": np.ones(3, np.float32)}, extra=extra)
    refused(read_tf, tmp_path / "m", ".")


@pytest.mark.parametrize("data", [
    b"\xff", b"\x08", b"\x0a\x05ab", b"\x0b", b"\x0d\x01", b"\x08" + b"\xff" * 9 + b"\x7f", b"\x08" + b"\x80" * 30 + b"\x01",
    b"\x0a" + varint(2**63)])
def test_what_is_no_protocol_buffer_is_a_value_error(data):
    with pytest.raises(ValueError):
        message(data, {1: int})


def test_a_field_of_another_kind_is_a_value_error():
    with pytest.raises(ValueError, match="field 1 is no int"):
        message(field(1, b"x"), {1: int})
    with pytest.raises(ValueError, match="field 1 is no bytes"):
        repeated(field(1, 3), 1)
    assert struct.unpack("<f", message(b"\x15" + struct.pack("<f", 0.5), {2: int})[2].to_bytes(4, "little")) == (0.5,)
