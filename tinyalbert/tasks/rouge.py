"""ROUGE (Lin 2004), and the sentences of a document that come closest to a summary by it.

The scores are those of the library rouge-score, with stemming.  ROUGE-L takes a summary as one
text; ROUGE-Lsum sentence by sentence, which is what most papers call ROUGE-L.
"""

from ..errors import UserError
from .metrics import words

NAMES = ("rouge1", "rouge2", "rougeL", "rougeLsum")


def rouge_scorer():
    """A function (reference sentences, predicted sentences) -> {name: F1}."""
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError:
        raise UserError(
            "summaries are scored by the library rouge-score, which is not installed; "
            "pip install 'tinyalbert[summary]'"
        ) from None
    scorer = RougeScorer(list(NAMES), use_stemmer=True)

    def score(reference, predicted):
        scores = scorer.score("\n".join(reference), "\n".join(predicted))
        return {name: float(scores[name].fmeasure) for name in NAMES}

    return score


def ngrams(tokens, n):
    """The different n-grams of a list of words."""
    return set(zip(*(tokens[i:] for i in range(n))))


def greedy_oracle(sentences, summary):
    """Numbers of the sentences that a perfect choice would take, in the order of their choice.

    One sentence after the other, always the one that raises the sum of the F1 of different words
    and of pairs of neighbouring words most, until none does (Nallapati et al. 2017, §2.1; Liu &
    Lapata 2019).
    """
    wanted = [_grams([words(sentence) for sentence in summary], n) for n in (1, 2)]
    offered = [[ngrams(words(sentence), n) for n in (1, 2)] for sentence in sentences]
    chosen, had, best = [], [set(), set()], 0.0
    while len(chosen) < len(sentences):
        gains = [
            (sum(_f1(old | new, want) for old, new, want in zip(had, grams, wanted)), -i)
            for i, grams in enumerate(offered)
            if i not in chosen
        ]
        value, place = max(gains)
        if value <= best:
            break
        best = value
        chosen.append(-place)
        had = [old | new for old, new in zip(had, offered[-place])]
    return chosen


def _grams(sentences, n):
    """The different n-grams of several sentences, none across two of them."""
    return set().union(*(ngrams(tokens, n) for tokens in sentences))


def _f1(found, wanted):
    return 2 * len(found & wanted) / (len(found) + len(wanted)) if wanted or found else 0.0
