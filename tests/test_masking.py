"""Masks: how many pieces, how long the spans, whole words, and 80/10/10; then Google's edges."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyalbert.pretraining import masking
from tinyalbert.pretraining.draws import uniforms

seeds = st.integers(0, 2**32 - 1)


def within(hits, n, p, sigmas=5):
    """Whether a count of hits in n draws is plausible for probability p."""
    return abs(hits - n * p) <= sigmas * np.sqrt(n * p * (1 - p)) + 1


def random_rows(rng, B=8, T=48, start_share=0.6):
    """(starts, segment) of rows [CLS] A [SEP] B [SEP] and padding."""
    segment = np.zeros((B, T), int)
    for row in segment:
        a = rng.integers(1, T - 4)
        b = rng.integers(1, T - 2 - a)
        row[1:1 + a], row[2 + a:2 + a + b] = 1, 2
    return rng.random((B, T)) < start_share, segment


def words_of(starts, segment):
    """The words of a row as lists of positions, each in one segment."""
    words = []
    for at in np.flatnonzero(segment):
        if not starts[at] and words and words[-1][-1] == at - 1:
            words[-1].append(at)
        else:
            words.append([at])
    return words


def test_ngram_probabilities():
    assert np.allclose(masking.ngram_probabilities(3), [6 / 11, 3 / 11, 2 / 11])
    assert masking.ngram_probabilities(1) == [1]


@pytest.mark.parametrize("ngram", [2, 3, 5])
def test_each_size_has_the_interval_up_to_the_next(ngram):
    """[0, p1) is 1, [p1, p1 + p2) is 2 and so on: the limits themselves belong to the longer span."""
    limits = np.cumsum(masking.ngram_probabilities(ngram))[:-1]
    assert masking.span_sizes(limits, ngram).tolist() == list(range(2, ngram + 1))
    assert masking.span_sizes(np.nextafter(limits, 0), ngram).tolist() == list(range(1, ngram))


@pytest.mark.parametrize("ngram", [1, 2, 3, 5])
def test_span_sizes_have_these_probabilities(ngram):
    sizes = masking.span_sizes(uniforms(0, 0, np.arange(400), 100), ngram)
    counts = np.bincount(sizes.ravel(), minlength=ngram + 1)
    assert counts[0] == 0 and len(counts) == ngram + 1
    assert all(within(c, sizes.size, p) for c, p in zip(counts[1:], masking.ngram_probabilities(ngram)))


def test_spans_as_laid_have_these_lengths():
    """One span a row, in rows so long that nothing clips it: its length is the number drawn."""
    B, T = 4000, 65
    segment = np.ones((B, T), int)
    segment[:, 0] = 0
    word_pairs = np.arange(T)[None] % 2 == 1     # words of two pieces
    covered = masking.choose_targets(uniforms(1, 0, np.arange(B), 2 * T), np.repeat(word_pairs, B, 0), segment,
                                     np.full(B, 6), 3)
    assert (covered.sum(1) == 6).all()
    one_run = (covered[:, 1:] & ~covered[:, :-1]).sum(1) == 1
    # Three words in one run: drawn at once (2/11), or two or three spans that happen to touch.
    share = one_run.mean()
    assert 2 / 11 - 0.02 < share < 2 / 11 + 0.09


def test_targets_wanted():
    lengths = np.array([3, 10, 30, 50, 128, 133])
    assert masking.targets_wanted(lengths).tolist() == [1, 2, 4, 8, 19, 20]
    assert masking.targets_wanted(lengths, max_predictions=5).tolist() == [1, 2, 4, 5, 5, 5]
    assert masking.targets_wanted(np.array([512]), max_predictions=20).tolist() == [20]


@given(seed=seeds, ngram=st.integers(1, 4), share=st.floats(0.2, 1))
def test_whole_words_of_one_segment_are_covered(seed, ngram, share):
    rng = np.random.default_rng(seed)
    starts, segment = random_rows(rng, start_share=share)
    wanted = rng.integers(1, 10, len(segment))
    covered = masking.choose_targets(rng.random((len(segment), 2 * segment.shape[1])), starts, segment, wanted, ngram)
    assert not covered[segment == 0].any()
    assert (covered.sum(1) <= wanted).all()
    for row in range(len(segment)):
        for word in words_of(starts[row], segment[row]):
            assert covered[row, word].all() or not covered[row, word].any()
        if not covered[row].any():               # only words that are too long were left out
            assert min(map(len, words_of(starts[row], segment[row]))) > wanted[row]


@given(seed=seeds, wanted=st.integers(1, 60))
def test_single_pieces_are_covered_exactly(seed, wanted):
    rng = np.random.default_rng(seed)
    _, segment = random_rows(rng)
    covered = masking.choose_targets(rng.random((8, 96)), np.ones_like(segment, bool), segment, np.full(8, wanted), 1)
    assert (covered.sum(1) == np.minimum(wanted, (segment > 0).sum(1))).all()


def test_every_piece_is_covered_equally_often():
    B, T = 6000, 20
    segment = np.tile((np.arange(T) > 0) & (np.arange(T) < T - 1), (B, 1)).astype(int)
    covered = masking.choose_targets(uniforms(2, 0, np.arange(B), 2 * T), np.ones((B, T), bool), segment,
                                     np.full(B, 3), 1).sum(0)
    assert all(within(c, B, 3 / (T - 2)) for c in covered[1:-1]) and covered[0] == covered[-1] == 0


def test_eighty_ten_ten_is_drawn_for_each_piece():
    """Of the covered pieces 80 % are hidden, 10 % stay, 10 % change, also inside one span."""
    rng = np.random.default_rng(0)
    B, T, V = 500, 100, 1000
    ids = rng.integers(5, V, (B, T)).astype(np.int32)
    covered = np.zeros((B, T), bool)
    covered[:, 10:40] = True
    hidden, labels = masking.apply_masks(uniforms(0, 2, np.arange(B), 2 * T), ids, covered, 4, (5, V))
    assert (labels[covered] == ids[covered]).all() and (labels[~covered] == masking.IGNORE).all()
    assert (hidden[~covered] == ids[~covered]).all() and hidden.dtype == labels.dtype == np.int32
    masked, same = (hidden == 4)[covered], (hidden == ids)[covered]
    n = covered.sum()
    assert within(masked.sum(), n, 0.8)
    assert within(same.sum(), n, 0.1 + 0.1 / (V - 5))                   # a random piece may be the same
    random = hidden[covered][~masked & ~same]
    assert random.min() >= 5 and random.max() < V and len(np.unique(random)) > 0.7 * V
    both = (hidden[:, 10:39] == 4) & (hidden[:, 11:40] == 4)           # neighbours independent of each other
    assert within(both.sum(), both.size, 0.64, sigmas=8)


def test_the_limits_of_eighty_ten_ten():
    """One number decides for each piece: hidden below 0.8, kept below 0.9, else replaced; what is not covered stays."""
    decides = [0.0, np.nextafter(0.8, 0), 0.8, np.nextafter(0.9, 0), 0.9, 0.9999]
    u = np.array([[*decides, 0.0, *[0.5] * 7]])
    ids, covered = np.arange(10, 17, dtype=np.int32)[None], np.array([[True] * 6 + [False]])
    hidden, labels = masking.apply_masks(u, ids, covered, 4, (100, 200))
    assert hidden.tolist() == [[4, 4, 12, 13, 150, 150, 16]]
    assert labels.tolist() == [[10, 11, 12, 13, 14, 15, -100]]            # what ops.cross_entropy passes over


# --- google-research/albert's edges -----------------------------------------------------------------------

def test_a_continuation_at_the_head_of_b_belongs_to_b_or_with_google_to_a():
    segment = np.array([[0, 1, 1, 0, 2, 2, 0]])
    starts = np.array([[1, 1, 1, 1, 0, 1, 1]], bool)      # position 4 continues a word
    together = {True: 0, False: 0}
    for faithful in (False, True):
        kinds = np.minimum(segment, 1) if faithful else segment
        for seed in range(200):
            covered = masking.choose_targets(uniforms(seed, 0, [0], 14), starts, kinds, np.array([2]), 1)[0]
            if faithful:
                assert covered[2] == covered[4]
            together[faithful] += covered[2] and covered[4]
    assert together[True] > together[False] > 0           # two words of their own may both be drawn


def test_spans_cross_the_separator_only_with_google():
    segment = np.tile(np.array([0, 1, 0, 2, 0]), (400, 1))
    starts, u, wanted = np.ones_like(segment, bool), uniforms(0, 0, np.arange(400), 10), np.full(400, 2)
    one_word = masking.cover([0, 1, 2], [1, 2], [0, 1], [2, 2], 1)
    assert bytes(one_word) == b"\1\0"
    assert bytes(masking.cover([0, 1, 2], [1, 2], [0], [2, 2], 2)) == b"\1\0"            # clipped at the end of A
    assert bytes(masking.cover([0, 1, 2], [2, 2], [0], [2, 2], 2)) == b"\1\1"            # Google's goes on
    assert masking.choose_targets(u, starts, segment, wanted, 3).sum() == 800
    assert masking.choose_targets(u, starts, np.minimum(segment, 1), wanted, 3).sum() == 800


@pytest.mark.parametrize("case, wanted", [
    (dict(first=[0, 1, 2, 3], order=[1], sizes=[3, 3, 3], wanted=2), b"\0\1\1"),       # clipped at the end
    (dict(first=[0, 1, 2, 3], order=[0], sizes=[3, 3, 3], wanted=2), b"\1\1\0"),       # too many: a shorter span
    (dict(first=[0, 3, 4], order=[0, 1], sizes=[1, 1], wanted=2), b"\0\0\0\1"),        # too long a word: passed over
    (dict(first=[0, 1, 2, 3], order=[1, 0, 2], sizes=[2, 1, 1], wanted=3), b"\0\1\1"),  # met a covered piece: no retry
    (dict(first=[0, 1, 2], order=[0, 1], sizes=[1, 1], wanted=0), b"\0\0"),
    (dict(first=[0], order=[], sizes=[], wanted=3), b""),
])
def test_cover_case_by_case(case, wanted):
    n = len(case["first"]) - 1
    assert bytes(masking.cover(limit=[n] * n, **case)) == wanted
