"""One dataclass per command: the command line, a file, a Python call and a resumed run agree."""

import argparse
import json
from dataclasses import dataclass

import pytest

from tinyalbert import UserError
from tinyalbert.options import (
    AMOUNT,
    COUNT,
    TEXT,
    Many,
    OneOf,
    Options,
    add_arguments,
    from_arguments,
    make,
    option,
    output_option,
    resume,
    to_json,
)


@dataclass(frozen=True, kw_only=True)
class Toy(Options):
    sources: tuple = option(None, "texts", check=Many(TEXT), positional=True)
    output: str = output_option("folder to write")
    max_seq_length: int | None = option(None, "tokens a sequence", check=COUNT, flag="--max-length")
    steps: int | None = option(None, "how long", check=COUNT, group="how long", free=True)
    minutes: float | None = option(None, "how long", check=AMOUNT, group="how long", free=True)
    device: str = option("cpu", "where", check=OneOf("cpu", "gpu"), free=True)
    lr: float = option(1e-3, "100 % of the learning rate", check=AMOUNT)
    cased: bool = option(False, "keep upper case")
    decay: float = option(1.0, "power of the decay", check=AMOUNT, flag="")


def typed(text):
    parser = argparse.ArgumentParser()
    add_arguments(parser, Toy)
    return from_arguments(Toy, parser.parse_args(text.split()))


def test_the_command_line_gives_what_the_python_call_gives():
    assert typed("a b --output x --max-length 9 --cased --lr 0.5") == Toy(
        sources=["a", "b"], output="x", max_seq_length=9, cased=True, lr=0.5)
    assert typed("--output x") == Toy(output="x") == make(Toy, {"output": "x"})


@pytest.mark.parametrize("name, text", [
    ("run.json", '{"output": "y", "lr": 1, "max-length": 5, "minutes": 2, "decay": 2.0}'),
    ("run.toml", 'output = "y"\nlr = 1\nmax_seq_length = 5\nminutes = 2\ndecay = 2.0'),
])
def test_what_is_typed_beats_the_file_and_the_file_beats_the_defaults(name, text, tmp_path):
    (tmp_path / name).write_text(text)
    begin = f"--config {tmp_path / name}"
    expected = dict(output="y", lr=1.0, max_seq_length=5, decay=2.0)
    assert typed(begin) == Toy(**expected, minutes=2.0)
    assert typed(f"{begin} --lr 0.25 --steps 7") == Toy(**{**expected, "lr": 0.25}, steps=7)


@pytest.mark.parametrize("values, words", [
    ({"learning_rate": 1}, "no option 'learning_rate'"),
    ({"step": 1}, "did you mean steps"),
    ({"steps": 0}, r"steps is 0; expected a whole number of at least 1 \(--steps\)"),
    ({"steps": True}, "steps is True"),
    ({"lr": "much"}, "lr is 'much'; expected a number above 0"),
    ({"lr": float("nan")}, "lr is nan"),
    ({"device": "tpu"}, "expected one of cpu, gpu"),
    ({"cased": 1}, "cased is 1; expected true or false"),
    ({"sources": [1]}, "sources is .1.; expected a list"),
    ({"steps": 1, "minutes": 1}, "steps and minutes are given"),
])
def test_a_wrong_value_is_refused_with_its_name(values, words, tmp_path):
    with pytest.raises(UserError, match=words):
        make(Toy, {"output": "x", **values})
    path = tmp_path / "run.json"
    path.write_text(json.dumps(values))
    with pytest.raises(UserError, match=rf"run\.json: .*{words}"):
        typed(f"--output x --config {path}")


@pytest.mark.parametrize("text, words", [
    ("--output x --config missing.json", "no file missing.json"),
    ("", "--output is missing; expected folder to write"),
    ("--output x --config {}/list.json", "holds list; expected options"),
    ("--output x --config {}/broken.toml", "can't be read"),
    ("--output x --config {}/model.json", "a model's config.json.*--model-config"),
])
def test_a_file_that_is_none_is_refused(text, words, tmp_path):
    (tmp_path / "list.json").write_text("[1]")
    (tmp_path / "broken.toml").write_text("lr = = 1")
    (tmp_path / "model.json").write_text('{"hidden_size": 64}')
    with pytest.raises(UserError, match=words):
        typed(text.format(tmp_path))


def test_the_help_tells_every_flag_its_default_and_what_is_required(capsys):
    with pytest.raises(SystemExit):
        typed("--help")
    text = " ".join(capsys.readouterr().out.split())
    assert "--max-length N tokens a sequence" in text and "(default: 0.001)" in text
    assert "folder to write (required)" in text and "--decay" not in text and "100 % of" in text


def test_a_resumed_run_keeps_its_own_options_and_says_so():
    saved = json.loads(json.dumps(to_json(Toy(output="x", steps=5, lr=0.5, sources=["a"]))))
    said = []
    now = resume(Toy(output="y", steps=9, lr=0.25, device="gpu"), saved, said.append)
    assert now == Toy(output="y", steps=9, lr=0.5, device="gpu", sources=["a"])
    assert said == ["resumed with lr 0.5, as the run began, not 0.25"]
