"""Documents -> windows of consecutive sentences -> two segments, in order or swapped.

Sentence order: Lan et al. 2020, §3.1.  The order must show in the meaning alone.  Two traces would
give it away, and are avoided:

- Sentences packed from the front: the first of a window is one that did not fit into the window
  before, so it tends to be long.  Here a coin decides for each document whether it is packed from
  its front or from its back.
- Segments cut to length: the second would end without a full stop more often.  Here segments are
  whole sentences.  Only if two sentences don't fit (or fill="cut" asks for windows filled to the
  last piece) is the longer segment cut, by the same rule whether it comes first or second: a window
  that slides over it.

An epoch packs every document anew and uses each window once, in random order; a window with more
text than fits is used as often as it would fill a sequence, each time with another cut.  So an
epoch covers the corpus about once, and every piece is reached.  Sentences are given by their
numbers, text by its place in tokens.bin.

`google_instances` is the way of google-research/albert, with its random second segments, for
comparison.
"""

from typing import NamedTuple

import numpy as np

from .draws import integers

GROUP_SENTENCES = 1 << 20  # documents are packed in groups: memory stays bounded


class Segments(NamedTuple):
    """Two segments of text for each of n examples; every field is (n,).

    Starts are places in the tokens, lengths count pieces.
    """

    a_start: np.ndarray
    a_length: np.ndarray
    b_start: np.ndarray
    b_length: np.ndarray
    label: np.ndarray  # 0 in order, 1 swapped (or, for next sentences, a random second)


# --- windows: which sentences go together ---------------------------------------------------------


def pack_windows(
    sentences, first, last, max_tokens, rng, short_seq_prob=0.1, least=2, fill="whole"
):
    """Windows of at least `least` sentences, in random order: (n, 2).

    sentences (S + 1,): where each begins in the tokens.  Document d has sentences first[d] to
    last[d] - 1; documents with fewer than `least` are left out.  A window is (its first sentence,
    one past its last).  It has up to max_tokens pieces, or more if `least` sentences have more.
    With fill "whole" it stops at the last sentence that fits, with "cut" at the first that
    overflows.
    """
    long_enough = last - first >= least
    first = first[long_enough]
    last = last[long_enough]
    if not len(first):
        return np.zeros((0, 2), np.int64)
    group = np.cumsum(last - first) // GROUP_SENTENCES
    windows = []
    for of in np.split(np.arange(len(first)), np.flatnonzero(np.diff(group)) + 1):
        line = _lay_out(sentences, first[of], last[of], rng)
        starts, stops = _cut(line, max_tokens, rng, short_seq_prob, least, fill)
        starts, stops = _repeat(line, starts, stops, max_tokens, rng)
        windows.append(_sentence_numbers(line, starts, stops))
    dtype = np.int32 if last[-1] < 1 << 31 else np.int64
    return rng.permutation(np.concatenate(windows).astype(dtype))


class _Line(NamedTuple):
    """The sentences of D documents end to end, each document from its front or its back.

    A window's start and stop are places in this line until `_sentence_numbers` turns them back.
    """

    first: np.ndarray  # (D,) sentence numbers, as in pack_windows
    last: np.ndarray  # (D,)
    backward: np.ndarray  # (D,) booleans: this document is laid out from its back
    begin: np.ndarray  # (D,) places: where each document begins in the line
    end: np.ndarray  # (D,) places: one past its last sentence
    document: np.ndarray  # (s,) the document of the sentence at each place
    pieces: np.ndarray  # (s + 1,) how many pieces stand before each place


def _lay_out(sentences, first, last, rng):
    """The _Line of some documents; a coin for each decides its direction."""
    size = last - first
    end = np.cumsum(size)
    begin = end - size
    document = np.repeat(np.arange(len(first)), size)
    ahead = np.arange(len(document)) - begin[document]  # sentences of its document before it
    backward = rng.random(len(first)) < 0.5
    sentence = np.where(backward[document], last[document] - 1 - ahead, first[document] + ahead)
    pieces = np.concatenate([[0], np.cumsum(sentences[sentence + 1] - sentences[sentence])])
    return _Line(first, last, backward, begin, end, document, pieces)


def _cut(line, max_tokens, rng, short_seq_prob, least, fill):
    """Cut the line into windows: (starts, stops), each (n,)."""
    count = len(line.document)
    short = rng.random(count) < short_seq_prob
    budget = np.where(short, rng.integers(2, max_tokens + 1, count), max_tokens)
    # (s,) where a window that starts at this place would stop
    if fill == "whole":
        stop = np.searchsorted(line.pieces, line.pieces[:-1] + budget, side="right") - 1
    else:
        stop = np.searchsorted(line.pieces, line.pieces[:-1] + budget)
    stop = np.minimum(np.maximum(stop, np.arange(count) + least), line.end[line.document])

    following = stop.tolist()
    starts = []
    at = 0
    while at < count:  # from each window to the one that begins where it ends
        starts.append(at)
        at = following[at]
    starts = np.array(starts)
    stops = stop[starts]
    # a sentence left alone at the end of its document is used once more, with its neighbour
    return np.minimum(starts, stops - least), stops


def _repeat(line, starts, stops, max_tokens, rng):
    """Repeat windows with more text than fits, as often as they would fill a sequence."""
    times = (line.pieces[stops] - line.pieces[starts]) / max_tokens
    times = np.maximum(1, np.floor(times + rng.random(len(times)))).astype(np.int64)
    return np.repeat(starts, times), np.repeat(stops, times)


def _sentence_numbers(line, starts, stops):
    """Places in the line -> (first sentence, one past the last): (n, 2)."""
    d = line.document[starts]
    ahead = np.stack([starts - line.begin[d], stops - line.begin[d]])  # (2, n) in the document
    return np.where(line.backward[d], line.last[d] - ahead[::-1], line.first[d] + ahead).T


# --- segments: what goes into a sequence ----------------------------------------------------------


def _slide(u, start, length, keep):
    """Cut segments to `keep` pieces: a window slides over each segment, held back at both ends.

    Because it may slide beyond the ends before it is held back, the first and last piece stay as
    often as one in the middle (those near the ends up to twice as often).
    """
    return start + np.clip(integers(u, 1 - keep, length), 0, length - keep)


def fit(u, a_start, a_length, b_start, b_length, max_tokens):
    """Cut what is too long for max_tokens: the longer segment first, then both to one half.

    u (n, 3).  Returns starts and lengths of both, each (n,).
    """
    half = max_tokens // 2 + (u[:, 0] < 0.5) * (max_tokens % 2)
    keep_a = np.where(
        a_length + b_length <= max_tokens,
        a_length,
        np.minimum(a_length, np.maximum(max_tokens - b_length, half)),
    )
    keep_b = np.minimum(b_length, max_tokens - keep_a)
    a_start = _slide(u[:, 1], a_start, a_length, keep_a)
    b_start = _slide(u[:, 2], b_start, b_length, keep_b)
    return a_start, keep_a, b_start, keep_b


def _split(u, sentences, windows):
    """Cut windows in two at a random sentence: starts and lengths of both, each (n,)."""
    start, stop = windows.astype(np.int64).T
    middle = integers(u, start + 1, stop)
    a_start = sentences[start]
    b_start = sentences[middle]
    return a_start, b_start - a_start, b_start, sentences[stop] - b_start


def sentence_order_pairs(u, sentences, windows, max_tokens):
    """Both segments consecutive in one document, swapped with probability one half.  u (n, 5)."""
    both = _split(u[:, 0], sentences, windows)
    a_start, a_length, b_start, b_length = fit(u[:, 2:], *both, max_tokens)
    swap = u[:, 1] < 0.5
    return Segments(
        np.where(swap, b_start, a_start),
        np.where(swap, b_length, a_length),
        np.where(swap, a_start, b_start),
        np.where(swap, a_length, b_length),
        swap.astype(np.int32),
    )


def next_sentence_pairs(u, sentences, windows, max_tokens, first, last):
    """The second segment is the next one or, with probability one half, from another document.

    Devlin et al. 2019, §3.1, with ALBERT's labels: 1 = random.  u (n, 7).
    """
    a_start, a_length, b_start, b_length = _split(u[:, 0], sentences, windows)
    random = u[:, 1] < 0.5
    own = np.searchsorted(first, windows[:, 0], side="right") - 1
    other = integers(u[:, 2], 0, len(first) - 1)
    other += other >= own  # any but its own
    begin = integers(u[:, 3], first[other], last[other])
    stop = np.searchsorted(sentences, sentences[begin] + max_tokens - a_length, side="right") - 1
    stop = np.minimum(np.maximum(stop, begin + 1), last[other])
    b_start = np.where(random, sentences[begin], b_start)
    b_length = np.where(random, sentences[stop] - sentences[begin], b_length)
    both = fit(u[:, 4:], a_start, a_length, b_start, b_length, max_tokens)
    return Segments(*both, random.astype(np.int32))


def single_segments(u, sentences, windows, max_tokens):
    """One segment and no second, for training on masked words alone.  u (n, 1)."""
    start, stop = sentences[windows.astype(np.int64)].T
    keep = np.minimum(stop - start, max_tokens)
    start = _slide(u[:, 0], start, stop - start, keep)
    none = np.zeros(len(keep), np.int64)
    return Segments(start, keep, none, none, none.astype(np.int32))


# --- google-research/albert, create_instances_from_document ---------------------------------------


def google_instances(
    sentences, first, last, max_tokens, rng, short_seq_prob=0.1, random_next_sentence=False
):
    """One pass over all documents, shuffled: rows (a_first, a_stop, b_first, b_stop, label).

    The first four are sentence numbers; label 1 is a swapped or random second segment.
    """
    rows = []
    for number in range(len(first)):
        target = (
            int(rng.integers(2, max_tokens + 1)) if rng.random() < short_seq_prob else max_tokens
        )
        rows += _google_document(number, sentences, first, last, target, rng, random_next_sentence)
    return rng.permutation(np.array(rows, np.int64).reshape(-1, 5))


def _google_document(number, sentences, first, last, target, rng, random_next_sentence):
    """The rows of one document, chunk by chunk of about `target` pieces."""
    lengths = np.diff(sentences[first[number] : last[number] + 1]).tolist()
    at = begin = chunk = 0
    while at < len(lengths):
        chunk += lengths[at]
        at += 1
        if at < len(lengths) and chunk < target:
            continue
        a = int(first[number]) + begin
        n = at - begin
        a_stop = a + (1 if n == 1 else int(rng.integers(1, n)))
        if n == 1 or (random_next_sentence and rng.random() < 0.5):
            room = target - int(sentences[a_stop] - sentences[a])
            for _ in range(10):  # then the same document will do
                other = int(rng.integers(len(first)))
                if other != number:
                    break
            b = int(rng.integers(first[other], last[other]))
            b_stop = b + 1
            while b_stop < last[other] and sentences[b_stop] - sentences[b] < room:
                b_stop += 1
            yield a, a_stop, b, b_stop, 1
            at = begin + a_stop - a  # the unused sentences go back
        elif not random_next_sentence and rng.random() < 0.5:
            yield a_stop, a + n, a, a_stop, 1
        else:
            yield a, a_stop, a_stop, a + n, 0
        begin = at
        chunk = 0


def google_pairs(u, sentences, rows, max_tokens):
    """google_instances -> segments, truncated as Google's truncate_seq_pair does.  u (n, 1).

    The longer segment, or the second of equal ones, loses a piece at its front or back, each with
    probability one half, until both fit.  So the pieces lost at the front are a binomial share of
    all that are lost.
    """
    a, a_stop, b, b_stop = sentences[rows[:, :4]].T
    a_length = a_stop - a
    b_length = b_stop - b
    excess = np.maximum(a_length + b_length - max_tokens, 0)
    longer = np.minimum(excess, np.abs(a_length - b_length))  # taken from the longer segment,
    even = excess - longer  # then from both in turn, B first
    off_a = np.where(a_length > b_length, longer, 0) + even // 2
    off_b = np.where(a_length > b_length, 0, longer) + (even + 1) // 2
    off = np.stack([off_a, off_b], 1)
    front = np.zeros_like(off)
    for i in np.flatnonzero(excess):
        front[i] = np.random.default_rng(int(u[i, 0] * 2**53)).binomial(off[i], 0.5)
    return Segments(
        a + front[:, 0],
        a_length - off_a,
        b + front[:, 1],
        b_length - off_b,
        rows[:, 4].astype(np.int32),
    )
