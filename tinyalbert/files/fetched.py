"""What may stand where a file should be that was not fetched whole."""

from pathlib import Path

from ..errors import UserError


def check_fetched(path):
    """Refuse a pipe, a pointer of Git LFS and a web page in the place of a model's file."""
    path = Path(path)
    if not path.is_file():
        if path.exists() and not path.is_dir():  # opening a pipe would wait for ever
            raise UserError(f"{path} is a pipe or a device; expected a file")
        return
    try:
        with open(path, "rb") as file:
            head = file.read(64).lstrip().lower()
    except OSError:  # whoever reads the file says so
        return
    if head.startswith(b"version https://git-lfs"):
        raise UserError(
            f"{path} is a pointer of Git LFS, which stands for the file; fetch the file itself "
            "(git lfs pull)"
        )
    if head.startswith((b"<!doctype html", b"<html")):
        raise UserError(f"{path} is a web page, saved in place of the file; fetch it again")
