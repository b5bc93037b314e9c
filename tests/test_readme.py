"""The README and the pages under lessons/: every command runs, with tiny arguments, and prints lines of the form
that the page shows; every file that a page names is there.
"""

import doctest
import glob
import os
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
EXPERIMENTS = sorted((ROOT / "lessons" / "experiments").glob("*.md"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "lessons").glob("*.md")), *EXPERIMENTS]
README = PAGES[0].read_text(encoding="utf-8")
TEXTS = {str(page.relative_to(ROOT)): page.read_text(encoding="utf-8") for page in PAGES}


def code_blocks(text):
    """[(language, block)] of a page."""
    return re.findall(r"^```(\w*)\n(.*?)^```", text, re.M | re.S)


def commands_of(block):
    """[(command, [lines that it prints])].  In a block with `$ ` what has none is printed; else all are commands."""
    lines = block.splitlines()
    if not any(line.startswith("$ ") for line in lines):
        return [(line, []) for line in lines]
    found = []
    for line in lines:
        if line.startswith("$ "):
            found.append((line.removeprefix("$ "), []))
        elif line.strip() != "...":
            found[-1][1].append(line)
    return found


BLOCKS = [block for text in TEXTS.values() for block in code_blocks(text)]
SHOWN = [pair for kind, block in BLOCKS if not kind for pair in commands_of(block)]
COMMANDS = list(dict.fromkeys(command for command, _ in SHOWN))
PRINTED = {command: lines for command, lines in SHOWN if lines}
INLINE = sorted({(page, code) for page, text in TEXTS.items()
                 for code in re.findall(r"`((?:tinyalbert|python3?|pytest) [^`\n]+)`", text)})
# What needs a device, several processes or somebody's download, and what is about lessons, is tested in test_devices,
# test_parallel, test_tf_checkpoint and test_lessons; here it must parse.
ELSEWHERE = ("--device gpu", "--precision bf16", "mpiexec", "downloads/", "pip install", "scripts/test.py", "scripts/environment.py",
             "scripts/handout.py", "scripts/slides.py", "lessons/")


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


def form(line):
    """A printed line without its numbers and the width of its columns."""
    return " ".join(re.sub(r"\d[\d,.]*(e[-+]\d+)?", "#", line).split())


def assert_prints(command, out):
    """Every line that the page shows has the form of a line that was printed."""
    missing = [line for line in PRINTED.get(command, []) if form(line) not in map(form, out.splitlines())]
    assert not missing, f"{command}\nshown, not printed: {missing}\nprinted:\n{out}"


def tiny(command):
    command = re.sub(r"stories:retrieval:\d+", "stories:retrieval", command)
    command = re.sub(r"stories:(\w+):\d+", r"stories:\1:40", command)
    command = small(command).replace("--held-out 12", "--held-out 1").replace("--vocab-size 8000", "--vocab-size 40")
    if "finetune" in command and "--steps" not in command:
        return command + " --epochs 1"
    return command + " --steps 10" if "--resume" in command else command


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
            assert_prints(command, out)
            assert "On your own data" in out and "from random values" in out and "guessing: 50.0%" in out
        elif "plateau.py" in command:
            script(monkeypatch, "plateau.py", *shlex.split(command)[2:], "--steps", "6", "--only", "recipe")
            assert (world / "runs" / "plateau" / "mini.png").stat().st_size > 0
        elif "benchmark.py" in command:
            continue                             # its rows are timings
        else:
            words = [w for word in shlex.split(tiny(command))[1:] for w in (glob.glob(word) or [word])]
            code, printed = main(words), capsys.readouterr()
            assert code == 0, (command, printed)
            if "fill-mask" not in command:       # its words are another model's
                assert_prints(command, printed.out)
        ran += 1
    assert ran >= 14
    for kind, block in BLOCKS:
        if kind == "python" and ">>>" not in block:
            exec(compile(block, "README.md", "exec"), {})
    assert len(capsys.readouterr().out.splitlines()) >= 3


@pytest.mark.parametrize("command", [c for c in COMMANDS if "tinyalbert " in c])
def test_commands_parse(command):
    words = shlex.split(command)
    build_parser().parse_args(words[words.index("tinyalbert") + 1:])


@pytest.mark.parametrize("page, code", INLINE)
def test_commands_within_a_sentence_name_what_there_is(page, code):
    """Their script, their subcommand, every option, and the rows of the benchmark."""
    words = shlex.split(code)
    program = words[1] if words[0].startswith("python") else words[0]
    if program == "tinyalbert":
        known = (ROOT / "tinyalbert" / "cli.py").read_text(encoding="utf-8") + subprocess.run(
            [sys.executable, "-m", "tinyalbert", words[1], "--help"], capture_output=True, text=True, check=True).stdout
    else:
        known = (ROOT / {"pytest": "tests/conftest.py"}.get(program, program)).read_text(encoding="utf-8")
    assert not [w for w in words if w.startswith("--") and w not in known]
    if "benchmark.py" in code and "--rows" in words:
        rows = [w for w in words[words.index("--rows") + 1:] if not w.startswith("--")]
        assert rows and not [row for row in rows if f"def row_{row}(" not in known]


def test_what_the_model_table_says():
    """`tinyalbert info` counts: its lines are those of the page, to the last digit."""
    command, = [c for c in PRINTED if c.startswith("tinyalbert info")]
    done = subprocess.run([sys.executable, "-m", *shlex.split(command)], capture_output=True, text=True, check=True)
    assert not set(PRINTED[command]) - set(done.stdout.splitlines())


@pytest.mark.parametrize("command", [c for c in PRINTED if "lessons/" in c])
def test_what_a_lesson_says(command, tmp_path):
    """The same but for the largest differences, which are rounding."""
    env = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "TINYALBERT_FIGURES": str(tmp_path)}
    env.pop("TINYALBERT_ANSWERS", None)
    done = subprocess.run([sys.executable, shlex.split(command)[1]], cwd=ROOT, env=env, capture_output=True, text=True,
                          check=True)
    printed = {line.split(" (largest")[0] for line in done.stdout.splitlines()}
    assert not {line.split(" (largest")[0] for line in PRINTED[command]} - printed


@pytest.mark.parametrize("page", ["README.md", "lessons/numpy.md"])
def test_the_examples_print_what_they_say(page):
    failed, tried = doctest.testfile(str(ROOT / page), module_relative=False)
    assert tried >= 6 and not failed


def links(text):
    return set(re.findall(r"\]\(([^)#]+)\)", text))


def names(text):
    """Files and folders in backticks: `ops.py`, `text/`, `kernels/gpu/*.cu`, `experiments/plateau.md`."""
    return set(re.findall(r"`((?:[a-z_]+/)*(?:[\w*]+\.(?:py|cu|md)|[a-z]+/))`", text))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_it_names_is_there(page):
    text = TEXTS[str(page.relative_to(ROOT))]
    named = set(re.findall(r"(?:scripts|lessons)/\w+\.py", text))
    assert not [name for name in named if not (ROOT / name).exists()]
    assert not [link for link in links(text) if not (page.parent / link).exists()]
    homes = (ROOT, ROOT / "tinyalbert", ROOT / "tests", page.parent)
    assert not [n for n in names(text) if not any(glob.glob(str(home / n)) for home in homes)]
    if page.name == "README.md":
        assert len(named | links(text) | names(text)) > 25


def test_every_experiment_is_a_link_of_the_readme_and_starts_with_its_summary():
    for page in EXPERIMENTS:
        assert str(page.relative_to(ROOT)) in links(README)
        summary = page.read_text(encoding="utf-8").split("\n\n")[1]
        assert page.name == "quickstart.md" or summary.startswith("**") and summary.rstrip().endswith("**")
