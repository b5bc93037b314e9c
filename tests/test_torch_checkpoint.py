"""PyTorch's .bin files: what torch writes is read to the bit; what is more than weights is refused, never run."""

import io
import os
import pickle
import struct
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinyalbert import UserError
from tinyalbert.files import torch_checkpoint
from tinyalbert.files.torch_checkpoint import read_torch, unpickle

seeds = st.integers(0, 2**32 - 1)
MAGIC = 119547037146038801333356                 # torch/serialization.py
KINDS = {"f4": "FloatStorage", "f8": "DoubleStorage", "f2": "HalfStorage", "i8": "LongStorage", "i4": "IntStorage",
         "i2": "ShortStorage", "i1": "CharStorage", "u1": "ByteStorage", "b1": "BoolStorage"}


# --- a writer of both layouts, opcode by opcode ----------------------------------------------------------------

def text(s):
    return b"X" + struct.pack("<I", len(s.encode())) + s.encode()


def number(n):
    return b"J" + struct.pack("<i", n) if abs(n) < 2**31 else pickle.dumps(n, 2)[2:-1]


def numbers(ns):
    return b"(" + b"".join(map(number, ns)) + b"t"


ORDERED_DICT = b"ccollections\nOrderedDict\n)R"


def tensor(key, kind, size, offset, shape, strides, legacy=False):
    storage = (b"(" + text("storage") + f"ctorch\n{kind}\n".encode() + text(key) + text("cpu") + number(size)
               + (b"N" if legacy else b"") + b"tQ")
    return (b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + number(offset) + numbers(shape) + numbers(strides)
            + b"\x89" + ORDERED_DICT + b"tR")


def state_pickle(tensors):
    return b"\x80\x02" + ORDERED_DICT + b"(" + b"".join(text(name) + t for name, t in tensors.items()) + b"u."


def zip_file(path, tensors, storages, **entries):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", state_pickle(tensors))
        for key, data in {**storages, **entries}.items():
            archive.writestr(f"archive/data/{key}" if key in storages else f"archive/{key}", data)


def stream_file(path, tensors, storages, item_sizes):
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}
    with open(path, "wb") as file:
        for value in (MAGIC, 1001, system):
            file.write(pickle.dumps(value, 2))
        file.write(state_pickle(tensors) + pickle.dumps(list(storages), 2))
        for key, data in storages.items():
            file.write(struct.pack("<q", len(data) // item_sizes[key]) + data)


def write(path, arrays, layout):
    """Arrays, transposed windows included, as torch.save lays them out."""
    tensors, storages, item_sizes = {}, {}, {}
    for i, (name, a) in enumerate(arrays.items()):
        flat, offset = np.zeros(a.size + 3, a.dtype), 2                     # a window into a larger storage
        flat[offset:offset + a.size] = a.ravel(order="F")
        strides = [int(s) for s in np.cumprod([1, *a.shape])[:-1]]
        tensors[name] = tensor(str(i), KINDS[a.dtype.str[1:]], flat.size, offset, a.shape, strides, layout == "stream")
        storages[str(i)], item_sizes[str(i)] = flat.tobytes(), a.itemsize
    if layout == "zip":
        zip_file(path, tensors, storages, byteorder=b"little", version=b"3\n")
    else:
        stream_file(path, tensors, storages, item_sizes)


@pytest.mark.parametrize("layout", ["zip", "stream"])
@given(seed=seeds, shapes=st.lists(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4), max_size=4),
       kinds=st.lists(st.sampled_from(sorted(KINDS)), min_size=4, max_size=4))
def test_every_kind_of_number_and_every_shape(tmp_path_factory, layout, seed, shapes, kinds):
    rng = np.random.default_rng(seed)
    arrays = {f"layer.{i}": (rng.standard_normal(shape) * 50).astype(kind)
              for i, (shape, kind) in enumerate(zip(shapes, kinds))}
    path = tmp_path_factory.mktemp("torch") / "pytorch_model.bin"
    write(path, arrays, layout)
    found = read_torch(path)
    assert list(found) == list(arrays)
    for name, a in arrays.items():
        assert found[name].dtype == a.dtype
        np.testing.assert_array_equal(found[name], a)


def test_bfloat16_becomes_float32(tmp_path):
    values = np.array([1.0, -2.5, 3e38, 1e-30], np.float32)
    bits = (values.view(np.uint32) >> 16).astype("<u2")
    zip_file(tmp_path / "m.bin", {"w": tensor("0", "BFloat16Storage", 4, 0, (4,), (1,))}, {"0": bits.tobytes()})
    found = read_torch(tmp_path / "m.bin")["w"]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, values, rtol=2**-7)


def test_a_parameter_is_its_tensor(tmp_path):
    REBUILD_PARAMETER = b"ctorch._utils\n_rebuild_parameter\n"
    inner = tensor("0", "FloatStorage", 2, 0, (2,), (1,))
    for argument, good in ((inner, True), (text("w"), False)):
        zip_file(tmp_path / "m.bin", {"w": REBUILD_PARAMETER + b"(" + argument + b"\x88" + ORDERED_DICT + b"tR"},
                 {"0": np.array([1, 2], "<f4").tobytes()})
        if good:
            assert read_torch(tmp_path / "m.bin")["w"].tolist() == [1.0, 2.0]
        else:
            with pytest.raises(UserError, match="more than a state dict"):
                read_torch(tmp_path / "m.bin")


# --- what is refused ------------------------------------------------------------------------------------------

class Evil:
    """An object whose unpickling runs a command."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


class EvilState(Evil):
    def __reduce__(self):
        return OrderedDict, (), None, None, iter([("w", Evil(self.command))])


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("wrap", [lambda e: e, lambda e: {"w": e}, lambda e: [(e,)], lambda e: EvilState(e.command)])
def test_nothing_is_run(tmp_path, protocol, wrap):
    marker = tmp_path / "ran"
    program = pickle.dumps(wrap(Evil(f"touch {marker}")), protocol)
    pickle.loads(program)
    assert marker.exists()                                      # that is what pickle does
    marker.unlink()
    for name, write in (("zip.bin", lambda path: zip_of(path, program)), ("stream.bin", lambda path: path.write_bytes(
            pickle.dumps(MAGIC, 2) + pickle.dumps(1001, 2) + pickle.dumps({"little_endian": True}, 2) + program))):
        write(tmp_path / name)
        with pytest.raises(UserError, match="more than a state dict"):
            read_torch(tmp_path / name)
    assert not marker.exists()


def zip_of(path, program):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", program)


@pytest.mark.parametrize("program", [
    b"\x80\x02cos\nsystem\n" + text("true") + b"\x85R.",                          # REDUCE
    b"\x80\x02(" + text("true") + b"ios\nsystem\n.",                              # INST
    b"\x80\x02(cos\nsystem\n" + text("true") + b"o.",                             # OBJ
    b"\x80\x02cbuiltins\nobject\n)\x81.",                                         # NEWOBJ
    b"\x80\x02\x82\x01.",                                                         # EXT1
    b"\x80\x02ccollections\nOrderedDict\n" + text("true") + b"\x85R.",            # a constructor with arguments
    b"\x80\x04" + text("os") + text("system") + b"\x93" + text("true") + b"\x85R.",   # STACK_GLOBAL
    b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(K\x00K\x00))t" + b"R.",          # a tensor of no storage
    b"\x80\x02" + text("collections.OrderedDict") + b")R."])                      # a text that looks like a name
def test_every_way_to_call_something_is_closed(program):
    with pytest.raises(UserError, match="more than a state dict"):
        unpickle(io.BytesIO(program))


@pytest.mark.parametrize("size, offset, shape, strides", [
    (4, 1, (4,), (1,)), (4, 0, (2, 2), (3, 1)), (4, 0, (5,), (0,)), (4, -1, (2,), (1,)), (4, 3, (2,), (-1,)),
    (4, 0, (1 << 40,), (0,)), (4, 0, (-1, -4), (1, 1)), (5, 0, (5,), (1,)), (3, 0, (2,), (1,)), (4, 0, (2, 2), (1,)),
    (4, 1 << 62, (1,), (1,)), (4, 0, (1 << 62, 4), (1, 1))])
def test_a_tensor_can_not_reach_beyond_its_storage(tmp_path, size, offset, shape, strides):
    path = tmp_path / "m.bin"
    zip_file(path, {"w": tensor("0", "FloatStorage", size, offset, shape, strides)}, {"0": bytes(16)})
    with pytest.raises(UserError, match="truncated or was not written by torch.save"):
        read_torch(path)


@pytest.mark.parametrize("layout", ["zip", "stream"])
@given(seed=seeds)
def test_a_damaged_file_is_refused_or_harmless(tmp_path_factory, layout, seed):
    """Cut anywhere: a UserError.  One byte changed: a UserError, or arrays."""
    rng, path = np.random.default_rng(seed), tmp_path_factory.mktemp("torch") / "m.bin"
    write(path, {"a": np.ones((3, 4), np.float32), "b": np.arange(3)}, layout)
    whole = path.read_bytes()
    path.write_bytes(whole[:rng.integers(len(whole))])
    with pytest.raises(UserError, match="truncated or was not written"):
        read_torch(path)
    damaged = bytearray(whole)
    damaged[rng.integers(len(whole))] ^= 1 << rng.integers(8)
    path.write_bytes(bytes(damaged))
    try:
        assert all(isinstance(a, np.ndarray) for a in read_torch(path).values())
    except UserError:
        pass


@pytest.mark.parametrize("content, message", [
    (b"", "truncated or was not"), (b"hello, this is text", "truncated or was not"),
    (pickle.dumps({"w": 1}, 2), "truncated or was not"), (b"PK\x05\x06" + bytes(18), "truncated or was not")])
def test_foreign_files_are_refused(tmp_path, content, message):
    (tmp_path / "m.bin").write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_torch(tmp_path / "m.bin")
    with pytest.raises(UserError, match="there is no"):
        read_torch(tmp_path / "other.bin")


def test_states_that_hold_something_else_are_refused(tmp_path):
    for program in (pickle.dumps([1, 2], 2), pickle.dumps({"epoch": 3}, 2), pickle.dumps("text", 4)):
        zip_of(tmp_path / "m.bin", program)
        with pytest.raises(UserError, match="something other than a state dict"):
            read_torch(tmp_path / "m.bin")
    zip_file(tmp_path / "m.bin", {"w": tensor("0", "ComplexFloatStorage", 2, 0, (2,), (1,))}, {"0": bytes(16)})
    with pytest.raises(UserError, match="numbers of kind 'torch.ComplexFloatStorage'"):
        read_torch(tmp_path / "m.bin")
    zip_file(tmp_path / "m.bin", {}, {}, byteorder=b"big")
    with pytest.raises(UserError, match="big-endian"):
        read_torch(tmp_path / "m.bin")
    with zipfile.ZipFile(tmp_path / "m.bin", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", state_pickle({}))
    with pytest.raises(UserError, match="compressed"):
        read_torch(tmp_path / "m.bin")


@pytest.mark.parametrize("protocol", range(1, 6))
def test_plain_values_of_every_protocol(protocol):
    value = {"a": [1, 2.5, None, True, False, "ü", -7, 1 << 40, (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), {}], "b": {}}
    value["twice"] = value["a"]
    assert unpickle(io.BytesIO(pickle.dumps(value, protocol))) == value


def test_neither_pickle_nor_torch_is_imported():
    """The words appear in the source in texts only."""
    import ast
    from pathlib import Path
    tree = ast.parse(Path(torch_checkpoint.__file__).read_text())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert not imported & {"pickle", "torch", "importlib"}


# --- against torch itself ---------------------------------------------------------------------------------------

@pytest.mark.parity
@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_what_torch_saves(tmp_path, zipped, seed):
    torch = pytest.importorskip("torch")
    torch.manual_seed(seed)
    base = torch.randn(6, 5)
    state = {"base": base, "row": base[2], "column": base[:, 3], "transposed": base.T, "stepped": base[::2, 1:4],
             "parameter": torch.nn.Parameter(torch.randn(3)), "scalar": torch.tensor(2.5), "empty": torch.zeros(0, 3)}
    state |= {str(kind): (torch.randn(2, 3) * 9).to(kind) for kind in (
        torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8,
        torch.bool)}
    torch.save(state, tmp_path / "m.bin", _use_new_zipfile_serialization=zipped)
    found = read_torch(tmp_path / "m.bin")
    assert list(found) == list(state)
    for name, t in state.items():
        t = t.detach().float() if t.dtype == torch.bfloat16 else t.detach()
        np.testing.assert_array_equal(found[name], t.numpy(), err_msg=name)
        assert found[name].dtype == t.numpy().dtype
    module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))          # with _metadata
    torch.save(module.state_dict(), tmp_path / "m.bin", _use_new_zipfile_serialization=zipped)
    for name, a in read_torch(tmp_path / "m.bin").items():
        np.testing.assert_array_equal(a, module.state_dict()[name].numpy())


@pytest.mark.parity
def test_a_whole_module_is_refused(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save(torch.nn.Linear(2, 3), tmp_path / "m.bin")
    with pytest.raises(UserError, match="more than a state dict"):
        read_torch(tmp_path / "m.bin")
