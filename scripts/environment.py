"""Makes `.venv` beside the project, installs what a script needs from pyproject.toml, and re-runs
it there.

Uses the standard library only: it is the first thing that runs on a machine with nothing but
Python.

    python3 scripts/environment.py               make .venv for the lessons and the command line, and run nothing
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST = (3, 11)


def _python(folder):
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(
            f"{' '.join(map(str, command))} failed:\n{(done.stdout + done.stderr)[-3000:]}\n"
            "Is the package index reachable, and is there room on the disk?"
        )


def make(folder, extras):
    """The Python of a virtual environment in `folder` with tinyalbert[extras], made and installed
    if need be.
    """
    if sys.version_info < OLDEST:
        sys.exit(
            f"this is Python {sys.version.split()[0]}; tinyalbert needs "
            f"{'.'.join(map(str, OLDEST))} or newer"
        )
    python = _python(folder)
    if not python.exists():
        print(f"Making a virtual environment in {folder.name} ...", flush=True)
        made = subprocess.run(
            [sys.executable, "-m", "venv", str(folder)], capture_output=True, text=True
        )
        if made.returncode:
            sys.exit(
                f"python -m venv failed:\n{made.stdout}{made.stderr}\n"
                "On Debian and Ubuntu: apt install python3-venv"
            )
    wanted = hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()[:16]
    for extra in extras:
        stamp = folder / f".installed-{extra}"
        if not stamp.exists() or stamp.read_text() != wanted:
            print(f"Installing tinyalbert[{extra}] into {folder.name} ...", flush=True)
            _run(
                python,
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "-e",
                f"{ROOT}[{extra}]",
            )
            stamp.write_text(wanted)
    return python


def enter(extras):
    """Return inside `.venv` with tinyalbert[extras] installed; the first call re-runs the script
    there.
    """
    folder = ROOT / ".venv"
    python = make(folder, extras)
    if Path(sys.prefix).resolve() != folder.resolve():
        os.chdir(ROOT if Path.cwd() == ROOT / "scripts" else Path.cwd())
        if os.name == "nt":
            sys.exit(subprocess.run([str(python), *sys.argv]).returncode)
        os.execv(python, [str(python), *sys.argv])


if __name__ == "__main__":
    print(f"ready: {make(ROOT / '.venv', sys.argv[1:] or ['lessons']).relative_to(ROOT)}")
