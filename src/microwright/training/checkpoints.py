"""Lightning checkpoints as safetensors and JSON: nothing that is loaded can run code."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from lightning.fabric.plugins.io.checkpoint_io import CheckpointIO
from safetensors.torch import load_file
from torch import Tensor

from microwright.training.tensors import write_tensors

_TENSOR = "tensor"
_MAPPING = "mapping"


class SafetensorsCheckpoints(CheckpointIO):
    """One folder a checkpoint: ``tensors.safetensors`` and ``state.json``; written aside, then renamed into place."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        target = Path(path)
        aside = target.with_name(target.name + ".partial")
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        tensors: dict[str, Tensor] = {}
        state = _flatten(checkpoint, tensors)
        write_tensors(aside / "tensors.safetensors", tensors)
        (aside / "state.json").write_text(json.dumps(state))
        shutil.rmtree(target, ignore_errors=True)
        aside.replace(target)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        folder = Path(path)
        tensors = load_file(folder / "tensors.safetensors")
        return _restore(json.loads((folder / "state.json").read_text()), tensors)

    def remove_checkpoint(self, path: Any) -> None:
        shutil.rmtree(path, ignore_errors=True)


def _flatten(value: Any, tensors: dict[str, Tensor]) -> Any:
    """JSON for ``value``; its tensors move to ``tensors`` and are named in their place."""
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().cpu().contiguous().clone()
        return {_TENSOR: name}
    if isinstance(value, dict):
        # pairs, because optimisers key their state by integers
        return {_MAPPING: [[_flatten(key, tensors), _flatten(item, tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return [_flatten(item, tensors) for item in value]
    if isinstance(value, Path):
        return str(value)
    return value


def _restore(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_restore(item, tensors) for item in value]
    if isinstance(value, dict) and _TENSOR in value:
        return tensors[value[_TENSOR]]
    if isinstance(value, dict):
        return {_restore(key, tensors): _restore(item, tensors) for key, item in value[_MAPPING]}
    return value
