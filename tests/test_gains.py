"""scripts/gains.py: a table of what pretraining gains; finished runs are kept."""

import json
import signal
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))
import gains
import kept_runs

from tinyalbert import AlbertConfig, AlbertForPreTraining
from tinyalbert.pretraining.pretrain import train_tokenizer

SETS = """
[animals]
task = "classification"
train = "animals.tsv"
steps = 2
batch_size = 8
[numbers]
task = "regression"
train = "numbers.tsv"
steps = 2
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tokenizer = train_tokenizer(["stories:40"], 200, "model")
    config = AlbertConfig.preset("tiny", vocab_size=tokenizer.vocab_size)
    AlbertForPreTraining(config, seed=1).save_pretrained("model", tokenizer=tokenizer)
    words = ["dog", "cat", "boat"]
    (tmp_path / "animals.tsv").write_text("text\tlabel\n" + "".join(f"the {words[i % 3]} {i}\t{words[i % 3]}\n" for i in range(30)))
    (tmp_path / "numbers.tsv").write_text("text\tscore\n" + "".join(f"day {i}\t{i / 4}\n" for i in range(24)))
    (tmp_path / "sets.toml").write_text(SETS)
    return tmp_path


def test_a_line_for_each_set_and_nothing_is_done_twice(folder, capsys, monkeypatch):
    assert gains.main("sets.toml --model model --seeds 2 --threads 1".split()) == 0
    lines = (folder / "runs" / "gains" / "gains.md").read_text().splitlines()
    assert lines[0] == gains.HEADER and [line.split(" | ")[:2] for line in lines[2:]] == [["| animals", "accuracy"], ["| numbers", "pearson"]]
    record = json.loads((folder / "runs" / "gains" / "animals-random-1" / "run.json").read_text())
    assert record["options"]["random_init"] and record["options"]["seed"] == 1
    monkeypatch.setattr(kept_runs, "run", None)
    assert gains.main("sets.toml --model model --seeds 2 --threads 1".split()) == 0
    assert (folder / "runs" / "gains" / "gains.md").read_text().splitlines() == lines


def test_an_interrupted_run_goes_on(folder, monkeypatch):
    step = kept_runs.run.__globals__["Trainer"].step

    def interrupted(trainer, batch, **options):
        if trainer.steps_done == 1:
            signal.raise_signal(signal.SIGINT)
        return step(trainer, batch, **options)

    words = "sets.toml --model model --only animals --threads 1".split()
    with monkeypatch.context() as patch:
        patch.setattr(kept_runs.run.__globals__["Trainer"], "step", interrupted)
        (folder / "sets.toml").write_text(SETS.replace("steps = 2", "steps = 4"))
        with pytest.raises(KeyboardInterrupt):
            gains.main(words)
    assert gains.main(words) == 0
    log = (folder / "runs" / "gains" / "animals-pretrained-0" / "log.jsonl").read_text().splitlines()
    assert json.loads(log[-1])["step"] == 4


def test_the_gain_is_the_difference_of_the_means():
    runs = {"pretrained": [0.5, 0.75], "random values": [0.25, 0.25]}
    results = {start: [{"metric": "f1", "metrics": {"f1": value}, "baselines": {"majority": 0.1, "words": 0.2, "oracle": 1.0}} for value in values]
               for start, values in runs.items()}
    assert gains.line_of("x", results) == ("| x | f1 | 0.625 (0.500 to 0.750) | 0.250 (0.250 to 0.250) | words 0.200 | +0.375 |")


@pytest.mark.parametrize("text, words", [
    ("[a]\ntask = 'ner'\n", "[a] needs at least a task and a train"),
    ("a = 3\n", "[a] needs"),
    ("[a", "can't be read as TOML"),
])
def test_a_list_that_is_no_list_of_sets(text, words, tmp_path, capsys):
    (tmp_path / "sets.toml").write_text(text)
    assert gains.main([str(tmp_path / "sets.toml"), "--model", "m", "--output", str(tmp_path)]) == 2
    assert words in capsys.readouterr().err
