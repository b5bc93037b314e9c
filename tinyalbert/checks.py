"""What a value from a file, a command line or a Python call may be, and how a wrong one is refused.

Options (options.py) and all small JSON files are checked with these.
"""

import argparse
import math
import numbers
import reprlib
from pathlib import Path

from .errors import UserError

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80


def shown(value):
    """A value as a message quotes it: in its first words, however large or deep it is."""
    try:
        return _SHORT.repr(value)
    except ValueError:  # a whole number of more digits than Python writes
        return "a number of thousands of digits"


def is_whole(value):
    """Whether it is a whole number, Python's or NumPy's, and no boolean."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def as_count(name, value, least=1):
    """`value`, which the caller gave as `name`, if it is a whole number of at least `least`."""
    if not is_whole(value) or value < least:
        raise UserError(f"{name} is {shown(value)}; expected a whole number of at least {least}")
    return value


class Check:
    """What an option accepts: `accept(value)` returns the value to keep or raises ValueError."""

    expected = "a value"

    def accept(self, value):
        """The value as it is kept; ValueError if it is not `expected`."""
        return value

    def __call__(self, text):
        """The value of a text from the command line, as argparse calls it."""
        try:
            return self.accept(self.read(text))
        except UserError:  # a ValueError too, with a better sentence
            raise
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text}; expected {self.expected}") from None

    def read(self, text):
        """The value that a text stands for."""
        return text


class Number(Check):
    """A finite number of at least `least`, or above it, and of at most `most`, or below it."""

    def __init__(self, kind, least, above=False, most=math.inf, below=math.inf):
        self.kind = kind
        self.least = least
        self.above = above
        self.most = most
        self.below = below
        name = "a whole number" if kind is int else "a number"
        self.expected = f"{name} {'above' if above else 'of at least'} {least}"
        if most < math.inf:
            self.expected += f" and at most {most:,}"
        if below < math.inf:
            self.expected = f"{name} from {least} to below {below}"

    def accept(self, value):
        family = numbers.Integral if self.kind is int else numbers.Real
        if isinstance(value, bool) or not isinstance(value, family):
            raise ValueError(value)
        if not self.least <= value <= self.most or (self.above and value == self.least):
            raise ValueError(value)  # NaN too
        if not value < self.below or value == -math.inf:
            raise ValueError(value)
        try:
            return self.kind(value)
        except OverflowError:  # a whole number beyond all floats
            raise ValueError(value) from None

    def read(self, text):
        return self.kind(text)


class Real(Check):
    """Any number, NaN and infinite ones too, as a metric may be."""

    expected = "a number"

    def accept(self, value):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(value)
        return value


class Plain(Check):
    """Null, true, false or a number."""

    expected = "null, true, false or a number"

    def accept(self, value):
        if not isinstance(value, (int, float, type(None))):
            raise ValueError(value)
        return value


class Text(Check):
    """A text or a path."""

    expected = "a text"

    def accept(self, value):
        if not isinstance(value, (str, Path)) or "\0" in str(value):
            raise ValueError(value)  # no path has a null character
        return str(value)


class Words(Text):
    """A text or a path that is not empty: an empty path would be the current folder."""

    expected = "a text that is not empty"

    def accept(self, value):
        text = super().accept(value)
        if not text:
            raise ValueError(value)
        return text


class OneOf(Check):
    """One of several words."""

    def __init__(self, *words):
        self.words = words
        self.expected = f"one of {', '.join(words)}"

    def accept(self, value):
        if value not in self.words:
            raise ValueError(value)
        return value


class Switch(Check):
    """True or False."""

    expected = "true or false"

    def accept(self, value):
        if not isinstance(value, bool):
            raise ValueError(value)
        return value


class Anything(Check):
    """A value that the command itself looks at."""


class Many(Check):
    """Several values of one kind; a single one counts as a list of one."""

    def __init__(self, each):
        self.each = each
        self.expected = f"a list, each {each.expected}"

    def accept(self, values):
        if not isinstance(values, (list, tuple)):
            values = [values]
        return tuple(self.each.accept(value) for value in values)

    def __call__(self, text):
        return self.each(text)  # argparse calls it for each word


class ListOf(Check):
    """A list whose values are all of one kind."""

    def __init__(self, each):
        self.each = each
        self.expected = f"a list, each {each.expected}"

    def accept(self, values):
        if not isinstance(values, list):
            raise ValueError(values)
        return [self.each.accept(value) for value in values]


class Row(Check):
    """A list of so many values, each of its own kind."""

    def __init__(self, *kinds):
        self.kinds = kinds
        self.expected = f"a list of {', '.join(kind.expected for kind in kinds)}"

    def accept(self, values):
        if not isinstance(values, list) or len(values) != len(self.kinds):
            raise ValueError(values)
        return [kind.accept(value) for kind, value in zip(self.kinds, values)]


class Fields(Check):
    """A JSON object that fits a schema, where it may also be missing: Maybe(Fields(...))."""

    def __init__(self, **schema):
        self.schema = schema
        self.expected = f"an object with {', '.join(schema)}"

    def accept(self, value):
        return checked(value, self.schema)


class Maybe(Check):
    """A value of another kind, or null; in a JSON file its name may be missing as well."""

    def __init__(self, check):
        self.check = check
        self.expected = f"{check.expected}, or null"

    def accept(self, value):
        return None if value is None else self.check.accept(value)


class Later(Maybe):
    """A value that may be missing, as from files of earlier versions, but is not null."""

    def __init__(self, check):
        self.check = check
        self.expected = check.expected

    def accept(self, value):
        return self.check.accept(value)


class Named(Check):
    """A JSON object of any names, whose values are all of one kind."""

    def __init__(self, each):
        self.each = each
        self.expected = f"an object, each value {each.expected}"

    def accept(self, value):
        if not isinstance(value, dict):
            raise ValueError(value)
        return {name: self.each.accept(each) for name, each in value.items()}


COUNT = Number(int, 1)
WHOLE = Number(int, 0)
LENGTH = Number(int, 8)  # tokens of a sequence
SHARE = Number(float, 0)
AMOUNT = Number(float, 0, above=True)
REAL = Real()
TEXT = Text()
WORDS = Words()
SWITCH = Switch()
ANYTHING = Anything()


def checked(values, schema, where="", advice=""):
    """The values of a JSON object, if each is what `schema` says.

    schema: {name: Check, or the schema of an object in its place}; only a Maybe may be missing.
    Other names are not looked at.  where: the file, for the message; advice: its end.
    """
    advice = f"; {advice}" if advice else ""
    if not isinstance(values, dict):
        raise UserError(f"{where} is {shown(values)}; expected a JSON object{advice}")
    for name, check in schema.items():
        place = f"{where}, {name}" if where else name
        nested = isinstance(check, dict)
        expected = "a JSON object" if nested else check.expected
        if name not in values:
            if isinstance(check, Maybe):
                continue
            raise UserError(f"{where} has no {name}; expected {expected}{advice}")
        if nested:
            checked(values[name], check, place, advice.removeprefix("; "))
            continue
        try:
            check.accept(values[name])
        except (ValueError, TypeError):
            raise UserError(
                f"{place} is {shown(values[name])}; expected {expected}{advice}"
            ) from None
    return values
