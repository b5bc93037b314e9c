#!/usr/bin/env python3
"""The lessons for learners, without readable solutions: a folder to give out.

    python scripts/handout.py FOLDER

Copies the library, the lessons and what sets them up.  The solutions are sealed (compressed), so
that the lessons still judge answers and give hints, but nobody reads a solution by accident.  It is
no lock: who wants to open them can, and the library is the lessons' own subject."""

import argparse
import shutil
import sys
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COPIED = (
    "LICENSE",
    "README.md",
    "pyproject.toml",
    "tinyalbert",
    "lessons",
    "scripts/environment.py",
    "scripts/build_notebooks.py",
)
LEFT_OUT = ("solutions", "notebooks", "TEACHING.md", "__pycache__")


def hand_out(folder):
    """Write the copy into `folder`; returns the number of sealed solutions."""
    for name in COPIED:
        source = ROOT / name
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns(*LEFT_OUT))
        else:
            shutil.copy2(source, target)
    sealed = folder / "lessons" / "solutions"
    sealed.mkdir()
    solutions = sorted((ROOT / "lessons" / "solutions").glob("[0-9]*.py"))
    for path in solutions:
        (sealed / f"{path.stem}.sealed").write_bytes(zlib.compress(path.read_bytes()))
    return len(solutions)


def main(argv=None):
    """Hand out into the folder that the argument names; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="a new or empty folder")
    folder = parser.parse_args(argv).folder.absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        parser.error(f"{folder} is not empty; name a new folder")
    if folder.is_relative_to(ROOT / "lessons") or folder.is_relative_to(ROOT / "tinyalbert"):
        parser.error(f"{folder} is within what is copied; name a folder elsewhere")
    try:
        count = hand_out(folder)
    except OSError as error:
        sys.exit(f"the lessons could not be copied: {error.strerror}: {error.filename}")
    print(f"{folder}: the lessons, {count} solutions sealed")
    print("   to be set up there with: python3 scripts/environment.py")
    return 0


if __name__ == "__main__":
    sys.exit(main())
