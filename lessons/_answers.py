"""Answers to earlier lessons, for a later one to build with: own = answers_to({"04": ["linear_backward_x"]}), own.linear_backward_x."""

import ast
import functools
import sys
import types
from unittest import mock

import _judge
import _slices


def answers_to(wanted):
    """{lesson: names} -> these functions: yours out of the lessons' files where they are right, else the solutions'; says which.

    What is no exercise, such as the Tensor of lesson 02, is taken as the lesson has it.
    """
    import _check  # not above: _check imports this file

    taken, all_verdicts = {}, {}
    for number, names in wanted.items():
        path, = _check.HERE.glob(f"{number}_*.py")
        found, verdicts = _from_lesson(path, names, _check)
        taken.update(found)
        all_verdicts.update({f"{name} ({number}, {verdict})": verdict for name, verdict in verdicts.items()})
    lent = [name for name, verdict in all_verdicts.items() if verdict != "right"]
    print(f"   your own: {len(all_verdicts) - len(lent)} of {len(all_verdicts)} answers" + (f"; lent by the solutions: {', '.join(lent)}" if lent else ""))
    return types.SimpleNamespace(**taken)


def _from_lesson(path, names, check):
    """{name: function} out of one lesson, of which only what they need is run, and {exercise: right, open or wrong}."""
    lesson = _slices.Lesson(path, _slices.mended(path.read_text(encoding="utf-8")))
    solutions = check.solutions_of(path.stem)
    verdicts = {}

    def exercise(trials):
        def judge(stub):
            solutions.LESSON = stub.__globals__
            name = stub.__name__
            reference, solution = solutions.REFERENCES.get(name) or getattr(solutions, name), getattr(solutions, name)
            expected = _judge.quietly(reference, trials)
            right = not _judge.untouched(stub) and _judge.all_agree(_judge.quietly(stub, trials), expected)
            verdicts[name] = "right" if right else "open" if _judge.untouched(stub) else "wrong"
            return _with_a_net(stub, solution) if right else solution
        return judge
    stand_in = types.ModuleType("_check")
    vars(stand_in).update(vars(check), exercise=exercise)
    scope = {"__name__": path.stem, "__file__": str(path)}
    with mock.patch.dict(sys.modules, _check=stand_in):
        exec(compile(ast.fix_missing_locations(lesson.slice(names)), str(path), "exec"), scope)
    return {name: scope[name] for name in names}, verdicts


def _with_a_net(answer, solution):
    """An answer that was right on its trials; should it fail in use, the solution takes over, and that is said."""
    @functools.wraps(answer)
    def used(*arguments):
        if used.held:
            try:
                return answer(*arguments)
            except Exception as error:
                used.held = False
                print(f"   {answer.__name__} was right on its trials, but stopped here with {type(error).__name__}: {error}; the solution takes over")
        return solution(*arguments)
    used.held = True
    return used
