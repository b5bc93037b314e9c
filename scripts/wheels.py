#!/usr/bin/env python3
"""Build the wheel and use it outside the checkout, with the oldest and the newest dependencies.

    python3 scripts/wheels.py                                     every supported Python that is here
    python3 scripts/wheels.py --python 3.12 --dependencies oldest
    python3 scripts/wheels.py --keep build/wheels                 keep the wheel, the environments and the outputs

Each environment holds the wheel and what it requires, and nothing else: every command explains itself,
a model is pretrained on the built-in stories, resumed, fine-tuned, evaluated and asked, in an empty
folder.  Then the extra `lessons` is added, and the curves are drawn.  A Python that this machine lacks
is named, with the versions that would be installed there.  Exits with 1 if anything failed.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import environment

PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
DEPENDENCIES = {"oldest": "lowest-direct", "newest": "highest"}  # uv's names
SHOWN = ["numpy", "sentencepiece", "safetensors", "threadpoolctl", "tqdm", "matplotlib"]
PNG = b"\x89PNG"
IN_PYTHON = """\
from pathlib import Path
import tinyalbert
assert "site-packages" in tinyalbert.__file__, tinyalbert.__file__
assert list(Path(tinyalbert.__file__).parent.rglob("*.cu")), "the wheel lacks the CUDA kernels"
from tinyalbert import AlbertForSequenceClassification, AlbertTokenizer, pipeline
tokenizer = AlbertTokenizer.from_pretrained("order")
model = AlbertForSequenceClassification.from_pretrained("order")
batch = tokenizer(["The dog was old.", "It slept."], padding=True, return_tensors="np")
print(model(**batch).logits.numpy().shape)
print(len(pipeline("fill-mask", "model")("The [MASK] was old.")), "words")
"""
# what is typed, and what has to stand in the answer
COMMANDS = [
    ("doctor", "NumPy"),
    ("info base_v2", "11,683,584"),
    (
        "pretrain stories:300 --preset tiny --steps 30 --vocab-size 600 --output model",
        "model and tokenizer in model",
    ),
    ("pretrain --resume --steps 40 --output model", "model and tokenizer in model"),
    ("fill-mask model [MASK]", "%"),
    ("score model Yes.", "Yes."),
    (
        "finetune stories:order:200 --dev stories:order:50 --model model --epochs 1 --output order",
        "accuracy",
    ),
    ("predict order stories:order:20 --output predictions.tsv", "predictions.tsv"),
    ("evaluate order stories:order:50", "accuracy"),
    ("finetune ner stories:ner:50 --model model --epochs 1 --output ner", "f1"),
]
WITH_PICTURES = [
    (
        "pretrain stories:300 --preset tiny --steps 10 --vocab-size 600 --output drawn",
        "curves in drawn",
    ),
    (
        "finetune stories:order:100 --model drawn --epochs 1 --output drawn_order",
        "accuracy",
    ),
]


def run(*command, folder=None, path=None):
    """Exit code and output of a command; nothing of the checkout is on its way."""
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    env |= {"PATH": path or env["PATH"], "OPENBLAS_NUM_THREADS": "1", "COLUMNS": "100"}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env=env,
        text=True,
        encoding="utf-8",
        errors="replace",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
    )
    return done.returncode, done.stdout


def uv(*arguments):
    """uv, which finds the oldest versions that have wheels; pip can only find the newest."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    installed = [str(folder) for folder in versions.glob("*/bin")]
    path = os.pathsep.join([*installed, os.environ["PATH"]])
    return run(sys.executable, "-m", "uv", "--no-python-downloads", *arguments, path=path)


def needs(what, code, output):
    if code:
        raise RuntimeError(f"{what} failed (exit code {code}):\n{output[-3000:]}")
    return output


def build(folder):
    """The wheel, made from the source distribution, as `python -m build` does."""
    print("python -m build", flush=True)
    needs("building", *run(sys.executable, "-m", "build", "--outdir", folder, environment.ROOT))
    wheel = next(folder.glob("*.whl"))
    print(f"{wheel.name}, {wheel.stat().st_size / 1e3:,.0f} kB")
    return wheel


def pins(resolution, *python):
    """Exit code, and the versions that a Python gets, as name==version lines or uv's refusal.

    The extra counts from the start, so that adding it moves nothing.
    """
    return uv(
        *("pip", "compile", "--quiet", "--no-header", "--no-annotate", "--only-binary", ":all:"),
        *("--resolution", DEPENDENCIES[resolution], "--extra", "lessons", *python),
        environment.ROOT / "pyproject.toml",
    )


def install(python, wheel, extra, versions):
    """The wheel with an extra, "" or "[lessons]", and the versions of a file."""
    code, output = uv("pip", "install", "--python", python, "-c", versions, f"{wheel}{extra}")
    needs("installing", code, output)


def versions(text):
    """The versions that are of interest here, from a list of name==version lines."""
    found = dict(re.findall(r"^([\w-]+)==(\S+)", text, re.M))
    return " ".join(f"{name} {found[name]}" for name in SHOWN if name in found)


def use(python, folder):
    """Every command of the installed package, in an empty folder; yields what went wrong."""
    names = needs("--help", *run(python, "-m", "tinyalbert", "--help", folder=folder))
    helps = [f"{name} --help" for name in re.findall(r"^    ([a-z][a-z-]+)\b", names, re.M)]
    if len(helps) < 10:
        yield f"--help names only {len(helps)} commands"
    for line, expected in [("--version", "tinyalbert"), *((h, "usage:") for h in helps), *COMMANDS]:
        yield from wrong(
            line, expected, *run(python, "-m", "tinyalbert", *line.split(), folder=folder)
        )
    yield from wrong("python -c ...", "(2, 2)", *run(python, "-c", IN_PYTHON, folder=folder))
    if (folder / "model" / "loss.png").exists():
        yield "a picture was drawn, so matplotlib is there: this environment is not empty"


def use_pictures(python, folder):
    """The curves, which need an extra; yields what went wrong."""
    for line, expected in WITH_PICTURES:
        yield from wrong(
            line, expected, *run(python, "-m", "tinyalbert", *line.split(), folder=folder)
        )
    for path in (folder / "drawn" / "loss.png", folder / "drawn_order" / "loss.png"):
        if not path.exists() or path.read_bytes()[:4] != PNG:
            yield f"no picture {path.name} in {path.parent.name}"


def wrong(line, expected, code, output):
    if code or expected not in output or "Traceback" in output:
        yield f"{line}: exit code {code}, expected {expected!r} in\n{output[-1500:]}"


def check(version, resolution, wheel, folder):
    """One Python with one set of dependencies: (outcome, what it ran with), printing what failed."""
    code, found = uv("python", "find", version)
    if code:
        code, text = pins(resolution, "--python-version", version)
        return "not here", f"would get {versions(text)}" if not code else text.strip()[-300:]
    needs("making an environment", *uv("venv", "--python", found.strip(), folder / "venv"))
    python = environment._python(folder / "venv")
    chosen = folder / "versions.txt"
    chosen.write_text(needs("choosing versions", *pins(resolution, "--python", python)))
    work = folder / "work"
    work.mkdir()
    install(python, wheel, "", chosen)
    problems = list(use(python, work))
    install(python, wheel, "[lessons]", chosen)
    problems += use_pictures(python, work)
    for problem in problems:
        print(f"Python {version}, {resolution}: {problem}", flush=True)
    ran_with = versions(needs("listing", *uv("pip", "freeze", "--python", python)))
    return "FAILED" if problems else "passed", ran_with


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--python", nargs="+", default=PYTHONS, metavar="X.Y", help=f"default: {' '.join(PYTHONS)}"
    )
    parser.add_argument(
        "--dependencies", nargs="+", default=list(DEPENDENCIES), choices=DEPENDENCIES, help="both"
    )
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="a new folder for what is made")
    options = parser.parse_args()
    if options.keep and options.keep.exists():
        parser.error(f"{options.keep} exists already: name a new folder")
    environment.enter(["wheels"])
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.keep or Path(temporary)).resolve()
        wheel = build(folder / "dist")
        rows = []
        for version in options.python:
            for resolution in options.dependencies:
                start = time.perf_counter()
                place = folder / f"{version}-{resolution}"
                place.mkdir()
                rows.append((version, resolution, *check(version, resolution, wheel, place)))
                outcome, details = rows[-1][2:]
                seconds = time.perf_counter() - start
                print(
                    f"{version:6s}{resolution:8s}{outcome:10s}{seconds:4.0f} s  {details}",
                    flush=True,
                )
    return 1 if any(row[2] == "FAILED" for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
