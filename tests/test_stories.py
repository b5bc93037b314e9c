"""The story world: same on every run, exact labels, order that is told by content."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyalbert.errors import UserError
from tinyalbert.stories.corpus import documents, generate, write_corpus
from tinyalbert.stories.tasks import TASKS, story_dataset


@given(index=st.integers(0, 10**6), seed=st.integers(0, 1000), split=st.sampled_from(["train", "test"]))
def test_a_story_is_a_function_of_its_number(index, seed, split):
    one, two = (next(generate(1, seed, split, start=index)) for _ in range(2))
    assert one.sentences == two.sentences and 5 <= len(one.sentences) <= 12
    later = list(generate(3, seed, split, start=max(0, index - 1)))
    assert one.sentences in [s.sentences for s in later]


@given(index=st.integers(0, 10**6))
def test_sentences_are_whole_and_mentions_point_at_their_words(index):
    story = next(generate(1, start=index))
    assert all(s[0].isupper() or s[0] == '"' for s in story.sentences)
    assert all(s.rstrip('"')[-1] in ".!?" for s in story.sentences)
    assert story.text == " ".join(story.sentences)
    assert all(story.text[m.start:m.end].strip() == story.text[m.start:m.end] for m in story.mentions)


@given(index=st.integers(0, 10**6))
def test_people_and_things_are_introduced_once(index):
    """`Mara the baker` and `a red kite` at the first mention, short names after it."""
    story = next(generate(1, start=index))
    introduced = [m for m in story.mentions if m.kind == "JOB"]
    assert len({m.entity for m in introduced}) == len(introduced)
    for job in introduced:
        earlier = [m for m in story.mentions if m.entity is job.entity and m.kind == "PER" and m.end <= job.start]
        assert len(earlier) == 1


def test_the_test_split_has_people_of_its_own():
    people = {split: {m.entity.text for story in generate(300, split=split) for m in story.mentions if m.kind == "PER"}
              for split in ("train", "test")}
    assert people["train"] and people["test"] and not people["train"] & people["test"]


def test_a_bag_of_words_knows_the_order_only_in_part():
    """Which half of a story comes first is told by content: a linear look at the words is right more often than not."""
    rng = np.random.default_rng(0)
    halves = [(d[:len(d) // 2], d[len(d) // 2:]) for d in documents(1500)]
    labels, words = rng.integers(0, 2, len(halves)), {}
    rows = [[words.setdefault((side, w.strip('.,!?"').lower()), len(words)) for side, part in enumerate(
        pair if label == 0 else pair[::-1]) for s in part for w in s.split()]
        for pair, label in zip(halves, labels)]
    x = np.zeros((len(rows), len(words)), dtype=np.float32)
    for row, columns in zip(x, rows):
        row[columns] = 1
    w = np.zeros(len(words))
    train = slice(0, 1200)
    for _ in range(200):                         # logistic regression by gradient descent
        p = 1 / (1 + np.exp(-(x[train] @ w)))
        w -= 0.5 * (x[train].T @ (p - labels[train]) / 1200 + 1e-3 * w)
    accuracy = ((x[1200:] @ w > 0) == labels[1200:]).mean()
    assert 0.6 < accuracy < 0.97


@pytest.mark.parametrize("task", TASKS)
def test_rows_have_the_columns_and_labels_of_their_task(task):
    rows = story_dataset(task, 60, seed=3)
    assert len(rows) == 60 and rows == story_dataset(task, 60, seed=3) != story_dataset(task, 60, seed=4)
    assert all(tuple(r) == TASKS[task].columns for r in rows)
    if TASKS[task].kind == "classification":
        counts = [sum(str(r["label"]) == label for r in rows) for label in TASKS[task].labels]
        assert sum(counts) == 60 and max(counts) - min(counts) <= 1
    if task == "qa":
        for r in rows:
            for text, start in zip(r["answers"]["text"], r["answers"]["answer_start"]):
                assert r["context"][start:start + len(text)] == text
    if task == "ner":
        assert all(len(r["tokens"]) == len(r["tags"]) for r in rows)
    if task == "choice":
        assert all(0 <= int(r["label"]) < len(r["choices"]) for r in rows)


def test_a_corpus_on_disk_has_a_sentence_a_line(tmp_path):
    write_corpus(tmp_path / "s.txt", 5, seed=2)
    blocks = (tmp_path / "s.txt").read_text(encoding="utf-8").strip().split("\n\n")
    assert [b.split("\n") for b in blocks] == list(documents(5, seed=2))


def test_mistakes_are_told():
    with pytest.raises(UserError, match="split"):
        next(generate(1, split="dev"))
    with pytest.raises(UserError, match="not negative"):
        next(generate(-1))
    with pytest.raises(UserError, match="unknown"):
        story_dataset("nothing", 1)
