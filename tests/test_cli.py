"""The command line, as its user types it: every command, every example in its help, every usual mistake."""

import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import fakecupy
import numpy as np
import on_device
import pytest

from tinyalbert.cli import build_parser, main

TINY = {"--minutes": "--steps 8 --eval-every 4", "stories:4000": "stories:60", "stories:2000": "stories:120",
        "--vocab-size 1200": "--vocab-size 400", " stories ": " stories:60 ", "my_book.txt": "book.txt",
        "base_v2": "base_v2"}


def small(command):
    """An example with less work: the same commands and options, tiny sizes."""
    command = re.sub(r"--minutes [\d.]+", TINY["--minutes"], command)
    for long, short in TINY.items():
        command = command.replace(long, short)
    return command


def run(command):
    return main(shlex.split(command)[1:])


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with a small pretrained model, a classifier, a book and a table; the commands run inside it."""
    folder = tmp_path_factory.mktemp("world")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run("tinyalbert pretrain stories:150 --preset tiny --steps 12 --eval-every 6 --output runs/stories") == 0
        assert run("tinyalbert finetune stories:topic:60 --dev stories:topic:30 --model runs/stories --output runs/topic "
                   "--epochs 1") == 0
        sentence = "{} went to the {} and found a {} there. Nobody knew why."
        names, places, things = ("Anna", "Bob", "Carl"), ("mill", "shop", "bridge"), ("kite", "ring", "clock")
        text = "\n\n\n".join("\n".join(sentence.format(n, p, t) for p in places for t in things) for n in names)
        (folder / "book.txt").write_text(text * 6, encoding="utf-8")
        yield folder


@pytest.fixture
def inside(world, monkeypatch, capsys):
    monkeypatch.chdir(world)
    return capsys


def examples():
    """(command name, its example commands) from the help texts."""
    subparsers = next(a for a in build_parser()._actions if hasattr(a, "choices") and a.choices)
    for name, parser in subparsers.choices.items():
        lines = [line.strip() for line in parser.epilog.splitlines()[1:]]
        yield name, [line for line in lines if line.startswith("tinyalbert ")]


@pytest.mark.parametrize("name, lines", list(examples()), ids=lambda x: x if isinstance(x, str) else "")
def test_the_examples_in_the_help_work_as_typed(name, lines, inside, world, tmp_path):
    """In an empty folder, unless the example needs what other commands have made."""
    assert lines and all(line.split()[1] in dict(examples()) for line in lines)
    if name == "convert":                        # released weights can't be shipped: our own folder stands for them
        assert run(f"tinyalbert convert runs/stories --output {tmp_path / 'converted'}") == 0
        return
    shutil.copytree(world, tmp_path / "w", ignore=shutil.ignore_patterns("data") if name != "pretrain" else None)
    for made in ("vocabulary", "data", "book", *(["stories"] if name in ("pretrain", "finetune") else []),
                 *(["topic"] if name == "finetune" else [])):
        shutil.rmtree(tmp_path / "w" / "runs" / made, ignore_errors=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path / "w")
        for line in lines:
            if "--resume" in line:               # more steps than the run before had
                line += " --steps 12"
            assert run(small(line)) == 0, (line, inside.readouterr())


def test_without_arguments_the_course_is_named(capsys):
    assert main([]) == 0
    out = capsys.readouterr().out
    assert "lessons/00" in out and "an afternoon" in out and "a weekend" in out and "the whole" in out


def test_a_pretraining_folder_has_all_that_is_promised(world):
    folder = world / "runs" / "stories"
    for name in ("config.json", "model.safetensors", "spiece.model", "tokenizer_config.json", "special_tokens_map.json",
                 "log.jsonl", "loss.png", "pretrain.json", "last/training_state.safetensors"):
        assert (folder / name).stat().st_size > 0, name
    kinds = [json.loads(line)["kind"] for line in (folder / "log.jsonl").read_text().splitlines()]
    assert kinds[0] == "start" and {"train", "eval"} <= set(kinds)


def test_predictions_and_scores_agree(inside, world):
    assert run("tinyalbert evaluate runs/topic stories:topic:40") == 0
    accuracy = float(re.search(r"accuracy +([\d.]+)", inside.readouterr().out)[1])
    assert run("tinyalbert predict runs/topic stories:topic:40 --output p.tsv") == 0
    said = [line.split("\t") for line in (world / "p.tsv").read_text().splitlines()]
    from tinyalbert.tasks.finetune import read_rows
    gold = [r.label for r in read_rows("stories:topic:40", split="test")]
    assert said[0][:4] == ["index", "prediction", "bakery", "farm"] and len(said) == 41
    assert np.mean([row[1] == g for row, g in zip(said[1:], gold)]) == pytest.approx(accuracy, abs=1e-4)


TABLE = "sentence\tlabel\ngood day\tyes\nbad day\tno\n"


@pytest.mark.parametrize("command, words", [
    ("pretrain missing.txt --output x", ["missing.txt", "no file"]),
    ("pretrain empty.txt --output x", ["no text"]),
    ("pretrain one.txt --output x --steps 3", ["one sentence"]),
    ("pretrain stories:60 --vocab-size 9000 --output x --steps 3", ["vocabulary of 9000", "at most"]),
    ("pretrain stories:60 --preset huge --output x --steps 3", ["preset 'huge'", "mini"]),
    ("pretrain stories:60 --config heads.json --output x --steps 3", ["hidden_size 10", "3 heads"]),
    ("pretrain stories:60 --max-length 4000 --output x --steps 3", ["4000", "positions"]),
    ("pretrain runs/stories/data --output runs/stories --steps 3", ["already holds", "--resume"]),
    ("pretrain --resume --output nowhere", ["nowhere", "without --resume"]),
    ("prepare stories:60 --tokenizer nowhere --output x", ["nowhere", "spiece.model"]),
    ("prepare latin.txt --tokenizer runs/stories --output x", ["latin.txt", "UTF-8"]),
    ("finetune columns.tsv --model runs/stories --output x", ["columns.tsv, line 3", "3 columns", "wanted 2"]),
    ("finetune few.tsv --model runs/stories --output x", ["few.tsv", "at least 10"]),
    ("finetune nolabel.tsv --model runs/stories --output x", ["no column for the label", "text"]),
    ("finetune stories:nothing --model runs/stories --output x", ["nothing", "sentiment"]),
    ("finetune stories:ending --model nowhere --output x", ["nowhere"]),
    ("evaluate runs/topic unknown.tsv", ["unknown.tsv, line 3", "perhaps", "farm"]),
    ("evaluate runs/stories stories:ending", ["holds no classifier", "finetune"]),
    ("fill-mask runs/stories nothing", ["[MASK]"]),
    ("fill-mask nowhere [MASK]", ["nowhere"]),
    ("info nowhere", ["nowhere", "base_v2"]),
    ("convert nowhere --output x", ["nowhere"]),
    ("pretrain stories:60 --output x --steps 3 --device gpu", ["gpu", "CuPy"]),
])
def test_a_mistake_gets_one_sentence_and_exit_code_2(command, words, inside, world, tmp_path, request):
    if "gpu" in command and request.config.getoption("--backend", default="numpy") != "numpy":
        pytest.skip("there is a device on this backend")
    (world / "empty.txt").write_text("\n \n")
    (world / "one.txt").write_text("\n\n".join(f"This is sentence number {i} of its own document." for i in range(60)))
    (world / "latin.txt").write_bytes(b"caf\xe9 and more text. It is not valid.\n" * 20)
    (world / "heads.json").write_text(json.dumps({"hidden_size": 10, "num_attention_heads": 3}))
    (world / "columns.tsv").write_text("sentence\tlabel\ngood day\tyes\nbad\tday\tno\n")
    (world / "few.tsv").write_text(TABLE)
    (world / "nolabel.tsv").write_text("text\nhello\n")
    (world / "unknown.tsv").write_text("text\tlabel\nall went well\tfarm\nwho knows\tperhaps\n")
    command = command.replace("--output x", f"--output {tmp_path / 'x'}")
    assert main(shlex.split(command)) == 2
    err = inside.readouterr().err
    message = err.strip().splitlines()[-1]
    assert message.startswith("tinyalbert: ") and "Traceback" not in err
    for word in words:
        assert word in message, message


ON_GPU = ["pretrain stories:60 --steps 3 --output OUT", "finetune stories:topic:60 --model runs/stories --output OUT",
          "evaluate runs/topic stories:topic:40", "predict runs/topic stories:topic:40 --output OUT.tsv",
          "fill-mask runs/stories '[MASK] was old.'"]


def cupy_without(what):
    """A module `cupy` as it is without CuPy, without a device, or with missing CUDA libraries."""
    def fails(*_, **__):
        raise {"no-device": RuntimeError("cudaErrorNoDevice"), "broken": ImportError("libcublas.so")}[what]
    cupy = type(sys)("cupy")
    cupy.__version__, cupy.ndarray, cupy.ones = "14", type("ndarray", (), {}), fails
    cupy.cuda = SimpleNamespace(is_available=lambda: what == "broken", runtime=SimpleNamespace(getDeviceCount=fails))
    return None if what == "missing" else cupy           # None: importing it raises


@pytest.mark.parametrize("state, words", [("missing", "pip install"), ("no-device", "nvidia-smi"), ("broken", "libcublas")])
@pytest.mark.parametrize("command", ON_GPU)
def test_without_a_gpu_each_command_says_what_is_missing(command, state, words, inside, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", cupy_without(state))
    assert main([*shlex.split(command.replace("OUT", str(tmp_path / "x"))), "--device", "gpu"]) == 2
    lines = inside.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and f"'gpu' can't be used ({state})" in lines[0] and words in lines[0]
    assert not list(tmp_path.iterdir())
    assert main(["doctor", "--device", "gpu"]) == 2
    assert f"{state}: " in inside.readouterr().out


def test_every_command_computes_where_it_is_told_to(inside, tmp_path, monkeypatch):
    """The same figures and predictions on the stand-in for CuPy, and it did compute."""
    for name, module in fakecupy.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(on_device, "ACTIVE", False)
    said = {}
    for device in ("cpu", "gpu"):
        for command in ON_GPU:
            fakecupy.reset_counts()
            output = tmp_path / f"{command.split()[0]}-{device}"
            assert main([*shlex.split(command.replace("OUT", str(output))), "--device", device]) == 0
            assert (fakecupy.counts["launch"] > 30) == (device == "gpu"), command
            text = inside.readouterr().out + (output.with_suffix(".tsv").read_text() if "predict" in command else "")
            said.setdefault(command, []).append([word.strip("(),%") for word in text.split() if str(tmp_path) not in word])
    for command, (on_cpu, on_gpu) in said.items():
        assert len(on_cpu) == len(on_gpu), command
        for a, b in zip(on_cpu, on_gpu):
            assert a == b or float(a) == pytest.approx(float(b), abs=0.02), (command, a, b)


def test_ctrl_c_saves_and_says_how_to_resume(tmp_path):
    """A real process, a real signal; the resumed run ends with the parameters of one that was never stopped."""
    options = ["stories:150", "--preset", "tiny", "--steps", "150", "--save-every", "1000", "--threads", "1"]
    command = [sys.executable, "-m", "tinyalbert", "pretrain"]
    process = subprocess.Popen([*command, *options, "--output", "a"], cwd=tmp_path, stderr=subprocess.PIPE, text=True,
                               stdout=subprocess.DEVNULL)
    log = tmp_path / "a" / "log.jsonl"
    for _ in range(600):
        if log.exists() and '"step": 20' in log.read_text():
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    err = process.communicate(timeout=60)[1]
    assert process.returncode == 130 and "--resume" in err and "Traceback" not in err
    subprocess.run([*command, "--resume", "--output", "a", "--threads", "1"], cwd=tmp_path, check=True, capture_output=True)
    subprocess.run([*command, *options, "--output", "b"], cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "a/model.safetensors").read_bytes() == (tmp_path / "b/model.safetensors").read_bytes()
