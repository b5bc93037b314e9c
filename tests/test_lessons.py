"""Every lesson runs untouched and with its solutions; test_judge.py tries the wrong answers."""

import ast
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

import tinyalbert
from tinyalbert.ask import Finder
from tinyalbert.explore.explorer import Explorer
from tinyalbert.explore.views import answer

LESSONS = Path(__file__).resolve().parent.parent / "lessons"
FILES = sorted(LESSONS.glob("[0-9]*.py"))
NAMES = [f.stem for f in FILES]
WITHOUT_GRADIENT = {"00", "10", "11", "19", "20", "21", "23", "25"}         # they build nothing that is differentiated
ABOUT_THE_CPU = {"01", "02", "10", "11", "21", "22"}
ON_THE_STAND_IN = f"""if True:
    import runpy, sys
    sys.path[:0] = [{str(Path(__file__).parent)!r}, {str(LESSONS.parent)!r}]
    import fakecupy
    sys.modules.update(fakecupy.modules())
    from tinyalbert.backend import check_device
    check_device("gpu")                          # its probe launches a few
    fakecupy.reset_counts()
    name = sys.argv[1]
    sys.argv, sys.path[:0] = [name, "--device", "gpu"], ["."]
    runpy.run_path(name, run_name="__main__")
    print("launches:", fakecupy.counts["launch"])
"""
on_the_cpu = pytest.mark.skipif("config.getoption('--backend') != 'numpy'", reason="a process of its own, on the CPU")


def run(name, tmp_path, answers=None, program=()):
    """Run a lesson as its reader does; figures are made, but a test compares nothing in them."""
    env = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1", "TINYALBERT_FIGURES": str(tmp_path)}
    env.pop("TINYALBERT_ANSWERS", None)
    if answers:
        env["TINYALBERT_ANSWERS"] = str(answers)
    return subprocess.run([sys.executable, *program, f"{name}.py"], cwd=LESSONS, env=env, capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=300)


def constants(path):
    """The NEEDS and TEACHES lists that a lesson states, read without running it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {t.id: ast.literal_eval(node.value) for node in tree.body if isinstance(node, ast.Assign)
            for t in node.targets if isinstance(t, ast.Name) and t.id in ("NEEDS", "TEACHES")}


def solutions(name):
    """The module lessons/solutions/<name>.py."""
    spec = importlib.util.spec_from_file_location(f"solutions_{name[:2]}", LESSONS / "solutions" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def exercises(name):
    """Names of the functions decorated with @exercise."""
    tree = ast.parse((LESSONS / f"{name}.py").read_text(encoding="utf-8"))
    return [node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)
            for d in node.decorator_list if isinstance(d, ast.Call) and getattr(d.func, "id", "") == "exercise"]


@on_the_cpu
@pytest.mark.parametrize("name", NAMES)
def test_untouched(name, tmp_path):
    done = run(name, tmp_path)
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-2000:]
    opened = re.findall(r"^-  exercise (\w+): open", done.stdout, re.M)
    assert opened == exercises(name) and 2 <= len(opened) <= 4
    equal, waiting = re.search(r"(\d+) times? equal to the library(?:, (\d+) more wait)?", done.stdout).groups()
    assert int(equal) + int(waiting or 0) > 0
    assert "figure: " in done.stdout


@on_the_cpu
@pytest.mark.parametrize("name", NAMES)
def test_with_its_solutions(name, tmp_path):
    done = run(name, tmp_path, LESSONS / "solutions" / f"{name}.py")
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-2000:]
    assert re.findall(r"^\+  exercise (\w+): right", done.stdout, re.M) == exercises(name)
    assert name[:2] in WITHOUT_GRADIENT or re.search(r"^=  .*(gradient|derivative)", done.stdout, re.M)
    if name[:2] == "00":
        what_lesson_00_says_of_its_model_is_there(tmp_path / "00_model")


def what_lesson_00_says_of_its_model_is_there(folder):
    """In the explorer the right piece becomes likelier with each pass, and comes first at the end."""
    mask = answer(Explorer(folder), "masks", {"text": "She looked [MASK] the drum all day."})["masks"][0]
    best = mask["answers"][0]
    assert best["piece"] == "▁for" and best["p"] == sorted(best["p"]) and best["p"][0] < 0.1 < 0.5 < best["p"][-1]
    assert mask["layers"][0][0]["piece"] != mask["layers"][-1][0]["piece"]


@pytest.mark.skipif("config.getoption('--backend') != 'fakecupy'", reason="--backend fakecupy: the stand-in for CuPy")
@pytest.mark.parametrize("name", NAMES)
def test_on_a_device(name, tmp_path):
    """`--device gpu` computes there, or says that there is nothing to compute there."""
    done = run(name, tmp_path, program=("-c", ON_THE_STAND_IN))
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-2000:]
    assert ("this lesson is about the CPU" in done.stdout) == (name[:2] in ABOUT_THE_CPU)
    assert (int(done.stdout.split("launches: ")[1]) > 0) == (name[:2] not in ABOUT_THE_CPU)


@on_the_cpu
def test_without_a_gpu_a_lesson_says_so(tmp_path):
    done = run(NAMES[5], tmp_path, program=("-c", "import runpy, sys; sys.modules['cupy'] = None; name = sys.argv[1]; "
                                            "sys.argv, sys.path[:0] = [name, '--device', 'gpu'], ['.']; "
                                            "runpy.run_path(name, run_name='__main__')"))
    assert done.returncode == 1 and "device 'gpu' can't be used" in done.stderr and "Traceback" not in done.stderr


@on_the_cpu
@pytest.mark.parametrize("words, code, said", [(["--device=gpu"], 1, "device 'gpu' can't be used"),
                                               (["--device", "cuda"], 2, "invalid choice: 'cuda'"),
                                               (["--devise", "gpu"], 2, "unrecognized arguments")])
def test_a_device_that_is_not_there_is_not_replaced_in_silence(words, code, said, tmp_path):
    done = run(NAMES[5], tmp_path, program=("-c", "import runpy, sys; sys.modules['cupy'] = None; name = sys.argv[1]; "
                                            f"sys.argv, sys.path[:0] = [name, *{words}], ['.']; "
                                            "runpy.run_path(name, run_name='__main__')"))
    assert done.returncode == code and said in done.stderr and "Traceback" not in done.stderr


def test_every_lesson_has_solutions_and_a_manifest():
    for name, path in zip(NAMES, FILES):
        assert set(constants(path)) == {"NEEDS", "TEACHES"}, name
        beside, of = solutions(name), set(exercises(name))
        assert of <= set(vars(beside)), name
        assert set(beside.HINTS) == set(beside.MISTAKES) == of and set(beside.REFERENCES) <= of, name
        assert all(len(m) >= 2 for m in beside.MISTAKES.values()), name


def test_no_answer_and_no_hint_stands_in_a_lesson():
    for name, path in zip(NAMES, FILES):
        text = path.read_text(encoding="utf-8")
        assert "reference=" not in text and not [h for h in solutions(name).HINTS.values() if h in text], name


def slices(path, text=None):
    """A lesson's file as lessons/_slices.py reads it, or other text in its place."""
    with mock.patch.object(sys, "path", [str(LESSONS), *sys.path]):
        import _slices
        return _slices.Lesson(path, text)


OWN = """from _check import same, put
import numpy as np
from tinyalbert import ops
def mine(x):
    return ops.exp.raw(x)[0] * 1
x = np.random.default_rng(0).standard_normal(3)
y, vjp = ops.exp.raw(put(x))
"""


@pytest.mark.parametrize("lines, own", [
    ("same(mine(x), y, 'it')", True),
    ("same(y, mine(x), 'it')", True),
    ("same(np.exp(x), y, 'it')", True),
    ("got = mine(x)\nsame(got[0], vjp(x)[0], 'it')", True),
    ("for a, b in zip(mine(x), vjp(x)):\n    same(a, b, 'it')", True),
    ("a, b = mine(x), ops.exp(x)\nsame(a, b.data, 'it')", True),
    ("both = []\nboth.append(mine(x))\nsame(both[0], y, 'it')", True),
    ("same(y, vjp(x)[0], 'it')", False),                                 # the library beside itself
    ("same(y.sum(), np.ones(len(y)), 'it')", False),
    ("same(y.shape, (3,), 'it')", False),
    ("same(mine(x), mine(x)[::-1], 'it')", False),                       # own code beside itself
    ("same(mine(x), [1 / 3] * 3, 'it')", False),
    ("y = mine(x)\nsame(mine(x), y, 'it')", False),
])
def test_only_own_code_that_was_compared_with_the_librarys_may_say_so(lines, own):
    assert slices("lesson.py", OWN + lines).depends_on("it") == ([], own)


def test_what_no_lesson_says_is_equal_to_the_librarys():
    """Of two lessons it is known where one side only is theirs or the library's."""
    def with_library(number):
        return [what.replace("\\", "") for what, _, own in slices(*LESSONS.glob(f"{number}_*.py")).comparisons if own]
    assert with_library("00") == ["numbers in the table and the widening matrix"]
    assert not {"three equal weights", "shuffled tokens give shuffled answers"} & set(with_library("08"))
    assert all(with_library(name[:2]) for name in NAMES)


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_what_waits_for_which_exercise(path):
    """Of each comparison with the library it is known which exercises stand in it."""
    compared = slices(path).comparisons
    assert compared and all(set(waits) <= set(exercises(path.stem)) for _, waits, _ in compared)
    if path.stem[:2] == "06":                    # gx is made by the exercise, the gradient of gamma is not
        assert [waits for what, waits, _ in compared if what.startswith("layer_norm")] == [
            [], [], ["layer_norm_backward"], [], []]


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_a_name_means_one_thing_in_a_lesson(path):
    """A name is bound once at the top level, or is a sum or the like that goes on: chain = chain + 1.  Figures are drawn on `fig, ax`."""
    bound, twice = set(), []
    for statement in slices(path).statements:
        found = {}
        for node in ast.walk(statement):
            if isinstance(node, ast.Assign) and not isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
                names = {n.id for target in node.targets for n in ast.walk(target) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
                found.update(dict.fromkeys(names, {n.id for n in ast.walk(node.value) if isinstance(n, ast.Name)}))
        if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
            found[statement.name] = set()
        twice += [(name, statement.lineno) for name, used in found.items() if name in bound - used - {"_", "fig", "ax", "axes", "left", "right"}]
        bound |= set(found)
    assert not twice


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_no_cell_is_longer_than_a_screen(path):
    cells = [cell for cell in path.read_text(encoding="utf-8").split("# %%")[1:] if not cell.startswith(" [markdown]")]
    assert max(sum(bool(line.strip()) for line in cell.splitlines()) for cell in cells) <= 40


def numbers_in(text):
    """The lessons that a path names: "01, NumPy, 02 to 05, 08"."""
    found = []
    for start, end in re.findall(r"(\d\d)(?: to (\d\d))?", text):
        found += [name[:2] for name in NAMES if start <= name[:2] <= (end or start)]
    return found


def test_each_path_has_what_its_lessons_need_and_takes_as_long_as_it_says():
    page = (LESSONS / "README.md").read_text(encoding="utf-8")
    minutes = {number: int(n) for number, n in re.findall(r"^\| \[?(\d\d|NumPy)\b.*?\| (\d+) min \|", page, re.M)}
    paths = re.findall(r"^\| (an? \w+|the whole course) \| (.+?) \| about (\d+)(½?) hours \|", page, re.M)
    assert len(paths) == 3
    needs = {path.stem[:2]: constants(path)["NEEDS"] for path in FILES}
    for name, lessons, hours, half in paths:
        on_it = numbers_in(lessons)
        assert not [(n, need) for i, n in enumerate(on_it) for need in needs[n] if need not in on_it[:i]], name
        assert abs(sum(minutes[n] for n in on_it) + minutes["NumPy"] - 60 * int(hours) - 30 * len(half)) <= 30, name


def test_needs_come_before():
    """Acyclic and in order: a lesson needs only lessons with a smaller number that exist."""
    numbers = [n[:2] for n in NAMES]
    for number, path in zip(numbers, FILES):
        for need in constants(path)["NEEDS"]:
            assert need in numbers and need < number, f"lesson {number} needs {need}"


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_what_a_lesson_says_it_teaches_stands_in_it(path):
    """Each name of TEACHES, beside that list and the imports."""
    text = path.read_text(encoding="utf-8")
    aside = [node for node in ast.parse(text).body if isinstance(node, (ast.Import, ast.ImportFrom))
             or isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "TEACHES"]
    gone = {number for node in aside for number in range(node.lineno, node.end_lineno + 1)}
    rest = "\n".join(line for number, line in enumerate(text.splitlines(), 1) if number not in gone)
    assert not [name for name in constants(path)["TEACHES"] if not re.search(rf"\b{name.split('.')[-1]}\b", rest)]


def test_the_search_of_lesson_16_ranks_as_the_librarys():
    """BM25 as the learner writes it, beside bm25s behind `tinyalbert ask`."""
    pytest.importorskip("bm25s")
    rng = np.random.default_rng(16)
    words = ["kite", "rope", "barn", "goat", "drum"]
    texts = [" ".join(rng.choice(words, n)) for n in rng.integers(3, 30, 40)]
    counts = np.array([[text.split().count(word) for word in words] for text in texts])
    scores = solutions("16_answering_questions").bm25(counts[:, [0, 3]], counts.sum(axis=1))
    found = Finder(texts)("Kite, goat?", len(texts))
    assert len(found) == (scores > 0).sum() > 20 and (np.diff(scores[found]) < 1e-6).all()


def test_the_score_of_summaries_in_lesson_17_is_that_of_the_library():
    """ROUGE as the learner writes it, beside the library that scores the task."""
    scorer = pytest.importorskip("rouge_score.rouge_scorer").RougeScorer(["rouge1", "rouge2"])
    rng, rouge = np.random.default_rng(17), solutions("17_choosing_sentences").rouge
    for _ in range(50):
        a, b = (rng.choice(["kite", "rope", "barn", "goat"], n).tolist() for n in rng.integers(1, 12, 2))
        scores = scorer.score(" ".join(a), " ".join(b))
        assert [rouge(a, b, n) for n in (1, 2)] == pytest.approx([scores[f"rouge{n}"].fmeasure for n in (1, 2)])


def test_every_public_name_is_taught():
    taught = {name for path in FILES for name in constants(path)["TEACHES"]}
    assert not set(tinyalbert.__all__) - taught


def handed_out(folder, words):
    """What lesson 05 says of a wrong and a right answer, in this folder of lessons."""
    env = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(folder.parent)}
    done = subprocess.run([sys.executable, "05_softmax_and_cross_entropy.py", *words], cwd=folder, env=env, capture_output=True, text=True)
    return done.returncode, done.stdout.replace(str(folder), ""), done.stderr


@on_the_cpu
def test_lessons_that_are_handed_out_judge_alike_and_show_no_solution(tmp_path):
    target = tmp_path / "out"
    words = [sys.executable, str(LESSONS.parent / "scripts" / "handout.py"), str(target)]
    assert subprocess.run(words, capture_output=True).returncode == 0
    again = subprocess.run(words, capture_output=True, text=True)
    assert again.returncode == 2 and "is not empty" in again.stderr
    files = [path.name for path in (target / "lessons").rglob("*")]
    assert not {"exam.md", "TEACHING.md"} & set(files)
    assert sorted(path.name for path in (target / "lessons" / "solutions").iterdir()) == [f"{name}.sealed" for name in NAMES]
    answers = tmp_path / "answers.py"
    answers.write_text("def softmax_backward(y, g):\n    return y * g\n\n\ndef cross_entropy_backward(x, targets):\n    return x / 3\n")
    asked = ["--only", "softmax_backward", "cross_entropy_backward", "--answers", str(answers), "--grade"]
    here, there = handed_out(LESSONS, asked), handed_out(target / "lessons", asked)
    assert here == there and here[0] == 1 and "Hint: " in here[1]
    assert handed_out(target / "lessons", ["--hint", "softmax_backward"])[0] == 0


def test_the_page_for_teachers_names_every_lesson_with_the_minutes_of_the_map():
    pages = [(LESSONS / page).read_text(encoding="utf-8") for page in ("TEACHING.md", "README.md")]
    taught, mapped = ({row[0]: row[1] for row in re.findall(r"^\| (\d\d) .*?\| (\d+)(?: min)? \|", page, re.M)} for page in pages)
    assert list(taught) == [name[:2] for name in NAMES] and taught == mapped
    questions, answers = (re.findall(r"^(\d+)\. ", text, re.M) for text in (pages[0].split("## Exam")[1],
                                                                       (LESSONS / "solutions" / "exam.md").read_text(encoding="utf-8")))
    assert questions == answers and len(questions) >= 12
