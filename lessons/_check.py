"""What every lesson uses: predict, same, exercise, answers_to, figure, here, animation, keep, show, finish.  Nothing here waits for input.

A lesson runs as a script (`python lessons/05_softmax_and_cross_entropy.py`, with --help for what it can be asked) and as a
notebook.  `python lessons/_check.py 05` runs it too, even if one of its functions can't be parsed.  With `--device gpu`, the
library's ops take their arrays to the GPU and bring the results back; a model that is trained lives there (`put`).

What an exercise is compared with, its hint and the names of its typical mistakes stand in lessons/solutions/.
"""

import argparse
import ast
import functools
import inspect
import json
import os
import sys
import textwrap
import types
from dataclasses import dataclass
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
for folder in (HERE.parent, HERE):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))          # a lesson works without an installed package

import _judge  # noqa: E402
import _slices  # noqa: E402
from _answers import answers_to  # noqa: E402, F401
from _diagram import you_are_here  # noqa: E402

from tinyalbert.backend import check_device, to_device, to_host  # noqa: E402
from tinyalbert.errors import UserError  # noqa: E402
from tinyalbert.tensor import KERNELS, OPS, Sum, selective  # noqa: E402

IN_NOTEBOOK = "ipykernel" in sys.modules
ABOUT_THE_CPU = {"01", "02", "10", "11", "21", "22"}       # lessons that measure it, or have nothing to compute on a GPU
MARKS = {"right": "+", "open": "-", "wrong": "x"}


def lesson_name():
    """The file name of the running lesson, without its ending: "05_softmax_and_cross_entropy"."""
    if "TINYALBERT_LESSON" in os.environ:        # set by the notebooks, which have no file name
        return os.environ["TINYALBERT_LESSON"]
    return Path(sys.argv[0]).stem


@functools.cache
def _lesson():
    """The source of the running lesson, or None if it has no file here."""
    path = HERE / f"{lesson_name()}.py"
    return _slices.Lesson(path, _slices.mended(path.read_text(encoding="utf-8"))) if path.exists() else None


@functools.cache
def solutions_of(lesson):
    """The module lessons/solutions/<lesson>.py, or None."""
    paths = [HERE / "solutions" / f"{lesson}{ending}" for ending in (".py", _slices.SEALED)]
    return next((_load(path) for path in paths if path.exists()), None)


def _solutions():
    """That of the running lesson."""
    return solutions_of(lesson_name())


def _load(path):
    module = types.ModuleType(path.stem.replace(".", "_"))
    module.__file__ = str(path)
    source = _slices.mended(_slices.text_of(path))
    exec(compile(source, str(path), "exec"), vars(module))
    return module


def _options():
    """The command line of a lesson; a notebook has none."""
    parser = argparse.ArgumentParser(description="Run this lesson: print its results, save its figures, check the answers in its file.")
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu", help="where the library computes (default: cpu)")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="judge these exercises and leave out the rest of the lesson")
    parser.add_argument("--hint", nargs="+", metavar="NAME", help="print the hints for these exercises, and nothing else")
    parser.add_argument("--answers", type=Path, metavar="FILE", default=os.environ.get("TINYALBERT_ANSWERS"),
                        help="a Python file with answers, functions named as the exercises, that count instead of the lesson's own")
    parser.add_argument("--report", type=Path, metavar="FILE", help="also write the verdicts as JSON")
    parser.add_argument("--grade", action="store_true", help="end with exit code 3 if an exercise is open (1 if one is wrong)")
    options = parser.parse_args([] if "TINYALBERT_LESSON" in os.environ else None)
    options.answers = Path(options.answers) if options.answers else None
    try:
        known = list(_lesson().exercises) if _lesson() else []
    except SyntaxError as error:                 # Python itself has more to say about it when the lesson runs
        parser.error(f"{lesson_name()}.py, line {error.lineno}: {error.msg}")
    for name in (options.only or []) + (options.hint or []):
        if name not in known:
            parser.error(f"{lesson_name()} has no exercise {name}; it has {', '.join(known)}")
    if options.answers and not options.answers.is_file():
        parser.error(f"no file {options.answers} with answers")
    if options.report and not options.report.absolute().parent.is_dir():
        parser.error(f"no folder {options.report.parent} for the report")
    return options


def _moved(raw, on_gpu):
    """The op `raw` for the lessons' own NumPy arrays: `on_gpu` computes it there, and what it returns comes back."""
    def to_gpu(value):
        return to_device(value, "gpu") if isinstance(value, (np.ndarray, np.generic)) else value

    def back(values):
        arrays = (v.array if isinstance(v, Sum) else v for v in values)
        return tuple(a if a is None else to_host(a) for a in arrays)

    @functools.wraps(raw)
    def run(*arguments, **named):
        if not any(isinstance(a, np.ndarray) for a in arguments):        # a model that lives on the GPU
            return raw(*arguments, **named)
        out, vjp = on_gpu(*map(to_gpu, arguments), **named)
        if isinstance(vjp, selective):
            return to_host(out), selective(lambda g, needs: back(vjp(to_gpu(g), tuple(map(bool, needs)))))
        return to_host(out), lambda g: back(vjp(to_gpu(g)))
    return run


def _compute_on_the_gpu():
    """Let every op of the library compute there, fused where it has a fused version."""
    from tinyalbert import ops
    for name, raw in list(OPS.items()):
        OPS[name] = getattr(ops, name).raw = _moved(raw, raw)
        KERNELS[name, "numpy"] = _moved(raw, KERNELS.get((name, "cupy"), raw))


def put(what):
    """An array, or a model to be trained, on the device of this run (`--device gpu`, else the CPU)."""
    return what.to(DEVICE) if hasattr(what, "parameters") else to_device(np.asarray(what), DEVICE)


@dataclass
class Verdict:
    """What became of one exercise: right, open or wrong, and in words why."""

    outcome: str
    said: str = ""

    def lines(self, name, hint):
        shown = f"{MARKS[self.outcome]}  exercise {name}: {self.said or self.outcome}"
        return shown + (f"\n      Hint: {hint}" if self.outcome == "wrong" and hint else "")


class State:
    """What a run has found out so far."""

    def __init__(self):
        self.verdicts = {}                       # {exercise: Verdict}; a cell that runs again replaces its own
        self.equal = {}                          # {what was compared: exercises it waits for}
        self.finished = False


state = State()


class predict:
    """Ask before telling: p = predict("...", guess=None); ...; p.reveal(actual).  Write your guess into the call.

    The answer is kept back until there is a guess; any number or text will do.
    """

    def __init__(self, question, guess=None):
        self.question, self.guess = question, guess
        print(f"\n?  {question}")
        if not self.guessed:
            print("   (Write guess=... into this predict(): then the answer is shown. A number or any words will do.)")

    @property
    def guessed(self):
        return self.guess is not None and self.guess is not ...

    def reveal(self, actual, form="{}"):
        """Print the guess and the true answer, if there is a guess."""
        if not self.guessed:
            print(f"?  kept back until you guess: {textwrap.shorten(self.question, 76, placeholder=' ...')}")
            return
        mine = str(self.guess)
        if not isinstance(self.guess, str):
            try:
                mine = form.format(self.guess)
            except (ValueError, TypeError, IndexError, KeyError, AttributeError):    # a guess of another kind than the answer
                pass
        print("   you said ", mine)
        print("   it is    ", form.format(actual))


def same(mine, library, what, rtol=1e-10):
    """Assert that what the lesson built equals the library's result, or what it should be by another way of computing it.

    Where an open or wrong exercise stands on the lesson's side, the library has taken its place: nothing is claimed then.
    """
    mine, library = np.asarray(to_host(mine)), np.asarray(to_host(library))
    rtol = max(rtol, 1e-4) if DEVICE == "gpu" and library.dtype == np.float32 else rtol
    exercises, with_library = _lesson().depends_on(what) if _lesson() else ([], False)
    waits = [e for e in exercises if e in state.verdicts and state.verdicts[e].outcome != "right"]
    try:
        np.testing.assert_allclose(mine, library, rtol=rtol, atol=rtol * max(1.0, float(np.abs(library).max(initial=0))), err_msg=what)
    except AssertionError:
        mine_alone = [e for e in exercises if e in state.verdicts and e not in waits]
        if not mine_alone:
            raise
        for name in mine_alone:
            state.verdicts[name] = Verdict("wrong", f"right on the trials, but what the lesson makes of it is not the library's: {what}")
        return
    if with_library:
        state.equal[what] = waits
    if waits:
        print(f".  {what}: not yet your own, it waits for {', '.join(waits)}")
    else:
        difference = float(np.abs(mine - library).max(initial=0))
        said = "equal to the library's" if with_library else "equal"
        print(f"=  {what}: {said} (largest difference {difference:.1e})")


@functools.cache
def _answers():
    """The names in the file of --answers, and which of them it defines itself."""
    names = vars(_load(options.answers))
    return names, frozenset(names)


def _answer(stub):
    """The answer to be judged: from the file of --answers, where the lesson's names are known as well, else the stub as it is."""
    if not options.answers:
        return stub
    names, own = _answers()
    names.update({name: value for name, value in stub.__globals__.items() if name not in own}, LESSON=stub.__globals__)
    return names[stub.__name__] if stub.__name__ in own else stub


def exercise(trials):
    """Decorate a stub whose body is `...`.  Its answer is compared on the trials (tuples of arguments) with lessons/solutions/.

    Untouched stubs count as open; the verdicts are printed when the lesson ends, in a notebook at once.  Returns the answer
    if it is right, else what it is compared with, so that the rest of the lesson works.
    """
    def judge(stub):
        name, solutions = stub.__name__, _solutions()
        solutions.LESSON = stub.__globals__      # some answers need what the lesson has made
        reference = solutions.REFERENCES.get(name) or getattr(solutions, name)
        attempt = _answer(stub)
        if _judge.untouched(attempt):
            state.verdicts[name] = Verdict("open")
            taken = reference
        else:
            problem = _judge.diagnose(attempt, reference, trials, solutions.MISTAKES.get(name, {}), solutions, name)
            state.verdicts[name] = Verdict("wrong", problem) if problem else Verdict("right", f"right, on {len(trials)} trial{'s' * (len(trials) != 1)}")
            makes_array = isinstance(_judge.call(reference, trials[0]), np.ndarray)
            taken = reference if problem else _watched(name, attempt, reference, makes_array)
        if IN_NOTEBOOK:
            print(state.verdicts[name].lines(name, solutions.HINTS[name]))
        return taken
    return judge


def _watched(name, attempt, reference, makes_array):
    """An answer that was right on the trials, in use: if it fails there, that is its verdict, and the lesson goes on.

    makes_array: the lesson expects an array, where a list was as right.
    """
    @functools.wraps(attempt)
    def used(*arguments, **named):
        try:
            made = attempt(*arguments, **named)
            return np.asarray(made) if makes_array else made
        except Exception as error:
            state.verdicts[name] = Verdict("wrong", f"right on the trials, but in the lesson it stopped with {type(error).__name__}: {error}")
            return reference(*arguments, **named)
    return used


def _made():
    """The folder for what lessons make."""
    folder = Path(os.environ.get("TINYALBERT_FIGURES", HERE.parent / "runs" / "lessons"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _shown(path):
    """A path as the reader would type it in the project's folder."""
    return os.path.relpath(path, HERE.parent) if path.is_relative_to(HERE.parent) else path


def keep(model, tokenizer, name):
    """Save a model and its tokenizer as the folder runs/lessons/<number>_<name>, to be opened again later."""
    folder = _made() / f"{lesson_name()[:2]}_{name}"
    model.save_pretrained(folder, tokenizer=tokenizer)
    print(f"   model: {_shown(folder)}")
    return folder


def figure(fig, name):
    """Save a figure as runs/lessons/<number>_<name>.png; a notebook also shows it.

    The pictures in lessons/figures/ are renewed by TINYALBERT_FIGURES=lessons/figures.
    """
    for ax in fig.axes:                          # titles are sentences: wrap those wider than the panel
        inches = ax.get_position().width * fig.get_figwidth()
        ax.set_title(textwrap.fill(ax.get_title(), max(16, int(14 * inches))))
    path = _made() / f"{lesson_name()[:2]}_{name}.png"
    fig.savefig(path, dpi=110, bbox_inches="tight", metadata={"Software": None})
    print(f"   figure: {_shown(path)}")
    if not IN_NOTEBOOK:
        import matplotlib.pyplot as plt
        plt.close(fig)


def here(part):
    """The picture of the whole model, with a mark at the part that this lesson builds: lessons/_diagram.py has the parts."""
    figure(you_are_here(pyplot(), part), "you_are_here")


def animation(fig, draw, frames, name):
    """Save draw(0) to draw(frames - 1), each drawn on the figure, as runs/lessons/<number>_<name>.gif; a notebook also shows it."""
    from matplotlib.animation import FuncAnimation, PillowWriter
    path = _made() / f"{lesson_name()[:2]}_{name}.gif"
    FuncAnimation(fig, draw, frames=frames, init_func=lambda: None).save(path, writer=PillowWriter(fps=1), dpi=80)
    print(f"   figure: {_shown(path)}")
    import matplotlib.pyplot as plt
    plt.close(fig)
    if IN_NOTEBOOK:
        from IPython.display import Image, display
        display(Image(filename=path))


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


def _count(outcome):
    return sum(v.outcome == outcome for v in state.verdicts.values())


def _verdicts():
    """Print every verdict and the line that sums them up; write the report."""
    state.finished = True
    hints = _solutions().HINTS if _solutions() else {}
    print()
    for name, verdict in state.verdicts.items():
        print(verdict.lines(name, hints.get(name, "")))
    if _count("open") and not IN_NOTEBOOK:
        print(f"   write your answers into {lesson_name()}.py; --only NAME judges one in a moment, --hint NAME helps")
    waiting = sum(bool(w) for w in state.equal.values())
    equal = len(state.equal) - waiting
    compared = "" if options.only else (f"{equal} time{'s' * (equal != 1)} equal to the library"
                                        f"{f', {waiting} more wait for your answers' if waiting else ''}; ")
    print(f"{lesson_name()}: {compared}exercises: {_count('right')} right, {_count('open')} open, {_count('wrong')} wrong")
    if DEVICE == "gpu" and lesson_name()[:2] in ABOUT_THE_CPU and not options.only:
        print("(this lesson is about the CPU: --device gpu had no effect)")
    if options.report:
        _write_report()


def _write_report():
    """What a teacher's program reads.  An exercise that is open, or that the lesson didn't get to, is not done."""
    asked = options.only or (_lesson().exercises if _lesson() else state.verdicts)
    rows = {name: state.verdicts.get(name, Verdict("open", "the lesson stopped before it")) for name in asked}
    report = {"lesson": lesson_name(), "done": sum(v.outcome == "right" for v in rows.values()), "exercises": len(rows),
              "verdicts": {name: {"verdict": v.outcome, "said": v.said} for name, v in rows.items()},
              "equal_to_the_library": [what for what, waits in state.equal.items() if not waits]}
    try:
        options.report.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        sys.exit(f"the report could not be written: {error.strerror}: {options.report}")


def finish():
    """The end of a lesson: all verdicts; exit code 1 if one is wrong, 3 if one is open and --grade asks."""
    _verdicts()
    if not IN_NOTEBOOK:
        code = 3 if options.grade and _count("open") else 1 if _count("wrong") else 0
        if code:
            sys.exit(code)


def _stopped(kind, error, trace):
    """A lesson that stops half way still gives its verdicts."""
    sys.__excepthook__(kind, error, trace)
    if not state.finished and kind is not KeyboardInterrupt:
        print(f"\nThe lesson stopped before its end, with {kind.__name__} (above). Until then:")
        _verdicts()


def _run_only(names):
    """Judge these exercises: of the lesson, only what they need is run."""
    module = ast.fix_missing_locations(_lesson().slice(names))
    sys.modules.setdefault("_check", sys.modules[__name__])
    exec(compile(module, str(_lesson().path), "exec"), {"__name__": "__main__", "__file__": str(_lesson().path)})
    finish()
    sys.exit(0)


def _run_mended(words):
    """`python lessons/_check.py 05 ...`: the lesson with that number, functions that can't be parsed cut out."""
    paths = sorted(HERE.glob("[0-9]*.py"))
    chosen = [p for p in paths if words and p.stem.startswith(words[0].removesuffix(".py"))]
    if len(chosen) != 1:
        sys.exit(f"usage: python lessons/_check.py LESSON [options of a lesson]; LESSON is one of {', '.join(p.stem[:2] for p in paths)}")
    sys.argv = [str(chosen[0]), *words[1:]]
    try:
        source = _slices.mended(chosen[0].read_text(encoding="utf-8"))
    except SyntaxError as error:
        sys.exit(f"{chosen[0].name}, line {error.lineno}: {error.msg}")
    code = compile(source, str(chosen[0]), "exec")
    main = sys.modules["__main__"]
    vars(main).update(__file__=str(chosen[0]))
    exec(code, {"__name__": "__main__", "__file__": str(chosen[0])})


if __name__ == "__main__":
    _run_mended(sys.argv[1:])
else:
    options = _options()
    DEVICE = options.device
    if options.hint:
        for asked in options.hint:
            print(f"{asked}: {_solutions().HINTS[asked]}")
        sys.exit(0)
    try:
        check_device(DEVICE)
    except UserError as error:
        sys.exit(f"{Path(sys.argv[0]).name}: {error}")
    if DEVICE == "gpu" and lesson_name()[:2] not in ABOUT_THE_CPU | {"20"}:         # 20 moves its arrays itself
        _compute_on_the_gpu()
    if not IN_NOTEBOOK and "pytest" not in sys.modules:
        sys.excepthook = _stopped
    if options.only:
        _run_only(options.only)
