"""Greedy and beam search on made-up scores: what they find, against trying every text."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds

from tinyalbert.generation import beam_search, greedy_search, largest, length_penalty

BEGIN, END = 0, 1


class Table:
    """A writing whose next scores are drawn from all pieces so far, and from the row's source."""

    def __init__(self, seed, sources, V):
        self.seed, self.V = seed, V
        self.rows = [(source,) for source in sources]

    def after(self, row):
        return np.random.default_rng([self.seed, *row]).standard_normal(self.V)

    def scores(self, ids):
        assert len(ids) == len(self.rows) > 0, "asked for nothing, or for a row that was not kept"
        self.rows = [(*row, int(i)) for row, i in zip(self.rows, ids)]
        return np.array([self.after(row) for row in self.rows])

    def keep(self, rows):
        self.rows = [self.rows[row] for row in rows]


def log_probability(table, source, pieces):
    """Of a text with its end, piece by piece."""
    total, row = 0.0, (source, BEGIN)
    for piece in pieces:
        scores = table.after(row)
        total += scores[piece] - math.log(np.exp(scores).sum())
        row = (*row, piece)
    return total


def texts(V, limit):
    """Every text that can be written: ended, or as long as it may be."""
    for n in range(1, limit + 1):
        for pieces in itertools.product(range(V), repeat=n):
            if END not in pieces[:-1] and (pieces[-1] == END or n == limit):
                yield list(pieces)


searches = st.tuples(seeds, st.integers(2, 6), st.lists(st.integers(1, 5), min_size=1, max_size=4))


@given(search=searches, alpha=st.sampled_from([0.0, 0.6, 1.0]))
def test_a_beam_of_one_is_greedy(search, alpha):
    seed, V, limits = search
    sources = range(len(limits))
    assert (beam_search(Table(seed, sources, V), limits, BEGIN, END, 1, alpha)
            == greedy_search(Table(seed, sources, V), limits, BEGIN, END))


@given(search=searches)
def test_greedy_takes_the_likeliest_piece_each_time(search):
    seed, V, limits = search
    table = Table(seed, range(len(limits)), V)
    for n, text in enumerate(greedy_search(table, limits, BEGIN, END)):
        assert END not in text and len(text) <= limits[n]
        row = (n, BEGIN)
        for piece in [*text, END] if len(text) < limits[n] else text:
            assert table.after(row).argmax() == piece
            row = (*row, piece)


@given(seed=seeds, V=st.integers(2, 3), limits=st.lists(st.integers(1, 4), min_size=1, max_size=3),
       alpha=st.sampled_from([0.0, 0.6, 1.0, 2.0]))
def test_a_beam_that_holds_everything_finds_the_best_text(seed, V, limits, alpha):
    found = beam_search(Table(seed, range(len(limits)), V), limits, BEGIN, END, V ** 4, alpha)
    for n, (text, limit) in enumerate(zip(found, limits)):
        table = Table(seed, [n], V)
        best = max(texts(V, limit), key=lambda t: log_probability(table, n, t) / length_penalty(len(t), alpha))
        assert text == [piece for piece in best if piece != END]


@given(search=searches, width=st.integers(1, 4), alpha=st.sampled_from([0.0, 0.6, 1.0]), order=st.randoms())
def test_a_text_is_the_same_alone_and_in_any_batch(search, width, alpha, order):
    seed, V, limits = search
    sources = list(range(len(limits)))
    order.shuffle(sources)
    together = beam_search(Table(seed, sources, V), [limits[n] for n in sources], BEGIN, END, width, alpha)
    for n, text in zip(sources, together):
        assert beam_search(Table(seed, [n], V), [limits[n]], BEGIN, END, width, alpha) == [text]


@given(search=searches, width=st.integers(2, 4))
def test_a_larger_length_penalty_never_chooses_a_shorter_text(search, width):
    """Among the texts of one beam; so the beam must hold everything."""
    seed, V, limits = search
    sources, limits, width = range(len(limits)), [min(n, 3) for n in limits], V ** 3
    lengths = [[len(t) for t in beam_search(Table(seed, sources, V), limits, BEGIN, END, width, alpha)]
               for alpha in (0.0, 1.0)]
    assert all(a <= b for a, b in zip(*lengths))


def test_the_length_penalty_is_gnmts():
    assert length_penalty(7, 0) == 1 and length_penalty(1, 0.6) == 1
    assert length_penalty(7, 1) == pytest.approx(2) and length_penalty(19, 0.5) == pytest.approx(2)


@given(seed=seeds, R=st.integers(1, 4), V=st.integers(1, 6), count=st.integers(1, 7))
def test_the_largest_values_come_in_order(seed, R, V, count):
    values = np.random.default_rng(seed).permutation(R * V).reshape(R, V)
    assert largest(values, count).tolist() == np.argsort(-values, axis=1)[:, :count].tolist()
