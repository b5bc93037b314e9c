"""Text in, documents out: nothing lost, nothing joined that is apart, and a clear word about what can't be read."""

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyalbert.errors import UserError
from tinyalbert.pretraining import corpus
from tinyalbert.text.sentences import split_sentences

SPLITS = [
    "It rained. | We stayed in.",
    "Mr. J. Q. Adams met Dr. Smith in St. Louis. | They spoke.",
    "The U.S. Senate met. | It is in the U.S. | The door shut.",
    "It cost 3.5 dollars, or 1.200,5 lire. | Version 2.0.1 came later.",
    'She said: "It is done." | "Really?" asked he. | (It was late.) | They left.',
    "He waited... and waited. | Then... | Then nothing!",
    "See No. 5 of Jan. 3. | He said no. | Then he left.",
    "Apples, pears etc. were sold. | Buy apples etc. | The shop is open.",
    "“Who?!” she cried. | ‘Me.’ | I did as did I. | So there.",
    "At 5 p.m. on Monday we met. | Some, e.g. Ann, i.e. A. Lee, came.",
    "no capitals here. | another one.",
    "今天好。 | 明天！ | 后天？",
    "one line with no end",
    "homarus lives at www.a.com or a.b@c.de and eats. | It is 60 cm .  | It stays .",
]


@pytest.mark.parametrize("marked", SPLITS)
def test_sentences_end_where_marked(marked):
    wanted = [" ".join(part.split()) for part in marked.split("|")]
    assert split_sentences(" ".join(wanted)) == wanted


@given(st.text())
def test_splitting_loses_no_letter(text):
    assert "".join("".join(split_sentences(text)).split()) == "".join(text.split())


words = st.text(st.characters(min_codepoint=0x61, max_codepoint=0x24f, categories=["Ll"]), min_size=1, max_size=8)
sentence_lists = st.lists(words.map(lambda w: f"The {w} came."), min_size=1, max_size=20)
document_lists = st.lists(sentence_lists, min_size=1, max_size=8)


def written(path, documents, format):
    """The documents as a file of that format; returns its path."""
    text = {"lines": "\n\n".join("\n".join(d) for d in documents) + "\n",
            "prose": "\n\n\n".join("\n".join(d) for d in documents),
            "wikitext": "\n".join("\n".join([f" = {d[0]} = \n", " ".join(d[1:])]) for d in documents),
            "jsonl": "\n".join(json.dumps({"text": " ".join(d), "id": 1}) for d in documents)}[format]
    (gzip.open if path.suffix == ".gz" else open)(path, "wb").write(text.encode())
    return path


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("format", corpus.FORMATS)
@given(documents=document_lists)
def test_every_format_gives_the_documents_back(tmp_path_factory, format, suffix, documents):
    path = written(tmp_path_factory.mktemp("text") / f"a.txt{suffix}", documents, format)
    assert list(corpus.documents(path, format)) == documents


@pytest.mark.parametrize("format", corpus.FORMATS)
@given(documents=document_lists, block=st.integers(16, 200))
def test_blocks_may_be_cut_anywhere(tmp_path_factory, format, documents, block):
    path = written(tmp_path_factory.mktemp("text") / "a.txt", documents, format)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corpus, "BLOCK_BYTES", block)
        blocks = list(corpus.read_blocks(path, format))
        read = list(corpus.documents(path, format))
    assert b"".join(b.text for b in blocks) == path.read_bytes()
    assert [b.line for b in blocks] == [1 + path.read_bytes().count(b"\n", 0, sum(len(c.text) for c in blocks[:i]))
                                        for i in range(len(blocks))]
    if max(len(s.encode()) for d in documents for s in d) < block // 2:      # a sentence of several blocks is cut
        assert read == documents
    assert "".join("".join(s for d in read for s in d).split()) == "".join("".join(
        s for d in documents for s in d).split())


def test_a_line_without_end_is_cut_between_letters(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus, "BLOCK_BYTES", 100)
    (tmp_path / "a.txt").write_bytes("é世界𝄞".encode() * 200)
    for format in ("lines", "prose", "wikitext"):
        assert "".join(s for d in corpus.documents(tmp_path, format) for s in d) == "é世界𝄞" * 200


def test_format_is_detected(tmp_path):
    documents = [[f"The {w} came home." for w in ("cat", "dog", "hen")]] * 5
    for format in corpus.FORMATS:
        path = written(tmp_path / f"{format}.txt", documents, format)
        path.write_text(path.read_text().replace("home.\nThe", "home. The") if format == "prose" else path.read_text())
        assert next(corpus.read_blocks(path)).format == format
    wrapped = "It was late and the two of them had\ngone. Nobody came to the house\nthat day. It rained for days.\n"
    assert corpus.detect_format("a.txt", wrapped.encode() * 9) == "prose"


def test_a_folder_is_read_in_order_without_hidden_files(tmp_path):
    for name in ("b/2.txt", "a/1.txt", ".git/x", "c.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"This is {name}.\nIt ends.\n")
    assert [d[0] for d in corpus.documents(tmp_path)] == ["This is a/1.txt.", "This is b/2.txt.", "This is c.txt."]


def test_a_very_long_document_goes_on_as_a_new_one(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus, "DOCUMENT_SENTENCES", 10)
    (tmp_path / "a.txt").write_text("One more came.\n" * 25)
    assert [len(d) for d in corpus.documents(tmp_path / "a.txt")] == [10, 10, 5]


def test_json_text_may_be_a_list_of_sentences(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": ["Mr. A.", "B"]}\n\n{"text": "C.\\n\\nd he. F"}\r\n')
    assert list(corpus.documents(tmp_path / "a.jsonl")) == [["Mr. A.", "B"], ["C.", "d he.", "F"]]


def test_built_in_corpora():
    stories = list(corpus.documents("stories:7"))
    assert len(stories) == 7 and all(len(d) > 1 for d in stories)
    assert stories == list(corpus.documents("stories:9"))[:7]


@pytest.mark.parametrize("name, content, words", [
    ("a.txt", b"", "a.txt is empty"),
    ("a.txt", b"fine.\n" * 60000 + "caf\xe9\n".encode("latin-1"), "a.txt, line 60001: not UTF-8 text (byte 0xe9)"),
    ("a.txt", b"fine.\n\0\1binary", "a.txt, line 2: not UTF-8"),
    ("a.txt", "a word\n".encode("utf-16-le"), "line 1: not UTF-8 text (byte 0x00); it looks like UTF-16LE"),
    ("a.txt.gz", gzip.compress(b"fine. " * 9999)[:-9], "can't be decompressed"),
    ("a.txt.gz", b"not gzip at all", "can't be decompressed"),
    ("a.jsonl", b'{"text": "a"}\n{"text"\n', "a.jsonl, line 2: not JSON"),
    ("a.jsonl", b'{"text": "a"}\n{"body": "b"}\n', 'a.jsonl, line 2: no "text"'),
    ("a.jsonl", b'["a"]\n', 'a.jsonl, line 1: a JSON array; expected one object a line'),
    ("a.json", b'[\n {"text": "a"}]\n', 'a.json, line 1: a JSON array; expected one object a line'),
])
def test_what_cannot_be_read_is_named(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError) as error:
        list(corpus.documents(tmp_path / name))
    assert words in str(error.value)


@pytest.mark.parametrize("source, words", [
    ([], "no corpus"), ("no/such/file", "there is no file"), ("stories:many", "no number"),
])
def test_wrong_sources_are_refused(source, words):
    with pytest.raises(UserError, match=words):
        list(corpus.documents(source))


def test_wrong_format_and_empty_folder_are_refused(tmp_path):
    with pytest.raises(UserError, match="format 'docx' is unknown"):
        list(corpus.documents("stories", "docx"))
    with pytest.raises(UserError, match="holds no files"):
        list(corpus.documents(tmp_path))


def test_real_text(data_dir):
    articles = list(corpus.documents(data_dir / "wikitext2" / "valid.txt"))
    assert len(articles) == 60 and articles[0][0] == "Homarus gammarus"
    assert 5000 < sum(map(len, articles)) < 12000
