"""The package reads from top to bottom: imports point up, files are short, importing it is light."""

import ast
import graphlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import tinyalbert

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = Path(tinyalbert.__file__).parent
ORDER = list(tinyalbert.READING_ORDER)
LATER = {"__main__"}                             # which no table needs
FILES = sorted(PACKAGE.rglob("*.py"))


def module_name(path):
    """training/loop.py -> "training.loop"; a folder's __init__.py -> the folder; the package itself is ""."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


MODULES = {module_name(path): path for path in FILES}


def imports(path):
    """Modules of this package that a file imports, at its top or inside a function, as "training.loop"."""
    here = [part for part in path.relative_to(PACKAGE).parent.parts]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.removeprefix("tinyalbert.") for alias in node.names
                      if alias.name.startswith("tinyalbert.")}
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        module = [*here[:len(here) - node.level + 1], *(node.module.split(".") if node.module else [])]
        for alias in node.names:
            submodule = ".".join([*module, alias.name])
            found.add(submodule if submodule in MODULES else ".".join(module))
    return found - {"", module_name(path)}


def room(module):
    return module.split(".")[0]


def test_the_reading_order_names_what_is_there():
    assert sorted(ORDER) == sorted({room(name) for name in MODULES} - {""})
    assert all(text and not text.endswith(".") for text in tinyalbert.READING_ORDER.values())


def test_the_readme_has_the_same_order():
    rows = re.findall(r"^\| [^|]+ \| `([a-z_]+)(?:\.py|/)` \|", (ROOT / "README.md").read_text(encoding="utf-8"), re.M)
    assert rows == [name for name in ORDER if name not in LATER]


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_point_up(module):
    """Deferred imports too, and those of kernels/: a file uses what stands above it in the reading order."""
    if module == "":
        return                                   # the front door, which hands out names from everywhere
    above = ORDER[:ORDER.index(room(module)) + 1]
    below = {name for name in imports(MODULES[module]) if room(name) not in above}
    assert not below, f"{module} imports {below}, further down in READING_ORDER"


def test_nothing_imports_in_a_circle():
    graph = {name: imports(path) - {name.rpartition(".")[0]} for name, path in MODULES.items() if name}
    list(graphlib.TopologicalSorter(graph).static_order())       # raises CycleError


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


def test_every_public_name_is_there():
    assert all(getattr(tinyalbert, name).__name__.endswith(name) for name in tinyalbert.__all__)
