"""Zero-shot classification: transformers' answers for the same weights, whatever the order of labels and of names."""

import io
import json
import shlex
import sys

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tinyalbert import AlbertConfig, AlbertForSequenceClassification, UserError, pipeline
from tinyalbert.cli import main
from tinyalbert.pretraining.pretrain import train_tokenizer

WORDS = st.sampled_from("the old dog found a key in garden and nobody knew why it was there".split())
TEXT = st.lists(WORDS, min_size=1, max_size=12).map(" ".join)
LABELS = st.lists(st.lists(WORDS, min_size=1, max_size=2).map(" ".join), min_size=1, max_size=5, unique=True)
NAMES = {
    "three": ["contradiction", "entailment", "neutral"],
    "turned": ["ENTAILMENT", "neutral", "CONTRADICTION"],
    "two": ["entailment", "not_entailment"],
}
TEMPLATES = st.sampled_from(["This example is {}.", "{}", "They found {} there."])


def save(folder, names, tokenizer, order=None):
    """A model of inference whose outputs stand in the given order; the weights follow the names."""
    config = AlbertConfig.preset("tiny", vocab_size=tokenizer.vocab_size).with_labels(names)
    model = AlbertForSequenceClassification(config, seed=2)
    classifier = model.classifier
    classifier.weight.data = classifier.weight.data * 50             # scores that are told apart
    classifier.bias.data = np.linspace(-1, 1, len(names)).astype(np.float32)
    if order is not None:
        model.config = config.with_labels([names[i] for i in order])
        classifier.weight.data, classifier.bias.data = classifier.weight.data[order], classifier.bias.data[order]
    model.save_pretrained(folder, tokenizer=tokenizer)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("zero")
    tokenizer = train_tokenizer(["stories:60"], 200, str(folder / "vocabulary"))
    tokenizer.model_max_length = 64
    for name, names in NAMES.items():
        save(folder / name, names, tokenizer)
    save(folder / "permuted", NAMES["three"], tokenizer, [2, 0, 1])
    save(folder / "unnamed", ["LABEL_0", "LABEL_1", "LABEL_2"], tokenizer)
    return folder


@pytest.fixture(scope="module")
def classify(folder):
    return {name: pipeline("zero-shot-classification", str(folder / name)) for name in [*NAMES, "permuted"]}


def as_dict(answer):
    return dict(zip(answer["labels"], answer["scores"]))


@pytest.mark.parity
@pytest.mark.parametrize("name", NAMES)
def test_the_answers_are_those_of_transformers(folder, classify, name):
    """Also for texts that are cut, for one label, and for labels in one text with commas."""
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("torch").set_num_threads(1)
    theirs = transformers.pipeline("zero-shot-classification", model=str(folder / name), device="cpu")

    @settings(max_examples=8, phases=[Phase.generate], deadline=None)
    @given(st.lists(TEXT, min_size=1, max_size=2), LABELS, TEMPLATES, st.booleans(), st.sampled_from([1, 9]))
    def equal(texts, labels, template, multi_label, times):
        given_texts = [" ".join([text] * times) for text in texts]
        asked = dict(candidate_labels=labels, hypothesis_template=template, multi_label=multi_label)
        for got, want in zip(classify[name](given_texts, **asked), theirs(given_texts, **asked), strict=True):
            assert list(got) == list(want) and got["sequence"] == want["sequence"]
            np.testing.assert_allclose(got["scores"], want["scores"], atol=1e-5)
            assert set(got["labels"]) == set(want["labels"])
            scores = as_dict(want)
            np.testing.assert_allclose([scores[label] for label in got["labels"]], got["scores"], atol=1e-5)

    with pytest.warns(UserWarning, match="longer than 64 tokens"):
        equal()
    got, want = classify[name]("a dog", "the key, old"), theirs("a dog", "the key, old")
    assert got["labels"] == want["labels"] and got["scores"] == pytest.approx(want["scores"], abs=1e-5)


@given(TEXT, LABELS, st.randoms(), st.booleans())
def test_the_order_of_labels_does_not_matter(classify, text, labels, random, multi_label):
    mixed = random.sample(labels, len(labels))
    one, two = (classify["three"](text, each, multi_label=multi_label) for each in (labels, mixed))
    assert as_dict(two) == pytest.approx(as_dict(one), abs=1e-5) and one["scores"] == sorted(one["scores"], reverse=True)
    assert multi_label or sum(one["scores"]) == pytest.approx(1, abs=1e-5) or len(labels) == 1


@given(TEXT, LABELS, st.booleans())
def test_what_the_outputs_mean_is_told_by_their_names(classify, text, labels, multi_label):
    """The same weights in another order, with their names: the same answers, neutral first or not."""
    one, two = (classify[name](text, labels, multi_label=multi_label) for name in ("three", "permuted"))
    assert as_dict(two) == pytest.approx(as_dict(one), abs=1e-5)


def test_a_label_that_stands_twice_is_asked_for_once(classify):
    assert classify["three"]("rain", "sad, glad, sad") == classify["three"]("rain", ["sad", "glad"])


@given(st.lists(TEXT, min_size=1, max_size=4), LABELS)
def test_a_text_alone_and_in_a_batch(classify, texts, labels):
    for text, answer in zip(texts, classify["three"](texts, labels)):
        assert as_dict(classify["three"](text, labels)) == pytest.approx(as_dict(answer), abs=1e-5)
        assert answer["sequence"] == text


def test_a_model_without_entailment_is_refused(folder):
    with pytest.raises(UserError, match="LABEL_0, LABEL_1, LABEL_2; expected one named entailment.*finetune mnli"):
        pipeline("zero-shot-classification", str(folder / "unnamed"))


@pytest.mark.parametrize("labels, template, message", [
    ([], "{}", "no labels"), (" , ", "{}", "no labels"), ("a", "no place", "where the label goes"),
    ("a", "{label}", "where the label goes"), ("a", "{", "where the label goes")])
def test_a_question_that_makes_no_sense_is_refused(classify, labels, template, message):
    with pytest.raises(UserError, match=message):
        classify["three"]("a dog", labels, hypothesis_template=template)


def test_many_pairs_are_announced(classify):
    with pytest.warns(UserWarning, match="100 texts and 3 labels: the model reads 300 pairs"):
        assert len(classify["three"](["a"] * 100, ["a", "dog", "key"])) == 100
    assert classify["three"]([], ["a"]) == []


def test_the_command(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    (folder / "lines.txt").write_text("the old dog\na key\n")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"nobody knew\n")))
    command = "zero-shot three 'a dog' lines.txt - --labels 'key, garden' --template 'They found {}.'"
    assert main(shlex.split(command)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[::3] == ["a dog", "the old dog", "a key", "nobody knew"]
    assert main(shlex.split("zero-shot three 'a dog' --labels 'key,garden' --template 'They found {}.' --json")) == 0
    answer = json.loads(capsys.readouterr().out)
    assert lines[1] == f"  {answer['scores'][0]:7.2%}  {answer['labels'][0]}"
    for options, words in (("--labels ,", "no labels to choose from"), ("--labels key --template no", "{} where the label goes")):
        capsys.readouterr()
        assert main(shlex.split(f"zero-shot three lines.txt {options}")) == 2
        message = capsys.readouterr().err
        assert words in message and "lines.txt" not in message and "skip-bad-rows" not in message       # no row is to blame
    assert main(shlex.split("zero-shot unnamed 'a dog' --labels key")) == 2
    assert "expected one named entailment" in capsys.readouterr().err
