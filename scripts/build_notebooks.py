#!/usr/bin/env python3
"""The lessons as Jupyter notebooks: lessons/NN_name.py -> lessons/notebooks/NN_name.ipynb.

    python scripts/build_notebooks.py                  all of them
    python scripts/build_notebooks.py 05 08            these
    python scripts/build_notebooks.py --output DIR     elsewhere

Needs jupytext (pip install 'tinyalbert[lessons]'); opening them needs Jupyter or VS Code.  A
notebook of the same name is replaced, so write your answers into a copy, or into the lesson's .py
file, which both programs open as well."""

import argparse
import os
import sys
from pathlib import Path

LESSONS = Path(__file__).resolve().parent.parent / "lessons"
SETUP = """\
# The lesson's helpers are in the folder {folder}, seen from the notebook's own.
import os
import sys
from pathlib import Path

LESSONS = Path({folder!r}).resolve()
if not (LESSONS / "_check.py").exists():
    raise SystemExit(f"no {{LESSONS / '_check.py'}}; start Jupyter so that a notebook runs in its own folder")
sys.path.insert(0, str(LESSONS))
os.environ["TINYALBERT_LESSON"] = {name!r}"""


def build(lesson, output):
    """Write one lesson as a notebook into the folder `output`; returns its path."""
    import jupytext
    from nbformat.v4 import new_code_cell

    notebook = jupytext.read(lesson, fmt="py:percent")
    setup = SETUP.format(folder=Path(os.path.relpath(LESSONS, output)).as_posix(), name=lesson.stem)
    notebook.cells.insert(0, new_code_cell(setup))
    for i, cell in enumerate(notebook.cells):
        cell.id = f"cell-{i}"  # else random: the same lesson gives the same file
    notebook.metadata["kernelspec"] = {
        "name": "python3",
        "display_name": "Python 3",
        "language": "python",
    }
    path = output / f"{lesson.stem}.ipynb"
    jupytext.write(notebook, path, fmt="ipynb")
    return path


def main(argv=None):
    """Build what the arguments name; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("lesson", nargs="*", help="numbers of lessons, such as 05; all if left out")
    parser.add_argument(
        "--output", type=Path, default=LESSONS / "notebooks", help="folder (%(default)s)"
    )
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
    unknown = [
        number for number in arguments.lesson if number not in [path.stem[:2] for path in lessons]
    ]
    if unknown:
        print(
            f"there is no lesson {', '.join(unknown)}; there are "
            f"{', '.join(path.stem[:2] for path in lessons)}",
            file=sys.stderr,
        )
        return 2
    arguments.output.mkdir(parents=True, exist_ok=True)
    for lesson in lessons:
        if not arguments.lesson or lesson.stem[:2] in arguments.lesson:
            print(build(lesson, arguments.output))
    return 0


if __name__ == "__main__":
    sys.exit(main())
