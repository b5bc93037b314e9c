"""The README: every command in it runs, with tiny arguments; every file it names is there."""

import doctest
import glob
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from test_cli import small

from tinyalbert.cli import build_parser, main

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", TEXT, re.M | re.S)
COMMANDS = [line.removeprefix("$ ") for kind, block in BLOCKS if not kind for line in block.splitlines()
            if not line.startswith(" ")]
# What needs a device, several processes or somebody's download is tested in test_devices, test_parallel and
# test_tf_checkpoint; here it must parse.
ELSEWHERE = ("--device gpu", "mpiexec", "downloads/", "pip install", "scripts/test.py", "scripts/environment.py",
             "lessons/")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with the files that the README's reader has."""
    folder = tmp_path_factory.mktemp("reader")
    say = "{} went to the {} and found a {} there.\nNobody knew why."
    book = "\n\n".join(say.format(n, p, t) for n in ("Anna", "Bob", "Carl") for p in ("mill", "shop", "bridge")
                       for t in ("kite", "ring", "clock", "boat"))
    (folder / "book.txt").write_text("\n\n".join([book] * 4), encoding="utf-8")
    (folder / "speeches").mkdir()
    for i in range(3):
        (folder / "speeches" / f"{i}.txt").write_text("\n\n".join([book] * 4), encoding="utf-8")
    (folder / "reviews.tsv").write_text("sentence\tlabel\n" + "a fine film\tgood\na dull one\tbad\n" * 10)
    return folder


def script(monkeypatch, name, *arguments, **constants):
    """Run a script of scripts/ as it stands, without installing anything; constants replace its globals."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import environment
    monkeypatch.setattr(environment, "enter", lambda extras: None)
    scope = runpy.run_path(str(ROOT / "scripts" / name))
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    scope["main"].__globals__.update(constants)
    return scope["main"]()


def test_the_quickstart_replaces_only_what_it_made(tmp_path, monkeypatch):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(SystemExit, match="there already"):
        script(monkeypatch, "quickstart.py", "--overwrite", "--output", str(tmp_path))
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_the_course_is_set_up_by_what_its_readme_says(tmp_path, monkeypatch, capsys):
    command, = re.findall(r"Set up once with `python3 (.*?)`", (ROOT / "lessons" / "README.md").read_text())
    (tmp_path / "scripts").mkdir()
    for name in (command, "pyproject.toml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    ran = []

    def record(command, **_):
        ran.append(" ".join(map(str, command)))
        (tmp_path / ".venv").mkdir(exist_ok=True)
        return subprocess.CompletedProcess(command, 0)
    monkeypatch.setattr(subprocess, "run", record)
    monkeypatch.setattr(sys, "argv", [command])
    runpy.run_path(str(tmp_path / command), run_name="__main__")
    assert ["-m venv" in ran[0], "pip install" in ran[1], f"{tmp_path}[lessons]" in ran[1]] == [True] * 3
    assert "ready: .venv" in capsys.readouterr().out


def tiny(command):
    command = small(command).replace("--held-out 12", "--held-out 1").replace("--vocab-size 8000", "--vocab-size 40")
    return command + " --epochs 1" if "finetune" in command else command + " --steps 10" if "--resume" in command else command


def test_the_quickstart_and_all_commands_after_it(world, monkeypatch, capsys):
    """In one folder, as the reader types them; the quickstart first, whose model the first screen shows."""
    monkeypatch.chdir(world)
    ran = 0
    for command in sorted(COMMANDS, key=lambda line: "quickstart.py" not in line):
        if any(word in command for word in ELSEWHERE):
            continue
        if "quickstart.py" in command:
            script(monkeypatch, "quickstart.py", "--minutes", "0.05", "--stories", "300", "--overwrite", LABELLED=24,
                   HELD_OUT=16)
            out = capsys.readouterr().out
            assert "On your own data" in out and "from random values" in out and "guessing: 50.0%" in out
        elif "plateau.py" in command:
            script(monkeypatch, "plateau.py", *shlex.split(command)[2:], "--steps", "6", "--only", "recipe")
            assert (world / "runs" / "plateau" / "mini.png").stat().st_size > 0
        elif "benchmark.py" in command:
            continue                             # its rows are timings
        else:
            words = [w for word in shlex.split(tiny(command))[1:] for w in (glob.glob(word) or [word])]
            assert main(words) == 0, (command, capsys.readouterr())
        ran += 1
    assert ran >= 11
    for kind, block in BLOCKS:
        if kind == "python" and ">>>" not in block:
            exec(compile(block, "README.md", "exec"), {})
    assert len(capsys.readouterr().out.splitlines()) >= 3


@pytest.mark.parametrize("command", [c for c in COMMANDS if "tinyalbert " in c])
def test_commands_parse(command):
    words = shlex.split(command)
    build_parser().parse_args(words[words.index("tinyalbert") + 1:])


def test_the_first_example_prints_what_it_says():
    failed, tried = doctest.testfile(str(ROOT / "README.md"), module_relative=False)
    assert tried >= 6 and not failed


def test_every_file_it_names_is_there():
    named = set(re.findall(r"\]\(([^)#]+)\)", TEXT)) | {f"tests/{n}" for n in re.findall(r"`(test_\w+\.py)`", TEXT)}
    named |= {f"tinyalbert/{n}" for n in re.findall(r"`([a-z_]+\.py|[a-z]+/)`", TEXT) if not n.startswith("test_")}
    named |= set(re.findall(r"(?:scripts|lessons)/\w+\.py", TEXT))
    assert len(named) > 25
    assert not [name for name in named if not (ROOT / name).exists()]
