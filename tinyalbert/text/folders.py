"""The files of a folder, what of it is left out and why, and the complaints about several files."""

import contextlib
import os
import shlex
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import UserError

SHOWN = 100  # bad files that a message lists
NAMED = 3  # files that are left out, of each kind


@dataclass
class Found:
    """The files of a source in their order, and what was left out: [(why, path), ...]."""

    files: list
    left_out: list = field(default_factory=list)


def files_of(path):
    """What is Found below a folder, sorted by name; symbolic links are followed once.

    What is hidden, is no file (a link to nothing, a pipe) or empty is left out; a folder that can't
    be read is refused.
    """
    found = Found([])
    problems = BadFiles()
    seen = set()

    def refuse(error):
        problems.add(
            f"{error.filename} can't be read ({error.strerror}); change that (chmod -R u+rX "
            f"{shlex.quote(str(error.filename))}), or leave it out"
        )

    for folder, folders, names in os.walk(path, onerror=refuse, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()  # the walk ends here
            continue
        seen.add(real)
        found.left_out += [("hidden", Path(folder, n)) for n in folders if n.startswith(".")]
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            file = Path(folder, name)
            why = _left_out(file)
            if why:
                found.left_out.append((why, file))
            else:
                found.files.append(file)
    problems.raise_any(path)
    found.files.sort()
    found.left_out.sort()
    return found


def _left_out(file):
    """Why a path is no file to be read; None if it is one."""
    if file.name.startswith("."):
        return "hidden"
    if not file.exists():
        return "broken link"
    if not file.is_file():
        return "special file"
    return None if file.stat().st_size else "empty"


def describe_left_out(left_out):
    """What was left out, in words: how many of each kind, and some names; "" for nothing."""
    counts = Counter(why for why, _ in left_out)
    parts = []
    for why, count in counts.items():
        names = [str(path) for reason, path in left_out if reason == why]
        more = f" and {count - NAMED:,} more" if count > NAMED else ""
        parts.append(f"{count:,} {why} ({', '.join(names[:NAMED])}{more})")
    return f"left out: {', '.join(parts)}" if parts else ""


def describe_read(folder, files, left_out):
    """Which files of a folder were read and what was left out, in words."""
    names = ", ".join(str(path.relative_to(folder)) for path in files[:NAMED])
    more = f" and {len(files) - NAMED:,} more" if len(files) > NAMED else ""
    rest = describe_left_out(left_out)
    return f"{folder}: read {names}{more}" + (f"; {rest}" if rest else "")


class BadFiles:
    """Complaints about several files, which are made together."""

    def __init__(self):
        self.problems = []

    def add(self, problem):
        """Remember a complaint."""
        self.problems.append(str(problem))

    @contextlib.contextmanager
    def noting(self):
        """Remember a UserError in place of raising it."""
        try:
            yield
        except UserError as problem:
            self.add(problem)

    def raise_any(self, where):
        """Raise what was remembered, if anything was.  where: how a message calls all files."""
        if len(self.problems) == 1:
            raise UserError(self.problems[0])
        if self.problems:
            lines = self.problems[:SHOWN]
            more = len(self.problems) - SHOWN
            lines += [f"and {more:,} more"] if more > 0 else []
            raise UserError(
                f"{len(self.problems):,} files of {where} can't be read:\n  " + "\n  ".join(lines)
            )
