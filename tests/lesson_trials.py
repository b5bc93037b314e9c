"""The exercises of a lesson with their trials, without running the rest of it."""

import ast
import functools
import importlib.util
import os
import re
import sys
from pathlib import Path
from unittest import mock

LESSONS = Path(__file__).resolve().parent.parent / "lessons"


def load(path, name=None):
    spec = importlib.util.spec_from_file_location(name or path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@functools.cache
def exercises(number):
    """{exercise: trials}, the module of solutions and the names of the lesson with this number."""
    path, = LESSONS.glob(f"{number}_*.py")
    found = {}
    with mock.patch.object(sys, "path", [str(LESSONS), *sys.path]), mock.patch.object(sys, "argv", [str(path)]), \
            mock.patch.dict(os.environ), mock.patch.dict(sys.modules):
        os.environ.pop("TINYALBERT_ANSWERS", None)
        check = load(LESSONS / "_check.py", "_check")
        sys.modules["_check"] = check

        def record(trials):
            def keep(stub):
                found[stub.__name__] = trials
                return stub
            return keep
        check.exercise = record
        lesson = check._slices.Lesson(path)
        names = {"__name__": "__main__", "__file__": str(path)}
        module = ast.fix_missing_locations(lesson.slice(lesson.exercises))
        exec(compile(module, str(path), "exec"), names)
        solutions = load(LESSONS / "solutions" / path.name, f"solutions_{number}")
        solutions.LESSON = names
    return found, solutions, names


def names(path):
    """The exercises of a lesson's file."""
    return re.findall(r"^@exercise\(.*?^def (\w+)", path.read_text(encoding="utf-8"), re.M | re.S)


@functools.cache
def judge():
    """lessons/_judge.py."""
    with mock.patch.object(sys, "path", [str(LESSONS), *sys.path]):
        return load(LESSONS / "_judge.py")


def verdict(number, name, attempt):
    """What the judge says of an answer, None if it is right."""
    found, solutions, _ = exercises(number)
    reference = solutions.REFERENCES.get(name) or getattr(solutions, name)
    return judge().diagnose(attempt, reference, found[name], solutions.MISTAKES.get(name, {}), solutions, name)
