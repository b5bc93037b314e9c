"""Texts longer than a row: cut, read in windows, or refused; what did not fit is counted and said."""

import re

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tinyalbert import AlbertConfig, AlbertForSequenceClassification
from tinyalbert.errors import UserError
from tinyalbert.modes import no_grad
from tinyalbert.tasks.batches import Features, together
from tinyalbert.tasks.classification import Classification, ClassificationSettings
from tinyalbert.tasks.inference import predict
from tinyalbert.tasks.multi_label import MultiLabel, MultiLabelSettings
from tinyalbert.tasks.regression import Regression
from tinyalbert.tasks.tables import Row
from tinyalbert.text.encoding import shares, truncated, window_pairs
from tinyalbert.text.rows import LONG, RowEncoder


class Letters:
    """A tokenizer with one token a letter."""
    cls_token_id, sep_token_id, model_max_length = 2, 3, 64

    def segment(self, text, is_split_into_words, with_offsets):
        return [(ord(letter) - ord("a") + 5, (0, 0), 0) for letter in text]


LENGTHS = st.integers(0, 40)
TEXTS = st.text("abcdefgh", max_size=60)


@given(LENGTHS, st.none() | LENGTHS, st.integers(4, 30), st.none() | st.integers(0, 3))
def test_windows_cover_every_piece_and_overlap_as_asked(n, m, room, stride):
    first = list(range(n))
    second = None if m is None else list(range(100, 100 + m))
    sizes = shares(first, second, room)
    assume(all(stride is None or stride < size for size, text in zip(sizes, (first, second)) if len(text or ()) > size))
    windows = window_pairs(first, second, room, stride)
    assert windows[0] == truncated(first, second, room)
    assert all(len(a) + len(b or ()) <= room for a, b in windows)
    assert (len(windows) == 1) == (n + (m or 0) <= room)
    for text, size, parts in zip((first, second), sizes, zip(*windows)):
        if text is None:
            assert set(parts) == {None}
            continue
        moving = [part for i, part in enumerate(parts) if i == 0 or part != parts[i - 1]]    # one that ended stands still
        shared = 0 if len(moving) == 1 else size // 4 if stride is None else stride
        assert [piece for i, part in enumerate(moving) for piece in part[shared * (i > 0):]] == text
        assert all(before[len(before) - shared:] == after[:shared] for before, after in zip(moving, moving[1:]))


@given(TEXTS, st.none() | TEXTS, st.integers(8, 130))
def test_a_text_that_fits_is_one_row_whatever_the_policy(text, pair, max_length):
    encoders = [RowEncoder(Letters(), max_length, long) for long in ("truncate", "windows")]
    cut, windows = (encoder(text, pair) for encoder in encoders)
    fits = len(text) + len(pair or "") + (2 if pair is None else 3) <= max_length
    assert [encoder.too_long for encoder in encoders] == [not fits] * 2
    assert (len(windows) == 1) == fits and len(cut) == 1
    assert all(np.array_equal(cut[0][name], windows[0][name]) for name in cut[0])
    assert all(len(row["input_ids"]) <= max_length for row in windows)


def test_a_text_that_does_not_fit_is_refused_by_name():
    encode = RowEncoder(Letters(), 8, "error")
    assert len(encode("abcdef", None, "t.tsv, line 2")) == 1
    with pytest.raises(UserError, match="t.tsv, line 3: 9 tokens; expected at most 8.*--long windows"):
        encode("abcdefg", None, "t.tsv, line 3")
    with pytest.raises(UserError, match="'shorten' is unknown; expected one of truncate, windows, error.*--long"):
        RowEncoder(Letters(), 8, "shorten")
    with pytest.raises(UserError, match="windows of 6 tokens can't overlap by 6"):
        RowEncoder(Letters(), 8, "windows", 6)("abcdefgh")


@given(st.sampled_from(LONG), st.lists(st.sampled_from(LONG), min_size=1, unique=True), st.none() | st.integers(8, 30))
def test_only_what_the_task_and_the_model_take_is_advised(long, policies, longest):
    """Whatever is said of a text that is too long, an advice in it can be followed."""
    if long not in policies:
        with pytest.raises(UserError, match=f"'{long}' does not suit the task; expected one of {', '.join(policies)} "):
            RowEncoder(Letters(), 8, long, None, policies, longest)
        return
    encode = RowEncoder(Letters(), 8, long, None, policies, longest)
    try:
        encode("abcdefghij", None, "t.tsv, line 3")
        said = encode.summary()
        assert encode.summary(advice=False) in said
    except UserError as problem:
        said = str(problem)
    assert set(re.findall("--long ([a-z]+)", said)) <= set(policies) - {long}
    assert ("--max-length" in said) == (longest != 8 and long != "windows")
    if "--max-length" in said:
        assert len(RowEncoder(Letters(), longest or 12, long, None, policies, longest)("abcdef")) == 1


def test_rows_longer_than_the_models_positions_are_refused():
    with pytest.raises(UserError, match="--max-length 9, but the model has 8 positions"):
        RowEncoder(Letters(), 9, longest=8)


def test_what_was_too_long_is_counted():
    texts = ["abc", "a" * 20, "b" * 6, "c" * 9]
    for long, said in (("truncate", "2 of 4 rows were longer than 8 tokens and were cut; to read all of them: "
                                    "--max-length or --long windows"),
                       ("windows", "2 of 4 rows were longer than 8 tokens and were read in 6 windows")):
        encoder = RowEncoder(Letters(), 8, long)
        rows = [encoder(text) for text in texts]
        assert encoder.summary() == said
        assert sum(len(each) for each in rows) == (4 if long == "truncate" else 8)
    assert RowEncoder(Letters(), 8).summary() is None


CONFIG = AlbertConfig.preset("tiny", vocab_size=16, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)


def predictions(task, rows, encoder):
    model = AlbertForSequenceClassification(task.configure(CONFIG), seed=3)
    return np.array(predict(task, model, Features(task, rows, encoder), batch_size=3))


@settings(max_examples=10)
@given(st.lists(TEXTS, min_size=1, max_size=4), st.booleans())
def test_the_merged_prediction_is_that_of_the_whole_text_when_it_fits(texts, regression):
    rows = [Row(text, None, None, "") for text in texts]
    task = Regression() if regression else Classification(labels=["no", "yes"])
    whole, merged = (predictions(task, rows, RowEncoder(Letters(), 62, long)) for long in ("error", "windows"))
    np.testing.assert_array_equal(merged, whole)


def test_the_prediction_for_a_long_text_is_the_mean_of_its_windows():
    task = Classification(labels=["no", "yes"])
    encoder = RowEncoder(Letters(), 10, "windows", 0)
    parts = ["abcdefgh", "hgfedcba", "aabbccdd"]
    long, *short = predictions(task, [Row(text, None, None, "") for text in ["".join(parts), *parts]], encoder)
    np.testing.assert_allclose(long, np.mean(short, axis=0), rtol=1e-5, atol=1e-6)


@settings(max_examples=8)
@given(st.lists(st.text("abcdefgh", min_size=1, max_size=90), min_size=1, max_size=3), st.booleans(), st.integers(0, 99))
def test_learned_attention_is_that_over_all_windows(texts, several, seed):
    """Of a text that stands in one row as the model has it; of a longer one over the windows of all its rows."""
    Class, Settings = (MultiLabel, MultiLabelSettings) if several else (Classification, ClassificationSettings)
    task = Class(Settings(window_pooling="learned"), labels=["no", "yes", "maybe"])
    model = task.model_class(task.configure(CONFIG), seed=seed)
    for parameter in model.parameters():
        parameter.data *= 8                                            # so that windows differ
    rows = [Row(text, None, None, "") for text in texts]
    features = Features(task, rows, RowEncoder(Letters(), 10, "windows"))
    alone = [RowEncoder(Letters(), 10, "windows")(text) for text in texts]
    for said, windows, places in zip(predict(task, model, features, batch_size=2), alone, features.places):
        assert sum(len(features.rows[i]["input_ids"]) for i in places) == len(windows)
        with no_grad():
            whole = {name: a[None] for name, a in together(windows).items()}
            np.testing.assert_allclose(said, model(**whole).logits.numpy()[0], rtol=2e-3, atol=2e-4)
            turned = model(**{name: a[:, ::-1] for name, a in whole.items()}).logits.numpy()[0]
            np.testing.assert_allclose(turned, said, rtol=2e-3, atol=2e-4)


def test_in_training_each_window_is_a_row_with_the_label():
    rows = [Row("a" * 20, None, "yes", ""), Row("b" * 4, None, "no", "")]
    features = Features(Classification(labels=["no", "yes"]), rows, RowEncoder(Letters(), 10, "windows", 0))
    assert len(features) == 4 and features.take([0, 1, 2, 3])["labels"].tolist() == [1, 1, 1, 0]
    assert [list(places) for places in features.places] == [[0, 1, 2], [3]]


@given(st.integers(0, 12), LENGTHS, st.integers(19, 40), st.none() | st.integers(0, 30), st.sampled_from(["first", "second"]))
def test_one_text_of_a_pair_may_stand_whole_in_every_row(n, m, max_length, overlap, cut):
    """A question beside windows of a passage: every place of the passage is read, in its place."""
    whole, moving = "a" * n, "bcdefgh" * 6
    moving = moving[:m]
    texts = (whole, moving) if cut == "second" else (moving, whole)
    sequence = 1 if cut == "second" else 0
    rows = RowEncoder(Letters(), max_length, "windows", overlap)(*texts, cut=cut, tokens=True)
    assert all(len(row["input_ids"]) == len(row["about"]) <= max_length for row in rows)
    read = []
    for row in rows:
        ids = [token.id for token in row["about"]]
        assert ids == row["input_ids"].tolist() and [token.type for token in row["about"]] == row["token_type_ids"].tolist()
        assert ids.count(5) == n                                             # the letter a
        read.append("".join(chr(token.id + ord("a") - 5) for token in row["about"] if token.sequence == sequence))
    room = max_length - 3 - n
    shared = room // 4 if overlap is None else min(overlap, room // 2)
    assert read[0] + "".join(part[shared:] for part in read[1:]) == moving
    assert all(before.endswith(after[:shared]) for before, after in zip(read, read[1:]))
    cut_rows = RowEncoder(Letters(), max_length)(*texts, cut=cut)
    assert len(cut_rows) == 1 and np.array_equal(cut_rows[0]["input_ids"], rows[0]["input_ids"])


def test_no_room_beside_the_text_that_stands_whole():
    with pytest.raises(UserError, match="q 7: the first text has 12 tokens .*rows of 16.*--max-length"):
        RowEncoder(Letters(), 16, "windows")("a" * 12, "b" * 30, "q 7", cut="second")
