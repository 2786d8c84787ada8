"""Where a training leaves its stages, and on what it runs.

The working folder lies beside the model while it is made. It remembers what was asked for: the same command continues,
another one is refused, and it goes when the model is whole.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import nn

from microwright.data.labelling import Progress
from microwright.data.store import LabelledSet
from microwright.errors import InputError
from microwright.training import TrainerOptions
from microwright.training.tensors import write_tensors


@dataclass(frozen=True)
class Workspace:
    """Places and resources of one training.

    Attributes:
        model: folder that the model is written to.
        seed: of structures, weights, batches and latents.
        accelerator: Lightning's ``"cpu"``, ``"gpu"`` or ``"auto"``.
        devices: Lightning's number of devices.
        workers: labelling processes.
        scheduler: address of a Dask scheduler, or None for local processes.
        progress: draw progress bars.
        labelled: called after each labelled chunk with the samples done and wanted.
    """

    model: Path
    seed: int = 0
    accelerator: str = "auto"
    devices: int = 1
    workers: int = 2
    scheduler: str | None = None
    progress: bool = True
    labelled: Progress | None = None

    @property
    def folder(self) -> Path:
        """Where the stages go."""
        return self.model.with_name(self.model.name + ".training")

    @property
    def labelling(self) -> dict[str, Any]:
        """How ``label`` is to run."""
        return {"workers": self.workers, "scheduler": self.scheduler, "progress": self.labelled}

    def trainer(self, stage: str) -> TrainerOptions:
        """How Lightning is to run for ``stage``."""
        return TrainerOptions(self.folder / stage, self.accelerator, self.devices, self.progress)

    def kept(self, stage: str, network: nn.Module, train: Callable[[], dict[str, float]]) -> dict[str, float]:
        """Train ``network`` in place, or take what an earlier run of this stage left; the metrics of its training."""
        weights, metrics = (self.folder / f"{stage}.{ending}" for ending in ("safetensors", "json"))
        if weights.exists():
            network.load_state_dict(load_file(weights))
        else:
            _write_whole(metrics, json.dumps(train()))
            write_tensors(weights, network.state_dict())
        network.eval()
        return json.loads(metrics.read_text())

    @contextmanager
    def opened(self, request: dict[str, Any]) -> Iterator[None]:
        """Begin or continue the training described by ``request``; clean up when it is done.

        Raises:
            InputError: the working folder belongs to another request.
        """
        path = self.folder / "request.json"
        asked = json.loads(json.dumps(request, default=str))
        if path.exists() and json.loads(path.read_text()) != asked:
            raise InputError(
                f"out: {self.folder} holds an unfinished training with other settings; "
                "choose another folder, or remove it"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        _write_whole(path, json.dumps(asked, indent=1))
        yield
        shutil.rmtree(self.folder)


def _write_whole(path: Path, text: str) -> None:
    """Write ``text`` to ``path``, which is whole or not there."""
    partial = path.with_name("partial-" + path.name)
    partial.write_text(text)
    partial.replace(path)


def request_of(method: str, recipe: Any, seed: int, data: str | None) -> dict[str, Any]:
    """What tells one training from another."""
    return {"method": method, "recipe": asdict(recipe), "seed": seed, "data": data}


def check_images(data: LabelledSet, method: str) -> None:
    """Refuse a set that a 2-D method cannot learn from and label by itself.

    Raises:
        InputError: volumes, or no solver.
    """
    if len(data.grid) != 2:
        raise InputError(f"data: {data.path} holds volumes of {data.grid}; {method} learns from images")
    if not data.solver:
        raise InputError(f"data: {data.path} has no solver to label new structures with; run `microwright label` on it")
