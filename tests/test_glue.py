"""GLUE: each set's files as they are published, its metrics, its submission; a test set without labels is not scored."""

import json
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyalbert import (
    AlbertConfig,
    AlbertForPreTraining,
    AlbertForSequenceClassification,
    AlbertTokenizer,
)
from tinyalbert.cli import main
from tinyalbert.errors import UserError
from tinyalbert.pretraining.pretrain import train_tokenizer
from tinyalbert.tasks.glue import FILES, Mnli
from tinyalbert.tasks.inference import write_to
from tinyalbert.tasks.options import PredictOptions
from tinyalbert.tasks.registry import TASKS, find_task

sys.path.append(str(Path(__file__).resolve().parent.parent / "scripts"))

import glue  # noqa: E402

CELL = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\t\r\n\0"), min_size=1, max_size=20).map(
    lambda text: f'"x{text.strip()}')                                  # an opening quote is a quote
# the columns of the files for training and evaluation, and of the test set
MNLI = "index promptID pairID genre sentence1_binary_parse sentence2_binary_parse sentence1_parse sentence2_parse"
SETS = {
    "cola": ("source label author sentence", "index sentence"),
    "sst2": ("sentence label", "index sentence"),
    "mrpc": ("Quality #1_ID #2_ID #1_String #2_String", "index #1_ID #2_ID #1_String #2_String"),
    "stsb": ("index genre filename year old_index source1 source2 sentence1 sentence2 score",
             "index genre filename year old_index source1 source2 sentence1 sentence2"),
    "qqp": ("id qid1 qid2 question1 question2 is_duplicate", "id question1 question2"),
    "mnli": (f"{MNLI} sentence1 sentence2 label1 gold_label", f"{MNLI} sentence1 sentence2"),
    "qnli": ("index question sentence label", "index question sentence"),
    "rte": ("index sentence1 sentence2 label", "index sentence1 sentence2"),
    "wnli": ("index sentence1 sentence2 label", "index sentence1 sentence2"),
}
GLUE = [name for name in TASKS if "glue:" in TASKS[name][0]]


def task(name, **settings):
    said = []
    made = find_task(name)(find_task(name).Settings(**settings), say=said.append)
    return made, said


def table(name, rows, labelled=True):
    """A file as it is published, of (text, pair, label) rows; with what belongs to the set alone."""
    published = find_task(name).published
    columns = [column.replace("_", " ") if column[0] == "#" else column for column in SETS[name][not labelled].split()]
    lines = [] if name == "cola" and labelled else ["\t".join(columns)]
    for i, (text, pair, label) in enumerate(rows):
        cells = dict.fromkeys(columns, "0") | {published.text: text, published.pair: pair, published.label: label,
                                              "index": str(i), "id": str(i)}
        lines.append("\t".join(cells[column] for column in columns))
    return ("\ufeff" if name == "mrpc" and labelled else "") + "\n".join(lines) + "\n"


def labels(name):
    return st.floats(0, 5).map(lambda x: f"{x:.3f}") if name == "stsb" else st.sampled_from(find_task(name).names)


def test_every_set_is_a_task():
    assert sorted(GLUE) == sorted(SETS)


@pytest.mark.parametrize("name", SETS)
@given(data=st.data(), ends=st.sampled_from(["\n", "\r\n"]))
def test_files_are_read_as_they_are_published(tmp_path_factory, name, data, ends):
    rows = data.draw(st.lists(st.tuples(CELL, CELL, labels(name)), min_size=1, max_size=5))
    folder = tmp_path_factory.mktemp(name)
    for split, labelled in (("train", True), ("test", True), ("predict", False)):
        (folder / FILES[split][0]).write_bytes(table(name, rows, labelled).replace("\n", ends).encode())
    pairs = find_task(name).published.pair is not None
    expected = [(text, pair if pairs else None, label) for text, pair, label in rows]
    for split in ("train", "test"):
        read = task(name)[0].read(folder, split)
        assert [(e.text, e.pair, e.label) for e in read] == expected
        assert read == task(name)[0].read(folder / FILES[split][0], split)
    read = task(name)[0].read(folder, "predict")
    assert [(e.text, e.pair, e.label, e.index) for e in read] == [
        (text, pair, None, str(i)) for i, (text, pair, _) in enumerate(expected)]
    with pytest.raises(UserError, match="has no labels .*test set can't be scored.*tinyalbert predict"):
        task(name)[0].read(folder / "test.tsv", "test")


def test_rows_of_qqp_that_lack_columns_are_left_out_and_counted_but_not_in_a_submission(tmp_path):
    rows = [("a?", "b?", "1"), ("c?", "d?", "0")]
    (tmp_path / "train.tsv").write_text(table("qqp", rows) + "5\t6\t7\tonly one question?\n")
    qqp, said = task("qqp")
    assert len(qqp.read(tmp_path, "train")) == 2 and said == [
        f"{tmp_path}: read train.tsv", f"{tmp_path / 'train.tsv'}: 1 rows lack columns and were left out"]
    (tmp_path / "test.tsv").write_text(table("qqp", rows, labelled=False) + "5\tonly one?\n")
    with pytest.raises(UserError, match="test.tsv, line 4: 2 columns; expected 3"):
        qqp.read(tmp_path, "predict")


@pytest.mark.parametrize("name, text, message", [
    ("rte", table("rte", [("a", "b", "yes")]), "line 2: the label 'yes'.*entailment, not_entailment"),
    ("cola", table("cola", [("a", "b", "2")]), "line 1: the label '2'"),
    ("stsb", table("stsb", [("a", "b", "five")]), "line 2: 'five' is no number"),
    ("mnli", table("mnli", [("a", "b", "neutral")])[:-9] + "\n", "line 2: 11 columns; expected 12"),
    ("mrpc", table("rte", [("a", "b", "entailment")]), "no column '#1 String'.*a file of MRPC as GLUE publishes it"),
])
def test_a_damaged_file_is_refused_with_its_line(tmp_path, name, text, message):
    (tmp_path / "dev.tsv").write_text(text)
    with pytest.raises(UserError, match=message):
        task(name)[0].read(tmp_path, "test")
    if "line" in message:
        lenient = task(name, skip_bad_rows=True)[0]
        assert lenient.read(tmp_path, "test") == [] and len(lenient.bad_rows.problems) == 1


@pytest.mark.parametrize("name", SETS)
def test_a_set_has_the_metrics_of_the_benchmark(name):
    """As scikit-learn and scipy have them."""
    metrics = pytest.importorskip("sklearn.metrics")
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(0)
    made, _ = task(name)
    names = getattr(made, "names", [f"{x:.2f}" for x in rng.random(20) * 5])
    gold = [str(x) for x in rng.choice(names, 60)]
    said = rng.normal(size=(60, len(made.names))) if name != "stsb" else rng.normal(size=60)
    rows = [made_row(label) for label in gold]
    scores = made.score(rows, list(said))
    if name == "stsb":
        numbers = [float(label) for label in gold]
        expected = {"pearson": stats.pearsonr(numbers, said)[0], "spearman": stats.spearmanr(numbers, said)[0]}
    else:
        answers = [made.names[i] for i in said.argmax(axis=1)]
        expected = {"accuracy": metrics.accuracy_score(gold, answers)}
        if name == "cola":
            expected["matthews_corrcoef"] = metrics.matthews_corrcoef(gold, answers)
        if name in ("mrpc", "qqp"):
            expected["f1"] = metrics.f1_score(gold, answers, pos_label="1")
    assert scores == pytest.approx(expected, abs=1e-6) and made.metric in scores


def made_row(label, part=""):
    from tinyalbert.tasks.glue import Example
    return Example("a", "b", label, "here", "0", part)


def test_the_parts_of_mnli_are_told_apart(tmp_path, capsys):
    for part, count in (("matched", 3), ("mismatched", 2)):
        rows = [("a", "b", "neutral")] * count
        (tmp_path / f"dev_{part}.tsv").write_text(table("mnli", rows))
        (tmp_path / f"test_{part}.tsv").write_text(table("mnli", rows, labelled=False))
    mnli = task("mnli")[0]
    said = [np.eye(3)[label] for label in (2, 2, 0, 1, 0)]
    assert mnli.score(mnli.read(tmp_path, "test"), said) == pytest.approx(
        {"accuracy": 2 / 5, "accuracy_matched": 2 / 3, "accuracy_mismatched": 0})
    mnli.write(tmp_path / "MNLI.tsv", mnli.read(tmp_path, "predict"), said)
    assert (tmp_path / "MNLI-m.tsv").read_text() == "index\tprediction\n0\tneutral\n1\tneutral\n2\tcontradiction\n"
    assert (tmp_path / "MNLI-mm.tsv").read_text() == "index\tprediction\n0\tentailment\n1\tcontradiction\n"
    assert not (tmp_path / "MNLI.tsv").exists()
    write_to(PredictOptions(model="m", table="t"), "MNLI.tsv", lambda path: mnli.write(path, mnli.read(tmp_path, "predict"), said))
    assert capsys.readouterr().out == "".join((tmp_path / f"MNLI-{part}.tsv").read_text() for part in ("m", "mm"))
    assert mnli.score(mnli.read(tmp_path / "dev_matched.tsv", "test"), said[:3]) == {"accuracy": pytest.approx(2 / 3)}


def test_other_sources_are_read_as_any_table(tmp_path):
    """Stories, JSON lines, a table whose columns are named; with the labels of the set all the same."""
    assert {row.label for row in task("mnli")[0].read("stories:nli:6", "train")} == set(Mnli.names)
    (tmp_path / "a.jsonl").write_text(json.dumps({"premise": "a", "hypothesis": "b", "label": "neutral"}))
    (tmp_path / "a.tsv").write_text("one\ttwo\tis\na\tb\tneutral\n")
    named = task("mnli", text_column="one", pair_column="two", label_column="is")[0]
    for mnli, file in ((task("mnli")[0], "a.jsonl"), (named, "a.tsv")):
        assert [(r.text, r.pair, r.label) for r in mnli.read(tmp_path / file, "train")] == [("a", "b", "neutral")]
    (tmp_path / "b.jsonl").write_text(json.dumps({"premise": "a", "hypothesis": "b", "label": "maybe"}))
    with pytest.raises(UserError, match="line 1: .*'maybe'"):
        task("mnli")[0].read(tmp_path / "b.jsonl", "train")


def test_the_diagnostic_set_is_one_for_a_submission(tmp_path):
    (tmp_path / "diagnostic.tsv").write_text("index\tsentence1\tsentence2\n0\tA cat sat.\tA cat did not sit.\n")
    assert [e.index for e in Mnli().read(tmp_path, "predict")] == ["0"]
    with pytest.raises(UserError, match="none of train.tsv"):
        Mnli().read(tmp_path, "train")


def test_the_papers_recipes_are_told(tmp_path):
    assert find_task("rte").recipes["paper"] == {
        "lr": 3e-5, "batch_size": 32, "steps": 800, "warmup": 200, "dropout": 0.1, "max_length": 512}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a model, and some of the sets."""
    folder = tmp_path_factory.mktemp("glue")
    tokenizer = train_tokenizer(["stories:60"], 200, str(folder / "model"))
    config = AlbertConfig.preset("tiny", vocab_size=tokenizer.vocab_size)
    AlbertForPreTraining(config, seed=1).save_pretrained(folder / "model", tokenizer=tokenizer)
    words = "the old dog found a key in the garden and nobody knew why it was there".split()
    for name, where in (("cola", "CoLA"), ("mnli", "MNLI"), ("stsb", "STS-B")):
        names = getattr(find_task(name), "names", ("0.5", "2.75", "4"))
        rows = [(" ".join(words[i % 5:][:3]), " ".join(words[i % 7:][:3]), names[i % len(names)]) for i in range(16)]
        (folder / "sets" / where).mkdir(parents=True)
        for split in FILES:
            for file in FILES[split]:
                if ("matched" in file) == (name == "mnli" and split != "train") and file != "diagnostic.tsv":
                    (folder / "sets" / where / file).write_text(table(name, rows, split != "predict"))
    (folder / "sets" / "AX").mkdir()
    (folder / "sets" / "AX" / "diagnostic.tsv").write_text("index\tsentence1\tsentence2\n0\ta dog\ta key\n")
    return folder


def test_the_commands(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    assert main(shlex.split("finetune cola sets/CoLA --output done --model model --steps 4 --threads 1 --batch-size 4")) == 0
    out = capsys.readouterr().out
    assert "16 rows to train on, 16 held out; labels 0, 1" in out and "matthews_corrcoef" in out
    assert main(shlex.split("evaluate done sets/CoLA")) == 0
    assert capsys.readouterr().out.split()[:4:2] == ["matthews_corrcoef", "accuracy"]
    assert main(shlex.split("predict done sets/CoLA --output CoLA.tsv")) == 0
    lines = [line.split("\t") for line in (folder / "CoLA.tsv").read_text().splitlines()]
    assert lines[0] == ["index", "prediction"] and [line[0] for line in lines[1:]] == [str(i) for i in range(16)]
    assert {line[1] for line in lines[1:]} <= {"0", "1"}
    assert main(shlex.split("evaluate done sets/CoLA/test.tsv")) == 2
    assert "has no labels" in capsys.readouterr().err
    assert json.loads((folder / "done" / "config.json").read_text())["finetuning_task"] == "cola"


def test_the_leaderboard(folder, monkeypatch, capsys):
    """Every set that is there, the average of sets, not of columns, submissions by the server's names."""
    monkeypatch.chdir(folder)
    command = shlex.split("sets --model model --seeds 2 --steps 2 --threads 1 --batch-size 4 --output board")
    assert glue.main(command) == 0
    table = [[cell.strip() for cell in line.strip("|").split("|")]
             for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert table[0] == ["", "CoLA MCC", "CoLA acc", "STS-B Pearson", "STS-B Spearman", "MNLI-m acc", "MNLI-mm acc",
                        "average of 3 sets"]
    means = [float(cell.split()[0]) for cell in table[2][1:]]
    assert means[-1] == pytest.approx(np.mean([np.mean(means[i:i + 2]) for i in (0, 2, 4)]), abs=0.1)
    runs = [json.loads((folder / "board" / f"cola-{seed}" / "eval_results.json").read_text()) for seed in (0, 1)]
    accuracies = [100 * run["accuracy"] for run in runs]
    assert table[2][2] == f"{np.mean(accuracies):.1f} ± {np.std(accuracies, ddof=1):.1f}"
    assert {path.name for path in (folder / "board" / "submission").iterdir()} == {
        "CoLA.tsv", "STS-B.tsv", "MNLI-m.tsv", "MNLI-mm.tsv", "AX.tsv"}
    assert (folder / "board" / "submission" / "AX.tsv").read_text().splitlines()[0] == "index\tprediction"
    assert glue.main(command) == 0 and "majority" in capsys.readouterr().out     # nothing is done twice
    assert glue.main([*command, "--lr", "0.1"]) == 2 and "other options" in capsys.readouterr().err
    assert glue.main(["model", "--model", "model"]) == 2 and "no set to train on" in capsys.readouterr().err


def test_labels_are_mapped_by_name(folder, monkeypatch, capsys):
    """The outputs of a model in another order, with their names: the same scores, the same submission."""
    monkeypatch.chdir(folder)
    tokenizer = AlbertTokenizer.from_pretrained("model")
    config = AlbertConfig.preset("tiny", vocab_size=tokenizer.vocab_size).with_labels(Mnli.names)
    config.extra["finetuning_task"] = "mnli"
    model = AlbertForSequenceClassification(config, seed=3)
    model.classifier.weight.data = model.classifier.weight.data * 50
    model.save_pretrained("named", tokenizer=tokenizer)
    order = [2, 0, 1]
    model.config = config.with_labels([Mnli.names[i] for i in order])
    model.classifier.weight.data = model.classifier.weight.data[order]
    model.save_pretrained("turned", tokenizer=tokenizer)
    outputs = []
    for name in ("named", "turned"):
        assert main(shlex.split(f"evaluate {name} sets/MNLI")) == 0
        outputs.append(capsys.readouterr().out.splitlines()[:3])
        assert main(shlex.split(f"predict {name} sets/MNLI/test_matched.tsv --output {name}.tsv")) == 0 and capsys.readouterr()
    assert outputs[0] == outputs[1] and outputs[0][0].startswith("accuracy")
    assert (folder / "named.tsv").read_text() == (folder / "turned.tsv").read_text()
