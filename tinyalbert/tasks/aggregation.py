"""Pieces with scores to the answers of the pipeline "token-classification", as transformers has it.

    none     one answer for each piece
    simple   neighbouring pieces with the same type are joined
    first, average, max    the pieces of a word agree first: on the label of the first piece, of the
                           mean of their scores, of the piece that is surest; then as simple

Of a text read in windows each is answered by itself; where answers overlap, the longest stays.

The vocabulary does not say where a word begins: it does at a piece that follows white space in the
text.  Source of the rules: transformers 4.57, pipelines/token_classification.py.  Here a span
leaves out the space before a word, any white space separates words, and the words of an entity
stay apart in "word", where transformers fuses them.
"""

from typing import NamedTuple

import numpy as np

from ..text.vocabulary import SPACE

STRATEGIES = ("none", "simple", "first", "average", "max")


class Piece(NamedTuple):
    """A piece of a text, with the probability of each label."""

    word: str  # as the vocabulary has it; an unknown one as the text has it
    scores: np.ndarray  # (L,)
    start: int
    end: int
    index: int  # its place in the row
    inside: bool  # whether it goes on with the word of the piece before
    spaces: int = 0  # characters before it that the vocabulary counts to the piece

    @property
    def reach(self):
        """The characters (start, end) that transformers counts to the piece, at least one."""
        start = self.start - self.spaces
        return start, max(self.end, start + 1)


def follows_a_letter(text, start):
    """Whether what begins at `start` goes on with the word before it."""
    return start > 0 and not text[start - 1].isspace()


def aggregate(text, pieces, labels, strategy, ignored):
    """The answers for the pieces of a text: dicts, without those whose label is ignored."""
    return aggregate_windows(text, [pieces], labels, strategy, ignored)


def aggregate_windows(text, windows, labels, strategy, ignored):
    """The answers for overlapping windows of a text, a list of pieces each, joined afterwards."""
    key = "entity" if strategy == "none" else "entity_group"
    answers = [each for pieces in windows for each in _answers(pieces, labels, strategy)]
    answers = [each for each in answers if each[key] not in ignored]
    if len(windows) > 1:
        answers = _without_overlaps(answers)
    return [_trimmed(text, each) for each in answers]


def _without_overlaps(answers):
    """The longest of answers that overlap, of equally long ones the surest; in their order."""
    kept = []
    for answer in sorted(answers, key=lambda each: each["reach"][0]):
        if kept and answer["reach"][0] < kept[-1]["reach"][1]:
            kept[-1] = max(kept[-1], answer, key=_length_and_score)
        else:
            kept.append(answer)
    return kept


def _length_and_score(answer):
    start, end = answer["reach"]
    return end - start, answer["score"]


def _trimmed(text, answer):
    """An answer as it is returned: its span without white space at its ends."""
    start = answer["start"]
    surface = text[start : answer["end"]]
    start += len(surface) - len(surface.lstrip())
    kept = {name: value for name, value in answer.items() if name != "reach"}
    return {**kept, "start": start, "end": start + len(surface.strip())}


def _answers(pieces, labels, strategy):
    """The answers for all pieces."""
    if strategy == "none":
        return [_piece_answer(piece, labels) for piece in pieces]
    if strategy == "simple":
        words = [_labelled([piece], piece.scores, labels) for piece in pieces]
    else:
        words = [
            _labelled(group, _word_scores(group, strategy), labels) for group in _words(pieces)
        ]
    return [_group_answer(group) for group in _groups(words)]


def _piece_answer(piece, labels):
    best = int(piece.scores.argmax())
    return {
        "entity": labels[best],
        "score": float(piece.scores[best]),
        "index": piece.index,
        "word": piece.word,
        "start": piece.start,
        "end": piece.end,
        "reach": piece.reach,
    }


def _words(pieces):
    """Lists of the pieces of one word each."""
    words = []
    for piece in pieces:
        if words and piece.inside:
            words[-1].append(piece)
        else:
            words.append([piece])
    return words


def _word_scores(pieces, strategy):
    """The scores (L,) that stand for a word."""
    if strategy == "first":
        return pieces[0].scores
    if strategy == "max":
        return max(pieces, key=lambda piece: piece.scores.max()).scores
    return np.mean([piece.scores for piece in pieces], axis=0)


class _Word(NamedTuple):
    """A word, or a piece, with its label."""

    pieces: list  # of Piece
    label: str
    score: float


def _labelled(pieces, scores, labels):
    best = int(scores.argmax())
    return _Word(pieces, labels[best], float(scores[best]))


def _groups(words):
    """Lists of neighbouring words of the same type; B begins a new one."""
    groups = []
    before = None
    for word in words:
        begins, kind = _tag(word.label)
        if groups and kind == before and not begins:
            groups[-1].append(word)
        else:
            groups.append([word])
        before = kind
    return groups


def _tag(label):
    """(whether it begins an entity, its type); only B- and I- are known to transformers."""
    known = label.startswith(("B-", "I-"))
    return label.startswith("B-"), label[2:] if known else label


def _group_answer(words):
    pieces = [piece for word in words for piece in word.pieces]
    first, *rest = [piece.word for piece in pieces]
    text = first.replace(SPACE, "") + "".join(rest).replace(SPACE, " ")
    return {
        "entity_group": words[0].label.split("-", 1)[-1],
        "score": float(np.mean([word.score for word in words])),
        "word": text,
        "start": pieces[0].start,
        "end": pieces[-1].end,
        "reach": (pieces[0].reach[0], pieces[-1].reach[1]),
    }
