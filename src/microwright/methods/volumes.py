"""Labelled volumes to learn stiffness from: a user's set, the shipped labels, or labels made on the way."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from microwright.data.filtered_noise_set import FILTERS, FilteredNoiseSet, shipped_stiffness
from microwright.data.labelling import label
from microwright.data.sources import FilteredNoiseSource
from microwright.data.store import LabelledSet
from microwright.errors import InputError
from microwright.methods.recipes import VolumeRecipe
from microwright.methods.workspace import Workspace
from microwright.physics.catalogue import solver_for, solver_from_spec
from microwright.physics.property import Property

#: volumes made between two writes to the file that keeps them
MADE_TOGETHER = 64


@dataclass(frozen=True)
class VolumeSet:
    """Volumes with their labels.

    Attributes:
        structures: 0/1.
        values: one column a property, in its unit.
        properties: what the columns are.
        solver: spec of what labelled them.
        fingerprint: of structures and labels.
        source: spec of where the structures come from.
    """

    structures: UInt8[Tensor, "n x y z"]
    values: Float[Tensor, "n p"]
    properties: tuple[Property, ...]
    solver: dict[str, Any]
    fingerprint: str
    source: dict[str, Any]


def volumes_for(recipe: VolumeRecipe, workspace: Workspace, data: LabelledSet | None = None) -> VolumeSet:
    """The given set; else the shipped labels where they fit the recipe; else labels that are computed now.

    Raises:
        InputError: ``data`` holds images, has no solver, or has fewer than two usable samples.
    """
    if data is not None:
        return stored_volumes(data)
    if recipe.shipped:
        return shipped_volumes(recipe, workspace.folder)
    sigmas = tuple(tuple(recipe.filter_scale * width for width in sigma) for sigma in FILTERS)
    source = FilteredNoiseSource(recipe.grid, sigmas, (0.25, 0.75), workspace.seed)
    solver = solver_for(recipe.properties, 3)
    return stored_volumes(
        label(source, solver, workspace.folder / "labels.zarr", recipe.samples, **workspace.labelling)
    )


def stored_volumes(data: LabelledSet) -> VolumeSet:
    """The usable samples of a labelled set.

    Raises:
        InputError: images, no solver, or fewer than two usable samples.
    """
    if len(data.grid) != 3:
        raise InputError(f"data: {data.path} holds images of {data.grid}; vae-regression learns from volumes")
    used = data.usable()
    if not data.solver or len(used) < 2:
        raise InputError(f"data: {data.path} has {len(used)} labelled samples; run `microwright label` on it first")
    return VolumeSet(
        structures=torch.as_tensor(data.structures[used]),
        values=torch.as_tensor(data.properties[used]),
        properties=solver_from_spec(data.solver).properties,
        solver=data.solver,
        fingerprint=data.fingerprint(),
        source=data.source,
    )


def shipped_volumes(recipe: VolumeRecipe, folder: Path) -> VolumeSet:
    """The first labelled volumes of the default ``FilteredNoiseSet``, made from their seeds and kept in ``folder``."""
    labels = shipped_stiffness(recipe.properties)
    numbers = labels.indices[: recipe.samples].tolist()
    solver = {**labels.solver, "properties": list(recipe.properties)}
    values = labels.values[: len(numbers)].double()
    digest = hashlib.sha256(values.numpy().tobytes() + str(numbers).encode()).hexdigest()
    return VolumeSet(
        structures=made_volumes(FilteredNoiseSet(), numbers, folder / "volumes.npy"),
        values=values,
        properties=solver_from_spec(solver).properties,
        solver=solver,
        fingerprint=digest,
        source={"family": "filtered noise set", "seed": 0, "grid": [51, 51, 51], "samples": len(numbers)},
    )


def made_volumes(family: FilteredNoiseSet, numbers: list[int], path: Path) -> UInt8[Tensor, "n x y z"]:
    """The family's volumes of these numbers; made once, then read from ``path``."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name("partial-" + path.name)
        array = np.lib.format.open_memmap(partial, "w+", np.uint8, (len(numbers), *family.grid))
        for start in range(0, len(numbers), MADE_TOGETHER):
            part = numbers[start : start + MADE_TOGETHER]
            array[start : start + len(part)] = family.structures(part).to(torch.uint8).numpy()
        array.flush()
        partial.replace(path)  # whole or not there
    return torch.from_numpy(np.load(path))
