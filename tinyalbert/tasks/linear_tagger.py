"""A linear tagger: logistic regression on words, their shapes and neighbours; a strong baseline.

Tags are chosen together, so that an entity goes on only where one of its type has begun.  Needs
scikit-learn: the extra `baselines`.
"""

import re

import numpy as np

MOST_WORDS = 200_000  # more would take longer than the model


def tags_by_linear_tagger(train, held_out):
    """A list of tags for each of `held_out`, lists of words; train: [(words, tags), ...]."""
    from sklearn.feature_extraction import DictVectorizer
    from sklearn.linear_model import SGDClassifier

    features, targets = [], []
    for words, tags in train:
        features += word_features(words)
        targets += tags
        if len(targets) > MOST_WORDS:
            break
    kinds = sorted(set(targets))
    if len(kinds) < 2:
        return [kinds * len(words) for words in held_out]
    vectorizer = DictVectorizer()
    model = SGDClassifier(loss="log_loss", alpha=3e-6, random_state=0)
    model.fit(_narrow(vectorizer.fit_transform(features)), targets)
    others = [each for words in held_out for each in word_features(words)]
    shares = model.predict_proba(_narrow(vectorizer.transform(others)))  # (words, tags)
    scores = np.log(np.maximum(shares, 1e-30))
    ends = np.cumsum([len(words) for words in held_out])[:-1]
    return [best_tags(part, list(model.classes_)) for part in np.split(scores, ends)]


def _narrow(matrix):
    """A sparse matrix with the 32-bit numbers of columns that scikit-learn's solvers take."""
    matrix.indices = matrix.indices.astype(np.int32)
    matrix.indptr = matrix.indptr.astype(np.int32)
    return matrix


def word_features(words):
    """[{feature: value}] of the words of a sentence."""
    around = ["<s>", "<s>", *words, "</s>", "</s>"]
    lower = [word.lower() for word in around]
    shapes = [shape(word) for word in around]
    features = []
    for i in range(2, len(around) - 2):
        word = lower[i]
        named = {f"word {k}": lower[i + k] for k in (-2, -1, 0, 1, 2)}
        named |= {f"shape {k}": shapes[i + k] for k in (-1, 0, 1)}
        named |= {f"start {n}": word[:n] for n in (2, 3)}
        named |= {f"end {n}": word[-n:] for n in (2, 3, 4)}
        named |= {"both": f"{lower[i - 1]} {word}", "length": str(min(len(word), 9))}
        features.append(named)
    return features


def shape(word):
    """How a word is written: McDonald's -> XxX'x, 2,000 -> 0,0."""
    kinds = "".join("X" if c.isupper() else "x" if c.isalpha() else c for c in word)
    return re.sub(r"(.)\1+", r"\1", re.sub(r"\d", "0", kinds))


def best_tags(scores, tags):
    """The likeliest tags of a sentence in which I-X follows B-X or I-X: scores (words, tags).

    The best path by dynamic programming (Viterbi 1967), without scores of its own for transitions.
    """
    if not len(scores):
        return []
    allowed = np.array([[may_follow(tag, before) for tag in tags] for before in tags])
    steps = np.where(allowed, 0.0, -1e9)  # (before, tag)
    path = scores[0] + np.where([may_follow(tag, "O") for tag in tags], 0.0, -1e9)
    comes_from = []
    for each in scores[1:]:
        ways = path[:, None] + steps
        comes_from.append(ways.argmax(axis=0))
        path = ways.max(axis=0) + each
    places = [int(path.argmax())]
    for back in reversed(comes_from):
        places.append(int(back[places[-1]]))
    return [tags[place] for place in reversed(places)]


def may_follow(tag, before):
    """Whether a tag in IOB2 may stand behind another."""
    return not tag.startswith("I-") or before in (tag, f"B-{tag[2:]}")
