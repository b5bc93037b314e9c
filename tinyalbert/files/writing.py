"""Files that are whole or absent: written beside their place, synced, renamed."""

import contextlib
import errno
import os
import platform
import re
import shutil
from pathlib import Path

from ..errors import UserError, advice_for

NEVER_SYNCED = (errno.EINVAL, errno.ENOTSUP)  # disks on which folders can't be synced
TEMPORARY = re.compile(r"\..+\.(?P<host>[^.]*)\.(?P<process>\d+)\.tmp")  # what is written first


class CannotWrite(UserError, OSError):
    """A file could not be written, or is there without being safe on the disk yet."""


@contextlib.contextmanager
def replacing(path, text=False):
    """A file that takes the place of `path` once it is complete and on the disk.

    Whatever happens before (full disk, Ctrl-C, power cut), `path` keeps its old content.  What a
    process that was killed left on the way is removed by the next one that writes `path`.  A pipe
    or a device is written as it is.
    text: a file of UTF-8 text with the line ends that are written, in place of a binary one.
    """
    how = {"mode": "w", "encoding": "utf-8", "newline": ""} if text else {"mode": "wb"}
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file():
        with _explained(path), open(path, **how) as file:
            yield file
        return
    temporary = path.with_name(f".{path.name[:40]}.{_host()}.{os.getpid()}.tmp")
    try:
        with _explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            remove_leftovers(path.parent, path.name)
            with open(temporary, **how) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            if path.exists():
                shutil.copymode(path, temporary)
            os.replace(temporary, path)
        with _explained(path, "is there, but may not survive a power cut", ""):
            sync_folder(path.parent)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def remove_leftovers(folder, name=""):
    """Remove the temporary files of processes of this machine that were killed.

    name: of the file that they were for; "" for every file.
    """
    with contextlib.suppress(OSError):
        for path in list(Path(folder).iterdir()):
            found = TEMPORARY.fullmatch(path.name)
            if not found or not path.name.startswith(f".{name[:40]}"):
                continue
            if found["host"] == _host() and not _runs(int(found["process"])):
                path.unlink(missing_ok=True)


def sync_folder(folder):
    """Make sure that the names in a folder are on the disk, as a rename alone does not."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno not in NEVER_SYNCED:
                raise
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def _explained(path, what="could not be written", before="; what was there before is untouched"):
    """An OSError while `path` is written as a CannotWrite with the same number."""
    try:
        yield
    except OSError as error:
        if isinstance(error, CannotWrite):
            raise
        refusal = CannotWrite(f"{path} {what}: {advice_for(error)}{before}")
        refusal.errno = error.errno
        raise refusal from error


def _host():
    """The name of this machine, as part of a file's name."""
    return re.sub(r"\W", "-", platform.node())[:40]


def _runs(process):
    """Whether a process of this machine with this number is running."""
    if process == os.getpid():
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return True
