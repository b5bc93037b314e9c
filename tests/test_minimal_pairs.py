"""Minimal pairs: files of three kinds, rules that know no grammar, and the verdict."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyalbert import AlbertConfig, UserError
from tinyalbert.cli import main
from tinyalbert.heads import AlbertForPreTraining
from tinyalbert.pretraining.shards import prepare
from tinyalbert.tasks.likelihood import pseudo_log_likelihood
from tinyalbert.tasks.minimal_pairs import BIGRAM_SHARE, Frequencies, behind, judge, read_sets
from tinyalbert.text.tokenizer import AlbertTokenizer

PAIRS = [("the dogs was old", "the dog was old"), ("she found an kite", "she found a kite"), ("he were here", "he was here")]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A model, its corpus, and the same pairs in three forms."""
    folder = tmp_path_factory.mktemp("pairs")
    from tinyalbert.pretraining.preparation import train_tokenizer
    tokenizer = train_tokenizer(["stories:80"], 300, str(folder / "vocabulary"))
    model = AlbertForPreTraining(AlbertConfig.preset("tiny", vocab_size=300), seed=4)
    for parameter in model.parameters():
        if parameter.ndim == 2:
            parameter.data *= 4
    model.save_pretrained(folder / "model", tokenizer=tokenizer)
    prepare(["stories:80"], tokenizer, folder / "model" / "data", workers=1)
    sets = folder / "sets"
    sets.mkdir()
    (sets / "a.txt").write_text("\n".join(line for pair in PAIRS for line in pair) + "\n\n")
    (sets / "b.jsonl").write_text("".join(json.dumps({"sentence_bad": bad, "sentence_good": good, "UID": 1}) + "\n" for bad, good in PAIRS))
    (sets / "c.tsv").write_text("good\tnote\tbad\n" + "".join(f"{good}\tx\t{bad}\n" for bad, good in PAIRS))
    (sets / "notes.md").write_text("not pairs")
    return folder


@pytest.fixture(scope="module")
def loaded(world):
    return AlbertForPreTraining.from_pretrained(world / "model"), AlbertTokenizer.from_pretrained(world / "model")


def test_three_forms_of_the_same_pairs(world):
    sets = read_sets(world / "sets")
    assert [each.name for each in sets] == ["a", "b", "c"]
    assert all(each.texts == [line for pair in PAIRS for line in pair] for each in sets)
    assert [len(each.texts) for each in read_sets(world / "sets", first=2)] == [4, 4, 4]


@pytest.mark.parametrize("name, text, words", [
    ("x.txt", "one\n", "x.txt has 1 lines"), ("x.txt", "\n", "no pairs"), ("x.jsonl", '{"sentence_good": "a"}\n', "x.jsonl, line 1"),
    ("x.jsonl", "[" * 5000, "line 1"), ("x.tsv", "text\tlabel\na\tb\n", "expected good and bad"), ("x.tsv", "good\tbad\na\n", "line 2: 1 cells"),
    ("x.csv", "good,bad\na, \n", "line 2: an empty"), ("x.md", "a", "ends in"), ("x.jsonl", '{"sentence_good": "a", "sentence_bad": 3}', "line 1")])
def test_a_bad_file_is_told_with_its_line(name, text, words, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=words):
        read_sets(tmp_path / name)


def test_cells_with_commas_are_quoted(tmp_path):
    (tmp_path / "x.csv").write_text('bad,good\n"he, were here","he, was here"\n')
    assert read_sets(tmp_path / "x.csv")[0].texts == ["he, were here", "he, was here"]


def test_the_rules_are_frequencies(world, loaded):
    _, tokenizer = loaded
    rules = Frequencies(tokenizer, world / "model" / "data")
    from tinyalbert.pretraining.shards import Shards
    shards = Shards(world / "model" / "data")
    own = np.exp(shards.log_frequencies())
    sentences = [sentence.tolist() for number in range(shards.meta["documents"]) for sentence in shards.document(number)]
    text = "the dog was old"
    ids = tokenizer.encode_batch_ids([text])[0].tolist()
    expected = np.log(own[ids[0]])
    for first, second in zip(ids, ids[1:]):
        pairs = sum(1 for s in sentences for a, b in zip(s, s[1:]) if (a, b) == (first, second))
        firsts = sum(1 for s in sentences for a in s[:-1] if a == first)
        expected += np.log(BIGRAM_SHARE * (pairs / firsts if firsts else 0) + (1 - BIGRAM_SHARE) * own[second])
    scores = rules.scores([text, "the the"])
    assert scores["bigram frequencies"][0] == pytest.approx(expected, rel=1e-9)
    assert scores["piece frequencies"][0] == pytest.approx(np.log(own[ids]).sum(), rel=1e-9)
    assert Frequencies(tokenizer).rules == ["piece frequencies"]


def test_the_verdict_is_how_often_the_good_one_is_likelier(world, loaded):
    model, tokenizer = loaded
    sets = read_sets(world / "sets")
    rows = judge(model, tokenizer, sets, world / "model" / "data")
    scores = pseudo_log_likelihood(model, tokenizer, sets[0].texts, whole_words=True)[0]
    right = np.mean([good > bad for bad, good in scores.reshape(-1, 2)])
    assert [row["model"] for row in rows] == pytest.approx([right] * 4) and rows[-1]["pairs"] == 9
    swapped = [each._replace(texts=[t for bad, good in zip(each.texts[::2], each.texts[1::2]) for t in (good, bad)]) for each in sets]
    for row, other in zip(rows, judge(model, tokenizer, swapped, world / "model" / "data")):
        for name in ("model", "piece frequencies", "bigram frequencies"):
            assert row[name] + other[name] == pytest.approx(1)


@given(st.lists(st.sampled_from([t for pair in PAIRS for t in pair]), min_size=1, max_size=5), st.integers(1, 40), st.integers(1, 3))
def test_batches_and_threads_change_no_score(loaded, texts, batch_size, threads):
    model, tokenizer = loaded
    expected = [pseudo_log_likelihood(model, tokenizer, [text], True)[0][0] for text in texts]
    got = pseudo_log_likelihood(model, tokenizer, texts, True, batch_size, threads)[0]
    np.testing.assert_allclose(got, expected, atol=1e-4)


def test_a_model_behind_a_rule_is_told():
    rows = [{"set": "mean of 1", "pairs": 3, "model": 0.5, "piece frequencies": 0.4, "bigram frequencies": 0.6}]
    assert behind(rows) == "the model stays behind bigram frequencies: 50.0% to 60.0%"
    assert behind([{**rows[0], "model": 0.6}]) is None


def test_from_the_command_line(world, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(world)
    assert main(["judge", "model", "sets", "sets/c.tsv", "--first", "2", "--output", str(tmp_path / "said.tsv")]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0].split()[:2] == ["pairs", "model"] and "mean of 4" in out and "bigram" in out
    assert len((tmp_path / "said.tsv").read_text().splitlines()) == 6
    for command, words in ((["judge", "model", "nothing.txt"], "nothing.txt"), (["judge", "vocabulary", "sets"], "vocabulary")):
        assert main(command) == 2 and words in capsys.readouterr().err
