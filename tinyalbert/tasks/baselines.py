"""What twenty lines of scikit-learn say: a score means something beside theirs.

TF-IDF of words and of pairs of neighbouring words, with logistic regression for labels and ridge
regression for numbers.  Of two texts, each one's words count apart, beside how much they share.
"""

import importlib.util
from math import sqrt

import numpy as np

from .metrics import words

MOST_ROWS = 50_000  # more would take longer than the model


def has_sklearn():
    """Whether scikit-learn is there; pip install 'tinyalbert[baselines]' brings it."""
    return importlib.util.find_spec("sklearn") is not None


def said_by_logistic_regression(train, targets, rows):
    """What logistic regression says of rows.

    train, rows: tables.Row.  targets: label ids (N,), or which labels a row has, (N, L) of 0 and 1.

    Returns label ids (M,), or 0 and 1 (M, L).
    """
    from sklearn.dummy import DummyClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier

    targets = np.asarray(targets)[:MOST_ROWS]
    seen, unseen = features(train[:MOST_ROWS], rows)
    if targets.ndim == 1 and len(np.unique(targets)) < 2:
        model = DummyClassifier(strategy="most_frequent")
    else:
        model = OneVsRestClassifier(LogisticRegression(C=10.0, solver="liblinear"))
    if targets.ndim == 1:
        return model.fit(seen, targets).predict(unseen)
    said = np.zeros((len(rows), targets.shape[1]), dtype=int)
    for label, column in enumerate(
        targets.T
    ):  # a label that all rows have, or none, needs no model
        constant = column.min() == column.max()
        said[:, label] = column[0] if constant else model.fit(seen, column).predict(unseen)
    return said


def said_by_ridge_regression(train, targets, rows):
    """The numbers (M,) that ridge regression says of rows; targets (N,)."""
    from sklearn.linear_model import Ridge

    seen, unseen = features(train[:MOST_ROWS], rows)
    return Ridge(alpha=1.0, solver="lsqr").fit(seen, targets[:MOST_ROWS]).predict(unseen)


def features(train, rows):
    """(N, F) and (M, F) sparse features of training rows and of others, fitted to the first."""
    from scipy.sparse import csr_matrix, hstack
    from sklearn.feature_extraction.text import TfidfVectorizer

    paired = any(row.pair is not None for row in train)
    texts = [[row.text for row in part] for part in (train, rows)]
    pairs = [[row.pair or "" for row in part] for part in (train, rows)]
    vectorizer = TfidfVectorizer(
        analyzer=lambda text: [*words(text), *map(" ".join, neighbours(words(text)))]
    )
    known = texts[0] + (pairs[0] if paired else [])
    # the library refuses texts of which none has a word, such as emoji: then all rows are alike
    vectorizer.fit(known if any(map(words, known)) else ["word"])
    parts = [[vectorizer.transform(each)] for each in texts]
    if paired:
        for part, first, second in zip(parts, texts, pairs):
            other = vectorizer.transform(second)
            cosine = np.asarray(part[0].multiply(other).sum(axis=1))  # both have length 1
            shared = [overlap(words(a), words(b)) for a, b in zip(first, second)]
            part += [other, csr_matrix(np.hstack([cosine, shared]))]
    return tuple(hstack(part).tocsr() for part in parts)


def neighbours(items):
    """Pairs of neighbours."""
    return list(zip(items, items[1:]))


def overlap(first, second):
    """How much two lists of words share: numbers from 0 to 1, and the difference in length."""
    numbers = []
    for a, b in ((first, second), (neighbours(first), neighbours(second))):
        a, b = set(a), set(b)
        both = len(a & b)
        numbers += [both / max(len(a), 1), both / max(len(b), 1), both / max(len(a | b), 1)]
    longest = max(len(first), len(second), 1)
    return [*numbers, sqrt(abs(len(first) - len(second)) / longest), float(first == second)]
