"""From pieces to a model's input: the template, truncation, windows over long texts, padding.

[CLS] a [SEP] has segment type 0 throughout; in [CLS] a [SEP] b [SEP] type 1 begins with b.  The
names are transformers'.  A token is a tuple here, so that what belongs together is cut and padded
together."""

from typing import NamedTuple

import numpy as np

from ..errors import UserError


class Token(NamedTuple):
    """One place of a row."""

    id: int
    span: tuple = (0, 0)  # characters of the text it comes from
    word: int | None = None  # index of its word; None if the template or the padding put it there
    sequence: int | None = None  # 0 in the text, 1 in its pair; None as above
    type: int = 0


class Encoding(dict):
    """What a tokenizer gives: input_ids, token_type_ids, attention_mask, ...; also read as
    attributes.
    """

    def __init__(self, data, rows):
        super().__init__(data)
        self._rows = rows

    def __getattr__(self, name):
        if name not in self:
            raise AttributeError(f"this encoding has no {name}; it has {', '.join(self)}")
        return self[name]

    def word_ids(self, row=0):
        """For each token of a row the index of its word (words are parted by white space), None if
        special.
        """
        return [token.word for token in self._rows[row]]

    def sequence_ids(self, row=0):
        """For each token of a row 0 or 1, the text or its pair; None if special."""
        return [token.sequence for token in self._rows[row]]


def encode(
    tokenizer,
    text,
    pair=None,
    *,
    padding=False,
    truncation=False,
    max_length=None,
    stride=0,
    pad_to_multiple_of=1,
    add_special_tokens=True,
    is_split_into_words=False,
    return_tensors=None,
    return_offsets_mapping=False,
    return_special_tokens_mask=False,
    return_overflowing_tokens=False,
):
    """What AlbertTokenizer.__call__ does, and says."""
    cls, sep, pad = tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id
    truncation = "longest_first" if truncation is True else truncation
    padding = "longest" if padding is True else padding
    _one_of("truncation", truncation, (False, "longest_first", "only_first", "only_second"))
    _one_of("padding", padding, (False, "longest", "max_length"))
    _one_of("return_tensors", return_tensors, (None, "np"))
    if max_length is not None and not truncation and padding != "max_length":
        raise UserError(
            f"max_length={max_length} does nothing without truncation=True or padding='max_length'"
        )
    max_length = tokenizer.model_max_length if max_length is None else max_length
    many = isinstance(text, (list, tuple)) and not (
        is_split_into_words and all(isinstance(t, str) for t in text)
    )
    texts, pairs = (
        (text, [None] * len(text) if pair is None else pair) if many else ([text], [pair])
    )
    if isinstance(pairs, str) or len(texts) != len(pairs):
        raise UserError(
            f"got {len(texts)} texts and {'one text' if isinstance(pairs, str) else len(pairs)} as "
            f"their "
            "pairs; expected as many of both"
        )

    rows, owners = [], []
    for owner, (a, b) in enumerate(zip(texts, pairs)):
        first = tokenizer.segment(a, is_split_into_words, return_offsets_mapping)
        second = (
            None if b is None else tokenizer.segment(b, is_split_into_words, return_offsets_mapping)
        )
        room = max_length - add_special_tokens * (2 if b is None else 3)
        parts = windows(first, second, truncation, room, stride, return_overflowing_tokens)
        for part in parts if return_overflowing_tokens else parts[:1]:
            rows.append(
                template(*part, cls, sep)
                if add_special_tokens
                else [Token(*t, i) for i in (0, 1) for t in part[i] or ()]
            )
            owners.append(owner)

    lengths = [len(row) for row in rows]
    width = {False: 0, "longest": max(lengths, default=0), "max_length": max_length}[padding]
    width = -(-width // pad_to_multiple_of) * pad_to_multiple_of
    rows = [row + [Token(pad)] * (width - len(row)) for row in rows]
    data = {
        "input_ids": [[token.id for token in row] for row in rows],
        "token_type_ids": [[token.type for token in row] for row in rows],
        "attention_mask": [[1] * n + [0] * (len(row) - n) for n, row in zip(lengths, rows)],
    }
    if return_special_tokens_mask:
        data["special_tokens_mask"] = [
            [int(token.sequence is None) for token in row] for row in rows
        ]
    if return_offsets_mapping:
        data["offset_mapping"] = [[token.span for token in row] for row in rows]
    if return_overflowing_tokens:
        data["overflow_to_sample_mapping"] = owners
    if return_tensors == "np":
        if len({len(row) for row in rows}) > 1:
            raise UserError(
                "rows of different lengths make no array; add padding=True, and truncation=True if "
                "some "
                "are too long"
            )
        data = {name: np.array(values, dtype=np.int32) for name, values in data.items()}
    elif not many and not return_overflowing_tokens:
        data = {name: values[0] for name, values in data.items()}
    return Encoding(data, rows)


def template(first, second, cls, sep):
    """[CLS] first [SEP], or [CLS] first [SEP] second [SEP].  first, second: [(id, span, word),
    ...].
    """
    row = [Token(cls), *(Token(*t, 0) for t in first), Token(sep)]
    if second is not None:
        row += [*(Token(*t, 1, 1) for t in second), Token(sep, type=1)]
    return row


def windows(first, second, how, room, stride=0, several=False):
    """[(first, second), ...] of at most `room` tokens each; the first of them is the truncated
    pair.

    "longest_first" takes from the longer text as if one token at a time (from the second if both
    are equal). The other ways cut one text to windows, each repeating the last `stride` tokens of
    the one before."""
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
        kept = min(lengths[1], max(room // 2, room - lengths[0]))
        return [(first[: room - kept], second[:kept])]
    cut, other = (second or (), lengths[0]) if how == "only_second" else (first, lengths[1])
    size = room - other
    if not cut or size < 1 or not 0 <= stride < size:
        raise UserError(
            f"{lengths[0]} and {lengths[1]} tokens can't be cut to {room} (special tokens not "
            f"counted) by "
            f"{how!r} with stride {stride}; raise max_length, lower stride, or truncate "
            f"'longest_first'"
        )
    parts = [cut[i : i + size] for i in range(0, len(cut) - stride, size - stride)]
    return [(first, part) if how == "only_second" else (part, second) for part in parts]


def _one_of(name, value, allowed):
    if value not in allowed:
        raise UserError(
            f"{name}={value!r} is unknown; expected one of {', '.join(map(repr, allowed))}"
        )
