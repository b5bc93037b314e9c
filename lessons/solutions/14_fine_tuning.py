"""Answers to lesson 14, and typical wrong answers."""


def padding_share(lengths):
    return float(1 - lengths.sum() / (lengths.max() * len(lengths)))


def f1_score(gold, said):
    hits = ((gold == 1) & (said == 1)).sum()
    precision, recall = hits / (said == 1).sum(), hits / (gold == 1).sum()
    return float(2 * precision * recall / (precision + recall))


def label_list(labels):
    return sorted(set(labels))


def _precision(gold, said):
    return float(((gold == 1) & (said == 1)).sum() / (said == 1).sum())


MISTAKES = {
    "padding_share": {
        "this is the share that is filled": lambda lengths: float(lengths.sum() / (lengths.max() * len(lengths))),
        "this is the number of padded positions, not their share": lambda lengths: float((lengths.max() - lengths).sum()),
    },
    "f1_score": {
        "this is the accuracy": lambda gold, said: float((gold == said).mean()),
        "this is the precision alone": _precision,
    },
    "label_list": {
        "in the order of the rows: another table would number them differently": lambda labels: list(dict.fromkeys(labels)),
        "each label should appear once": lambda labels: sorted(labels),
    },
}
