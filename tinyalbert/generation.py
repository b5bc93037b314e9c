"""Which pieces a decoder writes: greedy search and beam search.

Both ask a `writing` (decoder.Writing) for the scores of the next piece of every row, and tell it
which rows to go on with.  They work on the host, with plain numbers.
"""

from dataclasses import dataclass

import numpy as np

from . import ops


def greedy_search(writing, limits, begin, end):
    """The likeliest piece at each step: a list of ids for each row, without `begin` and `end`.

    limits: the most pieces of each row, the end counted.
    """
    texts = [[] for _ in limits]
    rows = np.arange(len(texts))  # of the texts that go on
    ids = np.full(len(rows), begin)
    while len(rows):
        ids = writing.scores(ids).argmax(axis=-1)  # (R,)
        for row, piece in zip(rows, ids.tolist()):
            texts[row].append(piece)
        goes_on = [
            i for i, row in enumerate(rows) if ids[i] != end and len(texts[row]) < limits[row]
        ]
        writing.keep(goes_on)
        rows, ids = rows[goes_on], ids[goes_on]
    return [without(text, end) for text in texts]


@dataclass
class Hypothesis:
    """A text that is tried."""

    log_probability: float  # of its pieces
    pieces: list
    row: int  # of the writing


def beam_search(writing, limits, begin, end, width, alpha=0.0):
    """The best text that a beam of `width` hypotheses finds, a list of ids for each row.

    Source: Sutskever et al. 2014, §3.2: at each step every hypothesis is continued with every
    piece, and the likeliest `width` stay.  One that ends leaves the beam, which is narrower from
    then on.  The best of those that ended is chosen by log-probability / length_penalty(length,
    alpha).  A beam of 1 is greedy search.
    """
    beams = [[Hypothesis(0.0, [], row)] for row in range(len(limits))]
    ended = [[] for _ in limits]
    ids = np.full(len(limits), begin)
    while any(beams):
        scores = writing.scores(ids)  # (R, V)
        log_probabilities, _ = ops.log_softmax.raw(scores.astype(np.float64))
        best = largest(log_probabilities, width)  # (R, width)
        for n, beam in enumerate(beams):
            candidates = [
                Hypothesis(h.log_probability + log_probabilities[h.row, i], [*h.pieces, i], h.row)
                for h in beam
                for i in best[h.row].tolist()
            ]
            candidates.sort(key=lambda h: -h.log_probability)
            beams[n] = []
            for h in candidates[: width - len(ended[n])]:
                is_over = h.pieces[-1] == end or len(h.pieces) == limits[n]
                if is_over:
                    ended[n].append(h)
                else:
                    beams[n].append(h)
            if beams[n] and ended[n] and not _can_improve(beams[n], ended[n], limits[n], alpha):
                beams[n] = []
        alive = [h for beam in beams for h in beam]
        writing.keep([h.row for h in alive])
        ids = np.array([h.pieces[-1] for h in alive], dtype=np.int64)
        for row, hypothesis in enumerate(alive):
            hypothesis.row = row
    chosen = [max(texts, key=lambda h: quality(h, alpha)) for texts in ended]
    return [without(h.pieces, end) for h in chosen]


def length_penalty(length, alpha):
    """((5 + length) / 6) ** alpha (Wu et al. 2016, §7).

    Each piece lowers the probability, so with alpha = 0, which divides by 1, short texts are
    preferred; with alpha = 1 the mean over the pieces counts, nearly.
    """
    return ((5 + length) / 6) ** alpha


def quality(hypothesis, alpha):
    """What hypotheses of several lengths are compared by."""
    return hypothesis.log_probability / length_penalty(len(hypothesis.pieces), alpha)


def _can_improve(beam, ended, limit, alpha):
    """Whether a text of the beam can still become better than the best that has ended.

    At best its further pieces are certain and it is as long as it may be.
    """
    attainable = max(h.log_probability for h in beam) / length_penalty(limit, alpha)
    return attainable > max(quality(h, alpha) for h in ended)


def largest(values, count):
    """(R, V) -> (R, count): the columns of each row's largest values, the largest first."""
    count = min(count, values.shape[1])
    columns = np.argpartition(-values, count - 1, axis=1)[:, :count]
    order = np.argsort(-np.take_along_axis(values, columns, axis=1), axis=1, kind="stable")
    return np.take_along_axis(columns, order, axis=1)


def without(text, end):
    """A text without its end."""
    return text[:-1] if text[-1:] == [end] else text
