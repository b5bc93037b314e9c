"""Answers to lesson 11, their hints, and typical wrong answers."""

import numpy as np

from tinyalbert.pretraining import masking, pairs
from tinyalbert.pretraining.draws import integers


def ngram_probabilities(ngram):
    p = 1 / np.arange(1, ngram + 1)
    return p / p.sum()


def apply_masks(u, input_ids, covered, mask_id, random_ids, share=0.8):
    T = input_ids.shape[1]
    hidden = np.where(u[:, :T] < share, mask_id,
                      np.where(u[:, :T] < 0.9, input_ids, integers(u[:, T:], *random_ids)))
    return np.stack([np.where(covered, hidden, input_ids), np.where(covered, input_ids, -100)])


def sentence_order_pairs(u, sentences, windows):
    start, stop = windows.T
    middle = integers(u[:, 0], start + 1, stop)
    a, b = (sentences[start], sentences[middle] - sentences[start]), (sentences[middle], sentences[stop] - sentences[middle])
    swap = u[:, 1] < 0.5
    return np.stack([np.where(swap, b[0], a[0]), np.where(swap, b[1], a[1]),
                     np.where(swap, a[0], b[0]), np.where(swap, a[1], b[1]), swap])


def _labels_everywhere(u, input_ids, covered, mask_id, random_ids):
    return np.stack([apply_masks(u, input_ids, covered, mask_id, random_ids)[0], input_ids])


def _labels_afterwards(u, input_ids, covered, mask_id, random_ids):
    seen = apply_masks(u, input_ids, covered, mask_id, random_ids)[0]
    return np.stack([seen, np.where(covered, seen, -100)])


def _label_turned(u, sentences, windows):
    result = sentence_order_pairs(u, sentences, windows)
    result[4] = 1 - result[4]
    return result


def _lengths_stay(u, sentences, windows):
    result = sentence_order_pairs(u, sentences, windows)
    swap = result[4] == 1
    result[1], result[3] = np.where(swap, result[3], result[1]), np.where(swap, result[1], result[3])
    return result


# what an answer is compared with, where it is not the function above
REFERENCES = {
    "ngram_probabilities": masking.ngram_probabilities,
    "apply_masks": lambda *a: np.stack(masking.apply_masks(*a)),
    "sentence_order_pairs": lambda u, sentences, windows: np.stack(pairs.sentence_order_pairs(u, sentences, windows, 10_000)),
}

HINTS = {
    "ngram_probabilities": "1/n for n = 1, 2, ..., then divide by the sum",
    "apply_masks": "T = input_ids.shape[1]; u[:, :T] decides: below 0.8 the mask, below 0.9 the piece itself, else integers(u[:, T:], *random_ids); np.where three times, and labels from the ids that came in",
    "sentence_order_pairs": "a_start, a_length, b_start, b_length = split(...); exchange starts and lengths where u[:, 1] < 0.5",
}

MISTAKES = {
    "ngram_probabilities": {
        "all lengths are equally likely here; short runs should be more frequent": lambda n: np.ones(n) / n,
        "they don't sum to 1": lambda n: 1 / np.arange(1, n + 1),
        "the wrong way round: this prefers long runs": lambda n: ngram_probabilities(n)[::-1],
    },
    "apply_masks": {
        "all covered pieces became [MASK]: a tenth should stay and a tenth be replaced": lambda *a: apply_masks(*a, share=1.0),
        "the label is the right answer only where a piece was covered: -100 elsewhere": _labels_everywhere,
        "the labels are what the model sees: they must be taken before hiding": _labels_afterwards,
    },
    "sentence_order_pairs": {
        "the label is inverted: 1 means exchanged": _label_turned,
        "the starts are exchanged, the lengths are not": _lengths_stay,
    },
}
