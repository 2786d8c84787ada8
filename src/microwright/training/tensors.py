"""Tensors on disk: safetensors, with a full disk said in one line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from microwright.errors import InputError


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write ``tensors`` to ``path``, which is whole or not there.

    Raises:
        InputError: the disk does not take them.
    """
    partial = path.with_name("partial-" + path.name)
    try:
        save_file(dict(tensors), partial)
        partial.replace(path)
    except (SafetensorError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: cannot be written ({reason}); free some space, then run it again") from error
