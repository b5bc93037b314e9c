"""The lessons' own judge: does lessons/_check.py find what it should, and say what it is?"""

import importlib.util
import json
import os
import re
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from strategies import normal, seeds, shapes

on_the_cpu = pytest.mark.skipif("config.getoption('--backend') != 'numpy'", reason="a process of its own, on the CPU")
PATH = Path(__file__).resolve().parent.parent / "lessons" / "_check.py"


@pytest.fixture
def check(monkeypatch):
    """The module, as a lesson without a file would import it; its solutions are those of `double`."""
    monkeypatch.setattr(sys, "argv", ["99_no_such_lesson.py"])
    monkeypatch.delenv("TINYALBERT_ANSWERS", raising=False)
    monkeypatch.syspath_prepend(str(PATH.parent))
    spec = importlib.util.spec_from_file_location("lessons_check", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    solutions = types.SimpleNamespace(REFERENCES={}, HINTS=HINTS, MISTAKES={}, double=double, __file__=__file__)
    monkeypatch.setattr(module, "_solutions", lambda: solutions)
    return module


HINTS = {"double": "twice"}


def double(x):
    return 2 * x


TRIALS = [(np.array([[1.0, 2.0], [3.0, 5.0]]),)]


@pytest.mark.parametrize("attempt, said", [
    (lambda x: x, "right up to a factor of 0.5"),
    (lambda x: -2 * x, "right up to a factor of -1: the sign is flipped"),
    (lambda x: None, "it returned nothing (None): the last line must begin with `return`; printing the result is not enough"),
    (lambda x: ..., "it returned `...`: the dots stand for what you should write"),
    (lambda x: x.sum, "it returned a function, not its result: the brackets () of a call are missing"),
    (lambda x: (2 * x,), "the numbers are right, but inside a tuple of one: a comma or brackets too many"),
    (lambda x: map(float, x), "it returned a map, which has no values yet; put list(...) around it"),
    (lambda x, y: x, "it stopped with TypeError: <lambda>() missing 1 required positional argument: 'y'; it is called with 1 argument: x"),
    (lambda x: exit(), "it stopped with SystemExit: None, in line N"),
    (lambda x: 2 * x + 3, "right up to a constant: every value is +3 off"),
    (lambda x: 2 * x.T, "x is transposed"),
    (lambda x: (2 * x).ravel(), "shape (4,), expected (2, 2); the numbers are right: transposed or reshaped"),
    (lambda x: 2 * x[:1], "shape (1, 2), expected (2, 2)"),
    (lambda x: x / 0, "4 values are not finite: a division by zero, or a number that overflowed"),
    (lambda x: 2 * x + [[0, 0], [0.5, 0]], "row 0 of the result is right, 1 is not: largest error 0.5, at index (1, 0); right at 3 of 4 places"),
    (lambda x: "ten", "it returned a str, expected numbers of shape (2, 2)"),
    (lambda x: x.nothing, "it stopped with AttributeError: 'numpy.ndarray' object has no attribute 'nothing', in line N"),
])
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_a_wrong_answer_is_named(check, attempt, said):
    found = re.sub(r"in line \d+.*", "in line N", check._judge.diagnose(attempt, double, TRIALS))
    assert found.startswith(said)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shape=shapes(), seed=seeds)
def test_a_right_answer_is_right_and_a_wrong_one_wrong(check, shape, seed):
    x = normal(np.random.default_rng(seed), shape)
    assert check._judge.diagnose(lambda x: x + x, double, [(x,)]) is None
    assume(x.size and np.abs(x).max() > 1e-3)
    assert check._judge.diagnose(lambda x: 2.001 * x, double, [(x,)]) is not None


def test_an_answer_that_changes_its_arguments_spoils_nothing(check):
    def greedy(x):
        x *= 2
        return x
    assert check._judge.diagnose(greedy, double, TRIALS) is None and TRIALS[0][0][0, 0] == 1


def test_answers_that_are_no_numbers(check):
    def said(attempt, reference, *trials):
        return check._judge.diagnose(attempt, reference, trials)
    assert said(lambda n: (n, n), lambda n: (n, n), (2,)) is None
    assert said(lambda n: [n, n], lambda n: (n, n), (2,)) is None            # the contents count
    assert said(lambda n: "x y", lambda n: "x  y", (2,)).startswith("only the spaces are wrong")
    assert said(lambda n: {2, 1}, lambda n: [1, 2], (2,)).startswith("a set has no order")
    assert said(lambda n: [2, 1], lambda n: [1, 2, 3], (2,)).startswith("something is missing")
    assert said(lambda n: "a", lambda n: ["a", "b"], (2,)).startswith("it returned a str, expected a list")


def test_an_answer_that_does_not_end_is_ended(check):
    def forever(x):
        while True:
            pass
    assert "does its loop ever end?" in str(check._judge.call(forever, TRIALS[0], seconds=0.02).error)


def test_what_is_still_to_be_written_is_open(check):
    def dots(x):
        """Twice x."""
        ...

    def constant(x):
        """Twice x."""
        return 5
    assert check._judge.untouched(dots) and check._judge.untouched(lambda x: None)
    assert not check._judge.untouched(constant) and not check._judge.untouched(print) and not check._judge.untouched(double)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 5), by=st.floats(1e-6, 1.0))
def test_same_refuses_what_is_not_the_same(check, at, by):
    library = np.linspace(-1, 1, 6)
    wrong = library.copy()
    wrong[at] += by
    with pytest.raises(AssertionError, match="the thing"):
        check.same(wrong, library, "the thing")
    with pytest.raises(AssertionError):
        check.same(library[:, None], library, "another shape")
    check.same(library, library, "the thing")
    assert check.state.equal == {}               # there is no lesson in which the library is the other side


def judged(check, source):
    scope = {}
    exec(source, scope)
    return check.exercise(TRIALS)(scope["double"])


def test_an_exercise_is_open_right_or_wrong_and_a_second_try_replaces_the_first(check, capsys):
    said = []
    for source in ("def double(x): ...", "def double(x): return x", "def double(x): return 2 * x"):
        used = judged(check, source)
        assert (used(np.ones(2)) == 2).all()     # the lesson goes on with what is right
        said.append(check.state.verdicts["double"].outcome)
    assert said == ["open", "wrong", "right"] and capsys.readouterr().out == ""
    check.finish()
    assert "+  exercise double: right, on 1 trial" in capsys.readouterr().out
    judged(check, "def double(x): return x")
    with pytest.raises(SystemExit) as end:
        check.finish()
    out = capsys.readouterr().out
    assert end.value.code == 1 and "x  exercise double: a factor is missing: `2`\n      Hint: twice" in out and "0 open, 1 wrong" in out


def test_an_answer_that_fails_in_the_lesson_is_wrong_and_does_not_stop_it(check, capsys):
    used = judged(check, "def double(x): return 2 * x if x.shape == (2, 2) else 1 / 0")
    assert (used(np.ones(3)) == 2).all()
    with pytest.raises(SystemExit):
        check.finish()
    assert "right on the trials, but in the lesson it stopped with ZeroDivisionError" in capsys.readouterr().out


@pytest.mark.parametrize("guess, said", [(None, "kept back until you guess"), (..., "kept back until you guess"), (0.5, "you said  0.50"),
                                         ("a quarter", "you said  a quarter"), ("", "you said"), ((1, 2), "you said  (1, 2)"), ({}, "you said  {}")])
def test_the_answer_is_kept_back_until_there_is_a_guess(check, capsys, guess, said):
    check.predict("How much?", guess=guess).reveal(0.25, "{:.2f}")
    out = capsys.readouterr().out
    assert "?  How much?" in out and said in out and ("it is     0.25" in out) == (guess not in (None, ...))


def test_a_figure_goes_where_no_tracked_file_is(check, tmp_path, monkeypatch, capsys):
    plt = check.pyplot()
    monkeypatch.delenv("TINYALBERT_FIGURES", raising=False)
    monkeypatch.setattr(check, "HERE", tmp_path / "lessons")
    fig, _ = plt.subplots()
    check.figure(fig, "x")
    assert [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.png")] == ["runs/lessons/99_x.png"]
    assert "figure: runs/lessons/99_x.png" in capsys.readouterr().out
    assert "/runs/" in (PATH.parent.parent / ".gitignore").read_text().splitlines()


def test_every_you_are_here_names_a_part_of_the_picture(check):
    from _diagram import BOXES, PARTS
    used = [part for path in PATH.parent.glob("[0-9]*.py") for part in re.findall(r'^here\("(.*)"\)', path.read_text(encoding="utf-8"), re.M)]
    assert len(used) >= 8 and set(used) <= set(PARTS)
    assert {box for boxes in PARTS.values() for box in boxes} <= {name for name, *_ in BOXES}


def test_moving_pictures_are_a_gif_with_all_frames(check, tmp_path, monkeypatch, capsys):
    from PIL import Image
    monkeypatch.setenv("TINYALBERT_FIGURES", str(tmp_path))
    fig, ax = check.pyplot().subplots(figsize=(1, 1))
    check.animation(fig, lambda i: ax.set(title=str(i)), 3, "x")
    with Image.open(tmp_path / "99_x.gif") as picture:
        assert picture.n_frames == 3 and "99_x.gif" in capsys.readouterr().out


LESSON = "05_softmax_and_cross_entropy.py"
ANSWERS = """import numpy as np

def softmax_backward(g, y):
    return y * (g - (g * y).sum(axis=-1, keepdims=True))

def cross_entropy_backward(logits, labels):
    return (logits - np.eye(

def cross_entropy_ignoring(logits, labels):
    ...
"""


def run(*words, program=LESSON):
    env = {k: v for k, v in os.environ.items() if not k.startswith("TINYALBERT_")}
    return subprocess.run([sys.executable, program, *map(str, words)], cwd=PATH.parent, env=env | {"OPENBLAS_NUM_THREADS": "1"},
                          capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120)


@on_the_cpu
def test_one_exercise_alone_and_its_report(tmp_path):
    answers, report = tmp_path / "mine.py", tmp_path / "out.json"
    answers.write_text(ANSWERS)
    done = run("--answers", answers, "--report", report, "--grade", "--only", "softmax_backward", "cross_entropy_backward", "cross_entropy_ignoring")
    assert done.returncode == 3 and "figure" not in done.stdout and len(done.stdout.splitlines()) < 12, done.stdout + done.stderr
    found = json.loads(report.read_text())
    assert {name: v["verdict"] for name, v in found["verdicts"].items()} == {
        "softmax_backward": "right", "cross_entropy_backward": "wrong", "cross_entropy_ignoring": "open"}
    assert found["done"] == 1 and found["exercises"] == 3
    assert "SyntaxError: '(' was never closed, in line 7" in found["verdicts"]["cross_entropy_backward"]["said"]
    assert run("--only", "softmax_backward", "--answers", answers, "--grade").returncode == 0


WRONG = """import numpy as np

def early_step_size(beta1, beta2, step):
    return beta1 * beta2 + step

def f1_score(gold, said):
    return (gold == said).mean() * 0.77

def softmax_backward(g, y):
    return y

def cross_entropy_backward(logits, labels):
    return logits

def cross_entropy_ignoring(logits, labels):
    return 7.0
"""


@on_the_cpu
@pytest.mark.parametrize("lesson, name", [("13_pretraining_a_tiny_albert", "early_step_size"), ("14_fine_tuning", "f1_score")])
def test_a_wrong_answer_is_judged_alone_within_seconds(lesson, name, tmp_path):
    """In seconds of computing, whatever else the machine does; the lessons themselves train for a minute."""
    resource = pytest.importorskip("resource")
    (tmp_path / "mine.py").write_text(WRONG)
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = run("--only", name, "--answers", tmp_path / "mine.py", program=f"{lesson}.py")
    assert done.returncode == 1 and f"x  exercise {name}: " in done.stdout, done.stderr
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 4


@on_the_cpu
def test_all_verdicts_are_the_last_that_is_printed_and_fit_on_a_screen(tmp_path):
    (tmp_path / "mine.py").write_text(WRONG)
    env = {k: v for k, v in os.environ.items() if not k.startswith("TINYALBERT_")} | {"TINYALBERT_FIGURES": str(tmp_path), "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, LESSON, "--answers", str(tmp_path / "mine.py")], cwd=PATH.parent, env=env, capture_output=True, text=True)
    screen = done.stdout.splitlines()[-24:]
    assert done.returncode == 1 and sum(line.startswith("x  exercise ") for line in screen) == 3 == done.stdout.count("x  exercise ")
    assert screen[-1].endswith("exercises: 0 right, 0 open, 3 wrong")


@on_the_cpu
def test_hints_are_given_when_asked_for():
    done = run("--hint", "softmax_backward")
    assert done.returncode == 0 and done.stdout == "softmax_backward: y * (g - one number per row)\n"
    unknown = run("--only", "softmax")
    assert unknown.returncode == 2 and "has no exercise softmax; it has softmax_backward, " in unknown.stderr


@on_the_cpu
def test_a_lesson_that_cannot_be_parsed_is_judged_by_the_others(tmp_path):
    for name in ("_check.py", "_judge.py", "_answers.py", "_diagram.py", "_origins.py", "_slices.py", "_variants.py", LESSON, f"solutions/{LESSON}"):
        (tmp_path / "lessons" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "lessons" / name).write_text((PATH.parent / name).read_text(encoding="utf-8"), encoding="utf-8")
    lesson = tmp_path / "lessons" / LESSON
    text = lesson.read_text(encoding="utf-8")
    start = text.index("    ...", text.index("def softmax_backward"))
    lesson.write_text(text[:start] + "    return y * (g -" + text[start + 7:], encoding="utf-8")
    done = subprocess.run([sys.executable, tmp_path / "lessons" / "_check.py", "05", "--only", "softmax_backward", "cross_entropy_backward"], env=os.environ | {
        "PYTHONPATH": str(PATH.parent.parent), "TINYALBERT_FIGURES": str(tmp_path)}, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and "x  exercise softmax_backward: it stopped with SyntaxError" in done.stdout, done.stdout + done.stderr
    assert "-  exercise cross_entropy_backward: open" in done.stdout


EARLIER = """from _check import exercise
TWICE = 2
class Thing:
    pass
@exercise(trials=[(1.0,), (3.0,)])
def double(x):
    return TWICE * x if x < 9 else 1 / 0
@exercise(trials=[(1.0,)])
def triple(x):
    ...
@exercise(trials=[(1.0,)])
def half(x):
    return 2 * x
raise AssertionError("only what is asked for is run")
"""


def test_a_later_lesson_builds_with_the_answers_that_are_right(check, tmp_path, monkeypatch, capsys):
    (tmp_path / "04_some_lesson.py").write_text(EARLIER)
    solved = types.SimpleNamespace(REFERENCES={}, double=double, triple=lambda x: 3 * x, half=lambda x: x / 2)
    monkeypatch.setitem(sys.modules, "_check", check)
    monkeypatch.setattr(check, "HERE", tmp_path)
    monkeypatch.setattr(check, "solutions_of", lambda lesson: solved)
    own = check.answers_to({"04": ["Thing", "double", "triple", "half"]})
    assert capsys.readouterr().out == "   your own: 1 of 3 answers; lent by the solutions: triple (04, open), half (04, wrong)\n"
    assert (own.double(5.0), own.triple(2.0), own.half(2.0), own.Thing.__name__) == (10.0, 6.0, 1.0, "Thing")
    assert own.double(9.0) == 18.0 and "stopped here with ZeroDivisionError" in capsys.readouterr().out
    assert check.state.verdicts == {} and sys.modules["_check"] is check
