"""Pairs whose order is easy to see: echoes leave no trace but at the seam, the choice takes the best of its candidates."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shard_folder import random_documents, write_shards

from tinyalbert.pretraining import curriculum
from tinyalbert.pretraining.batches import PretrainingData
from tinyalbert.pretraining.pairs import Segments

seeds = st.integers(0, 2**32 - 1)


def texts(rng, rows, most=12, vocabulary=40):
    """tokens, and Segments of random places in them: first texts and second texts, in both orders."""
    tokens = rng.integers(5, vocabulary, 400).astype(np.uint16)
    a, b = rng.integers(0, 200, rows), rng.integers(200, 380, rows)
    label = rng.integers(0, 2, rows)
    first, second = (a, rng.integers(1, most, rows)), (b, rng.integers(1, most, rows))
    swap = label == 1
    return tokens, Segments(np.where(swap, second[0], first[0]), np.where(swap, second[1], first[1]),
                            np.where(swap, first[0], second[0]), np.where(swap, first[1], second[1]), label)


def rows_of(tokens, segments):
    """[CLS] A [SEP] B [SEP] of each row, as ids (n, T), specials 2 and 3, padding 0."""
    ids = np.zeros((len(segments.label), 3 + (segments.a_length + segments.b_length).max()), np.int32)
    for row, (a, m, b, n, _) in zip(ids, zip(*segments)):
        row[:m + n + 3] = [2, *tokens[a:a + m], 3, *tokens[b:b + n], 3]
    return ids


@given(seed=seeds, width=st.integers(1, 8), most=st.floats(0.05, 1.0))
def test_echoes_come_from_the_end_of_the_first_text(seed, width, most):
    rng = np.random.default_rng(seed)
    tokens, segments = texts(rng, 30)
    before = rows_of(tokens, segments)
    covered = (rng.random(before.shape) < 0.2) & (before > 3)
    after = before.copy()
    curriculum.echo(rng.random((30, 1 + 4 * width)), segments, 0.05, most, after, covered)
    first, m, second, n = curriculum.in_order(curriculum.in_rows(segments))
    for row in range(30):
        echoed = set((np.flatnonzero(before[row] != after[row])).tolist())
        one, two = range(first[row], first[row] + m[row]), range(second[row], second[row] + n[row])
        assert echoed <= {*one[:width], *two[:width]}
        assert not covered[row, sorted(echoed)].any()
        uncovered = ~covered[row]
        assert {after[row, i] for i in echoed & {*two}} <= {before[row, i] for i in one[-width:] if uncovered[i]}
        assert {after[row, i] for i in echoed & {*one}} <= {before[row, i] for i in (*one, *two) if uncovered[i]}


def test_all_pieces_within_reach_are_written_over_at_a_share_of_one():
    """So the place of what is out of place tells nothing: both beginnings have as much of it."""
    rng = np.random.default_rng(0)
    tokens, segments = texts(rng, 200)
    before = rows_of(tokens, segments)
    marks = np.arange(1000, 1000 + before.size).reshape(before.shape)    # every piece is another one
    after = marks.copy()
    curriculum.echo(rng.random((200, 1 + 4 * 6)), segments, 1.0, 1.0, after, np.zeros(before.shape, bool))
    first, m, second, n = curriculum.in_order(curriculum.in_rows(segments))
    for row in range(200):
        one, two = range(first[row], first[row] + m[row]), range(second[row], second[row] + n[row])
        assert all(after[row, i] in marks[row, list(one[-6:])] for i in two[:6])
        assert all(after[row, i] in marks[row, [*one, *two]] for i in one[:6])
        untouched = sorted(set(range(before.shape[1])) - {*one[:6], *two[:6]})
        assert (after[row, untouched] == marks[row, untouched]).all()


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_the_share_of_echoes_is_kept_at_both_beginnings(share):
    rng = np.random.default_rng(1)
    tokens, segments = texts(rng, 2000, most=20)
    ids = np.arange(2000 * 60).reshape(2000, 60)
    after = ids.copy()
    curriculum.echo(rng.random((2000, 1 + 4 * 4)), segments, share, share, after, np.zeros(ids.shape, bool))
    for start, length in np.reshape(curriculum.in_order(curriculum.in_rows(segments)), (2, 2, -1)):
        long = length >= 8                       # a piece may be its own echo if the text is short
        changed = np.concatenate([(after != ids)[row, start[row]:start[row] + 4] for row in np.flatnonzero(long)])
        spread = np.sqrt(share * (1 - share) / len(changed))
        assert abs(changed.mean() - share) < 5 * spread + share / 8      # up to 1/8 of them are their own


@given(seed=seeds, width=st.integers(1, 15))
def test_the_seam_is_what_its_definition_says(seed, width):
    rng = np.random.default_rng(seed)
    tokens, segments = texts(rng, 20)
    information = rng.random(40)

    def shared(end, begin):
        return sum(information[piece] for piece in begin if piece in end)
    for found, a, m, b, n, label in zip(curriculum.seam(tokens, information, segments, width), *segments):
        one, two = tokens[a:a + m].tolist(), tokens[b:b + n].tolist()
        if label:
            one, two = two, one
        np.testing.assert_allclose(found, shared(one[-width:], two[:width]) - shared(two[-width:], one[:width]), atol=1e-9)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    documents = random_documents(np.random.default_rng(2), 60)
    folder = write_shards(tmp_path_factory.mktemp("curriculum") / "data", documents, held_out=[0, 1])
    return PretrainingData(folder, max_seq_length=32, ngram=1, short_seq_prob=0.0)


@pytest.mark.parametrize("changes", [dict(echo=(0.2, 1.0)), dict(best_of=5), dict(echo=(0.1, 0.5), best_of=3)])
def test_a_batch_has_every_pair_in_both_orders(data, changes):
    batch = data.batch(3, 20, **changes)
    assert batch["sentence_order_label"].tolist() == [1, 0] * 10
    segments = data.segments(60 + np.arange(20), True, changes.get("best_of", 1))
    one, two = (Segments(*(field[k::2] for field in segments)) for k in (0, 1))
    for x, y in zip(curriculum.in_order(one), curriculum.in_order(two)):
        np.testing.assert_array_equal(x, y)
    parts = [data.batch(3, 20, first, count, **changes) for first, count in ((0, 7), (7, 13))]
    for name, rows in batch.items():
        np.testing.assert_array_equal(rows, np.concatenate([part[name] for part in parts]))


def test_the_best_of_the_candidates_is_taken(data):
    examples = np.arange(40)
    width = curriculum.reach(data.max_seq_length)
    candidates = curriculum.seam(data.shards.tokens, data._information, data._drawn(np.arange(20 * 6)), width)
    chosen = curriculum.seam(data.shards.tokens, data._information, data.segments(examples, True, 6), width)
    np.testing.assert_array_equal(chosen[::2], candidates.reshape(20, 6).max(1))
    assert chosen.mean() > candidates.mean()


@pytest.mark.parametrize("task", ["nsp", "none"])
def test_other_tasks_have_no_use_for_it(tmp_path, data, task):
    other = PretrainingData(data.shards.folder, max_seq_length=32, sentence_task=task)
    plain, changed = other.batch(1, 8), other.batch(1, 8, echo=(0.5, 1.0), best_of=4)
    assert all((plain[name] == changed[name]).all() for name in plain)


def test_echoes_are_read_and_never_asked_for(data):
    """The pieces to guess are those of the text; what is written over lies elsewhere."""
    examples = np.arange(40)
    loud, plain = data._draw(examples, (1.0, 1.0)), data._assemble(data.segments(examples, True))[0]
    asked = loud["labels"] >= 0
    assert (loud["labels"][asked] == plain[asked]).all()
    assert (loud["input_ids"][~asked] != plain[~asked]).any()
