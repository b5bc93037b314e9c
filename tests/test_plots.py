"""Pictures: made from any log, the same bytes every time, titles that agree with the numbers."""

import builtins
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyalbert import UserError, plots

pytest.importorskip("matplotlib")
from matplotlib.figure import Figure  # noqa: E402


def write_log(path, lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def pretraining_log(path, final=3.9, order=0.93, entropy=6.4):
    falls = np.linspace(9, final, 11)
    lines = [{"kind": "start", "step": 0, "seconds": 0, "vocab_size": 8000, "unigram_entropy": entropy}]
    lines += [{"kind": "train", "step": 10 * i, "seconds": i, "loss": x + 0.7, "mlm_loss": x} for i, x in enumerate(falls)]
    lines += [{"kind": "eval", "step": 10 * i, "seconds": i, "mlm_loss": x, "sop_accuracy": 0.5 + (order - 0.5) * i / 10,
               "mlm_accuracy": 0.3} for i, x in enumerate(falls)]
    return write_log(path, lines)


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were saved, to look at their titles and lines."""
    figures, save = [], plots._save
    monkeypatch.setattr(plots, "_save", lambda figure, path: figures.append(figure) or save(figure, path))
    return figures


def test_a_run_has_its_reference_lines_and_a_title_with_its_numbers(tmp_path, drawn):
    picture = plots.plot_run(pretraining_log(tmp_path / "log.jsonl"))
    assert picture == tmp_path / "loss.png" and picture.read_bytes().startswith(b"\x89PNG")
    loss, order = drawn[0].axes
    levels = [line.get_ydata()[0] for line in loss.lines if len(set(line.get_ydata())) == 1]
    assert levels == pytest.approx([np.log(8000), 6.4])
    assert [line.get_ydata()[0] for line in order.lines if len(set(line.get_ydata())) == 1] == [0.5]
    assert "from 9.00 to 3.90" in loss.get_title() and "frequencies alone: 6.40)" in loss.get_title() and "30.0% of" in loss.get_title()
    assert "93.0%" in order.get_title()


def test_labels_of_levels_lie_where_no_curve_can_cross_them(tmp_path, drawn):
    plots.plot_run(pretraining_log(tmp_path / "log.jsonl"))
    for ax in drawn[0].axes:
        labels = [text for text in ax.texts if "guessing" in text.get_text() or "entropy" in text.get_text()]
        assert labels and all(text.get_window_extent().x0 >= ax.get_window_extent().x1 for text in labels)


def test_the_lengths_of_held_out_sequences_are_named_if_they_grow(tmp_path, drawn):
    lines = [{"kind": "train", "step": 1, "mlm_loss": 6.0}]
    lines += [{"kind": "eval", "step": i, "mlm_loss": 6.0, "max_seq_length": n} for i, n in enumerate((512.0, 64.0, 64.0, 128.0))]
    plots.plot_run(write_log(tmp_path / "log.jsonl", lines))
    plots.plot_run(write_log(tmp_path / "log.jsonl", lines[:-1]))
    assert [figure.axes[0].get_legend().get_texts()[1].get_text() for figure in drawn] == [
        "held-out, sequences of 64 to 128 tokens", "held-out"]


def test_a_run_on_the_plateau_is_called_so(tmp_path, drawn):
    plots.plot_run(pretraining_log(tmp_path / "log.jsonl", final=6.41, order=0.51))
    loss, order = drawn[0].axes
    assert "context is not used" in loss.get_title() and "as by guessing" in order.get_title()


def test_the_same_log_gives_the_same_bytes(tmp_path):
    log = pretraining_log(tmp_path / "log.jsonl")
    assert plots.plot_run(log, tmp_path / "a.png").read_bytes() == plots.plot_run(log, tmp_path / "b.png").read_bytes()


def test_pictures_are_grey(tmp_path, drawn):
    plots.plot_run(pretraining_log(tmp_path / "log.jsonl"))
    plots.plot_comparison({"a": tmp_path, "b": tmp_path}, tmp_path / "c.png")
    from matplotlib.colors import to_rgb
    for figure in drawn:
        colours = {to_rgb(line.get_color()) for ax in figure.axes for line in ax.lines}
        assert all(r == g == b for r, g, b in colours)


def test_a_fine_tuning_run_and_a_run_without_evaluation(tmp_path, drawn):
    train = [{"kind": "train", "step": i, "seconds": i, "loss": 1 / i} for i in range(1, 5)]
    scores = [{"kind": "eval", "step": i, "seconds": i, "accuracy": 0.5 + i / 10} for i in (2, 4)]
    plots.plot_run(write_log(tmp_path / "log.jsonl", train + scores), tmp_path / "loss.png")
    plots.plot_run(write_log(tmp_path / "log.jsonl", train), tmp_path / "loss.png")
    assert [len(figure.axes) for figure in drawn] == [2, 1]
    assert "accuracy rises from 0.700 to 0.900" in drawn[0].axes[1].get_title()
    assert "Training loss falls from 1.00 to 0.25" in drawn[1].axes[0].get_title()


def test_the_comparison_names_the_best(tmp_path, drawn):
    logs = {"LAMB": pretraining_log(tmp_path / "1.jsonl", final=4.2), "AdamW": pretraining_log(tmp_path / "2.jsonl", final=3.7)}
    plots.plot_comparison(logs, tmp_path / "c.png", x="minutes")
    assert "AdamW, 3.70" in drawn[0].axes[0].get_title()
    assert {float(line.get_ydata()[0]) for line in drawn[0].axes[0].lines[2:]} == {6.4}
    plots.plot_comparison(logs, tmp_path / "c.png", metric="sop_accuracy")
    assert "LAMB, 0.93" in drawn[1].axes[0].get_title()
    with pytest.raises(UserError, match="no evaluation with f1"):
        plots.plot_comparison(logs, tmp_path / "c.png", metric="f1")


@given(seed=st.integers(0, 2**32 - 1), heads=st.integers(1, 5), T=st.integers(2, 9))
def test_attention_habits_are_shares_of_the_weight(seed, heads, T):
    weights = np.random.default_rng(seed).dirichlet(np.ones(T), size=(heads, T))
    habits = plots.attention_habits(weights, ["[CLS]", *"abcdefg"[:T - 2], "[SEP]"])
    assert len(habits) == heads and all(0 < share <= 1 for _, share in habits)


@pytest.mark.parametrize("offset, place", [(0, "the token itself"), (-1, "the token before"), (1, "the token after")])
def test_attention_to_a_neighbour_is_recognised(offset, place):
    T = 8
    weights = np.eye(T, k=offset)[None]
    assert plots.attention_habits(weights, list("abcdefgh")) == [(place, pytest.approx((T - abs(offset)) / T))]


@pytest.mark.parametrize("token", ["[CLS]", "[SEP]"])
def test_attention_to_a_special_token_is_recognised(token):
    tokens = ["[CLS]", *"abcde", "[SEP]"]
    weights = np.zeros((1, 7, 7))
    weights[0, :, tokens.index(token)] = 1
    assert plots.attention_habits(weights, tokens) == [(token, 1.0)]


def test_attention_maps_of_a_model(tmp_path, drawn):
    from tinyalbert import AlbertConfig, AlbertModel
    config = AlbertConfig(vocab_size=20, embedding_size=8, hidden_size=10, num_attention_heads=5, intermediate_size=8,
                          num_hidden_layers=2, max_position_embeddings=8)
    attentions = AlbertModel(config)(np.array([[2, 5, 6, 3, 0]]), output_attentions=True).attentions
    tokens = ["[CLS]", "▁$", "a$", "[SEP]"]
    picture = plots.plot_attention(attentions, tokens, tmp_path / "maps" / "attention.png", layer=1)
    assert picture.exists() and isinstance(drawn[0], Figure)
    maps = [ax.images[0].get_array() for ax in drawn[0].axes if ax.images]
    for head, drawn_map in enumerate(maps):
        np.testing.assert_array_equal(drawn_map, attentions[1].numpy()[0, head, :4, :4])
    assert len(maps) == 5 and "Layer 1" in drawn[0].get_suptitle()
    with pytest.raises(UserError, match="expected 0 to 1"):
        plots.plot_attention(attentions, tokens, tmp_path / "a.png", layer=2)
    with pytest.raises(UserError, match="expected the tokens"):
        plots.plot_attention(attentions, tokens * 2, tmp_path / "a.png")


def test_bad_logs_are_refused_with_file_and_line(tmp_path):
    with pytest.raises(UserError, match="no training log"):
        plots.plot_run(tmp_path)
    log = tmp_path / "log.jsonl"
    log.write_text('{"kind": "start", "step": 0}\nnot json\n')
    with pytest.raises(UserError, match=r"log.jsonl, line 2"):
        plots.plot_run(log)
    log.write_text('{"kind": "start", "step": 0}\n')
    with pytest.raises(UserError, match="no training steps yet"):
        plots.plot_run(log)


def test_a_line_that_is_still_being_written_is_left_out(tmp_path):
    log = pretraining_log(tmp_path / "log.jsonl")
    whole = plots.plot_run(log).read_bytes()
    log.write_text(log.read_text() + '{"kind": "train", "st')
    assert plots.plot_run(log).read_bytes() == whole


def test_without_matplotlib_the_error_says_what_to_install(tmp_path, monkeypatch):
    real = builtins.__import__

    def no_matplotlib(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError("No module named 'matplotlib'")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_matplotlib)
    with pytest.raises(UserError, match=r"pip install 'tinyalbert\[lessons\]'"):
        plots.plot_run(pretraining_log(tmp_path / "log.jsonl"))
