"""The one exception for mistakes that a user can mend, and what the system's own errors mean."""

import errno
import os


class UserError(ValueError):
    """A mistake that the user can fix.

    The message says what was got, what was expected and what to do.  The command line prints it
    without a traceback and exits with 2.
    """


_FULL = "the disk is full; make room there, or choose another folder"
_RIGHTS = "it is not yours to write; choose a folder that you can write to"
_ADVICE = {
    "ENOSPC": _FULL,
    "EDQUOT": "your share of the disk is used up; make room there, or choose another folder",
    "EFBIG": "no file may become that large (ulimit -f, or the disk's format); raise the limit, or "
    "choose another disk",
    "EIO": "the disk failed; check it (dmesg says more), or choose another one",
    "EROFS": "the disk can only be read; choose another folder",
    "EACCES": _RIGHTS,
    "EPERM": _RIGHTS,
    "EMFILE": "this process may open no more files; raise the limit, for example with ulimit -n "
    "1024",
    "ENFILE": "this machine can open no more files; end other programs",
    "ENOMEM": "there is not enough memory; end other programs, or lower --batch-size, --max-length "
    "or --preset",
    "EAGAIN": "no more processes or threads can be started; lower --threads or --workers, or raise "
    "the limit (ulimit -u)",
    "ESTALE": "the network disk has lost it; try again",
    "ETIMEDOUT": "the network disk does not answer; try again",
    "ENAMETOOLONG": "the name is too long; choose a shorter one",
    "ENOTDIR": "one of its folders is a file; choose another folder",
    "EISDIR": "it is a folder; choose the name of a file",
}
LACKS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)  # of the machine, whatever was being read


def _is_gone():
    """Whether the folder in which the command runs was deleted."""
    try:
        os.getcwd()
    except FileNotFoundError:
        return True
    return False


def advice_for(error):
    """What an OSError means and what to do about it, in words."""
    if isinstance(error, UserError):
        return str(error)
    if error.errno == errno.ENOENT and _is_gone():
        return "the current folder has been deleted; change to another one (cd)"
    said = error.strerror or str(error) or type(error).__name__
    advice = _ADVICE.get(errno.errorcode.get(error.errno))
    return f"{said}: {advice}" if advice else f"{said}; check the path and its rights"
