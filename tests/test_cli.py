"""The command line, as its user types it: every command, every example in its help, every usual mistake."""

import csv
import json
import os
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
from tinyalbert.options import make
from tinyalbert.pretraining.options import PretrainOptions

TINY = {"--minutes": "--steps 8 --eval-every 4", "stories:4000": "stories:60", "stories:2000": "stories:120",
        "--vocab-size 1200": "--vocab-size 400", "stories:qa:3000": "stories:qa:20", " stories ": " stories:60 ", "my_book.txt": "book.txt",
        "stories:retrieval": "stories:retrieval:40 --steps 2", "base_v2": "base_v2"}


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
        (folder / "pairs.tsv").write_text("good\tbad\nAnna was old.\tAnna were old.\n", encoding="utf-8")
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
            if name == "explore":                # which serves until it is ended
                patch.setattr("tinyalbert.explore.server.serve", lambda explorer, *_, **__: explorer.read("The dog."))
            assert run(small(line)) == 0, (line, inside.readouterr())


@pytest.mark.parametrize("words, name", [
    (["fill-mask", "m", ""], "text"), (["predict", "", "t.tsv"], "model"), (["predict", "m", ""], "table"), (["prepare", "", "--tokenizer", "m", "--output", "x"], "corpus"),
    (["prepare", "t.txt", "--tokenizer", ""], "tokenizer"), (["tokenizer", "t.txt", "--output", ""], "output"), (["finetune", "t.tsv", "--output", ""], "output"),
    (["fill-mask", "m", "[MASK]", "--targets", ""], "targets"), (["pretrain", "", "--output", "x"], "sources"), (["ask", "m", "q", "--documents", ""], "documents"),
    (["finetune", "t.tsv", "--columns", "", "--output", "x"], "columns"), (["judge", "m", ""], "pairs"), (["search", "m", "", "q"], "documents")])
def test_an_empty_word_is_not_the_current_folder(words, name, capsys):
    assert main(words) == 2
    said = capsys.readouterr().err
    assert f"{name} is " in said and "not empty" in said


@pytest.mark.parametrize("words", [["fill-mask", "{model}", "-"], ["predict", "{model}", "-"]])
def test_a_standard_input_that_is_closed_holds_nothing(words, inside, world, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", None)
    assert main([word.format(model=world / "stories") for word in words]) == 2
    assert capsys.readouterr().err.startswith("tinyalbert: ")


def test_a_current_folder_that_is_gone_is_named(tmp_path, monkeypatch, capsys):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert main(["finetune", "t.tsv", "--model", "m", "--output", "x"]) == 2
    assert "the current folder has been deleted" in capsys.readouterr().err


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
    with (world / "p.tsv").open(newline="") as file:
        said = list(csv.reader(file, csv.excel_tab))
    from tinyalbert.tasks.texts import story_texts
    gold = [r.label for r in story_texts("stories:topic:40", split="test")]
    assert said[0][:6] == ["index", "prediction", "text", "label", "p(bakery)", "p(farm)"] and len(said) == 41
    assert np.mean([row[1] == g for row, g in zip(said[1:], gold)]) == pytest.approx(accuracy, abs=1e-4)


def test_stages_from_the_command_line(inside, world, tmp_path):
    assert run(f"tinyalbert pretrain runs/stories/data --preset tiny --steps 4 --stages 0.5:16x2:0.2-0.9@3 1:32 "
               f"--output {tmp_path / 'x'}") == 0
    options = make(PretrainOptions, json.loads((tmp_path / "x" / "pretrain.json").read_text())["options"])
    recipe = options.recipe()
    assert [stage[:4] for stage in recipe.plan()] == [(16, 32, (0.2, 0.9), 3), (32, 16, (), 1)]


TABLE = "sentence\tlabel\ngood day\tyes\nbad day\tno\n"


@pytest.mark.parametrize("command, words", [
    ("pretrain missing.txt --output x", ["missing.txt", "no file"]),
    ("pretrain empty.txt --output x", ["no text"]),
    ("pretrain one.txt --output x --steps 3", ["one sentence"]),
    ("pretrain stories:60 --vocab-size 9000 --output x --steps 3", ["vocabulary of 9000", "at most"]),
    ("pretrain stories:60 --preset huge --output x --steps 3", ["preset 'huge'", "mini"]),
    ("pretrain stories:60 --model-config heads.json --output x --steps 3", ["hidden_size 10", "3 heads"]),
    ("pretrain stories:60 --max-length 4000 --output x --steps 3", ["4000", "positions"]),
    ("pretrain stories:60 --stages 64x --output x --steps 3", ["--stages", "64x", "0.8:64"]),
    ("pretrain stories:60 --stages 1:64:0.9-0.1 --output x --steps 3", ["echo of (0.9, 0.1)", "smaller one first"]),
    ("pretrain stories:60 --config runs/stories/config.json --output x", ["model's config.json", "--model-config"]),
    ("pretrain stories:60 --config typo.toml --output x", ["typo.toml", "'batchsize'", "batch_size"]),
    ("pretrain runs/stories/data --output runs/stories --steps 3", ["already holds", "--resume"]),
    ("pretrain --resume --output nowhere", ["nowhere", "without --resume"]),
    ("prepare stories:60 --tokenizer nowhere --output x", ["nowhere", "there is no folder"]),
    ("prepare latin.txt --tokenizer runs/stories --output x", ["latin.txt", "UTF-8"]),
    ("finetune columns.tsv --model runs/stories --output x", ["columns.tsv, line 3", "3 columns", "expected 2"]),
    ("finetune few.tsv --model runs/stories --output x", ["few.tsv", "at least 10"]),
    ("finetune nolabel.tsv --model runs/stories --output x", ["no column for the label", "text"]),
    ("finetune stories:nothing --model runs/stories --output x", ["nothing", "sentiment"]),
    ("finetune stories:ending --model nowhere --output x", ["nowhere"]),
    ("evaluate runs/topic unknown.tsv", ["no row has a label that the model knows", "perhaps", "farm", "predict"]),
    ("evaluate runs/stories stories:ending", ["holds no classification model", "finetune"]),
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
    (world / "typo.toml").write_text("batchsize = 3")
    (world / "columns.tsv").write_text("sentence\tlabel\ngood day\tyes\nbad\tday\tno\n")
    (world / "few.tsv").write_text(TABLE)
    (world / "nolabel.tsv").write_text("text\nhello\n")
    (world / "unknown.tsv").write_text("text\tlabel\nall went well\tsurely\nwho knows\tperhaps\n")
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
            out = re.sub(r"computing .*", "", inside.readouterr().out)
            text = out + (output.with_suffix(".tsv").read_text() if "predict" in command else "")
            said.setdefault(command, []).append([word.strip('(),%"') for word in text.split() if str(tmp_path) not in word])
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


# --- strangers ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("command, words", [
    ("pretrain book.txt missing.txt --output x --steps 3", ["missing.txt", "no file"]),
    ("pretrain stories:60 missing.txt --output x --steps 3", ["missing.txt", "no file"]),
    ("pretrain book.txt --output book.txt --steps 3", ["book.txt is a file"]),
    ("pretrain book.txt --output book.txt/runs --steps 3", ["book.txt is a file"]),
    ("pretrain folder --output folder/run --steps 3", ["lies inside the corpus"]),
    ("pretrain folder/data/mine.txt --output folder --steps 3", ["no prepared corpus", "not replaced"]),
    ("pretrain book.txt --init runs/topic --output runs/topic --steps 3", ["already holds", "choose another"]),
    ("pretrain runs/stories/data --tokenizer other --output x --steps 3", ["not the one", "prepared with"]),
    ("pretrain runs/stories/data --init swapped --output x --steps 3", ["not the one", "prepared with"]),
    ("pretrain book.txt --tokenizer other --init runs/stories --output x --steps 3", ["not the one", "--tokenizer"]),
    ("pretrain runs/stories/data --vocab-size 77 --output x --steps 3", ["--vocab-size", "not 77"]),
    ("pretrain book.txt --tokenizer other --vocab-size 77 --output x --steps 3", ["--vocab-size", "not 77"]),
    ("prepare folder --tokenizer other --output folder/data --overwrite", ["not replaced"]),
    ("prepare folder --tokenizer other --output folder/new", ["lies inside the corpus"]),
    ("tokenizer folder --vocab-size 40 --output folder/new", ["lies inside the corpus"]),
    ("tokenizer book.txt --vocab-size 40 --output runs/stories", ["holds a model"]),
    ("finetune good.tsv --model swapped --output swapped", ["already holds a model"]),
    ("finetune good.tsv --model runs/stories --output book.txt", ["book.txt is a file"]),
    ("predict runs/topic good.tsv --output good.tsv", ["the table itself"]),
    ("predict runs/topic good.tsv --output folder", ["is a folder"]),
    ("predict nowhere good.tsv --output book.txt/p.tsv", ["book.txt is a file"]),
    ("fill-mask runs/topic '[MASK] was old.'", ["holds no head for masked words", "pretrain"]),
    ("fill-mask swapped '[MASK] was old.'", ["swapped: the tokenizer has 40 pieces", "the model knows"]),
    ("finetune good.tsv --model swapped --output x", ["the tokenizer has 40 pieces", "the model knows"]),
    ("evaluate mixed good.tsv", ["the tokenizer has 40 pieces", "the model knows"]),
])
def test_what_would_be_lost_or_come_late_is_refused_at_once(command, words, inside, world, tmp_path):
    """One sentence on stderr and none on stdout: nothing had begun.  No file of the user's has changed."""
    if not (world / "other").exists():
        assert run("tinyalbert tokenizer book.txt --vocab-size 40 --output other") == 0
        shutil.copytree(world / "runs" / "stories", world / "swapped", ignore=shutil.ignore_patterns("last", "data"))
        shutil.copyfile(world / "other" / "spiece.model", world / "swapped" / "spiece.model")
        shutil.copytree(world / "runs" / "topic", world / "mixed", ignore=shutil.ignore_patterns("last"))
        shutil.copyfile(world / "other" / "spiece.model", world / "mixed" / "spiece.model")
        (world / "folder" / "data").mkdir(parents=True)
        (world / "folder" / "data" / "mine.txt").write_text("All of this is mine. It was a lot of work.\n" * 30)
        (world / "good.tsv").write_text("sentence\tlabel\n" + "good day\tfarm\nbad day\tschool\n" * 9)
        inside.readouterr()
    before = {path: path.read_bytes() for path in world.rglob("*") if path.is_file()}
    assert main(shlex.split(command.replace("--output x", f"--output {tmp_path / 'x'}"))) == 2
    out, err = inside.readouterr()
    assert out == "" and len(err.splitlines()) == 1 and err.startswith("tinyalbert: "), (out, err)
    assert all(word in err for word in words), err
    assert before == {path: path.read_bytes() for path in world.rglob("*") if path.is_file()}
    assert not list(tmp_path.iterdir())


def number_options():
    """(command, option, a number that it refuses) for every option that takes a number."""
    subparsers = next(a for a in build_parser()._actions if hasattr(a, "choices") and a.choices)
    for name, parser in subparsers.choices.items():
        for action in parser._actions:
            assert action.type not in (int, float), f"{name} {action.option_strings}: any number would do"
            if action.type:
                yield from ((name, action.option_strings[0], bad) for bad in ("-1", "nan", "inf", "some"))


@pytest.mark.parametrize("name, option, bad", list(number_options()))
def test_every_number_is_checked_before_anything_happens(name, option, bad, capsys):
    needed = {"pretrain": "stories --output x", "finetune": "t.tsv --output x", "evaluate": "m t.tsv",
              "predict": "m t.tsv --output x", "embed": "m t.tsv --output x", "search": "m t what", "tokenizer": "stories --output x",
              "fill-mask": "m [MASK]", "score": "m text", "sentence-order": "m text",
              "zero-shot": "m text --labels x", "prepare": "stories --output x --tokenizer y", "ask": "m Who? --documents d",
              "explore": "m", "judge": "m p"}[name]
    with pytest.raises(SystemExit) as stopped:
        main([name, *needed.split(), f"{option}={bad}"])
    assert stopped.value.code == 2
    assert re.search(rf"{option}: .*{bad}", capsys.readouterr().err.splitlines()[-1])


def test_a_fine_tuned_folder_scores_as_its_training_said(inside, world, tmp_path):
    """Also on texts longer than it was trained on: every command and the pipeline cut them in the same place."""
    words = "kite ring clock mill shop bridge found went there knew".split()
    rows = [(" ".join(words[(i * k) % 10] for k in range(5 + 7 * (i % 9))), "ab"[i % 3 > 0]) for i in range(1, 60)]
    (tmp_path / "t.tsv").write_text("sentence\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in rows))
    folder, table = tmp_path / "m", tmp_path / "t.tsv"
    assert main(f"finetune {table} --dev {table} --model runs/stories --output {folder} --max-length 12 --steps 6 "
                "--lr 0.01".split()) == 0
    assert "59 rows to train on, 59 held out; labels a, b" in inside.readouterr().out
    assert main(f"evaluate {folder} {table}".split()) == 0
    said = dict(line.split() for line in inside.readouterr().out.splitlines()[:4])
    assert {k: f"{v:.4f}" for k, v in json.loads((folder / "eval_results.json").read_text()).items()} == said
    assert main(f"predict {folder} {table} --output {tmp_path / 'new' / 'p.tsv'}".split()) == 0
    assert (tmp_path / "new" / "p.tsv").read_text() == (folder / "predictions.tsv").read_text()
    from tinyalbert import pipeline
    answers = pipeline("text-classification", folder)([text for text, _ in rows])
    assert [a["label"] for a in answers] == [line.split("\t")[1] for line in
                                             (folder / "predictions.tsv").read_text().splitlines()[1:]]


def test_a_resumed_fine_tuning_says_what_counts_and_takes_more_steps(inside, world, tmp_path, monkeypatch):
    (world / "rows.tsv").write_text("sentence\tlabel\n" + "good day\tfarm\nbad day\tschool\n" * 9)
    options = f"--model runs/stories --output {tmp_path / 'm'} --steps 4"
    assert main(f"finetune rows.tsv --lr 0.01 {options}".split()) == 0
    inside.readouterr()
    assert main(f"finetune rows.tsv --resume --warmup 0.2 --lr 0.02 {options}".split()) == 2         # it is complete
    out, err = inside.readouterr()
    assert out.startswith("resumed with warmup 0.1, as the run began, not 0.2\n") and out.count("resumed with") == 1
    assert "complete (4 steps); ask for more steps" in err
    monkeypatch.chdir(tmp_path)                                            # the table and model are found from anywhere
    assert main(["finetune", "--resume", "--steps", "6", "--output", "m"]) == 0
    assert json.loads((tmp_path / "m" / "finetune.json").read_text())["lr"] == 0.01         # nothing came of the refused one
    inside.readouterr()
    assert main(["finetune", "--resume", "--steps", "7", "--lr", "0.02", "--output", "m"]) == 0
    assert "resumed with lr 0.02; the run had 0.01\n" in inside.readouterr().err            # it is followed, and kept
    assert json.loads((tmp_path / "m" / "finetune.json").read_text())["lr"] == 0.02
    assert json.loads((tmp_path / "m" / "log.jsonl").read_text().splitlines()[-1])["step"] == 7


def test_a_resumed_pretraining_says_what_counts_and_may_have_moved(inside, tmp_path):
    assert main(f"pretrain book.txt --preset tiny --steps 4 --lr 0.01 --output {tmp_path / 'a'}".split()) == 0
    shutil.move(tmp_path / "a", tmp_path / "b")
    inside.readouterr()
    assert main(f"pretrain book.txt --resume --lr 0.02 --warmup 9 --steps 6 --output {tmp_path / 'b'}".split()) == 0
    out, err = inside.readouterr()
    assert out.startswith("resumed with warmup ") and ", as the run began, not 9\n" in out
    assert "resumed with lr 0.02; the run had 0.01\n" in err


@pytest.mark.parametrize("name", ["pretrain", "finetune"])
@pytest.mark.parametrize("damage", ["", "[]", "{}", '{"data": 1}', "null", "\0"])
def test_a_run_with_damaged_settings_is_not_resumed(name, damage, tmp_path, capsys):
    (tmp_path / f"{name}.json").write_text(damage)
    assert main([name, "--resume", "--output", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"tinyalbert: {tmp_path / name}.json") and said.count("\n") == 1
    assert "; expected " in said and said.endswith("; start the run anew in another folder\n")


def test_pipelines_of_nothing(inside):
    from tinyalbert import pipeline
    from tinyalbert.errors import UserError
    assert pipeline("text-classification", "runs/topic")([]) == pipeline("fill-mask", "runs/stories")([]) == []
    with pytest.raises(UserError, match="top_k is -1"):
        pipeline("fill-mask", "runs/stories")("[MASK] was old.", top_k=-1)


def test_a_path_with_spaces_may_be_typed_as_it_is_shown(inside, tmp_path):
    folder = tmp_path / "été 🙂"
    assert main(["pretrain", "book.txt", "--preset", "tiny", "--steps", "3", "--output", str(folder / "my model")]) == 0
    said = inside.readouterr().out.splitlines()[-1]
    assert run(said.split("try: ")[1]) == 0 and len(inside.readouterr().out.splitlines()) == 6


def test_a_single_document_is_not_evaluated_and_that_is_said(inside, tmp_path):
    (tmp_path / "one.txt").write_text("\n".join(f"The number of this sentence is {i}." for i in range(40)))
    assert main(f"pretrain {tmp_path / 'one.txt'} --preset tiny --steps 3 --output {tmp_path / 'm'}".split()) == 0
    assert "with none held out, nothing will be evaluated" in inside.readouterr().out


# --- streams and signals --------------------------------------------------------------------------------------

def typed(command, **how):
    """A real process; its exit code, stdout and stderr."""
    done = subprocess.run([sys.executable, "-m", "tinyalbert", *shlex.split(command)], capture_output=True, **how)
    return done.returncode, done.stdout.decode("latin-1"), done.stderr.decode("latin-1")


def test_a_terminal_without_unicode_gets_what_it_can_show(world, tmp_path):
    code, out, err = typed(f"tokenizer book.txt --vocab-size 40 --output {tmp_path}", cwd=world,
                           env={**os.environ, "PYTHONIOENCODING": "cp1252"})
    assert code == 0 and err == "" and r"\u2581" in out


@pytest.mark.skipif(os.name != "posix", reason="a shell of POSIX closes the streams")
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_error(closed, world, tmp_path):
    command = [sys.executable, "-m", "tinyalbert", "pretrain", "stories:60", "--preset", "tiny", "--steps", "3",
               "--output", str(tmp_path / "m")]
    done = subprocess.run(f"{shlex.join(command)} {closed}", shell=True, capture_output=True, cwd=world)
    assert done.returncode == 0 and (tmp_path / "m" / "model.safetensors").exists(), done.stderr


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
def test_a_reader_that_has_gone_ends_the_command_quietly():
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.Popen([sys.executable, "-m", "tinyalbert", "info", "base_v2"], stdout=writer,
                               stderr=subprocess.PIPE)
    os.close(writer)
    assert process.communicate()[1] == b"" and process.returncode == 141


@pytest.mark.parametrize("error, code, words", [
    (KeyboardInterrupt(), 130, "\ntinyalbert: stopped\n"),
    (OSError(30, "Read-only file system", "/ro/x"), 2, "/ro/x: Read-only file system"),
    (FileExistsError(17, "File exists", "x"), 2, "x: File exists"),
    (MemoryError("1 TB"), 2, "not enough memory (1 TB); lower --batch-size"),
])
def test_what_may_happen_anywhere_gets_a_sentence(error, code, words, capsys, monkeypatch):
    def fails(name):
        raise error
    monkeypatch.setattr("tinyalbert.info.describe", fails)
    assert main(["info", "base_v2"]) == code
    assert words in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="no signal masks here")
def test_ctrl_c_while_workers_prepare_is_one_sentence(world, tmp_path):
    """Ctrl-C goes to all processes of a terminal; while they start they would show tracebacks, or hang."""
    (tmp_path / "big.txt").write_text("The old dog found a red kite near the mill. Nobody knew why.\n" * 90_000)
    for wait in (0.0, 0.2):
        process = subprocess.Popen([sys.executable, "-m", "tinyalbert", "prepare", str(tmp_path / "big.txt"), "--workers",
                                    "2", "--tokenizer", "runs/stories", "--output", str(tmp_path / "data")], cwd=world,
                                   stderr=subprocess.PIPE, text=True, start_new_session=True)
        for _ in range(1200):
            if (tmp_path / "data" / ".partial" / "tokens.bin").exists():        # the workers are about to start
                break
            time.sleep(0.01)
        time.sleep(wait)
        os.killpg(process.pid, signal.SIGINT)
        assert process.communicate(timeout=60)[1] == "\ntinyalbert: stopped\n" and process.returncode == 130
        assert [p.name for p in tmp_path.iterdir()] == ["big.txt"]


@pytest.mark.parametrize("words", [
    "runs/topic rows.tsv --seed 3", "runs/topic --seed 3 rows.tsv", "--seed 3 runs/topic rows.tsv", "--seed 3 runs/topic --threads 1 rows.tsv"])
def test_files_may_stand_between_the_options(inside, words):
    args = build_parser(["evaluate", *words.split()]).parse_args(["evaluate", *words.split()])
    assert (args.model, args.table, args.seed) == ("runs/topic", "rows.tsv", 3)
    words = ["finetune", "ner", "--model", "m", "rows.tsv", "--output", "x"]
    assert build_parser(words).parse_args(words).words == ["ner", "rows.tsv"]


def test_a_folder_may_be_called_like_a_task():
    """The task is the word that stands for itself, not the value of an option."""
    words = ["finetune", "rows.tsv", "--model", "m", "--output", "ner", "--text-column", "said"]
    args = build_parser(words).parse_args(words)
    assert args.words == ["rows.tsv"] and args.output == "ner" and args.text_column == "said"
    for words in (["ner", "x.conll"], ["--keep-head", "ner", "x.conll"], ["--output", "sst2", "ner", "x.conll", "--seed", "1"]):
        words = ["finetune", *words, "--tag-column", "3"]
        args = build_parser(words).parse_args(words)
        assert args.words == ["ner", "x.conll"] and args.tag_column == 3
