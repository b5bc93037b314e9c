"""ONNX files and 8-bit weights: the same outputs, each weight once, and what becomes of a task."""

import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyalbert import AlbertConfig, UserError, pipeline
from tinyalbert.cli import main
from tinyalbert.decoder import AlbertForTranslation
from tinyalbert.export.command import CLASSES, batch_for, difference, export, load
from tinyalbert.files.checkpoint import load_state
from tinyalbert.files.int8 import SCALE, dequantized, quantized
from tinyalbert.pretraining.preparation import train_tokenizer

onnx = pytest.importorskip("onnx", reason="needs onnx: pip install 'tinyalbert[onnx]'")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install 'tinyalbert[onnx]'")

from tinyalbert.export.heads import OUTPUTS, onnx_model  # noqa: E402

KINDS = list(OUTPUTS)


def model_of(kind, seed=1, **changes):
    fields = dict(vocab_size=60, num_labels=3, num_hidden_layers=3, max_position_embeddings=20, hidden_size=32,
                  embedding_size=16, intermediate_size=48, num_attention_heads=4)
    model = kind(AlbertConfig(**{**fields, **changes}), seed=seed).eval()
    rng = np.random.default_rng(seed)
    for parameter in model.parameters():
        if parameter.ndim == 1:                              # biases and gains that matter
            parameter.data += 0.3 * rng.standard_normal(parameter.shape).astype(np.float32)
        else:
            parameter.data *= 3
    return model


def runner(content):
    session = onnxruntime.InferenceSession(content.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_outputs()]

    def run(batch):
        return dict(zip(names, session.run(names, {name: array.astype(np.int64) for name, array in batch.items()})))
    return run


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_head_gives_the_same_in_onnx(kind):
    model = model_of(kind)
    content = onnx_model(model)
    onnx.checker.check_model(content, full_check=True)
    run = runner(content)
    assert difference(model, run) < 1e-5
    out = run(batch_for(model, 2, 9))
    assert out.keys() <= set(vars(model(**batch_for(model, 2, 9))))


@given(changes=st.fixed_dictionaries({}, optional={
    "hidden_act": st.sampled_from(["gelu_new", "gelu", "relu", "tanh", "linear"]),
    "shared_parameters": st.sampled_from(["all", "attention", "ffn", "none"]),
    "num_hidden_layers": st.integers(1, 3), "inner_group_num": st.integers(1, 2),
    "layer_norm_eps": st.sampled_from([1e-12, 1e-3])}),
    sizes=st.tuples(st.integers(1, 4), st.integers(1, 20)))
def test_every_encoder_gives_the_same_in_onnx(changes, sizes):
    model = model_of(CLASSES["AlbertForMaskedLM"], **changes)
    batch = batch_for(model, *sizes)
    expected = model(**batch).logits.numpy()
    got = runner(onnx_model(model))(batch)["logits"]
    assert abs(got - expected).max() < 1e-5 * max(1, abs(expected).max())


@pytest.mark.parametrize("part", [{"pre_norm": True}, {"gated_ffn": True}, {"projection_groups": 2}], ids=str)
def test_what_onnx_has_no_words_for_here_is_refused(part):
    with pytest.raises(UserError, match=[*part][0]):
        onnx_model(model_of(CLASSES["AlbertForMaskedLM"], **part))


@pytest.mark.parametrize("layers", [1, 6])
def test_a_shared_layer_is_in_the_file_once(layers):
    model = model_of(CLASSES["AlbertForMaskedLM"], num_hidden_layers=layers, hidden_size=128, intermediate_size=512)
    content = onnx_model(model)
    stored = sum(onnx.numpy_helper.to_array(each).nbytes for each in content.graph.initializer)
    weights = sum(p.data.nbytes for p in model.parameters())
    assert stored < weights + 400
    small = onnx_model(model, int8=True)
    assert {str(p.data.dtype) for p in model.parameters()} == {"float32"}
    assert sum(onnx.numpy_helper.to_array(each).nbytes for each in small.graph.initializer) < 0.29 * weights


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_8_bits_in_onnx_are_8_bits_here(kind):
    model = model_of(kind)
    rounded = model_of(kind)
    rounded.load_state_dict(dequantized(quantized(model.state_dict())))
    assert difference(rounded, runner(onnx_model(model, int8=True))) < 2e-5


@given(st.integers(0, 5), st.integers(0, 7), st.integers(0, 2**32 - 1), st.sampled_from([1e-8, 1.0, 1e6]))
def test_a_number_is_wrong_by_half_a_scale_at_most(rows, columns, seed, size):
    matrix = (np.random.default_rng(seed).standard_normal((rows, columns)) * size).astype(np.float32)
    matrix[:1] = 0
    vector = matrix[:, 0] if columns else np.zeros(3, np.float32)
    state = quantized({"w": matrix, "b": vector})
    assert state["w"].dtype == np.int8 and state["b"] is vector and (abs(state["w"].astype(int)) <= 127).all()
    back = dequantized(state)
    assert back.keys() == {"w", "b"} and back["w"].dtype == np.float32
    assert (abs(back["w"] - matrix) <= 0.5001 * state["w" + SCALE][:, None]).all() and (back["w"][:1] == 0).all()


@pytest.mark.parametrize("scales", [np.ones(3, np.float32), np.ones((2, 1), np.float32), np.ones(2)])
def test_scales_that_do_not_fit_are_refused(scales):
    with pytest.raises(UserError, match="float32 for each of its rows"):
        dequantized({"w": np.ones((2, 4), np.int8), "w.scale": scales})


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        tokenizer = train_tokenizer(["stories:60"], 300, "vocabulary")
        config = AlbertConfig.preset("tiny", vocab_size=300)
        CLASSES["AlbertForPreTraining"](config, seed=1).save_pretrained("base", tokenizer=tokenizer)
        assert main("finetune stories:topic:60 --model base --output topic --steps 8".split()) == 0
    return folder


def test_a_folder_in_8_bits_works_as_any_other(world, monkeypatch, capsys):
    monkeypatch.chdir(world)
    assert main("export topic --int8 --output small --table stories:topic:30".split()) == 0
    said = capsys.readouterr().out
    assert "accuracy" in said and ", here " in said
    assert "small: " in said and "one sequence of" in said and "largest difference" in said
    assert (world / "small" / "model.safetensors").stat().st_size < 0.33 * (world / "topic" / "model.safetensors").stat().st_size
    assert not (world / "small" / "last").exists()
    text = "The bread was warm."
    before, after = (pipeline("text-classification", name)(text, top_k=None) for name in ("topic", "small"))
    scores = [{each["label"]: each["score"] for each in side} for side in (before, after)]
    assert scores[0] == pytest.approx(scores[1], abs=0.02) and scores[0] != scores[1]
    assert main("evaluate small stories:topic:30".split()) == 0
    assert main("finetune stories:topic:40 --model small --output again --steps 2".split()) == 0
    state = load_state(world / "small")
    assert {str(array.dtype) for array in state.values()} == {"float32"}


def test_an_onnx_file_from_the_command_line(world, monkeypatch, capsys):
    monkeypatch.chdir(world)
    assert main("export base --onnx --output base.onnx".split()) == 0
    assert main("export base --onnx --int8 --output small.onnx".split()) == 0
    out = capsys.readouterr().out
    assert out.count("largest difference") == 2 and "base.onnx: " in out
    session = onnxruntime.InferenceSession("base.onnx", providers=["CPUExecutionProvider"])
    model = load("base")
    batch = batch_for(model, 2, 11)
    got = session.run(["sop_logits"], {name: array.astype(np.int64) for name, array in batch.items()})[0]
    np.testing.assert_allclose(got, model(**batch).sop_logits.numpy(), atol=1e-5)


def test_what_is_wrong_is_told(world, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(world)
    (tmp_path / "there").mkdir()
    for command, words in (("export base --output x", "--onnx"), ("export topic --onnx --output x --table stories:topic:9", "without --onnx"), (f"export base --onnx --output {tmp_path / 'there'}", "there already"),
                           ("export missing --int8 --output x", "missing")):
        assert main(command.split()) == 2 and words in capsys.readouterr().err
    shutil.copytree("base", tmp_path / "half", ignore=shutil.ignore_patterns("model.safetensors"))
    assert main(f"export {tmp_path / 'half'} --onnx --output x.onnx".split()) == 2 and not (world / "x.onnx").exists()
    with pytest.raises(UserError, match="piece by piece"):
        onnx_model(AlbertForTranslation(AlbertConfig.preset("tiny", vocab_size=60)))
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(UserError, match=r"tinyalbert\[onnx\]"):
        export("base", tmp_path / "y.onnx", onnx=True)
