"""log.jsonl: one JSON object a line, for each logged step, evaluation and note of a run."""

import json
import math
import time
from pathlib import Path

from ..files.safetensors_file import replacing
from ..strict_json import loads
from .checkpoints import explained_full_disk

NAME = "log.jsonl"


class Log:
    """The log in an output folder; `folder` None, or another process than the first: no log."""

    def __init__(self, folder, writes=True):
        self.folder = folder
        self.path = Path(folder) / NAME if folder is not None and writes else None
        self.begun = time.perf_counter()
        self.lines = 0  # that are in it

    def seconds(self):
        """Time since the run began, interruptions left out."""
        return time.perf_counter() - self.begun

    def begin(self):
        """An empty log."""
        if self.path:
            with explained_full_disk(self.folder, "the log", 0):
                self.path.write_text("")

    def resume(self, step, seconds, lines=None):
        """Go on after a checkpoint of `step`, made `seconds` after the run began.

        What was logged after the checkpoint is dropped, since it will be logged again.
        lines: how many there were then, if that is known.
        """
        self.begun = time.perf_counter() - seconds
        if self.path is None:
            return
        kept = [line for line in self._read() if _step(line) <= step][:lines]
        self.lines = len(kept)
        with explained_full_disk(self.folder, "the log", step):
            with replacing(self.path) as file:
                file.write("".join(kept).encode())

    def ended(self, step):
        """Whether the log says that the run was complete after `step` steps."""
        return any('"kind": "end"' in line and _step(line) == step for line in self._read())

    def _read(self):
        path = Path(self.folder) / NAME
        return path.read_text().splitlines(keepends=True) if path.exists() else []

    def add(self, kind, step, **values):
        """One line, on disk when this returns."""
        if self.path is None:
            return
        line = {"kind": kind, "step": step, "seconds": round(self.seconds(), 2), **values}
        with (
            explained_full_disk(self.folder, "the log", step),
            open(self.path, "a", encoding="utf-8") as file,
        ):
            file.write(json.dumps(line) + "\n")
        self.lines += 1


def _step(line):
    """The step of a line; infinite if the line is damaged, as a power cut may leave the last."""
    try:
        return loads(line)["step"] if line.endswith("\n") else math.inf
    except (ValueError, TypeError, KeyError):
        return math.inf
