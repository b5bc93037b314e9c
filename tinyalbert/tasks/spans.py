"""From scores of tokens to answers: characters of the paragraph, whatever windows it was read in.

Two sets of rules read the same scores: `best_answers` those of google-research/albert (squad_utils)
for evaluation and for questions over documents, `called_answers` those of transformers' pipeline.
"""

from typing import NamedTuple

import numpy as np

from .. import ops


class Window(NamedTuple):
    """The part of a paragraph that one row reads."""

    place: int  # in the row, of its first token
    begin: int  # in the paragraph, of the same token
    tokens: list  # its Tokens (text/encoding.py)
    starts_word: bool = True  # whether the first of them begins a word


class Span(NamedTuple):
    """Tokens that may be an answer, as places in a row, with the scores of both ends."""

    first: int
    last: int
    start_score: float
    end_score: float


class Answer(NamedTuple):
    """A stretch of the paragraph: context[start:end] == text."""

    text: str
    start: int
    end: int
    start_score: float
    end_score: float

    @property
    def score(self):
        """Of the whole answer."""
        return self.start_score + self.end_score


def max_context(windows):
    """For each window, which of its tokens it sees with more context than any other window does.

    Of a token's windows that is the one with the largest min(tokens before, tokens after) + 0.01
    times its length, the first if several are.  Returns [bool (tokens,), ...]: each token of the
    paragraph is True once.
    """
    length = max((window.begin + len(window.tokens) for window in windows), default=0)
    most = np.full(length, -1.0)  # context of each token in the best window so far
    owner = np.zeros(length, dtype=int)
    for i, window in enumerate(windows):
        n = len(window.tokens)
        place = np.arange(n)
        context = np.minimum(place, n - 1 - place) + 0.01 * n
        part = slice(window.begin, window.begin + n)
        better = context > most[part]
        owner[part][better] = i
        most[part][better] = context[better]
    return [
        owner[window.begin : window.begin + len(window.tokens)] == i
        for i, window in enumerate(windows)
    ]


def best_pairs(starts, ends, places, n_best):
    """The Spans of the best `n_best` starts with the best `n_best` ends.

    starts, ends (T,): scores.  places: of the row, those that may be an answer.
    """
    firsts = places[np.argsort(-starts[places], kind="stable")[:n_best]]
    lasts = places[np.argsort(-ends[places], kind="stable")[:n_best]]
    return [Span(i, j, float(starts[i]), float(ends[j])) for i in firsts for j in lasts]


def best_answers(context, windows, spans, n_best, longest):
    """The Answers, best first, at most `n_best`, each text once.

    spans: [Spans of a window, ...].  A span counts if both its ends are in the paragraph, its start
    is seen with the most context in this window, and it has at most `longest` tokens.
    """
    answers = []
    for window, sees_best, candidates in zip(windows, max_context(windows), spans):
        n = len(window.tokens)
        for span in candidates:
            first, last = span.first - window.place, span.last - window.place
            if 0 <= first <= last < min(n, first + longest) and sees_best[first]:
                start, end = window.tokens[first].span[0], window.tokens[last].span[1]
                if start < end:  # not a lone "▁"
                    answers.append(Answer(context[start:end], start, end, *span[2:]))
    answers.sort(key=lambda answer: -answer.score)
    once = {}
    for answer in answers:
        once.setdefault(answer.text, answer)
    return list(once.values())[:n_best]


def tokens_of(tokens, start, end):
    """(first, last) of the tokens that characters start to end of the paragraph touch.

    None if no token has any of these characters.
    """
    touched = [
        i
        for i, token in enumerate(tokens)
        if token[1][0] < token[1][1] and token[1][0] < end and start < token[1][1]
    ]
    return (touched[0], touched[-1]) if touched else None


# --- as transformers' pipeline has it -------------------------------------------------------------

HIDDEN = np.float32(-10000.0)  # the score of tokens outside the paragraph


def probable_pairs(starts, ends, window, count, longest):
    """([(first, last, probability), ...] of the `count` best, probability of no answer).

    starts, ends (T,): the logits of a window's row.
    """
    allowed = np.zeros(len(starts), dtype=bool)
    allowed[window.place : window.place + len(window.tokens)] = True
    seen = allowed.copy()
    seen[0] = True  # [CLS]
    start, end = (ops.softmax.raw(np.where(seen, x, HIDDEN))[0] for x in (starts, ends))
    none = float(start[0] * end[0])
    products = np.tril(np.triu(np.outer(start * allowed, end * allowed)), longest - 1)
    order = np.argsort(-products, axis=None, kind="stable")[:count]
    firsts, lasts = np.unravel_index(order, products.shape)
    return [(i, j, float(products[i, j])) for i, j in zip(firsts, lasts) if products[i, j]], none


def called_answers(context, windows, outputs, top_k, impossible, whole_words):
    """[{"score", "start", "end", "answer"}, ...], best first, at most `top_k`.

    outputs: what `probable_pairs` gives for each window.
    impossible: the empty answer may be among them.  whole_words: answers are widened to whole
    words.  The space before a word counts to the word, as transformers' tokenizer has it.
    Probabilities of the same text, whatever its case, add up.
    """
    answers = []
    known = {}
    for window, (spans, _) in zip(windows, outputs):
        tokens = window.tokens
        words = [token.word for token in tokens] if whole_words else range(len(tokens))
        for first, last, score in spans:
            first, last = first - window.place, last - window.place
            touched = [i for i, word in enumerate(words) if word in (words[first], words[last])]
            start = _start(context, window, touched[0])
            end = tokens[touched[-1]].span[1]
            text = context[start:end]
            if text.lower() in known:
                known[text.lower()]["score"] += score
            else:
                answer = {"score": score, "start": start, "end": end, "answer": text}
                known[text.lower()] = answer
                answers.append(answer)
    if impossible:
        none = min(none for _, none in outputs)
        answers.append({"score": none, "start": 0, "end": 0, "answer": ""})
    return sorted(answers, key=lambda answer: -answer["score"])[:top_k]


def _start(context, window, i):
    """The first character of a token, with the space before it if the token begins a word."""
    tokens = window.tokens
    start = tokens[i].span[0]
    begins = tokens[i].word != tokens[i - 1].word if i else window.starts_word
    return start - 1 if begins and start and context[start - 1].isspace() else start
