"""From pieces to a model's input: the template, truncation, windows over long texts, padding.

[CLS] a [SEP] has segment type 0 throughout; in [CLS] a [SEP] b [SEP] type 1 begins with b.  The
names are transformers'.  A token is a tuple here, so that what belongs together is cut and padded
together.
"""

from typing import NamedTuple

import numpy as np

from ..checks import as_count, shown
from ..errors import UserError

# What a caller may write, in transformers' words, for one of the ways.
TRUNCATION = {True: "longest_first", "do_not_truncate": False, None: False}
PADDING = {True: "longest", "do_not_pad": False, None: False}


class Token(NamedTuple):
    """One place of a row."""

    id: int
    span: tuple = (0, 0)  # characters of the text it comes from
    word: int | None = None  # index of its word; None if the template or the padding put it there
    sequence: int | None = None  # 0 in the text, 1 in its pair; None as above
    type: int = 0


class Encoding(dict):
    """A tokenizer's output: a dict whose values can also be read as attributes.

    It holds input_ids, token_type_ids, attention_mask, ...
    """

    def __init__(self, data, rows):
        super().__init__(data)
        self._rows = rows

    def __getattr__(self, name):
        if name not in self:
            raise AttributeError(f"this encoding has no {name}; it has {', '.join(self)}")
        return self[name]

    def word_ids(self, row=0):
        """The index of the word of each token in a row; None for special tokens.

        Words are separated by white space.
        """
        return [token.word for token in self._rows[row]]

    def sequence_ids(self, row=0):
        """For each token of a row 0 or 1, the text or its pair; None if special."""
        return [token.sequence for token in self._rows[row]]


def encode(
    tokenizer,
    text,
    text_pair=None,
    *,
    padding=False,
    truncation=False,
    max_length=None,
    stride=0,
    pad_to_multiple_of=None,
    padding_side=None,
    add_special_tokens=True,
    is_split_into_words=False,
    return_tensors=None,
    return_token_type_ids=True,
    return_attention_mask=True,
    return_offsets_mapping=False,
    return_special_tokens_mask=False,
    return_overflowing_tokens=False,
):
    """What AlbertTokenizer.__call__ does, and says."""
    truncation = _way(truncation, TRUNCATION)
    padding = _way(padding, PADDING)
    one_of("truncation", truncation, (False, "longest_first", "only_first", "only_second"))
    one_of("padding", padding, (False, "longest", "max_length"))
    one_of("return_tensors", return_tensors, (None, "np"))
    side = tokenizer.padding_side if padding_side is None else padding_side
    one_of("padding_side", side, ("right", "left"))
    for name, value, least in (
        ("max_length", max_length, 0),
        ("stride", stride, 0),
        ("pad_to_multiple_of", pad_to_multiple_of, 1),
    ):
        if value is not None:
            as_count(name, value, least)
    if max_length is not None and not truncation and padding != "max_length":
        raise UserError(
            f"max_length={max_length} does nothing without truncation=True or padding='max_length'"
        )
    if max_length is None:
        max_length = tokenizer.model_max_length

    many = _is_batch(text, is_split_into_words)
    texts = _paired(text, text_pair) if many else [(text, text_pair)]
    segments = _segmented(tokenizer, texts, is_split_into_words, return_offsets_mapping)
    fitted = _fitted(
        segments, truncation, max_length, stride, add_special_tokens, return_overflowing_tokens
    )
    rows = _rows(tokenizer, [part for _, part in fitted], add_special_tokens)
    width = _width(rows, padding, max_length, pad_to_multiple_of or 1)
    masks = _filled([[1] * len(row) for row in rows], width, 0, side)
    rows = _filled(rows, width, Token(tokenizer.pad_token_id), side)

    data = {
        "input_ids": [[token.id for token in row] for row in rows],
        "token_type_ids": [[token.type for token in row] for row in rows],
        "attention_mask": masks,
    }
    if not return_token_type_ids:
        del data["token_type_ids"]
    if not return_attention_mask:
        del data["attention_mask"]
    if return_special_tokens_mask:
        data["special_tokens_mask"] = [
            [int(token.sequence is None) for token in row] for row in rows
        ]
    if return_offsets_mapping:
        data["offset_mapping"] = [[token.span for token in row] for row in rows]
    if return_overflowing_tokens:
        data["overflow_to_sample_mapping"] = [owner for owner, _ in fitted]
    if return_tensors == "np":
        data = _arrays(data, rows)
    elif not many and not return_overflowing_tokens:
        data = {name: values[0] for name, values in data.items()}
    return Encoding(data, rows)


def _way(value, words):
    """What is meant by one of the words that are short for others."""
    return words.get(value, value) if value is None or isinstance(value, (bool, str)) else value


def _is_batch(text, is_split_into_words):
    """Whether `text` is several texts; a list of strings may also be one text, split into words."""
    if not isinstance(text, (list, tuple)):
        return False
    return not (is_split_into_words and all(isinstance(t, str) for t in text))


def _paired(texts, pairs):
    """[(text, its pair or None), ...]"""
    if pairs is None:
        return [(text, None) for text in texts]
    if isinstance(pairs, str) or len(texts) != len(pairs):
        count = "one text" if isinstance(pairs, str) else len(pairs)
        raise UserError(
            f"got {len(texts)} texts and {count} as their pairs; expected as many of both"
        )
    return list(zip(texts, pairs))


def _segmented(tokenizer, texts, is_split_into_words, with_offsets):
    """Texts to tokens: [(first, second or None), ...]."""

    def segment(text):
        return tokenizer.segment(text, is_split_into_words, with_offsets)

    return [(segment(a), None if b is None else segment(b)) for a, b in texts]


def _fitted(segments, truncation, max_length, stride, add_special_tokens, several):
    """Texts cut to max_length: [(index of the text, (first, second)), ...].

    There are several windows of a text if `several` is set.
    """
    fitted = []
    for owner, (first, second) in enumerate(segments):
        special = 0 if not add_special_tokens else 2 if second is None else 3
        parts = windows(first, second, truncation, max_length - special, stride, several)
        fitted += [(owner, part) for part in (parts if several else parts[:1])]
    return fitted


def _rows(tokenizer, parts, add_special_tokens):
    """Tokens of each (first, second), with or without [CLS] and [SEP]."""
    if add_special_tokens:
        cls, sep = tokenizer.cls_token_id, tokenizer.sep_token_id
        return [template(first, second, cls, sep) for first, second in parts]
    return [
        [Token(*token, sequence) for sequence in (0, 1) for token in part[sequence] or ()]
        for part in parts
    ]


def _width(rows, padding, max_length, multiple):
    """The length that rows are filled up to, a multiple of `multiple`."""
    width = {
        False: 0,
        "longest": max(map(len, rows), default=0),
        "max_length": max_length,
    }[padding]
    return -(-width // multiple) * multiple


def _filled(rows, width, filling, side):
    """Rows filled up at one side to at least `width` values."""
    fillings = [[filling] * (width - len(row)) for row in rows]
    if side == "left":
        return [more + row for row, more in zip(rows, fillings)]
    return [row + more for row, more in zip(rows, fillings)]


def _arrays(data, rows):
    """Lists to int32 arrays (rows, T)."""
    if len({len(row) for row in rows}) > 1:
        raise UserError(
            "rows of different lengths make no array; add padding=True, and truncation=True if "
            "some are too long"
        )
    return {name: np.array(values, dtype=np.int32) for name, values in data.items()}


def template(first, second, cls, sep):
    """[CLS] first [SEP], or [CLS] first [SEP] second [SEP].

    first, second: [(id, span, word), ...].
    """
    row = [Token(cls), *(Token(*t, 0) for t in first), Token(sep)]
    if second is not None:
        row += [*(Token(*t, 1, 1) for t in second), Token(sep, type=1)]
    return row


def windows(first, second, how, room, stride=0, several=False):
    """Windows of a text or a pair: [(first, second), ...] of at most `room` tokens each.

    The first of them is the truncated pair.  "longest_first" takes from the longer text as if one
    token at a time (from the second if both are equal).  The other ways cut one text to windows,
    each repeating the last `stride` tokens of the one before.
    """
    if several and how == "longest_first" and second is not None:
        raise UserError(
            "return_overflowing_tokens can't be had with truncation='longest_first' for pairs, "
            "where "
            "both texts are cut; expected 'only_first' or 'only_second'"
        )
    lengths = len(first), len(second or ())
    if not how or sum(lengths) <= room:
        return [(first, second)]
    if how == "longest_first" and second is not None and room >= 0:
        return [truncated(first, second, room)]
    cut, other = (second or (), lengths[0]) if how == "only_second" else (first, lengths[1])
    size = room - other
    if not cut or size < 1 or not 0 <= stride < size:
        raise UserError(
            f"{lengths[0]} and {lengths[1]} tokens can't be cut to {room} (special tokens not "
            f"counted) by "
            f"{how!r} with stride {stride}; raise max_length, lower stride, or truncate "
            f"'longest_first'"
        )
    parts = overlapping(cut, size, stride)
    return [(first, part) if how == "only_second" else (part, second) for part in parts]


def overlapping(tokens, size, stride):
    """Windows of `size` tokens, each repeating the last `stride` of the one before.

    The last may be shorter.
    """
    starts = range(0, max(len(tokens) - stride, 1), size - stride)
    return [tokens[start : start + size] for start in starts]


def shares(first, second, room):
    """How many tokens of each text `room` holds: (of the first, of the second).

    They are taken from the longer text as if one token at a time.
    """
    if second is None:
        return room, 0
    kept = min(len(second), max(room // 2, room - len(first)))
    return room - kept, kept


def truncated(first, second, room):
    """(first, second) cut to `room` tokens together, "longest_first"."""
    size, other = shares(first, second, room)
    return first[:size], None if second is None else second[:other]


def window_pairs(first, second, room, stride=None):
    """[(first, second), ...] of at most `room` tokens each; together they cover both texts.

    The first window is what truncation keeps.  Of a pair, a text that fits into its share stands
    whole in every window; if both are cut, their windows move on together, and the one that ends
    first stands still.  stride: tokens that neighbours share, by default a quarter of a window.
    """
    if len(first) + len(second or ()) <= room:
        return [(first, second)]
    size, other = shares(first, second, room)
    firsts = _cut(first, size, stride)
    if second is None:
        return [(part, None) for part in firsts]
    seconds = _cut(second, other, stride)
    last_first, last_second = len(firsts) - 1, len(seconds) - 1
    return [
        (firsts[min(i, last_first)], seconds[min(i, last_second)])
        for i in range(max(len(firsts), len(seconds)))
    ]


def stride_of(size, stride=None):
    """Tokens that neighbouring windows share: what was asked for, or a quarter of a window."""
    return size // 4 if stride is None else stride


def _cut(tokens, size, stride):
    """Windows over one text, or the text itself if it fits."""
    if len(tokens) <= size:
        return [tokens]
    stride = stride_of(size, stride)
    if not 0 <= stride < size:
        raise UserError(
            f"windows of {size} tokens can't overlap by {stride}; expected less: lower the overlap "
            "or raise max_length"
        )
    return overlapping(tokens, size, stride)


def one_of(name, value, allowed):
    """`value`, if it is one of `allowed`."""
    if value not in allowed:
        raise UserError(
            f"{name}={shown(value)} is unknown; expected one of {', '.join(map(repr, allowed))}"
        )
    return value
