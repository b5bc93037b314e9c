"""The vocabulary: its special pieces, which pieces start a word, and learning it from text.

Learning is left to SentencePiece's unigram trainer with the flags and ids of ALBERT's own
vocabulary (google-research/albert, README and issue 149).  Lesson 10 teaches what that trainer
does.
"""

import gzip
import re
from itertools import chain
from pathlib import Path

from ..errors import UserError
from .learner import learned

SPECIAL = PAD, UNK, CLS, SEP, MASK = "<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"  # ids 0 to 4
USER_DEFINED = "(", ")", '"', "-", ".", "–", "£", "€"  # ids 5 to 12: always pieces of their own
SPACE = "▁"  # U+2581, how SentencePiece writes a space
LETTERS = set("abcdefghijklmnopqrstuvwxyz")
MARKS = set(r"""!"#$%&()*+,-./:;?@[\]^_`{|}~""")  # without ' < = >


def starts_word(piece):
    """Whether a piece starts a word, as google-research/albert has it.

    create_pretraining_data.py, is_start_piece: true after a space, for a single mark, and for a
    piece with any character that is neither an English letter nor a mark: digits, apostrophes and
    all other scripts.
    """
    return (
        piece.startswith((SPACE, "<"))
        or piece in MARKS
        or any(c.lower() not in LETTERS and c not in MARKS for c in piece)
    )


def train_vocabulary(
    texts_or_files, vocab_size, prepare, sample_size, character_coverage, num_threads, verbose
):
    """The bytes of a SentencePiece model learned from prepare(text) of each text.

    See AlbertTokenizer.train.
    """
    lines = (line for text in _texts(texts_or_files) for line in _short_lines(prepare(text)))
    first = next(lines, None)
    if first is None:
        raise UserError(
            "the corpus has no text; expected at least some sentences to learn a vocabulary from"
        )
    options = {
        "model_type": "unigram",
        "vocab_size": vocab_size,
        "pad_id": 0,
        "unk_id": 1,
        "bos_id": -1,
        "eos_id": -1,
        "control_symbols": [CLS, SEP, MASK],
        "user_defined_symbols": list(USER_DEFINED),
        "character_coverage": character_coverage,
        "input_sentence_size": sample_size,
        "shuffle_input_sentence": True,
        "num_threads": num_threads,
        "minloglevel": 0 if verbose else 2,
    }
    try:
        fine, answer = learned(chain([first], lines), options)
    except MemoryError as error:
        raise UserError(
            f"{error}, as it does where there is too little memory; end other programs, or learn "
            "the vocabulary from a part of the text"
        ) from None
    if not fine:
        raise _refusal(answer.decode(), vocab_size)
    return answer


def _texts(source):
    """The texts of an iterable, or the lines of files."""
    for item in [Path(source)] if isinstance(source, (str, Path)) else source:
        if not isinstance(item, Path):
            yield item
            continue
        try:
            opened = gzip.open if item.suffix == ".gz" else open
            with opened(item, "rt", encoding="utf-8") as file:
                yield from file
        except (OSError, EOFError, UnicodeDecodeError) as error:
            raise UserError(
                f"{item} can't be read ({error}); expected a text file in UTF-8, plain or .gz"
            ) from None


def _short_lines(text, most=1000):
    """`text` cut at spaces into lines; the trainer silently drops those over 4192 bytes."""
    start = 0
    while len(text) - start > most:
        space = text.rfind(" ", start + 1, start + most)
        stop = space if space > 0 else start + most
        yield text[start:stop]
        start = stop
    if text[start:].strip():
        yield text[start:]


def _refusal(message, vocab_size):
    """The trainer's error as one that says what to do."""
    if found := re.search(r"too high .* <= (\d+)", message):
        error = UserError(
            f"a vocabulary of {vocab_size} pieces is more than this text supports; expected at "
            f"most {found[1]}; lower vocab_size or add text"
        )
        error.largest = int(found[1])  # for callers that would rather take what there is
        return error
    if vocab_size < len(SPECIAL):
        return UserError(
            f"a vocabulary of {vocab_size} pieces is too small: special pieces alone are "
            f"{len(SPECIAL)}; raise vocab_size"
        )
    if found := re.search(r"required_chars\. \d+ vs (\d+)", message):
        return UserError(
            f"a vocabulary of {vocab_size} pieces is too small: special pieces and single "
            f"characters alone are {found[1]}; raise vocab_size or lower character_coverage"
        )
    return UserError(
        f"SentencePiece could not learn a vocabulary of {vocab_size} pieces: {message.strip()}"
    )
