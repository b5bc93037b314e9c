"""How likely a sentence is to a model of masked words: the pseudo-log-likelihood.

Every piece is masked in turn, and the logarithms of its probabilities given all the others are
added up (Salazar et al. 2020, Masked Language Model Scoring).  A word of several pieces gets too
good a score, since each piece is told by its neighbours; whole_words also masks the pieces of the
word that come after the one in question (Kauf & Ivanova 2023, "within_word_l2r").
"""

import numpy as np

from ..backend import to_device
from ..errors import UserError
from ..modes import no_grad
from ..readout import gather_rows
from ..text.encoding import template
from ..training.replicas import Threads


def pseudo_log_likelihood(model, tokenizer, texts, whole_words=False, batch_size=64, threads=1):
    """(sums of the logarithms (N,) float64, numbers of pieces (N,)) of N texts.

    Rows of about the same length meet in a batch of `batch_size`; threads: replicas of the model.
    """
    distinct = {text: i for i, text in enumerate(dict.fromkeys(texts))}
    replicas = Threads(threads)
    try:
        sums, counts = _sums(model, tokenizer, list(distinct), whole_words, batch_size, replicas)
    finally:
        replicas.close()
    places = [
        distinct[text] for text in texts
    ]  # so that equal texts score equally, to the last bit
    return sums[places], counts[places]


def _sums(model, tokenizer, texts, whole_words, batch_size, replicas):
    """pseudo_log_likelihood of texts that differ."""
    longest = min(tokenizer.model_max_length, model.config.max_position_embeddings)
    segments = [_segment(tokenizer, text, longest) for text in texts]
    counts = np.array([len(segment) for segment in segments], dtype=np.int64)
    sums = np.zeros(len(texts))
    order = np.argsort(counts, kind="stable").tolist()
    rows = [(i, place) for i in order for place in range(counts[i])]
    model.eval()

    def of_rows(part):
        masked = [_masked(tokenizer, segments[i], place, whole_words) for i, place in part]
        targets = np.array([segments[i][place].id for i, place in part])
        places = np.array([place for _, place in part]) + 1  # behind [CLS]
        return _log_probabilities(model, masked, places, targets)

    parts = [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]
    for first in range(0, len(parts), replicas.n):
        several = parts[first : first + replicas.n]
        for part, found in zip(several, replicas.run(of_rows, several)):
            np.add.at(sums, [owner for owner, _ in part], found)
    return sums, counts


def _segment(tokenizer, text, longest):
    """The tokens of a text, as [Token, ...]."""
    segment = template(tokenizer.segment(text, False, False), None, 0, 0)[1:-1]
    if not segment:
        raise UserError(f"{text!r} has no pieces; expected a sentence to score")
    if len(segment) + 2 > longest:
        raise UserError(
            f"{text[:40]!r}... has {len(segment) + 2} tokens and the model reads {longest}; "
            "expected a shorter text: score its sentences one by one"
        )
    return segment


def _masked(tokenizer, segment, place, whole_words):
    """The row [CLS] segment [SEP] with a mask at `place`: ids (T,)."""
    ids = [token.id for token in segment]
    end = place + 1
    while whole_words and end < len(segment) and segment[end].word == segment[place].word:
        end += 1
    ids[place:end] = [tokenizer.mask_token_id] * (end - place)
    return np.array([tokenizer.cls_token_id, *ids, tokenizer.sep_token_id], dtype=np.int32)


def _log_probabilities(model, rows, places, targets):
    """log P of the piece targets[r] at places[r] of each row r: (R,) float64."""
    width = max(len(row) for row in rows)
    ids = np.zeros((len(rows), width), dtype=np.int32)
    attention_mask = np.zeros((len(rows), width), dtype=np.int32)
    for row, values in enumerate(rows):
        ids[row, : len(values)] = values
        attention_mask[row, : len(values)] = 1
    with no_grad():
        states = model.albert(ids, attention_mask).last_hidden_state  # (R, T, H)
        masks = to_device(np.arange(len(rows)) * width + places, model.device())
        scores = model.word_scores(gather_rows(states, masks)).numpy()  # (R, V)
    largest = scores.max(axis=1)
    # the sum over the vocabulary in float32, which costs a third; its logarithm in float64
    total = np.exp(scores - largest[:, None]).sum(axis=1)
    at_targets = scores[np.arange(len(rows)), targets]
    return (at_targets.astype(np.float64) - largest) - np.log(total.astype(np.float64))


def better_of_pairs(scores):
    """How often the second of two neighbours scores higher; a tie counts one half.

    scores (2 N,): of pairs of lines, the bad one first.
    """
    if not len(scores) or len(scores) % 2:
        raise UserError(
            f"lines of pairs: got {len(scores)}; expected a bad line, then the good one, and so on"
        )
    bad, good = np.reshape(scores, (-1, 2)).T
    return float(np.mean((good > bad) + 0.5 * (good == bad)))
