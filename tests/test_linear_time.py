"""What reads text takes time in proportion to it: ten times as much of anything takes no more than about ten times as
long, which a function of the square would fail by another factor of ten.
"""

import gzip
import os
import time

import pytest

from tinyalbert.errors import UserError
from tinyalbert.pretraining import corpus
from tinyalbert.tasks.choice_files import read_questions as read_choices
from tinyalbert.tasks.conll import read_sentences, split_words
from tinyalbert.tasks.documents import split_paragraphs
from tinyalbert.tasks.options import TableSettings
from tinyalbert.tasks.squad_files import read_questions
from tinyalbert.tasks.summary_files import document, read_documents
from tinyalbert.tasks.tables import read_table
from tinyalbert.tasks.task import BadRows
from tinyalbert.text.sentences import split_sentences

# what a text may be made of again and again
UNITS = ["\n", "\r\n", "\r", " \n", ".", ". ", '."', "...", "?) ", "Mr. ", "A.", "。」", " ", "\t", "= ", " = a", '"', '"\n', '"a\n',
         '"a",', ",", ";", "a", "word ", '{"', "[", "{", "__label__a ", "AB:c ", "_", "-", "\u2028", "\x0b", "é"]
DEEP = os.environ.get("HYPOTHESIS_PROFILE") == "deep"
SHORT, FACTOR = 10_000 if DEEP else 1_000, 10


def from_file(read, name, beginning=""):
    """A function of a text that reads a file of it."""
    def function(text, folder):
        path = folder / name
        path.write_text(beginning + text, newline="")
        read(path)
    return function


def of_text(function):
    return lambda text, folder: function(text)


def table(path, labels=True):
    read_table(path, TableSettings(skip_bad_rows=True), need_labels=labels, bad_rows=BadRows(skip=True))


FUNCTIONS = {
    "sentences": of_text(split_sentences),
    "paragraphs": of_text(split_paragraphs),
    "words": of_text(split_words),
    "document": of_text(document),
    **{f"corpus as {format}": from_file(lambda path, f=format: list(corpus.documents(path, f)), "a.txt", "A dog ran. It ate.\n")
       for format in (*corpus.FORMATS, None)},
    "lines to predict": from_file(lambda path: table(path, False), "t"),
    "comma": from_file(table, "t.csv", "text,label\n"),
    "tab": from_file(table, "t.tsv", "text\tlabel\n"),
    "no header": from_file(table, "t"),
    "json": from_file(table, "t.json"),
    "columns": from_file(lambda path: read_sentences(path, BadRows()), "t.conll", "a O\nb O\n"),
    "tagged text": from_file(lambda path: read_sentences(path, BadRows(), labelled=False), "t.txt"),
    "choices": from_file(lambda path: read_choices(path, "train", BadRows(skip=True)), "t.json"),
    "questions": from_file(lambda path: read_questions(path, "train", BadRows(skip=True)), "t.json"),
    "summaries": from_file(lambda path: read_documents(path, "train", BadRows(skip=True)), "t.jsonl"),
}


def seconds(function, text, folder):
    """The processor time that a text takes; what is refused takes time too."""
    began = time.process_time()
    try:
        function(text, folder)
    except UserError:
        pass
    return time.process_time() - began


@pytest.mark.parametrize("name", FUNCTIONS)
def test_time_grows_with_the_length_alone(tmp_path, name):
    """Of a slow machine the least of three tries counts; what takes 20 ms is fine."""
    for unit in UNITS:
        long = unit * (SHORT * FACTOR)
        if seconds(FUNCTIONS[name], long, tmp_path) < 0.02:
            continue
        ratios = []
        for _ in range(3):
            short = seconds(FUNCTIONS[name], unit * SHORT, tmp_path)
            ratios.append(seconds(FUNCTIONS[name], long, tmp_path) / max(short, 0.002))
            if ratios[-1] < 3 * FACTOR:
                break
        assert min(ratios) < 3 * FACTOR, (unit, ratios)


def test_a_file_of_line_ends_alone_is_read_to_its_end(tmp_path):
    """32 MiB by default, a GiB in the deep profile."""
    size = 1 << (30 if DEEP else 25)
    path = tmp_path / "a.txt.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(size >> 20):
            file.write(b"\n" * (1 << 20))
        file.write(b"The dog ran.\n")
    assert list(corpus.documents(path, "prose")) == [["The dog ran."]]
    (block,) = corpus.read_blocks(path)
    assert block.line == size + 1
