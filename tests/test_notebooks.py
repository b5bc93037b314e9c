"""Lessons as notebooks: every code cell is there, and one notebook's cells run one after the other."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "scripts" / "build_notebooks.py"
RUN_CELLS = """if True:
    import json, sys
    cells = json.load(open(sys.argv[1], encoding="utf-8"))["cells"]
    names = {"__name__": "__main__"}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), cell["id"], "exec"), names)
"""


def build(*arguments):
    return subprocess.run([sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True, timeout=120)


def code(cells):
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def test_every_lesson_becomes_a_notebook_with_all_its_code(tmp_path):
    pytest.importorskip("jupytext")
    done = build("--output", tmp_path)
    assert done.returncode == 0, done.stderr
    lessons = sorted((ROOT / "lessons").glob("[0-9]*.py"))
    assert sorted(path.stem for path in tmp_path.iterdir()) == [lesson.stem for lesson in lessons]
    for lesson in lessons:
        text = (tmp_path / f"{lesson.stem}.ipynb").read_text(encoding="utf-8")
        setup, *cells = code(json.loads(text)["cells"])
        assert lesson.stem in setup and "outputs" in text
        parts = lesson.read_text(encoding="utf-8").split("# %%")
        written = [part.strip() for part in parts if part.strip() and not part.startswith(" [markdown]")]
        assert [cell.strip() for cell in cells] == written, lesson.stem


def test_the_cells_of_a_notebook_run(tmp_path):
    """In the notebook's own folder and without Jupyter; the answers of a solution are put in for the stubs."""
    pytest.importorskip("jupytext")
    folder = tmp_path / "notebooks"
    done = build("05", "--output", folder)
    assert done.returncode == 0 and [path.name for path in folder.iterdir()] == ["05_softmax_and_cross_entropy.ipynb"]
    env = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "TINYALBERT_FIGURES": str(tmp_path / "figures")}
    for answers, expected in ((None, "3 open, 0 wrong"), (ROOT / "lessons/solutions/05_softmax_and_cross_entropy.py", "3 right, 0 open")):
        env.pop("TINYALBERT_ANSWERS", None)
        if answers:
            env["TINYALBERT_ANSWERS"] = str(answers)
        done = subprocess.run([sys.executable, "-c", RUN_CELLS, "05_softmax_and_cross_entropy.ipynb"], cwd=folder, env=env,
                              capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr[-2000:]
        assert expected in done.stdout and "05_softmax_and_cross_entropy: " in done.stdout


def test_a_notebook_in_another_folder_says_so(tmp_path):
    pytest.importorskip("jupytext")
    elsewhere = tmp_path / "some" / "deeper" / "place"
    elsewhere.mkdir(parents=True)
    build("05", "--output", tmp_path / "a" / "notebooks")
    notebook = tmp_path / "a" / "notebooks" / "05_softmax_and_cross_entropy.ipynb"
    done = subprocess.run([sys.executable, "-c", RUN_CELLS, str(notebook)], cwd=elsewhere, capture_output=True, text=True)
    assert done.returncode == 1 and "runs in its own folder" in done.stderr


def test_mistakes_are_explained():
    done = build("77")
    assert done.returncode == 2 and "no lesson 77; there are" in done.stderr
    without = f"import runpy, sys; sys.modules['jupytext'] = None; sys.argv = ['x']; runpy.run_path({str(SCRIPT)!r}, run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", without], capture_output=True, text=True)
    assert done.returncode == 2 and "pip install 'tinyalbert[lessons]'" in done.stderr
    assert "--output" in build("--help").stdout
