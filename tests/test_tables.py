"""Tables of labelled rows: what was written is what is read, however a spreadsheet wrote it."""

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyalbert.errors import UserError
from tinyalbert.tasks.classification import label_names
from tinyalbert.tasks.regression import Regression
from tinyalbert.tasks.tables import Row, read_table
from tinyalbert.tasks.texts import read_rows

CELLS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\t\r\n\0"), max_size=30).map(str.strip)
LABELS = st.text("ab12 -é", min_size=1, max_size=5).filter(str.strip)


def written(kind, columns, rows, ends):
    """A table as text; in a CSV and in JSON cells may have lines of their own."""
    if kind == ".jsonl":
        return "".join(json.dumps(dict(zip(columns, row))) + ends for row in rows)
    if kind == ".tsv":
        return "".join("\t".join(row) + ends for row in [columns, *rows])
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator=ends).writerows([columns, *rows])
    return file.getvalue()


@given(st.data(), st.sampled_from([".tsv", ".csv", ".jsonl"]), st.sampled_from(["\n", "\r\n"]), st.booleans(), st.booleans())
def test_rows_are_read_as_they_were_written(tmp_path_factory, data, kind, ends, bom, open_end):
    """With and without a byte order mark, Windows line ends, a last line end; columns in any order."""
    cells = CELLS if kind == ".tsv" else st.lists(CELLS, max_size=3).map("\n".join).map(str.strip)
    rows = data.draw(st.lists(st.tuples(cells, cells, LABELS), min_size=1, max_size=8))
    order = data.draw(st.permutations([0, 1, 2]))
    columns = ["sentence1", " sentence2", "label "] if kind != ".jsonl" else ["sentence1", "sentence2", "label"]
    text = written(kind, *([[row[i] for i in order] for row in part] if part is rows else [part[i] for i in order]
                           for part in (columns, rows)), ends)
    path = tmp_path_factory.mktemp("t") / f"table{kind}"
    path.write_bytes(b"\xef\xbb\xbf" * bom + (text.removesuffix(ends) if open_end else text).encode())
    said = []
    assert [(r.text, r.pair, r.label) for r in read_table(path, say=said.append)] == [
        (a, b, label.strip()) for a, b, label in rows]
    assert said == [f"{path}: text from 'sentence1', second text from 'sentence2', label from 'label'"]


def test_columns_that_are_not_used_are_named(tmp_path):
    (tmp_path / "qnli.tsv").write_text("index\tquestion\tsentence\tlabel\n0\twhy?\tso\tyes\n")
    said = []
    read_table(tmp_path / "qnli.tsv", say=said.append)
    assert said[0].endswith("text from 'sentence', label from 'label'; not used: 'index', 'question'")


def test_a_book_may_stand_in_one_cell(tmp_path):
    (tmp_path / "t.csv").write_text("text,label\n" + "word " * 100_000 + ",1\n")
    assert len(read_table(tmp_path / "t.csv")[0].text) == 499_999


@pytest.mark.parametrize("name, text, words", [
    ("t.csv", 'text,label\nfine,1\n"open,0\n', ["line 3", "not a readable table"]),
    ("t.jsonl", '{"text": ["a", "list"], "label": 1}\n', ["line 1", "['a', 'list']", "expected a text"]),
    ("t.csv", b"text,label\ncaf\xe9,1\n", ["not UTF-8", "iconv"]),
])
def test_a_damaged_table_is_refused_with_its_line(tmp_path, name, text, words):
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError) as refusal:
        read_table(tmp_path / name)
    assert all(word in str(refusal.value) for word in words), refusal.value


def test_a_folder_is_no_table(tmp_path):
    with pytest.raises(UserError, match="is a folder"):
        read_table(tmp_path)


def rows(*labels):
    return [Row("text", None, label, f"line {i}") for i, label in enumerate(labels)]


@pytest.mark.parametrize("labels, names", [(("10", "9", "-1"), ["-1", "9", "10"]), (("²", "³"), ["²", "³"]),
                                           (("--1", "-"), ["-", "--1"]), (("b b", "a"), ["a", "b b"])])
def test_labels_are_sorted_as_numbers_if_all_of_them_are(labels, names):
    assert label_names(rows(*labels)) == names


@pytest.mark.parametrize("bad", ["nan", "inf", "-inf", "1e99", "five", ""])
def test_regression_needs_finite_numbers(bad):
    with pytest.raises(UserError, match="line 2"):
        [Regression().target(row) for row in rows("1", "2.5", bad)]


@pytest.mark.parametrize("count", ["0", "x", "²"])
def test_a_number_of_built_in_rows_is_a_number(count):
    with pytest.raises(UserError, match="above 0"):
        read_rows(f"stories:topic:{count}")
