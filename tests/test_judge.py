"""Wrong answers to the lessons' exercises: what the judge says of each, and how many it can name."""

import math
import re

import lesson_trials
import numpy as np
import pytest
import wrong_answers

NUMBERS = [path.stem[:2] for path in sorted(lesson_trials.LESSONS.glob("[0-9]*.py"))]
on_the_cpu = pytest.mark.skipif("config.getoption('--backend') != 'numpy'", reason="answers are NumPy, whatever the device")
pytestmark = on_the_cpu
# what names no mistake: how far off the result is, or for which arguments it is right
UNNAMED = re.compile(r"(right for .*: )?(largest error|it gave [-\d]|for .* it gave|nearly right)")


def said_of_all(number):
    """[(exercise, answer, what the judge must say, what it says)] of one lesson's rows."""
    names = {"np": np, "math": math, "t": lesson_trials.exercises(number)[2].get("tokenizer")}
    return [(exercise, source, expected, lesson_trials.verdict(number, exercise, wrong_answers.answer(source, names)))
            for n, exercise, source, expected in wrong_answers.TABLE if n == number]


def check(number):
    rows = said_of_all(number)
    for exercise, source, expected, said in rows:
        assert said is not None, f"{exercise}: {source} is taken for right"
        assert expected in said, f"{exercise}: {source}: {said}"
        assert "Traceback" not in said
    found, solutions, _ = lesson_trials.exercises(number)
    for exercise in found:
        assert lesson_trials.verdict(number, exercise, getattr(solutions, exercise)) is None
        for what, mistake in solutions.MISTAKES[exercise].items():
            assert lesson_trials.verdict(number, exercise, mistake) == what
    return sum(not UNNAMED.match(said) for *_, said in rows), len(rows)


def test_wrong_answers_of_one_lesson():
    """The others take a while: python3 scripts/test.py --all."""
    named, rows = check("05")
    assert rows >= 15 and named >= 0.8 * rows


def test_typical_mistakes_and_answers_of_every_lesson(capsys):
    counts = {number: check(number) for number in NUMBERS}
    named, rows = (sum(c[i] for c in counts.values()) for i in (0, 1))
    with capsys.disabled():
        print(f"\nwrong answers: {named} of {rows} named ({named / rows:.0%}); by lesson:",
              ", ".join(f"{number} {n}/{r}" for number, (n, r) in counts.items()))
    assert rows >= 150 and named >= 0.8 * rows


def test_every_exercise_has_wrong_answers():
    for number in NUMBERS:
        path, = lesson_trials.LESSONS.glob(f"{number}_*.py")
        tried = [exercise for n, exercise, *_ in wrong_answers.TABLE if n == number]
        assert all(tried.count(name) >= 3 for name in lesson_trials.names(path)), number
