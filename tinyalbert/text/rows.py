"""The rows of a text for a model that reads at most `max_length` tokens.

A text that is longer is cut ("truncate"), read in overlapping windows ("windows") or refused
("error").  One place for all tasks, so that what did not fit is always counted and said.
"""

import numpy as np

from ..errors import UserError
from .encoding import stride_of, template, truncated, window_pairs, windows

LONG = ("truncate", "windows", "error")
CUT = ("longest", "first", "second")


class RowEncoder:
    """Texts to rows of arrays; counts the texts that were too long.

    long: one of LONG.  overlap: tokens that neighbouring windows share; by default a quarter of a
    window.  policies: those of LONG that the task takes.  longest: the largest `max_length` that
    the model takes, None if that is not known.
    """

    def __init__(
        self, tokenizer, max_length, long="truncate", overlap=None, policies=LONG, longest=None
    ):
        if long not in policies:
            what = "does not suit the task" if long in LONG else "is unknown"
            raise UserError(
                f"long texts: {long!r} {what}; expected one of {', '.join(policies)} (--long)"
            )
        if longest is not None and max_length > longest:
            raise UserError(
                f"--max-length {max_length}, but the model has {longest} positions; expected at "
                "most that"
            )
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.long = long
        self.overlap = overlap
        self.policies = policies
        self.longest = longest
        self.texts = 0
        self.too_long = 0
        self.windows = 0  # of the texts that were too long

    def __call__(self, text, pair=None, where="", *, cut="longest", tokens=False, step=None):
        """Rows of a text or a pair, one for each window.

        Returns [{"input_ids", "attention_mask", "token_type_ids": int32 (T,)}].

        text, pair: each a text, a list of words, or what `segment` made of one.  where: how an
        error names the text.  cut: of a pair that is too long, "first" or "second" is cut and the
        other stands whole in every row; "longest" cuts both.  tokens: rows also have "about", the
        Token (encoding.py) of each place: its span of characters (in its word, for words) and the
        number of its word.  step: the text `cut` is read in windows that move on by so many tokens,
        even if texts are to be truncated.
        """
        first = self.segment(text, tokens)
        second = None if pair is None else self.segment(pair, tokens)
        special = 2 if pair is None else 3
        room = self.max_length - special
        length = len(first) + len(second or ())
        self.texts += 1
        if length <= room:
            parts = [(first, second)]
        else:
            self.too_long += 1
            parts = self._fitted(first, second, room, cut, where, step)
            self.windows += len(parts)
        return [self._row(*part, tokens) for part in parts]

    def of_sentences(self, sentences, where=""):
        """Rows of a document, in which each sentence has a [CLS] and a [SEP] of its own.

        Sentences have segment types 0 and 1 in turn (Liu & Lapata 2019, section 3.1).  A row holds
        as many whole sentences as fit; neighbours share `overlap` tokens at most.  A sentence that
        is longer than a row is cut.

        Returns rows as above, with "about": [(number of a sentence, place of its [CLS]), ...].
        """
        parts = [
            template(self.segment(sentence, False), None, *self._marks()) for sentence in sentences
        ]
        lengths = [len(part) for part in parts]
        self.texts += 1
        windows = sentence_windows(lengths, self.max_length, self._shared(self.max_length))
        if sum(lengths) > self.max_length:
            self.too_long += 1
            if self.long == "error":
                self._refuse(sum(lengths), where)
            windows = windows[:1] if self.long == "truncate" else windows
            self.windows += len(windows)
        return [self._row_of_sentences(window, parts) for window in windows]

    def _marks(self):
        return self.tokenizer.cls_token_id, self.tokenizer.sep_token_id

    def _shared(self, size):
        return stride_of(size, self.overlap)

    def _row_of_sentences(self, window, parts):
        row, about = [], []
        for number in window:
            part = parts[number]
            if len(part) > self.max_length:
                part = [*part[: self.max_length - 1], part[-1]]
            about.append((number, len(row)))
            row += [token._replace(type=number % 2) for token in part]
        return {**self._arrays(row), "about": about}

    def window_starts(self, rows):
        """The number of the first piece of each window of a text without a pair, from its rows."""
        size = len(rows[0]["input_ids"]) - 2
        step = size - stride_of(size, self.overlap)
        return [i * step for i in range(len(rows))]

    def segment(self, text, spans=True):
        """[(id, span, number of its word), ...] of a text or a list of words; a task may cut it."""
        if isinstance(text, list) and text and isinstance(text[0], tuple):
            return text  # it is such a list
        return self.tokenizer.segment(text, isinstance(text, list), spans)

    def _fitted(self, first, second, room, cut, where, step):
        """[(first, second), ...] of at most `room` tokens."""
        special = 2 if second is None else 3
        if self.long == "error":
            self._refuse(len(first) + len(second or ()) + special, where)
        if second is not None and cut != "longest":
            return self._one_cut(first, second, room, cut, where, step)
        if self.long == "truncate":
            return [truncated(first, second, room)]
        return window_pairs(first, second, room, self.overlap)

    def _one_cut(self, first, second, room, cut, where, step):
        """[(first, second), ...] in which only the text `cut` is cut or moves on."""
        whole = second if cut == "first" else first
        size = room - len(whole)  # tokens of a window over the other
        if size < 4:
            other = "second" if cut == "first" else "first"
            raise UserError(
                f"{where}: the {other} text has {len(whole)} tokens and must stand whole in rows "
                f"of {self.max_length}; expected room for the {cut} one beside it"
                f"{self._advice('to make room', ['a shorter text'])}"
            )
        overlap = size // 4 if self.overlap is None else min(self.overlap, size // 2)
        if step is not None:
            overlap = size - min(step, size)
        several = self.long == "windows" or step is not None
        parts = windows(first, second, f"only_{cut}", room, overlap, several)
        return parts if several else parts[:1]

    def _refuse(self, length, where):
        """A text of too many tokens, where such texts are refused."""
        ways = [f"--long {each}" for each in self.policies if each != "error"]
        raise UserError(
            f"{where}: {length} tokens; expected at most {self.max_length}"
            f"{self._advice('to read it', ways)}"
        )

    def _advice(self, aim, ways):
        """What a user can do: longer rows, if the model takes any, or one of these ways."""
        if self.longest is None or self.max_length < self.longest:
            ways = ["--max-length", *ways]
        return f"; {aim}: {' or '.join(ways)}" if ways else ""

    def _row(self, first, second, tokens):
        row = template(first, second, *self._marks())
        arrays = self._arrays(row)
        return {**arrays, "about": row} if tokens else arrays

    @staticmethod
    def _arrays(row):
        """Tokens as the model's inputs."""
        return {
            "input_ids": np.array([token.id for token in row], dtype=np.int32),
            "attention_mask": np.ones(len(row), dtype=np.int32),
            "token_type_ids": np.array([token.type for token in row], dtype=np.int32),
        }

    def summary(self, advice=True):
        """What became of the texts that were too long, in words; None if all of them fitted.

        advice: if they were cut, with the options of a command that reads all of them.
        """
        if not self.too_long:
            return None
        longer = (
            f"{self.too_long:,} of {self.texts:,} rows {_were(self.too_long)} longer than "
            f"{self.max_length} tokens and {_were(self.too_long)}"
        )
        if self.windows > self.too_long:
            return f"{longer} read in {self.windows:,} windows"
        if not advice:
            return f"{longer} cut"
        ways = ["--long windows"] if "windows" in self.policies else []
        return f"{longer} cut{self._advice('to read all of them', ways)}"


def sentence_windows(lengths, size, shared):
    """Ranges of sentences of which each holds as many as `size` tokens do, one at least.

    Each begins with the last sentences of the one before, of `shared` tokens at most; together they
    cover all.
    """
    windows = []
    start, end = 0, 0
    while end < len(lengths):
        new, room = end, size - sum(lengths[start:end])
        while end < len(lengths) and (lengths[end] <= room or end == start):
            room -= lengths[end]
            end += 1
        if end == new:  # a long sentence has no room beside what is shared
            start += 1
            continue
        windows.append(range(start, end))
        start = end
        while start > windows[-1].start + 1 and sum(lengths[start - 1 : end]) <= shared:
            start -= 1
    return windows


def _were(count):
    return "was" if count == 1 else "were"
