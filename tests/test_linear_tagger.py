"""The linear tagger: its paths are the best of those that are allowed; it reads shapes and neighbours."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds

from tinyalbert.tasks.linear_tagger import (
    best_tags,
    may_follow,
    shape,
    tags_by_linear_tagger,
    word_features,
)

TAGS = ["B-PER", "I-LOC", "I-PER", "O"]


@given(seed=seeds, words=st.integers(0, 5))
def test_the_best_allowed_path_is_found(seed, words):
    scores = np.random.default_rng(seed).normal(0, 2, (words, len(TAGS)))
    paths = [path for path in itertools.product(range(4), repeat=words)
             if all(may_follow(TAGS[b], TAGS[a]) for a, b in zip((3, *path), path))]
    best = max(paths, key=lambda path: sum(scores[i, tag] for i, tag in enumerate(path)))
    assert best_tags(scores, TAGS) == [TAGS[tag] for tag in best]


@given(words=st.lists(st.text(max_size=4), max_size=5))
def test_every_word_has_features(words):
    assert [each["word 0"] for each in word_features(words)] == [word.lower() for word in words]


def test_shapes():
    assert [shape(word) for word in ("McDonald's", "2,000", "USA", "")] == ["XxXx'x", "0,0", "X", ""]


def test_new_names_are_told_by_their_neighbours_and_shape():
    pytest.importorskip("sklearn")
    train = [(["Then", "Mr", name, "left", "the", "mill"], ["O", "O", "B-PER", "O", "O", "O"]) for name in ("Brown", "Hill", "Reed", "Stone")] * 5
    words = ["Then", "Mr", "Quimby", "left"]
    assert tags_by_linear_tagger(train, [words, []]) == [["O", "O", "B-PER", "O"], []]
    assert tags_by_linear_tagger([(["a"], ["O"])], [["b", "c"]]) == [["O", "O"]]
