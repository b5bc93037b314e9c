"""Other people's files: whatever they are written with, their text is read, or they are refused with the line and a
command; every command that is printed is run here, and the file is read after it.
"""

import bz2
import gzip
import io
import json
import lzma
import os
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyalbert.errors import UserError
from tinyalbert.pretraining import corpus
from tinyalbert.tasks.choice_files import read_questions
from tinyalbert.tasks.documents import read_paragraphs
from tinyalbert.tasks.minimal_pairs import read_sets
from tinyalbert.tasks.options import TableSettings
from tinyalbert.tasks.summary_files import read_documents
from tinyalbert.tasks.tables import read_table
from tinyalbert.tasks.task import BadRows
from tinyalbert.tasks.text_files import read_text
from tinyalbert.text.foreign import likely_encoding
from tinyalbert.text.plain_text import TextReader

LETTERS = st.text(st.sampled_from("abc Äßé€漢😀.,\t"), max_size=12)
LINES = st.lists(LETTERS, min_size=1, max_size=12)
ENDS = st.sampled_from(["\n", "\r\n", "\r", "\r\r\n"])
ENCODINGS = {"utf-8": b"", "utf-8-sig": b"", "utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff", "utf-32-le": b"\xff\xfe\0\0",
             "utf-32-be": b"\0\0\xfe\xff"}
PACKERS = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


def written(lines, ends, encoding):
    return ENCODINGS[encoding] + "".join(line + end for line, end in zip(lines, ends)).encode(encoding)


@given(lines=LINES, data=st.data(), encoding=st.sampled_from([*ENCODINGS]), size=st.integers(1, 20))
def test_a_text_is_the_same_in_pieces_and_as_a_whole(tmp_path_factory, lines, data, encoding, size):
    """With line ends of all kinds in one file; a reader that stops anywhere loses nothing."""
    kinds = data.draw(st.sampled_from([["\n", "\r\n"], ["\r"], ["\r\r\n"], ["\n", "\r\n", "\r\r\n"]]))
    ends = [data.draw(st.sampled_from(kinds)) for _ in lines]
    path = tmp_path_factory.mktemp("t") / "t"
    path.write_bytes(written(lines, ends, encoding))
    text = "".join(f"{line}\n" for line in lines)
    reader = TextReader(open(path, "rb"), path)
    assert b"".join(iter(lambda: reader.read(size), b"")).decode() == text
    assert reader.line == 1 + len(lines)
    assert read_text(path, unix=True) == text


@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\r\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16-le", "utf-16-be", "utf-32-le"])
def test_documents_and_rows_are_those_of_the_plain_file(tmp_path, packer, end, encoding):
    """Whether or not the name of a compressed file says so."""
    documents = [["The café is open.", "It rained."], ["Nobody came.", "She left."]]
    text = end.join(["The café is open.", "It rained.", "", "Nobody came.", "She left.", ""])
    table = end.join(["text\tlabel", *(f"{s}\t{i}" for i, d in enumerate(documents) for s in d), ""])
    for name in (f"a.txt{packer}", "a.txt"):
        path = tmp_path / name
        path.write_bytes(PACKERS[packer](ENCODINGS[encoding] + text.encode(encoding)))
        assert list(corpus.documents(path)) == documents
        path.write_bytes(PACKERS[packer](ENCODINGS[encoding] + table.encode(encoding)))
        assert [(row.text, row.label) for row in read_table(path)] == [
            (sentence, str(i)) for i, d in enumerate(documents) for sentence in d]


# ---- commands

PROSE = "The café was shut in the winter of that year. It was “late” when we went home.\nNobody came.\n\nThe dog ran. We ate.\n"
RUSSIAN = "Кошка сидела на ковре. Было поздно.\nНикто не пришёл.\n" * 3
CHINESE = "今天天气很好。我们去公园。\n" * 30
OLD_DOG = "老狗在火边睡着了。没有人看见猫。\n" * 20     # of its bytes in GB18030 many look like UTF-8
JAPANESE = "今日は天気がいいです。公園に行きます。\n"


def zipped():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("inside.txt", PROSE)
    return file.getvalue()


BAD = {
    "western.txt": (PROSE.encode("cp1252"), "line 1: not UTF-8 text (byte 0xe9); it looks like Windows-1252", None),
    "latin one.txt": (("Fine.\n" * 40 + "Schöne Grüße.\n").encode("latin-1"), "line 41", None),
    "late.txt": (b"Fine.\n" * 60_000 + "Señor.\n".encode("latin-1"), "line 60001", None),
    "little.txt": (PROSE.encode("utf-16-le"), "UTF-16LE without a mark", None),
    "big.txt": (PROSE.encode("utf-16-be"), "UTF-16BE without a mark", None),
    "chinese16.txt": (CHINESE.encode("utf-16-le"), "UTF-16LE without a mark", None),
    "russian.txt": (RUSSIAN.encode("cp1251"), "'Кошка сидела на ' in CP1251", "CP1251"),
    "koi.txt": (RUSSIAN.encode("koi8-r"), "'Кошка сидела на ' in KOI8-R", "KOI8-R"),
    "chinese.txt": (CHINESE.encode("gb18030"), "今天天气很好", "GB18030"),
    "old dog.txt": (OLD_DOG.encode("gb18030"), "老狗在火边睡着了", "GB18030"),
    "old cat.txt": ("老狗在火邊睡著了。沒有人看見貓。\n".encode("big5") * 20, "老狗在火邊睡著了", "BIG5"),
    "old fire.txt": ("古い犬は火のそばで眠った。\n".encode("shift_jis") * 20, "古い犬は火のそば", "SHIFT_JIS"),
    "wide.txt": (PROSE.encode("utf-32-le"), "UTF-32LE without a mark", None),
    "wide too.txt": (PROSE.encode("utf-32-be"), "UTF-32BE without a mark", None),
    "japanese.txt": (JAPANESE.encode("shift_jis"), "今日は天気", "SHIFT_JIS"),
    "dos.txt": ("Der Bär lief über die Straße. Er fraß.\n".encode("cp850"), "'Der Bär lief übe' in CP850", "CP850"),
    "mac.txt": ("Où est le café fermé ? Là-bas.\n".encode("mac_roman"), "in MACINTOSH", "MACINTOSH"),
    "packed.txt.gz": (gzip.compress(PROSE.encode("cp1252")), "gzip -dc", None),
    "packed": (bz2.compress(PROSE.encode("cp1252")), "bzip2 -dc", None),
    "damaged.txt": (PROSE.encode() * 3 + b"caf\xe9\n", "line 13: not UTF-8 text (byte 0xe9), though others are", None),
    "cut16.txt": (PROSE.encode("utf-16")[:-1], "line 4: damaged UTF-16", None),
    "zero.txt": (b"Fine.\nNot\0 so fine.\n", "line 2: not UTF-8 text (byte 0x00)", None),
    "no.txt.gz": (PROSE.encode(), "it is not compressed", None),
    "array.json": (json.dumps([{"text": PROSE}] * 2).encode(), "line 1: a JSON array", None),
    "indented.json": (json.dumps([{"text": PROSE}], indent=1).encode(), "line 1: a JSON array", None),
    "texts.json": (json.dumps([PROSE, PROSE]).encode(), "{text: .}", None),
    "body.jsonl": ((json.dumps({"id": "7", "my body": PROSE}) + "\n").encode(), 'line 1: no "text"', None),
    "inner.json": (json.dumps({"version": 2, "data": [{"title": "A", "body": PROSE}]}, indent=2).encode(), "data", None),
    "one.json": (json.dumps({"text": PROSE}, indent=2).encode(), "line 1: not JSON", None),
    "packed.json.gz": (gzip.compress(json.dumps([{"content": PROSE}]).encode()), "gzip -dc", None),
    "line.jsonl": (b'{"text": "a b."}\n{"text": \n', "line 2: not JSON", None),
    "number.jsonl": (b'{"text": "a b."}\n7\n', 'line 2: no "text"', None),
    "nested.jsonl": (b'{"text": "a b."}\n{"text": [["a"]]}\n', 'line 2: no "text"', None),
    "nested first.jsonl": (b'{"text": [["a"]]}\n{"text": ["a b."]}\n', 'line 1: no "text"', None),
    "nothing.jsonl": (b'{"text": "a b."}\n{"id": 7}\n', 'line 2: no "text"', None),
    "a.zip": (zipped(), "no text but a zip archive", None),
}
PROGRAMS = [program for program in ("iconv", "jq", "unzip", "gzip", "bzip2") if shutil.which(program) is None]


def command_of(message, encoding):
    """The shell commands of a message, one after the other."""
    command = re.search(r"(?<!\w)((?:iconv|jq|gzip|bzip2|tr|unzip|mv) .*?)(?: \(of a folder|$)", message)[1]
    aside = re.search(r"left out: (mv .*)\)$", message)
    return f"{command} && {aside[1]}".replace("ENCODING", str(encoding)) if aside else command.replace("ENCODING", str(encoding))


@pytest.mark.skipif(PROGRAMS != [], reason=f"without {', '.join(PROGRAMS)}")
def test_all_bad_files_of_a_folder_are_named_and_each_command_mends_its_file(tmp_path):
    folder = tmp_path / "the texts"
    folder.mkdir()
    (folder / "fine.txt").write_text(PROSE)
    for name, (data, _, _) in BAD.items():
        (folder / name).write_bytes(data)
    with pytest.raises(UserError) as refusal:
        list(corpus.documents(folder))
    first, *lines = str(refusal.value).split("\n  ")
    assert first == f"{len(BAD)} files of {folder} can't be read:"
    for line, (name, (_, words, encoding)) in zip(lines, sorted(BAD.items()), strict=True):
        assert str(folder / name) in line and words in line, (line, words)
        subprocess.run(command_of(line, encoding), shell=True, check=True, stderr=subprocess.DEVNULL)
    sentences = [sentence for document in corpus.documents(folder) for sentence in document]
    counts = {"The café was shut in the winter of that year.": 23, "老狗在火边睡着了。": 20, "老狗在火邊睡著了。": 20, "Кошка сидела на ковре.": 6, "今天天气很好。": 60,
              "今日は天気がいいです。": 1, "Der Bär lief über die Straße.": 1, "Où est le café fermé ?": 1, "Not so fine.": 1,
              "Schöne Grüße.": 1, "Señor.": 1, "a b.": 5}
    assert {sentence: sentences.count(sentence) for sentence in counts} == counts


@pytest.mark.parametrize("head, words", [
    (b"\x04\x22\x4d\x18", "lz4 -d"), (b"\x5d\0\0\x80\0", "xz --format=lzma"), (b"\x1f\x9d\x90", "gzip -dc"), (b"ARROW1\0\0", "read_feather"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "git lfs pull"), (b"\x28\xb5\x2f\xfd", "zstd -d")])
def test_what_is_no_text_is_named_with_what_makes_text_of_it(head, words, tmp_path):
    (tmp_path / "a.txt").write_bytes(head + b"\0" * 30)
    for read in (lambda: list(corpus.documents(tmp_path / "a.txt")), lambda: read_table(tmp_path / "a.txt"), lambda: read_text(tmp_path / "a.txt")):
        with pytest.raises(UserError, match=f"a.txt is no text but .*{words}"):
            read()


@given(text=st.text(st.sampled_from("今天天气很好我们去公园老狗在火边睡着了没有人看见猫春眠不觉晓处处闻啼鸟"), min_size=40, max_size=120),
       encoding=st.sampled_from(["gb18030", "euc-jp", "euc-kr"]))
def test_no_east_asian_text_is_taken_for_damaged_utf8(text, encoding):
    data = text.encode(encoding, "ignore")
    assert likely_encoding(data * 2) is None or len(data) < 40


@given(text=st.text(st.sampled_from("今天天气很好 Grüße café"), min_size=5, max_size=200), data=st.data())
def test_a_slip_in_utf8_is_a_slip(text, data):
    whole = ("é" + text).encode()
    at = data.draw(st.integers(0, len(whole)))
    while at < len(whole) and 0x80 <= whole[at] < 0xc0:                # between two letters
        at += 1
    assert likely_encoding(whole[:at] + b"\xff" + whole[at:]) == "damaged"


def test_a_single_bad_file_is_named_alone_and_at_most_a_hundred(tmp_path):
    for i in range(120):
        (tmp_path / f"{i}.txt").write_bytes(b"caf\xe9 again and again. And again.\n" if i % 60 == 7 or i > 60 else b"Fine.\n")
    with pytest.raises(UserError, match="60 files of"):
        list(corpus.documents(tmp_path))
    with pytest.raises(UserError, match=r"^\S*7.txt, line 1: not UTF-8"):
        list(corpus.documents(tmp_path / "7.txt"))


def test_what_is_left_out_is_said(tmp_path):
    for name in ("a.txt", ".DS_Store", "sub/b.txt", ".git/config", "sub/.c"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("The dog ran. It was late.\n")
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "blank.txt").write_text("\n \n")
    os.symlink("nowhere", tmp_path / "link")
    os.symlink("..", tmp_path / "sub" / "up")           # in a circle
    os.symlink(tmp_path / "sub" / "b.txt", tmp_path / "other.txt")
    account = corpus.Account()
    documents = list(corpus.documents(tmp_path, account=account))
    assert len(documents) == account.documents == 3
    said = account.describe().replace(f"{tmp_path}/", "")
    assert said == ("read a.txt as prose, other.txt as prose, sub/b.txt as prose; 3 documents; left out: 1 broken link (link), "
                    "1 empty (empty.txt), 3 hidden (.DS_Store, .git, sub/.c), 1 without text (blank.txt)")


def test_a_folder_that_cannot_be_read_is_refused(tmp_path, monkeypatch):
    """As another user's is; the tests may be run by one who reads all."""
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "t.txt").write_text("The dog ran.\n")
    scandir = os.scandir

    def refuse(path):
        if os.fspath(path).endswith(("a", "c")):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UserError) as refusal:
        list(corpus.documents(tmp_path))
    assert "2 files" in str(refusal.value) and "a can't be read (Permission denied)" in str(refusal.value)
    assert f"chmod -R u+rX {tmp_path}/c" in str(refusal.value)


@pytest.mark.parametrize("name, data, words", [
    ("t.csv", "text,label\ncafé,1\n".encode("utf-16")[:-1], "line 2: damaged UTF-16"),
    ("t.csv", ("text,label\n" + "да нет,1\n" * 9).encode("koi8-r"), "'да нет,1' in KOI8-R"),
    ("t.csv", "text,label\nfine,1\n".encode("utf-16-be"), "--encoding utf-16-be"),
    ("t.csv", b"text,label\nfi\0ne,1\n", "line 2: not UTF-8 text (byte 0x00)"),
    ("t.tsv", b"%PDF-1.7", "a PDF document; make text of it: pdftotext"),
    ("t.csv", b"\x28\xb5\x2f\xfd...", "compressed with zstd"),
    ("t.parquet", b"PAR1....", "a Parquet file"),
])
def test_tables_are_told_as_texts_are(tmp_path, name, data, words):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError) as refusal:
        read_table(tmp_path / name)
    assert words in str(refusal.value), refusal.value


def test_a_western_table_is_read_and_said(tmp_path):
    (tmp_path / "t.csv").write_bytes("text,label\r\nfine,0\r\ncafé,1\r\n".encode("latin-1"))
    said = []
    assert [row.text for row in read_table(tmp_path / "t.csv", say=said.append)] == ["fine", "café"]
    assert "line 3: not UTF-8 (byte 0xe9); taken for Windows-1252 (--encoding names another)" in said[0]
    other = TableSettings(encoding="cp850")
    assert [row.text for row in read_table(tmp_path / "t.csv", other)] == ["fine", "cafÚ"]


# ---- folders of other tasks

def test_label_folders_name_all_bad_files_and_what_is_left_out(tmp_path):
    for name, data in {"pos/1.txt": b"fine", "pos/2.txt": b"\xff\xfe\0", "neg/1.txt": "да нет".encode("cp1251"), "neg/2.txt": b"bad",
                       "neg/3.zip": zipped(), "neg/.hidden": b"x", "pos/4.txt": b"", "README": b"about"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError) as refusal:
        read_table(tmp_path)
    lines = str(refusal.value).split("\n  ")
    assert lines[0] == f"4 files of {tmp_path} can't be read:"
    assert [os.path.relpath(line.split(" ")[0].rstrip(","), tmp_path) for line in lines[1:]] == [
        "neg/1.txt", "neg/3.zip", "pos/2.txt", "pos/4.txt"]
    said = []
    skipped = BadRows(skip=True)
    rows = read_table(tmp_path, bad_rows=skipped, say=said.append)
    assert [(row.text, row.label) for row in rows] == [("bad", "neg"), ("fine", "pos")] and len(skipped.problems) == 4
    assert "1 hidden" in said[0] and f"1 beside the folders ({tmp_path}/README)" in said[0]


def test_searched_folders_name_all_bad_files_and_what_is_left_out(tmp_path):
    (tmp_path / "a.txt").write_text("The dog ran.")
    (tmp_path / "b.pdf").write_bytes(b"%PDF")
    said = []
    assert [each.text for each in read_paragraphs(tmp_path, said.append)] == ["The dog ran."]
    assert said == [f"{tmp_path}: read a.txt; left out: 1 of another ending ({tmp_path}/b.pdf)"]
    for name in ("c.txt", "d.md"):
        (tmp_path / name).write_bytes("да нет".encode("cp1251"))
    with pytest.raises(UserError, match="2 files of .*\n.*c.txt, line 1: not UTF-8.*\n.*d.md, line 1: not UTF-8"):
        read_paragraphs(tmp_path)


QUESTION = '{"context": "Bo ran.", "question": "Who?", "choices": ["Bo", "Al"], "label": 0}\n'
PAIRS = "Bo run.\nBo runs.\n"
FOLDERS = {  # command: (reading, the files that it reads, a file in which it finds rows, what else stands there)
    "search": (read_paragraphs, "a.txt", "The dog ran.", {}),
    "choice": (lambda path, say: read_questions(path, "train", BadRows(), say), "a.jsonl", QUESTION, {}),
    "part": (lambda path, say: read_questions(path, "train", BadRows(), say), "train/b/a.txt", QUESTION, {"dev.json": QUESTION}),
    "pairs": (lambda path, say: read_sets(path, say=say), "b/a.txt", PAIRS, {}),
    "summary": (lambda path, say: read_documents(path, "predict", BadRows(), say=say), "a.md", "The dog ran.", {}),
    "articles": (lambda path, say: read_documents(path, "train", BadRows(), say=say), "article/a.txt",
                 "The dog ran.", {"summary/a.txt": "It ran."}),
    "label folders": (lambda path, say: list(read_table(path, say=say)), "good/a.txt", "The dog ran.", {})}


@pytest.mark.parametrize("name", FOLDERS)
def test_every_reader_of_a_folder_says_what_it_read_and_what_not(tmp_path, name):
    """An archive, a note, a hidden file and a link to nothing are named, in the folder or below, never passed over."""
    read, file, content, more = FOLDERS[name]
    for each, text in {file: content, **more}.items():
        (tmp_path / each).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / each).write_text(text)
    plain = []
    assert len(read(tmp_path, plain.append)) == 1
    assert any(f"read {part}" in line for line in plain for part in (file, Path(file).name, Path(file).parts[0])), plain
    assert not any("left out" in line for line in plain) or name == "part"
    folder = (tmp_path / file).parent
    folder = tmp_path if name == "label folders" else folder
    with zipfile.ZipFile(folder / "more.zip", "w") as archive:
        archive.writestr("c.txt", content)
    (folder / ".old.txt").write_text(content)
    (folder / "gone.txt").symlink_to(tmp_path / "nowhere")
    said = []
    assert len(read(tmp_path, said.append)) == 1
    told = "; ".join(said)
    assert all(each in told for each in ("more.zip", ".old.txt", "gone.txt"))


def test_parts_of_a_set_with_the_same_name_are_not_chosen_by_chance(tmp_path):
    (tmp_path / "train.json").write_text(QUESTION)
    (tmp_path / "train.zip").write_bytes(b"PK")
    said = []
    assert len(read_questions(tmp_path, "train", BadRows(), said.append)) == 1
    assert said == [f"{tmp_path}: read train.json; left out: 1 no part of the set ({tmp_path}/train.zip)"]
    for other in ("train.csv", "train.jsonl.gz"):
        (tmp_path / other).write_text(QUESTION)
        with pytest.raises(UserError, match="are both called train; expected one"):
            read_questions(tmp_path, "train", BadRows())
        (tmp_path / other).unlink()
    (tmp_path / "train.old").mkdir()
    assert len(read_questions(tmp_path, "train", BadRows())) == 1


def test_questions_in_a_folder_name_all_bad_files(tmp_path):
    record = '{"question": "Who?", "choices": ["a", "b"], "label": 0}'
    (tmp_path / "a.json").write_text(record)
    (tmp_path / "b.json").write_bytes(record.replace("Who", "Кто там").encode("cp1251"))
    (tmp_path / "c.json").write_bytes(b"\x1f\x8b cut")
    with pytest.raises(UserError, match="2 files of .*\n.*b.json, line 1: not UTF-8.*\n.*c.json can't be decompressed"):
        read_questions(tmp_path, "train", BadRows())
