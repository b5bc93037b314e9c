"""Tagging by looking words up: the baselines of named entities and parts of speech."""

from collections import Counter

from .entities import Entity, entities, tags_of


def commonest_tags(train, held_out, unknown=None):
    """Each word gets the tag that it most often has in training.

    train: [(words, tags), ...].  held_out: lists of words.  unknown: the tag of a new word; by
    default the commonest of all.  Returns a list of tags for each of `held_out`.
    """
    seen = {}
    every = Counter()
    for words, tags in train:
        every.update(tags)
        for word, tag in zip(words, tags):
            seen.setdefault(word, Counter())[tag] += 1
    best = {word: counts.most_common(1)[0][0] for word, counts in seen.items()}
    if unknown is None:
        unknown = every.most_common(1)[0][0]
    return [[best.get(word, unknown) for word in words] for words in held_out]


def known_entities(train, held_out):
    """The longest entities that training has, where their type is always the same.

    The baseline of CoNLL-2003 (Tjong Kim Sang & De Meulder 2003, section 4).  Arguments and result
    are those of `commonest_tags`, the tags IOB2.
    """
    types = {}
    for words, tags in train:
        for kind, start, end in entities(tags):
            types.setdefault(tuple(words[start:end]), set()).add(kind)
    known = {words: min(kinds) for words, kinds in types.items() if len(kinds) == 1}
    longest = max(map(len, known), default=0)
    return [tags_of(_matches(words, known, longest), len(words)) for words in held_out]


def _matches(words, known, longest):
    """The known entities in a sentence, from left to right."""
    found = []
    place = 0
    while place < len(words):
        for length in range(min(longest, len(words) - place), 0, -1):
            kind = known.get(tuple(words[place : place + length]))
            if kind:
                found.append(Entity(kind, place, place + length))
                place += length - 1
                break
        place += 1
    return found
