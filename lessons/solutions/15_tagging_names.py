"""Answers to lesson 15, their hints, and typical wrong answers."""

import numpy as np


def entities(tags):
    found, last = [], "O"
    for place, tag in enumerate(tags):
        if tag[:2] == "I-" and tag[2:] == last[2:]:
            found[-1] = (tag[2:], found[-1][1], place + 1)
        elif tag != "O":
            found.append((tag[2:], place, place + 1))
        last = tag
    return found


def entity_f1(gold, said):
    right = sum(len(set(a) & set(b)) for a, b in zip(gold, said))
    return 2 * right / (sum(map(len, gold)) + sum(map(len, said)))


def tagging_backward(scores, gold):
    counted = gold != -100
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    gradient = e / e.sum(axis=-1, keepdims=True)
    gradient[counted, gold[counted]] -= 1
    gradient[~counted] = 0
    return gradient / counted.sum()


def labels_of_pieces(words, tags):
    labels = np.full(len(words), -100)
    for place, word in enumerate(words):
        if word >= 0 and word != words[place - 1]:
            labels[place] = tags[word]
    return labels


def _every_i_goes_on(tags):
    found = []
    for place, tag in enumerate(tags):
        if tag[:2] == "I-" and place and tags[place - 1] != "O":
            found[-1] = (*found[-1][:2], place + 1)
        elif tag != "O":
            found.append((tag[2:], place, place + 1))
    return found


def _always_goes_on(tags):
    found = []
    for place, tag in enumerate(tags):
        if tag[:2] == "I-":
            found[-1] = (tag[2:], found[-1][1], place + 1)
        elif tag != "O":
            found.append((tag[2:], place, place + 1))
    return found


def _only_from_b(tags):
    found = []
    for place, tag in enumerate(tags):
        if tag[:2] == "B-":
            found.append((tag[2:], place, place + 1))
        elif tag[:2] == "I-" and found and found[-1][2] == place and found[-1][0] == tag[2:]:
            found[-1] = (tag[2:], found[-1][1], place + 1)
    return found


def _b_goes_on(tags):
    found, last = [], "O"
    for place, tag in enumerate(tags):
        if tag != "O" and tag[2:] == last[2:]:
            found[-1] = (tag[2:], found[-1][1], place + 1)
        elif tag != "O":
            found.append((tag[2:], place, place + 1))
        last = tag
    return found


def _f1_of(gold, said):
    return 2 * len(set(gold) & set(said)) / (len(gold) + len(said)) if gold or said else 0.0


def _plain_mean(gold, said):
    right = sum(len(set(a) & set(b)) for a, b in zip(gold, said))
    return (right / sum(map(len, gold)) + right / sum(map(len, said))) / 2


def _places(side):
    return [[entity[1:] for entity in found] for found in side]


def _starts(side):
    return [[entity[:2] for entity in found] for found in side]


def _first_tag_for_none(scores, gold):
    return tagging_backward(scores, np.where(gold == -100, 0, gold))


def _only_labelled(words, tags):
    labels = labels_of_pieces(words, tags)
    return labels[labels != -100]


def _in_every_row(scores, gold):
    counted = gold != -100
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    gradient = e / e.sum(axis=-1, keepdims=True)
    gradient[counted, gold[counted]] -= 1
    return gradient / counted.sum()


REFERENCES = {}                                   # each is compared with the function above

HINTS = {
    "entities": "go from left to right and remember the tag before: I of the same type makes the last entity longer, any other tag but O begins one",
    "entity_f1": "a set of each sentence's entities; & gives what is in both; add up the three counts over all sentences, then divide once",
    "tagging_backward": "softmax(scores), minus 1 at the right tag; 0 in the rows with -100; divided by the number of rows that have a label",
    "labels_of_pieces": "begin with -100 everywhere; a piece is the first of its word if the piece before it belongs to another word",
}

MISTAKES = {
    "entities": {
        "the end is the first place that doesn't belong to the entity: one more than the last": lambda tags: [(k, a, b - 1) for k, a, b in entities(tags)],
        "the entity goes on with the I- behind its B-; here it ends after one word": lambda tags: [(t[2:], i, i + 1) for i, t in enumerate(tags) if t[0] == "B"],
        "an entity at the end of the sentence is lost": lambda tags: [entity for entity in entities(tags) if entity[2] < len(tags)],
        "only the types: each entity is (type, start, end)": lambda tags: [kind for kind, _, _ in entities(tags)],
        "each word became an entity of its own: I- goes on with the one before": lambda tags: [(t[2:], i, i + 1) for i, t in enumerate(tags) if t != "O"],
        "B- begins a new entity, even right behind one of the same type": _b_goes_on,
        "an I- without an entity of its type before it begins one; here it was left out": _only_from_b,
        "every I- goes on with the entity before; it does so only right behind a word of its type": _always_goes_on,
        "an I- of another type than the word before begins a new entity": _every_i_goes_on,
        "the types still have their prefix: PER, not B-PER": lambda tags: [(tags[a], a, b) for _, a, b in entities(tags)],
        "the first is the length, where the type belongs": lambda tags: [(b - a, a, b) for _, a, b in entities(tags)],
        "places come as (start, end, type); the type stands first": lambda tags: [(a, b, k) for k, a, b in entities(tags)],
    },
    "entity_f1": {
        "a mean of the sentences' own F1: add up the counts of all sentences first": lambda gold, said: sum(map(_f1_of, gold, said)) / len(gold),
        "this is the precision alone": lambda gold, said: sum(len(set(a) & set(b)) for a, b in zip(gold, said)) / sum(map(len, said)),
        "this is the recall alone": lambda gold, said: sum(len(set(a) & set(b)) for a, b in zip(gold, said)) / sum(map(len, gold)),
        "the types don't count here: right is what has the same type, start and end": lambda gold, said: entity_f1(_places(gold), _places(said)),
        "entities of different sentences are mixed here; compare sentence by sentence": lambda gold, said: _f1_of(sum(gold, []), sum(said, [])),
        "brackets are missing: 2 * right / (true + found)": lambda gold, said: 2 * sum(
            len(set(a) & set(b)) for a, b in zip(gold, said)) / sum(map(len, gold)) + sum(map(len, said)),
        "all sentences are one set here, in which the same entity counts once; compare sentence by sentence": lambda gold, said: _f1_of({*sum(gold, [])}, {*sum(said, [])}),
        "whole sentences are compared here; compare their entities": lambda gold, said: 2 * sum(a == b for a, b in zip(gold, said)) / (len(gold) + len(said)),
        "the plain mean of precision and recall; F1 is their harmonic mean": _plain_mean,
        "an entity that begins right but ends wrong counts as right here": lambda gold, said: entity_f1(_starts(gold), _starts(said)),
    },
    "tagging_backward": {
        "divided by all rows; only those with a label count in the mean": lambda scores, gold: tagging_backward(scores, gold) * (gold != -100).mean(),
        "the loss is a mean: divide by the number of rows with a label": lambda scores, gold: tagging_backward(scores, gold) * (gold != -100).sum(),
        "rows with -100 still have a gradient; theirs is 0": _in_every_row,
        "rows with -100 were taken for the first tag": _first_tag_for_none,
        "only the rows with a label are here; the others have a gradient of 0": lambda scores, gold: tagging_backward(scores, gold)[gold != -100],
        "the sign is flipped: it is probability minus truth": lambda scores, gold: -tagging_backward(scores, gold),
    },
    "labels_of_pieces": {
        "only the labelled places are here; every piece has a place, with -100 where there is no label": _only_labelled,
        "every place has a label here, [CLS] and [SEP] too": lambda words, tags: tags[words],
        "every piece of a word has its label; only the first one should": lambda words, tags: np.where(words >= 0, tags[words], -100),
        "the last piece of each word is labelled, not the first": lambda words, tags: labels_of_pieces(words[::-1], tags)[::-1],
        "places without a label have 0, which is a tag of its own; write -100": lambda words, tags: np.where(labels_of_pieces(words, tags) == -100, 0, labels_of_pieces(words, tags)),
        "the numbers of the words stand here, not their tags": lambda words, tags: labels_of_pieces(words, np.arange(len(tags))),
        "[CLS] and [SEP] belong to no word (-1): -1 as an index takes the last tag": lambda words, tags: np.where(words != np.roll(words, 1), tags[words], -100),
    },
}
