"""scripts/board.py: one suite for every folder, a row for each; scripts/bodies.py: other bodies of text."""

import json
import os
import random
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))
import board
import bodies

from tinyalbert import AlbertConfig, AlbertForPreTraining, UserError
from tinyalbert.pretraining.preparation import train_tokenizer

DEEP = os.environ.get("HYPOTHESIS_PROFILE") == "deep"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("board") / "model"
    tokenizer = train_tokenizer(["stories:40"], 200, folder, progress=False)
    config = AlbertConfig.preset("tiny", vocab_size=tokenizer.vocab_size)
    AlbertForPreTraining(config, seed=1).save_pretrained(folder, tokenizer=tokenizer)
    return folder


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A text, pairs and questions in the places of the published ones; the other sets are missing."""
    root = tmp_path / "data"
    for place, text in {
            "wikitext2/valid.txt": "The dog was old. It slept all day.\n\nA boat came home. The sea was calm.\n",
            "zorro/agreement.txt": "the dog are old\nthe dog is old\nthe cats is wet\nthe cats are wet\n",
            "trec/TREC.train": "".join(f"{'HUM:ind who was' if i % 2 else 'LOC:city where is'} it {i} ?\n" for i in range(20)),
            "trec/TREC.test": "HUM:ind who is it ?\nLOC:city where was it ?\n"}.items():
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_text(text)
    monkeypatch.setenv("TINYALBERT_DATA", str(root))
    return root


@pytest.mark.skipif(not DEEP, reason="fine-tunes, which takes seconds: HYPOTHESIS_PROFILE=deep")
def test_a_row_is_made_of_what_is_there_and_nothing_is_done_twice(folder, data, tmp_path, monkeypatch, capsys):
    words = [str(folder), "--quick", "--threads", "1", "--name", "one", "--output", str(tmp_path / "runs"), "--table", str(tmp_path / "board")]
    assert board.main(words) == 0
    said = capsys.readouterr().out
    assert "no summ/article in" in said and "no log.jsonl" in said and "no sst2/train.tsv" in said
    rows = {row["name"]: row for row in map(json.loads, (tmp_path / "board.jsonl").read_text().splitlines())}
    assert set(rows) == {"one", "TF-IDF with a linear model", "bag of words with a linear model"}
    assert {"parameters", "products a token", "WikiText-2, nats a word", "Zorro", "TREC"} == set(rows["one"]) - {"name"}
    assert 0 <= rows["bag of words with a linear model"]["TREC"] <= 1
    page = (tmp_path / "board.md").read_text()
    titles = next(line for line in page.splitlines() if line.startswith("|"))
    assert "| one |" in page and "WikiText-2, nats a word" in titles and "SST-2" not in titles and "Made with --quick" in page
    assert (tmp_path / "board.png").is_file()
    monkeypatch.setattr(board, "evaluate_text", None)
    monkeypatch.setattr(board, "judge", None)
    assert board.main(words) == 0 and (tmp_path / "board.md").read_text() == page
    monkeypatch.setattr(board, "evaluate_text", lambda *_: {"loss_per_word": 2.0})
    monkeypatch.setattr(board, "judge", lambda *_, **__: [{"model": 0.5, board.FREQUENCIES: 0.5}])
    monkeypatch.delenv("TINYALBERT_DATA")
    assert board.main([*words[:4], *words[4:5], "two", *words[6:]]) == 0      # another row comes beside it, of sizes alone
    assert [json.loads(line)["name"] for line in (tmp_path / "board.jsonl").read_text().splitlines()][-1] == "two"


@given(values=st.lists(st.floats(0, 1), min_size=1, max_size=30), gap=st.floats(0.001, 0.2))
def test_names_keep_their_order_and_a_distance(values, gap):
    places = board.spread_out(values, gap)
    order = np.argsort(values, kind="stable")
    assert (np.diff(places[order]) >= gap - 1e-9).all()
    if len(values) == 1 or np.diff(np.sort(values)).min() >= gap:
        np.testing.assert_allclose(places, values, atol=1e-12)
    np.testing.assert_allclose(places.mean(), np.mean(values), atol=1e-12)     # of places between 0 and 1


def test_scores_of_one_mean_have_one_unit_and_a_quick_table_lies_apart():
    """SQuAD's F1 is published from 0 to 100, all others from 0 to 1."""
    assert board.PER_CENT == tuple(name for name, (task, *_) in board.TASKS.items() if task == "squad")
    assert board._arguments(["runs/x"]).table == board.TABLE
    assert board._arguments(["runs/x", "--quick"]).table == Path("runs/board/board")
    assert board.cell("parameters", 1_329_600) == "1.33" and board.cell("XQuAD", 0.5) == "0.500"


@pytest.mark.parametrize("text, told", [(None, "config.json"), ('{"model_type": "roberta"}', "model_type")])
def test_a_folder_that_is_no_albert_is_refused(text, told, tmp_path, capsys):
    (tmp_path / "m").mkdir()
    if text:
        (tmp_path / "m" / "config.json").write_text(text)
    assert board.main([str(tmp_path / "m"), "--table", str(tmp_path / "board")]) == 2
    assert told in capsys.readouterr().err and not (tmp_path / "board.md").exists()


def test_the_same_rows_and_articles_are_drawn_every_time(tmp_path):
    (tmp_path / "a.tsv").write_text("sentence\tlabel\n" + "".join(f"text {i}\t{i % 2}\n" for i in range(50)))
    drawn = [board.some_rows(tmp_path / "a.tsv", tmp_path / f"{i}.tsv", 10).read_text().splitlines() for i in range(2)]
    assert drawn[0] == drawn[1] and len(set(drawn[0])) == 11 and drawn[0][0] == "sentence\tlabel"
    (tmp_path / "q.json").write_text(json.dumps({"data": [{"title": str(i), "paragraphs": []} for i in range(20)]}))
    parts = [json.loads(p.read_text())["data"] for p in board.split_articles(tmp_path / "q.json", tmp_path, 12)]
    titles = [{article["title"] for article in part} for part in parts]
    assert [len(t) for t in titles] == [12, 8] and not titles[0] & titles[1]


# --- other bodies of text -----------------------------------------------------------------------------------

@given(seed=st.integers(0, 10_000))
def test_brackets_balance(seed):
    open_ = []
    for bracket in bodies.balanced_string(random.Random(seed)).split():
        if bracket in bodies.OPENING:
            open_.append(bodies.OPENING.index(bracket))
        else:
            assert bodies.CLOSING.index(bracket) == open_.pop()
    assert not open_


@given(introns=st.lists(st.tuples(st.integers(1, 300), st.integers(0, 120)), max_size=3), length=st.integers(1, 420))
def test_pieces_of_dna_lie_wholly_in_one_kind(introns, length):
    """Letters that are small in an intron tell it, as GenBank writes them."""
    spans = [(first, min(first + more, length)) for first, more in introns if first <= length]
    letters = [("g" if any(a <= i <= b for a, b in spans) else "G") for i in range(1, length + 1)]
    for bases, label in bodies.pieces("".join(letters), spans):
        assert len(bases) == bodies.BASES and set(bases) == {"g" if label == "intron" else "G"}


def test_genes_are_read_with_their_introns(tmp_path):
    (tmp_path / "g.fsa").write_text(">A GeneID:1\nACGT\nAC\n>B GeneID:2\nGG\n")
    (tmp_path / "introns.txt").write_text("1\tA\t2\t3\n9\tC\t1\t2\n")
    assert bodies.read_genes(tmp_path / "g.fsa") == {"A": ("ACGTAC", [(2, 3)]), "B": ("GG", [])}
    (tmp_path / "introns.txt").write_text("1\tA\t2\n")
    with pytest.raises(UserError, match="line 1: expected gene"):
        bodies.read_genes(tmp_path / "g.fsa")


@given(seed=st.integers(0, 999))
def test_neighbours_tell_what_they_have_seen(seed):
    """Against counting in a loop; what was not seen between both is told by one, or by frequency."""
    rng = np.random.default_rng(seed)
    strings = [rng.choice(list("abc"), rng.integers(1, 7)).tolist() for _ in range(6)]
    counts = bodies.neighbours_of(strings)
    for left in ["", *"abc"]:
        for right in ["", *"abc"]:
            seen = [m for s in strings for x, m, y in zip(["", *s], s, [*s[1:], ""]) if (x, y) == (left, right)]
            if seen:
                assert seen.count(bodies.guessed(counts, left, right)) == max(map(seen.count, seen))
            else:
                assert bodies.guessed(counts, left, right) in {m for s in strings for m in s}
    assert bodies.guessed(counts, "?", "?", "z") is None


def test_genes_that_are_not_there_are_asked_for(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("TINYALBERT_DATA", raising=False)
    assert bodies.main(["dna", "--output", str(tmp_path)]) == 2 and "--genes" in capsys.readouterr().err


@pytest.mark.skipif(not DEEP, reason="trains for seconds: HYPOTHESIS_PROFILE=deep")
@pytest.mark.parametrize("name, rows", [("dyck", ["ALBERT", "the two neighbours", "the truth | 1.000"]), ("dna", ["pretrained", "k-mers to 6"]),
                                        ("code", ["ALBERT", "the two neighbours"]), ("jargon", ["before", "gone on from it", "from random values"])])
def test_every_body_in_a_few_steps(name, rows, tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    genes = {f"G{i}": "".join(rng.choice(list("ACGT"), 600)) for i in range(30)}
    (tmp_path / "genes.fsa").write_text("".join(f">{g}\n{bases}\n" for g, bases in genes.items()))
    (tmp_path / "introns.txt").write_text("".join(f"1\t{g}\t100\t400\n" for g in genes))
    words = [name, "--quick", "--threads", "1", "--genes", str(tmp_path / "genes.fsa"), "--output", str(tmp_path / "out")]
    assert bodies.main(words) == 0
    text = (tmp_path / "out" / f"{name}.md").read_text()
    assert all(f"| {row}" in text for row in rows)
    monkeypatch.setattr(bodies, "pretrain", None)                # nothing is done twice
    assert bodies.main(words) == 0 and (tmp_path / "out" / f"{name}.md").read_text() == text
