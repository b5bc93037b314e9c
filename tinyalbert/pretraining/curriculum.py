"""Pairs whose order is easy to see, for a model that does not know yet what to look for.

What tells the order of two texts is mostly the seam: the second takes up words that the first ended
with, while the end of the second and the beginning of the first share fewer.  In a sequence of 64
pieces there is so little of it that a small model stays at guessing, even if the sequences grow
later.  So its first pairs show more than pairs usually do (curriculum learning, Bengio et al.
2009), in two ways:

- `echo`: pieces from the end of the first text stand in the beginning of the second.  As many
pieces from anywhere
  stand in the beginning of the first, or pieces out of place would tell the order, and nothing be
  learned of seams.
- `seam`: of several pairs, the one whose seam shows most.  This is plain text; it teaches little
without echoes first.

Such pairs come in both orders in one batch, so that nothing but the order makes a difference
between the two.
"""

import numpy as np

from .draws import integers

FARTHEST = 64  # pieces from the seam that count, at most a quarter of a sequence


def reach(max_seq_length):
    """How many pieces at the ends of a text count."""
    return min(FARTHEST, max_seq_length // 4)


def in_order(segments):
    """Starts and lengths of the text that comes first in its document, and of the second: four of
    (n,).
    """
    a, b = (segments.a_start, segments.a_length), (segments.b_start, segments.b_length)
    return [np.where(segments.label == 1, y, x) for x, y in zip((*a, *b), (*b, *a))]


def in_rows(segments):
    """The same segments, but they begin where they stand in [CLS] A [SEP] B [SEP]."""
    return segments._replace(a_start=np.ones_like(segments.a_length), b_start=segments.a_length + 2)


def echo(u, segments, least, most, ids, covered):
    """Write echoes into ids (n, T), in place; neither over a covered piece nor from one.  covered
    (n, T): booleans.

    The share of pieces that are written over is drawn between least and most for each row, on a
    logarithmic scale. u (n, 1 + 4 reach).
    """
    width = (u.shape[1] - 1) // 4
    share, place = least * (most / least) ** u[:, :1], np.arange(width)  # (n, 1), (reach,)
    first, first_length, second, second_length = (x[:, None] for x in in_order(in_rows(segments)))
    chosen, from_end, chosen_too, from_all = np.split(u[:, 1:], 4, axis=1)  # (n, reach) each
    near = np.minimum(first_length, width)
    end = first + first_length - near + integers(from_end, 0, near)
    anywhere = integers(from_all, 0, first_length + second_length)
    anywhere = np.where(anywhere < first_length, first + anywhere, second + anywhere - first_length)
    row, original = np.broadcast_to(np.arange(len(ids))[:, None], end.shape), ids.copy()
    for begin, length, source, chance in (
        (second, second_length, end, chosen),
        (first, first_length, anywhere, chosen_too),
    ):
        target = begin + np.minimum(place, length - 1)
        written = (
            (chance < share) & (place < length) & ~covered[row, source] & ~covered[row, target]
        )
        ids[row[written], target[written]] = original[row, source][written]


def seam(tokens, information, segments, width):
    """How much more the seam shares than the outer ends do: (n,), in the units of information (V,)
    of each piece.
    """
    first, first_length, second, second_length = in_order(segments)
    place = np.arange(width)

    def pieces(start, length, step, filler):  # from an end of a text inwards, (n, width)
        inside = start[:, None] + step * np.minimum(place, length[:, None] - 1)
        return np.where(place < length[:, None], tokens[inside].astype(np.int64), filler)

    def shared(end, begin):
        return (information[begin] * (begin[:, :, None] == end[:, None, :]).any(2)).sum(1)

    return shared(
        pieces(first + first_length - 1, first_length, -1, -1), pieces(second, second_length, 1, -2)
    ) - shared(
        pieces(second + second_length - 1, second_length, -1, -1),
        pieces(first, first_length, 1, -2),
    )
