"""tokenizer.json: the tokenizer as Hugging Face's `tokenizers` library runs it.

transformers' Auto classes and pipelines read this file where there is one.  Without it they make
one from spiece.model, in which pieces such as ( and . are cut out before the rest is segmented, and
a model is given other ids than it was trained on (transformers#31305).

A folder that transformers 5 saved has this file alone; `from_tokenizer_json` makes the
SentencePiece model from it.

The library knows no piece that is always a piece of its own, and none that is taken apart again.
So scores say it: a user-defined piece has the score that SentencePiece gives it (unigram_model.cc),
and the pieces that `AlbertTokenizer` takes apart, such as "▁2000,", are never chosen.  The latter
is as in transformers' own fast tokenizer, and the one way in which ids may differ from its slow
one, in numbers such as 1,234.
"""

import base64
import contextlib
import functools
import json
import math
import struct
import unicodedata

from ..checks import shown
from ..errors import UserError
from ..files.protobuf import message, repeated, write
from ..strict_json import read_json
from .vocabulary import CLS, MASK, PAD, SEP, SPACE, SPECIAL, UNK

# Kinds of pieces in a SentencePiece model (sentencepiece_model.proto).
NORMAL = 1
UNKNOWN = 2
CONTROL = 3
USER_DEFINED = 4

LARGEST = 1e38  # a score is kept in 32 bits
NEVER = 1000.0  # taken off the score of a piece that text is not to become
NEVER_THERE = 100.0  # the same in transformers' own files


# --- SentencePiece model to tokenizer.json --------------------------------------------------------


def tokenizer_json(model, prepare):
    """The bytes of tokenizer.json.

    model: the bytes of a SentencePiece model.  prepare: a TextPreparation.
    """
    pieces = read_pieces(model)
    ids = {piece: i for i, (piece, _, _) in enumerate(pieces)}
    rules = _rules(model)
    metaspace = {
        "type": "Metaspace",
        "replacement": SPACE,
        "prepend_scheme": "always" if rules.get(3, 1) else "never",
        "split": True,
    }
    document = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_added(ids[token], token) for token in SPECIAL],
        "normalizer": {"type": "Sequence", "normalizers": _normalizers(prepare, rules)},
        "pre_tokenizer": metaspace,
        "post_processor": _template(ids),
        "decoder": metaspace,
        "model": {
            "type": "Unigram",
            "unk_id": ids[UNK],
            "vocab": _scores(pieces),
            "byte_fallback": False,
        },
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def ends_in_digit_comma(piece):
    """Whether ALBERT cuts a comma off the end of a piece."""
    return piece[-1:] == "," and piece[-2:-1].isdigit()


def _rules(model):
    """The fields of a SentencePiece model's NormalizerSpec."""
    with _explained():
        return message(message(model, {3: bytes}).get(3, b""), {2: bytes, 3: int, 4: int})


def read_pieces(model):
    """[(piece, score, kind), ...] of a SentencePiece model."""
    with _explained():
        return [_piece(message(each, {1: bytes, 2: int, 3: int})) for each in repeated(model, 1)]


def _piece(values):
    (score,) = struct.unpack("<f", values.get(2, 0).to_bytes(4, "little"))
    if not math.isfinite(score):
        raise ValueError(f"a score of {score}")
    return values[1].decode(), score, values.get(3, NORMAL)


@contextlib.contextmanager
def _explained():
    try:
        yield
    except (ValueError, LookupError, OverflowError) as error:
        raise UserError(
            f"the vocabulary is no whole SentencePiece model ({type(error).__name__}: {error}); "
            "fetch its spiece.model again"
        ) from None


def _scores(pieces):
    """[[piece, log-probability], ...] by which the best segmentation is SentencePiece's."""
    best = max((score for _, score, kind in pieces if kind == NORMAL), default=0.0)
    scores = []
    for piece, score, kind in pieces:
        if kind == USER_DEFINED:
            score = _user_defined(piece, best)
        elif kind != NORMAL or ends_in_digit_comma(piece):
            score -= NEVER
        scores.append([piece, score])
    return scores


def _user_defined(piece, best):
    """The score that SentencePiece gives to a user-defined piece; best: of all normal pieces."""
    return len(piece.encode()) * best - 0.1


def _added(i, token):
    """The entry of a special token."""
    return {
        "id": i,
        "content": token,
        "single_word": False,
        "lstrip": token == MASK,
        "rstrip": False,
        "normalized": False,
        "special": True,
    }


def _normalizers(prepare, rules):
    """The steps of `prepare`, then those of SentencePiece.

    rules: the fields of its NormalizerSpec.
    """
    steps = []
    if prepare.do_lower_case and prepare.style == "transformers":
        steps.append({"type": "Lowercase"})
    if prepare.remove_space:
        steps += [_replace(" ", Regex=f"[{_ranges(str.isspace)}]+"), _STRIP]
    if prepare.style == "transformers":
        steps += [_replace('"', String="``"), _replace('"', String="''")]
    if not prepare.keep_accents:
        steps += [{"type": "NFKD"}, _replace("", Regex=f"[{_ranges(unicodedata.combining)}]")]
    if prepare.do_lower_case:
        steps.append({"type": "Lowercase"})
    if rules.get(2):
        # the library looks up at most 5 bytes at a time, so what is in parts is joined before
        steps += [{"type": "NFC"}, _precompiled(rules[2])]
    if rules.get(4, 1):
        steps += [_replace(" ", Regex=" {2,}"), _STRIP]
    return steps


_STRIP = {"type": "Strip", "strip_left": True, "strip_right": True}


def _replace(content, **pattern):
    return {"type": "Replace", "pattern": pattern, "content": content}


def _precompiled(charsmap):
    """SentencePiece's own table of what is written for what."""
    return {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(charsmap).decode()}


@functools.cache
def _ranges(is_member):
    r"""All characters with a property, as the inside of [...] in a pattern: \x{300}-..."""
    ranges = []
    for i in range(0x20000):  # the planes above hold ideographs
        if not is_member(chr(i)):
            continue
        if ranges and ranges[-1][1] == i - 1:
            ranges[-1][1] = i
        else:
            ranges.append([i, i])
    return "".join(f"\\x{{{first:x}}}-\\x{{{last:x}}}" for first, last in ranges)


def _template(ids):
    """[CLS] A [SEP], [CLS] A [SEP] B [SEP] with the types of segments."""

    def special(token, segment):
        return {"SpecialToken": {"id": token, "type_id": segment}}

    def text(name, segment):
        return {"Sequence": {"id": name, "type_id": segment}}

    first = [special(CLS, 0), text("A", 0), special(SEP, 0)]
    return {
        "type": "TemplateProcessing",
        "single": first,
        "pair": [*first, text("B", 1), special(SEP, 1)],
        "special_tokens": {
            token: {"id": token, "ids": [ids[token]], "tokens": [token]} for token in (CLS, SEP)
        },
    }


WORD_PIECE = " (the weights of a BERT open here, its vocabulary does not)"


# --- tokenizer.json to SentencePiece model --------------------------------------------------------


def from_tokenizer_json(path):
    """(bytes of a SentencePiece model, {argument of AlbertTokenizer: value}, {added token: id}).

    path: a tokenizer.json.  Its pieces, scores and table of characters make the model.
    """
    document = read_json(path, "a tokenizer.json that transformers or tinyalbert wrote")
    try:
        kind = document["model"]["type"]
        if kind != "Unigram":
            raise UserError(
                f"{path} holds a tokenizer of type {shown(kind)}; expected Unigram, as ALBERT's"
                + (WORD_PIECE if kind == "WordPiece" else "")
            )
        return _model(document), _settings(document), _added_tokens(document)
    except UserError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
        raise UserError(
            f"{path} is no tokenizer.json ({type(error).__name__}: {error}); expected a file that "
            "transformers or tinyalbert wrote"
        ) from None


def _added_tokens(document):
    return {token["content"]: token["id"] for token in document["added_tokens"]}


def _steps(step):
    """The steps of a normalizer or pre-tokenizer, which may be a sequence of such."""
    parts = step.get("normalizers") or step.get("pretokenizers")
    return [step] if parts is None else [each for part in parts for each in _steps(part)]


def _settings(document):
    """The settings of the tokenizer that a document tells."""
    types = [step["type"] for step in _steps(document["normalizer"])]
    padding = document.get("padding") or {"direction": "Right"}  # kept since the last call
    return {
        "do_lower_case": "Lowercase" in types,
        "keep_accents": "NFKD" not in types,
        "padding_side": padding["direction"].lower(),
    }


def _model(document):
    """The bytes of a SentencePiece model."""
    scores = document["model"]["vocab"]
    wrong = [score for _, score in scores if not abs(score) < LARGEST]  # also NaN
    if wrong:
        raise ValueError(f"a score of {wrong[0]}")
    cut_out = {token["content"] for token in document["added_tokens"] if not token["special"]}
    pieces = [(1, write((1, p), (2, float(s)), (3, k))) for p, s, k in _kinds(scores, cut_out)]
    ids = {piece: i for i, (piece, _) in enumerate(scores)}
    trainer = write((3, 1), (4, len(scores)), (40, ids[UNK]), (41, -1), (42, -1), (43, ids[PAD]))
    table = [step for step in _steps(document["normalizer"]) if step["type"] == "Precompiled"]
    schemes = [step.get("prepend_scheme") for step in _steps(document["pre_tokenizer"])]
    rules = [(1, "nmt_nfkc" if table else "identity")]
    rules += [(2, base64.b64decode(step["precompiled_charsmap"])) for step in table]
    rules += [(3, int("never" not in schemes))]
    return write(*pieces, (2, trainer), (3, write(*rules)))


def _kinds(scores, cut_out):
    """[(piece, score, kind), ...] of a vocabulary: what `_scores` did is undone.

    cut_out: pieces that are taken out of a text before the rest is segmented.
    """
    normal = [s for piece, s in scores if s and piece not in cut_out and piece not in SPECIAL]
    best = max(normal)
    pieces = []
    for piece, score in scores:
        kind = NORMAL
        if piece in SPECIAL:
            kind = UNKNOWN if piece == UNK else CONTROL
        elif piece in cut_out or score in (0, _user_defined(piece, best)):
            kind = USER_DEFINED
        elif score < -NEVER:
            score += NEVER
        elif score < -NEVER_THERE:
            score += NEVER_THERE
        pieces.append((piece, score if kind == NORMAL else 0.0, kind))
    return pieces
