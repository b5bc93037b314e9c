"""The rows of a text for a model that reads at most `max_length` tokens.

A text that is longer is cut ("truncate"), read in overlapping windows ("windows") or refused
("error").  One place for all tasks, so that what did not fit is always counted and said.
"""

import numpy as np

from ..errors import UserError
from .encoding import template, truncated, window_pairs

LONG = ("truncate", "windows", "error")


class RowEncoder:
    """Texts to rows of arrays; counts the texts that were too long.

    long: one of LONG.  overlap: tokens that neighbouring windows share; by default a quarter of a
    window.
    """

    def __init__(self, tokenizer, max_length, long="truncate", overlap=None):
        if long not in LONG:
            raise UserError(f"long texts: {long!r} is unknown; expected one of {', '.join(LONG)}")
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.long = long
        self.overlap = overlap
        self.texts = 0
        self.too_long = 0
        self.windows = 0  # of the texts that were too long

    def __call__(self, text, pair=None, where=""):
        """Rows of a text or a pair, one for each window.

        Returns [{"input_ids", "attention_mask", "token_type_ids": int32 (T,)}].  where: how an
        error names the text.
        """
        first = self.tokenizer.segment(text, False, False)
        second = None if pair is None else self.tokenizer.segment(pair, False, False)
        special = 2 if pair is None else 3
        room = self.max_length - special
        length = len(first) + len(second or ())
        self.texts += 1
        if length <= room:
            parts = [(first, second)]
        else:
            self.too_long += 1
            parts = self._fitted(first, second, room, f"{where}: {length + special} tokens")
            self.windows += len(parts)
        return [self._row(*part) for part in parts]

    def _fitted(self, first, second, room, what):
        """[(first, second), ...] of at most `room` tokens."""
        if self.long == "error":
            raise UserError(
                f"{what}; expected at most {self.max_length}. Raise --max-length, or choose "
                "--long windows or --long truncate"
            )
        if self.long == "truncate":
            return [truncated(first, second, room)]
        return window_pairs(first, second, room, self.overlap)

    def _row(self, first, second):
        tokenizer = self.tokenizer
        tokens = template(first, second, tokenizer.cls_token_id, tokenizer.sep_token_id)
        return {
            "input_ids": np.array([token.id for token in tokens], dtype=np.int32),
            "attention_mask": np.ones(len(tokens), dtype=np.int32),
            "token_type_ids": np.array([token.type for token in tokens], dtype=np.int32),
        }

    def summary(self, advice="; to read all of them: --max-length or --long windows"):
        """What became of the texts that were too long, in words; None if all of them fitted.

        advice: added if they were cut.
        """
        if not self.too_long:
            return None
        longer = (
            f"{self.too_long:,} of {self.texts:,} rows {_were(self.too_long)} longer than "
            f"{self.max_length} tokens and {_were(self.too_long)}"
        )
        if self.long == "windows":
            return f"{longer} read in {self.windows:,} windows"
        return f"{longer} cut{advice}"


def _were(count):
    return "was" if count == 1 else "were"
