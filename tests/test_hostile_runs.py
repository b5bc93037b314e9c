"""Prepared folders, settings, checkpoints and logs that are damaged: refused with the file and what was expected."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from shard_folder import random_documents, write_shards

from tinyalbert import AlbertConfig, AlbertModel, Trainer, UserError
from tinyalbert.checks import COUNT, TEXT
from tinyalbert.files.checkpoint import STATE_FILE, save_training_state
from tinyalbert.files.safetensors_file import read_safetensors, write_safetensors
from tinyalbert.options import resume
from tinyalbert.plots import read_log
from tinyalbert.pretraining.options import PretrainOptions
from tinyalbert.pretraining.preparation import is_prepared
from tinyalbert.pretraining.shards import Shards
from tinyalbert.tasks.finetune import _moved, _refuse_other_rows
from tinyalbert.training.checkpoints import Checkpoints, read_settings, saved_total_steps
from tinyalbert.training.log import Log
from tinyalbert.training.run import new_state


@pytest.fixture
def folder(tmp_path):
    return write_shards(tmp_path / "data", random_documents(np.random.default_rng(0), 6), held_out=[1, 4])


@pytest.mark.parametrize("name, dtype, place, value", [
    ("sentences.bin", "<i8", slice(3, 5), [2**62, 2**62 - 2**63]),  # the difference of the two is beyond 64 bits
    ("sentences.bin", "<i8", 3, 10**9), ("sentences.bin", "<i8", 3, -5), ("sentences.bin", "<i8", 0, 1), ("sentences.bin", "<i8", -1, 0),
    ("documents.bin", "<i8", slice(2, 4), [2**43, 15 - 2**63]), ("documents.bin", "<i8", 2, 10**12), ("documents.bin", "<i8", 2, 0), ("documents.bin", "<i8", -1, 1),
    ("tokens.bin", "<u2", 7, 64), ("tokens.bin", "<u2", -1, 65535),
])
def test_no_offset_and_no_id_points_outside(name, dtype, place, value, folder):
    numbers = np.fromfile(folder / name, dtype)
    numbers[place] = value
    numbers.tofile(folder / name)
    with pytest.raises(UserError, match=f"{name} .*prepare the corpus again"):
        Shards(folder)


@pytest.mark.parametrize("name, array", [
    ("held_out.npy", np.array([1, 6])), ("held_out.npy", np.array([-1, 4])), ("held_out.npy", np.array([4, 1])),
    ("held_out.npy", np.array([1])), ("held_out.npy", np.array([1.0, 4.0])), ("held_out.npy", np.array([[1, 4]])),
    ("counts.npy", np.arange(64)), ("counts.npy", np.full(64, 2**62)), ("counts.npy", np.zeros(3, int)), ("counts.npy", np.full(64, -1)),
    ("word_start.npy", np.ones(64, int)), ("word_start.npy", np.ones(63, bool)),
    ("word_start.npy", np.full(64, 7, np.uint8).view(bool)), ("counts.npy", np.array([{}] * 64)),
])
def test_the_small_files_hold_what_is_expected(name, array, folder):
    np.save(folder / name, array)
    with pytest.raises(UserError, match=f"{name} .*prepare the corpus again"):
        Shards(folder)


@pytest.mark.parametrize("name, value", [
    ("tokens", 0), ("tokens", 1.5), ("tokens", "9"), ("tokens", 10**30), ("sentences", -1), ("documents", None), ("vocab_size", 0),
    ("vocab_size", 10**9), ("dtype", "object"), ("dtype", ["<u2"]), ("tokenizer_sha256", 5), ("special_ids", {"pad": 0}),
    ("special_ids", {"pad": 0, "cls": 2, "sep": 3, "mask": 64}), ("special_ids", []), ("held_out_documents", 3),
    ("unigram_entropy", "3"), ("format", "1"), ("format", True),
])
def test_meta_has_a_schema(name, value, folder):
    meta = json.loads((folder / "meta.json").read_text())
    (folder / "meta.json").write_text(json.dumps({**meta, name: value}))
    with pytest.raises(UserError, match="prepare the corpus again"):
        Shards(folder)
    del meta[name]
    (folder / "meta.json").write_text(json.dumps(meta))
    with pytest.raises(UserError, match=f"has no {name}"):
        Shards(folder)


def test_other_special_ids_of_meta_are_left_alone(folder):
    meta = json.loads((folder / "meta.json").read_text())
    known = Shards(folder).meta["special_ids"]
    for other in ("uint16", None, 999, {"pad": 3}):
        (folder / "meta.json").write_text(json.dumps({**meta, "special_ids": {**known, "unk": other}}))
        assert Shards(folder).meta["special_ids"] == known


def test_a_folder_that_changes_is_looked_at_again(folder):
    assert len(Shards(folder).tokens) == len(Shards(folder).tokens)
    tokens = np.fromfile(folder / "tokens.bin", "<u2")
    tokens[0] = 999
    tokens.tofile(folder / "tokens.bin")
    with pytest.raises(UserError, match="beyond the vocabulary"):
        Shards(folder)


# --- the state of a run -----------------------------------------------------------------------------------------

def trainer():
    config = AlbertConfig(vocab_size=20, embedding_size=4, hidden_size=4, num_hidden_layers=1, num_attention_heads=1,
                          intermediate_size=4, max_position_embeddings=8)
    made = Trainer(AlbertModel(config), "lamb", threads=1)
    made.optimizer.moments = {n: (np.zeros(p.shape, np.float32), np.ones(p.shape, np.float32))
                              for n, p in made.model.named_parameters()}
    return made


def progress():
    return {"steps_done": 3, "settings": {"total_steps": 9}, "loss_scale": None, "state": new_state()}


@pytest.mark.parametrize("change, words", [
    ({"steps_done": "3"}, "steps_done is '3'"), ({"steps_done": 10**40}, "steps_done is"), ({"steps_done": None}, "steps_done is None"),
    ({"settings": []}, "settings is"), ({"settings": {}}, "settings has no total_steps"), ({"settings": {"total_steps": 2.5}}, "total_steps is 2.5"),
    ({"loss_scale": {}}, "loss_scale is"), ({"state": None}, "state is None"),
    ({"state": {**new_state(), "sums": {"loss": "x"}}}, "state, sums is"), ({"state": {**new_state(), "seconds": -1}}, "seconds is -1"),
    ({"state": {**new_state(), "seconds": float("nan")}}, "seconds is nan"), ({"state": {**new_state(), "eval_every": 0}}, "eval_every is 0"),
    ({"state": {**new_state(), "watch": {"since": "x"}}}, "watch is"), ({"state": {**new_state(), "best": "good"}}, "best is 'good'"),
])
def test_a_checkpoint_has_a_schema(change, words, tmp_path):
    made = trainer()
    save_training_state(tmp_path / "last", made.model, made.optimizer, progress())
    assert saved_total_steps(tmp_path) == 9 and Checkpoints(tmp_path, trainer()).load()[0] == {"total_steps": 9}
    save_training_state(tmp_path / "last", made.model, made.optimizer, {**progress(), **change})
    with pytest.raises(UserError, match=f"{STATE_FILE}.*{words}.*start the run anew"):
        Checkpoints(tmp_path, trainer()).load()


@pytest.mark.parametrize("name, array, words", [
    ("model/pooler.bias", np.full(4, np.nan, np.float32), "expected finite"), ("model/pooler.bias", np.zeros(4, np.int64), "int64"),
    ("optimizer/pooler.bias/adam_m", np.full(4, np.inf, np.float32), "expected finite"),
    ("optimizer/pooler.bias/adam_v", np.full(4, -1, np.float32), "adam_v"), ("optimizer/global_step", np.zeros(2, np.int64), "global_step"),
    ("optimizer/global_step", np.array(1.5), "global_step"), ("optimizer/global_step", np.array(-1), "global_step"),
    ("optimizer/other", np.zeros(4), "other"),
])
def test_the_numbers_of_a_checkpoint_are_checked(name, array, words, tmp_path):
    made = trainer()
    save_training_state(tmp_path / "last", made.model, made.optimizer, progress())
    arrays, metadata = read_safetensors(tmp_path / "last" / STATE_FILE)
    write_safetensors(tmp_path / "last" / STATE_FILE, {**arrays, name: array}, metadata)
    with pytest.raises(UserError, match=f"{STATE_FILE}.*{words}"):
        Checkpoints(tmp_path, trainer()).load()


@pytest.mark.parametrize("extra", ["", "{", "null", "[]", '{"steps_done": 3, "steps_done": 4}', "[" * 2000, "9" * 9999])
def test_what_is_beside_the_numbers_is_json(extra, tmp_path):
    made = trainer()
    save_training_state(tmp_path / "last", made.model, made.optimizer, progress())
    arrays, metadata = read_safetensors(tmp_path / "last" / STATE_FILE)
    write_safetensors(tmp_path / "last" / STATE_FILE, arrays, {**metadata, "extra": extra})
    with pytest.raises(UserError, match=STATE_FILE):
        saved_total_steps(tmp_path)


# --- settings and logs ------------------------------------------------------------------------------------------

@pytest.mark.parametrize("text, words", [
    ("", "not JSON"), ("[1]", "holds list"), ('{"data": 5, "steps": 1}', "data is 5"), ('{"data": "x"}', "has no steps"),
    ('{"data": "x", "steps": "1"}', "steps is '1'"), ('{"data": "x", "data": "y", "steps": 1}', "stands twice"), ("[" * 9999, "in one another"),
])
def test_settings_have_a_schema(text, words, tmp_path):
    path = tmp_path / "run.json"
    path.write_text(text)
    with pytest.raises(UserError, match=f"run.json.*{words}.*start the run anew"):
        read_settings(path, "pretraining", {"data": TEXT, "steps": COUNT})
    path.unlink()
    with pytest.raises(UserError, match="no pretraining run"):
        read_settings(path, "pretraining", {})


@pytest.mark.parametrize("saved", [{"lr": "much"}, {"batch_size": -3}, {"stages": [{"share": "x"}]}, {"sources": {}}, {"whole_word": 3}])
def test_saved_options_are_checked_as_typed_ones(saved):
    with pytest.raises(UserError, match="pretrain.json: "):
        resume(PretrainOptions(output="x", steps=5), saved, lambda line: None, where="pretrain.json")


LINE = {"kind": "train", "step": 4, "seconds": 1.5, "loss": 2.5}


@pytest.mark.parametrize("line", ["", "[]", "3", "{}", '{"kind": 5, "step": 1}', '{"kind": "train", "step": "x"}', '{"kind": [], "step": 1}',
                                  json.dumps({**LINE, "loss": "low"}), json.dumps({**LINE, "loss": None}), json.dumps({**LINE, "loss": [1]}), "[" * 3000,
                                  json.dumps({**LINE, "step": -1}), '{"kind": "start", "step": 0, "vocab_size": "x"}'])
def test_a_line_of_a_log_is_checked(line, tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text(json.dumps(LINE) + "\n" + line + "\n" + json.dumps(LINE) + "\n")
    with pytest.raises(UserError, match="log.jsonl, line 2"):
        read_log(path)
    log = Log(tmp_path)
    assert not log.ended(4)
    log.resume(4, 1.0)
    assert [json.loads(kept) for kept in path.read_text().splitlines()][0] == LINE


def test_half_a_last_line_and_bytes_that_are_no_text_are_no_traceback(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_bytes(json.dumps(LINE).encode() + b"\n{\"kind\": \"tra")
    assert read_log(path)["train"] == [LINE]
    path.write_bytes(b"\xff\xfe\n")
    with pytest.raises(UserError, match="line 1"):
        read_log(path)
    shutil.rmtree(tmp_path)
    with pytest.raises(UserError, match="no training log"):
        read_log(tmp_path)


@pytest.mark.parametrize("rows", [{}, {"train": 1, "dev": [1, "x"], "labels": []}, {"train": [1], "dev": [2], "labels": [3]},
                                  {"train": ["many"], "dev": [2], "labels": None}])
def test_settings_with_rows_of_another_form_are_refused(rows):
    with pytest.raises(UserError, match="rows"):
        _refuse_other_rows({"train": [3, "a"], "dev": [1, "b"], "labels": None}, rows, SimpleNamespace(train="t.tsv", output="out"))


@pytest.mark.parametrize("source", ["a\0b", "x" * 5000, "a\0b,c"])
def test_a_source_that_no_file_can_have_stays_as_it_is(source, tmp_path):
    for was in ("/elsewhere/out", "a\0c"):
        assert _moved(source, {"folder": was}, SimpleNamespace(output=str(tmp_path))) == source


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b"])
def test_a_name_that_no_folder_can_have_is_not_prepared(name):
    assert not is_prepared(name)
