"""File operations that are counted, one of which goes wrong: what scripts/faults.py does to a
process.

`install` takes the place of `open`, `os.replace`, `os.fsync` and the like in this process, for all
files below one folder.  Each creation, write, sync, rename and removal is one operation.
"""

import builtins
import errno
import importlib
import io
import os
import signal
from dataclasses import dataclass

ADDS = ("open", "write", "mkdir", "fsync")  # what a full disk refuses; it renames and removes


@dataclass(frozen=True)
class Fault:
    """What happens at the operation number `at`, counted from 1.

    how: "killed" is a power cut or `kill -9`; else the name of an error, such as "ENOSPC".
    when: "before" the operation, "after" it, or "half", where half of the bytes are written.
    lasting: whether the error goes on, as on a disk that stays full.
    """

    at: int
    how: str = "killed"
    when: str = "before"
    lasting: bool = False

    def strikes(self, number, name):
        """Whether the operation with this number goes wrong."""
        if self.lasting:
            return number >= self.at and name in ADDS
        return number == self.at

    def happen(self, path):
        """End the process, or raise the error."""
        if self.how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        number = getattr(errno, self.how)
        raise OSError(number, os.strerror(number), *([path] if path else []))


class Operations:
    """The file operations of this process below the folder `root`, and their fault, or None."""

    def __init__(self, root, fault=None):
        self.root = os.path.realpath(root)
        self.fault = fault
        self.seen = []  # (operation, path below the root)

    def place(self, path, folder=None):
        """The absolute path of a path, a descriptor, or a name in the open folder `folder`."""
        if isinstance(path, int):
            return os.path.realpath(f"/dev/fd/{path}")
        path = os.fsdecode(path)
        if folder is not None:
            path = os.path.join(os.path.realpath(f"/dev/fd/{folder}"), path)
        return os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))

    def run(self, name, path, act, half=None):
        """act(), counted if `path` is below the root; half() does half of it."""
        if path != self.root and not path.startswith(self.root + os.sep):
            return act()
        self.seen.append((name, os.path.relpath(path, self.root)))
        if self.fault is None or not self.fault.strikes(len(self.seen), name):
            return act()
        if self.fault.when == "after":
            act()
        elif self.fault.when == "half" and half:
            half()
        # as the system has it, a failed write does not tell its file
        return self.fault.happen(None if name in ("write", "fsync") else path)


def install(operations):
    """Let every change of a file in this process pass through `operations`."""
    plain_open = io.open

    class Raw(io.FileIO):
        def write(self, data):
            def write(some):
                return super(Raw, self).write(some)

            return operations.run(
                "write", self.place, lambda: write(data), lambda: write(data[: len(data) // 2])
            )

    def opened(file, mode="r", buffering=-1, encoding=None, errors=None, newline=None, **rest):
        if isinstance(file, int) or not set(mode) & set("wax+") or any(rest.values()):
            return plain_open(file, mode, buffering, encoding, errors, newline, **rest)
        place = operations.place(file)
        raw = operations.run("open", place, lambda: Raw(file, mode.replace("t", "")))
        raw.place = place
        binary = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        return binary if "b" in mode else io.TextIOWrapper(binary, encoding, errors, newline)

    builtins.open = io.open = opened
    _wrap_calls(operations)
    for name in ("numpy.lib.format", "numpy.lib._format_impl"):
        try:  # or arrays would be written past the file object
            importlib.import_module(name).isfileobj = lambda file: False
        except ImportError:
            pass


def _wrap_calls(operations):
    """The functions of `os` that change files."""

    def of_one(name):
        real = getattr(os, name)

        def call(path, *args, dir_fd=None, **more):
            more |= {} if dir_fd is None else {"dir_fd": dir_fd}
            place = operations.place(path, dir_fd)
            return operations.run(name, place, lambda: real(path, *args, **more))

        setattr(os, name, call)

    def of_two(name):
        real = getattr(os, name)

        def call(source, target, **more):
            place = operations.place(target, more.get("dst_dir_fd"))
            return operations.run(name, place, lambda: real(source, target, **more))

        setattr(os, name, call)

    for name in ("unlink", "remove", "rmdir", "mkdir", "fsync", "truncate", "ftruncate"):
        of_one(name)
    for name in ("rename", "replace", "link"):
        of_two(name)

    real_open, real_write = os.open, os.write

    def open_number(path, flags, mode=0o777, *, dir_fd=None):
        def act():
            return real_open(path, flags, mode, dir_fd=dir_fd)

        if not flags & (os.O_CREAT | os.O_TRUNC):
            return act()
        return operations.run("open", operations.place(path, dir_fd), act)

    def write_number(number, data):
        place = operations.place(number)
        return operations.run(
            "write",
            place,
            lambda: real_write(number, data),
            lambda: real_write(number, data[: len(data) // 2]),
        )

    os.open, os.write = open_number, write_number
