"""The package reads from top to bottom: imports point up, files are short, importing it is light."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import tinyalbert

PACKAGE = Path(tinyalbert.__file__).parent
ORDER = ["errors", "backend", "transfer", "modes", "tensor", "training", "kernels", "ops", "gradcheck", "nn", "config", "attention", "files",
         "albert", "heads", "optim"]
CORE = [name for name in ORDER if name not in ("kernels", "training", "files")]
FILES = sorted(PACKAGE.rglob("*.py"))


def imported_at_the_top(path):
    """Modules of this package that a file imports when it is imported itself (not inside functions)."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.level:
            names |= {node.module.split(".")[0]} if node.module else {a.name for a in node.names}
    return names


@pytest.mark.parametrize("name", [n for n in CORE if (PACKAGE / f"{n}.py").exists()])
def test_imports_point_up(name):
    above = set(ORDER[:ORDER.index(name)])
    assert imported_at_the_top(PACKAGE / f"{name}.py") <= above


def test_no_file_is_a_drawer():
    assert not {p.name for p in FILES} & {"utils.py", "common.py", "helpers.py", "misc.py"}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_every_file_says_what_it_is(path):
    text = path.read_text(encoding="utf-8")
    assert not text.strip() or ast.get_docstring(ast.parse(text)), "no docstring"


@pytest.mark.parametrize("module", ["tinyalbert", "tinyalbert.heads", "tinyalbert.training.trainer"])
def test_importing_is_light(module):
    code = f"import sys, {module}; print(*sorted({{m.split('.')[0] for m in sys.modules}}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "tinyalbert" in loaded
    extras = {"scipy", "torch", "transformers", "matplotlib", "sentencepiece", "cupy", "mpi4py", "tqdm", "safetensors",
              "threadpoolctl", "pytest", "hypothesis"}
    assert not extras & set(loaded)


def test_the_folder_kernels_can_be_taken_out(tmp_path):
    shutil.copytree(PACKAGE, tmp_path / "tinyalbert", ignore=shutil.ignore_patterns("kernels", "__pycache__"))
    code = (f"import sys; sys.path.insert(0, {str(tmp_path)!r}); "         # and nothing that finds an installed tinyalbert
            "sys.meta_path = [f for f in sys.meta_path if 'editable' not in getattr(f, '__module__', '') + repr(f)]; "
            "import tinyalbert, numpy; from tinyalbert.tensor import KERNELS; from tinyalbert import ops; "
            "print(tinyalbert.__file__, len(KERNELS), ops.gelu(numpy.zeros(2)).shape)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split(maxsplit=1) == [str(tmp_path / "tinyalbert" / "__init__.py"), "0 (2,)\n"], done.stderr


@pytest.mark.parametrize("path", sorted(Path(__file__).parent.glob("test_*.py")), ids=lambda p: p.name)
def test_every_comparison_with_others_belongs_to_the_parity_job(path):
    """`scripts/test.py --parity` runs what is marked `parity`; elsewhere these tests are skipped."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    whole_file = any("pytestmark = pytest.mark.parity" == ast.unparse(node) for node in body)
    for node in body:
        calls = {ast.unparse(n) for n in ast.walk(node) if isinstance(n, ast.Call)}
        if calls & {f"pytest.importorskip('{name}')" for name in ("torch", "transformers", "tensorflow")}:
            assert whole_file or "pytest.mark.parity" in map(ast.unparse, getattr(node, "decorator_list", [])), node.lineno
