#!/usr/bin/env python3
"""The lessons as Jupyter notebooks: lessons/NN_name.py -> lessons/notebooks/NN_name.ipynb.

    python scripts/build_notebooks.py                  all of them
    python scripts/build_notebooks.py 05 08            these
    python scripts/build_notebooks.py --output DIR     elsewhere
    python scripts/build_notebooks.py --repository URL where Colab gets the project

Needs jupytext (pip install 'tinyalbert[lessons]'); opening them needs Jupyter or VS Code.  Each
question has a cell of its own: what comes after it stands in the next one.  A notebook into which
something was written is replaced only if you say so."""

import argparse
import ast
import hashlib
import os
import sys
from pathlib import Path

LESSONS = Path(__file__).resolve().parent.parent / "lessons"
SETUP = """\
# The lesson's helpers are in the folder {folder}, seen from the notebook's own.  Elsewhere (Colab,
# say), this cell gets the project from REPOSITORY, with git, and installs what it needs.
import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = {repository!r}
LESSONS = Path({folder!r}).resolve()
if not (LESSONS / "_check.py").exists():
    if not REPOSITORY:
        raise SystemExit(
            f"no {{LESSONS / '_check.py'}}; start Jupyter so that a notebook runs in its own folder, "
            "or write the project's address into REPOSITORY"
        )
    LESSONS = Path("tinyalbert", "lessons").resolve()
    if not (LESSONS / "_check.py").exists():
        fetch = ["git", "clone", "--depth", "1", REPOSITORY, "tinyalbert"]
        if subprocess.run(fetch).returncode:
            raise SystemExit(
                f"the project could not be fetched from {{REPOSITORY}}; is that its address?"
            )
    install = [sys.executable, "-m", "pip", "install", "-q", "./tinyalbert[lessons]"]
    if subprocess.run(install).returncode:
        raise SystemExit("pip could not install what the lessons need (see above)")
if str(LESSONS) not in sys.path:
    sys.path.insert(0, str(LESSONS))
os.environ["TINYALBERT_LESSON"] = {name!r}"""


def split(source):
    """A code cell as several: a question (an exercise, a predict) ends its cell."""
    lines, cells, start = source.split("\n"), [], 0
    for statement in ast.parse(source).body:
        if _asks(statement):
            first = min(
                [statement.lineno, *(d.lineno for d in getattr(statement, "decorator_list", []))]
            )
            if first - 1 > start and _is_exercise(statement):
                cells.append(lines[start : first - 1])  # what stands above an exercise
                start = first - 1
            cells.append(lines[start : statement.end_lineno])
            start = statement.end_lineno
    cells.append(lines[start:])
    texts = ["\n".join(cell).strip("\n") for cell in cells]
    return [text for text in texts if text.strip()]


def _asks(statement):
    return _is_exercise(statement) or (
        isinstance(statement, ast.Assign)
        and isinstance(statement.value, ast.Call)
        and getattr(statement.value.func, "id", "") == "predict"
    )


def _is_exercise(statement):
    return isinstance(statement, ast.FunctionDef) and any(
        isinstance(d, ast.Call) and getattr(d.func, "id", "") == "exercise"
        for d in statement.decorator_list
    )


def notebook_of(lesson, output, repository):
    """A lesson as a notebook that is to lie in the folder `output`."""
    import jupytext
    from nbformat.v4 import new_code_cell

    notebook = jupytext.read(lesson, fmt="py:percent")
    folder = Path(os.path.relpath(LESSONS, output)).as_posix()
    setup = SETUP.format(folder=folder, name=lesson.stem, repository=repository)
    cells = [new_code_cell(setup)]
    for cell in notebook.cells:
        parts = split(cell.source) if cell.cell_type == "code" else []
        cells += [cell] if len(parts) < 2 else [new_code_cell(part) for part in parts]
    for i, cell in enumerate(cells):
        cell.id = f"cell-{i}"  # else random: the same lesson gives the same file
    notebook.cells = cells
    notebook.metadata["kernelspec"] = {
        "name": "python3",
        "display_name": "Python 3",
        "language": "python",
    }
    notebook.metadata["tinyalbert"] = {"built": _digest(notebook)}
    return notebook


def _digest(notebook):
    """Of what a reader can write into; outputs don't count."""
    text = "\0".join(f"{cell.cell_type}\0{cell.source}" for cell in notebook.cells)
    return hashlib.sha256(text.encode()).hexdigest()


def may_replace(path, force):
    """Whether a notebook may be written to `path`: nothing is there, or nothing of a reader's."""
    import nbformat

    if force or not path.exists():
        return True
    try:
        there = nbformat.read(path, as_version=4)
        if there.metadata.get("tinyalbert", {}).get("built") == _digest(there):
            return True
    except Exception:  # whatever it is, it's not ours
        pass
    if sys.stdin.isatty():
        return input(f"{path} was changed since it was built. Replace it? [y/N] ").lower() == "y"
    print(
        f"{path} was changed since it was built, and is left alone; --force replaces it, "
        "--output DIR writes elsewhere",
        file=sys.stderr,
    )
    return False


def build(lessons, output, repository, force):
    """Write these lessons as notebooks; returns the exit code."""
    import jupytext

    output.mkdir(parents=True, exist_ok=True)
    code = 0
    for lesson in lessons:
        path = output / f"{lesson.stem}.ipynb"
        if may_replace(path, force):
            jupytext.write(notebook_of(lesson, output, repository), path, fmt="ipynb")
            print(path)
        else:
            code = 2
    return code


def main(argv=None):
    """Build what the arguments name; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("lesson", nargs="*", help="numbers of lessons, such as 05; all if left out")
    parser.add_argument(
        "--output", type=Path, default=LESSONS / "notebooks", help="folder (%(default)s)"
    )
    parser.add_argument(
        "--repository",
        default=os.environ.get("TINYALBERT_REPOSITORY", ""),
        metavar="URL",
        help="git address for the first cell (default: $TINYALBERT_REPOSITORY, or none)",
    )
    parser.add_argument("--force", action="store_true", help="replace notebooks that were changed")
    arguments = parser.parse_args(argv)
    try:
        import jupytext  # noqa: F401
    except ImportError:
        print(
            "notebooks are made by jupytext, which is not installed: pip install "
            "'tinyalbert[lessons]' "
            "(or run the lessons as they are: python lessons/00_tour.py)",
            file=sys.stderr,
        )
        return 2
    lessons = sorted(LESSONS.glob("[0-9]*.py"))
    numbers = [path.stem[:2] for path in lessons]
    unknown = [number for number in arguments.lesson if number not in numbers]
    if unknown:
        print(
            f"there is no lesson {', '.join(unknown)}; there are {', '.join(numbers)}",
            file=sys.stderr,
        )
        return 2
    chosen = [p for p in lessons if not arguments.lesson or p.stem[:2] in arguments.lesson]
    return build(chosen, arguments.output, arguments.repository, arguments.force)


if __name__ == "__main__":
    sys.exit(main())
