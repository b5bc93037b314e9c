"""What a pretrained model says without fine-tuning: masks, features, sentence order, likelihood; and labels by name."""

import contextlib
import io
import itertools
import json
import sys

import fakecupy
import numpy as np
import on_device
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_tokenizer import CORPUS as INVENTED

from tinyalbert import (
    AlbertConfig,
    AlbertForMaskedLM,
    AlbertForPreTraining,
    AlbertTokenizer,
    UserError,
    pipeline,
)
from tinyalbert.cli import main
from tinyalbert.heads import AlbertForSequenceClassification
from tinyalbert.tasks.likelihood import better_of_pairs, pseudo_log_likelihood

WORDS = "the old dog saw a cat and it ran to her house before rain fell on fields of wheat".split()
rng = np.random.default_rng(0)
CORPUS = [" ".join(rng.choice(WORDS, 8)) + "." for _ in range(200)]
sentences = st.lists(st.sampled_from([*WORDS, "unseen", "dogs", ",", "£"]), min_size=1, max_size=7).map(" ".join)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A pretrained folder with random weights, large enough for the scores to differ; 8 rows of its table have no piece."""
    folder = tmp_path_factory.mktemp("pretrained")
    tokenizer = AlbertTokenizer.train([*CORPUS, *INVENTED], vocab_size=200, num_threads=2, model_max_length=40)
    model = AlbertForPreTraining(config(tokenizer.vocab_size + 8), seed=0)
    randomise(model)
    model.save_pretrained(folder, tokenizer)
    return folder


def config(vocab_size, **changes):
    return AlbertConfig(**{**dict(vocab_size=vocab_size, embedding_size=8, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
                                  intermediate_size=20, max_position_embeddings=40, hidden_dropout_prob=0.0), **changes})


def randomise(model, seed=0):
    rng = np.random.default_rng(seed)
    for p in model.parameters():
        p.data = p.data + 0.3 * rng.standard_normal(p.shape).astype(p.dtype)


# --- masks ----------------------------------------------------------------------------------------------------

def test_ids_without_a_piece_do_not_compete(folder):
    model, tokenizer = AlbertForMaskedLM.from_pretrained(folder), AlbertTokenizer.from_pretrained(folder)
    model.predictions.bias.data[-3] = 50.0
    answers = pipeline("fill-mask", model, tokenizer)("the [MASK] dog", top_k=1000)
    assert len(answers) == tokenizer.vocab_size and sum(a["score"] for a in answers) < 1e-3


@pytest.mark.parametrize("rows", [1, 127])
def test_a_padded_vocabulary_goes_through_every_command(folder, tmp_path, capsys, rows):
    """The best id is one without a piece: nothing answers with it, and training goes on from the folder."""
    tokenizer = AlbertTokenizer.from_pretrained(folder)
    model = AlbertForPreTraining(config(tokenizer.vocab_size + rows), seed=0)
    model.predictions.bias.data[-1] = 9.0
    model.save_pretrained(tmp_path / "m", tokenizer)
    (tmp_path / "rows.tsv").write_text("text\tlabel\n" + "the old dog\tyes\na cat ran\tno\n" * 9)
    model = str(tmp_path / "m")
    for words in (["fill-mask", model, "the [MASK] dog"], ["score", model, "the old dog"], ["convert", model, "--output", f"{model}c"],
                  ["info", model], ["finetune", str(tmp_path / "rows.tsv"), "--model", model, "--output", f"{model}f", "--steps", "1",
                   "--max-length", "16"],
                  ["predict", f"{model}f", str(tmp_path / "rows.tsv"), "--output", str(tmp_path / "p.tsv")],
                  ["pretrain", "stories:40", "--init", model, "--steps", "1", "--output", f"{model}p"],
                  ["pretrain", "--resume", "--steps", "2", "--output", f"{model}p"], ["fill-mask", f"{model}p", "the [MASK] dog"]):
        assert main(words) == 0, words
        assert "outside the vocabulary" not in capsys.readouterr().out
    assert AlbertForPreTraining.from_pretrained(f"{model}p").config.vocab_size == tokenizer.vocab_size + rows


@pytest.mark.parametrize("top_k", [0, -1, 1.0, True, "3", [2]])
def test_a_number_of_answers_that_is_none_is_refused(folder, top_k):
    with pytest.raises(UserError, match="top_k is .*expected a whole number of at least 1"):
        pipeline("fill-mask", folder)("the [MASK]", top_k=top_k)


def test_answers_without_a_number_and_a_tokenizer_by_its_folder(folder):
    fill = pipeline("fill-mask", AlbertForMaskedLM.from_pretrained(folder), tokenizer=str(folder))
    assert fill("the [MASK]", top_k=None) == fill("the [MASK]") == fill("the [MASK]", top_k=np.int64(5))


def test_targets_that_are_no_pieces_are_said_and_none_is_refused(folder):
    fill = pipeline("fill-mask", folder)
    for targets, warned in [([], contextlib.nullcontext()), ("\u200b", pytest.warns(UserWarning, match="has no piece"))]:
        with warned, pytest.raises(UserError, match="at least one piece"):
            fill("the [MASK]", targets=targets)
    with pytest.warns(UserWarning, match="is no piece of this vocabulary; '▁' stands for it"):
        assert [a["token_str"] for a in fill("the [MASK]", targets="▁unseen")] == [""]


# --- likelihood -----------------------------------------------------------------------------------------------

@given(texts=st.lists(sentences, min_size=1, max_size=4), batch_size=st.integers(1, 9), whole_words=st.booleans())
def test_the_likelihood_is_the_sum_over_pieces_masked_in_turn(folder, texts, batch_size, whole_words):
    """Against fill-mask, which computes the same probabilities one text at a time."""
    model, tokenizer = AlbertForMaskedLM.from_pretrained(folder), AlbertTokenizer.from_pretrained(folder)
    sums, counts = pseudo_log_likelihood(model, tokenizer, texts, whole_words, batch_size)
    for text, total, count in zip(texts, sums, counts):
        encoded = tokenizer(text)
        ids, words = encoded.input_ids, encoded.word_ids()
        expected = 0.0
        for place in range(1, len(ids) - 1):
            hidden = [i for i in range(place, len(ids)) if i == place or whole_words and words[i] == words[place]]
            row = np.array([[tokenizer.mask_token_id if i in hidden else x for i, x in enumerate(ids)]])
            logits = model(row).logits.numpy()[0, place].astype(float)
            expected += logits[ids[place]] - np.log(np.exp(logits).sum())
        assert count == len(ids) - 2
        assert total == pytest.approx(expected, rel=1e-5)


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=1))
def test_of_minimal_pairs_a_tie_counts_one_half(pairs):
    share = better_of_pairs([score for pair in pairs for score in pair])
    points = [1.0 if good > bad else 0.5 if good == bad else 0.0 for bad, good in pairs]
    assert share == pytest.approx(sum(points) / len(points))
    swapped = better_of_pairs([score for bad, good in pairs for score in (good, bad)])
    assert share + swapped == pytest.approx(1)


def test_the_command_scores_texts_files_and_standard_input(folder, tmp_path, capsys, monkeypatch):
    (tmp_path / "pairs.txt").write_text("dog the old\nthe old dog\na cat\na cat\n", encoding="utf-8")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"it ran\n\n")))
    assert main(["score", str(folder), "the dog", str(tmp_path / "pairs.txt"), "-"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[-1] for line in lines[1:]] == ["the dog", "dog the old", "the old dog", "a cat", "a cat", "it ran"]
    assert main(["judge", str(folder), str(tmp_path / "pairs.txt")]) == 0
    assert {"25.0%", "75.0%"} & set(capsys.readouterr().out.splitlines()[1].split())
    for words, error in [(["dog " * 60], "score its sentences one by one"),
                         (["\u200b"], "has no pieces")]:
        assert main(["score", str(folder), *words]) == 2
        assert error in capsys.readouterr().err


# --- the device -----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("task", ["fill-mask", "feature-extraction", "sentence-order", "pseudo-likelihood"])
def test_on_the_device_the_answers_are_the_same(folder, task, monkeypatch):
    monkeypatch.setattr(on_device, "ACTIVE", False)
    for name, module in fakecupy.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    texts = ["The [MASK] dog ran. It saw a [MASK].", "The house. The cat."]
    close(pipeline(task, folder, device="gpu")(texts[:1]), pipeline(task, folder)(texts[:1]))
    if task == "pseudo-likelihood":
        close(pipeline(task, folder, device="gpu")(texts, batch_size=3), pipeline(task, folder)(texts))


# --- sentence order -------------------------------------------------------------------------------------------

def test_sentence_order_is_read_of_all_neighbours(folder):
    order = pipeline("sentence-order", folder)
    text = ["The dog ran.", "It saw a cat.", "Rain fell."]
    whole = order(" ".join(text))
    pairs = [order({"text": a, "text_pair": b})["score"] for a, b in itertools.pairwise(text)]
    assert whole["scores"] == pytest.approx(pairs) and whole["score"] == pytest.approx(np.mean(pairs))
    assert order({"sentences": text}) == whole and order([" ".join(text)]) == [whole]
    model, tokenizer = AlbertForPreTraining.from_pretrained(folder), AlbertTokenizer.from_pretrained(folder)
    logits = model(**tokenizer([text[0]], [text[1]], return_tensors="np")).sop_logits.numpy()[0]
    assert whole["scores"][0] == pytest.approx(np.exp(logits[0]) / np.exp(logits).sum(), rel=1e-5)
    with pytest.raises(UserError, match="at least two"):
        order("The dog ran.")
    model.config.sentence_task = "none"
    with pytest.raises(UserError, match="without sentence order"):
        pipeline("sentence-order", model, tokenizer)


# --- equal to transformers' pipelines -------------------------------------------------------------------------

def close(ours, theirs, path=()):
    """The same nested lists and dicts, numbers to 1e-5, those above 10 to 1e-6 of their size."""
    if isinstance(theirs, dict):
        assert ours.keys() == theirs.keys(), path
        for key in theirs:
            close(ours[key], theirs[key], (*path, key))
    elif isinstance(theirs, (list, tuple)):
        assert isinstance(ours, (list, tuple)) and len(ours) == len(theirs), path
        for i, pair in enumerate(zip(ours, theirs)):
            close(*pair, (*path, i))
    elif isinstance(theirs, float):
        assert isinstance(ours, float) and ours == pytest.approx(theirs, abs=1e-5, rel=1e-6), path
    else:
        assert ours == theirs and type(ours) is type(theirs), path


def peers(transformers, task, folder):
    transformers.logging.set_verbosity_error()
    return pipeline(task, folder), transformers.pipeline(task, str(folder))


@pytest.fixture(scope="module")
def exact(folder, tmp_path_factory):
    """The same with a piece for each row of its table, as transformers needs it."""
    exact = tmp_path_factory.mktemp("exact")
    tokenizer = AlbertTokenizer.from_pretrained(folder)
    model = AlbertForMaskedLM(config(tokenizer.vocab_size), seed=0)
    randomise(model)
    model.save_pretrained(exact, tokenizer)
    return exact


@pytest.mark.parity
def test_parity_of_fill_mask(exact):
    transformers = pytest.importorskip("transformers")
    ours, theirs = peers(transformers, "fill-mask", exact)
    for text in ["the [MASK] dog.", "[MASK] saw a (cat) [MASK] the \"house\" [MASK].", ["the [MASK]"], ["a [MASK].", "[MASK] and [MASK]"]]:
        for options in [{}, {"top_k": 1}, {"top_k": 3, "targets": ["▁dog", "▁cat", "▁the", "▁dog"]}, {"targets": "unseen", "top_k": 2},
                        {"targets": ["▁", "dog", "the house"]}, {"tokenizer_kwargs": {"truncation": True}}]:
            close(ours(text, **options), theirs(text, **options), (text, str(options)))


@pytest.mark.parity
def test_parity_of_feature_extraction(exact, folder):
    transformers = pytest.importorskip("transformers")
    for where in (exact, folder):
        ours, theirs = peers(transformers, "feature-extraction", where)
        for inputs in ["the old (dog).", ["a cat", "it ran to her house."]]:
            close(ours(inputs), theirs(inputs))
        for a, b in zip(ours(["a cat", "it ran"], return_tensors=True), theirs(["a cat", "it ran"], return_tensors=True)):
            np.testing.assert_allclose(a, b.numpy(), atol=1e-5)
        close(ours("cat " * 60, truncation=True), theirs("cat " * 60, truncation=True))
        close(ours("cat " * 60, tokenize_kwargs={"truncation": True, "max_length": 9}),
              theirs("cat " * 60, tokenize_kwargs={"truncation": True, "max_length": 9}))


@pytest.mark.parity
@pytest.mark.parametrize("changes", [{}, {"num_labels": 1}, {"problem_type": "regression", "num_labels": 1},
                                     {"problem_type": "multi_label_classification"}])
def test_parity_of_text_classification(folder, tmp_path, changes):
    transformers = pytest.importorskip("transformers")
    tokenizer = AlbertTokenizer.from_pretrained(folder)
    labels = config(70).with_labels(["no", "maybe", "yes"]).to_dict()
    settings = {**labels, **changes, "vocab_size": tokenizer.vocab_size}
    if changes.get("num_labels") == 1:
        settings = {k: v for k, v in settings.items() if k not in ("id2label", "label2id")}
    model = AlbertForSequenceClassification(AlbertConfig.from_dict({k: v for k, v in settings.items() if k != "model_type"}), seed=0)
    randomise(model)
    model.save_pretrained(tmp_path, tokenizer)
    ours, theirs = peers(transformers, "text-classification", tmp_path)
    for inputs in ["the dog.", ["the dog.", "a (cat) ran"], {"text": "the dog", "text_pair": "a cat"}, ["one"]]:
        for options in [{}, {"top_k": None}, {"top_k": 2}, {"top_k": 1}, {"function_to_apply": "none"},
                        {"function_to_apply": "sigmoid", "top_k": None}]:
            close(ours(inputs, **options), theirs(inputs, **options), (str(inputs), str(options)))


@pytest.mark.parity
def test_parity_of_a_classifier_that_transformers_made(folder, tmp_path):
    """Its labels, its weights and the tokenizer that it saved again."""
    transformers = pytest.importorskip("transformers")
    values = config(AlbertTokenizer.from_pretrained(folder).vocab_size).to_dict()
    labels = {"id2label": {0: "yes", 1: "maybe", 2: "no"}, "label2id": {"yes": 0, "maybe": 1, "no": 2}}
    theirs = transformers.AlbertForSequenceClassification(transformers.AlbertConfig(**values, **labels))
    theirs.classifier.weight.data *= 50
    theirs.save_pretrained(tmp_path)
    transformers.AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path)
    (tmp_path / "spiece.model").unlink(missing_ok=True)
    ours, theirs = peers(transformers, "text-classification", tmp_path)
    close(ours(CORPUS[:4], top_k=None), theirs(CORPUS[:4], top_k=None))
    assert {answer["label"] for answer in ours("the dog", top_k=None)} == {"yes", "maybe", "no"}


# --- labels by name -------------------------------------------------------------------------------------------

@given(order=st.permutations(range(3)), shuffled=st.booleans())
def test_labels_are_known_by_their_names(folder, tmp_path_factory, order, shuffled):
    """Permuting the labels in config.json and the head's rows changes no answer; nor does label2id alone, or the keys' order."""
    tokenizer = AlbertTokenizer.from_pretrained(folder)
    model = AlbertForSequenceClassification(config(tokenizer.vocab_size).with_labels(["no", "maybe", "yes"]), seed=0)
    randomise(model)
    one, two = (tmp_path_factory.mktemp("classifier") for _ in range(2))
    model.save_pretrained(one, tokenizer)
    names = [model.config.id2label[i] for i in order]
    model.classifier.weight.data = model.classifier.weight.data[order]
    model.classifier.bias.data = model.classifier.bias.data[order]
    model.config = model.config.with_labels(names)
    model.save_pretrained(two, tokenizer)
    values = json.loads((two / "config.json").read_text())
    if shuffled:
        values["id2label"] = dict(reversed(values["id2label"].items()))
        values["label2id"] = {name: i for i, name in enumerate(sorted(names))}
        (two / "config.json").write_text(json.dumps(values))
    texts = CORPUS[:5]
    a, b = (pipeline("text-classification", where)(texts, top_k=None) for where in (one, two))
    close(a, b)
    table = one / "t.jsonl"
    table.write_text("".join(json.dumps({"text": text, "label": name}) + "\n" for text, name in zip(texts, ["yes", "no", "maybe"] * 2)))
    assert main(["evaluate", str(one), str(table)]) == main(["evaluate", str(two), str(table)]) == 0
