"""Mutation testing: change the code in one place, run its tests, see whether they notice.

    python scripts/mutate.py ops.py                      every mutant of tinyalbert/ops.py
    python scripts/mutate.py tensor.py ops.py -n 60      60 of each file, drawn at random
    python scripts/mutate.py ops.py --seconds 120        as many as fit

Works in a temporary copy.  A mutant is killed when a test fails or when the run takes far too long.  Prints
the score of each file and the survivors; some of these are equivalent, which only a reader can tell.
"""

import argparse
import ast
import copy
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TESTS = {
    "tensor.py": ["test_tensor.py", "test_ops.py", "test_nn.py"],
    "ops.py": ["test_ops.py", "test_attention.py"],
    "attention.py": ["test_attention.py", "test_albert.py"],
    "optim.py": ["test_optim.py"],
    "pretraining/masking.py": ["test_masking.py"],
    "pretraining/pairs.py": ["test_pairs.py"],
}
OPERATORS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
             ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.MatMult: ast.Mult, ast.BitXor: ast.BitOr, ast.RShift: ast.LShift,
             ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
             ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
             ast.And: ast.Or, ast.Or: ast.And}


PROFILE = """
from hypothesis import Phase  # noqa: E402
settings.register_profile("mutate", max_examples=10, derandomize=True,
                          phases=[Phase.explicit, Phase.generate], **COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))
"""                                              # one failure is enough: none is shrunk to its smallest form


def is_text(node):
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def changes_at(node):
    """Functions that change `node` in place, each one mutant, with a word for it."""
    if isinstance(node, (ast.BinOp, ast.AugAssign, ast.BoolOp)) and type(node.op) in OPERATORS:
        yield "operator", lambda n: setattr(n, "op", OPERATORS[type(n.op)]())
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield "sign", lambda n: setattr(n, "op", ast.UAdd())
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield "not", lambda n: (setattr(n, "op", ast.Not()), setattr(n, "operand", ast.UnaryOp(ast.Not(), n.operand)))
    if isinstance(node, ast.Compare) and type(node.ops[0]) in OPERATORS:
        yield "comparison", lambda n: n.ops.__setitem__(0, OPERATORS[type(n.ops[0])]())
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield "truth", lambda n: setattr(n, "value", not n.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        yield "constant + 1", lambda n: setattr(n, "value", n.value + 1)
        if isinstance(node.value, float):
            yield "constant * 1.01", lambda n: setattr(n, "value", n.value * 1.01 + (n.value == 0))
    if isinstance(node, (ast.If, ast.IfExp, ast.While)):
        yield "condition", lambda n: setattr(n, "test", ast.UnaryOp(ast.Not(), n.test))
    if isinstance(node, ast.Tuple) and isinstance(node.ctx, ast.Load) and len(node.elts) > 1:
        yield "swap", lambda n: n.elts.reverse()
    body = getattr(node, "body", None)
    if isinstance(body, list):
        for i, statement in enumerate(body):
            if isinstance(statement, (ast.AugAssign, ast.Raise)) or (isinstance(statement, ast.Expr)
                                                                    and not is_text(statement)):
                yield f"drop line {statement.lineno}", lambda n, i=i: n.body.__setitem__(i, ast.Pass())


def mutants(source):
    """(line, what, text of the changed module), one for each place and change; annotations and texts left alone."""
    tree = ast.parse(source)
    skip = {id(m) for n in ast.walk(tree) if isinstance(n, (ast.JoinedStr, ast.Raise)) for m in ast.walk(n)}
    for number, node in enumerate(ast.walk(tree)):
        if id(node) in skip:
            continue
        for which, (what, _) in enumerate(changes_at(node)):
            changed = copy.deepcopy(tree)
            twin = next(n for k, n in enumerate(ast.walk(changed)) if k == number)
            list(changes_at(twin))[which][1](twin)
            text = ast.unparse(ast.fix_missing_locations(changed))
            if text != ast.unparse(tree):
                yield getattr(node, "lineno", 0), what, text


def survives(folder, tests, limit):
    """Whether the tests pass in `folder`; none is run past `limit` seconds."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "OPENBLAS_NUM_THREADS": "1", "HYPOTHESIS_PROFILE": "mutate",
                   "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *(f"tests/{t}" for t in tests)]
    try:
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=limit)
        return done.returncode == 0
    except subprocess.TimeoutExpired:
        return False


def judge(name, count, seconds, rng):
    """Print the score of one file, and its survivors."""
    source = (ROOT / "tinyalbert" / name).read_text(encoding="utf-8")
    chosen = list(mutants(source))
    total = len(chosen)
    rng.shuffle(chosen)
    survivors, tried, begin = [], 0, time.time()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for part in ("tinyalbert", "tests"):
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", folder)
        conftest = folder / "tests" / "conftest.py"
        text = conftest.read_text(encoding="utf-8")
        loads = next(line for line in text.splitlines() if line.startswith("settings.load_profile"))
        conftest.write_text(text.replace(loads, PROFILE), encoding="utf-8")
        start = time.time()
        if not survives(folder, TESTS[name], 600):
            sys.exit(f"{name}: the tests fail without any change; mend that first")
        limit = 20 + 5 * (time.time() - start)
        for line, what, text in chosen[:count]:
            if seconds and time.time() - begin > seconds:
                break
            (folder / "tinyalbert" / name).write_text(text, encoding="utf-8")
            tried += 1
            if survives(folder, TESTS[name], limit):
                survivors.append((line, what))
                print(f"  survives: {name}:{line} {what}: {source.splitlines()[line - 1].strip()}", flush=True)
    print(f"{name}: {tried - len(survivors)} of {tried} killed ({100 * (1 - len(survivors) / max(tried, 1)):.0f} %); "
          f"{total} mutants in all", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", default=list(TESTS), help=f"of: {', '.join(TESTS)}")
    parser.add_argument("-n", type=int, help="mutants of each file, drawn at random")
    parser.add_argument("--seconds", type=float, help="stop each file after this time")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    for name in args.files:
        if name not in TESTS:
            sys.exit(f"{name}: no tests are known for it; wanted one of {', '.join(TESTS)}")
        judge(name, args.n, args.seconds, random.Random(args.seed))


if __name__ == "__main__":
    main()
