"""Finding a shared library that pip has put into the environment, or that the system has."""

import ctypes
import os
import platform
import site
import sys

from .unusable import Unusable

FOLDERS = ("lib", "Library/bin")  # Linux and macOS, Windows


def load(what, files, extra, systems):
    """The first of `files` that loads, as a ctypes library; Unusable says what is the matter.

    Looked for in the environment's folders, then wherever the system looks.  extra: what installs
    it on these systems, as sys.platform names them, if the processor is of the x86 kind.
    """
    bases = [sys.prefix, site.getuserbase() or sys.prefix]
    paths = [
        os.path.join(base, folder, file) for base in bases for folder in FOLDERS for file in files
    ]
    found = [path for path in paths if os.path.exists(path)]
    reasons = []
    for path in [*found, *files]:
        try:
            return ctypes.CDLL(path)
        except OSError as error:
            reasons.append(f"{path}: {error}")
    if found:
        raise Unusable(f"{what} is installed but can't be loaded ({reasons[0]})")
    if sys.platform in systems and platform.machine() in ("x86_64", "AMD64"):
        raise Unusable(f"{what} is not installed (pip install 'tinyalbert[{extra}]')")
    raise Unusable(f"{what} is not installed, and the extra {extra!r} has none for this system")
