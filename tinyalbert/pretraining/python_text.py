"""The second built-in corpus: the text of the running Python's standard library.

Docstrings are read with `ast` from the source files; nothing is imported but `pydoc_data.topics`
(the language reference as plain text), because it is nothing but a table of strings.  One module,
class or long topic is one document.  Files are taken in order of their names, so the same Python
gives the same documents.  How much text there is depends on the Python version; a Python that was
installed without its sources has only the topics.
"""

import ast
import re
import sysconfig
import warnings
from pathlib import Path

from ..errors import UserError
from ..files.writing import replacing
from ..text.sentences import split_sentences

# Folders that are not the library itself: its tests, installed packages, generated tables.
SKIPPED = {
    "test",
    "tests",
    "idle_test",
    "site-packages",
    "dist-packages",
    "__pycache__",
    "turtledemo",
    "pydoc_data",
    "encodings",
    "ensurepip",
    "lib2to3",
    "__phello__",
    "_pyrepl",
}
# Marks of paragraphs that are not prose: doctests, signatures, tables, lists of names, grammar.
NOT_PROSE = re.compile(r">>>|\.\.\. |[=|<>{}\\^~]{2,}|^\W*$|::=|->|\w\(.*\)\s*=|[-=]{4,}|\S{40,}")
WORDS = re.compile(r"[A-Za-z]{2,}")


def documents(n=None, seed=0, split="train"):
    """At most n documents, each a list of sentences.

    Every tenth document belongs to the split "test", the others to "train".  `seed` does nothing:
    there is only one Python.  It stands here because the other built-in corpus has it.
    """
    if split not in ("train", "test"):
        raise UserError(f'split {split!r} is unknown; expected "train" or "test"')
    if n is not None and n < 0:
        raise UserError(f"got n={n}; expected a number of documents, or None for all")
    count = 0
    for number, sentences in enumerate(_all_documents()):
        if n is not None and count >= n:
            return
        if (number % 10 == 9) == (split == "test"):
            count += 1
            yield sentences


def write_corpus(path, n=None, seed=0, split="train"):
    """Write the documents to a file: one sentence a line, a blank line between documents."""
    with replacing(path, text=True) as file:
        for sentences in documents(n, seed, split):
            file.write("\n".join(sentences) + "\n\n")


def _all_documents():
    """Documents of both splits, each paragraph only once."""
    seen = set()  # many classes have the same docstring
    for texts in _texts():
        sentences = []
        for text in texts:
            for paragraph in paragraphs(text):
                if paragraph not in seen:
                    seen.add(paragraph)
                    sentences += split_sentences(paragraph)
        if len(sentences) >= 2:  # a pair of segments needs two
            yield sentences


def _texts():
    """Lists of texts that belong together: a topic, or the docstrings that `docstrings` groups."""
    from pydoc_data.topics import topics

    for name in sorted(topics):
        yield [topics[name]]
    for path in source_files():
        yield from docstrings(path)


def source_files(root=None):
    """The standard library's .py files, sorted by name, without tests and installed packages."""
    root = Path(root or sysconfig.get_path("stdlib"))
    files = [
        p for p in root.rglob("*.py") if not SKIPPED.intersection(p.relative_to(root).parts[:-1])
    ]
    return sorted(files, key=lambda p: p.relative_to(root).as_posix())


def docstrings(path):
    """Lists of docstrings of a file: the module and its functions, then one list per class.

    The file is parsed, not imported.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # old escapes in the sources
        try:
            tree = ast.parse(Path(path).read_bytes())
        except (SyntaxError, ValueError, OSError):
            return  # not Python of this version
    functions = ast.FunctionDef, ast.AsyncFunctionDef
    groups = [[tree] + [node for node in tree.body if isinstance(node, functions)]]
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            inside = (ast.ClassDef, *functions)
            groups.append([inner for inner in ast.walk(node) if isinstance(inner, inside)])
    for group in groups:
        texts = [text for node in group if (text := ast.get_docstring(node))]
        if texts:
            yield texts


def paragraphs(text):
    """The paragraphs of a text that are prose, each on one line and without markup."""
    for block in re.split(r"\n\s*\n", text):
        lines = block.splitlines()
        if not lines or any(NOT_PROSE.search(line) for line in lines):
            continue
        block = re.sub(r"^\s*(?:[*+-]|\d+[.)])\s+", "", " ".join(" ".join(lines).split()))
        block = re.sub(
            r"``?([^`]*)``?|\*\*?(\w[^*]*)\*\*?|\"([\w.]+(?:\(\))?)\"",
            lambda m: m[1] or m[2] or m[3] or "",
            block,
        )
        block = re.sub(r":\w+:", "", block).strip()
        if len(WORDS.findall(block)) >= 5 and block[-1] in ".!?" and block.count("=") < 3:
            yield block
