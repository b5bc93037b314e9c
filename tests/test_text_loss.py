"""`tinyalbert evaluate` on text: every word masked once, in nats a word, the same whatever the batches."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyalbert import AlbertConfig, AlbertForMaskedLM, AlbertForPreTraining, UserError
from tinyalbert.cli import main
from tinyalbert.ops import IGNORE
from tinyalbert.pretraining.corpus import documents
from tinyalbert.pretraining.preparation import train_tokenizer
from tinyalbert.pretraining.pretrain import pretrain
from tinyalbert.pretraining.shards import fingerprint
from tinyalbert.tasks import text_loss
from tinyalbert.tasks.text_loss import Window, evaluate_text, masked_rows, windows_of, word_numbers


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("text")
    tokenizer = train_tokenizer(["stories:60"], 220, folder / "tokenizer", progress=False)
    config = AlbertConfig.preset("tiny", vocab_size=tokenizer.vocab_size, initializer_range=0.3)
    model = AlbertForPreTraining(config, seed=1)
    model.save_pretrained(folder / "model", tokenizer=tokenizer)
    return folder / "model", tokenizer, model


class Special:
    mask_token_id, cls_token_id, sep_token_id = 4, 2, 3


@given(begins=st.lists(st.booleans(), min_size=1, max_size=40), seed=st.integers(0, 99))
def test_every_word_is_hidden_once_and_whole(begins, seed):
    begins = np.array(begins)
    ids = np.random.default_rng(seed).integers(5, 50, len(begins))
    window = Window(ids, word_numbers(begins))
    assert window.words[0] == 0 and (np.diff(window.words) == begins[1:]).all()
    rows = masked_rows(window, Special)
    hidden = np.array([labels[1:-1] != IGNORE for _, labels in rows])
    assert (hidden.sum(0) == 1).all()
    for (row, labels), here in zip(rows, hidden):
        assert row[0] == 2 and row[-1] == 3 and labels[0] == labels[-1] == IGNORE
        assert (row[1:-1][here] == 4).all() and (row[1:-1][~here] == ids[~here]).all() and (labels[1:-1][here] == ids[here]).all()
        assert all(len(set(here[window.words == word])) == 1 for word in set(window.words))


def test_the_loss_is_that_of_the_model_word_by_word(world):
    """Against one row at a time through the model that was trained, and the text's own words and characters."""
    folder, tokenizer, model = world
    text = [[s for s in d] for d in documents(["stories:3"])]
    windows = windows_of(text, tokenizer, 40)
    expected = right = 0.0
    for window in windows:
        for ids, labels in masked_rows(window, tokenizer):
            scores = model.astype(np.float64)(ids[None]).prediction_logits.data[0]
            log_p = scores - np.log(np.exp(scores).sum(-1, keepdims=True))
            at = np.flatnonzero(labels != IGNORE)
            expected -= log_p[at, labels[at]].sum()
            right += (scores[at].argmax(-1) == labels[at]).sum()
    words = sum(len(sentence.split()) for document in text for sentence in document)
    got = evaluate_text(folder, ["stories:3"], length=40, threads=2)
    assert got["words"] == words
    np.testing.assert_allclose(got["loss_per_word"] * words, expected, rtol=1e-5)
    assert got["pieces_right"] * got["pieces"] == pytest.approx(right)
    characters = sum(len(sentence) + 1 for document in text for sentence in document)   # a space before each word
    assert abs(got["characters"] - characters) < 0.01 * characters


def test_batches_and_threads_change_nothing_and_fewer_words_are_said(world, monkeypatch):
    folder, tokenizer, _ = world
    plain = evaluate_text(folder, ["stories:4"], length=64, threads=1)
    monkeypatch.setattr(text_loss, "TOKENS", 100)
    other = evaluate_text(folder, ["stories:4"], length=64, threads=2)
    assert all(other[name] == pytest.approx(plain[name], rel=1e-5) for name in plain)
    said = []
    some = evaluate_text(folder, ["stories:4"], length=64, words=60, threads=1, say=said.append)
    assert 30 < some["words"] < 130 and "windows are read" in said[0]


def test_from_the_command_line(world, tmp_path, capsys):
    folder, tokenizer, model = world
    (tmp_path / "a.txt").write_text("The dog was old. It slept under the table.\n\nA boat came home.\n")
    assert main(["evaluate", str(folder), str(tmp_path / "a.txt"), "--threads", "1"]) == 0
    lines = dict(line.rsplit(None, 1) for line in capsys.readouterr().out.splitlines())
    assert float(lines["loss_per_word"]) > float(lines["loss_per_character"]) > 0 and lines["words"] == "13"
    (tmp_path / "b.txt").write_text("\n")
    AlbertForMaskedLM(model.config, seed=1).save_pretrained(tmp_path / "mlm", tokenizer=tokenizer)
    assert main(["evaluate", str(tmp_path / "mlm"), str(tmp_path / "a.txt")]) == 0
    for words in ([str(tmp_path / "b.txt")], [str(tmp_path / "none.txt")], [str(tmp_path / "a.txt"), "--max-length", "4000"]):
        assert main(["evaluate", str(folder), *words]) == 2
    (tmp_path / "rows.tsv").write_text("text\tlabel\na dog\tyes\n")
    for rows in (str(tmp_path / "rows.tsv"), "stories:topic:20"):        # rows are for a fine-tuned folder, as before
        assert main(["evaluate", str(folder), rows]) == 2 and "train it first" in capsys.readouterr().err
    with pytest.raises(UserError, match="8 to"):
        evaluate_text(folder, ["stories:2"], length=4)


@given(begins=st.lists(st.booleans(), min_size=1, max_size=60), room=st.integers(1, 12))
def test_long_sentences_are_cut_between_words(begins, room):
    begins = np.array(begins)
    ids = np.arange(len(begins))
    parts = text_loss.parts_of(ids, begins, room)
    np.testing.assert_array_equal(np.concatenate(parts), ids)
    assert all(0 < len(part) <= room for part in parts)
    for before, after in zip(parts, parts[1:]):
        assert begins[after[0]] or (len(before) == room and not begins[before[1:]].any())


def test_a_model_goes_on_in_its_own_vocabulary_and_that_is_told(world, tmp_path):
    """Continued pretraining (--init): a text in another vocabulary is refused, one in its own is named."""
    folder, tokenizer, _ = world
    said = []
    how = dict(preset="tiny", steps=1, threads=1, workers=1, max_seq_length=32, batch_size=4, stages=(), progress=False)
    pretrain(["stories:20"], tmp_path / "on", init=str(folder), say=said.append, **how)
    assert f"begins as  {folder}, whose vocabulary is the text's (fingerprint {fingerprint(tokenizer)[:12]})" in "\n".join(said)
    train_tokenizer(["stories:60"], 200, tmp_path / "other", progress=False)
    with pytest.raises(UserError, match="is not the one of"):
        pretrain(["stories:20"], tmp_path / "no", init=str(folder), tokenizer=str(tmp_path / "other"), say=said.append, **how)
