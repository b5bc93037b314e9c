"""What a release consists of: the licence, the top level, and the script that tries the wheel.  The script itself takes
minutes and needs a package index: python3 scripts/wheels.py."""

import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "scripts" / "wheels.py"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture
def wheels(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    return runpy.run_path(str(SCRIPT))


def test_the_licence_is_named_and_there():
    assert PROJECT["license"] == "MIT" and PROJECT["license-files"] == ["LICENSE"]
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert text.startswith("MIT License") and "The tinyalbert authors" in text


def test_the_top_level_holds_nothing_else():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    top = {name.split("/")[0] for name in listed.stdout.splitlines()}
    assert {name for name in top if not name.startswith(".")} == {
        "pyproject.toml", "README.md", "LICENSE", "tinyalbert", "lessons", "tests", "scripts"}


def test_the_oldest_python_is_the_one_that_is_promised(wheels):
    assert PROJECT["requires-python"] == ">=" + wheels["PYTHONS"][0]


@pytest.mark.parametrize("answer, problems", [((0, "accuracy 1.0"), 0), ((0, "something else"), 1), ((2, "accuracy"), 1),
                                              ((0, "accuracy\nTraceback (most recent call last)"), 1)])
def test_an_answer_counts_only_if_it_is_right(wheels, answer, problems):
    assert len(list(wheels["wrong"]("evaluate", "accuracy", *answer))) == problems


def test_versions_of_interest_are_picked_out(wheels):
    assert wheels["versions"]("attrs==26.1\nnumpy==2.0.0\n    # via x\ntqdm==4.60.0\n") == "numpy 2.0.0 tqdm 4.60.0"


def test_the_script_explains_itself_and_overwrites_nothing(tmp_path):
    told = subprocess.run([sys.executable, SCRIPT, "--help"], capture_output=True, text=True)
    assert told.returncode == 0 and "--dependencies" in told.stdout
    refused = subprocess.run([sys.executable, SCRIPT, "--keep", tmp_path], capture_output=True, text=True)
    assert refused.returncode == 2 and "name a new folder" in refused.stderr
