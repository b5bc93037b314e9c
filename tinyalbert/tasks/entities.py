"""Tags of words, the entities that they mark, and the scores of predicted entities.

A tag is O, or a prefix and a type: B-PER begins a person, I-PER goes on with it.  The schemes:

    IOB2   every entity begins with B
    IOB1   B only where an entity follows another of its type; the others begin with I
    BIOES  the last word of an entity has E, a single one S
    BILOU  the same with L and U;  BMES  the same with M in place of I

Sources: Ramshaw & Marcus 1995 (IOB1); Tjong Kim Sang & Buchholz 2000 (conlleval).
"""

import re
from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

LABELS = "labels"  # no scheme: each word has a label of its own, such as its part of speech
_TAG = re.compile(r"([BIESLUM])-(.+)", re.DOTALL)
_SAME = {"L": "E", "U": "S", "M": "I"}  # BILOU's and BMES's names for the same things


class Entity(NamedTuple):
    """The words start ... end - 1 of a sentence."""

    type: str
    start: int
    end: int


def split_tag(tag):
    """(prefix, type) of a tag, the prefix one of B, I, E, S or O; (None, tag) for a plain label."""
    if tag == "O":
        return "O", None
    match = _TAG.fullmatch(tag)
    if not match:
        return None, tag
    prefix, kind = match.groups()
    return _SAME.get(prefix, prefix), kind


def scheme_of(sequences):
    """The scheme of lists of tags: a name above, LABELS, or None if every tag is O.

    Most tags tell whether there are entities at all; a few in no scheme are for the caller to find.
    Of B and I alone, the commoner way to begin an entity decides between IOB1 and IOB2.
    """
    tags = {tag for sequence in sequences for tag in sequence} - {"O"}
    if not tags:
        return None
    in_scheme = [tag for tag in tags if _TAG.fullmatch(tag)]
    if 2 * len(in_scheme) <= len(tags):
        return LABELS
    prefixes = {tag[0] for tag in in_scheme}
    if prefixes & {"L", "U"}:
        return "BILOU"
    if "M" in prefixes:
        return "BMES"
    if prefixes & {"E", "S"}:
        return "BIOES"
    begins = Counter(tag for sequence in sequences for tag in _first_prefixes(sequence))
    return "IOB1" if begins["I"] > begins["B"] else "IOB2"


def _first_prefixes(tags):
    """The prefixes that entities begin with, where IOB1 and IOB2 differ."""
    before = None
    for prefix, kind in map(split_tag, tags):
        if kind != before and prefix != "O":
            yield prefix
        before = kind


def entities(tags):
    """The entities of a sentence as conlleval reads them, a list of Entity.

    Any prefix may begin an entity: I after O, or after another type, begins one too, and a label
    without a prefix counts as I.
    """
    found = []
    before, last = "O", None  # prefix and type of the word before
    for place, (prefix, kind) in enumerate(map(split_tag, tags)):
        goes_on = before not in "OES" and prefix not in ("O", "B", "S") and kind == last
        if goes_on:
            found[-1] = found[-1]._replace(end=place + 1)
        elif prefix != "O":
            found.append(Entity(kind, place, place + 1))
        before, last = prefix or "I", kind
    return found


def strict_entities(tags, scheme="IOB2"):
    """The entities that are well-formed in a scheme, "IOB2" or "BIOES"; the others count as none.

    This is what seqeval does with mode="strict".
    """
    whole = scheme == "IOB2"  # an entity need not have an end of its own
    found = []
    start = None
    for place, (prefix, kind) in enumerate(map(split_tag, [*tags, "O"])):
        if start is not None and (prefix not in ("I", "E") or kind != found[-1].type):
            if not whole:
                found.pop()
            start = None
        if start is not None:
            found[-1] = Entity(kind, start, place + 1)
            if prefix == "E":
                start = None
        elif prefix in ("B", "S"):
            found.append(Entity(kind, place, place + 1))
            start = place if prefix == "B" else None
    return found


def tags_of(spans, length, scheme="IOB2"):
    """The tags of a sentence of `length` words with these entities, which don't overlap."""
    tags = ["O"] * length
    first, inside, last, single = {
        "IOB1": "IIII",
        "IOB2": "BIIB",
        "BIOES": "BIES",
        "BILOU": "BILU",
        "BMES": "BMES",
    }[scheme]
    before = None
    for kind, start, end in sorted(spans, key=lambda entity: entity.start):
        tags[start:end] = [f"{inside}-{kind}"] * (end - start)
        tags[end - 1] = f"{last}-{kind}"
        tags[start] = f"{single if end - start == 1 else first}-{kind}"
        if scheme == "IOB1" and before == (kind, start):
            tags[start] = f"B-{kind}"
        before = (kind, end)
    return tags


@dataclass
class Counts:
    """How many entities there are, were predicted, and are right: the same words, the same type."""

    gold: int = 0
    said: int = 0
    right: int = 0

    @property
    def precision(self):
        return self.right / self.said if self.said else 0.0

    @property
    def recall(self):
        return self.right / self.gold if self.gold else 0.0

    @property
    def f1(self):
        return 2 * self.right / (self.gold + self.said) if self.right else 0.0


def count_entities(gold, said):
    """{type: Counts} in the order of the types, and the Counts of all of them.

    gold, said: for each sentence its entities.
    """
    counts = {}
    for right, predicted in zip(gold, said):
        for entity in right:
            counts.setdefault(entity.type, Counts()).gold += 1
        for entity in predicted:
            counts.setdefault(entity.type, Counts()).said += 1
        for entity in set(right) & set(predicted):
            counts[entity.type].right += 1
    every = Counts(
        sum(each.gold for each in counts.values()),
        sum(each.said for each in counts.values()),
        sum(each.right for each in counts.values()),
    )
    return dict(sorted(counts.items())), every
