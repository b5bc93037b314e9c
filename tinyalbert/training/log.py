"""log.jsonl: one JSON object a line, for each logged step, evaluation and note of a run.

A log that can't be written is told once and stops no training; its lines wait in memory, and each
new one tries again.
"""

import json
import math
import os
import time
from pathlib import Path

from ..checks import REAL
from ..errors import advice_for
from ..files.writing import replacing
from ..strict_json import loads
from .progress import say

NAME = "log.jsonl"


class Log:
    """The log in an output folder; `folder` None, or another process than the first: no log."""

    def __init__(self, folder, writes=True):
        self.folder = folder
        self.path = Path(folder) / NAME if folder is not None and writes else None
        self.begun = time.perf_counter()
        self.lines = 0  # that are in it
        self.waiting = []  # lines that could not be written yet
        self.told = False  # whether it was said that there are some

    def seconds(self):
        """Time since the run began, interruptions left out."""
        return time.perf_counter() - self.begun

    def begin(self):
        """An empty log."""
        if self.path:
            self._try(self._rewrite, "")

    def resume(self, step, seconds, lines=None):
        """Go on after a checkpoint of `step`, made `seconds` after the run began.

        What was logged after the checkpoint is dropped, since it will be logged again.
        lines: how many there were then, if that is known.
        """
        self.begun = time.perf_counter() - seconds
        if self.path is None:
            return
        try:
            kept = [line for line in self._read() if _step(line) <= step][:lines]
        except OSError as error:
            self._tell(error)
            return
        self.lines = len(kept)
        self._try(self._rewrite, "".join(kept))

    def ended(self, step):
        """Whether the log says that the run was complete after `step` steps."""
        return any('"kind": "end"' in line and _step(line) == step for line in self._read())

    def _read(self):
        path = Path(self.folder) / NAME
        if not path.exists():
            return []
        return path.read_text("utf-8", "replace").splitlines(keepends=True)

    def add(self, kind, step, **values):
        """One line, on disk when this returns."""
        if self.path is None:
            return
        line = {"kind": kind, "step": step, "seconds": round(self.seconds(), 2), **values}
        self.waiting.append(json.dumps(line) + "\n")
        if self._try(self._append, "".join(self.waiting)):
            self.waiting = []
        self.lines += 1

    def _rewrite(self, text):
        with replacing(self.path, text=True) as file:
            file.write(text)

    def _append(self, text):
        """Add whole lines, or nothing."""
        with open(self.path, "ab", buffering=0) as file:
            before = file.seek(0, os.SEEK_END)
            data = text.encode()
            try:
                while data:  # a disk that fills takes a part at first
                    data = data[file.write(data) :]
            except OSError:
                file.truncate(before)
                raise

    def _try(self, write, text):
        """Whether write(text) went well; the first time that it does not is told."""
        try:
            write(text)
            return True
        except OSError as error:
            self._tell(error)
            return False

    def _tell(self, error):
        if not self.told:
            say(f"{self.path} fails: {advice_for(error)}. The training goes on")
        self.told = True


def _step(line):
    """The step of a line; infinite if the line is damaged, as a power cut may leave the last."""
    try:
        return REAL.accept(loads(line)["step"]) if line.endswith("\n") else math.inf
    except (ValueError, TypeError, KeyError):
        return math.inf
