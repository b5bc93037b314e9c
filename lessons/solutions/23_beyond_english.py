"""Answers to lesson 23, their hints, and typical wrong answers."""

import numpy as np


def partners(text):
    belongs, stack = [0] * len(text), []
    for i, sign in enumerate(text):
        if sign in "([":
            stack.append(i)
        else:
            j = stack.pop()
            belongs[i], belongs[j] = j, i
    return belongs


def by_counting(text):
    for left, right in ("()", "[]"):
        if text.count(left) > text.count(right):
            return right
        if text.count(left) < text.count(right):
            return left


def pseudo_log_likelihood(log_p, ids):
    return float(log_p[np.arange(len(ids)), ids].sum())


def kmers(text, k):
    return [text[i:i + k] for i in range(len(text) - k + 1)]


def _queue(text):
    """The one opened first is closed first."""
    belongs, waiting = [0] * len(text), []
    for i, sign in enumerate(text):
        if sign in "([":
            waiting.append(i)
        else:
            j = waiting.pop(0)
            belongs[i], belongs[j] = j, i
    return belongs


def _one_way(openers):
    """Only one of two partners knows the other."""
    def find(text):
        belongs = partners(text)
        return [b if (sign in "([") == openers else 0 for sign, b in zip(text, belongs)]
    return find



def _other_kind(text):
    return dict(zip("()[]", "[]()"))[by_counting(text)]


REFERENCES = {}

HINTS = {
    "partners": "a list as the stack: append the place of an opening bracket; at a closing one, pop() gives its partner; write both into the result",
    "by_counting": "text.count('(') and text.count(')') are equal unless one of the two is hidden",
    "pseudo_log_likelihood": "log_p[np.arange(T), ids] is the logarithm of what stands at each place",
    "kmers": "a run that begins at i is text[i:i + k]; the last begins at len(text) - k",
}

MISTAKES = {
    "partners": {
        "opened first, closed first: it's the one opened LAST that is closed first (pop() takes from the end)": _queue,
        "only the opening brackets know their partners: write both": _one_way(True),
        "only the closing brackets know their partners: write both": _one_way(False),
        "the bracket beside it is its partner only where nothing is nested": lambda text: [i + 1 if sign in "([" else i - 1 for i, sign in enumerate(text)],
        "the first such sign in the text is not always its partner: keep a stack":
            lambda text: [text.index(dict(zip("([)]", ")](["))[sign]) for sign in text],
        "each place with its partner: the partners alone are asked for": lambda text: list(enumerate(partners(text))),
        "these are the distances: the places are asked for": lambda text: [abs(p - i) for i, p in enumerate(partners(text))],
    },
    "by_counting": {
        "the sign that is there too often: its partner is the one that is hidden": lambda text: dict(zip("([)]", ")](["))[by_counting(text)],
        "the right side, open or closed, but the wrong kind": _other_kind,
        "a closing bracket each time: an opening one may be hidden too": lambda text: {"(": ")", "[": "]"}.get(by_counting(text), by_counting(text)),
        "a closing bracket each time: an opening one may be hidden too, where ) or ] is the more frequent":
            lambda text: ")" if text.count("(") > text.count(")") else "]",
        "this is the whole text: only the hidden bracket is asked for": lambda text: text.replace("?", by_counting(text)),
        "an opening bracket each time: a closing one may be hidden too": lambda text: {")": "(", "]": "["}.get(by_counting(text), by_counting(text)),
    },
    "pseudo_log_likelihood": {
        "a mean: the logarithms are added up": lambda log_p, ids: float(log_p[np.arange(len(ids)), ids].mean()),
        "multiplied: probabilities would be, their logarithms are added": lambda log_p, ids: float(log_p[np.arange(len(ids)), ids].prod()),
        "these are all of the table: of each row only what stands there counts": lambda log_p, ids: float(log_p.sum()),
        "the likeliest sign of each row counts here: what stands there should": lambda log_p, ids: float(log_p.max(-1).sum()),
        "probabilities are added, where their logarithms should be": lambda log_p, ids: float(np.exp(log_p[np.arange(len(ids)), ids]).sum()),
        "log_p[:, ids] takes all those columns of every row: np.arange(T) says which row": lambda log_p, ids: float(log_p[:, ids].sum()),
    },
    "kmers": {
        "side by side: each begins only one letter after the last": lambda text, k: [text[i:i + k] for i in range(0, len(text), k)],
        "the last ones are too short: stop where k letters are left": lambda text, k: [text[i:i + k] for i in range(len(text))],
        "the last one is missing": lambda text, k: [text[i:i + k] for i in range(len(text) - k)],
    },
}
