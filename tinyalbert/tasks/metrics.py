"""Scores of classifiers and regressors, each from its definition, and their two baselines."""

import re

import numpy as np


def confusion_table(gold, predicted, num_labels):
    """(num_labels, num_labels) counts: row = right label, column = predicted label."""
    table = np.zeros((num_labels, num_labels), dtype=np.int64)
    np.add.at(table, (np.asarray(gold), np.asarray(predicted)), 1)
    return table


def _ratio(a, b):
    return np.divide(a, b, out=np.zeros(np.shape(a)), where=np.asarray(b) != 0)


def precision_recall_f1(table):
    """(L,) each, 0 where undefined, from counts [right?, said?] of each label, (L, 2, 2)."""
    hits, wrong, missed = table[:, 1, 1], table[:, 0, 1], table[:, 1, 0]
    return (
        _ratio(hits, hits + wrong),
        _ratio(hits, hits + missed),
        _ratio(2 * hits, 2 * hits + wrong + missed),
    )


def multi_label_metrics(gold, predicted):
    """Scores of several labels for each example; gold, predicted (N, L) of 0 and 1.

    {"micro_f1": of all decisions together, "macro_f1": mean over the labels, "subset_accuracy":
    share of examples with all labels right}; a label that nobody has and nobody says counts 0, as
    in scikit-learn with zero_division=0.
    """
    gold, predicted = np.asarray(gold, bool), np.asarray(predicted, bool)
    table = decisions_table(gold, predicted)
    return {
        "micro_f1": float(precision_recall_f1(table.sum(axis=0, keepdims=True))[2][0]),
        "macro_f1": float(precision_recall_f1(table)[2].mean()),
        "subset_accuracy": float((gold == predicted).all(axis=1).mean()),
    }


def decisions_table(gold, predicted):
    """(L, 2, 2) counts [right?, said?] of each label, from (N, L) of 0 and 1."""
    gold, predicted = np.asarray(gold, bool), np.asarray(predicted, bool)
    counts = [
        [(right & said).sum(axis=0) for said in (~predicted, predicted)] for right in (~gold, gold)
    ]
    return np.moveaxis(np.array(counts), -1, 0)


def classification_metrics(gold, predicted, num_labels, binary=None):
    """Scores of predicted labels: accuracy, F1, macro F1 and Matthews' correlation.

    {"accuracy", "macro_f1", "matthews_corrcoef" (0 where it is undefined)}; for two labels also
    "f1", that of label 1.  binary: whether there are two, if not `num_labels` says it.
    """
    table = confusion_table(gold, predicted, num_labels).astype(np.float64)
    hits, right, said = np.diag(table), table.sum(axis=1), table.sum(axis=0)
    f1 = _ratio(2 * hits, right + said)
    total = table.sum()
    # Gorodkin 2004: Matthews' correlation for any number of labels
    covariance = hits.sum() * total - (right * said).sum()
    spread = np.sqrt((total**2 - (said**2).sum()) * (total**2 - (right**2).sum()))
    metrics = {
        "accuracy": float(hits.sum() / max(total, 1)),
        "macro_f1": float(f1[(right + said) > 0].mean()),
        "matthews_corrcoef": float(covariance / spread) if spread else 0.0,
    }
    if binary or (binary is None and num_labels == 2):
        metrics["f1"] = float(f1[1])
    return metrics


def _ranks(x):
    """Ranks from 0, equal values sharing the mean of their ranks."""
    _, where, counts = np.unique(x, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return ((ends - counts + ends - 1) / 2)[where]


def pearson(x, y):
    """Correlation of two series; 0 if one of them is constant."""
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    x, y = x - x.mean(), y - y.mean()
    spread = np.sqrt((x * x).sum() * (y * y).sum())
    return float((x * y).sum() / spread) if spread else 0.0


def regression_metrics(gold, predicted):
    """pearson, spearman (Pearson's of the ranks) and mse."""
    gold, predicted = np.asarray(gold, np.float64), np.asarray(predicted, np.float64)
    return {
        "pearson": pearson(gold, predicted),
        "spearman": pearson(_ranks(gold), _ranks(predicted)),
        "mse": float(((gold - predicted) ** 2).mean()),
    }


def majority_baseline(train_labels, gold):
    """Accuracy of always saying the commonest training label."""
    return float((np.asarray(gold) == np.bincount(np.asarray(train_labels)).argmax()).mean())


def words(text):
    """Lower-cased words and single marks: what a bag of words sees."""
    return re.findall(r"\w+|[^\w\s]", text.lower())


def bag_of_words_baseline(train_texts, train_labels, texts, num_labels):
    """Labels for `texts` from multinomial naive Bayes on word counts, add-one smoothed.

    Needs no library; logistic regression on TF-IDF (baselines.py) says more.
    """
    vocabulary = {w: i for i, w in enumerate(sorted({w for t in train_texts for w in words(t)}))}
    counts = np.ones((num_labels, max(len(vocabulary), 1)))
    prior = np.ones(num_labels)
    for text, label in zip(train_texts, train_labels):
        prior[label] += 1
        for w in words(text):
            counts[label, vocabulary[w]] += 1
    logp = np.log(counts / counts.sum(axis=1, keepdims=True))
    scores = [
        np.log(prior) + logp[:, [vocabulary[w] for w in words(t) if w in vocabulary]].sum(axis=1)
        for t in texts
    ]
    return np.argmax(np.asarray(scores).reshape(-1, num_labels), axis=1)


def retrieval_metrics(pairs, first, second, block=256):
    """How well the second text of each pair is found by its first, among all second texts.

    pairs: [(first, second), ...]; a text that is the first of several pairs has several answers.
    first, second: their vectors (N, H), arrays or sparse matrices; the dot product ranks.

    Returns {"mrr", "map", "accuracy@1"}: the mean reciprocal rank of the best answer, the mean
    average precision, the share whose best answer comes first.  Of equal products the wrong answer
    comes first.  A question that is an answer too is not looked for by itself.
    """
    questions = {text: i for i, (text, _) in reversed(list(enumerate(pairs)))}
    answers = {text: i for i, (_, text) in reversed(list(enumerate(pairs)))}
    column = {text: place for place, text in enumerate(answers)}
    right = {text: set() for text in questions}
    for text, answer in pairs:
        right[text].add(column[answer])
    texts, rows = list(questions), list(questions.values())
    answers = second[list(answers.values())].T
    reciprocal, precision, best = [], [], 0
    for start in range(0, len(rows), block):
        products = first[rows[start : start + block]] @ answers  # (block, answers)
        products = products.toarray() if hasattr(products, "toarray") else products
        for text, row in zip(texts[start:], products):
            if text in column and column[text] not in right[text]:
                row[column[text]] = -np.inf
            hits = row[list(right[text])]
            ranks = (row >= hits[:, None]).sum(axis=1)  # from 1
            found = (hits >= hits[:, None]).sum(axis=1)
            reciprocal.append(1 / ranks.min())
            precision.append((found / ranks).mean())
            best += ranks.min() == 1
    return {
        "mrr": float(np.mean(reciprocal)),
        "map": float(np.mean(precision)),
        "accuracy@1": float(best / len(texts)),
    }
