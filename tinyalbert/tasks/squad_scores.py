"""Exact match and F1 of answers, by the rules of SQuAD's evaluation scripts, in percent.

Rajpurkar et al. 2016 (1.1) and 2018 (2.0).  Two answers are compared without case, ASCII
punctuation, articles and the number of spaces between words; the best of the right answers counts.
"""

import collections
import re
import string

from ..text.sentences import split_sentences

ARTICLES = re.compile(r"\b(a|an|the)\b")
NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalized(text):
    """An answer as it is compared with others."""
    text = text.lower().translate(NO_PUNCTUATION)
    return " ".join(ARTICLES.sub(" ", text).split())


def exact(right, said):
    """1 if the answers are the same, else 0."""
    return int(normalized(right) == normalized(said))


def f1(right, said):
    """The harmonic mean of precision and recall over words, with repetition.

    If one of them has no words, it is 1 if both have none.
    """
    right, said = normalized(right).split(), normalized(said).split()
    if not right or not said:
        return int(right == said)
    common = (collections.Counter(right) & collections.Counter(said)).total()
    return 2 * common / (len(right) + len(said))


def best_of(measure, answers, said):
    """The highest value of `measure` over the right answers; none is right: [""]."""
    right = [answer for answer in answers if normalized(answer)] or [""]
    return max(measure(answer, said) for answer in right)


def scores(answers, texts, odds, threshold):
    """{metric: value} over questions.

    answers: the right answers of each question, [] if it has none.  texts: the best answer that is
    not empty.  odds: that there is no answer.  threshold: at higher odds the empty answer is given;
    None: never.

    Returns exact, f1 and, if some questions have no answer, those of both kinds apart (HasAns_,
    NoAns_), how often no answer was given, and beside the threshold that was asked for the best
    one on these very questions (best_exact, best_f1).
    """
    said = [
        "" if threshold is not None and odd > threshold else text for text, odd in zip(texts, odds)
    ]
    result = {}
    groups = {"": range(len(answers))}
    if not all(answers):
        groups["HasAns_"] = [i for i, right in enumerate(answers) if right]
        groups["NoAns_"] = [i for i, right in enumerate(answers) if not right]
    for prefix, places in groups.items():
        for measure in (exact, f1):
            values = [best_of(measure, answers[i], said[i]) for i in places]
            if values:
                result[prefix + measure.__name__] = _percent(values)
    if not all(answers):
        result["empty_answers"] = _percent([not text for text in said])
        for measure in (exact, f1):
            values = [best_of(measure, *pair) for pair in zip(answers, texts)]
            best, at = best_threshold(answers, texts, values, odds)
            result[f"best_{measure.__name__}"] = best
            result[f"best_{measure.__name__}_thresh"] = at
    return result


def _percent(values):
    return 100.0 * sum(values) / len(values)


def best_threshold(answers, texts, values, odds):
    """(score in percent, threshold) with the threshold that is best on these questions.

    The script for 2.0 has it so: it begins with no answer to any question and turns to the answers
    in the order of the odds.  values: the scores of `texts`.
    """
    total = best = sum(not right for right in answers)
    threshold = 0.0
    for i in sorted(range(len(odds)), key=lambda i: odds[i]):
        if answers[i]:
            total += values[i]
        elif texts[i]:
            total -= 1
        if total > best:
            best, threshold = total, odds[i]
    return 100.0 * best / len(answers), threshold


# --- what can be said without a model -------------------------------------------------------------

FUNCTION_WORDS = set(
    """
    a about after all also an and are as at be been before being between both but by can could did
    do does during each for from had has have he her his how if in into is it its many more most
    much no not of on one or other over she so some such than that the their them then there these
    they this those through to under up was were what when where which while who whom whose why
    will with would""".split()
)
WORD = re.compile(r"\w+")


def lexical_answer(question, context):
    """An answer by counting words: of the sentence that shares most words with the question, the
    longest stretch of words that are not in the question.

    A word counts the more the fewer sentences have it.
    """
    asked = set(WORD.findall(question.lower())) - FUNCTION_WORDS
    sentences = list(split_sentences(context)) or [context]
    words = [set(WORD.findall(sentence.lower())) for sentence in sentences]
    rarity = {word: 1 / (1 + sum(word in each for each in words)) for word in asked}
    best = max(range(len(sentences)), key=lambda i: sum(rarity[word] for word in asked & words[i]))
    return _longest_stretch(sentences[best], asked)


def _longest_stretch(sentence, asked):
    """The longest run of words that are neither asked for nor function words."""
    best, run = (0, 0, 0), None
    for match in WORD.finditer(sentence):
        if match.group().lower() in asked | FUNCTION_WORDS:
            run = None
            continue
        run = (run[0] + 1, run[1], match.end()) if run else (1, match.start(), match.end())
        best = max(best, run, key=lambda each: each[0])
    return sentence[best[1] : best[2]]
