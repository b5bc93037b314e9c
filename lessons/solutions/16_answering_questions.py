"""Answers to lesson 16, their hints, and typical wrong answers."""

import numpy as np


def span_backward(scores, first, last):
    e = np.exp(scores - scores.max(axis=0, keepdims=True))
    gradient = e / e.sum(axis=0, keepdims=True)
    gradient[first, 0] -= 1
    gradient[last, 1] -= 1
    return gradient / 2


def best_span(starts, ends, longest):
    best = None
    for first in range(len(starts)):
        for last in range(first, min(first + longest, len(ends))):
            if best is None or starts[first] + ends[last] > starts[best[0]] + ends[best[1]]:
                best = first, last
    return best


def best_window(begins, lengths):
    most = np.full((begins + lengths).max(), -1.0)
    best = np.zeros(len(most), dtype=int)
    for number, (begin, length) in enumerate(zip(begins, lengths)):
        for place in range(length):
            context = min(place, length - 1 - place) + 0.01 * length
            if context > most[begin + place]:
                most[begin + place] = context
                best[begin + place] = number
    return best


def bm25(counts, lengths):
    holding = (counts > 0).sum(axis=0)
    rarity = np.log(1 + (len(counts) - holding + 0.5) / (holding + 0.5))
    long = (0.25 + 0.75 * lengths / lengths.mean())[:, None]
    return (rarity * counts / (counts + 1.5 * long)).sum(axis=1)


def _each_for_itself(starts, ends, longest):
    return int(np.argmax(starts)), int(np.argmax(ends))


def _end_behind_the_best_start(starts, ends, longest):
    first = int(np.argmax(starts))
    return first, first + int(np.argmax(ends[first:first + longest]))


def _two_at_least(starts, ends, longest):
    pairs = [(i, j) for i in range(len(starts)) for j in range(i + 1, min(i + longest, len(ends)))]
    return max(pairs, key=lambda pair: starts[pair[0]] + ends[pair[1]])


def _end_counted_from_the_start(starts, ends, longest):
    first = int(np.argmax(starts))
    return first, int(np.argmax(ends[first:]))


def _end_clipped(starts, ends, longest):
    first = int(np.argmax(starts))
    return first, min(first + int(np.argmax(ends[first:])), first + longest - 1)


def _first_window(begins, lengths):
    best = np.full((begins + lengths).max(), -1)
    for number, (begin, length) in enumerate(zip(begins, lengths)):
        part = best[begin:begin + length]
        part[part < 0] = number
    return best


def _last_window(begins, lengths):
    best = np.zeros((begins + lengths).max(), dtype=int)
    for number, (begin, length) in enumerate(zip(begins, lengths)):
        best[begin:begin + length] = number
    return best


def _without_the_length(begins, lengths):
    most = np.full((begins + lengths).max(), -1)
    best = np.zeros(len(most), dtype=int)
    for number, (begin, length) in enumerate(zip(begins, lengths)):
        for place in range(length):
            context = min(place, length - 1 - place)
            if context > most[begin + place]:
                most[begin + place], best[begin + place] = context, number
    return best


def _last_of_equals(begins, lengths):
    best = best_window((begins + lengths).max() - begins[::-1] - lengths[::-1], lengths[::-1])[::-1]
    return len(begins) - 1 - best


def _nearest(by):
    def wrong(begins, lengths):
        middles = begins + (lengths - by) / 2
        return np.array([int(np.argmin(abs(t - middles))) for t in range((begins + lengths).max())])
    return wrong


def _by_place(scores, first, last):
    """Softmax over the two scores of a token, as in lesson 15."""
    gradient = _softmax(scores, 1)
    gradient[first, 0] -= 1
    gradient[last, 1] -= 1
    return gradient / 2


def _softmax(scores, axis):
    e = np.exp(scores)
    return e / e.sum(axis=axis, keepdims=True)


def _from_both_columns(scores, first, last):
    gradient = _softmax(scores, 0)
    gradient[first] -= 1
    gradient[last] -= 1
    return gradient / 2


def _one_softmax(scores, first, last):
    gradient = _softmax(scores, (0, 1))
    gradient[first, 0] -= 1
    gradient[last, 1] -= 1
    return gradient / 2


def _ends_in_the_same_column(scores, first, last):
    gradient = _softmax(scores, 0)
    gradient[first, 0] -= 1
    gradient[last, 0] -= 1
    return gradient / 2


def _counted(counts, lengths):
    return counts.sum(axis=1)


def _rarity_only(counts, lengths):
    return bm25((counts > 0) * 1e15, lengths)


def _with(counts, lengths, N=None, n=None):
    """BM25 with another number of texts, or of texts that have a word."""
    N = len(counts) if N is None else N
    n = (counts > 0).sum(axis=0) if n is None else n
    rarity = np.log(1 + (N - n + 0.5) / (n + 0.5))
    return (rarity * counts / (counts + 1.5 * (0.25 + 0.75 * lengths / lengths.mean())[:, None])).sum(axis=1)


def _texts_for_words(counts, lengths):
    return _with(counts, lengths, N=counts.shape[1])


def _words_of_each_text(counts, lengths):
    return _with(counts, lengths, n=(counts > 0).sum(axis=1)[:, None])


def _n_is_occurrences(counts, lengths):
    return _with(counts, lengths, n=counts.sum(axis=0))


def _length_in_full(counts, lengths):
    n = (counts > 0).sum(axis=0)
    rarity = np.log(1 + (len(counts) - n + 0.5) / (n + 0.5))
    return (rarity * counts / (counts + 1.5 * (lengths / lengths.mean())[:, None])).sum(axis=1)


REFERENCES = {}                                   # each is compared with the function above

HINTS = {
    "span_backward": "probability minus truth, in each column: softmax along the text (axis 0), minus 1 at the right place; the loss is a mean of two, so half of it",
    "best_span": "try every first token, and for each the last tokens from it on, no more than `longest` in all; keep the pair with the largest sum",
    "best_window": "for each window and each place in it, min(place, length - 1 - place) + 0.01 * length; keep the number of the window where that is largest",
    "bm25": "n: texts in which the word's count is above 0; the three formulas in turn; [:, None] lets one number for each text meet all words; sum over the words",
}

MISTAKES = {
    "span_backward": {
        "softmax runs along the text here (axis 0): places compete, not start against end": _by_place,
        "the loss is the mean of two cross-entropies: half of this": lambda scores, first, last: 2 * span_backward(scores, first, last),
        "divided by the number of tokens; the loss is a mean of two": lambda scores, first, last: 2 * span_backward(scores, first, last) / len(scores),
        "the last token belongs to column 1, the ends": _ends_in_the_same_column,
        "the sign is flipped: it is probability minus truth": lambda scores, first, last: -span_backward(scores, first, last),
        "1 is taken from both columns at each place; from the starts at the first, from the ends at the last": _from_both_columns,
        "this is the probability alone: the truth, 1 at the right place, is missing": lambda scores, first, last: _softmax(scores, 0) / 2,
        "this is the probability alone, and the loss is a mean of two": lambda scores, first, last: _softmax(scores, 0),
        "one softmax for starts and ends together; each column has its own": _one_softmax,
        "start and end are exchanged": lambda scores, first, last: span_backward(scores, last, first),
    },
    "best_span": {
        "start and end are chosen each for itself; the pair must be chosen, so that the end doesn't stand before the start": _each_for_itself,
        "the best start, and the best end behind it; another start may make a better pair": _end_behind_the_best_start,
        "a span of `longest` tokens ends at first + longest - 1; this is one too long": lambda s, e, n: best_span(s, e, n + 1),
        "a span may have `longest` tokens; this allows one too few": lambda s, e, n: best_span(s, e, n - 1),
        "the limit on the length is missing": lambda s, e, n: best_span(s, e, len(s)),
        "a span may be one token: the last may be the first": _two_at_least,
        "the end is counted from the start here; both are places in the whole text": _end_counted_from_the_start,
        "the best end behind the start, moved to where a span may end at most; the best one that is allowed is meant": _end_clipped,
        "the end is the last token of the answer, not the one behind it": lambda s, e, n: (best_span(s, e, n)[0], best_span(s, e, n)[1] + 1),
        "this is the score of the best span, not its two places": lambda s, e, n: s[best_span(s, e, n)[0]] + e[best_span(s, e, n)[1]],
    },
    "best_window": {
        "the first window that has the token, whatever it sees around it": _first_window,
        "the last window that has the token, whatever it sees around it": _last_window,
        "the window whose middle is nearest, the middle taken as begin + length / 2; the context is what counts": _nearest(0),
        "the window whose middle is nearest; with windows of unequal length that is not the one with most context": _nearest(1),
        "of equals the first window counts; here it is the last": _last_of_equals,
        "0.01 times the length is missing: it decides between equals": _without_the_length,
    },
    "bm25": {
        "this only counts; rarity, repetition and length are missing": _counted,
        "each word counts once however often it stands there": _rarity_only,
        "the length is missing: every text counts as of mean length": lambda counts, lengths: bm25(counts, np.ones(len(counts))),
        "N is the number of texts (rows), not of words": _texts_for_words,
        "n counts texts for each word (axis 0), not words for each text": _words_of_each_text,
        "n is the number of texts that have the word, not of its occurrences": _n_is_occurrences,
        "the length counts in full; it should be 0.25 + 0.75 of it": _length_in_full,
        "this counts the words in common; rarity, repetition and length are missing": lambda counts, lengths: (counts > 0).sum(axis=1),
        "rarity is missing: every word counts the same": lambda counts, lengths: (counts / (counts + 1.5 * (0.25 + 0.75 * lengths / lengths.mean())[:, None])).sum(axis=1),
    },
}
