"""What is wrong with an answer, in words.

The answer's results on all trials are compared with the right ones, and with those of typical mistakes: first the ones that
are written down for the exercise, then the solution with one thing changed (_variants.py), then whatever relates the two
results: a factor, a transposition, an axis too many.
"""

import contextlib
import copy
import inspect
import io
import itertools
import re
import signal
import threading
import time
import traceback
import warnings

import _variants
import numpy as np

SECONDS = 2                                      # of computing, for one call of an answer
PATIENCE = 1.2                                   # seconds of computing for the variants of a solution
_KNOWN = {}                                      # results of variants, by exercise and trials
NUMBERS = (np.ndarray, np.generic, float, int)


class Stopped:
    """A call that did not return: it raised `error`."""

    def __init__(self, error):
        self.error = error

    def __eq__(self, other):
        return isinstance(other, Stopped) and type(self.error) is type(other.error) and str(self.error) == str(other.error)


class TooLong(Exception):
    """A call that was ended because it computed for too long."""


@contextlib.contextmanager
def limited(seconds):
    """End what is inside with TooLong after so many seconds of computing; waiting, as in a debugger, doesn't count.

    Without effect where there is no such clock: on Windows, and in threads.
    """
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number, frame):
        raise TooLong(f"it was still computing after {seconds:g} seconds: does its loop ever end?")
    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def call(function, arguments, seconds=SECONDS):
    """The result of a call on copies of the arguments, or Stopped."""
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings(), limited(seconds):
            warnings.simplefilter("ignore")
            return function(*copy.deepcopy(arguments))
    except KeyboardInterrupt:
        raise
    except BaseException as error:               # a bug, or exit(), in an answer is a result, not the end of the lesson
        return Stopped(error)


def quietly(function, trials, seconds=SECONDS):
    """The results on all trials, without what is printed on the way."""
    with contextlib.redirect_stdout(io.StringIO()):
        return on_all(function, trials, seconds)


def on_all(function, trials, seconds=SECONDS):
    """The results on all trials; after one that took too long, none is tried any more."""
    results = []
    for arguments in trials:
        results.append(results[-1] if results and _too_long(results[-1]) else call(function, arguments, seconds))
    return results


def plain(value):
    """Tuples and arrays inside a value as lists, NumPy's numbers as Python's, so that only its contents count."""
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value


def numbers(value):
    """A float64 array, or None if the value is none."""
    if isinstance(value, (Stopped, str, set, dict, type(None), type(...))):
        return None
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, RuntimeError):
        return None


def close(a, b, rtol=1e-7, atol=1e-10):
    return np.shape(a) == np.shape(b) and np.allclose(a, b, rtol=rtol, atol=atol)


def agree(got, expected):
    """Numbers and arrays agree if they are equal up to rounding; everything else (tuples, texts) if it is equal."""
    if isinstance(got, Stopped) or isinstance(expected, Stopped):
        return isinstance(got, Stopped) and got == expected
    if isinstance(expected, NUMBERS):
        a, b = numbers(got), numbers(expected)
        return a is not None and close(a, b)
    if isinstance(got, (list, tuple, np.ndarray)) and isinstance(expected, (list, tuple)):
        a, b = numbers(got), numbers(expected)
        return plain(got) == plain(expected) if a is None or b is None else close(a, b)
    return type(got) is type(expected) and got == expected


def all_agree(got, expected):
    return all(map(agree, got, expected))


def diagnose(attempt, reference, trials, mistakes=(), module=None, name=None):
    """What is wrong with an attempt, in words, or None if it is right on every trial.

    mistakes: {words: function}, typical wrong answers; module, name: where the solution stands, to be changed mechanically.
    """
    expected = [call(reference, t) for t in trials]
    got = on_all(attempt, trials)
    if all_agree(got, expected):
        return None
    for what, mistake in dict(mistakes).items():
        if all_agree(got, quietly(mistake, trials)):
            return what
    question = Question(attempt, reference, trials, got, expected, module, name, dict(mistakes))
    for step in (question.no_result, question.stopped, question.always_the_same, question.by_sign, question.by_argument, question.by_variant,
                 question.by_terms, question.by_changed_argument, question.by_order, question.of_the_wrong_kind,
                 question.by_relation, question.by_both, question.without_effect, question.by_two, question.by_one_mistake_of_several,
                 question.in_part):
        said = step()
        if said:
            return said
    return question.plainly()


class Question:
    """One wrong answer: each method gives what it knows of it in words, or None."""

    def __init__(self, attempt, reference, trials, got, expected, module, name, mistakes):
        self.attempt, self.reference, self.trials = attempt, reference, trials
        self.got, self.expected = got, expected
        self.module, self.name, self.mistakes = module, name, mistakes
        self.first = next(i for i, (a, b) in enumerate(zip(got, expected)) if not agree(a, b))        # the first wrong trial
        try:
            self.parameters = list(inspect.signature(getattr(module, name or "", reference)).parameters)
        except (TypeError, ValueError):
            self.parameters = []
        if len(self.parameters) != len(trials[0]):
            self.parameters = [f"argument {i + 1}" for i in range(len(trials[0]))]
        self.given, self.right = [numbers(v) for v in got], [numbers(v) for v in expected]
        self.numeric = all(v is not None for v in self.given) and (
            all(isinstance(v, NUMBERS) for v in expected)
            or all(b is not None and a.shape == b.shape for a, b in zip(self.given, self.right)))

    def no_result(self):
        """None, `...`, a function: what is returned where the return is forgotten or half written."""
        got, wanted = self.got[self.first], self.expected[self.first]
        if got is None:
            return "it returned nothing (None): the last line must begin with `return`; printing the result is not enough"
        if got is ...:
            return "it returned `...`: the dots stand for what you should write"
        if inspect.isgenerator(got) or isinstance(got, (map, zip, filter, range)):
            return f"it returned a {type(got).__name__}, which has no values yet; put list(...) around it"
        if callable(got):
            return "it returned a function, not its result: the brackets () of a call are missing"
        if isinstance(got, NUMBERS) and isinstance(wanted, (list, tuple, str)) and not isinstance(got, np.ndarray):
            return f"it returned one number, {got}, expected a {type(wanted).__name__} such as {short(wanted)}"
        return None

    def stopped(self):
        """The error, where in the answer it came up, and what usually causes it."""
        if not isinstance(self.got[self.first], Stopped):
            return None
        error = self.got[self.first].error
        if isinstance(error, TooLong):
            return str(error)
        cause = self._variant(self.got, "keepdims|axis|transpose|reshape|matrix product|shape") or _usual_cause(error, self.parameters)
        only = "" if self.first == 0 else f" for {self.described(self.first)}, though not for {self.described(0)}"
        return f"it stopped with {type(error).__name__}: {error}{_where(error, self.attempt)}{only}{'; ' if cause else ''}{cause or ''}"

    def always_the_same(self):
        """An answer that is the same on all trials, where the right one is not."""
        alike = [all(agree(v, values[0]) for v in values[1:]) for values in (self.got, self.expected)]
        if len(self.got) > 1 and alike == [True, False] and np.size(self.got[0]) <= 1:
            return f"it gives {short(self.got[0])} whatever the arguments are"
        return None

    def by_sign(self):
        if self.numeric and all(close(a, -b) for a, b in zip(self.given, self.right)):
            return "right up to a factor of -1: the sign is flipped"
        return None

    def by_argument(self):
        """What the right function would give without g, or with two arguments exchanged."""
        if "g" in self.parameters and self._with("g", np.ones_like):
            return "g is missing: the chain rule multiplies by what comes in"
        for i, j in itertools.combinations(range(len(self.parameters)), 2):
            swapped = [tuple(t[j] if k == i else t[i] if k == j else a for k, a in enumerate(t)) for t in self.trials]
            if all_agree(self.got, quietly(self.reference, swapped, 0.2)):
                return f"{self.parameters[i]} and {self.parameters[j]} are exchanged"
        return None

    def by_changed_argument(self):
        """What the right function would give with an argument changed: a mask inverted, a sign lost."""
        for i, name in enumerate(self.parameters):
            for what, change in _changes_of([t[i] for t in self.trials]):
                if self._with(name, change):
                    return what.format(name)
        return None

    def _with(self, name, change):
        """Whether the answer is right for a changed argument."""
        i = self.parameters.index(name)
        changed = [(*t[:i], change(t[i]), *t[i + 1:]) for t in self.trials]
        return all_agree(self.got, quietly(self.reference, changed, 0.2))

    def by_terms(self):
        """A sum of which some terms are missing, or stand there twice."""
        if not self.numeric or self.module is None:
            return None
        parts = [(text, [numbers(v) for v in on_all(function, self.trials)]) for text, function in _variants.terms(self.module, self.name)]
        off = [b - a for a, b in zip(self.given, self.right) if a.shape == b.shape]
        if not parts or len(off) < len(self.given) or any(v is None for _, values in parts for v in values):
            return None
        for n in (1, 2, 3, 4):
            for some in itertools.combinations(parts, n):
                sums = [sum(values[i] for _, values in some) for i in range(len(off))]
                for sign, what in ((1, "missing"), (-1, "one too many")):
                    if all(close(sign * s, o) for s, o in zip(sums, off)):
                        return f"terms of the sum are {what}: {' and '.join(f'`{text}`' for text, _ in some)}"
        return None

    def by_order(self):
        return _axes_in_another_order(self.given, self.right) if self.numeric else None

    def by_variant(self):
        """The solution with one thing changed that gives the same results."""
        return self._variant(self.got)

    def _variant(self, results, about=""):
        for what, results_of_it in self._variants():
            if re.search(about, what) and all_agree(results, results_of_it):
                return what
        return None

    def _variants(self, two=False):
        """[(words, results on all trials)] of the solution's variants; computed when first asked for."""
        key = self.name, id(self.trials), two
        if self.module is not None and key not in _KNOWN:
            known, start = [], time.process_time()
            for what, function in _variants.variants(self.module, self.name, two):
                results = quietly(function, self.trials, 0.03 if _variants.loops(function) else 0.2)
                if not _too_long(results[-1]):
                    known.append((what, results))
                if time.process_time() - start > PATIENCE:
                    break
            _KNOWN[key] = self.trials, known     # holds on to the trials, so that no others get their id
        return _KNOWN[key][1] if key in _KNOWN else []

    def of_the_wrong_kind(self):
        """Texts, tuples, ragged lists and wrong shapes."""
        got, wanted = self.got[self.first], self.expected[self.first]
        if not isinstance(wanted, NUMBERS) and not self.numeric:
            return self.by_one_mistake_of_several() or _wrong_sequence(got, wanted, self.described(self.first))
        if self.given[self.first] is None:
            if isinstance(got, (tuple, list)):
                return (f"it returned a {type(got).__name__} of {len(got)} that is no array; expected one array of shape {np.shape(wanted)}: "
                        "np.stack and np.concatenate put arrays together")
            advice = "; .numpy() gives its numbers" if hasattr(got, "numpy") else ""
            return f"it returned a {type(got).__name__}, expected numbers of shape {np.shape(wanted)}{advice}"
        if self.given[self.first].shape != self.right[self.first].shape:
            if isinstance(got, (tuple, list)) and len(got) == 1 and close(numbers(got[0]), self.right[self.first]):
                return f"the numbers are right, but inside a {type(got).__name__} of one: a comma or brackets too many"
            only = "" if self.first == 0 else f"right for {self.described(0)}, but not for {self.described(self.first)}: "
            turned = _axes_in_another_order([self.given[self.first]], [self.right[self.first]])
            return only + _wrong_shape(self.given[self.first], self.right[self.first]) + (f"; {turned}" if turned else "")
        return None

    def by_relation(self):
        """The same change of the right result on every trial: a factor, a constant, an order."""
        if not self.numeric:
            return None
        if not all(np.isfinite(v).all() for v in self.given):
            i = next(i for i, v in enumerate(self.given) if not np.isfinite(v).all())
            n = int((~np.isfinite(self.given[i])).sum())
            return f"{n} {'value is' if n == 1 else 'values are'} not finite: a division by zero, or a number that overflowed"
        return relation(self.given, self.right) or self._by_size()

    def _by_size(self):
        """A factor that is the length of an axis, or its root: a sum where a mean belongs."""
        if any(a.shape != b.shape for a, b in zip(self.given, self.right)):
            return None
        for i, name in enumerate(self.parameters):
            arrays = [numbers(t[i]) for t in self.trials]
            if any(a is None for a in arrays):
                continue
            for axis in range(min(a.ndim for a in arrays)):
                sizes, called = [a.shape[axis] for a in arrays], f"the length of axis {axis} of {name}"
                said = _by_factor(self.given, self.right, sizes, called)
                if said:
                    return said
            said = (_by_factor(self.given, self.right, [a.size for a in arrays], f"the number of values in {name}")
                    or _by_factor(self.given, self.right, [float(a.sum()) for a in arrays], f"the sum of {name}"))
            if said:
                return said
        return None

    def by_both(self):
        """A variant of the solution, and its result changed besides."""
        if not self.numeric or sum(v.size for v in self.given) < 6:
            return None
        for what, results in self._variants():
            arrays = [numbers(v) for v in results]
            if any(a is None or not np.isfinite(a).all() for a in arrays):
                continue
            said = relation(self.given, arrays, plain_ones=True)
            if said:
                return f"two things: {what}; and {said}"
        return None

    def by_two(self):
        """The solution with two things changed."""
        if sum(np.size(v) for v in self.expected if v is not None) < 2:
            return None
        return next((what for what, results in self._variants(two=True) if all_agree(self.got, results)), None)

    def without_effect(self):
        """An argument that changes the right result, but not this one."""
        rng = np.random.default_rng(0)
        for i, name in enumerate(self.parameters):
            seen = set()
            for t, got, wanted in zip(self.trials, self.got, self.expected):
                other = _other(t[i], rng)
                if other is not None:
                    changed = [(*t[:i], other, *t[i + 1:])]
                    seen.add((agree(quietly(self.reference, changed)[0], wanted), agree(quietly(self.attempt, changed)[0], got)))
            if seen == {(False, True)}:
                return f"{name} has no effect on the result, but it should have one"
            if seen == {(True, False)}:
                return f"the result depends on {name}, but it must not"
        return None

    def by_one_mistake_of_several(self):
        """A typical mistake that gives the same result where the answer first goes wrong; elsewhere there is another besides."""
        if _size(self.expected[self.first]) < 3:
            return None                          # so few numbers agree by chance
        for what, mistake in self.mistakes.items():
            if agree(self.got[self.first], quietly(mistake, self.trials[self.first:self.first + 1])[0]):
                return f"{what}; and something else besides"
        return None

    def in_part(self):
        """Right on some trials, or in some parts of the result."""
        right = [agree(a, b) for a, b in zip(self.got, self.expected)]
        if any(right):
            return f"right for {self.described(right.index(True))}, but not for {self.described(self.first)}: {self.at_worst()}"
        if not self.numeric:
            return None
        for axis, called in ((0, "row"), (-1, "column")):
            if all(v.ndim > (axis == -1) for v in self.right) and len({v.shape[axis] for v in self.right}) == 1 and self.right[0].shape[axis] > 1:
                n = self.right[0].shape[axis]
                good = [k for k in range(n) if all(close(a.take(k, axis), b.take(k, axis)) for a, b in zip(self.given, self.right))]
                if good:
                    bad = [k for k in range(n) if k not in good]
                    said = relation([a.take(bad, axis) for a in self.given], [b.take(bad, axis) for b in self.right])
                    return f"{called} {_listed(good)} of the result is right, {_listed(bad)} is not: {said or self.at_worst()}"
        return None

    def plainly(self):
        """When nothing better is known: how far off it is, and where."""
        return self.at_worst()

    def at_worst(self):
        i = self.first
        if not isinstance(self.expected[i], NUMBERS) or self.given[i] is None:
            return f"for {self.described(i)} it gave {short(self.got[i])}, expected {short(self.expected[i])}"
        got, wanted = self.given[i], self.right[i]
        if got.size == 1:
            small = all(isinstance(a, (int, float)) for a in self.trials[i])
            return f"{f'for {self.trials[i]} ' if small else ''}it gave {got.item():.10g}, expected {wanted.item():.10g}"
        if np.allclose(got, wanted, rtol=2e-3, atol=1e-6):
            return f"nearly right, to {np.abs(got / np.where(wanted == 0, 1, wanted) - 1).max():.0e}: a constant with too few digits, or float32?"
        off = np.abs(got - wanted)
        place = tuple(int(k) for k in np.unravel_index(off.argmax(), got.shape))
        share = f"; right at {int((off < 1e-8).sum())} of {off.size} places" if (off < 1e-8).any() else ""
        return f"largest error {off.max():.2g}, at index {place}{share}"

    def described(self, i):
        """Trial i, shortly: numbers and texts as they are, arrays by their shapes."""
        parts = [f"{n} of shape {a.shape}" if isinstance(a, np.ndarray) and a.size > 4
                 else f"{n} = {short(np.round(a, 3) if isinstance(a, np.ndarray) else a)}" for n, a in zip(self.parameters, self.trials[i])]
        return ", ".join(parts)


def _size(value):
    """How many numbers and texts there are in a value."""
    value = plain(value)
    return sum(map(_size, value)) if isinstance(value, list) else 1


def _readable(value):
    """A value with Python's numbers in place of NumPy's, whose repr is long."""
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    return type(value)(map(_readable, value)) if type(value) in (list, tuple) else value


def short(value, longest=60):
    """A value as text, cut in the middle if it is long."""
    text = " ".join(repr(_readable(value)).split())
    return text if len(text) <= longest else f"{text[:longest - 12]} ... {text[-8:]}"


def _too_long(result):
    return isinstance(result, Stopped) and isinstance(result.error, TooLong)


def _listed(numbers_):
    return ", ".join(map(str, numbers_))


def _where(error, attempt):
    """The line of the answer in which an error came up, as text."""
    file = getattr(getattr(attempt, "__code__", None), "co_filename", None)
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == file]
    if not frames:
        return ""
    line = f": `{frames[-1].line}`" if frames[-1].line else ""
    return f", in line {frames[-1].lineno}{line}"


def _usual_cause(error, parameters):
    said = str(error)
    if isinstance(error, NameError):
        return f"the function's arguments are {', '.join(parameters)}"
    if "broadcast" in said or "could not be broadcast" in said or "shape mismatch" in said:
        return "print the shapes; a sum or mean along an axis takes the axis away, keepdims=True keeps it with length 1"
    if "matmul" in said or "not aligned" in said:
        return "in a @ b the last axis of a must be as long as the last but one of b; .T or .swapaxes(-1, -2) transposes"
    if isinstance(error, TypeError) and "positional argument" in said:
        return f"it is called with {len(parameters)} argument{'s' * (len(parameters) != 1)}: {', '.join(parameters)}"
    if "must have the same shape" in said:
        return "np.stack wants equal shapes; np.concatenate puts arrays of other lengths one after the other, once each is flat (ravel)"
    if isinstance(error, IndexError):
        return "an index lies outside the array: print the indices and the shape"
    if "truth value" in said:
        return "`if`, `and` and `max` can't decide for a whole array; np.where, & and np.maximum do so place by place"
    if isinstance(error, RecursionError):
        return "it calls itself without end"
    return ""


def _changes_of(values):
    """(words, change) of one argument that typical mistakes amount to."""
    arrays = [numbers(v) for v in values]
    if any(a is None for a in arrays):
        return
    if all(np.isin(a, (0, 1)).all() for a in arrays) and any(a.ndim for a in arrays):
        yield "{} is the wrong way round: 0 and 1 are exchanged", lambda a: 1 - a
    if all(a.ndim > 1 and a.shape[-1] == a.shape[-2] for a in arrays):
        yield "{} is transposed", lambda a: np.swapaxes(a, -1, -2)
    if all(isinstance(v, np.ndarray) and v.dtype.kind == "f" for v in values):
        yield "{} has the wrong sign", lambda a: -a
        yield "{} is missing", np.ones_like
        yield "{} has no effect", np.zeros_like
        if any(a.ndim for a in arrays):
            yield "{} is taken in reverse order", lambda a: a[::-1]
    if all(isinstance(v, float) and 0 <= v <= 1 for v in values):
        yield "this would be right for 1 - {0} in place of {0}", lambda a: 1 - a
    if all(isinstance(v, int) for v in values):
        yield "it counts from the wrong place: this would be right if {} were one more", lambda a: a + 1
        yield "it counts from the wrong place: this would be right if {} were one less", lambda a: a - 1


def _other(value, rng):
    """Another value of the same kind, to see whether it matters; None for kinds that can't be changed without knowing them."""
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        return value + rng.uniform(0.1, 0.5, value.shape)
    if isinstance(value, np.ndarray) and value.size and np.isin(value, (0, 1)).all():
        return 1 - value
    if isinstance(value, float):
        return value * 0.9 + 0.01
    return None


def _wrong_sequence(got, wanted, arguments):
    """Lists, tuples and texts: something missing, too much, or in another order."""
    if isinstance(got, str) and isinstance(wanted, str):
        if got.split() == wanted.split():
            return f"only the spaces are wrong: it gave {got!r}, expected {wanted!r}"
        if got.replace(" ", "") == wanted.replace(" ", ""):
            return f"the letters are right, the spaces are not: it gave {got!r}, expected {wanted!r}"
        extra = "".join(sorted(set(got) - set(wanted)))
        if wanted in got or extra and "".join(c for c in got if c not in extra) == "".join(wanted.split()):
            return f"there is something in it that does not belong to it: it gave {got!r}, expected {wanted!r}"
        return f"it gave {got!r}, expected {wanted!r}"
    if isinstance(wanted, str) and isinstance(got, (list, tuple)):
        return f"it returned a {type(got).__name__}, expected a text; \"\".join(...) makes one; it gave {short(got)}, expected {wanted!r}"
    if not isinstance(got, (list, tuple, np.ndarray, set)):
        return f"it returned a {type(got).__name__}, expected a {type(wanted).__name__} such as {short(wanted)}"
    a, b = plain(sorted(got) if isinstance(got, set) else got), plain(wanted)
    beside = f"for {arguments} it gave {short(got)}, expected {short(wanted)}"
    if isinstance(got, set):
        return f"a set has no order; return a {type(wanted).__name__}; {beside}"
    with contextlib.suppress(TypeError):
        if sorted(a) == sorted(b):
            return f"in the wrong order: {beside}"
    if len(a) != len(b):
        lost = [v for v in b if v not in a]
        extra = [v for v in a if v not in b]
        what = "something is missing" if lost and not extra else "something is there that should not be" if extra and not lost else ""
        what = what or ("too few" if len(a) < len(b) else "too many" if len(a) > len(b) else "")
        return f"{what}: {beside}"
    right = [i for i, (x, y) in enumerate(zip(a, b)) if agree(x, y)]
    if right:
        return f"number {_listed(i + 1 for i in right)} is right, the rest is not: {beside}"
    return beside


def _wrong_shape(got, wanted):
    """What a wrong shape points to."""
    said = f"shape {got.shape}, expected {wanted.shape}"
    if got.size == wanted.size:
        if [n for n in got.shape if n != 1] == [n for n in wanted.shape if n != 1]:
            right = close(got.ravel(), wanted.ravel())
            what = "an axis of length 1 too many" if got.ndim > wanted.ndim else "an axis of length 1 is missing or in the wrong place (keepdims)"
            return f"{said}; {'the numbers are right, but ' if right else ''}{what}"
        if close(np.sort(got.ravel()), np.sort(wanted.ravel())):
            return f"{said}; the numbers are right: transposed or reshaped"
    with contextlib.suppress(ValueError):
        if np.broadcast_shapes(got.shape, wanted.shape) == wanted.shape and close(np.broadcast_to(got, wanted.shape), wanted):
            return f"{said}; the numbers are right, but not stretched to the whole shape"
    if wanted.ndim > 1 and got.shape == wanted.shape[1:]:
        for k in range(len(wanted)):
            if close(got, wanted[k]):
                return f"{said}; this is only part {k + 1} of the {len(wanted)} that belong to the result"
    for axes in _axes(got.ndim):
        for reduce, word in ((np.sum, "the sum"), (np.mean, "the mean")):
            if got.size and got.ndim >= wanted.ndim and _same_numbers(reduce(got, axes), wanted):
                return f"{said}; {word} over axis {_listed(axes)} is missing"
    for axes in _axes(wanted.ndim):
        for reduce, word in ((np.sum, "summed"), (np.mean, "averaged")):
            if _same_numbers(reduce(wanted, axes), got):
                return f"{said}; {word} over axis {_listed(axes)}, which should stay"
    for axes in _axes(got.ndim):
        if got.ndim >= wanted.ndim and _fits(got, axes, wanted):
            if close(got, np.round(got)) and close(wanted, np.round(wanted)):
                return f"{said}: {got.size // max(wanted.size, 1)} numbers for each place where one is asked for"
            return f"{said}; an axis is still there that should be summed: {_listed(axes)}"
    if got.ndim == wanted.ndim and sum(a != b for a, b in zip(got.shape, wanted.shape)) == 1:
        axis = next(i for i, (a, b) in enumerate(zip(got.shape, wanted.shape)) if a != b)
        n, m = got.shape[axis], wanted.shape[axis]
        common = min(n, m)
        first = close(got.take(range(common), axis), wanted.take(range(common), axis))
        return f"{said}; {abs(n - m)} too {'many' if n > m else 'few'} along axis {axis}{', the first are right' if first else ''}"
    if sorted(got.shape) == sorted(wanted.shape):
        return f"{said}; the axes are in another order: transposed?"
    if wanted.ndim == 0:
        return f"{said}: one number is asked for, not one for each place"
    if got.ndim == 0:
        return f"{said}: one number for everything, where one for each place is asked for; a sum or mean without an axis?"
    return f"{said}: {got.ndim} axes, not {wanted.ndim}" if got.ndim != wanted.ndim else said


def _axes(ndim):
    """All sets of axes, the smallest first."""
    return [axes for n in range(1, ndim + 1) for axes in itertools.combinations(range(ndim), n)]


def _same_numbers(a, b):
    return a.size == b.size and close(np.ravel(a), np.ravel(b))


def _fits(got, axes, wanted):
    left = [n for i, n in enumerate(got.shape) if i not in axes]
    return [n for n in left if n != 1] == [n for n in wanted.shape if n != 1]


def relation(got, expected, plain_ones=False):
    """How the arrays of one list relate to those of another, in the same way for all, in words; or None.

    plain_ones: only factors and constants.
    """
    if any(a.shape != b.shape for a, b in zip(got, expected)) or not any(b.size for b in expected):
        return None
    a, b = (np.concatenate([v.ravel() for v in arrays]) for arrays in (got, expected))
    ratio = float((a * b).sum() / (b * b).sum()) if (b * b).sum() else 0.0
    if ratio and a.size > 1 and np.allclose(a, ratio * b, rtol=1e-6, atol=1e-10):
        return f"right up to a factor of {ratio:.6g}" + (": the sign is flipped" if abs(ratio + 1) < 1e-9 else "")
    if a.size > 1 and np.allclose(a - b, (a - b)[0], rtol=1e-6, atol=1e-10):
        return f"right up to a constant: every value is {float((a - b)[0]):+.6g} off"
    if plain_ones:
        return None
    return _rearranged(got, expected) or _through_a_function(a, b) or _not_normalised(got, expected)


def _rearranged(got, expected):
    """Axes or parts in another order."""
    ndim = min(b.ndim for b in expected)

    def fits(change):
        return all(close(a, change(b)) for a, b in zip(got, expected))
    if ndim > 1 and fits(lambda b: b.swapaxes(-1, -2)):
        return "transposed: right after swapping the last two axes"
    for axis in range(ndim):
        if fits(lambda b, axis=axis: np.flip(b, axis)):
            return f"in reverse order{f', along axis {axis}' if ndim > 1 else ''}"
        if any(fits(lambda b, axis=axis, by=by: np.roll(b, by, axis)) for by in (1, -1)):
            return f"shifted by one place{f', along axis {axis}' if ndim > 1 else ''}"
    if ndim and len({len(b) for b in expected}) == 1 and 2 < len(expected[0]) <= 5:
        for order in itertools.permutations(range(len(expected[0]))):
            if fits(lambda b, order=order: b[list(order)]):
                return f"right, but the parts are in the wrong order: yours are number {_listed(i + 1 for i in order)}"
    turned = _axes_in_another_order(got, expected)
    if turned:
        return turned
    if all(close(np.sort(a.ravel()), np.sort(b.ravel())) for a, b in zip(got, expected)) and any(b.size > 2 for b in expected):
        advice = ": reshaped where transposed, or the other way round?" if ndim > 1 else ""
        return f"the numbers are right, but in other places{advice}"
    return None


def _axes_in_another_order(got, expected):
    """Whether exchanging axes makes it right."""
    ndim = min(v.ndim for v in (*got, *expected))
    if ndim < 2 or any(v.ndim != ndim for v in (*got, *expected)):
        return None
    for order in itertools.permutations(range(ndim)):
        if order != tuple(range(ndim)) and all(close(a, b.transpose(order)) for a, b in zip(got, expected)):
            if order == (*range(ndim - 2), ndim - 1, ndim - 2):
                return "transposed: right after swapping the last two axes"
            return f"the axes are in the wrong order: yours are number {_listed(order)} of the right result"
    return None


def _through_a_function(a, b):
    """The right numbers, but inverted, squared, or without their logarithm."""
    with np.errstate(all="ignore"):
        for what, value in (("this is 1 minus the right answer", 1 - b), ("upside down: this is 1 divided by the right answer", 1 / b),
                            ("the sign is lost: this is the absolute value", np.abs(b)), ("this is the square of the right answer", b * b),
                            ("this is the square root of the right answer", np.sqrt(b)),
                            ("this is the logarithm of the right answer", np.log(b)),
                            ("the logarithm is missing", np.exp(b)), ("negative values became 0", np.maximum(b, 0))):
            if np.isfinite(value).all() and np.allclose(a, value, rtol=1e-7, atol=1e-10) and not np.allclose(value, value.flat[0]):
                return what
    return None


def _not_normalised(got, expected):
    """Right once each row is divided by its sum, or has gone through softmax."""
    ndim = min(b.ndim for b in expected)
    with np.errstate(all="ignore"):
        for axis in range(ndim):
            if all(close(a / a.sum(axis, keepdims=True), b) for a, b in zip(got, expected)):
                return f"not divided by the sum along axis {axis}"
            e = [np.exp(a - a.max(axis, keepdims=True)) for a in got]
            if all(close(a / a.sum(axis, keepdims=True), b) for a, b in zip(e, expected)):
                return f"these are the scores: softmax along axis {axis} is missing"
    return None


def _by_factor(got, expected, sizes, called):
    """A factor that differs from trial to trial as a size does."""
    if len(set(sizes)) < 2 or min(sizes) <= 0:
        return None
    for power, what in ((1, f"too large by {called}: divide by it; a sum where a mean belongs?"),
                        (-1, f"too small by {called}: a mean where a sum belongs?"),
                        (0.5, f"too large by the square root of {called}: divide by it"),
                        (-0.5, f"too small by the square root of {called}: multiply by it"),
                        (2, f"too large by the square of {called}")):
        if all(close(a, b * float(n) ** power) for a, b, n in zip(got, expected, sizes)):
            return what
    return None


def untouched(function):
    """Whether a function's body is still `...` (or `pass`)."""
    code = getattr(function, "__code__", None)
    if code is None or any(c is not None and c is not ... and c != function.__doc__ for c in code.co_consts):
        return False
    return code.co_code in {empty.__code__.co_code for empty in (_with_words, _without_words)} and not code.co_names


def _with_words():
    """Words."""
    ...


def _without_words():
    ...
