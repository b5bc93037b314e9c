"""Lessons as notebooks: every code cell is there, and one notebook's cells run one after the other."""

import ast
import importlib.util
import json
import os
import re
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


def here(*arguments):
    """The script's main() in this process, as often as a test needs it; its exit code."""
    spec = importlib.util.spec_from_file_location("build_notebooks", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main([str(a) for a in arguments])


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
        written = [part for part in parts if not part.startswith(" [markdown]")]
        assert "\n".join(cells).split() == "\n".join(written).split(), lesson.stem
        for cell in cells:                       # a question ends its cell: no answer, and no second question, stands in it
            asked = [s for s in ast.parse(cell).body if re.match(r"@exercise|\w+ = predict\(", ast.unparse(s))]
            assert not asked or len(asked) == 1 and ast.unparse(asked[0]) == ast.unparse(ast.parse(cell).body[-1]), cell


def test_what_was_written_into_a_notebook_is_not_overwritten(tmp_path, capsys):
    pytest.importorskip("jupytext")
    path = tmp_path / "05_softmax_and_cross_entropy.ipynb"
    assert here("05", "--output", tmp_path) == 0
    fresh = path.read_text(encoding="utf-8")
    assert here("05", "--output", tmp_path) == 0 and path.read_text(encoding="utf-8") == fresh
    path.write_text(fresh.replace('"outputs": []', '"outputs": [{"name": "stdout", "output_type": "stream", "text": ["1"]}]', 1), encoding="utf-8")
    assert here("05", "--output", tmp_path) == 0             # it was only run
    mine = fresh.replace("    ...", "    return y * g", 1)
    path.write_text(mine, encoding="utf-8")
    assert here("05", "--output", tmp_path) == 2 and "changed since it was built" in capsys.readouterr().err
    assert path.read_text(encoding="utf-8") == mine
    path.write_text("{}", encoding="utf-8")
    assert here("05", "--output", tmp_path) == 2
    assert here("05", "--output", tmp_path, "--force") == 0 and path.read_text(encoding="utf-8") == fresh


def test_elsewhere_the_first_cell_gets_the_project(tmp_path):
    """As in Colab, where there is a notebook and nothing else; in the place of pip stands a file that notes its arguments."""
    pytest.importorskip("jupytext")
    project = tmp_path / "project"
    (project / "lessons").mkdir(parents=True)
    (project / "lessons" / "_check.py").write_text("found = True\n")
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip" / "__init__.py").write_text("")
    (tmp_path / "pip" / "__main__.py").write_text("import sys\nopen('pip.txt', 'w').write(' '.join(sys.argv[1:]))\n")
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org", "-C", str(project)]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"]):
        subprocess.run([*git, *words], check=True, capture_output=True)
    for address, code in ((f"file://{project}", 0), (f"file://{tmp_path}/nothing", 1)):
        assert here("05", "--output", tmp_path / "a" / "notebooks", "--repository", address) == 0
        cells = json.loads((tmp_path / "a" / "notebooks" / "05_softmax_and_cross_entropy.ipynb").read_text(encoding="utf-8"))["cells"]
        elsewhere = tmp_path / f"content{code}" / "b" / "c"
        elsewhere.mkdir(parents=True)
        done = subprocess.run([sys.executable, "-c", code_of_setup(cells) + "\nimport _check\nprint(_check.found)"], cwd=elsewhere, env={
            **os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, timeout=60)
        assert done.returncode == code, done.stderr
        if code == 0:
            assert done.stdout.strip() == "True" and (elsewhere / "pip.txt").read_text() == "install -q ./tinyalbert[lessons]"
        else:
            assert f"could not be fetched from {address}; is that its address?" in done.stderr and "Traceback" not in done.stderr


def code_of_setup(cells):
    return code(cells)[0]


@pytest.mark.skipif(os.environ.get("HYPOTHESIS_PROFILE") != "deep", reason="runs every lesson in Jupyter's kernel: scripts/test.py --all")
@pytest.mark.parametrize("name", [path.stem for path in sorted((ROOT / "lessons").glob("[0-9]*.py"))])
def test_every_notebook_runs_in_jupyter(name, tmp_path, monkeypatch):
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("TINYALBERT_FIGURES", str(tmp_path / "figures"))
    monkeypatch.delenv("TINYALBERT_ANSWERS", raising=False)
    assert build(name[:2], "--output", tmp_path).returncode == 0
    notebook = nbformat.read(tmp_path / f"{name}.ipynb", as_version=4)
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    printed = "".join(output.get("text", "") for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs)
    assert f"{name}: " in printed and " 0 wrong" in printed and printed.count(": open") >= 2


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
