"""The lessons' own judge: does lessons/_check.py find what it should, and say what it is?"""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import normal, seeds, shapes

PATH = Path(__file__).resolve().parent.parent / "lessons" / "_check.py"


@pytest.fixture(scope="module")
def check():
    """The module, as a lesson without solutions would import it."""
    patch = pytest.MonkeyPatch()
    patch.setattr(sys, "argv", ["99_no_such_lesson.py"])
    spec = importlib.util.spec_from_file_location("lessons_check", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    patch.undo()


def double(x):
    return 2 * x


TRIALS = [(np.array([[1.0, 2.0], [3.0, 5.0]]),)]


@pytest.mark.parametrize("attempt, said", [
    (lambda x: x, "right up to a factor of 0.5"),
    (lambda x: -2 * x, "right up to a factor of -1"),
    (lambda x: 2 * x + 3, "right up to a constant: every value is +3 off"),
    (lambda x: 2 * x.T, "transposed: right after swapping the last two axes"),
    (lambda x: (2 * x).ravel(), "shape (4,), expected (2, 2); the numbers are right: transposed or reshaped"),
    (lambda x: 2 * x[:1], "shape (1, 2), expected (2, 2)"),
    (lambda x: x / 0, "4 values are not finite"),
    (lambda x: 2 * x + [[0, 0], [0.5, 0]], "largest error 0.5, at index (1, 0)"),
    (lambda x: "ten", "it returned a str, expected numbers of shape (2, 2)"),
    (lambda x: x.nothing, "it stopped with AttributeError: 'numpy.ndarray' object has no attribute 'nothing'"),
])
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_a_wrong_answer_is_named(check, attempt, said):
    assert check.diagnose("double", attempt, double, TRIALS) == said


@given(shape=shapes(), seed=seeds)
def test_a_right_answer_is_right_and_a_wrong_one_wrong(check, shape, seed):
    x = normal(np.random.default_rng(seed), shape)
    assert check.diagnose("double", lambda x: x + x, double, [(x,)]) is None
    assume(x.size and np.abs(x).max() > 1e-3)
    assert check.diagnose("double", lambda x: 2.001 * x, double, [(x,)]) is not None


def test_an_answer_that_changes_its_arguments_spoils_nothing(check):
    def greedy(x):
        x *= 2
        return x
    assert check.diagnose("double", greedy, double, TRIALS) is None and TRIALS[0][0][0, 0] == 1


def test_answers_that_are_no_numbers(check):
    assert check.diagnose("pair", lambda n: (n, n), lambda n: (n, n), [(2,)]) is None
    assert check.diagnose("pair", lambda n: (n, 0), lambda n: (n, n), [(2,)]) == "for (2,) it gave (2, 0), expected (2, 2)"


@given(at=st.integers(0, 5), by=st.floats(1e-6, 1.0))
def test_same_refuses_what_is_not_the_same(check, at, by):
    library = np.linspace(-1, 1, 6)
    wrong = library.copy()
    wrong[at] += by
    before = check.tally["same"]
    with pytest.raises(AssertionError, match="the thing"):
        check.same(wrong, library, "the thing")
    with pytest.raises(AssertionError):
        check.same(library[:, None], library, "another shape")
    check.same(library, library, "the thing")
    assert check.tally["same"] == before + 1


def test_an_exercise_is_open_right_or_wrong(check, capsys):
    def judged(stub):
        return check.exercise(double, TRIALS, "twice")(stub)

    def right(x):
        return x * 2

    def untouched(x):
        ...

    def wrong(x):
        return x
    assert judged(right) is right and judged(untouched) is double and judged(wrong) is double
    assert [line[0] for line in capsys.readouterr().out.splitlines()] == ["+", "-", "x"]
    with pytest.raises(SystemExit) as end:       # one is wrong
        check.finish()
    assert end.value.code == 1 and "1 right, 1 open, 1 wrong" in capsys.readouterr().out


@pytest.mark.parametrize("guess, said", [(None, "no guess yet"), (0.5, "you said  0.50")])
def test_a_guess_stands_beside_what_is_true(check, capsys, guess, said):
    check.predict("How much?", guess=guess).reveal(0.25, "{:.2f}")
    out = capsys.readouterr().out
    assert "?  How much?" in out and said in out and "it is     0.25" in out
