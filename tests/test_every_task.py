"""Every task from rows to a table and back: trained, its predictions read by `evaluate`, its texts from any source.

Of tasks that share their code (GLUE's nine sets, SQuAD's two) one stands for all unless HYPOTHESIS_PROFILE is deep, and so
do a few for the sources and endings.  In this profile, and with another --backend, the models are trained on the device.
"""

import csv
import io
import json
import os
import sys

import fakecupy
import on_device
import pytest

from tinyalbert import AlbertConfig, AlbertForPreTraining, AlbertTokenizer
from tinyalbert.cli import main
from tinyalbert.stories.corpus import generate
from tinyalbert.tasks.registry import TASKS

ROWS = {"multi-label": "stories:happened:40", "regression": "numbers.tsv", "multiple-choice": "stories:choice:12", "ner": "stories:ner:14",
        "embedding": "stories:retrieval:14", "translation": "stories:translation:20 --target-vocab-size 90", "summary": "stories:summary:12",
        "squad": "stories:qa:12", "squad2": "stories:qa:12", "classification": "stories:topic:60", "stsb": "numbers.tsv",
        "mnli": "stories:nli:14"}
GLUE = ("cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli")
LIBRARIES = {"translation": "sacrebleu", "summary": "rouge_score"}
TWINS = {*GLUE, "squad2"} - {"mnli"}
DEEP = os.environ.get("HYPOTHESIS_PROFILE") == "deep"
SMALL = dict(embedding_size=8, hidden_size=16, num_attention_heads=2, intermediate_size=24, num_hidden_layers=1,
             max_position_embeddings=64, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A small model of random weights, and rows in files."""
    folder = tmp_path_factory.mktemp("tasks")
    texts = [story.text for story in generate(30)]
    tokenizer = AlbertTokenizer.train(texts, 300)
    AlbertForPreTraining(AlbertConfig(vocab_size=tokenizer.vocab_size, **SMALL), seed=0).save_pretrained(folder / "model", tokenizer)
    rows = [(text.split(". ")[0] + ".", i) for i, text in enumerate(texts)]
    (folder / "numbers.tsv").write_text("sentence1\tsentence2\tscore\n" + "".join(f"{text}\t{rows[i - 1][0]}\t{i % 5}\n" for text, i in rows))
    for name, labels, pair in (("cola", "01", ""), ("sst2", "01", ""), ("mrpc", "01", 1), ("qqp", "01", 1), ("wnli", "01", 1),
                               ("qnli", ("entailment", "not_entailment"), 1), ("rte", ("entailment", "not_entailment"), 1)):
        with open(folder / f"{name}.csv", "w") as file:
            table = csv.writer(file)
            table.writerow(["text_a", *(["text_b"] if pair else []), "label"])
            table.writerows([text, *([rows[i - 1][0]] if pair else []), labels[i % 2]] for text, i in rows)
    return folder


def run(command, capsys):
    capsys.readouterr()
    code = main([*command.split(), "--threads", "1"])
    out, err = capsys.readouterr()
    assert code == 0, err
    return out


@pytest.mark.parametrize("task", [task for task in TASKS if DEEP or task not in TWINS])
def test_a_whole_run_and_its_predictions_read_back(task, world, tmp_path, monkeypatch, capsys, request):
    if task in LIBRARIES:
        pytest.importorskip(LIBRARIES[task])
    monkeypatch.chdir(world)
    monkeypatch.setattr(on_device, "ACTIVE", False)
    if not on_device.library(request.config):
        for name, module in fakecupy.modules().items():
            monkeypatch.setitem(sys.modules, name, module)
    rows, folder = ROWS.get(task, f"{task}.csv"), tmp_path / "trained"
    device = "gpu" if DEEP or request.config.getoption("--backend") != "numpy" else "cpu"      # slow
    run(f"finetune {task} {rows} --model model --output {folder} --steps 2 --max-length 64 --batch-size 8 --device {device}", capsys)
    run(f"finetune --resume --output {folder} --steps 3", capsys)        # its rows and labels are known again
    held_out = rows.split()[0].rpartition(":")[0] + ":5" if rows.startswith("stories") else rows.split()[0]
    scores = run(f"evaluate {folder} {held_out}", capsys).splitlines()[0]
    if device == "gpu":
        there = run(f"evaluate {folder} {held_out} --device gpu", capsys).splitlines()[0]
        assert float(scores.split()[-1]) == pytest.approx(float(there.split()[-1]), abs=2e-3)
    for ending in ("tsv", "csv", "jsonl") if DEEP else ("tsv", "jsonl"):
        said = tmp_path / f"said.{ending}"
        run(f"predict {folder} {held_out} --output {said}", capsys)
        if ending == "tsv" and task in GLUE:     # a submission, which the server reads
            assert said.read_text().startswith("index\tprediction\n")
            continue
        assert run(f"evaluate {folder} {said}", capsys).splitlines()[0] == scores, ending
    assert run(f"predict {folder} {held_out} --json", capsys) == said.read_text()


SOURCES = {
    "t.tsv": "nr\tText\n1\tAnna found a key. It was old.\n2\tNobody knew, it rained.\n",
    "t.csv": 'text\n"Anna found a key. It was old."\n"Nobody knew, it rained."\n',
    "t.jsonl": '{"text": "Anna found a key. It was old."}\n{"text": "Nobody knew, it rained."}\n',
    "t.json": '[{"text": "Anna found a key. It was old."}, {"text": "Nobody knew, it rained."}]',
    "-": "Anna found a key. It was old.\nNobody knew, it rained.\n",
    "t.txt": "Anna found a key. It was old.\nNobody knew, it rained.\n",
}


@pytest.mark.parametrize("task", ["classification", *(["ner", "embedding", "translation", "summary"] if DEEP else [])])
def test_texts_come_from_any_source(task, world, tmp_path, monkeypatch, capsys):
    if task in LIBRARIES:
        pytest.importorskip(LIBRARIES[task])
    monkeypatch.chdir(world)
    folder = tmp_path / "trained"
    run(f"finetune {task} {ROWS[task]} --model model --output {folder} --steps 1 --max-length 64", capsys)
    answers = []
    for name, text in SOURCES.items():
        if task == "summary" and name in ("-", "t.txt"):               # there a text is a document
            continue
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        if name != "-":
            (world / name).write_text(text)
        out = run(f"predict {folder} {name} --json", capsys)
        answers.append([json.loads(line) for line in out.splitlines()])
    told = [[(each.get("text", each.get("source")), each.get("prediction", each.get("summary_text", each.get("predicted"))))
             for each in lines] for lines in answers]
    assert len(told[0]) == 2 and all(each == told[0] for each in told)


@pytest.mark.skipif(not DEEP, reason="trains for seconds; HYPOTHESIS_PROFILE=deep runs it")
def test_a_cased_model_tells_capitals_from_small_letters(tmp_path, monkeypatch, capsys):
    """From the vocabulary to the tags, which a lower-cased model could not give."""
    monkeypatch.chdir(tmp_path)
    run("pretrain stories:40 --preset tiny --cased --vocab-size 300 --steps 2 --output cased", capsys)
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"tokens": ["the", word], "tags": ["O", tag]}) + "\n" for word, tag in (
        ("Mill", "B-LOC"), ("mill", "O")) * 20))
    run("finetune ner rows.jsonl --dev rows.jsonl --model cased --output tagger --steps 40 --lr 0.003 --dropout 0", capsys)
    for folder in ("cased", "tagger"):
        assert json.loads((tmp_path / folder / "tokenizer_config.json").read_text())["do_lower_case"] is False
    assert run("evaluate tagger rows.jsonl", capsys).splitlines()[0].split() == ["f1", "1.0000"]
    assert main(["pretrain", "stories:40", "--cased", "--tokenizer", "cased", "--output", "again", "--steps", "2"]) == 2
    assert "leave them out" in capsys.readouterr().err
