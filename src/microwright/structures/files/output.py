"""Outputs: never an existing one without being told to, never half-written."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from microwright.errors import InputError

#: what a folder of ours holds and nothing else; another folder is never replaced, whatever the user says
_OURS = {".png", ".tif", ".tiff", ".vti"}
#: files by which a store, a model and a folder of designs are known
_MARKS = ("zarr.json", "card.json", "gallery.png")


@contextmanager
def fresh_output(target: Path, replace: bool) -> Iterator[Path]:
    """A path to write a file or a folder at, which becomes ``target`` when the block ends without an error.

    Raises:
        InputError: ``target`` exists and may not be replaced, or the disk does not take it.
    """
    check_output(target, replace)
    draft = target.with_name(f".{uuid.uuid4().hex}.draft{target.suffix}")
    try:
        with disk_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            yield draft
            remove_output(target)
            draft.rename(target)
    finally:
        _remove(draft)


def check_output(target: Path, replace: bool) -> None:
    """Refuse a target that is there already, unless it may be replaced and is a file or folder of our making.

    Raises:
        InputError: it may not be replaced.
    """
    if target.exists() and not replace:
        raise InputError(f"{target}: exists already; give another --out, or --force to replace it")
    if target.is_dir() and not _is_ours(target):
        raise InputError(f"{target}: a folder that holds other things too; give another --out, or empty it yourself")


def remove_output(target: Path) -> None:
    """Remove an output that ``check_output`` let pass; nothing happens where there is none."""
    check_output(target, replace=True)
    _remove(target)


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """A disk that is full or does not let us write, as one line about ``path``."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error}); free or change the disk") from error


def _is_ours(folder: Path) -> bool:
    """A Zarr store, a model, designs, or a folder of images alone."""
    marked = any((folder / name).is_file() for name in _MARKS)
    return marked or all(entry.suffix.lower() in _OURS for entry in folder.iterdir())


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
