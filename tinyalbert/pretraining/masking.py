"""Which pieces a model has to guess: n-gram whole-word masks.

Lan et al. 2020, §3.1; Joshi et al. 2020.  Spans of 1 to `ngram` words, p(n) proportional to 1/n,
are laid at random until 15 % of the pieces are covered; of the covered pieces, each on its own,
80 % become [MASK], 10 % stay and 10 % turn into a random piece (google-research/albert,
create_masked_lm_predictions).
"""

import numpy as np

from ..ops import IGNORE  # the label of a piece that is no target
from .draws import integers

# Shares of the covered pieces; the rest is replaced at random.
MASKED = 0.8
KEPT = 0.1


def ngram_probabilities(ngram):
    """(ngram,): p(n) proportional to 1/n for n = 1 ... ngram."""
    p = 1 / np.arange(1, ngram + 1)
    return p / p.sum()


def span_sizes(u, ngram):
    """Uniform numbers u -> numbers of words in a span, 1 to ngram, in the shape of u.

    They are distributed as ngram_probabilities says.
    """
    return 1 + np.searchsorted(np.cumsum(ngram_probabilities(ngram))[:-1], u, side="right")


def targets_wanted(lengths, masked_lm_prob=0.15, max_predictions=None):
    """How many pieces to cover in sequences of these lengths, special pieces included: (B,)."""
    # rint rounds halves to even, as Python's round does
    wanted = np.maximum(1, np.rint(lengths * masked_lm_prob)).astype(np.int64)
    return wanted if max_predictions is None else np.minimum(wanted, max_predictions)


def cover(first, limit, order, sizes, wanted):
    """Lay spans of words until `wanted` pieces are covered: a bytearray, 1 = covered.

    Word w has the pieces first[w] to first[w + 1] - 1; a span that begins at w ends before word
    limit[w].  Words are tried in `order`.  Word w gets a span of sizes[w] words, or a shorter one
    if that would cover too many pieces.  A word whose span meets a covered piece is passed over.
    """
    covered = bytearray(first[-1])
    for w in order:
        if not wanted:
            break
        low = first[w]
        for n in range(sizes[w], 0, -1):
            size = first[min(w + n, limit[w])] - low
            if size <= wanted:
                break
        else:
            continue
        if 1 not in covered[low : low + size]:
            covered[low : low + size] = b"\1" * size
            wanted -= size
    return covered


def choose_targets(u, starts, segment, wanted, ngram):
    """Cover pieces in every row: booleans (B, T).

    u (B, 2 T): uniform numbers that decide the order of the words and the sizes of the spans.
    starts (B, T): this piece begins a word.  A piece that continues a word belongs to the word
    before it; the first of a segment always begins one.
    segment (B, T): 0 = not to be covered.  Spans stay within equal numbers, so 1 and 2 for the two
    segments keep them apart; with 1 for both, spans may cross, as in google-research/albert.
    wanted (B,): how many pieces to cover in each row.
    """
    B, T = segment.shape
    sizes = span_sizes(u[:, T:], ngram)
    covered = np.zeros((B, T), bool)
    for row in range(B):
        at = np.flatnonzero(segment[row])  # the pieces that may be covered
        kind = segment[row, at]
        begins = starts[row, at]  # a copy
        begins[:1] = True
        begins[1:] |= kind[1:] != kind[:-1]
        words = np.flatnonzero(begins)  # which of them begin a word
        limit = np.searchsorted(kind[words], kind[words], side="right")  # the end of its segment
        hit = cover(
            [*words.tolist(), len(at)],
            limit.tolist(),
            np.argsort(u[row, : len(words)]).tolist(),
            sizes[row].tolist(),
            int(wanted[row]),
        )
        covered[row, at] = np.frombuffer(hit, bool)
    return covered


def apply_masks(u, input_ids, covered, mask_id, random_ids):
    """Hide the covered pieces: (input_ids, labels), both (B, T).

    u (B, 2 T): uniform numbers.  random_ids (low, high): the range that random pieces are drawn
    from.
    """
    T = input_ids.shape[1]
    labels = np.where(covered, input_ids, IGNORE)
    random = integers(u[:, T:], *random_ids).astype(input_ids.dtype)
    hidden = np.where(
        u[:, :T] < MASKED, mask_id, np.where(u[:, :T] < MASKED + KEPT, input_ids, random)
    )
    return np.where(covered, hidden, input_ids).astype(input_ids.dtype), labels.astype(np.int32)
