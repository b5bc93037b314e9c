"""Every reader of files, with some of the inputs of scripts/fuzz.py: nothing but UserErrors come out."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tinyalbert import UserError

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
import fuzz  # noqa: E402

SOME = 15                                                # inputs of each reader


@pytest.fixture(scope="module", autouse=True)
def _nothing_is_left():
    yield
    shutil.rmtree(fuzz.FOLDER, ignore_errors=True)


@pytest.mark.parametrize("name", fuzz.READERS)
@pytest.mark.filterwarnings("ignore")
def test_only_our_own_error_comes_out(name):
    shutil.rmtree(fuzz.FOLDER, ignore_errors=True)
    fuzz.FOLDER.mkdir()
    seeds, read = fuzz.READERS[name]()
    inputs = list(fuzz.by_hand(seeds))
    outcomes = {"read": 0, "refused": 0}
    for data in [*seeds, *inputs[:: len(inputs) // SOME]]:
        try:
            read(data)
            outcomes["read"] += 1
        except UserError as refusal:
            outcomes["refused"] += 1
            assert len(str(refusal)) < 2000
    assert outcomes["read"] >= len(seeds) - (name == "torch-stream") or name == "finetune-settings", outcomes
    assert outcomes["refused"] or name in ("json-text", "protobuf")


def test_a_finding_is_told_and_kept(tmp_path):
    program = (
        "import sys; sys.path.insert(0, 'scripts'); import fuzz\n"
        "def bad(): return [b'x'], lambda data: data.index(b'x')\n"
        "def slow(): return [b'x'], lambda data: [None for i in iter(int, 1)]\n"
        "fuzz.READERS.update(bad=bad, slow=slow); fuzz.SECONDS = 0.02\n"
        f"fuzz.child(sys.argv[1], 5, 1, {str(tmp_path)!r}, {str(tmp_path / 'report')!r}, True)\n")
    for name, words in (("bad", "ValueError at fuzz.py|ValueError at <string>"), ("slow", "TooLong at")):
        subprocess.run([sys.executable, "-c", program, name], cwd=ROOT, check=True)
        assert any(word in (tmp_path / "report").read_text() for word in words.split("|"))
        assert list(tmp_path.glob(f"{name}-*.txt"))
