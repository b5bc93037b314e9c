"""Answers to lesson 14, their hints, and typical wrong answers."""


from tinyalbert.tasks.metrics import classification_metrics


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


def _plain_mean(gold, said):
    return (_precision(gold, said) + _precision(said, gold)) / 2


# what an answer is compared with, where it is not the function above
REFERENCES = {
    "f1_score": lambda gold, said: classification_metrics(gold, said, 2)["f1"],
}

HINTS = {
    "padding_share": "a batch is as wide as its longest sequence; which share of its positions is empty?",
    "f1_score": "precision: the share of predicted 1s that are 1; recall: the share of true 1s that were found; F1 = 2 · precision · recall / (precision + recall)",
    "label_list": "each label once, in an order that does not depend on the order of the rows",
}

MISTAKES = {
    "padding_share": {
        "this is the share that is filled": lambda lengths: float(lengths.sum() / (lengths.max() * len(lengths))),
        "this is the number of padded positions, not their share": lambda lengths: float((lengths.max() - lengths).sum()),
    },
    "f1_score": {
        "this is the accuracy": lambda gold, said: float((gold == said).mean()),
        "this is the recall alone": lambda gold, said: float(((gold == 1) & (said == 1)).sum() / (gold == 1).sum()),
        "the plain mean of precision and recall; F1 is their harmonic mean": _plain_mean,
        "this is the precision alone": _precision,
    },
    "label_list": {
        "in the order of the rows: another table would number them differently": lambda labels: list(dict.fromkeys(labels)),
        "each label should appear once": lambda labels: sorted(labels),
    },
}
