"""Paragraphs with their places in any text, and search over them: the best, in order, as the command prints it."""

import functools
import io
import json
import shlex
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyalbert import AlbertConfig, AlbertForPreTraining
from tinyalbert.cli import main
from tinyalbert.errors import UserError
from tinyalbert.options import make
from tinyalbert.pretraining.pretrain import train_tokenizer
from tinyalbert.tasks.documents import read_paragraphs, split_paragraphs
from tinyalbert.tasks.options import SearchOptions
from tinyalbert.tasks.search import searcher
from tinyalbert.tasks.text_files import read_text

TEXT = st.text(st.one_of(st.sampled_from(" \t\n\r\u2028ab"), st.characters(exclude_categories=("Cs",))), max_size=60)


@given(TEXT)
def test_paragraphs_stand_in_the_text_and_nothing_is_lost(text):
    paragraphs = split_paragraphs(text, "f")
    rest, place = "", 0
    for each in paragraphs:
        assert text[each.start:each.start + len(each.text)] == each.text == each.text.strip() != ""
        assert each.start >= place and each.line == 1 + lines(text[:each.start])
        rest += text[place:each.start]
        place = each.start + len(each.text)
    assert (rest + text[place:]).strip() == ""


def lines(text):
    return text.replace("\r\n", "\n").replace("\r", "\n").count("\n")


@given(st.lists(st.sampled_from(["a b", "c\nd", "e\r\nf"]), min_size=1), st.sampled_from(["\n\n", "\r\n\r\n", "\n \t\n\n", "\r\r"]))
def test_blank_lines_part_paragraphs_and_line_ends_do_not(parts, blank):
    assert [each.text for each in split_paragraphs(blank.join(parts))] == parts


@pytest.fixture
def texts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "texts" / "more").mkdir(parents=True)
    (tmp_path / "texts" / ".hidden").mkdir()
    (tmp_path / "texts" / "a.txt").write_bytes(b"\xef\xbb\xbfThe dog.\r\n\r\nThe old key.\r\n")
    (tmp_path / "texts" / "more" / "b.md").write_text("A garden.\n\nThe dog.")
    (tmp_path / "texts" / "picture.png").write_bytes(b"\x89\xff")
    (tmp_path / "texts" / ".hidden" / "c.txt").write_text("no")
    return tmp_path


def test_the_texts_of_a_folder_are_read(texts):
    found = [(Path(p.file).name, p.line, p.text) for p in read_paragraphs("texts")]
    assert found == [("a.txt", 1, "The dog."), ("a.txt", 3, "The old key."), ("b.md", 1, "A garden."), ("b.md", 3, "The dog.")]
    assert [p.start for p in read_paragraphs("texts/a.txt")] == [0, 12]
    assert read_text("texts/a.txt")[12:24] == "The old key."


@pytest.mark.parametrize("source, words", [("nothing", "there is no nothing"), ("texts/picture.png", "picture.png, line 1: not UTF-8"),
                                           ("empty", "has no text, only white space; expected paragraphs")])
def test_what_has_no_text_is_refused(source, words, texts):
    (texts / "empty").mkdir()
    (texts / "empty" / "blank.txt").write_text("\n \n")
    with pytest.raises(UserError, match=words):
        read_paragraphs(source)


@functools.cache
def model():
    path = Path(tempfile.mkdtemp()) / "model"
    tokenizer = train_tokenizer(["stories:60"], 200, str(path))
    config = AlbertConfig.preset("tiny", vocab_size=tokenizer.vocab_size, initializer_range=0.2)
    AlbertForPreTraining(config, seed=1).save_pretrained(path, tokenizer=tokenizer)
    return str(path)


def test_the_best_are_found_and_the_best_k_begin_the_best_k_and_one(texts):
    said = []
    ways = [searcher(make(SearchOptions, {"model": model(), "documents": "texts", "top_k": k, "threads": 1}), said.append)(["The old key."])[0]
            for k in (1, 2, 3, 9)]
    assert [way == ways[-1][:len(way)] for way in ways] == [True] * 4
    assert [len(way) for way in ways] == [1, 2, 3, 3]                      # "The dog." stands twice: the first counts
    best = ways[0][0]
    assert best["text"] == "The old key." and best["score"] == pytest.approx(1, abs=1e-6) and best["start"] == 12
    scores = [each["score"] for each in ways[-1]]
    assert scores == sorted(scores, reverse=True)
    assert [each["file"] for each in ways[-1] if each["text"] == "The dog."] == ["a.txt"]
    assert any("not fine-tuned for embeddings" in line for line in said)


def test_the_commands(texts, monkeypatch, capsys):
    assert main(shlex.split(f"search {model()} texts 'The old key.' --top-k 1 --threads 1")) == 0
    assert capsys.readouterr().out == "The old key.\n  1.000  a.txt, line 3\n         The old key.\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"The dog.\nA garden.\n")))
    assert main(shlex.split(f"embed {model()} - --output v.npy --threads 1")) == 0
    capsys.readouterr()
    assert main(shlex.split(f"embed {model()} 'The dog.' --output - --threads 1")) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    (texts / "t.csv").write_text("text,n\nThe dog.,1\nA garden.,2\n")
    assert main(shlex.split(f"embed {model()} t.csv --output v.tsv --threads 1")) == 0
    rows = [line.split("\t") for line in (texts / "v.tsv").read_text().splitlines()]
    np.testing.assert_allclose([list(map(float, row[1:])) for row in rows[1:]], np.load("v.npy"), atol=1e-6)
    assert np.load("v.npy").shape == (2, 64) and rows[0][:2] == ["index", "v0"]
    assert "2 vectors in v.tsv" in capsys.readouterr().out
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"The dog.\n\n")))
    assert main(shlex.split(f"embed {model()} - --output v.npy --threads 1")) == 0
    assert np.load("v.npy").shape == (1, 64)             # an empty line of a stream is no text
    capsys.readouterr()
    (texts / "gap.txt").write_text("The dog.\n\nA garden.\n")
    assert main(shlex.split(f"embed {model()} gap.txt --output v.npy --threads 1")) == 2
    assert "gap.txt, line 2: empty" in capsys.readouterr().err
    assert main(shlex.split(f"search {model()} texts ' '")) == 2
    assert "the query is empty" in capsys.readouterr().err


def test_search_takes_a_table_lines_or_the_standard_input(texts, monkeypatch, capsys):
    (texts / "t.csv").write_text("n,query\n1,The old key.\n2,A garden.\n")
    (texts / "lines.txt").write_text("The old key.\nA garden.\n")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"The old key.\nA garden.\n")))
    first = None
    for number, source in enumerate(("t.csv --text-column query", "lines.txt", "", "'The old key.' 'A garden.'")):
        assert main(shlex.split(f"search {model()} texts {source} --top-k 2 --threads 1 --output {number}.jsonl")) == 0
        said = [json.loads(line) for line in (texts / f"{number}.jsonl").read_text().splitlines()]
        scores = [each.pop("score") for query in said for each in query["paragraphs"]]
        first = first or (said, scores)
        assert said == first[0] and scores == pytest.approx(first[1], abs=1e-6)
    assert [each["paragraphs"][0]["text"] for each in said] == [each["query"] for each in said] == ["The old key.", "A garden."]
    assert main(shlex.split(f"search {model()} texts lines.txt --top-k 2 --threads 1 --output said.tsv")) == 0
    table = [line.split("\t") for line in (texts / "said.tsv").read_text().splitlines()]
    assert table[0] == ["index", "query", "score", "text", "file", "start", "line"] and len(table) == 5
