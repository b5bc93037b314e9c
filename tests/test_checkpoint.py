"""Checkpoints: round trips to the bit, reports that miss nothing, files that are whole or refused."""

import errno
import json
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinyalbert import AdamW, AlbertConfig, AlbertModel, AlbertTokenizer, UserError, heads
from tinyalbert.convert import MODELS, convert
from tinyalbert.files import checkpoint
from tinyalbert.files.checkpoint import (
    RestoreReport,
    load_into,
    load_state,
    load_training_state,
    match,
    read_config,
    save_pretrained,
    save_training_state,
)
from tinyalbert.files.safetensors_file import read_safetensors, write_safetensors
from tinyalbert.files.writing import CannotWrite, replacing
from tinyalbert.heads import (
    AlbertForMaskedLM,
    AlbertForPreTraining,
    AlbertForSequenceClassification,
)
from tinyalbert.info import named_config
from tinyalbert.pretraining.options import PretrainOptions

seeds = st.integers(0, 2**32 - 1)
FIXTURES = Path(__file__).parent / "fixtures"


def tiny(**changes):
    return AlbertConfig(**{**dict(vocab_size=20, embedding_size=4, hidden_size=8, num_hidden_layers=2, num_attention_heads=2,
                                  intermediate_size=12, max_position_embeddings=8), **changes})


def random_model(cls=AlbertForPreTraining, seed=0, **changes):
    """A model in which every number is random, gains and biases too."""
    model, rng = cls(tiny(**changes)), np.random.default_rng(seed)
    for p in model.parameters():
        p.data = rng.standard_normal(p.shape).astype(p.dtype)
    return model


def same_state(a, b):
    assert list(a) == list(b)
    for name in a:
        assert a[name].dtype == b[name].dtype
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def plain_files(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


# --- the safetensors format -------------------------------------------------------------------------------------

dtypes = st.sampled_from("f8 f4 f2 i8 i4 i2 i1 u8 u4 u2 u1 b1".split())
shapes = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)


def draw_arrays(seed, layouts):
    rng = np.random.default_rng(seed)
    arrays = {}
    for i, (shape, dtype, order) in enumerate(layouts):
        a = (rng.standard_normal(shape) * 50).astype(dtype)
        arrays[f"ä.{i}"] = np.asfortranarray(a) if order == "F" else np.repeat(a, 2, -1)[..., ::2] if a.ndim else a
    return arrays


@given(seed=seeds, layouts=st.lists(st.tuples(shapes, dtypes, st.sampled_from("CF")), max_size=5),
       metadata=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2))
def test_safetensors_round_trip_also_with_the_original_library(tmp_path_factory, seed, layouts, metadata):
    library = pytest.importorskip("safetensors.numpy")
    arrays, folder = draw_arrays(seed, layouts), tmp_path_factory.mktemp("safetensors")
    write_safetensors(folder / "ours", arrays, metadata)
    ours, read_metadata = read_safetensors(folder / "ours")
    same_state(dict(sorted(ours.items())), dict(sorted(arrays.items())))
    assert read_metadata == metadata
    same_state(dict(sorted(library.load_file(folder / "ours").items())), dict(sorted(arrays.items())))
    library.save_file({n: np.ascontiguousarray(a).reshape(a.shape) for n, a in arrays.items()}, folder / "theirs")
    same_state(dict(sorted(read_safetensors(folder / "theirs")[0].items())), dict(sorted(arrays.items())))
    write_safetensors(folder / "again", dict(reversed(arrays.items())), metadata)
    assert (folder / "again").read_bytes() == (folder / "ours").read_bytes()


def test_bfloat16_is_read_as_float32(tmp_path):
    header = json.dumps({"w": {"dtype": "BF16", "shape": [3], "data_offsets": [0, 6]}}).encode()
    bits = np.array([0x3F80, 0xC020, 0x0000], "<u2")
    (tmp_path / "m").write_bytes(len(header).to_bytes(8, "little") + header + bits.tobytes())
    found = read_safetensors(tmp_path / "m")[0]["w"]
    assert found.dtype == np.float32 and found.tolist() == [1.0, -2.5, 0.0]


@given(seed=seeds)
def test_a_cut_file_is_refused_and_a_damaged_header_is_refused_or_harmless(tmp_path_factory, seed):
    rng, path = np.random.default_rng(seed), tmp_path_factory.mktemp("cut") / "model.safetensors"
    write_safetensors(path, {"a": np.ones((3, 4)), "b": np.arange(5, dtype=np.float32)}, {"format": "pt"})
    whole = path.read_bytes()
    path.write_bytes(whole[:rng.integers(len(whole))])
    with pytest.raises(UserError, match="truncated"):
        read_safetensors(path)
    damaged = bytearray(whole)
    damaged[rng.integers(len(whole) - 116)] ^= 1 << rng.integers(8)
    path.write_bytes(bytes(damaged))
    try:
        arrays, _ = read_safetensors(path)
    except UserError:
        return
    assert all(isinstance(a, np.ndarray) for a in arrays.values())


def safetensors_bytes(header):
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(16)


@pytest.mark.parametrize("content", [
    b"", b"hello", b"\x80\x02}q\x00.", b"\xff" * 64, (1 << 60).to_bytes(8, "little") + b"{}", safetensors_bytes([]),
    safetensors_bytes({"a": 3}), safetensors_bytes({"a": {"dtype": "F32", "shape": [4]}}),
    safetensors_bytes({"a": {"dtype": "F99", "shape": [4], "data_offsets": [0, 16]}}),
    safetensors_bytes({"a": {"dtype": "F32", "shape": [5], "data_offsets": [0, 16]}}),
    safetensors_bytes({"a": {"dtype": "F32", "shape": [8], "data_offsets": [0, 32]}}),
    safetensors_bytes({"a": {"dtype": "F32", "shape": [4], "data_offsets": [-16, 0]}}),
    safetensors_bytes({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [16, 0]}})])
def test_foreign_files_are_refused(tmp_path, content):
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(UserError, match="model.safetensors"):
        load_state(tmp_path)


# --- files are whole, or as before --------------------------------------------------------------------------------

@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt(), ValueError("x")])
def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path, error):
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises((type(error), UserError)), replacing(tmp_path / "file") as file:
        file.write(b"half of the ne")
        raise error
    assert plain_files(tmp_path) == {"file": b"old"}
    with replacing(tmp_path / "file") as file:
        file.write(b"new")
    assert plain_files(tmp_path) == {"file": b"new"}


@pytest.mark.skipif(os.name != "posix", reason="limits on files are POSIX's")
def test_a_full_disk_is_one_sentence_and_the_old_model_is_whole(tmp_path):
    """A real limit on the size of files, in a process of its own."""
    save_pretrained(random_model(), tmp_path)
    before = plain_files(tmp_path)
    code = ("import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
            "from tinyalbert import AlbertConfig, AlbertForPreTraining, UserError\n"
            "model = AlbertForPreTraining(AlbertConfig(vocab_size=5000))\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
            "try: model.save_pretrained(sys.argv[1])\n"
            "except UserError as error: print(isinstance(error, OSError), error.errno, error)\n")
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"True {errno.EFBIG} ") and "could not be written: File too large" in done.stdout
    assert "ulimit -f" in done.stdout and "untouched" in done.stdout
    assert plain_files(tmp_path) == before


def test_the_disk_fills_at_the_last_moment(tmp_path, monkeypatch):
    model = random_model()
    optimizer = AdamW(model.named_parameters(), lr=0.1)
    save_training_state(tmp_path, model, optimizer, {"step": 1})
    before = plain_files(tmp_path)

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CannotWrite, match="No space left on device") as caught:
        save_training_state(tmp_path, random_model(seed=1), optimizer, {"step": 2})
    assert caught.value.errno == errno.ENOSPC and plain_files(tmp_path) == before
    assert load_training_state(tmp_path, model, optimizer) == {"step": 1}


def test_a_folder_that_can_not_be_written_to(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="choose another folder"):
        save_pretrained(random_model(), tmp_path / "file" / "folder")


# --- a folder in the Hugging Face layout --------------------------------------------------------------------------

@pytest.mark.parametrize("name", MODELS)
@given(seed=seeds, groups=st.integers(1, 2), inner=st.integers(1, 2), labels=st.integers(1, 4))
def test_round_trip_of_every_model(tmp_path_factory, name, seed, groups, inner, labels):
    folder, cls = tmp_path_factory.mktemp("model"), MODELS[name]
    model = random_model(cls, seed, num_hidden_groups=groups, inner_group_num=inner, num_labels=labels)
    model.save_pretrained(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = cls.from_pretrained(folder)
    same_state(again.state_dict(), model.state_dict())
    same_state(dict(sorted(load_state(folder).items())), dict(sorted(model.state_dict().items())))
    written = json.loads((folder / "config.json").read_text())
    assert written["architectures"] == [name] and written["model_type"] == "albert"
    kept = {**again.config.to_dict(), "num_labels": again.config.num_labels}
    wanted = {**model.config.to_dict(), "num_labels": 2 if name in (
        "AlbertForPreTraining", "AlbertForQuestionAnswering") else labels}
    assert {k: kept[k] for k in wanted} == wanted
    assert sorted(p.name for p in folder.iterdir()) == ["config.json", "model.safetensors"]


@pytest.mark.parametrize("changes", [{"shared_parameters": "none"}, {"shared_parameters": "attention"},
                                     {"shared_parameters": "ffn"}, {"sentence_task": "nsp"},
                                     {"embedding_size": 8, "embedding_projection": False}])
def test_round_trip_of_the_ablations(tmp_path, changes):
    model = random_model(**changes)
    model.save_pretrained(tmp_path)
    again = AlbertForPreTraining.from_pretrained(tmp_path)
    same_state(again.state_dict(), model.state_dict())
    assert again.num_parameters() == model.num_parameters() and again.config.to_dict().items() >= changes.items()


def test_label_names_travel(tmp_path):
    model = AlbertForSequenceClassification(tiny().with_labels(["bad", "good", "ugly"]))
    model.save_pretrained(tmp_path)
    assert AlbertForSequenceClassification.from_pretrained(tmp_path).config.id2label == {0: "bad", 1: "good", 2: "ugly"}
    with pytest.warns(UserWarning, match="classifier.weight"):
        other = AlbertForSequenceClassification.from_pretrained(tmp_path, num_labels=4, allow=["shapes"])
    assert other.config.id2label[3] == "LABEL_3" and other.classifier.weight.shape == (4, 8)
    with pytest.raises(UserError, match=r"classifier.weight: got \(3, 8\), expected \(4, 8\).*allow=\['shapes'\]"):
        AlbertForSequenceClassification.from_pretrained(tmp_path, num_labels=4)


def test_the_tokenizers_files_are_written_too(tmp_path):
    class Tokenizer:
        def save_pretrained(self, folder):
            (Path(folder) / "spiece.model").write_bytes(b"pieces")

    save_pretrained(random_model(), tmp_path / "new" / "folder", Tokenizer())
    assert (tmp_path / "new" / "folder" / "spiece.model").read_bytes() == b"pieces"


def test_fine_tuning_from_a_pretrained_folder(tmp_path):
    """The encoder comes along, the new head is named in a warning, the old heads in the report."""
    pretrained = random_model()
    pretrained.save_pretrained(tmp_path)
    with pytest.warns(UserWarning, match="AlbertForSequenceClassification from .*initialised anew.*: classifier.weight, classifier.bias"):
        model = AlbertForSequenceClassification.from_pretrained(tmp_path, num_labels=3, seed=5)
    state, fresh = model.state_dict(), AlbertForSequenceClassification(tiny(num_labels=3), seed=5).state_dict()
    for name in state:
        np.testing.assert_array_equal(state[name], (fresh if "classifier" in name else pretrained.state_dict())[name])
    report = model.restore_report
    assert report.missing == ["classifier.weight", "classifier.bias"] and len(report.loaded) == len(state) - 2
    assert set(report.unexpected) == {n for n in pretrained.state_dict() if n.startswith(("predictions", "sop_classifier"))}
    assert f"{len(state) - 2} of the model's {len(state)} arrays were restored" in str(report)


def test_a_whole_folder_opens_without_drawing_values(tmp_path, monkeypatch):
    """At base-v2's size they take longer than reading the weights; the model has memory of its own, and is trained on."""
    from tinyalbert.training.trainer import Trainer

    saved = random_model()
    saved.save_pretrained(tmp_path)
    monkeypatch.setattr(np.random, "default_rng", lambda *_: pytest.fail("values were drawn"))
    model = AlbertForPreTraining.from_pretrained(tmp_path)
    monkeypatch.undo()
    same_state(model.state_dict(), saved.state_dict())
    assert all(p.data.flags.writeable and p.data.flags.owndata for p in model.parameters())
    ids = np.full((2, 8), 7)
    batch = {"input_ids": ids, "labels": ids, "sentence_order_label": np.array([0, 1])}
    for each in (model, saved):
        Trainer(each, lr=1e-3, threads=1).step(batch)
    same_state(model.state_dict(), saved.state_dict())


def test_models_without_pooler_leave_the_pooler(tmp_path):
    random_model().save_pretrained(tmp_path)
    model = AlbertForMaskedLM.from_pretrained(tmp_path)
    assert not model.restore_report.missing
    assert {"albert.pooler.weight", "albert.pooler.bias"} < set(model.restore_report.unexpected)
    model.save_pretrained(tmp_path / "mlm")
    with pytest.warns(UserWarning, match="albert.pooler.weight"):
        AlbertForSequenceClassification.from_pretrained(tmp_path / "mlm")


def test_the_prefix_is_added_or_taken_off():
    with_heads, bare = random_model(), random_model(AlbertModel, seed=1)
    load_into(bare, with_heads.state_dict())
    for name, a in bare.state_dict().items():
        np.testing.assert_array_equal(a, with_heads.state_dict()[f"albert.{name}"])
    back = random_model(seed=2)
    report = load_into(back, bare.state_dict())
    np.testing.assert_array_equal(back.albert.pooler.weight.data, bare.pooler.weight.data)
    assert {name.partition(".")[0] for name in report.missing} == {"predictions", "sop_classifier"}


@settings(max_examples=8)
@given(seed=seeds, prefix=st.sampled_from(["module.", "_orig_mod.", "module._orig_mod.", "model.", "0.auto_model.", "albert.", "net.α."]),
       bare=st.booleans(), kind=st.sampled_from(["safetensors", "shards"]))
def test_the_prefix_of_any_wrapper_is_taken_off(tmp_path_factory, seed, prefix, bare, kind):
    """Data parallel, compiled, Lightning, sentence-transformers, a class of one's own."""
    folder, cls = tmp_path_factory.mktemp("wrapped"), AlbertModel if bare else AlbertForPreTraining
    model = random_model(cls, seed)
    model.save_pretrained(folder)
    state = {f"{prefix}{name}": a for name, a in model.state_dict().items()}
    names = list(state)
    if kind == "shards":
        (folder / "model.safetensors").unlink()
        for i in range(2):
            write_safetensors(folder / f"part-{i}.safetensors", {n: state[n] for n in names[i::2]})
        index = {"weight_map": {n: f"part-{i % 2}.safetensors" for i, n in enumerate(names)}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    else:
        write_safetensors(folder / "model.safetensors", state)
    again = cls.from_pretrained(folder)
    assert not again.restore_report.unexpected and not again.restore_report.missing
    same_state(again.state_dict(), model.state_dict())
    convert(folder, folder / "converted")
    same_state(cls.from_pretrained(folder / "converted").state_dict(), model.state_dict())


@pytest.mark.parametrize("others", [{"loss_scale": ()}, {"teacher.head.weight": (3, 8)}, {"crf.transitions": (4, 4), "step": ()}])
def test_what_stands_beside_the_encoder_is_left_out_and_named(tmp_path, others):
    random_model(AlbertModel).save_pretrained(tmp_path)
    state = {**load_state(tmp_path), **{name: np.ones(shape, np.float32) for name, shape in others.items()}}
    write_safetensors(tmp_path / "model.safetensors", state)
    with pytest.warns(UserWarning, match=f"left out: {', '.join(others)}"):
        AlbertModel.from_pretrained(tmp_path)
    assert ", ".join(others) in str(convert(tmp_path, tmp_path / "out"))
    assert set(load_state(tmp_path / "out")) == set(state) - set(others)


@pytest.mark.parametrize("name", ["encoder.albert_layer_groups.0.albert_layers.0.attention.query.lora_A.weight",
                                  "embeddings.entity_embeddings.weight", "albert.encoder.layer.0.norm.weight"])
def test_what_stands_inside_the_encoder_is_refused(tmp_path, name):
    """Adapters and further embeddings make another model."""
    random_model(AlbertModel).save_pretrained(tmp_path)
    write_safetensors(tmp_path / "model.safetensors", {**load_state(tmp_path), name: np.ones((2, 2), np.float32)})
    for load in (AlbertModel.from_pretrained, lambda source: convert(source, source / "out")):
        with pytest.raises(UserError, match=f"unexpected: {name.removeprefix('albert.')}"):
            load(tmp_path)


def test_two_names_for_one_array_and_buffers_are_compared():
    source = random_model().state_dict()
    twice = {**source, "pooler.bias": source["albert.pooler.bias"]}
    assert not load_into(random_model(seed=1), twice).unexpected
    with pytest.raises(UserError, match="pooler.bias and another name both mean albert.pooler.bias"):
        load_into(random_model(seed=1), {**source, "pooler.bias": source["albert.pooler.bias"] + 1})
    for name, values in (("position_ids", np.arange(8) + 2), ("token_type_ids", np.ones(8))):
        with pytest.raises(UserError, match=f"unexpected: albert.embeddings.{name}"):
            load_into(random_model(seed=1), {**source, f"albert.embeddings.{name}": values})


def test_what_old_files_hold_besides():
    """Position ids are no parameters; of the two names of a tied array either is enough."""
    model, source = random_model(seed=1), random_model().state_dict()
    old = {**source, "albert.embeddings.position_ids": np.arange(8)[None], "albert.embeddings.token_type_ids": np.zeros(8),
           "predictions.decoder.weight": source["albert.embeddings.word_embeddings.weight"],
           "predictions.decoder.bias": source["predictions.bias"]}
    report = load_into(model, old)
    same_state(model.state_dict(), source)
    assert len(report.ignored) == 4 and not report.unexpected and not report.missing
    only_second = dict(source)
    only_second["predictions.decoder.weight"] = only_second.pop("albert.embeddings.word_embeddings.weight")
    only_second["predictions.decoder.bias"] = only_second.pop("predictions.bias")
    model = random_model(seed=1)
    load_into(model, only_second)
    same_state(model.state_dict(), source)


@given(seed=seeds, tied=st.sampled_from([None, True, False]), weight=st.sampled_from(["", "same", "other", "longer"]),
       bias=st.sampled_from(["", "same", "other"]))
def test_a_second_name_with_other_numbers_is_never_passed_over(tmp_path_factory, seed, tied, weight, bias):
    """What the decoder's names hold is compared; the config's tie_word_embeddings decides which numbers count."""
    folder, rng = tmp_path_factory.mktemp("model"), np.random.default_rng((seed, 1))
    model = random_model(AlbertForMaskedLM, seed)
    words, own_bias = model.albert.embeddings.word_embeddings.weight.numpy(), model.predictions.bias.numpy()
    state = dict(model.state_dict())
    if weight:
        held = {"same": words, "other": rng.standard_normal(words.shape), "longer": np.vstack([words, words[:1]])}
        state["predictions.decoder.weight"] = held[weight].astype(np.float32)
    if bias:
        state["predictions.decoder.bias"] = own_bias + (bias == "other")
    save_pretrained(model, folder)
    write_safetensors(folder / "model.safetensors", state, {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config.update({} if tied is None else {"tie_word_embeddings": tied})
    (folder / "config.json").write_text(json.dumps(config))
    untied = weight in ("other", "longer") and tied is False
    if untied or bias == "other":
        for load in (AlbertForMaskedLM.from_pretrained, lambda source: convert(source, source / "new")):
            with pytest.raises(UserError, match="untied: predictions.decoder.* holds other numbers than"):
                load(folder)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            forced = AlbertForMaskedLM.from_pretrained(folder, allow=["untied"])
        assert "decoder" in str(forced.restore_report)
        same_state(forced.state_dict(), model.state_dict())
    elif weight in ("other", "longer"):
        with pytest.warns(UserWarning, match="decoder.weight is not used, since the config ties it"):
            loaded = AlbertForMaskedLM.from_pretrained(folder)
        assert "decoder.weight" in str(loaded.restore_report)
        same_state(loaded.state_dict(), model.state_dict())
    else:
        report = AlbertForMaskedLM.from_pretrained(folder).restore_report
        assert "decoder" not in str(report) and not report.untied and not report.stale
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        encoder = AlbertModel.from_pretrained(folder)                    # which has no decoder
    np.testing.assert_array_equal(encoder.embeddings.word_embeddings.weight.numpy(), words)


@given(seed=seeds)
def test_the_report_names_everything_once(seed):
    """Drop, add and reshape arrays at random: every name is in the list it belongs to, and nothing else is changed."""
    rng, model = np.random.default_rng(seed), random_model(seed=1)
    before = {n: a.copy() for n, a in model.state_dict().items()}
    source = random_model().state_dict()
    fate = {name: rng.choice(["good", "missing", "shape"], p=[.8, .1, .1]) for name in source}
    state = {n: a if fate[n] == "good" else np.zeros((2, *a.shape), a.dtype) for n, a in source.items() if fate[n] != "missing"}
    strangers = [f"albert.stranger.{i}" for i in range(rng.integers(3))]
    state |= {name: np.zeros(2) for name in strangers}
    fit, report = match({n: a.shape for n, a in before.items()}, state)
    good, missing, shape = ([n for n in source if fate[n] == kind] for kind in ("good", "missing", "shape"))
    assert (report.loaded, report.missing, report.unexpected) == (good, missing, strangers)
    assert [line.partition(":")[0] for line in report.wrong_shape] == shape and set(fit) == {*good, *strangers}
    essential = [n for n in missing if n.startswith(("albert.embeddings", "albert.encoder"))]
    needed = [kind for kind, names in (("missing", essential), ("unexpected", strangers), ("shapes", shape)) if names]
    if needed:
        with pytest.raises(UserError, match="do not fit the model") as caught:
            load_into(model, state)
        assert str(needed) in str(caught.value)
        same_state(model.state_dict(), before)
    load_into(model, state, allow=needed)
    same_state(model.state_dict(), {n: source[n] if fate[n] == "good" else before[n] for n in source})


def test_nothing_restored_is_always_refused():
    """google-research/albert#132: weights that silently stay random."""
    foreign = {"bert.encoder.layer.0.attention.self.query.weight": np.ones((8, 8), np.float32)}
    with pytest.raises(UserError, match="none of these weights belongs to the model: bert.encoder.layer.0"):
        load_into(random_model(), foreign, allow=["missing", "unexpected", "shapes"])
    with pytest.raises(UserError, match="expected a list with some of missing, unexpected, shapes"):
        RestoreReport(loaded=["a"]).refuse("shapes")
    with pytest.raises(UserError, match="expected a list with some of"):
        RestoreReport(loaded=["a"]).refuse(["shape"])


def test_groups_may_start_from_the_first():
    one, three = random_model(), random_model(seed=1, num_hidden_layers=3, num_hidden_groups=3)
    with pytest.raises(UserError, match="layer_groups.1."):
        load_into(three, one.state_dict())
    load_into(three, one.state_dict(), group0=True)
    for name, a in three.state_dict().items():
        np.testing.assert_array_equal(a, one.state_dict()[name.replace("groups.1.", "groups.0.").replace("groups.2.", "groups.0.")])
    batch = {"input_ids": np.array([[2, 5, 6, 3]])}
    one.config.num_hidden_layers = one.albert.encoder.num_layers = 3
    np.testing.assert_allclose(three(**batch).sop_logits.data, one(**batch).sop_logits.data, rtol=1e-5)


# --- what a folder may hold -----------------------------------------------------------------------------------------

def test_sharded_weights(tmp_path):
    state = random_model().state_dict()
    for i in range(3):
        write_safetensors(tmp_path / f"model-{i}.safetensors", {n: state[n] for n in list(state)[i::3]})
    index = {"weight_map": {n: f"model-{i % 3}.safetensors" for i, n in enumerate(state)}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    found = load_state(tmp_path)
    same_state({n: found[n] for n in state}, state)
    (tmp_path / "model-1.safetensors").unlink()
    with pytest.raises(UserError, match="model-1.safetensors"):
        load_state(tmp_path)


def test_missing_files_are_said(tmp_path):
    with pytest.raises(UserError, match="no folder, file or TensorFlow checkpoint albert-base-v2; .*nothing is downloaded"):
        AlbertModel.from_pretrained("albert-base-v2")
    with pytest.raises(UserError, match="has no weights; expected model.safetensors, pytorch_model.bin"):
        load_state(tmp_path)
    write_safetensors(tmp_path / "model.safetensors", random_model().state_dict())
    with pytest.raises(UserError, match="has no config.json"):
        AlbertModel.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "roberta"}')
    with pytest.raises(UserError, match="config.json: the model is of type 'roberta' .*expected 'albert' or 'bert'"):
        AlbertModel.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(tiny().to_dict()))
    with pytest.raises(UserError, match="num_lables is not a field"):
        AlbertModel.from_pretrained(tmp_path, num_lables=3)
    assert AlbertModel.from_pretrained(tmp_path).config.hidden_size == 8
    assert AlbertModel.from_pretrained(tmp_path / "model.safetensors", config=tiny(), num_hidden_layers=1)


BERT = AlbertConfig.bert(vocab_size=20, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=12,
                         max_position_embeddings=8, type_vocab_size=3)


def berts_state(wrapper="", old=False):
    """A BERT's weights as transformers names them (Devlin et al. 2019): {name: array}, each with other numbers."""
    H, F, V = BERT.hidden_size, BERT.intermediate_size, BERT.vocab_size
    gain, shift = ("gamma", "beta") if old else ("weight", "bias")

    def linear(name, out, n):
        return {f"{name}.weight": (out, n), f"{name}.bias": (out,)}

    def norm(name):
        return {f"{name}.{gain}": (H,), f"{name}.{shift}": (H,)}
    shapes = {f"bert.embeddings.{name}_embeddings.weight": (n, H) for name, n in (("word", V), ("position", 8), ("token_type", 3))}
    shapes |= norm("bert.embeddings.LayerNorm") | linear("bert.pooler.dense", H, H)
    for layer in ("bert.encoder.layer.0", "bert.encoder.layer.1"):
        for name in ("self.query", "self.key", "self.value", "output.dense"):
            shapes |= linear(f"{layer}.attention.{name}", H, H)
        shapes |= linear(f"{layer}.intermediate.dense", F, H) | linear(f"{layer}.output.dense", H, F)
        shapes |= norm(f"{layer}.attention.output.LayerNorm") | norm(f"{layer}.output.LayerNorm")
    shapes |= linear("cls.predictions.transform.dense", H, H) | norm("cls.predictions.transform.LayerNorm")
    shapes |= {"cls.predictions.bias": (V,), **linear("cls.seq_relationship", 2, H)}
    rng = np.random.default_rng(0)
    return {wrapper + name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.mark.parametrize("wrapper, old", [("", False), ("", True), ("module.", False)])
def test_a_bert_opens_with_every_array_in_its_place(tmp_path, wrapper, old):
    theirs = berts_state(wrapper, old)
    write_safetensors(tmp_path / "model.safetensors", theirs)
    values = {name: getattr(BERT, name) for name in SIZES if name != "embedding_size"}
    (tmp_path / "config.json").write_text(json.dumps({**values, "model_type": "bert", "hidden_act": "gelu", "type_vocab_size": 3,
                                                      "hidden_dropout_prob": 0.2, "classifier_dropout": None}))
    model = AlbertForPreTraining.from_pretrained(tmp_path)
    report, config = model.restore_report, model.config
    assert len(report.loaded) == len(theirs) and not (report.missing + report.unexpected)
    assert (config.shared_parameters, config.sentence_task, config.hidden_act, config.embedding_size) == ("none", "nsp", "gelu", 8)
    assert config.classifier_dropout_prob == 0.2
    own = model.state_dict()
    layer, own_layer = f"{wrapper}bert.encoder.layer.1.", "albert.encoder.albert_layer_groups.1.albert_layers.0."
    gain = "gamma" if old else "weight"
    for name, same in {"attention.self.key.bias": "attention.key.bias", "attention.output.dense.weight": "attention.dense.weight",
                       f"attention.output.LayerNorm.{gain}": "attention.LayerNorm.weight", "intermediate.dense.bias": "ffn.bias",
                       "output.dense.bias": "ffn_output.bias", f"output.LayerNorm.{gain}": "full_layer_layer_norm.weight"}.items():
        np.testing.assert_array_equal(own[own_layer + same], theirs[layer + name])
    np.testing.assert_array_equal(own["predictions.dense.bias"], theirs[f"{wrapper}cls.predictions.transform.dense.bias"])
    model.save_pretrained(tmp_path / "ours")                   # from then on it is one of ours
    same_state(AlbertForPreTraining.from_pretrained(tmp_path / "ours").state_dict(), own)


SIZES = {"vocab_size": 20, "embedding_size": 4, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2,
         "intermediate_size": 12, "max_position_embeddings": 8}


def ways_to_read_a_config(values, folder):
    """{way: the AlbertConfig that it makes of a config's values}, for every way in which one comes in."""
    random_model().save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps(values))
    beside = folder / "beside"
    beside.mkdir()
    shutil.move(folder / "model.safetensors", beside / "model.safetensors")
    yield "from_json_file", lambda: AlbertConfig.from_json_file(folder / "config.json")
    yield "from_dict", lambda: AlbertConfig.from_dict(values)
    yield "read_config", lambda: read_config(folder)
    yield "info", lambda: named_config(folder / "config.json")
    yield "pretrain --init", lambda: PretrainOptions(output="x", init=str(folder)).model_size(0.02)
    yield "pretrain --model-config", lambda: PretrainOptions(output="x", model_config=str(folder / "config.json")).model_size(0.02)
    yield "convert --config", lambda: convert(beside, folder / "out", folder / "config.json") and read_config(folder / "out")
    yield "from_pretrained", lambda: AlbertModel.from_pretrained(beside, config=folder / "config.json").config


@pytest.mark.parametrize("values, act", [
    ({"hidden_act": "gelu"}, "gelu_new"), ({"hidden_act": "gelu", "model_type": None}, "gelu_new"),
    ({"hidden_act": "gelu", "model_type": "albert"}, "gelu"), ({"hidden_act": "gelu_new"}, "gelu_new"),
    ({"hidden_act": "relu", "model_type": "albert"}, "relu"), ({}, "gelu_new")])
def test_a_config_means_the_same_to_whoever_reads_it(tmp_path, values, act):
    for way, read in ways_to_read_a_config({**SIZES, **values}, tmp_path):
        assert read().hidden_act == act, way


@pytest.mark.parametrize("values, message", [
    ({"model_type": "roberta"}, "type 'roberta'"), ({"model_type": "bert", "is_decoder": True}, "is_decoder is True"), ({"model_type": 3}, "type 3"), ({"position_embedding_type": "relative_key"}, "relative_key"),
    ({"quantization_config": {"bits": 4}}, "quantization_config"), ({"hidden_size": None}, "hidden_size is null"),
    ({"hidden_act": None}, "hidden_act is null"), ({"num_hidden_layers": 2.5}, "num_hidden_layers is 2.5"),
    ({"problem_type": "ranking"}, "problem_type is 'ranking'"), ({"ffn_dropout": "no"}, "ffn_dropout is 'no'"),
    ({"layer_norm_eps": float("nan")}, "layer_norm_eps is nan"), ({"pad_token_id": -1}, "pad_token_id is -1")])
def test_a_wrong_config_is_wrong_to_whoever_reads_it(tmp_path, values, message):
    for _, read in ways_to_read_a_config({**SIZES, **values}, tmp_path):
        with pytest.raises(UserError, match=message):
            read()


@pytest.mark.parametrize("name", ["vocab_size", "num_attention_heads", "num_hidden_layers", "hidden_size"])
def test_sizes_that_weights_may_not_tell_are_asked_for(tmp_path, name):
    """transformers' and Google's defaults are those of the largest model, ours of a small one; neither is guessed."""
    (tmp_path / "config.json").write_text(json.dumps({key: value for key, value in SIZES.items() if key != name}))
    with pytest.raises(UserError, match=f"lacks {name}"):
        read_config(tmp_path)


def test_gelu_means_the_tanh_form_in_googles_config_only(tmp_path):
    for name, values, act in (("config.json", {"model_type": "albert", "hidden_act": "gelu"}, "gelu"),
                              ("config.json", {"hidden_act": "gelu"}, "gelu_new"),
                              ("albert_config.json", {"hidden_act": "gelu"}, "gelu_new"),
                              ("albert_config.json", {"hidden_act": "relu"}, "relu")):
        shutil.rmtree(tmp_path / "m", ignore_errors=True)
        (tmp_path / "m").mkdir()
        (tmp_path / "m" / name).write_text(json.dumps({**SIZES, **values}))
        assert read_config(tmp_path / "m").hidden_act == act


# --- convert --------------------------------------------------------------------------------------------------------

def test_convert_googles_release(tmp_path):
    """A folder as google-research/albert publishes it becomes one that opens here (and in transformers, below)."""
    source = google_folder(tmp_path)
    report = convert(source, tmp_path / "out")
    assert len(report.loaded) == 32 and not report.missing and not report.unexpected
    assert sorted(plain_files(tmp_path / "out")) == [
        "config.json", "model.safetensors", "special_tokens_map.json", "spiece.model", "tokenizer.json",
        "tokenizer_config.json"]
    tokenizer = AlbertTokenizer.from_pretrained(tmp_path / "out")
    assert tokenizer.model_max_length == read_config(source).max_position_embeddings
    assert tokenizer.model_bytes == (source / "30k-clean.model").read_bytes()
    converted, direct = (AlbertForPreTraining.from_pretrained(path) for path in (tmp_path / "out", source))
    same_state(converted.state_dict(), direct.state_dict())
    assert converted.config.to_dict().items() >= direct.config.to_dict().items()
    with pytest.raises(UserError, match="already holds a model"):
        convert(source, tmp_path / "out")
    with pytest.raises(UserError, match="shapes: .*word_embeddings"):
        convert(source, tmp_path / "other", tiny())
    assert not (tmp_path / "other").exists()


def google_folder(folder):
    """The fixture as a released tar unpacks."""
    sys.path.insert(0, str(FIXTURES))
    from make_tf_checkpoint import CONFIG
    source = folder / "albert_tiny"
    source.mkdir()
    for path in FIXTURES.glob("tf_albert.*"):
        shutil.copy(path, source / path.name.replace("tf_albert", "model.ckpt-best"))
    (source / "albert_config.json").write_text(json.dumps(CONFIG))
    tokenizer = AlbertTokenizer.train(["it was an old dog, waiting"] * 9, vocab_size=28)
    (source / "30k-clean.model").write_bytes(tokenizer.model_bytes)
    return source


@pytest.mark.parametrize("name", MODELS)
def test_convert_chooses_the_model_by_its_heads(tmp_path, name):
    model = random_model(MODELS[name], num_labels=3)
    model.save_pretrained(tmp_path / "a")
    config = json.loads((tmp_path / "a" / "config.json").read_text())
    del config["architectures"]
    (tmp_path / "a" / "config.json").write_text(json.dumps(config))
    convert(tmp_path / "a", tmp_path / "b")
    found = json.loads((tmp_path / "b" / "config.json").read_text())["architectures"]
    ambiguous = name in ("AlbertForTokenClassification", "AlbertForMultipleChoice")       # a classifier, as any other
    assert found == [name] or ambiguous and found == ["AlbertForSequenceClassification"]


def test_convert_keeps_what_the_named_model_has_no_use_for(tmp_path):
    """The released hub files say AlbertForMaskedLM and hold a pooler, which fine-tuning needs."""
    model = random_model()
    model.save_pretrained(tmp_path / "a")
    config = json.loads((tmp_path / "a" / "config.json").read_text())
    (tmp_path / "a" / "config.json").write_text(json.dumps({**config, "architectures": ["AlbertForMaskedLM"]}))
    convert(tmp_path / "a", tmp_path / "b")
    assert json.loads((tmp_path / "b" / "config.json").read_text())["architectures"] == ["AlbertForMaskedLM"]
    same_state(AlbertForPreTraining.from_pretrained(tmp_path / "b").state_dict(), model.state_dict())


# --- the state of a training ------------------------------------------------------------------------------------------

def trained(seed=0, steps=2):
    model, rng = random_model(seed=seed), np.random.default_rng(seed)
    optimizer = AdamW(model.named_parameters(), lr=0.01)
    for _ in range(steps):
        optimizer.step({name: rng.standard_normal(p.shape).astype(p.dtype) for name, p in model.named_parameters()})
    return model, optimizer


@given(seed=seeds, extra=st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
                                      lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(), x, max_size=3), max_leaves=6))
def test_training_state_round_trip(tmp_path_factory, seed, extra):
    folder = tmp_path_factory.mktemp("run") / "last"
    (model, optimizer), (other, other_optimizer) = trained(seed), trained(seed + 1, steps=1)
    save_training_state(folder, model, optimizer, extra)
    assert load_training_state(folder, other, other_optimizer) == extra
    same_state(other.state_dict(), model.state_dict())
    same_state(dict(sorted(other_optimizer.state_dict().items())), dict(sorted(optimizer.state_dict().items())))
    same_state(AlbertForPreTraining.from_pretrained(folder).state_dict(), model.state_dict())


def test_a_training_state_that_does_not_fit_is_refused(tmp_path):
    model, optimizer = trained()
    save_training_state(tmp_path, model, optimizer, {})
    for other in (random_model(hidden_size=4), random_model(AlbertForMaskedLM)):
        with pytest.raises(UserError, match="not the optimiser's state|does not fit"):
            load_training_state(tmp_path, other, AdamW(other.named_parameters(), lr=0.1))
    path = tmp_path / checkpoint.STATE_FILE
    whole = path.read_bytes()
    for size in (0, 4, 100, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(UserError, match="truncated"):
            load_training_state(tmp_path, model, optimizer)
    write_safetensors(path, model.state_dict(), {"format": "pt"})
    with pytest.raises(UserError, match="no training run to resume"):
        load_training_state(tmp_path, model, optimizer)
    with pytest.raises(UserError, match="there is no"):
        load_training_state(tmp_path / "nowhere", model, optimizer)


def test_the_last_good_state_loads_after_a_kill_at_any_moment(tmp_path):
    """A process that saves without end is killed again and again; what it left always loads, and loads whole."""
    code = ("import sys; import numpy as np; from tinyalbert import AdamW, AlbertConfig, AlbertForPreTraining\n"
            "from tinyalbert.files.checkpoint import save_training_state\n"
            "model = AlbertForPreTraining(AlbertConfig(vocab_size=3000)); optimizer = AdamW(model.named_parameters(), 0.1)\n"
            "for step in range(10**6):\n"
            "    for p in model.parameters(): p.data[...] = step\n"
            "    save_training_state(sys.argv[1], model, optimizer, {'step': step})\n"
            "    print(step, flush=True)\n")
    rng = np.random.default_rng(0)
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
        for _ in range(rng.integers(2, 5)):
            process.stdout.readline()
        try:
            process.wait(float(rng.uniform(0, 0.02)))
        except subprocess.TimeoutExpired:
            process.kill()
        process.stdout.close()
        process.wait()
        model = AlbertForPreTraining(tiny(vocab_size=3000, **{k: getattr(AlbertConfig(), k) for k in (
            "embedding_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
            "max_position_embeddings")}))
        step = load_training_state(tmp_path, model, AdamW(model.named_parameters(), lr=0.1))["step"]
        assert step >= 1 and all((p.data == step).all() for p in model.parameters())


# --- against transformers ---------------------------------------------------------------------------------------------

THEIRS = [name for name in MODELS if name != "AlbertForConditionalQuestionAnswering"]    # ALBERT's own head for SQuAD 2.0


def their_class(name, transformers):
    transformers.logging.set_verbosity_error()
    return getattr(transformers, name)


@pytest.mark.parity
@pytest.mark.parametrize("name", THEIRS)
def test_our_folder_opens_in_transformers(tmp_path, name):
    """No missing, unexpected or mismatched key, the same weights, the same numbers out."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    cls = their_class(name, transformers)
    for i, changes in enumerate([{}, {"num_labels": 3, "num_hidden_groups": 2, "problem_type": "multi_label_classification"},
                                 {"num_labels": 1, "embedding_size": 8, "inner_group_num": 1, "hidden_act": "relu"}]):
        model = random_model(MODELS[name], **changes)
        for p in model.parameters():
            p.data *= 0.3
        model.save_pretrained(tmp_path / str(i))
        theirs, info = cls.from_pretrained(tmp_path / str(i), output_loading_info=True)
        assert not any(info.values()), info
        ids = np.arange(1, 13).reshape(2, 6) if name != "AlbertForMultipleChoice" else np.arange(1, 13).reshape(1, 2, 6)
        with torch.no_grad():
            wanted = theirs.eval()(input_ids=torch.from_numpy(ids))
        out = model(input_ids=ids)
        for key in wanted:
            np.testing.assert_allclose(out[key].numpy(), wanted[key].numpy(), atol=1e-5, err_msg=key)
        auto = transformers.AutoConfig.from_pretrained(tmp_path / str(i))
        assert type(auto).__name__ == "AlbertConfig" and auto.architectures == [name]


@pytest.mark.parity
@pytest.mark.parametrize("safe", ["safetensors", "sharded", "bin"])
@pytest.mark.parametrize("name", THEIRS)
def test_transformers_folder_opens_here(tmp_path, name, safe):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    config = transformers.AlbertConfig(**{k: v for k, v in tiny().to_dict().items() if k != "model_type"}, num_labels=2)
    torch.manual_seed(0)
    theirs = their_class(name, transformers)(config)
    theirs.save_pretrained(tmp_path, safe_serialization=safe != "bin", max_shard_size="2KB" if safe == "sharded" else "1GB")
    assert (tmp_path / "model.safetensors.index.json").exists() == (safe == "sharded")
    assert (tmp_path / "pytorch_model.bin").exists() == (safe == "bin")
    ours = MODELS[name].from_pretrained(tmp_path)
    assert not ours.restore_report.missing and not ours.restore_report.unexpected
    state = theirs.state_dict()
    for key, a in ours.state_dict().items():
        np.testing.assert_array_equal(a, state[key].numpy())
    convert(tmp_path, tmp_path / "converted")
    again, info = type(theirs).from_pretrained(tmp_path / "converted", output_loading_info=True)
    assert not any(info.values()), info
    for key, t in again.state_dict().items():
        np.testing.assert_array_equal(t.numpy(), state[key].numpy())


@pytest.mark.parity
def test_a_converted_release_opens_in_transformers(tmp_path):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    convert(google_folder(tmp_path), tmp_path / "out")
    theirs, info = their_class("AlbertForPreTraining", transformers).from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not any(info.values()), info
    ids = np.array([[2, 5, 6, 7, 3]])
    with torch.no_grad():
        wanted = theirs.eval()(input_ids=torch.from_numpy(ids))
    out = heads.AlbertForPreTraining.from_pretrained(tmp_path / "out")(input_ids=ids)
    for key in wanted:
        np.testing.assert_allclose(out[key].numpy(), wanted[key].numpy(), rtol=1e-4, atol=1e-4)
