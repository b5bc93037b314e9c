"""What every lesson uses: predict, same, exercise, figure, show, finish.  Nothing here waits for input.

A lesson runs as a script (`python lessons/05_softmax_and_cross_entropy.py`) and as a notebook.  With
`--device gpu`, the library's side of it, including models and their training, is computed on the GPU.
"""

import argparse
import importlib.util
import inspect
import os
import sys
import textwrap
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
if str(HERE.parent) not in sys.path:
    sys.path.insert(0, str(HERE.parent))         # a lesson works without an installed package

from tinyalbert.backend import check_device, to_device, to_host  # noqa: E402
from tinyalbert.errors import UserError  # noqa: E402

IN_NOTEBOOK = "ipykernel" in sys.modules
options = argparse.ArgumentParser(description="Run this lesson: print its results, save its figures, and check the answers in its file.")
options.add_argument("--device", choices=("cpu", "gpu"), default="cpu", help="where the library computes (default: cpu)")
DEVICE = options.parse_args([] if "TINYALBERT_LESSON" in os.environ else None).device       # a notebook has no options
tally = {"same": 0, "right": 0, "open": 0, "wrong": 0, "put": 0}
try:
    check_device(DEVICE)
except UserError as error:
    sys.exit(f"{Path(sys.argv[0]).name}: {error}")


def lesson_name():
    """The file name of the running lesson, without its ending: "05_softmax_and_cross_entropy"."""
    if "TINYALBERT_LESSON" in os.environ:        # set by the notebooks, which have no file name
        return os.environ["TINYALBERT_LESSON"]
    return Path(sys.argv[0]).stem


def put(what):
    """An array or a model on the device of this run (`--device gpu`, else the CPU)."""
    tally["put"] += 1
    return what.to(DEVICE) if hasattr(what, "parameters") else to_device(np.asarray(what), DEVICE)


class predict:
    """Ask before telling: p = predict("...", guess=None); ...; p.reveal(actual).  Write your guess into the call."""

    def __init__(self, question, guess=None):
        self.question, self.guess = question, guess
        print(f"\n?  {question}")

    def reveal(self, actual, form="{}"):
        """Print the guess, if there is one, and the true answer."""
        mine = "(no guess yet: write one in the cell above and run again)"
        print("   you said ", mine if self.guess is None else form.format(self.guess))
        print("   it is    ", form.format(actual))


def same(mine, library, what, rtol=1e-10):
    """Assert that what the lesson built equals the library's result."""
    mine, library = np.asarray(to_host(mine)), np.asarray(to_host(library))
    rtol = max(rtol, 1e-4) if DEVICE == "gpu" and library.dtype == np.float32 else rtol
    np.testing.assert_allclose(mine, library, rtol=rtol, atol=rtol * max(1.0, float(np.abs(library).max(initial=0))),
                               err_msg=what)
    tally["same"] += 1
    print(f"=  {what}: equal to the library's "
          f"(largest difference {float(np.abs(mine - library).max(initial=0)):.1e})")


def _answers():
    """The functions in the file named by TINYALBERT_ANSWERS, if any: this is how the tests answer exercises."""
    path = os.environ.get("TINYALBERT_ANSWERS")
    return vars(_load(Path(path))) if path else {}


def _load(path):
    spec = importlib.util.spec_from_file_location(path.stem.replace(".", "_"), path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _mistakes(name):
    """{what went wrong: function} for typical wrong answers, from lessons/solutions/<lesson>.py."""
    path = HERE / "solutions" / f"{lesson_name()}.py"
    return getattr(_load(path), "MISTAKES", {}).get(name, {}) if path.exists() else {}


def _close(a, b):
    return np.shape(a) == np.shape(b) and np.allclose(a, b, rtol=1e-7, atol=1e-10)


def _agree(got, expected):
    """Numbers and arrays agree if they are equal up to rounding; everything else (tuples, texts) if it is equal."""
    if not isinstance(expected, (np.ndarray, np.generic, float, int)):
        return type(got) is type(expected) and got == expected
    try:
        return _close(np.asarray(got, dtype=np.float64), np.asarray(expected, dtype=np.float64))
    except (TypeError, ValueError):
        return False


def _run(function, args):
    return function(*[a.copy() if isinstance(a, np.ndarray) else a for a in args])


def _by_one_factor(attempt, reference, trials, ratio):
    """Is the attempt `ratio` times the reference on every trial?"""
    try:
        return all(_close(_run(attempt, args), ratio * _run(reference, args)) for args in trials)
    except Exception:                            # it fails, or does not return a number, on another trial
        return False


def diagnose(name, attempt, reference, trials):
    """What is wrong with an attempt, in words, or None if it is right on every trial."""
    for args in trials:
        expected = _run(reference, args)
        try:
            got = _run(attempt, args)
        except Exception as error:               # a bug in an attempt is a result, not a crash of the lesson
            return f"it stopped with {type(error).__name__}: {error}"
        if _agree(got, expected):
            continue
        for what, mistake in _mistakes(name).items():
            if all(_agree(_run(attempt, t), _run(mistake, t)) for t in trials):
                return what
        if not isinstance(expected, (np.ndarray, np.generic, float, int)):
            return f"for {args!r} it gave {got!r}, expected {expected!r}"
        try:
            got, expected = np.asarray(got, dtype=np.float64), np.asarray(expected, dtype=np.float64)
        except (TypeError, ValueError):
            return f"it returned a {type(got).__name__}, expected numbers of shape {np.shape(expected)}"
        if got.shape != expected.shape:
            same_numbers = got.size == expected.size and np.allclose(np.sort(got.ravel()), np.sort(expected.ravel()))
            return (f"shape {got.shape}, expected {expected.shape}"
                    + ("; the numbers are right: transposed or reshaped" if same_numbers else ""))
        if got.ndim > 1 and got.shape[-1] == got.shape[-2] and _close(got.swapaxes(-1, -2), expected):
            return "transposed: right after swapping the last two axes"
        if not np.isfinite(got).all():
            return f"{int((~np.isfinite(got)).sum())} values are not finite"
        ratio = float((got * expected).sum() / (expected * expected).sum()) if (expected * expected).sum() else 0.0
        if got.size == 1 and not (ratio and _by_one_factor(attempt, reference, trials, ratio)):
            plain = all(isinstance(a, (int, float)) for a in args)               # any two numbers have some ratio
            return f"{f'for {args} ' if plain else ''}it gave {got.item():.10g}, expected {expected.item():.10g}"
        if ratio and np.allclose(got, ratio * expected, rtol=1e-6):
            return f"right up to a factor of {ratio:.6g}"
        if np.allclose(got - expected, (got - expected).flat[0], rtol=1e-6):
            return f"right up to a constant: every value is {float((got - expected).flat[0]):+.6g} off"
        place = np.unravel_index(np.abs(got - expected).argmax(), got.shape)
        return f"largest error {np.abs(got - expected).max():.2g}, at index {tuple(int(i) for i in place)}"
    return None


def exercise(reference, trials, hint):
    """Decorate a stub whose body is `...`.  Answers are compared with `reference`, the library's own function if there is one.

    trials: tuples of arguments.  Untouched stubs count as open; wrong answers are explained.
    """
    def judge(stub):
        attempt = _answers().get(stub.__name__, stub)
        if _run(attempt, trials[0]) is None if attempt is stub else False:
            tally["open"] += 1
            print(f"-  exercise {stub.__name__}: open. Hint: {hint}")
            return reference                     # the rest of the lesson uses the library's version
        problem = diagnose(stub.__name__, attempt, reference, trials)
        if problem:
            tally["wrong"] += 1
            print(f"x  exercise {stub.__name__}: {problem}. Hint: {hint}")
            return reference
        tally["right"] += 1
        print(f"+  exercise {stub.__name__}: right, on {len(trials)} trials")
        return attempt
    return judge


def figure(fig, name):
    """Save a figure as lessons/figures/<number>_<name>.png; a notebook also shows it."""
    for ax in fig.axes:                          # titles are sentences: wrap those wider than the panel
        inches = ax.get_position().width * fig.get_figwidth()
        ax.set_title(textwrap.fill(ax.get_title(), max(16, int(14 * inches))))
    folder = Path(os.environ.get("TINYALBERT_FIGURES", HERE / "figures"))        # the tests save theirs elsewhere
    folder.mkdir(exist_ok=True)
    path = folder / f"{lesson_name()[:2]}_{name}.png"
    fig.savefig(path, dpi=110, bbox_inches="tight", metadata={"Software": None})
    print(f"   figure: lessons/figures/{path.name}")
    if not IN_NOTEBOOK:
        import matplotlib.pyplot as plt
        plt.close(fig)


def pyplot():
    """matplotlib's pyplot, set up alike for every lesson; it draws to files unless in a notebook."""
    import matplotlib
    if not IN_NOTEBOOK:
        matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    plt.rcParams.update({"figure.figsize": (6.4, 3.6), "axes.spines.top": False, "axes.spines.right": False,
                         "axes.titlesize": 11, "font.size": 9, "image.cmap": "Greys", "svg.hashsalt": "tinyalbert"})
    return plt


def show(thing):
    """Print the library's own source of a function or class, with its file and line."""
    thing = getattr(thing, "raw", thing)
    lines, start = inspect.getsourcelines(thing)
    path = Path(inspect.getsourcefile(thing)).relative_to(HERE.parent)
    print(f"\n--- {path}:{start}\n{''.join(lines).rstrip()}\n")


def finish():
    """The last line of a lesson: checks passed and the state of the exercises; exit code 1 if one is wrong."""
    print(f"\n{lesson_name()}: {tally['same']} times equal to the library; exercises: {tally['right']} right, "
          f"{tally['open']} open, {tally['wrong']} wrong")
    if DEVICE == "gpu" and not tally["put"]:
        print("(this lesson is about the CPU: --device gpu had no effect)")
    if tally["wrong"] and not IN_NOTEBOOK:
        sys.exit(1)
