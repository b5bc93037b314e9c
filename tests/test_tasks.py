"""A new task costs one file: training, best checkpoint, resume, evaluate, predict, command and pipeline come with it."""

import dataclasses
import json
import shlex
import signal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyalbert import (
    AlbertConfig,
    AlbertForPreTraining,
    AlbertForSequenceClassification,
    AlbertTokenizer,
    pipeline,
)
from tinyalbert.cli import main
from tinyalbert.errors import UserError
from tinyalbert.options import COUNT, make, option
from tinyalbert.pretraining.pretrain import train_tokenizer
from tinyalbert.tasks.batches import Features
from tinyalbert.tasks.examples import _held_out
from tinyalbert.tasks.finetune import default_epochs, finetune, options_for
from tinyalbert.tasks.options import (
    EvaluateOptions,
    FinetuneOptions,
    TaskSettings,
    kept_settings,
    options_of,
    saved_settings,
)
from tinyalbert.tasks.outcome import past_its_best, still_rising
from tinyalbert.tasks.registry import TASKS, find_task
from tinyalbert.tasks.task import Task
from tinyalbert.training.trainer import Trainer

EVEN = '''
"""Does a text have an even number of words?  The source has one text a line."""

from pathlib import Path

import numpy as np

from tinyalbert import AlbertForSequenceClassification, UserError
from tinyalbert.tasks.task import Task


class EvenWords(Task):
    name, metric, model_class = "even-words", "accuracy", AlbertForSequenceClassification

    def read(self, source, split):
        lines = Path(source).read_text().splitlines()
        if "" in lines:
            raise UserError(f"{source}, line {lines.index('') + 1}: empty; expected a text")
        return lines

    def configure(self, config):
        return config.with_labels(["odd", "even"])

    def encode(self, text, encoder):
        return [{**row, "labels": np.int32(is_even(text))} for row in encoder(text)]

    def decode(self, text, rows, outputs):
        return bool(outputs.mean(axis=0).argmax())

    def score(self, texts, predictions):
        return {"accuracy": float(np.mean([is_even(t) == p for t, p in zip(texts, predictions)]))}

    def write(self, path, texts, predictions):
        Path(path).write_text("".join(f"{p}\\t{t}\\n" for t, p in zip(texts, predictions)))

    def example(self, text):
        return text


def is_even(text):
    return len(text.split()) % 2 == 0
'''
WORDS = "the old dog found a key in the garden and nobody knew why it was there".split()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with an untrained model, the task's file and a table for it; the commands run inside it."""
    folder = tmp_path_factory.mktemp("tasks")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        tokenizer = train_tokenizer(["stories:60"], 200, "model")
        config = AlbertConfig.preset("tiny", vocab_size=tokenizer.vocab_size)
        AlbertForPreTraining(config, seed=1).save_pretrained("model", tokenizer=tokenizer)
        (folder / "even.py").write_text(EVEN)
        texts = [" ".join(WORDS[i % 5:i % 5 + 1 + i % 9]) for i in range(48)]
        (folder / "texts.txt").write_text("\n".join(texts))
        assert run("finetune even.py:EvenWords texts.txt --output done") == 0
        yield folder


def run(command, options="--model model --steps 6 --batch-size 8 --lr 0.003 --threads 1"):
    return main(shlex.split(f"{command} {options if command.startswith('finetune') else ''}"))


@pytest.fixture
def inside(world, monkeypatch, capsys):
    monkeypatch.chdir(world)
    return capsys


def metrics(folder):
    return json.loads((folder / "eval_results.json").read_text())


def test_a_task_is_one_short_file():
    assert len(EVEN.strip().splitlines()) <= 40


def test_training_keeps_the_best_model(world):
    lines = [json.loads(line) for line in (world / "done" / "log.jsonl").read_text().splitlines()]
    scores = [line["accuracy"] for line in lines if line["kind"] == "eval"]
    assert lines[-1]["step"] == 6 and len(scores) == 4
    assert metrics(world / "done") == {"accuracy": max(scores[1:])}
    config = AlbertForSequenceClassification.from_pretrained(world / "done").config
    assert config.id2label == {0: "odd", 1: "even"} and config.to_dict()["finetuning_task"] == "even-words"


def test_a_stopped_run_goes_on_as_if_it_had_not_been(inside, world, monkeypatch):
    step = Trainer.step

    def interrupted(trainer, batch, **options):
        if trainer.steps_done == 3:
            signal.raise_signal(signal.SIGINT)
        return step(trainer, batch, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", interrupted)
        assert run("finetune even.py:EvenWords texts.txt --output stopped") == 130
    assert "stopped at step 4 of 6" in inside.readouterr().err
    assert main(["finetune", "--resume", "--output", "stopped"]) == 2            # a file is run only if it is named
    assert "even.py:EvenWords --resume" in inside.readouterr().err
    assert main(["finetune", "even.py:EvenWords", "--resume", "--output", "stopped"]) == 0
    for name in ("model.safetensors", "predictions.tsv", "eval_results.json"):
        assert (world / "stopped" / name).read_bytes() == (world / "done" / name).read_bytes()


def test_evaluate_predict_and_the_pipeline(inside, world):
    (world / "dev.txt").write_text("".join(line.split("\t")[1] + "\n" for line in
                                           (world / "done" / "predictions.tsv").read_text().splitlines()))
    assert run("evaluate done dev.txt --task even.py:EvenWords") == 0
    assert inside.readouterr().out.split() == ["accuracy", f"{metrics(world / 'done')['accuracy']:.4f}"]
    assert run("predict done dev.txt --task even.py:EvenWords --output said.tsv") == 0
    assert (world / "said.tsv").read_text() == (world / "done" / "predictions.tsv").read_text()
    texts = (world / "dev.txt").read_text().splitlines()
    said = pipeline("even.py:EvenWords", "done")(texts)
    assert [f"{p}\t{t}" for p, t in zip(said, texts)] == (world / "said.tsv").read_text().splitlines()
    assert pipeline("even.py:EvenWords", "done")(texts[0]) == said[:1]


@pytest.mark.parametrize("command, words", [
    ("finetune even.py:EvenWords bad.txt --output x", ["bad.txt, line 2: empty"]),
    ("evaluate done texts.txt", ["task 'even-words'", "--task FILE.py:CLASS"]),
    ("evaluate done texts.txt --task regression", ["the task even-words, not for regression"]),
    ("finetune even.py:Odd texts.txt --output x", ["even.py has no class Odd"]),
    ("finetune odd.py:Odd texts.txt --output x", ["there is no file", "odd.py"]),
    ("finetune clasification texts.txt --output x", ["no task 'clasification'", "classification, ", "regression"]),
    ("finetune even.py:EvenWords texts.txt --regression --output x", ["--regression"]),
    ("finetune even.py:EvenWords texts.txt --output x --max-length 8 --long error", ["expected at most 8"]),
])
def test_a_mistake_gets_one_sentence(command, words, inside, world):
    (world / "bad.txt").write_text("one\n\ntwo\n" * 5)
    assert run(command) == 2
    message = inside.readouterr().err.strip().splitlines()[-1]
    assert message.startswith("tinyalbert: ") and all(word in message for word in words), message
    assert not (world / "x").exists()


def test_what_was_too_long_is_said_in_training_evaluation_and_prediction(inside, world):
    for long, what in (("truncate", "and were cut"), ("windows", "windows")):
        assert run(f"finetune even.py:EvenWords texts.txt --output {long} --max-length 8 --long {long}") == 0
        said = [line for line in inside.readouterr().out.splitlines() if "longer than 8 tokens" in line]
        assert [line.split(" rows: ")[0] for line in said] == ["training", "held-out"]
        assert all(what in line for line in said)
        for command in (f"evaluate {long} texts.txt", f"predict {long} texts.txt --output {long}.tsv"):
            assert run(f"{command} --task even.py:EvenWords") == 0                    # as it was fine-tuned
            note = inside.readouterr().err
            assert note.startswith("note: ") and "of 48 rows were longer than 8 tokens" in note and what in note
        with pytest.warns(UserWarning, match=f"1 of 1 rows was longer than 8 tokens and was .*{what.split()[-1]}"):
            pipeline("even.py:EvenWords", long)(" ".join(WORDS))


BAD_ROWS = {
    "regression, a number that is none": ("regression", "t.tsv", "text\tscore\n", "day {i}\t{i}\n", "night\tnan\n"),
    "regression, words": ("regression", "t.csv", "text,score\n", "day {i},{i}\n", "night,many\n"),
    "stsb, a number that is none": ("stsb", "t.tsv", "sentence1\tsentence2\tscore\n", "day {i}\tnight\t{i}\n", "day\tnight\tinf\n"),
    "summary, none": ("summary", "t.jsonl", "", '{{"text": "One {i}. Two.", "summary": "One."}}\n', '{"text": "One.", "summary": ""}\n'),
    "summary, no sentence in it": ("summary", "t.jsonl", "", '{{"text": "One {i}.", "summary": ["One."]}}\n', '{"text": "One.", "summary": [" "]}\n'),
    "summary, a cell too many": ("summary", "t.csv", "text,summary\n", "One {i}. Two.,One.\n", "One, and two.,One.,more\n"),
    "multiple-choice, a cell too many": ("multiple-choice", "t.csv", "context,question,A,B,label\n", "c {i},q,a,b,A\n", "c,q,a,b,A,more\n"),
    "multiple-choice, an option that is none": ("multiple-choice", "t.csv", "context,question,A,B,label\n", "c {i},q,a,b,A\n", "c,q,a,b,D\n"),
}


@pytest.mark.parametrize("case", BAD_ROWS)
def test_a_bad_row_is_refused_or_left_out_and_counted(case, tmp_path):
    """The advice that the refusal gives is followed to its end."""
    name, file, header, row, bad = BAD_ROWS[case]
    (tmp_path / file).write_text(header + "".join(row.format(i=i) for i in range(6)) + bad + row.format(i=7))
    Class = find_task(name)
    with pytest.raises(UserError, match=f"{file}, line {7 + bool(header)}: .*--skip-bad-rows"):
        Class().read(tmp_path / file, "train")
    task = Class(Class.Settings(skip_bad_rows=True))
    examples = task.read(tmp_path / file, "train")
    assert len(examples) == 7 and len(task.bad_rows.problems) == 1
    task.fit(examples)


def test_the_tasks_of_the_package():
    for name in TASKS:
        Class = find_task(name)
        assert Class.name == name and issubclass(Class, Task) and Class.metric and Class.model_class
    with pytest.raises(UserError, match="no task 'poetry'"):
        find_task("poetry")


def test_regression_by_name_and_by_its_switch(inside, world):
    rows = "".join(f"{' '.join(WORDS[:n])}\t{n / 4}\n" for n in range(1, 13))
    (world / "numbers.tsv").write_text("text\tscore\n" + rows)
    results = []
    for command in ("finetune regression numbers.tsv", "finetune numbers.tsv --regression"):
        assert run(f"{command} --output numbers{len(results)}") == 0
        results.append((world / f"numbers{len(results)}" / "predictions.tsv").read_text())
    assert results[0] == results[1] and "numbers are to be predicted" in inside.readouterr().out
    assert main(["finetune", "--resume", "--steps", "8", "--output", "numbers1"]) == 0
    assert pipeline("regression", "numbers0")("the old dog")[0]["label"] == "LABEL_0"


def test_options_of_a_python_call_and_of_a_file(inside, world):
    (world / "labels.tsv").write_text("what\tis it\n" + "a dog\tyes\na key\tno\n" * 6)
    (world / "run.toml").write_text('train = "labels.tsv"\nmodel = "model"\nsteps = 2\nmax-length = 12\n')
    names = {"text_column": "what", "label_column": "is it"}
    result = finetune("labels.tsv", None, "call", model="model", steps=2, max_length=12, progress=False,
                      say=lambda line: None, **names)
    assert result["labels"] == ["no", "yes"] and set(result["baselines"]) == {"majority", "TF-IDF + logistic regression"}
    assert main(shlex.split("finetune --config run.toml --text-column what --label-column 'is it' --output file")) == 0
    assert (world / "call" / "predictions.tsv").read_text() == (world / "file" / "predictions.tsv").read_text()
    settings = json.loads((world / "file" / "finetune.json").read_text())
    assert settings["max_length"] == 12 and settings["label_column"] == "is it" and settings["lr"] == 5e-4
    with pytest.raises(UserError, match="no option 'epoch'; did you mean epochs"):
        finetune("labels.tsv", epoch=2)


def test_the_head_of_an_earlier_task_starts_anew(inside, world):
    """The paper starts RTE and STS-B from an MNLI model: three labels, then two, then a number."""
    words = ["yes", "no", "maybe"]
    for name, labels in (("three", words), ("two", words[:2]), ("number", ["1", "2.5"])):
        rows = "".join(f"a dog {i}\t{labels[i % len(labels)]}\n" for i in range(12))
        (world / f"{name}.tsv").write_text("text\tlabel\n" + rows)
    short = "--steps 1 --threads 1"
    assert run(f"finetune three.tsv --output h3 --model model {short}", "") == 0
    assert "starts anew" not in inside.readouterr().out
    for command in ("two.tsv --output h2 --model h3", "number.tsv --regression --output h1 --model h2"):
        assert run(f"finetune {command} {short}", "") == 0
        assert "trained for the task classification starts anew" in inside.readouterr().out
    again = f"three.tsv --output again --model h3 {short}"
    assert run(f"finetune {again}", "") == 0 and "starts anew" in inside.readouterr().out    # as many labels: others
    assert run(f"finetune {again} --keep-head".replace("again", "kept"), "") == 0
    assert "starts anew" not in inside.readouterr().out
    assert run(f"finetune two.tsv --output x --model h3 --keep-head {short}", "") == 2
    message = inside.readouterr().err.strip().splitlines()[-1]
    assert "--keep-head" in message and "got (3, 64), expected (2, 64)" in message


@pytest.mark.parametrize("names", [["yes", "no", "maybe"], ["maybe", "yes", "no"]])
def test_a_head_that_is_kept_is_matched_by_the_names_of_its_labels(inside, world, names):
    """A folder of transformers may have them in any order; other names are refused."""
    rows = "".join(f"a dog {i}\t{['yes', 'no', 'maybe'][i % 3]}\n" for i in range(12))
    (world / "named.tsv").write_text("text\tlabel\n" + rows)
    (world / "others.tsv").write_text("text\tlabel\n" + rows.replace("maybe", "perhaps"))
    config = AlbertConfig.from_json_file(world / "model" / "config.json").with_labels(names)
    model = AlbertForSequenceClassification(config, seed=3)
    folder = f"named-{names[0]}"
    model.save_pretrained(world / folder, AlbertTokenizer.from_pretrained(world / "model"))
    command = f"finetune named.tsv --model {folder} --keep-head --steps 1 --lr 1e-12 --threads 1"
    assert run(f"{command} --output {folder}-kept", "") == 0
    kept = AlbertForSequenceClassification.from_pretrained(world / f"{folder}-kept")
    assert kept.config.id2label == {0: "maybe", 1: "no", 2: "yes"}
    for i, name in kept.config.id2label.items():
        np.testing.assert_allclose(kept.classifier.weight.numpy()[i], model.classifier.weight.numpy()[names.index(name)], atol=1e-6)
    assert run(f"{command} --output x".replace("named.tsv", "others.tsv"), "") == 2
    assert "expected the same names, or leave --keep-head out" in inside.readouterr().err


@given(groups=st.lists(st.integers(0, 8), min_size=10, max_size=60).filter(lambda numbers: len(set(numbers)) > 1), seed=st.integers(0, 99))
def test_what_belongs_together_is_held_out_together(groups, seed):
    class Grouped(Task):
        def group(self, example):
            return example

    options = make(FinetuneOptions, {"output": "x", "seed": seed})
    for task, smallest in ((Grouped(), 1), (Task(), len(groups) // 10)):
        held_out = _held_out(task, groups, options)
        assert smallest <= len(held_out) < len(groups)
    together = {groups[i] for i in _held_out(Grouped(), groups, options)}
    assert _held_out(Grouped(), groups, options) == {i for i, group in enumerate(groups) if group in together}
    with pytest.raises(UserError, match="belong together"):
        _held_out(Grouped(), [1] * 10, options)


class Settled(Task):
    """Lines with numbers; the setting says how large they may be."""

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Settings(TaskSettings):
        largest: int = option(9, "the largest number", check=COUNT)

    def read(self, source, split):
        numbers = []
        for place, text in enumerate(source, 1):
            with self.bad_rows.skipping():
                if not 0 <= int(text) <= self.settings.largest:
                    raise UserError(f"line {place}: {text}; expected at most {self.settings.largest}")
                numbers.append(int(text))
        return numbers


def test_bad_rows_are_refused_or_left_out_and_listed():
    source = ["1", "20", "3", *["30"] * 7]
    with pytest.raises(UserError, match="line 2: 20; expected at most 9 .*--skip-bad-rows"):
        Settled().read(source, "train")
    task = Settled(Settled.Settings(skip_bad_rows=True))
    assert task.read(source, "train") == [1, 3]
    lines = task.bad_rows.summary().splitlines()
    assert lines[0] == "8 bad rows were left out:" and lines[1].startswith("  line 2") and lines[-1] == "  and 3 more"


def test_settings_are_kept_with_the_model():
    settings = Settled.Settings(largest=3, skip_bad_rows=True)
    assert kept_settings(settings) == {"largest": 3} and kept_settings(Settled.Settings()) == {}
    config = AlbertConfig(extra={"task_settings": {"largest": 3}})
    assert saved_settings(Settled, config, "folder") == {"largest": 3}
    for values, words in (({"largest": "x"}, "largest"), ({"smallest": 3}, "no option 'smallest'"), ([3], "names and values")):
        with pytest.raises(UserError, match=f"folder.*{words}"):
            saved_settings(Settled, AlbertConfig(extra={"task_settings": values}), "folder")
    options = make(options_of(Settled, EvaluateOptions), {"model": "m", "table": "t", "largest": 4})
    assert options.largest == 4 and isinstance(options, EvaluateOptions)


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 9)), min_size=1, max_size=40), st.integers(1, 7), st.integers(0, 99))
def test_rows_of_a_batch_have_equally_many_sequences_and_each_comes_once(shapes, size, seed):
    class Shapes(Task):
        def encode(self, example, encoder):
            return [{"input_ids": np.full(example[1], example[0])}]

    features = Features(Shapes(), list(enumerate(shapes)), None)
    steps = range(features.steps_per_epoch(size))
    for batches in ([features.batch(step, size, seed)["input_ids"] for step in steps],
                    [features.take(rows)["input_ids"] for rows in features.in_order(size)]):
        assert all(len(batch) <= size and batch.ndim == 3 for batch in batches)
        numbers = sorted(row.max() for batch in batches for row in batch)
        assert numbers == list(range(len(shapes)))


@pytest.mark.parametrize("rows, passes", [(64, 20), (4_000, 12), (16_000, 3), (1_000_000, 3)])
def test_few_rows_are_passed_over_more_often(rows, passes):
    assert default_epochs(rows // 32) == passes


def test_at_most_one_duration_is_given_and_it_beats_the_recipe(monkeypatch):
    monkeypatch.setattr(find_task("classification"), "recipes", {"laptop": {"epochs": 4, "lr": 1e-3}, "paper": {"steps": 7}})
    given = {"train": "t", "model": "m", "output": "o"}
    assert options_for(given).epochs == 4
    assert options_for({**given, "recipe": "paper"}).steps == 7
    for name in ("epochs", "steps", "minutes"):
        options = options_for({**given, name: 2})
        assert [options.epochs, options.steps, options.minutes].count(None) == 2 and getattr(options, name) == 2
        assert options.lr == 1e-3
    with pytest.raises(UserError, match="epochs and minutes are given; expected at most one"):
        options_for({**given, "epochs": 2, "minutes": 3})
    with pytest.raises(UserError, match="no option 'minute'"):
        options_for({**given, "minute": 3})


def test_a_run_whose_metric_still_got_better_says_so():
    assert "0.600 to 0.800 in the last third" in still_rising([0.1, 0.5, 0.6, 0.8], "accuracy")
    for metric in ("qa_loss", "mse"):
        assert "0.700 to 0.500" in still_rising([0.9, 0.8, 0.7, 0.5], metric)
    for values in ([0.1, 0.8, 0.8, 0.7], [0.1, 0.5, 0.8, 0.801], [0.1, 0.9], [0.5, 0.5, 0.5, 0.5]):
        assert still_rising(values, "accuracy") is None


def test_a_run_that_went_on_after_its_best_says_so():
    values = [0.33, 0.52, 0.56, 0.563, 0.55, 0.549, 0.53, 0.527]
    remark = past_its_best(values, "accuracy", dropout=0.0)
    assert "best at evaluation 3 of 7, 0.563" in remark and "--dropout 0.1 or a shorter run" in remark
    assert "--dropout" not in past_its_best(values, "accuracy", dropout=0.1)
    assert past_its_best([-value for value in values], "mse", 0.1) and not past_its_best(values[2:], "mse", 0.1)
    for other in (values[:4], values[:6], values[:1], [0.9, 0.6, 0.6], [0.5] * 9):
        assert past_its_best(other, "accuracy", 0.0) is None


def test_a_run_of_minutes_fixes_its_steps_and_goes_on(inside, world):
    assert run("finetune even.py:EvenWords texts.txt --output timed", "--model model --minutes 0.01 --threads 1 --batch-size 8") == 0
    lines = [json.loads(line) for line in (world / "timed" / "log.jsonl").read_text().splitlines()]
    steps = lines[0]["total_steps"]
    assert steps >= 1 and lines[-1]["step"] == steps
    assert main(["finetune", "even.py:EvenWords", "--resume", "--output", "timed"]) == 2
    assert f"complete ({steps} steps)" in inside.readouterr().err
    assert main(["finetune", "even.py:EvenWords", "--resume", "--output", "timed", "--steps", str(steps + 2)]) == 0
