"""The path shared by every method that learns from structures of its own making: decode, label, learn p(z | y).

1. A representation was trained on the structures of a family (or of a user's set).
2. Latents are decoded, and the solver labels what comes out: a pair (z, y) is exact, however far the representation is
   from the structures that it learnt from.
3. A mixture density network learns p(z | y) from those pairs.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from microwright.data.labelling import label
from microwright.data.sources import Source
from microwright.data.store import LabelledSet
from microwright.inverters.mdn import MixtureDensityNetwork
from microwright.methods.base import LatentMethod
from microwright.methods.card import ModelCard, PartCard, property_cards
from microwright.methods.recipes import Recipe
from microwright.methods.workspace import Workspace, check_images
from microwright.physics.catalogue import solver_from_spec
from microwright.physics.property import Solver
from microwright.representations.base import Representation
from microwright.training import seeded


def images_for(
    name: str, recipe: Recipe, workspace: Workspace, data: LabelledSet | None
) -> tuple[Float[Tensor, "n x y"], Solver, dict[str, Any]]:
    """Structures to learn from, the solver for new ones, and where the structures come from.

    Raises:
        InputError: ``data`` is 3-D, or has no solver to label new structures with.
    """
    if data is None:
        source = recipe.source(workspace.seed)
        return source.samples(0, recipe.structures).structures, recipe.solver(), source.spec()
    check_images(data, name)
    return torch.as_tensor(data.structures[:]).float(), solver_from_spec(data.solver), {"set": data.fingerprint()}


def train_decoded(
    name: str,
    representation: Representation,
    source: Source,
    solver: Solver,
    recipe: Recipe,
    workspace: Workspace,
    origin: dict[str, Any],
    metrics: dict[str, float],
) -> LatentMethod:
    """Label the structures of ``source``, train the inverter on its latents, and write ``workspace.model``.

    Args:
        name: of the method; its first word names the representation in the card.
        representation: trained.
        source: structures that the representation decoded, with their latents.
        solver: labels them.
        recipe: sizes and settings.
        workspace: where the stages go and on what they run.
        origin: what the representation learnt from.
        metrics: of the representation's training.
    """
    count = recipe.labels if source.length is None else min(recipe.labels, source.length)
    labels = label(source, solver, workspace.folder / "labels.zarr", count, **workspace.labelling)
    inverter, own = _trained_inverter(recipe, workspace, labels)
    card = ModelCard(
        method=name,
        version="",
        properties=property_cards(solver.properties, torch.as_tensor(labels.properties[labels.usable()])),
        grid=representation.grid,
        solver=solver.spec(),
        representation=PartCard(kind=name.removesuffix("-mdn"), config=representation.config()),
        inverter=PartCard(kind="mdn", config={"components": recipe.components}),
        training={"recipe": recipe.name, "seed": workspace.seed, "structures": origin, "data": labels.fingerprint()},
        metrics={**metrics, **own},
        temperature=recipe.temperature,
    )
    method = LatentMethod(card, representation, inverter)
    method.save(workspace.model)
    return method


def _trained_inverter(
    recipe: Recipe, workspace: Workspace, labels: LabelledSet
) -> tuple[MixtureDensityNetwork, dict[str, float]]:
    # here, because Lightning takes seconds to import and designing does not need it
    from microwright.inverters.mdn_training import train_mdn

    used = labels.usable()
    latents = torch.as_tensor(labels.latents[used]).flatten(1)
    properties = torch.as_tensor(labels.properties[used]).float()
    inverter = seeded(
        workspace.seed, lambda: MixtureDensityNetwork(properties.shape[1], latents.shape[1], recipe.components)
    )
    metrics = train_mdn(inverter, properties, latents, recipe.mdn, workspace.trainer("mdn"), workspace.seed)
    return inverter, metrics
