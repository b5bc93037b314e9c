"""Tables of labelled rows: what was written is what is read, however a spreadsheet wrote it."""

import csv
import gzip
import io
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyalbert.errors import UserError
from tinyalbert.tasks.classification import label_names
from tinyalbert.tasks.finetune import _absolute
from tinyalbert.tasks.options import TableSettings
from tinyalbert.tasks.regression import Regression
from tinyalbert.tasks.tables import Row, read_table, write_table
from tinyalbert.tasks.task import BadRows
from tinyalbert.tasks.texts import story_texts

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
    (tmp_path / "qnli.tsv").write_text("index\tquestion\tsentence\tlabel\tby\n0\twhy?\tso\tyes\tme\n")
    said = []
    read_table(tmp_path / "qnli.tsv", say=said.append)
    assert said[0].endswith("text from 'question', second text from 'sentence', label from 'label'; not used: 'index', 'by'")


def test_commas_of_an_only_column_are_no_delimiters(tmp_path):
    (tmp_path / "t.csv").write_text('text\nwell, no\n"well, ""yes"""\n')
    assert [row.text for row in read_table(tmp_path / "t.csv", need_labels=False)] == ["well, no", 'well, "yes"']


def test_a_book_may_stand_in_one_cell(tmp_path):
    (tmp_path / "t.csv").write_text("text,label\n" + "word " * 100_000 + ",1\n")
    assert len(read_table(tmp_path / "t.csv")[0].text) == 499_999


# ---- any format, told by its content

TEXT = st.text(st.sampled_from("ab,;|é 漢\"'.?"), min_size=1, max_size=12).map(lambda t: f"w{t.strip()}")
NAMES = st.sampled_from(["ham", "spam", "very good"])
CONTENT = st.lists(st.tuples(NAMES, TEXT), min_size=6, max_size=12).filter(
    lambda rows: len({label for label, _ in rows}) > 1 and [label for label, _ in rows].count(rows[0][0]) > 1)


def quoted(rows, delimiter, header=None):
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=delimiter, lineterminator="\n").writerows([*([header] if header else []), *rows])
    return file.getvalue()


HEADER = ["category", "text"]
FORMATS = {
    "comma": lambda rows: quoted(rows, ",", HEADER),
    "semicolon": lambda rows: quoted(rows, ";", HEADER),
    "bar": lambda rows: quoted(rows, "|", HEADER),
    "bare tab": lambda rows: "".join(f"{a}\t{b}\n" for a, b in [HEADER, *rows]),
    "spreadsheet": lambda rows: quoted([[*row, "", ""] for row in rows], ",", [*HEADER, "", ""]) + ",,,\n\n",
    "JSON lines": lambda rows: "".join(json.dumps(dict(zip(HEADER, row))) + "\n" for row in rows),
    "array": lambda rows: json.dumps([dict(zip(HEADER, row)) for row in rows]),
    "indented array": lambda rows: json.dumps([dict(zip(HEADER, row)) for row in rows], indent=1),
    "inner array": lambda rows: json.dumps({"version": 1, "data": [dict(zip(HEADER, row)) for row in rows]}),
    "columns": lambda rows: json.dumps({name: list(values) for name, values in zip(HEADER, zip(*rows))}),
    "pandas": lambda rows: json.dumps({name: dict(enumerate(values)) for name, values in zip(HEADER, zip(*rows))}),
    "no header": lambda rows: "".join(f"{a}\t{b}\n" for a, b in rows),
    "no header, quoted": lambda rows: quoted(rows, ","),
    "fastText": lambda rows: "".join(f"__label__{a.replace(' ', '_')} {b}\n" for a, b in rows),
}


@pytest.mark.parametrize("kind", FORMATS)
@given(rows=CONTENT, encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]), zipped=st.booleans(),
       name=st.sampled_from(["t", "t.txt", "train.data", "t.tsv"]))
def test_a_file_is_read_as_it_is(tmp_path_factory, kind, rows, encoding, zipped, name):
    """Whatever its name, its delimiter, its encoding; with a header or without one, compressed or not."""
    data = FORMATS[kind](rows).encode(encoding)
    path = tmp_path_factory.mktemp("t") / (name + ".gz" * zipped)
    path.write_bytes(gzip.compress(data) if zipped else data)
    clean = [(label.replace(" ", "_"), " ".join(text.split())) if kind == "fastText" else (label, text) for label, text in rows]
    assert [(row.label, row.text) for row in read_table(path)] == clean


@given(rows=CONTENT, order=st.permutations(["label", "text", "_", "_"]), delimiter=st.sampled_from(["\t", ",", ";"]))
def test_columns_without_a_header_are_named(tmp_path_factory, rows, order, delimiter):
    """And remembered names read a file with a header too, and one without labels."""
    cells = [[{"label": label, "text": text, "_": "7"}[name] for name in order] for label, text in rows]
    folder = tmp_path_factory.mktemp("t")
    (folder / "bare").write_text(quoted(cells, delimiter))
    settings = TableSettings(columns=",".join(order))
    assert [(row.label, row.text) for row in read_table(folder / "bare", settings)] == rows
    (folder / "headed").write_text(quoted(rows, delimiter, ["label", "text"]))
    assert [(row.label, row.text) for row in read_table(folder / "headed", settings)] == rows
    (folder / "lines").write_text("".join(f"{text}\n" for _, text in rows))
    assert [row.text for row in read_table(folder / "lines", settings, need_labels=False)] == [text for _, text in rows]
    doubtful = any(text.count(other) >= len(order) - 1 for other in ",;|" for _, text in rows)     # it may make as many columns
    by_number = TableSettings(text_column=str(order.index("text") + 1), label_column=str(order.index("label") + 1),
                              delimiter=delimiter if doubtful else None)
    assert [(row.label, row.text) for row in read_table(folder / "bare", by_number)] == rows


def test_a_delimiter_makes_as_many_columns_as_are_asked_for(tmp_path):
    rows = [("ham", "yes, please"), ("ham", "no, thanks"), ("spam", "win, now")] * 3
    (tmp_path / "t").write_text("".join(f"{label};7;{text};7\n" for label, text in rows))
    read = read_table(tmp_path / "t", TableSettings(text_column="3", label_column="1"))
    assert [(row.label, row.text) for row in read] == rows


def test_quotes_left_open_do_not_make_lines_a_table(tmp_path):
    """A sample that ended at the first of them was too short to tell what separates columns."""
    lines = ["w;;", 'w;"', "w;", "w;", "w;", "w;"]
    (tmp_path / "t").write_text("\n".join(lines))
    read = read_table(tmp_path / "t", TableSettings(columns="label,text,_,_"), need_labels=False)
    assert [row.text for row in read] == lines


NAMELESS = {
    "plain lines": lambda folder, rows: (folder / "t").write_text("".join(f"{text}\n" for _, text in rows)),
    "fastText": lambda folder, rows: (folder / "t").write_text("".join(f"__label__{a} {b}\n" for a, b in rows)),
    "folders": lambda folder, rows: [write_text(folder / "t" / label / f"{i}.txt", text) for i, (label, text) in enumerate(rows)],
}


def write_text(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize("kind", NAMELESS)
def test_remembered_names_are_no_hindrance_where_columns_have_none(tmp_path, kind):
    """A model that was trained on a table whose columns were named reads them all."""
    rows = [("ham", "well, yes"), ("ham", "no; never"), ("spam", "win a prize")]
    NAMELESS[kind](tmp_path, rows)
    settings = TableSettings(text_column="my words", label_column="verdict")
    need_labels = kind != "plain lines"
    read = [(row.label, row.text) for row in read_table(tmp_path / "t", settings, need_labels=need_labels)]
    assert read == ([(None, text) for _, text in rows] if not need_labels else rows)


@given(rows=CONTENT, order=st.permutations(["label", "title", "text", "id"]), third=st.sampled_from(["title", "id"]))
def test_three_columns_without_a_header_are_told_apart(tmp_path_factory, rows, order, third):
    """AG News has two texts, GoEmotions a number for each row; what can be taken for labels twice is asked for."""
    order = [name for name in order if name in ("label", "text", third)]
    cells = [{"label": label, "text": f"{text} and more {i}", "title": f"on {text} {i}", "id": f"n{i}"}
             for i, (label, text) in enumerate(rows)]
    path = tmp_path_factory.mktemp("t") / "t.csv"
    path.write_text(quoted([[row[name] for name in order] for row in cells], ","))
    first, *second = [name for name in order if name in ("text", "title")] if third == "title" else ["text"]
    read = [(row.label, row.text, row.pair) for row in read_table(path)]
    assert read == [(row["label"], row[first], row[second[0]] if second else None) for row in cells]
    path.write_text(quoted([[row["text"], row["label"], "even" if i % 2 else "odd"] for i, row in enumerate(cells)], ","))
    with pytest.raises(UserError, match="--columns text,"):
        read_table(path)


def test_a_folder_for_each_label(tmp_path):
    above, tmp_path = tmp_path, tmp_path / "train"
    for label, name, text in (("pos", "1.txt", "good\nreally"), ("neg", "2", "caf\u00e9"), ("neg", "3.txt", "bad")):
        (tmp_path / label).mkdir(parents=True, exist_ok=True)
        (tmp_path / label / name).write_text(text, encoding="utf-8")
    assert [(row.label, row.text) for row in read_table(tmp_path)] == [("neg", "café"), ("neg", "bad"), ("pos", "good\nreally")]
    assert read_table(tmp_path)[0].where == str(tmp_path / "neg" / "2")
    with pytest.raises(UserError, match="folder without folders"):
        read_table(tmp_path / "neg")
    assert [row.text for row in read_table(tmp_path / "neg", need_labels=False)] == ["café", "bad"]
    with pytest.raises(UserError, match=f"Is it {tmp_path} that should be read"):
        read_table(above)


def test_trec_has_two_labels_and_another_encoding(tmp_path):
    (tmp_path / "TREC.train").write_bytes("DESC:manner How did it happen ?\nLOC:city Where is Orl\u00e9ans ?\n".encode("latin-1"))
    said = []
    rows = read_table(tmp_path / "TREC.train", say=said.append)
    assert [(row.label, row.text) for row in rows] == [("DESC", "How did it happen ?"), ("LOC", "Where is Orléans ?")]
    assert "line 2: not UTF-8 (byte 0xe9); taken for Windows-1252" in said[0]
    assert read_table(tmp_path / "TREC.train", TableSettings(label_column="fine"))[1].label == "LOC:city"


@given(rows=CONTENT)
def test_quotes_between_tabs_belong_to_the_text_unless_they_are_a_spreadsheets(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("t") / "t.tsv"
    path.write_text("label\ttext\n" + "".join(f'{a}\t" {b}\n' for a, b in rows))        # as MRPC has it
    assert [row.text for row in read_table(path)] == [f'" {b}' for _, b in rows]
    lines = [(a, f'{b}\nand "more"') for a, b in rows]
    path.write_text(quoted(lines, "\t", ["label", "text"]))
    assert [row.text for row in read_table(path)] == [b for _, b in lines]


PUBLISHED = {
    "AG News": ("Class Index,Title,Description\n3,Wall St.,Short sellers\n", ("Wall St.", "Short sellers", "3")),
    "Banking77": ("text,category\nWhere is my card?,card_arrival\n", ("Where is my card?", None, "card_arrival")),
    "IMDB": ("review,sentiment\nfine,positive\n", ("fine", None, "positive")),
    "SMS spam": ("v1,v2,,,\nham,Ok lar,,,\n", ("Ok lar", None, "ham")),
    "BBC": ("category\tfilename\ttitle\tcontent\nbusiness\t001.txt\tAd sales\tProfits rose\n", ("Profits rose", None, "business")),
    "MRPC": ("Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t7\t8\tone\ttwo\n", ("one", "two", "1")),
    "SICK": ("pair_ID\tsentence_A\tsentence_B\trelatedness_score\tentailment_judgment\n1\ta\tb\t4.5\tNEUTRAL\n", ("a", "b", "NEUTRAL")),
    "QQP": ("id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n0\t1\t2\twhat\twhy\t0\n", ("what", "why", "0")),
    "SNLI": ('{"gold_label": "neutral", "sentence1": "a", "sentence2": "b", "annotator_labels": ["neutral"]}\n', ("a", "b", "neutral")),
    "Excel": ("sep=;\ntext;label\na, b;1\n", ("a, b", None, "1")),
    "one unusual name": ("label,what they wrote\n1,fine\n", ("fine", None, "1")),
    "tweets": ("tweet_id,airline_sentiment,text\n1,neutral,said\n", ("said", None, "neutral")),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_sets_need_no_flag(name, tmp_path):
    content, expected = PUBLISHED[name]
    (tmp_path / "t").write_text(content)
    row, = read_table(tmp_path / "t")
    assert (row.text, row.pair, row.label) == expected
    if name == "SICK":
        assert Regression().read(tmp_path / "t", "train")[0].label == "4.5"


@pytest.mark.parametrize("name, count, labels", [
    ("trec/TREC.train", 5452, {"ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM"}), ("sst2/dev.tsv", 872, {"0", "1"}),
    ("summ/article", 100, {"business", "entertainment", "politics", "sport", "tech"}),
    ("glue/MNLI-small/valid.jsonl", 1777, {"entailment", "neutral", "contradiction"}), ("glue/WNLI/dev.tsv", 71, {"0", "1"}),
])
def test_real_sets_need_no_flag(data_dir, name, count, labels):
    rows = read_table(data_dir / name)
    assert len(rows) == count and {row.label for row in rows} == labels
    assert {row.pair is None for row in rows} == {"glue" not in name} and all(len(row.text) > 1 for row in rows)


# ---- what is wrong with a file

@pytest.mark.parametrize("name, text, words", [
    ("t.csv", 'text,label\nfine,1\n"open,0\nmore,1\n', ["line 3", "a quote opens", "does not close before line 4", 'twice ("")']),
    ("t.csv", 'text,label\n"fine" he said,1\n', ["line 2", "a quote opens", "where its column ends"]),
    ("t.tsv", "text\tlabel\nfine\t1\none\n", ["line 3", "1 columns; expected 2 (text, label)", "a tab too many or too few"]),
    ("t.csv", "text;label\nfine;1\none;two;3\n", ["line 3", "3 columns", "a semicolon too many"]),
    ("t.jsonl", '{"text": ["a", "list"], "label": 1}\n{"text": "b", "label": 1}\n', ["line 1", "['a', 'list']", "expected a text"]),
    ("t.jsonl", '{"text": "a", "label": 1}\n{"text": \n', ["line 2", "not JSON", "one JSON object a line"]),
    ("t.json", '[{"text": "a", "label": 1},\n\n7]', ["line 3", "int", "expected a JSON object"]),
    ("t.json", '[{"text": "a", "label": 1},\n{"text" "b"}]', ["line 2", "not JSON"]),
    ("t.json", '{"train": [1, 2],\n "test": {"a": 1}}', ["one JSON object with train, test", "jq"]),
    ("t.json", '{"train": [{"text": "a"}], "test": [{"text": "b"}]}', ["2 lists of records, in train, test", "jq .NAME"]),
    ("t", "__label__a fine\nno label here\n", ["line 2", "__label__"]),
    ("t.tsv", "text\tlabel\ttext\na\tb\tc\n", ["line 1", "stands twice"]),
    ("t.csv", b"text,label\n" + "да нет,1\n".encode("cp1251") * 9, ["line 2", "not UTF-8 text (byte 0xe4)", "'да нет,1' in CP1251", "--encoding"]),
    ("t.csv", "text,label\ncafé,1\n".encode() + b"caf\xe9,1\n", ["line 3", "not UTF-8"]),
    ("t.csv", "text,label\nfine,1\n".encode("utf-16-le"), ["--encoding utf-16-le"]),
    ("t.xlsx", b"PK\x03\x04 and more", ["spreadsheet", "CSV"]),
    ("t.csv.gz", b"\x1f\x8b\x08 cut", ["can't be decompressed"]),
    ("t.csv", "body text,grade\nfine,good\n", ["'body text', 'grade'", "--text-column", "--columns text,label"]),
    ("t.tsv", "a1\t0\tx\tThe dog slept.\na2\t1\ty\tIt did not.\na3\t0\tz\tIt did.\n", ["--columns _,label,_,text"]),
    ("t.txt", "just a line\n", ["just a line", "--delimiter", "sed 's/ /"]),
    ("t.tsv", "text\tlabel\nfine\t\n", ["line 2", "the label is empty"]),
    ("t.tsv", "text\nfine\n", ["no column for the label", "--label-column", "tinyalbert predict"]),
    ("t.tsv", "text\tlabel\n", ["no rows"]),
    ("t.tsv", "", ["is empty"]),
])
def test_a_damaged_table_is_refused_with_its_line(tmp_path, name, text, words):
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError) as refusal:
        read_table(tmp_path / name)
    assert all(word in str(refusal.value) for word in words), refusal.value


@given(rows=CONTENT, data=st.data())
def test_bad_rows_are_left_out_counted_and_listed(tmp_path_factory, rows, data):
    """Too many columns, too few, a quote that never closes: every other row is kept."""
    lines = quoted(rows, ",").splitlines()
    bad = data.draw(st.lists(st.sampled_from(["a,b,c", "alone", '"never closed,1', '"closed" too early,1']), max_size=4))
    for line in bad:
        lines.insert(data.draw(st.integers(0, len(lines))), line)
    path = tmp_path_factory.mktemp("t") / "t.csv"
    path.write_text("label,text\n" + "\n".join(lines))
    skipped = BadRows(skip=True)
    assert [(row.label, row.text) for row in read_table(path, bad_rows=skipped)] == rows
    assert len(skipped.problems) == len(bad) and all("t.csv, line " in problem for problem in skipped.problems)
    numbers = [int(problem.split("line ")[1].split(":")[0]) for problem in skipped.problems]
    assert sorted(lines[number - 2] for number in numbers) == sorted(bad)


def test_an_encoding_is_that_of_files_that_are_not_utf8(tmp_path):
    russian = TableSettings(encoding="cp1251")
    for encoding in ("cp1251", "utf-8", "utf-16"):
        (tmp_path / "t.csv").write_bytes("text,label\nда нет,1\n".encode(encoding))
        assert read_table(tmp_path / "t.csv", russian)[0].text == "да нет"
    with pytest.raises(UserError, match="klingon.*utf-8, latin-1"):
        TableSettings(encoding="klingon")
    with pytest.raises(UserError, match="delimiter"):
        TableSettings(delimiter="tabs")
    assert TableSettings(delimiter="tab").delimiter == TableSettings(delimiter="\t").delimiter == "\t"


@pytest.mark.skipif(not os.path.isdir("/dev/fd"), reason="no pipes with names here")
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_pipe_is_read_as_a_file_is(pack):
    """As a shell passes it for <(...), or a user types /dev/stdin."""
    reader, writer = os.pipe()
    os.write(writer, pack(b"text,label\na dog,1\na cat,0\n"))
    os.close(writer)
    try:
        rows = read_table(f"/dev/fd/{reader}")
        assert [(row.text, row.label) for row in rows] == [("a dog", "1"), ("a cat", "0")]
        assert _absolute(f"/dev/fd/{reader}") == f"/dev/fd/{reader}"
    finally:
        os.close(reader)


def test_columns_that_are_named_twice_or_in_vain_are_said(tmp_path):
    (tmp_path / "t.csv").write_text("text,label\n" + "".join(f"a dog {i},{i % 2}\n" for i in range(4)))
    for names in ("a,b,c", "label,text", "words,kind"):
        said = []
        assert len(read_table(tmp_path / "t.csv", TableSettings(columns=names), say=said.append)) == 4
        assert "the first line names the columns (text, label), so --columns is not used" in said[0]
    said = []
    read_table(tmp_path / "t.csv", TableSettings(columns="text,label"), say=said.append)
    assert not any("not used" in line for line in said)
    for settings in ({"text_column": "text", "label_column": "text"}, {"text_column": "label", "label_column": "Label"},
                     {"text_column": "text", "pair_column": "label", "label_column": "label"}):
        with pytest.raises(UserError, match="is both the text and the label"):
            read_table(tmp_path / "t.csv", TableSettings(**settings))


@given(rows=st.lists(st.tuples(CELLS, CELLS, LABELS.map(str.strip)), min_size=1, max_size=6),
       kind=st.sampled_from([".tsv", ".csv", ".jsonl"]))
def test_a_table_that_was_written_is_read_back(tmp_path_factory, rows, kind):
    path = tmp_path_factory.mktemp("t") / f"t{kind}"
    write_table(path, [{"index": i, "text": f"a{a}", "text_pair": f"b{b}", "label": label, "p(x)": "0.5"}
                       for i, (a, b, label) in enumerate(rows)])
    tidy = (lambda text: " ".join(text.split())) if kind == ".tsv" else (lambda text: text)
    assert [(row.text, row.pair, row.label) for row in read_table(path)] == [
        (tidy(f"a{a}"), tidy(f"b{b}"), tidy(label)) for a, b, label in rows]


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
        story_texts(f"stories:topic:{count}")
