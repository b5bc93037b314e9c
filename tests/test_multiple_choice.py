"""Multiple choice: files as published, whole questions, scores that follow their options, honest rules beside them."""

import csv
import io
import json
import shlex
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyalbert import (
    AlbertConfig,
    AlbertForMultipleChoice,
    AlbertForPreTraining,
    AlbertTokenizer,
    pipeline,
)
from tinyalbert.cli import main
from tinyalbert.errors import UserError
from tinyalbert.pretraining.pretrain import train_tokenizer
from tinyalbert.tasks.batches import Features
from tinyalbert.tasks.choice_files import Question, read_questions
from tinyalbert.tasks.inference import predict
from tinyalbert.tasks.metrics import words
from tinyalbert.tasks.multiple_choice import BASELINES, MultipleChoice, Scored
from tinyalbert.tasks.task import BadRows
from tinyalbert.text.rows import RowEncoder
from tinyalbert.training.trainer import Trainer

WORDS = st.sampled_from("the old dog found a key in garden and nobody knew why it was there".split())
TEXT = st.lists(WORDS, min_size=1, max_size=12).map(" ".join)
ANY = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=20).map("x".__add__)


@st.composite
def questions(draw, text=TEXT, most=4):
    options = draw(st.lists(text, min_size=2, max_size=most, unique=True))
    return Question(draw(text), draw(text), options, draw(st.integers(0, len(options) - 1)), "here")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with an untrained model, and one that answers questions; the commands run inside it."""
    folder = tmp_path_factory.mktemp("choice")
    tokenizer = train_tokenizer(["stories:60"], 200, str(folder / "model"))
    config = AlbertConfig.preset("tiny", vocab_size=tokenizer.vocab_size)
    AlbertForPreTraining(config, seed=1).save_pretrained(folder / "model", tokenizer=tokenizer)
    AlbertForMultipleChoice(config, seed=1).save_pretrained(folder / "chooser", tokenizer=tokenizer)
    return folder


@pytest.fixture(scope="module")
def chooser(folder):
    chooser = pipeline("multiple-choice", str(folder / "chooser"))
    chooser.model.classifier.weight.data *= 50                   # scores that are told apart
    return chooser


# --- files as they are published ------------------------------------------------------------------

def letters(question):
    return "ABCDEFGH"[question.label]


def race(all_questions):
    return "".join(json.dumps({"article": q.passage, "questions": [q.question], "options": [q.options],
                               "answers": [letters(q)], "id": "high7.txt"}) + "\n" for q in all_questions)


def dream(all_questions):
    return json.dumps([[q.passage.split("\n"), [{"question": q.question, "choice": q.options,
                                                 "answer": q.options[q.label]}], "4-199"] for q in all_questions], indent=2)


def plain(all_questions):
    return "".join(json.dumps({"context": q.passage, "question": q.question, "choices": q.options,
                               "label": q.label}) + "\n" for q in all_questions)


def swag(all_questions):
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow(["", "video-id", "fold-ind", "startphrase", "sent1", "sent2", "gold-source",
                     *(f"ending{i}" for i in range(4)), "label"])
    for i, q in enumerate(all_questions):
        writer.writerow([i, "v", i, "", q.passage, q.question, "gold", *q.options, q.label])
    return file.getvalue()


@pytest.mark.parametrize("form", [race, dream, plain, swag])
@given(data=st.data())
def test_what_was_written_is_what_is_read(tmp_path_factory, form, data):
    four = st.lists(questions(ANY), min_size=1, max_size=5)
    if form is swag:
        four = four.map(lambda some: [q for q in some if len(q.options) == 4]).filter(bool)
    given_questions = data.draw(four)
    path = tmp_path_factory.mktemp("q") / "file"                 # no ending: the content tells the form
    path.write_text(form(given_questions), encoding="utf-8", newline="")
    read = read_questions(path, "train", BadRows())
    fields = [(q.passage, q.question, q.options, q.label) for q in given_questions]
    assert [(q.passage, q.question, q.options, q.label) for q in read] == fields
    assert {q.group for q in read} == {"high" if form is race else ""} and all(str(path) in q.where for q in read)


def test_races_folders(tmp_path):
    """A file for each passage, as published, or all of them in all.txt; the levels are told by the folders."""
    record = {"article": "a", "questions": ["b _ ?", "c"], "options": [["d", "e"], ["f", "g"]], "answers": ["B", "A"]}
    for level in ("middle", "high"):
        for name in ("10", "2"):
            path = tmp_path / "RACE" / "dev" / level / f"{name}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(record, indent=1 if name == "2" else None))
    read = read_questions(tmp_path / "RACE", "test", BadRows())
    assert [q.group for q in read] == ["high"] * 4 + ["middle"] * 4 and [q.label for q in read] == [1, 0] * 4
    assert [q.with_option(q.options[q.label]) for q in read[:2]] == ["b e ?", "c f"]
    (tmp_path / "RACE" / "dev" / "high" / "all.txt").write_text(json.dumps(record) + "\n")
    assert len(read_questions(tmp_path / "RACE" / "dev", "test", BadRows())) == 6
    with pytest.raises(UserError, match="no part named train"):
        read_questions(tmp_path / "RACE", "train", BadRows())


@pytest.mark.parametrize("answer, options, label", [
    (1, ["b", "c"], 1), ("1", ["b", "c"], 1), ("B", ["b", "c"], 1), ("c", ["b", "c"], 1),
    ("1", ["1", "0"], 0), ("A", ["B", "A"], 1), (None, ["b", "c"], None)])
def test_answers_of_a_plain_file(tmp_path, answer, options, label):
    (tmp_path / "q.jsonl").write_text(json.dumps({"question": "q", "options": options, "answer": answer}))
    assert read_questions(tmp_path / "q.jsonl", "predict", BadRows())[0].label == label


@pytest.mark.parametrize("text, message", [
    ('{"question": "q", "choices": ["a", "b"]}', "line 1: no answer.*tinyalbert predict"),
    ('{"question": "q", "choices": ["a", "b"], "label": 2}', "line 1: the answer 2; expected the number .*0 to 1"),
    ('{"question": "q", "choices": ["a", "b"], "label": "x y"}', "line 1: the answer 'x y' is none of the options"),
    ('{"question": "q", "choices": ["a"], "label": 0}', "line 1: 1 options; expected at least two"),
    ('{"question": "q", "choices": "a", "label": 0}', "line 1: the options are 'a'"),
    ('{"question"', "line 1: not JSON"),
    ('{"a": 1}', "line 1: no question with options; expected a line such as"),
    ('{"article": "a", "questions": ["q"], "options": [["a", "b"]], "answers": ["C"]}', "question 1: the answer 'C'; expected one of A, B"),
    ('{"article": "a", "questions": ["q"], "answers": ["C"]}', "not as expected .KeyError: 'options'"),
    ("sent1,sent2\na,b\n", "no questions that are known: .*RACE or DREAM, the CSV of SWAG"),
])
def test_a_bad_question_is_refused_or_left_out(tmp_path, text, message):
    (tmp_path / "q").write_text('{"question": "q", "choices": ["a", "b"], "label": 0}\n' * (text[0] == "{") + text)
    message = message.replace("line 1", "line 2")
    lenient = BadRows(skip=True)
    if text[0] == "{":
        assert len(read_questions(tmp_path / "q", "train", lenient)) == 1 and lenient.problems
    with pytest.raises(UserError, match=message):
        list(read_questions(tmp_path / "q", "train", BadRows()))


# --- rows and scores ------------------------------------------------------------------------------

@given(question=questions(), room=st.integers(6, 30), windows=st.booleans(), times=st.integers(1, 30))
def test_only_the_passage_is_cut(chooser, question, room, windows, times):
    question.passage = " ".join([question.passage] * times)
    whole = [chooser.tokenizer(question.passage, question.with_option(option)) for option in question.options]
    length = room + max(sum(w["token_type_ids"]) for w in whole)
    encoder = RowEncoder(chooser.tokenizer, length, "windows" if windows else "truncate")
    rows = MultipleChoice().encode(question, encoder)
    longest = max(len(w["input_ids"]) for w in whole)
    assert encoder.texts == len(question.options) and (encoder.too_long > 0) == (longest > length)
    for row in rows:
        for got, mask, expected in zip(row["input_ids"], row["attention_mask"], whole):
            ids, behind = got[mask == 1].tolist(), sum(expected["token_type_ids"])
            assert ids[-behind - 1:] == expected["input_ids"][-behind - 1:] and len(ids) <= length
    assert windows or len(rows) == 1


@given(question=questions(), order=st.permutations(range(4)), others=st.lists(questions(), max_size=4))
def test_permuting_the_options_permutes_the_scores(chooser, question, order, others):
    order = [i for i in order if i < len(question.options)]
    turned = Question(question.passage, question.question, [question.options[i] for i in order], None, "")
    asked = [{"context": q.passage, "question": q.question, "choices": q.options} for q in [question, turned, *others]]
    one, two, *_ = chooser(asked)                                # in a batch with other numbers of options
    np.testing.assert_allclose(np.array(one["scores"])[order], two["scores"], atol=1e-5)
    np.testing.assert_allclose(chooser(asked[:1])[0]["scores"], one["scores"], atol=1e-5)
    assert one["score"] == max(one["scores"]) and abs(sum(one["scores"]) - 1) < 1e-5
    assert one["answer"] == question.options["ABCD".index(one["label"])]


@given(st.lists(st.tuples(questions(), st.sampled_from(["middle", "high"])), min_size=1, max_size=9), st.data())
def test_each_group_has_its_accuracy(some, data):
    examples, said = [], []
    for question, question.group in some:
        examples.append(question)
        said.append(Scored(question.options, np.array(data.draw(st.permutations(range(len(question.options)))))))
    right = {"": [], "middle": [], "high": []}
    for q, answer in zip(examples, said):
        right[""].append(answer.logits[q.label] == max(answer.logits))
        right[q.group].append(right[""][-1])
    expected = {f"accuracy_{g}".strip("_"): np.mean(r) for g, r in right.items() if r}
    scores = MultipleChoice().score(examples, said)
    assert scores == (expected if right["middle"] and right["high"] else {"accuracy": np.mean(right[""])})
    table = MultipleChoice().confusion(examples, said).splitlines()
    letters = {"ABCD"[answer.logits.argmax()] for answer in said}
    alike = len(letters) == 1 and len({q.label for q in examples}) > 1
    assert [f"every answer is '{letter}'" in table[-1] for letter in letters] == [alike] * len(letters)
    assert len(table) == 1 + len(scores) + alike and table[1].split()[:3] == ["all", str(len(some)), f"{np.mean(right['']):.4f}"]


@given(questions())
def test_the_sliding_window_is_a_loop(question):
    """Richardson et al. 2013, algorithm 1, word for word."""
    passage, scores = words(question.passage), []
    for option in question.options:
        asked = set(words(f"{question.question} {option}"))
        worth = [np.log(1 + 1 / passage.count(w)) * (w in asked) for w in passage]
        size = min(len(asked), len(passage))
        scores.append(max(round(sum(worth[j:j + size]), 9) for j in range(len(passage) - size + 1)))
    best = np.flatnonzero(np.isclose(scores, max(scores), atol=1e-8))
    assert BASELINES["sliding window"]([question])[0] == pytest.approx((question.label in best) / len(best))


@given(st.lists(st.tuples(questions(), st.sampled_from(["middle", "high"])), min_size=2, max_size=6))
def test_the_rules_are_scored_by_the_metric_that_is_asked_for(some):
    examples = []
    for question, question.group in some:
        examples.append(question)
    task = MultipleChoice()
    said = [Scored(q.options, np.zeros(len(q.options))) for q in examples]
    for task.metric in MultipleChoice().score(examples, said):
        part = [q for q in examples if task.metric in ("accuracy", f"accuracy_{q.group}")]
        assert task.baselines([], examples) == pytest.approx({name: rule(part).mean() for name, rule in BASELINES.items()})


def test_rules_share_a_tie():
    even = Question("a dog", "", ["a key", "the dog", "dogs"], 1, "")
    assert {name: rule([even])[0] for name, rule in BASELINES.items()} == {
        "chance": 1 / 3, "longest option": 1, "word overlap": 1 / 2, "sliding window": 1 / 2}


# --- the commands ---------------------------------------------------------------------------------

def test_the_commands(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    options = "--model model --steps 3 --batch-size 4 --threads 1 --max-length 64"
    assert main(shlex.split(f"finetune multiple-choice stories:choice:40 --output done {options}")) == 0
    out = capsys.readouterr().out
    assert "only passages are cut" in out and "rows were longer than 64 tokens and were cut" in out
    assert "questions" in out and "baseline sliding window" in out and "baseline chance           0.2500" in out
    saved = json.loads((folder / "done" / "config.json").read_text())
    assert saved["finetuning_task"] == "multiple-choice" and saved["architectures"] == ["AlbertForMultipleChoice"]
    assert main(shlex.split("evaluate done stories:choice:8")) == 0
    assert "accuracy" in capsys.readouterr().out
    (folder / "set").mkdir()
    asked = {"question": "Who?", "choices": ["Mara", "the\tbaker", "a dog"]}
    for name, count, answer in (("train", 12, {"label": 1}), ("dev", 4, {"label": 2}), ("test", 3, {})):
        lines = json.dumps({**asked, **answer}) + "\n"
        (folder / "set" / f"{name}.jsonl").write_text(lines * count)
    assert main(shlex.split(f"finetune multiple-choice set --output parts {options}")) == 0
    assert "12 rows to train on, 4 held out" in capsys.readouterr().out
    assert main(shlex.split("predict parts set --output said.tsv")) == 0
    rows = [line.split("\t") for line in (folder / "said.tsv").read_text().splitlines()]
    assert rows[0][:7] == ["index", "id", "prediction", "option", "probabilities", "context", "question"] and [r[0] for r in rows[1:]] == list("012")
    said = pipeline("multiple-choice", "parts")(asked)[0]
    assert rows[1][2] == said["label"] and rows[1][4].split() == [f"{s:.4f}" for s in said["scores"]]
    assert main(shlex.split("evaluate parts set/test.jsonl")) == 2
    assert "line 1: no answer" in capsys.readouterr().err
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO((folder / "set" / "dev.jsonl").read_bytes())))
    assert main(shlex.split("evaluate parts -")) == 0                # a score by what predict has written is the same
    expected = capsys.readouterr().out
    assert main(shlex.split("predict parts set/dev.jsonl --output said.jsonl")) == 0 and capsys.readouterr()
    assert main(shlex.split("evaluate parts said.jsonl")) == 0 and capsys.readouterr().out == expected


def test_a_model_learns_to_choose(folder):
    """Where the living thing is the answer, a few steps find it out, wherever it stands among two to four options."""
    rng = np.random.default_rng(0)
    examples = []
    for _ in range(96):
        options = [str(n) for n in rng.permutation("key garden door hat boat".split())[:rng.integers(1, 4)]]
        label = int(rng.integers(len(options) + 1))
        options.insert(label, str(rng.choice(["dog", "cat"])))
        examples.append(Question("it was there", "the _", options, label, "here"))
    chooser = pipeline("multiple-choice", str(folder / "chooser"))
    features = Features(chooser.task, examples, RowEncoder(chooser.tokenizer, 32))

    def accuracy():
        return chooser.task.score(examples, predict(chooser.task, chooser.model, features))["accuracy"]

    before = accuracy()
    trainer = Trainer(chooser.model, lr=2e-3, threads=1, total_steps=80)
    for step in range(80):
        trainer.step(features.batch(step, 16))
    after = accuracy()
    assert before < 0.7 < 0.9 < after, (before, after)


@pytest.mark.parity
def test_a_folder_of_transformers_answers_here(folder):
    """Whose config names the class of the model, not our task."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    torch.set_num_threads(1)
    theirs = transformers.AlbertForMultipleChoice.from_pretrained(folder / "chooser").eval()
    with torch.no_grad():
        theirs.classifier.weight *= 50
    theirs.save_pretrained(folder / "theirs")
    tokenizer = AlbertTokenizer.from_pretrained(folder / "chooser")
    tokenizer.save_pretrained(folder / "theirs")
    asked = {"context": "the old dog found a key", "question": "what was it ?", "choices": ["a key", "the dog", "it"]}
    rows = tokenizer([asked["context"]] * 3, [f"{asked['question']} {c}" for c in asked["choices"]], padding=True)
    with torch.no_grad():
        logits = theirs(**{name: torch.tensor(values)[None] for name, values in rows.items()}).logits
    said = pipeline("multiple-choice", str(folder / "theirs"))(asked)[0]
    np.testing.assert_allclose(said["scores"], logits.softmax(-1)[0].numpy(), atol=1e-5)
