"""Pairs whose order is easy to see, for a model that does not know yet what to look for.

What reveals the order of two texts is mostly the seam: the second takes up words that the first
ended with, while the end of the second and the beginning of the first share fewer.  A sequence of
64 pieces holds so little of this that a small model never gets past guessing, even if the sequences
grow later.  So its first pairs show more than pairs usually do (curriculum learning, Bengio et al.
2009), in two ways:

- `echo`: pieces from the end of the first text are copied into the start of the second.  We also
  copy as many random pieces into the start of the first text; otherwise misplaced pieces alone
  would reveal the order, and the model would learn nothing about seams.
- `seam`: of several pairs, the one whose seam shows most is taken.  This is plain text; it teaches
  little unless echoes come first.

Such pairs appear in both orders in one batch, so that nothing but the order distinguishes the two.
"""

import numpy as np

from .draws import integers

FARTHEST = 64  # pieces from the seam that count, at most a quarter of a sequence


def reach(max_seq_length):
    """How many pieces at the ends of a text count."""
    return min(FARTHEST, max_seq_length // 4)


def in_order(segments):
    """(first start, first length, second start, second length), each (n,), in document order."""
    swapped = segments.label == 1
    return [
        np.where(swapped, segments.b_start, segments.a_start),
        np.where(swapped, segments.b_length, segments.a_length),
        np.where(swapped, segments.a_start, segments.b_start),
        np.where(swapped, segments.a_length, segments.b_length),
    ]


def in_rows(segments):
    """The same segments, with starts that count from the beginning of [CLS] A [SEP] B [SEP]."""
    return segments._replace(a_start=np.ones_like(segments.a_length), b_start=segments.a_length + 2)


def echo(u, segments, least, most, ids, covered):
    """Write echoes into ids (n, T), in place, neither over a covered piece nor from one.

    u: uniform numbers (n, 1 + 4 reach).  covered (n, T): booleans.  The share of pieces that are
    written over is drawn between least and most for each row, on a logarithmic scale.
    """
    width = (u.shape[1] - 1) // 4
    share = least * (most / least) ** u[:, :1]  # (n, 1)
    # (n, reach) each: which places of the second text are written over, and from where; then of the
    # first text
    second_chance, from_end, first_chance, from_all = np.split(u[:, 1:], 4, axis=1)
    first, first_length, second, second_length = (x[:, None] for x in in_order(in_rows(segments)))

    near = np.minimum(first_length, width)  # pieces within reach of the seam
    end = first + first_length - near + integers(from_end, 0, near)
    anywhere = integers(from_all, 0, first_length + second_length)
    anywhere = np.where(anywhere < first_length, first + anywhere, second + anywhere - first_length)

    original = ids.copy()
    place = np.arange(width)
    row = np.arange(len(ids))[:, None]

    def copy_pieces(source, start, length, chosen):
        """Copy the pieces at `source` (n, reach) over the chosen ones from `start` (n, 1) on."""
        target = start + np.minimum(place, length - 1)
        free = ~covered[row, source] & ~covered[row, target]
        written = chosen & (place < length) & free
        rows = np.nonzero(written)[0]
        ids[rows, target[written]] = original[rows, source[written]]

    copy_pieces(end, second, second_length, second_chance < share)
    copy_pieces(anywhere, first, first_length, first_chance < share)


def seam(tokens, information, segments, width):
    """How much more the seam shares than the outer ends do: (n,), in units of `information`.

    information (V,): what each piece counts.
    """
    first, first_length, second, second_length = in_order(segments)
    place = np.arange(width)

    def pieces(start, length, step, filler):
        """The pieces from one end of a text inwards, (n, width)."""
        inside = start[:, None] + step * np.minimum(place, length[:, None] - 1)
        return np.where(place < length[:, None], tokens[inside].astype(np.int64), filler)

    def shared(end, begin):
        """The information of the pieces in `begin` that also stand in `end`."""
        return (information[begin] * (begin[:, :, None] == end[:, None, :]).any(2)).sum(1)

    # fillers of ends and beginnings differ, so that they never match
    first_end = pieces(first + first_length - 1, first_length, -1, -1)
    first_begin = pieces(first, first_length, 1, -2)
    second_end = pieces(second + second_length - 1, second_length, -1, -1)
    second_begin = pieces(second, second_length, 1, -2)
    return shared(first_end, second_begin) - shared(second_end, first_begin)
