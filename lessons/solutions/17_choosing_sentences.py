"""Answers to lesson 17, their hints, and typical wrong answers."""

from collections import Counter

import numpy as np


def rouge(reference, summary, n):
    wanted = Counter(zip(*(reference[i:] for i in range(n))))
    found = Counter(zip(*(summary[i:] for i in range(n))))
    both = sum((wanted & found).values())
    total = sum(wanted.values()) + sum(found.values())
    return 2 * both / total if total else 0.0


def choose(scores, sentences, count):
    chosen, told = [], set()
    for i in np.argsort(-scores, kind="stable"):
        runs = set(zip(*(sentences[i][k:] for k in range(3))))
        if len(chosen) < count and not runs & told:
            chosen.append(int(i))
            told |= runs
    return sorted(chosen)


def fill_rows(lengths, size):
    rows, first, used = [], 0, 0
    for i, length in enumerate(lengths):
        if i > first and used + length > size:
            rows.append((first, i))
            first, used = i, 0
        used += length
    rows.append((first, len(lengths)))
    return rows


def sentence_vectors(hidden, mask):
    summed = (hidden * mask[:, :, None]).sum(axis=1)
    mean = summed / mask.sum(axis=1, keepdims=True)
    return mean / np.sqrt((mean * mean).sum(axis=1, keepdims=True))


def _grams(words, n):
    return Counter(zip(*(words[i:] for i in range(n))))


def _different_only(reference, summary, n):
    wanted, found = set(_grams(reference, n)), set(_grams(summary, n))
    return 2 * len(wanted & found) / (len(wanted) + len(found)) if wanted or found else 0.0


def _share_of(which):
    def wrong(reference, summary, n):
        both = sum((_grams(reference, n) & _grams(summary, n)).values())
        total = sum(_grams((reference, summary)[which], n).values())
        return both / total if total else 0.0
    return wrong


def _every_occurrence(reference, summary, n):
    wanted, found = _grams(reference, n), _grams(summary, n)
    both = sum(times for gram, times in found.items() if gram in wanted)
    total = sum(wanted.values()) + sum(found.values())
    return 2 * both / total if total else 0.0


def _without_overlap(reference, summary, n):
    def cut(words):
        return Counter(tuple(words[i:i + n]) for i in range(0, len(words) - n + 1, n))
    wanted, found = cut(reference), cut(summary)
    total = sum(wanted.values()) + sum(found.values())
    return 2 * sum((wanted & found).values()) / total if total else 0.0


def _common_once(reference, summary, n):
    wanted, found = _grams(reference, n), _grams(summary, n)
    total = sum(wanted.values()) + sum(found.values())
    return 2 * len(wanted & found) / total if total else 0.0


def _either(reference, summary, n):
    wanted, found = _grams(reference, n), _grams(summary, n)
    total = sum(wanted.values()) + sum(found.values())
    return 2 * sum((wanted | found).values()) / total if total else 0.0


def _far_pairs(reference, summary, n):
    wanted, found = (Counter(zip(words, words[n:])) for words in (reference, summary))
    total = sum(wanted.values()) + sum(found.values())
    return 2 * sum((wanted & found).values()) / total if total else 0.0


def _always_single_words(reference, summary, n):
    return rouge(reference, summary, 1)


def _order(scores):
    return [int(i) for i in np.argsort(-scores, kind="stable")]


def _blocked(scores, sentences, count, n):
    chosen, told = [], set()
    for i in _order(scores):
        runs = set(zip(*(sentences[i][k:] for k in range(n))))
        if len(chosen) < count and not runs & told:
            chosen.append(i)
            told |= runs
    return sorted(chosen)


def _with_the_last(scores, sentences, count):
    chosen, told = [], set()
    for i in _order(scores):
        runs = set(zip(*(sentences[i][k:] for k in range(3))))
        if len(chosen) < count and not runs & told:
            chosen.append(i)
            told = runs
    return sorted(chosen)


def _in_order_of_score(scores, sentences, count):
    return sorted(choose(scores, sentences, count), key=lambda i: -scores[i])


def _by_all_better_ones(scores, sentences, count):
    """A sentence that was passed over blocks others all the same."""
    chosen, told = [], set()
    for i in _order(scores):
        runs = set(zip(*(sentences[i][k:] for k in range(3))))
        if len(chosen) < count and not runs & told:
            chosen.append(i)
        told |= runs
    return sorted(chosen)


def _counting_the_passed_over(scores, sentences, count):
    best = _order(scores)[:count]
    return sorted(best[k] for k in choose(scores[best], [sentences[i] for i in best], count))


def _from_the_start(scores, sentences, count):
    chosen, told = [], set()
    for i in range(len(sentences)):
        runs = set(zip(*(sentences[i][k:] for k in range(3))))
        if len(chosen) < count and not runs & told:
            chosen.append(i)
            told |= runs
    return chosen


def _last_row_forgotten(lengths, size):
    return fill_rows(lengths, size)[:-1]


def _fewer_than_size(lengths, size):
    return fill_rows(lengths, size - 1)


def _one_too_many(lengths, size):
    """A row is closed only after the sentence that no longer fitted."""
    rows, first, used = [], 0, 0
    for i, length in enumerate(lengths):
        used += length
        if used > size:
            rows.append((first, i + 1))
            first, used = i + 1, 0
    return rows + [(first, len(lengths))] * (first < len(lengths))


def _never_emptied(lengths, size):
    """The tokens of rows that are closed stay counted."""
    rows, first, used = [], 0, 0
    for i, length in enumerate(lengths):
        if i > first and used + length > size:
            rows.append((first, i))
            first = i
        used += length
    return [*rows, (first, len(lengths))]


def _counted_twice(lengths, size):
    rows, first, used = [], 0, 0
    for i, length in enumerate(lengths):
        if i > first and used + length > size:
            rows.append((first, i))
            first, used = i, length
        used += length
    return [*rows, (first, len(lengths))]


def _empty_rows(lengths, size):
    """A long sentence closes a row that is still empty."""
    rows, first, used = [], 0, 0
    for i, length in enumerate(lengths):
        if used + length > size:
            rows.append((first, i))
            first, used = i, 0
        used += length
    return [*rows, (first, len(lengths))]


def _mean_of_all(hidden, mask):
    return sentence_vectors(hidden, np.ones_like(mask))


def _first_token(hidden, mask):
    return sentence_vectors(hidden, np.eye(1, mask.shape[1], dtype=int).repeat(len(mask), 0))


def _not_of_length_one(hidden, mask):
    return (hidden * mask[:, :, None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)


def _one_length_for_all(hidden, mask):
    mean = _not_of_length_one(hidden, mask)
    return mean / np.sqrt((mean * mean).sum())


def _sum_of_sizes(hidden, mask):
    mean = _not_of_length_one(hidden, mask)
    return mean / np.abs(mean).sum(axis=1, keepdims=True)


def _squared_length(hidden, mask):
    mean = _not_of_length_one(hidden, mask)
    return mean / (mean * mean).sum(axis=1, keepdims=True)


def _tokens_of_length_one(hidden, mask):
    unit = hidden / np.sqrt((hidden * hidden).sum(axis=-1, keepdims=True))
    return _not_of_length_one(unit, mask)


REFERENCES = {}                                   # each is compared with the function above

HINTS = {
    "rouge": "zip(words, words[1:]) gives the pairs; count the n-grams of both, & for the common ones, and add up counts with sum(counter.values())",
    "choose": "go through the sentences from the best score down; keep a set of all three-word runs of what was taken; at the end, sort",
    "fill_rows": "keep the first sentence of the row and the tokens used so far; close the row before a sentence that no longer fits, unless the row is empty; don't forget the last row",
    "sentence_vectors": "mask[:, :, None] times the hidden vectors, summed along the tokens; divide by the number of real tokens, then by the vector's length (keepdims)",
}

MISTAKES = {
    "rouge": {
        "an n-gram counts as often as it stands in both; here each counts once": _different_only,
        "this is the recall alone: divided by the n-grams of the reference": _share_of(0),
        "this is the precision alone: divided by the n-grams of the summary": _share_of(1),
        "an n-gram can't be common more often than it stands in the reference": _every_occurrence,
        "n-grams overlap: words 1 and 2, words 2 and 3, ...; here every word is in one of them only": _without_overlap,
        "zip(words, words[n:]) pairs each word with the n-th behind it; an n-gram is n words in a row": _far_pairs,
        "pairs are counted here, whatever n is": lambda a, b, n: rouge(a, b, 2),
        "the common n-grams are each counted once here; they count as often as they stand in both": _common_once,
        "common is what stands in both (&); here it is what stands in one or the other (|)": _either,
        "single words are counted here, whatever n is": _always_single_words,
        "a factor of 2 is missing": lambda a, b, n: rouge(a, b, n) / 2,
    },
    "choose": {
        "the best ones, but nothing is passed over: see the rule of three words in a row": lambda s, t, n: sorted(_order(s)[:n]),
        "the numbers of the sentences are asked for, not the sentences": lambda s, t, n: [t[i] for i in choose(s, t, n)],
        "in the order of the scores; the text's order is asked for": _in_order_of_score,
        "the first ones, not the best": lambda s, t, n: list(range(n)),
        "gone through in the order of the text; the best score comes first": _from_the_start,
        "the lowest scores were taken": lambda s, t, n: choose(-s, t, n),
        "one shared word is enough here; three in a row are meant": lambda s, t, n: _blocked(s, t, n, 1),
        "two shared words in a row are enough here; three are meant": lambda s, t, n: _blocked(s, t, n, 2),
        "compared with the last one only; with all that were taken": _with_the_last,
        "a sentence that was passed over takes a place: go on until enough are taken": _counting_the_passed_over,
        "a sentence that was itself passed over blocks others here; only those that were taken do": _by_all_better_ones,
    },
    "fill_rows": {
        "the last row is missing": _last_row_forgotten,
        "a row that is exactly full is still right: at most `size`, not fewer": _fewer_than_size,
        "the row is closed too late: the sentence that no longer fits begins the next row": _one_too_many,
        "a new row begins with no tokens used; here those of the rows before still count": _never_emptied,
        "there is a row without a sentence: a long sentence closes a row that is still empty": _empty_rows,
        "a row goes from its first sentence to its end, the first that is no longer in it": lambda n, size: [(a, b - 1) for a, b in fill_rows(n, size)],
        "the first sentence of each new row is counted twice": _counted_twice,
        "every sentence has a row of its own; a row holds as many as fit": lambda n, size: [(i, i + 1) for i in range(len(n))],
        "these are numbers of sentences in a row; asked for are the first and the end": lambda n, size: [b - a for a, b in fill_rows(n, size)],
    },
    "sentence_vectors": {
        "padding is heard: the mask is not used": _mean_of_all,
        "this is the vector of the first token, not a mean": _first_token,
        "the vectors don't have length 1: divide by the root of the sum of squares": _not_of_length_one,
        "divided by one length for the whole batch; each vector has its own": _one_length_for_all,
        "one length for the whole batch, and padding counts in the mean": lambda hidden, mask: _one_length_for_all(
            hidden * mask[:, :, None], np.ones_like(mask)),
        "divided by the largest number; the length is the root of the sum of squares": lambda hidden, mask: _not_of_length_one(
            hidden, mask) / np.abs(_not_of_length_one(hidden, mask)).max(axis=1, keepdims=True),
        "the length is the root of the sum of squares, not the sum of the sizes": _sum_of_sizes,
        "divided by the sum of squares; the length is its root": _squared_length,
        "each token's vector was given length 1 before the mean; the mean should have it": _tokens_of_length_one,
    },
}
