"""The original TensorFlow checkpoints, read without TensorFlow: a file that TensorFlow wrote, and our own writer's."""

import json
import re
import shutil
import struct
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinyalbert import AlbertForConditionalQuestionAnswering, AlbertForPreTraining, UserError
from tinyalbert.convert import convert
from tinyalbert.files.checkpoint import load_state
from tinyalbert.files.protobuf import fields, message
from tinyalbert.files.tf_checkpoint import (
    crc32c,
    hf_name,
    load_tf,
    masked_crc32c,
    read_table,
    read_tf,
)
from tinyalbert.tasks.inference import task_of

FIXTURES = Path(__file__).parent / "fixtures"
sys.path.insert(0, str(FIXTURES))
from make_tf_checkpoint import CONFIG, SHAPES, values  # noqa: E402

seeds = st.integers(0, 2**32 - 1)


# --- checksums --------------------------------------------------------------------------------------------------

def plain_crc32c(data):
    """One bit after the other."""
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = (register >> 1) ^ (0x82F63B78 if register & 1 else 0)
    return register ^ 0xFFFFFFFF


@pytest.mark.parametrize("data, crc", [                           # RFC 3720, appendix B.4
    (bytes(32), 0x8A9136AA), (b"\xff" * 32, 0x62A8AB43), (bytes(range(32)), 0x46DD794E),
    (bytes(range(31, -1, -1)), 0x113FDB5C), (b"123456789", 0xE3069283), (b"", 0)])
def test_crc_of_the_standard(data, crc):
    assert crc32c(np.frombuffer(data, np.uint8)) == crc == plain_crc32c(data)


@given(seed=seeds, size=st.integers(0, 700))
def test_crc_side_by_side_is_crc_in_a_row(seed, size):
    data = np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)
    assert crc32c(data) == plain_crc32c(data.tolist())


# --- a writer of the format -------------------------------------------------------------------------------------

def varint(n):
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def field(number, value):
    """One field of a protocol buffer: a number, bytes, or 32 fixed bits."""
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    if isinstance(value, np.uint32):
        return varint(number << 3 | 5) + struct.pack("<I", value)
    return varint(number << 3) + varint(value)


def crc_of(data):
    return masked_crc32c(np.frombuffer(data, np.uint8))


def block(pairs, restart_every):
    out, restarts, before = b"", [], b""
    for i, (key, value) in enumerate(pairs):
        shared = 0
        if i % restart_every == 0:
            restarts.append(len(out))
        else:
            while shared < min(len(key), len(before)) and key[shared] == before[shared]:
                shared += 1
        out += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        before = key
    restarts = restarts or [0]
    return out + b"".join(struct.pack("<I", r) for r in restarts) + struct.pack("<I", len(restarts))


def write_table(path, pairs, per_block=3, restart_every=2):
    data, handles = b"", []
    for i in range(0, len(pairs), per_block):
        content = block(pairs[i:i + per_block], restart_every)
        handles.append((pairs[i:i + per_block][-1][0], len(data), len(content)))       # any key up to the next block's
        data += with_trailer(content)
    meta_at = len(data)
    data += with_trailer(meta := block([], 1))
    index_at = len(data)
    data += with_trailer(index := block([(key, varint(at) + varint(size)) for key, at, size in handles], 1))
    footer = varint(meta_at) + varint(len(meta)) + varint(index_at) + varint(len(index))
    path.write_bytes(data + footer.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57))


def with_trailer(content, kind=b"\0"):
    return content + kind + struct.pack("<I", crc_of(content + kind))


NUMBERS = {np.dtype(name): number for name, number in {        # tensorflow/core/framework/types.proto
    "float32": 1, "float64": 2, "int32": 3, "uint8": 4, "int16": 5, "int8": 6, "int64": 9, "bool": 10, "float16": 19}.items()}
BFLOAT16 = 14


def write_checkpoint(prefix, arrays, shards=1, header=b"", extra=b"", **layout):
    files, entries = [b""] * shards, {}
    for i, (name, a) in enumerate(sorted(arrays.items())):
        shape = b"".join(field(2, field(1, n) if n else b"") for n in a.shape)
        shard, data = i % shards, a.tobytes()
        entry = field(1, NUMBERS.get(a.dtype, BFLOAT16)) + field(2, shape)
        entry += (field(3, shard) if shard else b"") + (field(4, len(files[shard])) if files[shard] else b"")
        entry += (field(5, len(data)) if data else b"") + field(6, np.uint32(crc_of(data)))
        entries[name.encode()] = entry + extra
        files[shard] += data
    header = header or field(1, shards) + field(3, field(1, 1))
    write_table(Path(f"{prefix}.index"), [(b"", header), *sorted(entries.items())], **layout)
    for shard, data in enumerate(files):
        Path(f"{prefix}.data-{shard:05d}-of-{shards:05d}").write_bytes(data)


@given(seed=seeds, shards=st.integers(1, 3), per_block=st.integers(1, 9), restart_every=st.integers(1, 4),
       shapes=st.lists(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4), max_size=7),
       kinds=st.lists(st.sampled_from(sorted(NUMBERS, key=str)), min_size=7, max_size=7))
def test_every_layout_of_the_table(tmp_path_factory, seed, shards, per_block, restart_every, shapes, kinds):
    rng, prefix = np.random.default_rng(seed), tmp_path_factory.mktemp("tf") / "model.ckpt-1000"
    arrays = {f"bert/layer_{rng.integers(100)}/{i}": (rng.standard_normal(shape) * 50).astype(kind)
              for i, (shape, kind) in enumerate(zip(shapes, kinds))}
    write_checkpoint(prefix, arrays, shards, per_block=per_block, restart_every=restart_every)
    found = read_tf(prefix)
    assert list(found) == sorted(arrays)
    for name, a in arrays.items():
        assert found[name].dtype == a.dtype
        np.testing.assert_array_equal(found[name], a)
    assert list(read_tf(prefix, skip=lambda names: [n for n in names if "/1" in n])) == sorted(n for n in arrays if "/1" not in n)


def test_bfloat16_becomes_float32(tmp_path):
    write_checkpoint(tmp_path / "m", {"v": np.array([0x3F80, 0xC020, 0], "<u2")})
    found = read_tf(tmp_path / "m")["v"]
    assert found.dtype == np.float32 and found.tolist() == [1.0, -2.5, 0.0]


@given(numbers=st.lists(st.tuples(st.integers(1, 2**28), st.one_of(st.integers(0, 2**63), st.binary(max_size=40))), max_size=9))
def test_protocol_buffers(numbers):
    assert list(fields(b"".join(field(n, value) for n, value in numbers))) == numbers
    assert message(field(6, np.uint32(7)) + varint(7 << 3 | 1) + bytes(8), {6: int, 7: int}) == {6: 7, 7: 0}
    for bad in (field(1, b"abc")[:-1], varint(1 << 3 | 3), bytes([1 << 3]) + b"\xff" * 20 + b"\1"):
        with pytest.raises(ValueError, match="beyond the end|wire type|64 bits"):
            message(bad, {})


# --- the file that TensorFlow wrote -------------------------------------------------------------------------------

def test_what_tensorflow_wrote():
    found = read_tf(FIXTURES / "tf_albert")
    assert set(found) == {*SHAPES, *(f"{name}/{slot}" for name in SHAPES for slot in ("adam_m", "adam_v")), "global_step"}
    for name in SHAPES:
        assert found[name].dtype == np.float32
        np.testing.assert_array_equal(found[name], values(name))
    assert found["global_step"] == 0 and found["global_step"].dtype == np.int64


def test_it_becomes_a_model(tmp_path):
    """Every parameter is restored, kernels transposed, nothing is left over."""
    for path in FIXTURES.glob("tf_albert.*"):
        shutil.copy(path, tmp_path)
    (tmp_path / "albert_config.json").write_text(json.dumps(CONFIG))
    model = AlbertForPreTraining.from_pretrained(tmp_path)
    report, state = model.restore_report, model.state_dict()
    assert set(report.loaded) == set(state) and len(state) == len(SHAPES)
    assert not (report.missing or report.unexpected or report.wrong_shape)
    assert model.config.hidden_act == "gelu_new"                # which Google's files call gelu
    for name in SHAPES:
        value = values(name)
        np.testing.assert_array_equal(state[hf_name(name)], value.T if name.endswith("kernel") else value)
    out = model(input_ids=np.array([[2, 5, 6, 3]]))
    assert np.isfinite(out.prediction_logits.numpy()).all()


def test_a_model_fine_tuned_for_squad_2_becomes_a_folder(tmp_path):
    """The variables of run_squad_v2.py's head; a pooler is in its checkpoint and not in the model."""
    H, rng = CONFIG["hidden_size"], np.random.default_rng(0)
    head = {"start_logits/dense/kernel": (H, 1), "start_logits/dense/bias": (1,), "end_logits/dense_0/kernel": (2 * H, H),
            "end_logits/dense_0/bias": (H,), "end_logits/LayerNorm/beta": (H,), "end_logits/LayerNorm/gamma": (H,),
            "end_logits/dense_1/kernel": (H, 1), "end_logits/dense_1/bias": (1,), "answer_class/dense_0/kernel": (2 * H, H),
            "answer_class/dense_0/bias": (H,), "answer_class/dense_1/kernel": (H, 1)}
    arrays = {name: values(name) for name in SHAPES if name.startswith("bert/")}
    arrays |= {name: rng.standard_normal(shape).astype(np.float32) for name, shape in head.items()}
    write_checkpoint(tmp_path / "model.ckpt", {**arrays, "global_step": np.zeros((), np.int64)})
    (tmp_path / "albert_config.json").write_text(json.dumps(CONFIG))
    convert(tmp_path / "model.ckpt", tmp_path / "folder")
    assert task_of(tmp_path / "folder")[0].name == "squad2"
    model = AlbertForConditionalQuestionAnswering.from_pretrained(tmp_path / "folder")
    state = model.state_dict()
    assert not model.restore_report.missing and set(map(hf_name, head)) == {n for n in state if not n.startswith("albert.")}
    for name in head:
        np.testing.assert_array_equal(state[hf_name(name)], arrays[name].T if name.endswith("kernel") else arrays[name])


LAYER = "albert.encoder.albert_layer_groups"


@pytest.mark.parametrize("google, theirs", [
    ("module/bert/embeddings/word_embeddings", "albert.embeddings.word_embeddings.weight"),
    ("bert/embeddings/LayerNorm/gamma", "albert.embeddings.LayerNorm.weight"),
    ("bert/encoder/embedding_hidden_mapping_in/kernel", "albert.encoder.embedding_hidden_mapping_in.weight"),
    ("bert/encoder/transformer/group_3/inner_group_1/attention_1/self/query/bias", f"{LAYER}.3.albert_layers.1.attention.query.bias"),
    ("bert/encoder/transformer/group_0/inner_group_0/attention_1/output/dense/kernel", f"{LAYER}.0.albert_layers.0.attention.dense.weight"),
    ("bert/encoder/transformer/group_0/inner_group_0/LayerNorm/beta", f"{LAYER}.0.albert_layers.0.attention.LayerNorm.bias"),
    ("bert/encoder/transformer/group_0/inner_group_0/LayerNorm_1/gamma", f"{LAYER}.0.albert_layers.0.full_layer_layer_norm.weight"),
    ("bert/encoder/transformer/group_0/inner_group_0/ffn_1/intermediate/dense/kernel", f"{LAYER}.0.albert_layers.0.ffn.weight"),
    ("bert/encoder/transformer/group_0/inner_group_0/ffn_1/intermediate/output/dense/bias", f"{LAYER}.0.albert_layers.0.ffn_output.bias"),
    ("bert/pooler/dense/kernel", "albert.pooler.weight"), ("cls/predictions/output_bias", "predictions.bias"),
    ("cls/predictions/transform/dense/kernel", "predictions.dense.weight"),
    ("cls/predictions/transform/LayerNorm/beta", "predictions.LayerNorm.bias"),
    ("cls/seq_relationship/output_weights", "sop_classifier.classifier.weight"),
    ("cls/seq_relationship/output_bias", "sop_classifier.classifier.bias"),
    ("output_weights", "classifier.weight"), ("output_bias", "classifier.bias"),
    ("cls/squad/output_weights", "qa_outputs.weight"),
    ("start_logits/dense/kernel", "start_logits.dense.weight"), ("answer_class/dense_1/kernel", "answer_class.dense_1.weight"),
    ("something/else", "something/else")])
def test_names(google, theirs):
    assert hf_name(google) == theirs


def test_only_kernels_are_transposed_and_the_optimisers_variables_stay_behind(tmp_path):
    arrays = {name: np.arange(6, dtype=np.float32).reshape(2, 3) for name in (
        "bert/pooler/dense/kernel", "bert/embeddings/word_embeddings", "output_weights", "other_logits/dense_0/kernel",
        *(f"bert/pooler/dense/kernel/{slot}" for slot in ("adam_m", "adam_v", "Adam_1", "Momentum", "LAMB/m",
                                                          "AdamWeightDecayOptimizer", "ExponentialMovingAverage")))}
    arrays["bert/pooler/dense/kernel/LAMB"] = arrays["output_weights"]                     # whose slot has a slot
    arrays |= {name: np.zeros((), kind) for name, kind in (
        ("global_step", np.int64), ("beta1_power", np.float32), ("current_loss_scale", np.float32), ("good_steps", np.int32),
        ("save_counter", np.int64))}
    write_checkpoint(tmp_path / "m", arrays)
    shapes = {name: a.shape for name, a in load_tf(tmp_path / "m").items()}
    assert shapes == {"albert.pooler.weight": (3, 2), "albert.embeddings.word_embeddings.weight": (2, 3),
                      "classifier.weight": (2, 3), "other_logits/dense_0/kernel": (2, 3)}


def keras_names(arrays, number):
    """The layer norms as Keras names them; number: of the n-th norm of a scope, in order of making."""
    def renamed(name):
        name = re.sub(r"LayerNorm_1/", f"layer_normalization{number(1)}/", name)
        return re.sub(r"LayerNorm/", f"layer_normalization{number(0)}/", name)
    return {renamed(name): a for name, a in arrays.items()}


@pytest.mark.parametrize("number", [("", "_1"), ("", "_2"), ("_1", "_2"), ("_9", "_10"), ("_99", "_100")])
def test_layer_norms_under_keras_names(tmp_path, number):
    """Attention's was made first, so its number is lower, whatever it is (and as text it may be higher)."""
    arrays = {name: values(name) for name in SHAPES}
    write_checkpoint(tmp_path / "a", arrays)
    write_checkpoint(tmp_path / "b", keras_names(arrays, lambda n: number[n]))
    plain, keras = load_tf(tmp_path / "a"), load_tf(tmp_path / "b")
    assert set(plain) == set(keras) and all((plain[name] == keras[name]).all() for name in plain)


def test_layer_norms_that_are_not_shared_are_refused(tmp_path):
    """Keras makes a layer norm for each call, if the code doesn't keep it: such a model is none of ours."""
    arrays = keras_names({name: values(name) for name in SHAPES}, lambda n: ("", "_1")[n])
    layer = "bert/encoder/transformer/group_0/inner_group_0/layer_normalization"
    arrays |= {f"{layer}_{n}/{kind}": arrays[f"{layer}/{kind}"] for n in (2, 3) for kind in ("gamma", "beta")}
    write_checkpoint(tmp_path / "m", arrays)
    (tmp_path / "albert_config.json").write_text(json.dumps(CONFIG))
    with pytest.raises(UserError, match="missing: .*LayerNorm.*unexpected: .*layer_normalization"):
        convert(tmp_path / "m", tmp_path / "out")


@pytest.mark.parametrize("others", [
    {"mrc/boundary/kernel": (8, 2), "mrc/boundary/bias": (2,)}, {"loss/output_weights": (2, 8)}, {"start_logits/dense/kernel": (8, 1)},
    {"answer_class/dense_0/kernel": (16, 8), "end_logits/dense_0/kernel": (16, 8)}, {"cls/squad/output_weights": (2, 8)},
    {"crf/transitions": (5, 5)}])
def test_heads_of_any_name_are_left_out_or_kept_and_named(tmp_path, others):
    """A checkpoint of any fine-tuning converts, whatever its head is called, and the folder can be used."""
    arrays = {name: values(name) for name in SHAPES if name.startswith("bert/")}
    arrays |= {name: np.ones(shape, np.float32) for name, shape in others.items()}
    write_checkpoint(tmp_path / "model.ckpt", arrays)
    (tmp_path / "albert_config.json").write_text(json.dumps(CONFIG))
    report = convert(tmp_path / "model.ckpt", tmp_path / "out")
    own = [hf_name(name) for name in others]
    assert all(name in report.loaded or name in str(report) for name in own)
    kept = load_state(tmp_path / "out")
    assert [name for name in own if name not in kept] == [name for name in own if name in others]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        AlbertForPreTraining.from_pretrained(tmp_path / "out")           # as pretrain --init does


def test_two_models_in_one_checkpoint_are_refused(tmp_path):
    arrays = {name: values(name) for name in SHAPES}
    write_checkpoint(tmp_path / "m", {**arrays, "module/bert/pooler/dense/bias": values("bert/pooler/dense/bias") + 1})
    with pytest.raises(UserError, match="holds albert.pooler.bias twice"):
        load_tf(tmp_path / "m")


@pytest.mark.parametrize("E, H, added", [(4, 4, True), (4, 6, False)])
def test_the_projection_that_google_leaves_out_is_the_identity(tmp_path, E, H, added):
    write_checkpoint(tmp_path / "m", {
        "bert/embeddings/word_embeddings": np.ones((9, E), np.float32),
        "bert/encoder/transformer/group_0/inner_group_0/LayerNorm_1/gamma": np.ones(H, np.float32)})
    found = load_tf(tmp_path / "m")
    name = "albert.encoder.embedding_hidden_mapping_in"
    assert (f"{name}.weight" in found) == added
    if added:
        np.testing.assert_array_equal(found[f"{name}.weight"], np.eye(E))
        assert not found[f"{name}.bias"].any()


def test_the_prefix_may_be_named_by_any_of_its_files(tmp_path):
    arrays = {"bert/pooler/dense/bias": np.ones(3, np.float32)}
    write_checkpoint(tmp_path / "model.ckpt-best", arrays)
    (tmp_path / "model.ckpt-best.meta").touch()
    for name in ("", "model.ckpt-best", "model.ckpt-best.index", "model.ckpt-best.meta",
                 "model.ckpt-best.data-00000-of-00001"):
        assert list(load_state(tmp_path / name)) == ["albert.pooler.bias"]
    write_checkpoint(tmp_path / "model.ckpt-100", arrays)
    with pytest.raises(UserError, match="2 TensorFlow checkpoints; name one of them: .*ckpt-100, .*ckpt-best"):
        load_state(tmp_path)


# --- damage -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", ["m.index", "m.data-00000-of-00001"])
@given(seed=seeds)
def test_damage_is_found(tmp_path_factory, name, seed):
    """Cut a file anywhere, or change one bit: a UserError, never other numbers."""
    rng, folder = np.random.default_rng(seed), tmp_path_factory.mktemp("tf")
    arrays = {f"bert/v{i}": rng.standard_normal((i, 3)) for i in range(1, 6)}
    write_checkpoint(folder / "m", arrays)
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[:rng.integers(len(whole))])
    with pytest.raises(UserError, match="truncated"):
        read_tf(folder / "m")
    damaged = bytearray(whole)
    damaged[rng.integers(len(whole))] ^= 1 << rng.integers(8)
    (folder / name).write_bytes(bytes(damaged))
    try:
        found = read_tf(folder / "m")
    except UserError:
        return
    assert name == "m.index"                     # whose footer and empty block have bytes that nobody reads
    assert list(found) == list(arrays) and all(np.array_equal(found[n], a) for n, a in arrays.items())


def test_what_is_not_read_is_said(tmp_path):
    arrays = {"v": np.ones(3, np.float32)}
    write_checkpoint(tmp_path / "m", arrays, extra=field(7, b""))
    with pytest.raises(UserError, match="variable is in slices"):
        read_tf(tmp_path / "m")
    write_checkpoint(tmp_path / "m", arrays, extra=field(2, field(2, field(1, 4))))
    with pytest.raises(UserError, match=r"12 bytes for shape \[4\]"):
        read_tf(tmp_path / "m")
    write_checkpoint(tmp_path / "m", arrays, header=field(1, 1) + field(2, 1))
    with pytest.raises(UserError, match="big-endian"):
        read_tf(tmp_path / "m")
    write_checkpoint(tmp_path / "m", arrays, shards=2)
    (tmp_path / "m.data-00000-of-00002").unlink()
    with pytest.raises(UserError, match=r"there is no .*m.data-00000-of-00002"):
        read_tf(tmp_path / "m")
    with pytest.raises(UserError, match=r"there is no .*other.index"):
        read_tf(tmp_path / "other")
    (tmp_path / "m.index").write_text("not a table, but longer than a footer of forty-eight bytes")
    with pytest.raises(UserError, match="no footer"):
        read_tf(tmp_path / "m")
    content = block([(b"", field(1, 1))], 1)
    data = with_trailer(content, kind=b"\1")                    # snappy
    index = block([(b"~", varint(0) + varint(len(content)))], 1)
    footer = varint(0) + varint(0) + varint(len(data)) + varint(len(index))
    (tmp_path / "m.index").write_bytes(data + with_trailer(index) + footer.ljust(40, b"\0")
                                       + struct.pack("<Q", 0xDB4775248B80FB57))
    with pytest.raises(UserError, match="compressed"):
        list(read_table(tmp_path / "m.index"))


# --- against TensorFlow itself ------------------------------------------------------------------------------------

@pytest.mark.parity
def test_a_fresh_file_of_tensorflows(tmp_path):
    pytest.importorskip("tensorflow")
    subprocess.run([sys.executable, FIXTURES / "make_tf_checkpoint.py", tmp_path], check=True)
    for name in SHAPES:
        np.testing.assert_array_equal(read_tf(tmp_path / "tf_albert")[name], values(name))


@pytest.mark.parity
def test_tensorflow_reads_what_our_writer_writes(tmp_path):
    """So the writer above, and with it every test of this file, has the format right."""
    tf = pytest.importorskip("tensorflow")
    rng = np.random.default_rng(0)
    arrays = {f"bert/layer_{i}/kernel": rng.standard_normal((i + 1, 3)).astype(np.float32) for i in range(40)}
    write_checkpoint(tmp_path / "m", arrays, shards=2)
    reader = tf.train.load_checkpoint(str(tmp_path / "m"))
    assert set(reader.get_variable_to_shape_map()) == set(arrays)
    for name, a in arrays.items():
        np.testing.assert_array_equal(reader.get_tensor(name), a)
