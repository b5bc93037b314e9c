"""Answers to lesson 00, their hints, and typical wrong answers."""

LESSON = {}                                      # the names of the running lesson; _check.py puts them here


def _tokenizer():
    return LESSON["tokenizer"]


def ids_to_text(ids):
    pieces = _tokenizer().convert_ids_to_tokens(ids)[1:-1]
    return "".join(pieces).replace("▁", " ").strip()


def table_sizes(vocab, hidden, embedding):
    return vocab * hidden, vocab * embedding + embedding * hidden


# what an answer is compared with, where it is not the function above
REFERENCES = {
    "ids_to_text": lambda ids: _tokenizer().decode(ids, skip_special_tokens=True),
}

HINTS = {
    "ids_to_text": "convert_ids_to_tokens gives the pieces; drop [CLS] and [SEP], join the rest, and turn '▁' into a space",
    "table_sizes": "one table with a row of `hidden` numbers for each piece; or short rows and one matrix that widens them",
}

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
