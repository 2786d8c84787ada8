"""The path shared by every method that learns from a labelled set as it is: encode its structures, learn p(z | y).

1. Structures of the family are labelled by the solver (or a labelled set is given).
2. A representation is fitted to the structures.
3. A mixture density network learns the latents of the labelled structures from their properties.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from microwright.data.labelling import label
from microwright.data.store import LabelledSet
from microwright.errors import InputError
from microwright.inverters.mdn import MixtureDensityNetwork
from microwright.methods.base import LatentMethod
from microwright.methods.card import ModelCard, PartCard, property_cards
from microwright.methods.recipes import Recipe
from microwright.methods.workspace import Workspace, check_images
from microwright.physics.catalogue import solver_from_spec
from microwright.physics.property import Solver
from microwright.representations.base import EncodingRepresentation
from microwright.training import seeded
from microwright.training.settings import MdnTraining

#: structures encoded at once
ENCODED_TOGETHER = 256


@dataclass(frozen=True)
class TrainingSet:
    """The usable samples of a labelled set.

    Attributes:
        structures: 0/1.
        properties: float32, as networks take them.
        solver: what labelled them.
        fingerprint: of the whole set.
        source: spec of where the structures come from.
    """

    structures: Float[Tensor, "n x y"]
    properties: Float[Tensor, "n p"]
    solver: Solver
    fingerprint: str
    source: dict[str, Any]


#: fits the representation to a training set; the metrics of the fit come back with it
Fit = Callable[[TrainingSet], tuple[EncodingRepresentation, dict[str, float]]]


def train_encoded(
    name: str, fit: Fit, mdn: MdnTraining, recipe: Recipe, workspace: Workspace, data: LabelledSet | None
) -> LatentMethod:
    """Train the method ``name`` on a labelled set and write it to ``workspace.model``.

    Raises:
        InputError: ``data`` is 3-D, has no solver, or has fewer than two usable samples.
    """
    # here, because Lightning takes seconds to import and designing does not need it
    from microwright.inverters.mdn_training import train_mdn

    known = training_set(name, data if data is not None else _labelled_family(recipe, workspace))
    representation, metrics = fit(known)
    latents = encoded(representation, known.structures).flatten(1)
    inverter = seeded(
        workspace.seed,
        lambda: MixtureDensityNetwork(known.properties.shape[1], latents.shape[1], recipe.components),
    )
    metrics |= train_mdn(inverter, known.properties, latents, mdn, workspace.trainer("mdn"), workspace.seed)
    card = ModelCard(
        method=name,
        version="",
        properties=property_cards(known.solver.properties, known.properties.double()),
        grid=representation.grid,
        solver=known.solver.spec(),
        representation=PartCard(kind=name.removesuffix("-mdn"), config=representation.config()),
        inverter=PartCard(kind="mdn", config={"components": recipe.components}),
        training={
            "recipe": recipe.name,
            "seed": workspace.seed,
            "structures": known.source,
            "data": known.fingerprint,
            "samples": len(latents),
        },
        metrics=metrics,
    )
    method = LatentMethod(card, representation, inverter)
    method.save(workspace.model)
    return method


def build_encoded(card: ModelCard, representation: EncodingRepresentation) -> LatentMethod:
    """A method with the untrained networks that ``card`` describes."""
    latent = int(torch.tensor(representation.latent_shape).prod())
    return LatentMethod(
        card, representation, MixtureDensityNetwork(len(card.properties), latent, **card.inverter.config)
    )


def training_set(name: str, data: LabelledSet) -> TrainingSet:
    """The usable samples of ``data``.

    Raises:
        InputError: volumes, no solver, or fewer than two usable samples.
    """
    check_images(data, name)
    used = data.usable()
    if len(used) < 2:
        raise InputError(f"data: {data.path} has {len(used)} usable samples; run `microwright label` on it again")
    return TrainingSet(
        structures=torch.as_tensor(data.structures[used]).float(),
        properties=torch.as_tensor(data.properties[used]).float(),
        solver=solver_from_spec(data.solver),
        fingerprint=data.fingerprint(),
        source=data.source,
    )


@torch.no_grad()
def encoded(representation: EncodingRepresentation, structures: Float[Tensor, "n x y"]) -> Float[Tensor, "n *latent"]:
    """Latents of ``structures``, a bounded number at a time."""
    return torch.cat([representation.encode(part) for part in structures.split(ENCODED_TOGETHER)])


def _labelled_family(recipe: Recipe, workspace: Workspace) -> LabelledSet:
    store = workspace.folder / "labels.zarr"
    return label(recipe.source(workspace.seed), recipe.solver(), store, recipe.labels, **workspace.labelling)
