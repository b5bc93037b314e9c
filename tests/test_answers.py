"""The commands that ask pretrained models: whatever the texts come in, the same answers, as a table or as JSON lines."""

import csv
import io
import json
import shlex

import pytest

from tinyalbert import (
    AlbertConfig,
    AlbertForPreTraining,
    AlbertForQuestionAnswering,
    AlbertForSequenceClassification,
    AlbertTokenizer,
)
from tinyalbert.cli import main

TEXTS = ["The old [MASK] ran, it was late. Rain fell.", "She found a [MASK]. Nobody knew; it rained."]
COMMANDS = {
    "fill-mask": "fill-mask stories {} --top-k 2 --targets old dog the",
    "sentence-order": "sentence-order stories {}",
    "score": "score stories {}",
    "zero-shot": "zero-shot nli {} --labels 'the barn,a key'",
    "ask": "ask answers {} --documents book.txt --top-k 2",
}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Three models of random weights, and texts in files."""
    folder = tmp_path_factory.mktemp("world")
    tokenizer = AlbertTokenizer.train([" ".join(TEXTS), "Anna found a key in the old barn, or the dog."] * 9, 45)
    config = AlbertConfig.preset("tiny", vocab_size=tokenizer.vocab_size, max_position_embeddings=80)
    tokenizer.model_max_length = 80
    for name, kind, each in (("stories", AlbertForPreTraining, config),
                               ("nli", AlbertForSequenceClassification, config.with_labels(["contradiction", "entailment"])),
                               ("answers", AlbertForQuestionAnswering, config)):
        kind(each, seed=1).save_pretrained(folder / name, tokenizer)
    write(folder)
    return folder


def write(folder):
    """The same two texts in every kind of file that people have."""
    (folder / "book.txt").write_text("Anna found a key in the old barn.\n\nNobody knew it. It rained.\n")
    (folder / "lines.txt").write_text("\n".join(TEXTS) + "\n")
    (folder / "array.json").write_text(json.dumps([{"text": text} for text in TEXTS]))
    (folder / "objects.jsonl").write_text("".join(json.dumps({"id": 1, "review": text}) + "\n" for text in TEXTS))
    for name, delimiter in (("t.tsv", "\t"), ("t.csv", ","), ("t.dat", ";")):
        with open(folder / name, "w", newline="") as file:
            csv.writer(file, delimiter=delimiter).writerows([["nr", "Sentence"], *([i, text] for i, text in enumerate(TEXTS))])


def objects(out):
    return [json.loads(line) for line in out.splitlines()]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_source_gets_the_same_answers(name, world, monkeypatch, capsys):
    if name == "ask":
        pytest.importorskip("bm25s")
    monkeypatch.chdir(world)
    sources = [shlex.join(TEXTS), "lines.txt", "array.json", "objects.jsonl", "t.tsv", "t.csv", "t.dat", "-"]
    answers = []
    for source in sources:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO((world / "t.csv").read_bytes())))
        assert main(shlex.split(COMMANDS[name].format(source) + " --json")) == 0, capsys.readouterr().err
        answers.append(objects(capsys.readouterr().out))
    assert len(answers[0]) == 2
    for source, other in zip(sources, answers):
        # what stands alone in its batch differs in the last digits
        assert json.dumps(rounded(other)) == json.dumps(rounded(answers[0])), source


def rounded(value):
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, dict):
        return {name: rounded(each) for name, each in value.items()}
    return [rounded(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", COMMANDS)
def test_a_table_and_json_lines_say_the_same(name, world, monkeypatch, capsys, tmp_path):
    if name == "ask":
        pytest.importorskip("bm25s")
    monkeypatch.chdir(world)
    command = COMMANDS[name].format("t.tsv")
    for output in ("x.jsonl", "x.csv", "x.tsv"):
        assert main(shlex.split(f"{command} --output {tmp_path / output}")) == 0
    assert main(shlex.split(f"{command} --output -")) == 0
    assert capsys.readouterr().out == (tmp_path / "x.tsv").read_text()
    assert main(shlex.split(f"{command} --json --output {tmp_path / 'x.out'}")) == 0
    assert (tmp_path / "x.out").read_text() == (tmp_path / "x.jsonl").read_text()
    rows = list(csv.DictReader(io.StringIO((tmp_path / "x.csv").read_text())))
    records = objects((tmp_path / "x.jsonl").read_text())
    assert [row["index"] for row in rows] == sorted(row["index"] for row in rows) and {row["index"] for row in rows} == {"0", "1"}
    assert {row.get("text", row.get("question")) for row in rows} == set(TEXTS)
    assert [next(each[key] for key in ("text", "sequence", "question") if key in each) for each in records] == TEXTS
    if name in ("score", "sentence-order"):
        assert [float(row["score"]) for row in rows] == pytest.approx([each["score"] for each in records], abs=1e-4)


@pytest.mark.parametrize("command, words", [
    ("fill-mask stories lines2.txt", ["lines2.txt", "no file"]),
    ("fill-mask stories unmasked.txt", ["unmasked.txt, line 2", "[MASK]", "--skip-bad-rows"]),
    ("sentence-order stories unmasked.txt", ["unmasked.txt, line 1", "one sentence"]),
    ("score stories t.tsv --text-column body", ["no column 'body'", "nr, Sentence"]),
    ("score stories t.tsv --output t.tsv", ["t.tsv is the table itself"]),
    ("score stories", ["text is missing"]),
])
def test_a_mistake_names_its_line(command, words, world, monkeypatch, capsys):
    monkeypatch.chdir(world)
    (world / "unmasked.txt").write_text("The [MASK] ran.\nIt was late.\n")
    assert main(shlex.split(command)) == 2
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert all(word in message for word in words), message


def test_bad_rows_may_be_left_out(world, monkeypatch, capsys):
    monkeypatch.chdir(world)
    (world / "unmasked.txt").write_text("The [MASK] ran.\nIt was late.\nThe [MASK].\n")
    assert main(shlex.split("fill-mask stories unmasked.txt --skip-bad-rows --json")) == 0
    out, err = capsys.readouterr()
    assert [each["text"] for each in objects(out)] == ["The [MASK] ran.", "The [MASK]."]
    assert "1 bad rows were left out" in err and "unmasked.txt, line 2" in err


@pytest.mark.parametrize("output", ["", " --json", " --output never.tsv"])
def test_a_source_without_a_row_that_can_be_used_is_refused(output, world, monkeypatch, capsys):
    monkeypatch.chdir(world)
    (world / "unmasked.txt").write_text("It was late.\nRain fell.\n")
    assert main(shlex.split(f"fill-mask stories unmasked.txt --skip-bad-rows{output}")) == 2
    out, err = capsys.readouterr()
    assert not out and not (world / "never.tsv").exists()
    assert "no row can be used" in err and "unmasked.txt, line 2" in err
