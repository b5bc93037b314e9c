"""Labels for texts: one or several, told by logits; scores as scikit-learn's; files that are read back; what is odd is said."""

import io
import json
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds

from tinyalbert import AlbertConfig, AlbertForPreTraining, AlbertForSequenceClassification, pipeline
from tinyalbert.cli import main
from tinyalbert.errors import UserError
from tinyalbert.pretraining.pretrain import train_tokenizer
from tinyalbert.tasks import baselines
from tinyalbert.tasks.batches import Features
from tinyalbert.tasks.classification import Classification, ClassificationSettings
from tinyalbert.tasks.metrics import (
    classification_metrics,
    decisions_table,
    multi_label_metrics,
    precision_recall_f1,
)
from tinyalbert.tasks.multi_label import MultiLabel, MultiLabelSettings
from tinyalbert.tasks.outcome import behind_a_baseline
from tinyalbert.tasks.regression import Regression
from tinyalbert.tasks.report import confusions, label_report, one_against_rest
from tinyalbert.tasks.tables import Row, read_table
from tinyalbert.text.rows import RowEncoder

SHORT = "--steps 3 --batch-size 8 --threads 1 --max-length 16"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with an untrained model and a table of two labels; the commands run inside it."""
    folder = tmp_path_factory.mktemp("labels")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        tokenizer = train_tokenizer(["stories:60"], 200, "model")
        config = AlbertConfig.preset("tiny", vocab_size=tokenizer.vocab_size)
        AlbertForPreTraining(config, seed=1).save_pretrained("model", tokenizer=tokenizer)
        rows = [f"{'good' if i % 2 else 'bad'}\tthe dog was {'glad' if i % 2 else 'sad'} {i}" for i in range(24)]
        Path("bare").write_text("\n".join(rows))
        several = [{"text": f"a key {i}", "labels": [["a"], ["a", "b"], [], ["c"]][i % 4]} for i in range(24)]
        Path("several.jsonl").write_text("\n".join(map(json.dumps, several)))
        assert run(f"finetune bare --model model --output done {SHORT}") == 0
        assert run(f"finetune multi-label several.jsonl --model model --output multi {SHORT} --threshold 0.4") == 0
        yield folder


def run(command):
    return main(shlex.split(command))


@pytest.fixture
def inside(world, monkeypatch, capsys):
    monkeypatch.chdir(world)
    return capsys


def numbers(text):
    return {line.split()[0]: line.split()[1] for line in text.splitlines() if len(line.split()) == 2}


# ---- scores

@given(seed=seeds, labels=st.integers(2, 5), rows=st.integers(1, 30))
def test_scores_of_labels_are_scikit_learns(seed, labels, rows):
    from sklearn.metrics import precision_recall_fscore_support

    rng = np.random.default_rng(seed)
    gold, said = rng.integers(0, labels, (2, rows))
    table = one_against_rest(gold, said, labels)
    precision, recall, f1, support = precision_recall_fscore_support(
        gold, said, labels=range(labels), zero_division=0)
    for mine, theirs in zip(precision_recall_f1(table), (precision, recall, f1)):
        np.testing.assert_allclose(mine, theirs, rtol=1e-12)
    assert (table[:, 1].sum(axis=1) == support).all() and (table.sum(axis=(1, 2)) == rows).all()
    report = label_report(table, [f"label {i}" for i in range(labels)]).splitlines()[1:]
    assert [line.split()[-1] for line in report] == [str(int(n)) for n in support]


@given(seed=seeds, labels=st.integers(1, 5), rows=st.integers(1, 30), share=st.floats(0, 1))
def test_scores_of_several_labels_are_scikit_learns(seed, labels, rows, share):
    from sklearn.metrics import accuracy_score, f1_score, multilabel_confusion_matrix

    gold, said = np.random.default_rng(seed).random((2, rows, labels)) < share
    metrics = multi_label_metrics(gold, said)
    if labels > 1:                                                     # one column is a binary task to scikit-learn
        for name in ("micro", "macro"):
            assert metrics[f"{name}_f1"] == pytest.approx(f1_score(gold, said, average=name, zero_division=0), abs=1e-12)
        np.testing.assert_array_equal(decisions_table(gold, said), multilabel_confusion_matrix(gold, said))
    assert metrics["subset_accuracy"] == pytest.approx(accuracy_score(gold, said), abs=1e-12)


@given(seed=seeds, known=st.integers(2, 4), new=st.integers(0, 3), rows=st.integers(3, 20))
def test_labels_that_training_did_not_have_count_as_wrong(seed, known, new, rows):
    """As if the model had known them and never said them."""
    rng = np.random.default_rng(seed)
    gold, logits = rng.integers(0, known + new, rows), rng.random((rows, known))
    gold[0] = 0
    names = [f"{'b' if i >= known else 'a'}{i}" for i in range(known + new)]
    task = Classification(labels=names[:known])
    examples = [Row("", None, names[i], "") for i in gold]
    present = [*range(known), *sorted(set(gold[gold >= known].tolist()))]
    expected = classification_metrics([present.index(i) for i in gold], logits.argmax(1), len(present), known == 2)
    assert task.score(examples, logits) == expected
    text = task.confusion(examples, logits)
    count = int((gold >= known).sum())
    assert (f"{count} of {rows} rows have labels that the model was not trained on" in text) == bool(count)
    with pytest.raises(UserError, match="no row has a label that the model knows.*predict"):
        task.score([Row("", None, "-1", "")], logits[:1])


def test_of_many_labels_the_worst_are_shown():
    """77 labels: ten of them, ten confusions; all on demand."""
    rng = np.random.default_rng(0)
    names, gold = [f"intent {i}" for i in range(77)], rng.integers(0, 77, 2000)
    said = np.where(rng.random(2000) < 0.8, gold, (gold + 1) % 77)
    report = label_report(one_against_rest(gold, said, 77), names).splitlines()
    mistakes = confusions(gold, said, names).splitlines()
    assert len(report) == len(mistakes) == 11 and "worst of 77 labels" in report[0]
    f1 = [float(line.split()[4]) for line in report[1:]]
    counts = [int(line.split()[0]) for line in mistakes[1:]]
    assert f1 == sorted(f1) and counts == sorted(counts, reverse=True)
    assert counts[0] == max(((gold == i) & (said == (i + 1) % 77)).sum() for i in range(77))
    assert len(label_report(one_against_rest(gold, said, 77), names, whole=True).splitlines()) == 78
    assert len(confusions(gold, said, names, whole=True).splitlines()) == 78
    assert confusions(gold, gold, names) == "no label was taken for another"


def test_a_constant_prediction_is_said():
    task = Classification(labels=["no", "yes"])
    rows = [Row("", None, label, "") for label in ("no", "yes", "no")]
    assert "every prediction is 'no'" in task.confusion(rows, np.array([[1.0, 0]] * 3))
    assert "every prediction" not in task.confusion(rows, np.eye(2)[[0, 1, 0]])
    assert "every prediction is about 1.5" in Regression().confusion([Row("", None, n, "") for n in "123"], np.full(3, 1.5))
    several = MultiLabel(labels=["a", "b"])
    rows = [Row("", None, labels, "") for labels in (("a",), ("a", "b"))]
    assert "every prediction is a:" in several.confusion(rows, np.array([[1.0, -1]] * 2))


# ---- what is learned

def labels_of(counts):
    return [Row("text", None, name, f"line {i}") for name, n in counts.items() for i in range(n)]


def test_the_metric_is_chosen_by_the_set():
    for counts, metric in (({"a": 50, "b": 50}, "accuracy"), ({"a": 90, "b": 10}, "macro_f1"), ({"a": 5, "b": 3, "c": 2}, "accuracy")):
        task = Classification()
        task.fit(labels_of(counts))
        assert task.metric == metric


def test_rare_labels_weigh_as_much_as_common_ones(tmp_path):
    """All rows of a label together as much as those of any other; 1 on average; no model sees it in prediction."""
    tokenizer = train_tokenizer(["stories:60"], 200, tmp_path)
    task = Classification(ClassificationSettings(class_weights="balanced"))
    rows = labels_of({"a": 12, "b": 3, "c": 1})
    task.fit(rows)
    batch = Features(task, rows, RowEncoder(tokenizer, 16)).take(range(16))
    sums = [batch["weights"][batch["labels"] == i].sum() for i in range(3)]
    assert np.allclose(sums, 16 / 3) and batch["weights"].mean() == pytest.approx(1)
    assert set(task.targets) == {"labels", "weights"}
    assert "weights" not in Classification(labels=["a", "b", "c"]).encode(rows[0], RowEncoder(tokenizer, 16))[0]


def test_of_several_labels_a_rare_one_weighs_as_much_as_its_absence(tmp_path):
    tokenizer = train_tokenizer(["stories:60"], 200, tmp_path)
    task = MultiLabel(MultiLabelSettings(class_weights="balanced"))
    rows = [Row("a dog", None, ("a",) * (i % 2) + ("rare",) * (i == 3), "") for i in range(16)]
    task.fit(rows)
    batch = Features(task, rows, RowEncoder(tokenizer, 16)).take(range(16))
    assert batch["weights"].shape == batch["labels"].shape == (16, 2)
    for label in range(2):
        has, weights = batch["labels"][:, label] == 1, batch["weights"][:, label]
        assert weights[has].sum() == pytest.approx(8) == weights[~has].sum()
    assert "weights" not in MultiLabel(MultiLabelSettings(class_weights="balanced"), labels=["a"]).encode(rows[1], RowEncoder(tokenizer, 16))[0]


@pytest.mark.parametrize("labels, words", [
    ([f"{i / 7:.3f}" for i in range(12)], ["12 numbers with decimals (0.000, 0.143, 0.286 and 9 more)", "did you mean --regression"]),
    ([f"name {i}" for i in range(30)], ["30 different labels", "--label-column", "--regression"]),
    (["same"] * 4, ["every row has the label 'same'"]),
])
def test_labels_that_are_none_are_refused_before_training(labels, words):
    with pytest.raises(UserError) as refusal:
        Classification().fit([Row("", None, label, "") for label in labels])
    assert all(word in str(refusal.value) for word in words), refusal.value


def test_half_stars_may_be_classes():
    said = []
    task = Classification(say=said.append)
    task.fit([Row("", None, label, "") for label in ("0.5", "1.0", "1.5") * 20])
    assert task.labels == ["0.5", "1.0", "1.5"] and "did you mean --regression?" in said[0]
    task.fit([Row("", None, label, "") for label in ("0.0", "1.0") * 20])                 # as pandas writes whole numbers
    assert len(said) == 1


@given(seed=seeds, windows=st.integers(1, 5), how=st.sampled_from(["mean", "max", "attention", "probabilities"]))
def test_windows_agree(seed, windows, how):
    outputs = np.random.default_rng(seed).normal(0, 3, (windows, 4))
    one = Classification(ClassificationSettings(window_pooling=how), labels=list("abcd"))
    several = MultiLabel(MultiLabelSettings(window_pooling=how), labels=list("abcd"))
    for task in (one, several):
        joined = task.decode(None, None, outputs)
        if how == "probabilities":
            np.testing.assert_allclose(task.probabilities(joined), task.probabilities(outputs).mean(axis=0), rtol=1e-6)
        elif how == "attention":             # a mean with weights, which grow with how sure a window is
            assert (outputs.min(axis=0) - 1e-9 <= joined).all() and (joined <= outputs.max(axis=0) + 1e-9).all()
            np.testing.assert_allclose(task.decode(None, None, outputs[::-1]), joined, rtol=1e-9)
            flat = np.concatenate([outputs, np.zeros((1, 4))])
            sure = np.concatenate([outputs, outputs[:1] * 40])
            assert abs(task.decode(None, None, flat)).max() <= abs(outputs).max()
            np.testing.assert_allclose(task.decode(None, None, sure) / 40, outputs[0], atol=0.2 * abs(outputs).max())
        else:
            np.testing.assert_array_equal(joined, getattr(outputs, how)(axis=0))
        if windows == 1:
            np.testing.assert_allclose(task.probabilities(joined), task.probabilities(outputs[0]), rtol=1e-12)


def test_learned_attention_is_kept_with_the_folder(inside, world):
    table = "".join(f"{'good' if i % 2 else 'bad'}\t{'the dog was here ' * (1 + i % 12)}{'glad' if i % 2 else 'sad'} {i}\n" for i in range(24))
    (world / "long").write_text(table)
    options = f"{SHORT} --max-length 12 --long windows --window-pooling learned"
    assert run(f"finetune long --dev long --model model --output learned {options}") == 0
    trained = numbers(inside.readouterr().out)["accuracy"]
    assert run("evaluate learned long") == 0
    assert numbers(inside.readouterr().out)["accuracy"] == trained
    assert run("finetune long --dev long --model learned --keep-head --output kept --steps 1 --threads 1 --lr 1e-9 --max-length 12 "
               "--long windows --window-pooling learned") == 0
    assert run("predict learned long --output learned.jsonl") == run("predict kept long --output kept.jsonl") == 0
    assert Path("learned.jsonl").read_text() == Path("kept.jsonl").read_text()
    assert run("finetune long --model learned --output again --steps 1 --threads 1") == 0         # the head starts anew
    assert run("predict done long --output x.tsv --window-pooling learned") == 2
    assert "window_dense" in inside.readouterr().err


# ---- baselines

def texts(*pairs):
    return [Row(text, pair, None, "") for text, pair in pairs]


def test_what_words_alone_say(monkeypatch):
    words = [("a good film", None), ("a bad film", None), ("good fun", None), ("bad luck", None)] * 6
    said = baselines.said_by_logistic_regression(texts(*words), [1, 0] * 12, texts(("so good", None), ("so bad", None)))
    assert said.tolist() == [1, 0]
    same = [(f"w{i} w{i + 1} w{i + 2}", f"w{i + 2} w{i + 1}") for i in range(20)] + [(f"w{i} v", f"u{i} x") for i in range(20)]
    said = baselines.said_by_logistic_regression(texts(*same), [1] * 20 + [0] * 20, texts(("q r s", "q r"), ("q r s", "o p")))
    assert said.tolist() == [1, 0]                                    # words never seen: the overlap tells
    said = baselines.said_by_ridge_regression(texts(*words), np.array([5.0, 1.0] * 12), texts(("good", None), ("bad", None)))
    assert said[0] > 4 > 2 > said[1]
    targets = np.array([[1, 1, 0], [0, 1, 0]] * 12)                   # one label that all have, one that none has
    said = baselines.said_by_logistic_regression(texts(*words), targets, texts(("good", None), ("bad", None)))
    assert said.tolist() == [[1, 1, 0], [0, 1, 0]]
    lines = []
    train = [Row(text, None, label, "") for (text, _), label in zip(words, ["1", "0"] * 12)]
    task = Classification(labels=["0", "1"], say=lines.append)
    assert task.baselines(train, train) == {"majority": 0.5, "TF-IDF + logistic regression": 1.0}
    monkeypatch.setattr("tinyalbert.tasks.classification.has_sklearn", lambda: False)
    assert task.baselines(train, train) == {"majority": 0.5, "naive Bayes": 1.0}
    assert "pip install 'tinyalbert[baselines]'" in lines[0]


@pytest.mark.parametrize("said", ["", "   ", "😀", "... !!"])
@pytest.mark.parametrize("pair", [None, "", "?"])
def test_texts_without_words_say_nothing(said, pair):
    """No row differs from another, and so a baseline predicts the same for all."""
    rows = texts(*[(said, pair)] * 12)
    assert len(set(baselines.said_by_logistic_regression(rows, [1, 0, 1] * 4, rows).tolist())) == 1
    assert np.ptp(baselines.said_by_ridge_regression(rows, np.arange(12.0), rows)) < 1e-9


def test_who_stays_behind_a_baseline_is_told():
    result = {"metric": "accuracy", "metrics": {"accuracy": 0.7}, "baselines": {"majority": 0.5, "TF-IDF": 0.75}}
    assert "behind TF-IDF: accuracy 0.7000 against 0.7500" in behind_a_baseline(result)
    assert behind_a_baseline({**result, "metrics": {"accuracy": 0.75}}) is None
    assert behind_a_baseline({**result, "baselines": {}}) is None
    errors = {"metric": "mse", "metrics": {"mse": 0.7}, "baselines": {"mean": 0.9, "ridge": 0.6}}
    assert "behind ridge: mse 0.7000 against 0.6000" in behind_a_baseline(errors)
    assert behind_a_baseline({**errors, "metrics": {"mse": 0.5}}) is None


# ---- the commands

def test_columns_found_out_once_are_remembered(inside, world):
    """The table has no header; who predicts or evaluates with the model need not say so again."""
    config = json.loads((world / "done" / "config.json").read_text())
    assert config["task_settings"] == {"columns": "label,text", "delimiter": "\t"}
    (world / "two").write_text("good\tall went well\nbad\tnothing did\n")     # too few to tell labels from texts
    assert run("evaluate done two") == 0
    assert "accuracy" in numbers(inside.readouterr().out)


@pytest.mark.parametrize("kind", ["tsv", "csv", "jsonl"])
def test_predictions_are_read_back(kind, inside, world):
    for folder, source in (("done", "bare"), ("multi", "several.jsonl")):
        assert run(f"evaluate {folder} {source}") == 0
        expected = inside.readouterr().out
        assert run(f"predict {folder} {source} --output said.{kind}") == 0
        assert run(f"evaluate {folder} said.{kind}") == 0
        assert numbers(inside.readouterr().out) == numbers(expected)
        assert len(read_table(f"said.{kind}", need_labels=False)) == 24
    record = json.loads((world / "said.jsonl").read_text().splitlines()[1]) if kind == "jsonl" else None
    if record:
        assert record["label"] == ["a", "b"] and set(record["probabilities"]) == {"a", "b", "c"}
        assert record["prediction"] == [name for name, p in record["probabilities"].items() if p > 0.4]


def test_predict_takes_lines_a_text_or_the_standard_input(inside, world, monkeypatch):
    (world / "lines.txt").write_text("The dog, it was glad.\n\nNobody knew: why, where.\n")
    assert run("predict done lines.txt --output -") == 0
    out = inside.readouterr().out
    rows = [line.split("\t") for line in out.splitlines()]
    assert rows[0] == ["index", "prediction", "text", "p(bad)", "p(good)"] and len(rows) == 3
    assert [row[2] for row in rows[1:]] == ["The dog, it was glad.", "Nobody knew: why, where."]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO((world / "lines.txt").read_bytes())))
    assert run("predict done - --output -") == 0
    assert inside.readouterr().out == out
    assert run("predict done 'The dog, it was glad.' --output said.jsonl") == 0
    assert "1 predictions in said.jsonl" in inside.readouterr().out
    record = json.loads((world / "said.jsonl").read_text())
    assert record["text"] == "The dog, it was glad." and record["probabilities"]["bad"] == pytest.approx(float(rows[1][3]), abs=1e-4)
    answer, = pipeline("text-classification", "done")("The dog, it was glad.")
    assert answer["label"] == record["prediction"] and answer["score"] == pytest.approx(record["probabilities"][answer["label"]], abs=1e-5)


@pytest.mark.parametrize("command, words", [
    ("predict done missing.tsv --output x.tsv", ["no file missing.tsv"]),
    ("predict done bare --output bare", ["bare is the table itself"]),
    ("evaluate done unlabelled.tsv", ["no column for the label", "tinyalbert predict"]),
    ("finetune pairs.jsonl --model model --output x", ["pairs.jsonl, line 2", "2 labels, ['a', 'b']", "finetune multi-label"]),
    ("finetune multi-label bare --model model --output x --label-column text --text-column label", ["no column"]),
    ("finetune bare --model model --output x --metric precision --steps 1", ["--metric precision is unknown"]),
    ("finetune bare --model model --output x --window-pooling learned", ["--long is truncate; leave it out, or choose --long windows"]),
    ("finetune bare --model model --output x --overlap 3", ["--overlap 3", "choose --long windows"]),
])
def test_a_mistake_gets_one_sentence(command, words, inside, world):
    (world / "unlabelled.tsv").write_text("text\nall went well\n")
    (world / "pairs.jsonl").write_text('{"text": "one", "labels": ["a"]}\n{"text": "two", "labels": ["a", "b"]}\n')
    assert run(command) == 2
    message = inside.readouterr().err.strip().splitlines()[-1]
    assert message.startswith("tinyalbert: ") and all(word in message for word in words), message


def test_help_lists_the_known_columns(inside):
    with pytest.raises(SystemExit):
        run("finetune --help")
    out = " ".join(inside.readouterr().out.split())
    assert "utterance" in out and "is_duplicate" in out and "hypothesis" in out and "--columns" in out


def test_a_head_starts_where_a_constant_would_end(world):
    """Each label as likely as in the rows, the mean of the numbers: training need not make all texts alike first."""
    config = AlbertConfig.from_json_file(world / "model" / "config.json")
    several = MultiLabel()
    rows = [Row("", None, labels, "") for labels in (("a", "b"), ("a",), ("a",), ("a", "c"))]
    several.fit(rows)
    network = AlbertForSequenceClassification(several.configure(config), seed=0)
    several.start_head(network)
    chances = several.probabilities(network.classifier.bias.data)
    assert np.allclose(chances, [1 - 0.5 / 4, 0.25, 0.25], atol=1e-6)
    numbers = Regression()
    numbers.fit([Row("", None, n, "") for n in ("1", "2.5", "4")])
    network = AlbertForSequenceClassification(numbers.configure(config), seed=0)
    numbers.start_head(network)
    assert network.classifier.bias.data == 2.5


def test_several_labels_in_one_cell(tmp_path):
    (tmp_path / "t.csv").write_text('text,topics\none,"a, b"\ntwo,\nthree,b\n')
    task = MultiLabel()
    rows = task.read(tmp_path / "t.csv", "train")
    assert [row.label for row in rows] == [("a", "b"), (), ("b",)]
    task.fit(rows)
    assert [task.target(row).tolist() for row in rows] == [[1, 1], [0, 0], [0, 1]]
    bars = MultiLabel(MultiLabelSettings(label_separator="|"))
    (tmp_path / "t.tsv").write_text("text\ttopics\none\ta, b|c\n")
    assert bars.read(tmp_path / "t.tsv", "train")[0].label == ("a, b", "c")
    (tmp_path / "fast").write_text("__label__a __label__b one\n__label__b two\n")
    assert [row.label for row in task.read(tmp_path / "fast", "train")] == [("a", "b"), ("b",)]


# ---- transformers

@pytest.mark.parity
@pytest.mark.parametrize("labels, kind", [(3, "multi_label_classification"), (3, None), (2, "single_label_classification"),
                                          (1, "regression"), (1, None)])
def test_answers_are_those_of_transformers(labels, kind, inside, world, tmp_path):
    """Keys, scores, order and nesting, whatever is passed; labels by name."""
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("torch").set_num_threads(1)
    from tinyalbert import AlbertTokenizer

    config = AlbertConfig.from_json_file(world / "model" / "config.json")
    config.num_labels, config.problem_type, config.initializer_range = labels, kind, 0.3
    AlbertForSequenceClassification(config, seed=3).save_pretrained(tmp_path, tokenizer=AlbertTokenizer.from_pretrained("model"))
    ours = pipeline("text-classification", tmp_path)
    theirs = transformers.pipeline("text-classification", model=transformers.AlbertForSequenceClassification.from_pretrained(tmp_path),
                                   tokenizer=transformers.AlbertTokenizer.from_pretrained(tmp_path))
    pair = {"text": "a dog", "text_pair": "a key in the garden"}
    for given_ in ("the old dog", pair, ["the old dog", "a key"], [pair, pair]):
        for options in ({}, {"top_k": None}, {"top_k": 1}, {"top_k": 2}, {"function_to_apply": "none"}, {"function_to_apply": "sigmoid"}):
            assert flat(ours(given_, **options)) == pytest.approx(flat(theirs(given_, **options)), abs=1e-5), (given_, options)


def flat(answer, path=""):
    """{place: score} of nested answers."""
    if isinstance(answer, list):
        return {k: v for i, each in enumerate(answer) for k, v in flat(each, f"{path}/{i}").items()}
    return {f"{path}/{answer['label']}": answer["score"]}
