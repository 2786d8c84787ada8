"""Folders that commands write: never an existing one without being told to, never half-written."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from microwright.errors import InputError


@contextmanager
def fresh_folder(target: Path, replace: bool) -> Iterator[Path]:
    """A folder to write into that becomes ``target`` when the block ends without an error.

    Raises:
        InputError: ``target`` exists and may not be replaced.
    """
    if target.exists() and not replace:
        raise InputError(f"out: {target} exists; choose another folder, or replace it with --force")
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        yield aside
        if target.is_dir():
            shutil.rmtree(target)
        elif target.exists():
            target.unlink()
        aside.chmod(0o755)
        aside.rename(target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
