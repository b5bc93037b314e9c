"""One process at a time writes an output folder.

The lock is filelock's: the operating system's own, which it lets go when a process dies, however
that happens; on disks that know no locks a file with the number of the process.
"""

import contextlib
import errno
import os
import re
import socket
import threading
import warnings
from pathlib import Path

from ..errors import UserError

LOCK = ".lock"
PROCESS = ".lock.process"  # in its place on a disk without locks
TEMPORARY = re.compile(r"\..+\.\d+\.tmp")  # what `replacing` writes first
NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL)
FULL = (errno.ENOSPC, errno.EDQUOT)

_holders = {}  # {folder: the thread of this process that has taken it}


@contextlib.contextmanager
def taken(folder, writes=True):
    """While this lasts, no other process writes in `folder`, which is made if need be.

    A folder that another process has taken is refused.  One that a process took and then died is
    taken over, without the temporary files that it left.  Inside, the same thread may take the
    folder again.  A folder that was made for this and stays empty is removed.
    writes: False in the processes of a job that leave the writing to the first one.
    """
    folder = Path(folder).resolve()
    if not writes or _holders.get(folder) == threading.get_ident():
        yield
        return
    check_writable(folder)
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        with _explained(folder):
            folder.mkdir(parents=True, exist_ok=True)
            lock = _locked(folder)
        try:
            _holders[folder] = threading.get_ident()
            _remove_temporary(folder)
            yield
        finally:
            del _holders[folder]
            _let_go(lock, folder / LOCK)
    finally:
        with contextlib.suppress(OSError):  # they are not empty any more
            for path in made:
                path.rmdir()


def _locked(folder):
    """The lock of a folder, acquired."""
    from filelock import FileLock, SoftFileLock, Timeout

    path = folder / LOCK
    try:
        try:
            lock = FileLock(path, timeout=0)
            with warnings.catch_warnings():  # a disk without locks is no news for the user
                warnings.simplefilter("ignore")
                lock.acquire()
            with contextlib.suppress(OSError):  # for the sentence below
                if not path.read_bytes():
                    path.write_text(f"process {os.getpid()} on {socket.gethostname()}")
        except Timeout:
            raise
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            path.unlink(missing_ok=True)
            lock = SoftFileLock(folder / PROCESS, timeout=0)
            lock.acquire()
    except Timeout:
        raise UserError(
            f"{folder} is taken: {_holder(path)} is writing there; wait until it is done, or "
            "choose another output folder"
        ) from None
    return lock


def _holder(path):
    """Who has taken a folder, from its lock."""
    with contextlib.suppress(OSError, ValueError):
        found = re.fullmatch(r"process \d+ on \S+", path.read_text())
        if found:
            return found[0]
    return "another process"


def _let_go(lock, path):
    """Release a lock and remove its file.

    It is removed while it is held, or it might be the next one's; who waits for it notices.
    """
    with contextlib.suppress(OSError):  # Windows removes no file that is open
        path.unlink(missing_ok=True)
    lock.release()
    if os.name == "nt":
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def _remove_temporary(folder):
    """Remove the temporary files of a process that died here."""
    for place in (folder, folder / "last"):
        with contextlib.suppress(OSError):
            for path in place.iterdir():
                if TEMPORARY.fullmatch(path.name):
                    path.unlink()


@contextlib.contextmanager
def _explained(folder):
    """An OSError of making or locking a folder as a sentence."""
    try:
        yield
    except OSError as error:
        if isinstance(error, UserError):
            raise
        advice = "free some space" if error.errno in FULL else "choose another output folder"
        raise UserError(
            f"{folder} can't be taken for writing ({error.strerror or error}); {advice}, then "
            "start again"
        ) from error


def check_writable(folder):
    """Refuse a folder in which no file can be made; nothing is made yet."""
    there = Path(folder).resolve()
    while not there.exists():
        there = there.parent
    if not there.is_dir() or not os.access(there, os.W_OK):
        why = "not yours to write" if there.is_dir() else "a file"
        raise UserError(
            f"{folder} can't be written: {there} is {why}; choose another output folder"
        )
