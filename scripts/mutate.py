"""Mutation testing: change the code in one place, run its tests, see whether they notice.

    python scripts/mutate.py                             every mutant of every file of TESTS
    python scripts/mutate.py ops.py                      every mutant of tinyalbert/ops.py
    python scripts/mutate.py tensor.py ops.py -n 60      60 of each file, drawn at random
    python scripts/mutate.py ops.py --seconds 120        as many as fit
    python scripts/mutate.py ops.py --grep 'def|scale'   those whose changed line matches

Works in a temporary copy.  A mutant is killed when a test fails, or when the run takes far too much
time or memory.  Those named in EQUIVALENT compute the same as the original: they are run, but not
counted.  Prints the survivors and the score of each file; exits with 1 if a score is below 95 %.
"""

import argparse
import ast
import copy
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

try:
    import resource
except ImportError:
    sys.exit(
        "mutate.py forks and limits its children, which Windows can't: use Linux, macOS or WSL"
    )

os.environ |= {"OPENBLAS_NUM_THREADS": "1", "HYPOTHESIS_PROFILE": "mutate"}

import hypothesis.extra.numpy  # noqa: E402, F401
import pytest  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
TESTS = {  # the files that are to notice, the quickest first
    "tensor.py": ["test_tensor.py", "test_nn.py", "test_ops.py"],
    "ops.py": ["test_ops.py", "test_attention.py"],
    "attention.py": ["test_attention.py", "test_albert.py"],
    "optim.py": ["test_optim.py"],
    "pretraining/masking.py": ["test_masking.py"],
    "pretraining/pairs.py": ["test_pairs.py"],
}
NAMED = {"ops.py"}  # whose tests bear the function's name: those are run first

# {file: {mutant as printed: why no test can tell it from the original}}
ONE_IN_2_53 = "differs if a random number is exactly the limit: one in 2**53"
NUMBER_2 = "of four axes, the last but one is number 2"
EQUIVALENT = {
    "tensor.py": {
        ": __slots__ = ('__weakref__', 'node', 'grad', 'requires_grad', 'data')": "slots have no order",
        "unbroadcast: if g.ndim >= len(shape):": "with as many axes as expected this is a sum over none",
        ": EVERY = (True,) * 17": "more than any op has arguments is enough",
        "pop: drop self.owned.discard(tensor)": "nobody looks for a Tensor again that the sweep has passed",
    },
    "ops.py": {
        "dropout_mask: columns = xp.arange((row_size + 1) * 2, dtype='uint32')": "the columns too many are cut off below",
        "dropout_mask: columns = xp.arange((row_size + 2) // 2, dtype='uint32')": "the columns too many are cut off below",
        "attention: gk = gscores.swapaxes(-1, +2) @ q * scale": NUMBER_2,
        "attention: gweights = g @ v.swapaxes(-1, +2)": NUMBER_2,
        "attention: gv = dropped.swapaxes(-1, +2) @ g": NUMBER_2,
        "attention: scores = q @ k.swapaxes(-1, +2) * scale": NUMBER_2,
    },
    "optim.py": {
        ": BLOCK = 1 << 16": "blocks of another size: only the speed differs",
        ": BLOCK = 2 << 15": "blocks of another size: only the speed differs",
        "_add_to_moments: t = self._temporary(1, g)": "t is done with before u is written into the same scratch",
        "_direction: u = self._temporary(2, w)": "scratch memory under another number",
        "_temporary: key = (device_of(like), like.dtype, i)": "the same key in another order",
        "state_dict: state['global_step'] = np.array(self.steps)": "int64 is NumPy's integer",
        "_update: ratio = xp.where(some, xp.sqrt(w_squares) / xp.sqrt(xp.where(some, u_squares, 1.01)), 1.0)": "what is divided by where the quotient is not used",
        "_update: ratio = xp.where(some, xp.sqrt(w_squares) / xp.sqrt(xp.where(some, u_squares, 2.0)), 1.0)": "what is divided by where the quotient is not used",
        "clip_by_global_norm: factor = limit / norm if limit <= norm < math.inf else None": "times 1 if they are equal",
    },
    "pretraining/masking.py": {
        "ngram_probabilities: p = 2 / np.arange(1, ngram + 1)": "divided by its sum in the next line",
        "cover: drop break": "a little slower: with nothing expected no span is short enough",
    },
    "pretraining/pairs.py": {
        "_google_document: elif not random_next_sentence and rng.random() <= 0.5:": ONE_IN_2_53,
        "_google_document: if n == 1 or (random_next_sentence and rng.random() <= 0.5):": ONE_IN_2_53,
        "_lay_out: backward = rng.random(len(first)) <= 0.5": ONE_IN_2_53,
        "_cut: short = rng.random(count) <= short_seq_prob": ONE_IN_2_53,
        "fit: keep_a = np.where(a_length + b_length < max_tokens, a_length, "
        "np.minimum(a_length, np.maximum(max_tokens - b_length, half)))": "where they just fit both give a_length",
        "google_instances: target = int(rng.integers(2, max_tokens + 1)) if rng.random() <= "
        "short_seq_prob "
        "else max_tokens": ONE_IN_2_53,
        "google_pairs: off_a = np.where(a_length >= b_length, longer, 0) + even // 2": "longer is 0 where they are equal",
        "google_pairs: off_b = np.where(a_length >= b_length, 0, longer) + (even + 1) // 2": "longer is 0 where they are equal",
    },
}

OPERATORS = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.MatMult: ast.Mult,
    ast.BitXor: ast.BitOr,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
}

PROFILE = """
from hypothesis import Phase  # noqa: E402
settings.register_profile("mutate", max_examples=10, derandomize=True,
                          phases=[Phase.explicit, Phase.generate], **COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))
"""  # one failure is enough: none is shrunk to its smallest form
MEMORY = 8 << 30  # bytes of address space for one run of the tests


def is_text(node):
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def changes_at(node):
    """Functions that change `node` in place, each one mutant."""
    if isinstance(node, (ast.BinOp, ast.AugAssign, ast.BoolOp)) and type(node.op) in OPERATORS:
        yield lambda n: setattr(n, "op", OPERATORS[type(n.op)]())
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield lambda n: setattr(n, "op", ast.UAdd())
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield lambda n: setattr(n, "operand", ast.UnaryOp(ast.Not(), n.operand))
    if isinstance(node, ast.Compare):
        for i, operator in enumerate(node.ops):
            if type(operator) in OPERATORS:
                yield lambda n, i=i: n.ops.__setitem__(i, OPERATORS[type(n.ops[i])]())
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield lambda n: setattr(n, "value", not n.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        yield lambda n: setattr(n, "value", n.value + 1)
        if isinstance(node.value, float) and node.value:
            yield lambda n: setattr(n, "value", n.value * 1.01)
    if isinstance(node, (ast.If, ast.IfExp, ast.While)):
        yield lambda n: setattr(n, "test", ast.UnaryOp(ast.Not(), n.test))
    if isinstance(node, ast.Tuple) and isinstance(node.ctx, ast.Load) and len(node.elts) > 1:
        yield lambda n: n.elts.reverse()
    if isinstance(node, ast.Call):
        for i, keyword in enumerate(node.keywords):
            if keyword.arg:
                yield lambda n, i=i: n.keywords.pop(i)
    for part in ("body", "orelse", "finalbody"):
        statements = getattr(node, part, None)
        for i, statement in enumerate(statements if isinstance(statements, list) else ()):
            if isinstance(statement, (ast.AugAssign, ast.Raise, ast.Break, ast.Continue)) or (
                isinstance(statement, ast.Expr) and not is_text(statement)
            ):
                yield lambda n, part=part, i=i: getattr(n, part).__setitem__(i, ast.Pass())


def left_alone(node):
    """The parts of `node` that are not changed: messages, annotations, and the -1 of reshape (any
    negative will do).
    """
    if isinstance(node, (ast.JoinedStr, ast.Raise)):
        yield node
    yield from (
        part for part in (getattr(node, "annotation", None), getattr(node, "returns", None)) if part
    )
    if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "reshape":
        yield from (size.operand for size in node.args if isinstance(size, ast.UnaryOp))


def scopes(tree):
    """{line of the text: the function that it stands in}, inner functions under the name of the
    outer.
    """
    names = {}
    for node in tree.body:
        for inner in [node, *(node.body if isinstance(node, ast.ClassDef) else ())]:
            for line in range(inner.lineno, inner.end_lineno + 1):
                names[line] = getattr(inner, "name", "")
    return names


def mutants(source):
    """[(label, text of the changed module)], one for each place and change; all but what is
    left_alone.

    label: the function, and the changed line as ast.unparse writes it, or the line that was
    dropped, numbered where a function has several alike."""
    tree = ast.parse(
        ast.unparse(ast.parse(source))
    )  # its line numbers are those of the unparsed text
    plain, where = ast.unparse(tree).splitlines(), scopes(tree)
    skip = {id(m) for n in ast.walk(tree) for part in left_alone(n) for m in ast.walk(part)}
    found = {}
    for number, node in enumerate(ast.walk(tree)):
        for which, _ in enumerate(changes_at(node) if id(node) not in skip else ()):
            changed = copy.deepcopy(tree)
            twin = next(n for k, n in enumerate(ast.walk(changed)) if k == number)
            list(changes_at(twin))[which](twin)
            text = ast.unparse(ast.fix_missing_locations(changed))
            lines = text.splitlines()
            at = [i for i, (a, b) in enumerate(zip(plain, lines)) if a != b]
            if at:
                new, old = lines[at[0]].strip(), plain[at[0]].strip()
                found[text] = (
                    at[0],
                    f"{where.get(at[0] + 1, '')}: {'drop ' + old if new == 'pass' else new}",
                )
    labelled, seen = [], Counter()
    for text, (_, label) in sorted(found.items(), key=lambda item: item[1]):
        seen[label] += 1
        labelled.append((label + (f" ({seen[label]})" if seen[label] > 1 else ""), text))
    return labelled


def run_tests(folder, arguments, seconds):
    """What pytest exits with, in a child that has `seconds` of computing time; negative if it was
    stopped.

    A fork: NumPy, pytest and hypothesis are imported once, here, and tinyalbert in the child alone.
    """
    child = os.fork()
    if not child:
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        signal.alarm(900)  # for one that waits for ever
        os.chdir(folder)
        sys.path.insert(0, str(folder))
        for stream in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
        code = 3  # what pytest says if it breaks down itself
        try:
            code = int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *arguments]))
        finally:
            os._exit(code)  # whatever happened: there is one parent
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def outcome(folder, tests, seconds, named=None):
    """What the tests exit with in `folder`, 0 if they pass; those with `named` in their names are
    run first.
    """
    files = [f"tests/{t}" for t in tests]
    first = run_tests(folder, [*files, "-k", named], seconds) if named else 0
    return (
        first if first not in (0, 5) else run_tests(folder, files, seconds)
    )  # 5: none has such a name


def judge(name, count=None, seconds=None, rng=None, pattern=""):
    """Print the survivors of one file and its score, which is returned."""
    source = (ROOT / "tinyalbert" / name).read_text(encoding="utf-8")
    every, equivalent = mutants(source), EQUIVALENT.get(name, {})
    labels = {label for label, _ in every}
    for label in equivalent:
        if label not in labels:
            print(
                f"  no such mutant any more, take it out of EQUIVALENT: {name}: {label}", flush=True
            )
    chosen = [m for m in every if re.search(pattern, m[0])]
    if count is not None or seconds is not None:
        rng.shuffle(chosen)
    tried = alive = stopped = same = 0
    begin = time.time()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for part in ("tinyalbert", "tests"):
            shutil.copytree(
                ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__")
            )
        shutil.copy(ROOT / "pyproject.toml", folder)
        conftest = folder / "tests" / "conftest.py"
        text = conftest.read_text(encoding="utf-8")
        loads = next(line for line in text.splitlines() if line.startswith("settings.load_profile"))
        conftest.write_text(text.replace(loads, PROFILE), encoding="utf-8")
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        if outcome(folder, TESTS[name], 600):
            sys.exit(f"{name}: the tests fail without any change; mend that first")
        limit = 5 + int(3 * (resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before))
        changed = folder / "tinyalbert" / name
        for label, text in chosen[:count]:
            if seconds is not None and time.time() - begin > seconds:
                break
            changed.write_text(text, encoding="utf-8")
            for stale in changed.parent.glob(f"__pycache__/{changed.stem}.*"):
                stale.unlink()  # Python tells old from new by size and second only
            code = outcome(folder, TESTS[name], limit, name in NAMED and label.split(":")[0])
            lives = code == 0
            if label in equivalent:
                same += 1
                if not lives:
                    print(f"  killed, so take it out of EQUIVALENT: {name}: {label}", flush=True)
                continue
            tried += 1
            alive += lives
            stopped += code < 0
            if lives:
                print(f"  survives: {name}: {label}", flush=True)
    score = 100 * (1 - alive / max(tried, 1))
    print(
        f"{name}: {tried - alive} of {tried} killed ({score:.1f} %), {stopped} of them for taking "
        f"too long, "
        f"{alive} alive, {same} equivalent; {len(every)} mutants in all, {time.time() - begin:.0f} "
        f"s",
        flush=True,
    )
    for label in sorted(equivalent):
        print(f"  equivalent: {label}\n      {equivalent[label]}", flush=True)
    return score


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", default=list(TESTS), help=f"of: {', '.join(TESTS)}")
    parser.add_argument("-n", type=int, help="mutants of each file, drawn at random")
    parser.add_argument("--seconds", type=float, help="stop each file after this time")
    parser.add_argument(
        "--grep", default="", help="only mutants whose label matches this regular expression"
    )
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    for name in args.files:
        if name not in TESTS:
            sys.exit(f"{name}: no tests are known for it; expected one of {', '.join(TESTS)}")
    scores = [
        judge(name, args.n, args.seconds, random.Random(args.seed), args.grep)
        for name in args.files
    ]
    sys.exit(min(scores) < 95)


if __name__ == "__main__":
    main()
