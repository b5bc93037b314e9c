"""Answers to lesson 00, and typical wrong answers.  `answer(lesson)` would need the lesson's tokenizer."""

import sys


def _tokenizer():
    return sys.modules["__main__"].tokenizer


def ids_to_text(ids):
    pieces = _tokenizer().convert_ids_to_tokens(ids)[1:-1]
    return "".join(pieces).replace("▁", " ").strip()


def table_sizes(vocab, hidden, embedding):
    return vocab * hidden, vocab * embedding + embedding * hidden


MISTAKES = {
    "ids_to_text": {
        "[CLS] and [SEP] are still there": lambda ids: "".join(_tokenizer().convert_ids_to_tokens(ids)).replace("▁", " "),
        "the pieces are joined with spaces, but they contain the spaces already":
            lambda ids: " ".join(_tokenizer().convert_ids_to_tokens(ids)[1:-1]).replace("▁", ""),
    },
    "table_sizes": {
        "the widening matrix is missing": lambda v, h, e: (v * h, v * e),
        "the matrix has a row for each number of the short row, not for each piece": lambda v, h, e: (v * h, v * e + v * h),
    },
}
