"""Python's own text: docstrings of the standard library, read without importing anything."""

import itertools
import subprocess
import sys

from tinyalbert.pretraining.python_text import docstrings, documents, paragraphs, source_files


def test_documents_are_sentences_in_a_fixed_order():
    first = list(itertools.islice(documents(), 40))
    assert first == list(itertools.islice(documents(), 40)) and len(first) == 40
    assert all(isinstance(s, str) and s.strip() for d in first for s in d)


def test_nothing_is_imported_by_the_scan():
    code = ("import sys; from tinyalbert.pretraining.python_text import documents; before = set(sys.modules);"
            "print(len(list(documents(300)))); print(*sorted(set(sys.modules) - before))")
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split("\n")
    assert out[0] == "300" and not {"tkinter", "idlelib", "turtle", "this"} & set(out[1].split())


def test_docstrings_of_a_file(tmp_path):
    path = tmp_path / "m.py"
    path.write_text('"""Module text."""\ndef f():\n    """First line.\n\n    The second paragraph has enough words.\n    """\n',
                    encoding="utf-8")
    assert list(docstrings(path)) == [["Module text.", "First line.\n\nThe second paragraph has enough words."]]
    assert list(docstrings(tmp_path / "missing.py")) == []


def test_paragraphs_are_prose_on_one_line():
    text = "Return ``x`` and\nkeep the rest as it is.\n\n>>> f(1)\n2\n\nToo short."
    assert list(paragraphs(text)) == ["Return x and keep the rest as it is."]


def test_tests_and_third_party_files_are_left_out():
    names = [p.as_posix() for p in itertools.islice(source_files(), 5000)]
    assert names and not any("/test/" in n or "site-packages" in n for n in names)
