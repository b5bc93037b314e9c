"""View 1: the pieces of a text, and how else each word could have been cut."""

import re

from ..text.vocabulary import CLS, MASK, SEP, SPACE, SPECIAL

WAYS = 4  # of cutting a word, the best ones
MOST_WORDS = 80  # whose other ways are shown
MARKS = re.compile("(" + "|".join(map(re.escape, (CLS, SEP, MASK))) + ")")


def view(explorer, reading, text="", pair=None):
    """The pieces, and for each word the cuts that score best.

    tokens: a dict each, {"piece", "id", "type", "special", "masked", "word"}.  words: a list for
    each word of {"pieces", "score"}, the best cut first; a score is the sum of the pieces'
    log-probabilities (Kudo 2018).  steps: {what was done: the text after it} where it changed.
    """
    tokenizer = explorer.tokenizer
    tokens = []
    words = []
    for i, written in enumerate(reading.written.tolist()):
        piece = explorer.piece(written)
        special = piece in SPECIAL
        if special:
            words.append(None)
        elif piece.startswith(SPACE) or not words or words[-1] is None:
            words.append([])
        if not special:
            words[-1].append(piece)
        tokens.append(
            {
                "piece": piece,
                "id": written,
                "type": int(reading.types[i]),
                "special": special,
                "masked": i in reading.masked,
                "word": len(words) - 1,
            }
        )
    return {
        "tokens": tokens,
        "words": [
            _ways(tokenizer, word) if word and n < MOST_WORDS else []
            for n, word in enumerate(words)
        ],
        "steps": _steps(tokenizer, text),
        "cut": reading.cut,
        "longest": explorer.longest,
    }


def _ways(tokenizer, pieces):
    """The best cuts of the word that these pieces are."""
    word = "".join(pieces).removeprefix(SPACE)
    return [{"pieces": cut, "score": score} for cut, score in tokenizer.segmentations(word, WAYS)]


def _steps(tokenizer, text):
    """What happens to the text before it is cut, as far as it changes."""
    steps = []
    prepared = _between_marks(tokenizer.prepare, text)
    normalized = _between_marks(tokenizer.normalize, text)
    name = "spaces, accents, case" if tokenizer.prepare.do_lower_case else "spaces, accents"
    for done, after in ((name, prepared), ("NFKC", normalized)):
        before = steps[-1]["text"] if steps else text
        if after != before:
            steps.append({"step": done, "text": after})
    return steps


def _between_marks(change, text):
    """The text, changed everywhere but in special tokens that are typed in it."""
    parts = [part if part in SPECIAL else change(part) for part in MARKS.split(text)]
    return " ".join(part for part in parts if part)
