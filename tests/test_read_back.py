"""What we write we can read, whatever texts and labels hold; the same label is the same in any spelling; no label that
training needs is held out.
"""

import json
import re
import subprocess
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyalbert.config import AlbertConfig
from tinyalbert.errors import UserError
from tinyalbert.tasks.classification import Classification
from tinyalbert.tasks.examples import training_and_held_out
from tinyalbert.tasks.multi_label import MultiLabel
from tinyalbert.tasks.ner import Ner
from tinyalbert.tasks.options import TableSettings
from tinyalbert.tasks.regression import Regression
from tinyalbert.tasks.tables import read_table

# what files use as signs, and what can't be written as it is
SIGNS = [*"ab \"',;|\t\n\r\\{}[]_=:#-<>é漢😀\x0b\x0c\x1c\x85\u2028\xa0\ufeff\0.10", "\ud800", "\udcff", "  ", "\r\n", '""', "p(",
         "__label__", "-DOCSTART-", "text", "label", "index", "prediction", "null", "O", "B-X", "true", "1.0"]
WORD = st.lists(st.sampled_from(SIGNS), min_size=1, max_size=5).map("".join)
FEW = settings(max_examples=max(4, settings.default.max_examples // 4))
ROWS = st.lists(st.tuples(WORD, WORD, st.integers(0, 2)), min_size=3, max_size=8)


def tidy(text):
    return text and " ".join(text.split())


@pytest.mark.parametrize("Task", [Classification, MultiLabel])
@FEW
@given(rows=ROWS, labels=st.lists(WORD, min_size=3, max_size=3), paired=st.booleans())
def test_predictions_are_read_as_a_labelled_table(tmp_path_factory, Task, rows, labels, paired):
    folder = tmp_path_factory.mktemp("t")
    records = [{"text": text, **({"text_pair": pair} if paired else {}), "label": labels[i]} for text, pair, i in rows]
    if Task is MultiLabel:
        records = [{**record, "label": [record["label"], labels[0]]} for record in records]
    (folder / "in.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    task = Task(Task.Settings(skip_bad_rows=True))
    try:
        examples = task.read(folder / "in.jsonl", "train")
        task.fit(examples)
    except (UserError, IndexError):       # one label is left, or none: nothing to learn
        return
    predictions = np.eye(len(task.labels))[[i % len(task.labels) for i in range(len(examples))]]
    for kind in (".tsv", ".csv", ".jsonl"):
        task.write(folder / f"out{kind}", examples, predictions)
        reader = Task()
        reader.restore(task.configure(AlbertConfig()))
        back = reader.read(folder / f"out{kind}", "test")
        assert [(tidy(row.text), tidy(row.pair), row.label) for row in back] == [
            (tidy(row.text), tidy(row.pair), row.label) for row in examples]
        assert reader.score(back, predictions) == task.score(examples, predictions)
        assert len(reader.read(folder / f"out{kind}", "predict")) == len(examples)


@FEW
@given(rows=ROWS, numbers=st.lists(st.floats(-1e6, 1e6), min_size=8, max_size=8))
def test_predicted_numbers_are_read_as_a_table(tmp_path_factory, rows, numbers):
    folder = tmp_path_factory.mktemp("t")
    lines = [{"text": f"a{text}", "label": number} for (text, *_), number in zip(rows, numbers)]
    (folder / "in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    task = Regression()
    examples = task.read(folder / "in.jsonl", "train")
    for kind in (".tsv", ".csv", ".jsonl"):
        task.write(folder / f"out{kind}", examples, numbers[: len(examples)])
        back = Regression().read(folder / f"out{kind}", "test")
        assert [(tidy(row.text), row.label) for row in back] == [(tidy(row.text), row.label) for row in examples]


@FEW
@given(sentences=st.lists(st.lists(st.tuples(WORD, st.sampled_from(["O", "B-X", "B-a type", "I-X"])), min_size=1, max_size=5),
                          min_size=1, max_size=4))
def test_predicted_tags_are_read_as_columns_and_as_json(tmp_path_factory, sentences):
    folder = tmp_path_factory.mktemp("t")
    records = [{"tokens": [f"w{word}" for word, _ in each], "tags": [tag for _, tag in each]} for each in sentences]
    (folder / "in.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    task = Ner()
    task.finds_entities = True
    examples = task.read(folder / "in.jsonl", "train")
    task.fit(examples)
    said = [SimpleNamespace(tags=["O"] * len(example.words)) for example in examples]
    for kind in (".tsv", ".jsonl"):
        task.write(folder / f"out{kind}", examples, said)
        reader = Ner()
        reader.finds_entities = True
        back = reader.read(folder / f"out{kind}", "test")
        assert [example.tags for example in back] == [example.tags for example in examples]


# ---- one label in several spellings

@pytest.mark.parametrize("spellings, names", [
    (["1", "1.0", "0", "0.0"], ["0", "1"]), (["true", "True", "FALSE"], ["false", "true"]),
    (["very  good", "very good", "bad"], ["bad", "very good"]), (["x", "1.0", "1"], ["1", "x"]),
    (["-1.0", "-1", "10.00"], ["-1", "10"]), (["v1.0", "v1"], ["v1", "v1.0"]), (["01", "1"], ["01", "1"]),
])
@pytest.mark.parametrize("kind", [".csv", ".jsonl", ".json"])
def test_spellings_of_a_label_are_one_label(tmp_path, kind, spellings, names):
    rows = [{"text": f"word {i}", "label": label} for i, label in enumerate(spellings * 3)]
    lines = {".csv": "text,label\n" + "".join(f"{row['text']},{row['label']}\n" for row in rows),
             ".jsonl": "".join(json.dumps(row) + "\n" for row in rows), ".json": json.dumps(rows)}
    (tmp_path / f"t{kind}").write_text(lines[kind])
    task = Classification()
    task.fit(task.read(tmp_path / f"t{kind}", "train"))
    assert sorted(task.labels) == sorted(names)


def test_numbers_and_truth_values_of_json_are_the_labels_of_a_csv(tmp_path):
    (tmp_path / "t.json").write_text(json.dumps([{"text": "a", "label": label} for label in (1, 1.0, 0, 0.0, True, False)]))
    assert [row.label for row in Classification().read(tmp_path / "t.json", "train")] == ["1", "1", "0", "0", "true", "false"]


def test_a_model_keeps_its_own_spelling(tmp_path):
    """As a folder of transformers may have it."""
    task = Classification()
    task.restore(AlbertConfig().with_labels(["0.0", "1.0", "True"]))
    (tmp_path / "t.csv").write_text("text,label\na,1\nb,0.0\nc,0\nd,true\n")
    examples = task.read(tmp_path / "t.csv", "test")
    assert [row.label for row in examples] == ["1.0", "0.0", "0.0", "True"]
    assert [int(task.target(row)) for row in examples] == [1, 0, 0, 2]


# ---- the held-out tenth

@given(counts=st.lists(st.sampled_from([1, 1, 2, 3, 30]), min_size=2, max_size=6), seed=st.integers(0, 50))
def test_no_label_is_held_out_alone(tmp_path_factory, counts, seed):
    folder = tmp_path_factory.mktemp("t")
    labels = [f"l{i}" for i, count in enumerate([*counts, 20]) for _ in range(count)]
    np.random.default_rng(seed).shuffle(labels)
    (folder / "t.tsv").write_text("text\tlabel\n" + "".join(f"word {i}\t{label}\n" for i, label in enumerate(labels)))
    said = []
    options = SimpleNamespace(train=folder / "t.tsv", dev=None, seed=seed)
    train, held_out = training_and_held_out(Classification(), options, said.append)
    assert {row.label for row in train} == set(labels)
    assert len(held_out) == max(1, len(labels) // 10) and len(train) + len(held_out) == len(labels)
    alone = sorted(label for label, count in Counter(labels).items() if count == 1)
    assert said == ([f"labels of one row each, which is trained on and not held out: {', '.join(alone)}"] if alone else [])


@pytest.mark.parametrize("task, name, line", [
    (MultiLabel(), "t.tsv", lambda i: f"word {i}\t{'a,b' if i % 3 else 'b'}{',rare' if i == 4 else ''}\n"),
    (Ner(), "t.conll", lambda i: f"the O\ndog{i} B-{'RARE' if i == 4 else 'X'}\n\n"),
    (Ner(), "tags.conll", lambda i: f"the DT\ndog{i} {'RARE' if i == 4 else 'NN'}\n\n"),
])
def test_other_tasks_too_train_on_what_is_there_once(tmp_path, task, name, line):
    """Whichever rows the seed would draw."""
    (tmp_path / name).write_text(("text\tlabel\n" if name.endswith("tsv") else "") + "".join(line(i) for i in range(20)))
    for seed in range(30):
        options = SimpleNamespace(train=tmp_path / name, dev=None, seed=seed)
        train, held_out = training_and_held_out(task, options, lambda line: None)
        assert len(held_out) == 2
        assert any("rare" in str(kind).lower() for example in train for kind in task.kinds(example))


# ---- what programs write, and what is printed where nothing can be told

@pytest.mark.parametrize("value", [
    {"columns": ["text", "label"], "index": [0, 1], "data": [["a b", 1], ["c, d", 0]]},
    {"0": {"text": "a b", "label": 1}, "1": {"text": "c, d", "label": 0}},
    {"text": {"0": "a b", "1": "c, d"}, "label": {"0": 1, "1": 0}},
    {"schema": {"fields": []}, "data": [{"index": 0, "text": "a b", "label": 1}, {"index": 1, "text": "c, d", "label": 0}]},
    [{"text": "a b", "label": 1}, {"text": "c, d", "label": 0}],
])
@pytest.mark.parametrize("indent", [None, 1])
def test_tables_in_json_as_pandas_writes_them(tmp_path, value, indent):
    (tmp_path / "t.json").write_text(json.dumps(value, indent=indent))
    assert [(row.text, row.label) for row in read_table(tmp_path / "t.json")] == [("a b", "1"), ("c, d", "0")]


def test_a_table_of_markdown(tmp_path):
    (tmp_path / "t.md").write_text("| text | label |\n|------|:---:|\n| a b | 1 |\n| --- | 0 |\n")
    assert [(row.text, row.label) for row in read_table(tmp_path / "t.md")] == [("a b", "1"), ("---", "0")]


@pytest.mark.parametrize("text, mended", [
    ("1 A fine film.\n0 A bad film.\n1 Nice.\n0 No.\n", ("A fine film.", "1")),
    ("pos A fine film.\nneg A bad film.\npos Nice.\nneg No.\n", ("A fine film.", "pos")),
    ('[["A fine film.", 1], ["A bad film.", 0], ["Nice.", 1], ["No, no.", 0]]', ("A fine film.", "1")),
])
def test_the_command_for_a_table_without_columns_makes_one(tmp_path, text, mended):
    name = "t.json" if text.startswith("[") else "t.txt"
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError) as refusal:
        read_table(tmp_path / name)
    command = re.search(r"((?:jq|sed) .*?'[^>)]*?'?)( makes|[ >].*labelled.tsv)", str(refusal.value))
    program = command[1] + command[2] if "labelled" in command[2] else f"{command[1]} {tmp_path / name} > labelled.tsv"
    try:
        subprocess.run(program, shell=True, check=True, cwd=tmp_path)
    except subprocess.CalledProcessError:
        pytest.skip("without jq")
    rows = read_table(tmp_path / "labelled.tsv")
    assert len(rows) == 4 and (rows[0].text, rows[0].label) == mended


def test_named_columns_say_that_the_first_line_is_a_row(tmp_path):
    (tmp_path / "t.csv").write_text("Satz;Klasse\nDas ist gut;1\nDas ist schlecht;0\n")
    said = []
    assert len(read_table(tmp_path / "t.csv", TableSettings(columns="text,label"), say=said.append)) == 3
    assert "the first line is the first row" in said[0]
