"""GAN + mixture density network (Yang et al. 2021): a generator learns the structures, an MDN its latents.

1. A generator learns to make structures like those of a family (or of a user's set).
2. Latents are drawn from its prior, decoded, and labelled by the solver.
3. A mixture density network learns p(z | y) from those pairs.

Each stage leaves its result in a working folder beside the model, so that a killed training continues where it was.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from microwright.data.labelling import label
from microwright.data.store import LabelledSet
from microwright.inverters.mdn import MixtureDensityNetwork
from microwright.inverters.mdn_training import train_mdn
from microwright.methods.base import LatentMethod
from microwright.methods.card import ModelCard, PartCard, property_cards
from microwright.methods.recipes import Recipe
from microwright.methods.workspace import Workspace, check_images
from microwright.physics.catalogue import solver_from_spec
from microwright.physics.property import Solver
from microwright.representations.gan import GanRepresentation
from microwright.representations.gan_training import train_gan
from microwright.representations.generator_source import GeneratorSource
from microwright.training import seeded

NAME = "gan-mdn"


def train(recipe: Recipe, workspace: Workspace, data: LabelledSet | None = None) -> LatentMethod:
    """Train the method and write it to ``workspace.model``.

    Args:
        recipe: sizes and settings.
        workspace: where the stages go and on what they run.
        data: a labelled set whose structures and solver are used in place of the recipe's family and cell.

    Raises:
        InputError: ``data`` is 3-D, or has no solver to label new structures with.
    """
    representation, solver, origin = generator_stage(recipe, workspace, data)
    source = GeneratorSource(representation, workspace.seed + 1, {"structures": origin})
    labels = label(source, solver, workspace.folder / "labels.zarr", recipe.labels, **workspace.labelling)
    inverter, metrics = _trained_inverter(recipe, workspace, labels)
    used = labels.usable()
    card = ModelCard(
        method=NAME,
        version="",
        properties=property_cards(solver.properties, torch.as_tensor(labels.properties[used])),
        grid=representation.grid,
        solver=solver.spec(),
        representation=PartCard(kind="gan", config=representation.config()),
        inverter=PartCard(kind="mdn", config={"components": recipe.components}),
        training={"recipe": recipe.name, "seed": workspace.seed, "structures": origin, "data": labels.fingerprint()},
        metrics=metrics,
    )
    method = LatentMethod(card, representation, inverter)
    method.save(workspace.model)
    return method


def generator_stage(
    recipe: Recipe, workspace: Workspace, data: LabelledSet | None
) -> tuple[GanRepresentation, Solver, dict[str, Any]]:
    """The trained generator, the solver for its structures, and what it learnt from.

    Raises:
        InputError: ``data`` is 3-D, or has no solver to label new structures with.
    """
    structures, solver, origin = _given(data) if data is not None else _made(recipe, workspace.seed)
    representation = seeded(workspace.seed, lambda: GanRepresentation(structures.shape[-1]))

    def train() -> dict[str, float]:
        train_gan(representation, structures, recipe.gan, workspace.trainer("gan"), workspace.seed)
        return {}

    workspace.kept("generator", representation, train)
    return representation, solver, origin


def _made(recipe: Recipe, seed: int) -> tuple[Float[Tensor, "n x y"], Solver, dict[str, Any]]:
    source = recipe.source(seed)
    return source.samples(0, recipe.structures).structures, recipe.solver(), source.spec()


def _given(data: LabelledSet) -> tuple[Float[Tensor, "n x y"], Solver, dict[str, Any]]:
    check_images(data, NAME)
    return torch.as_tensor(data.structures[:]).float(), solver_from_spec(data.solver), {"set": data.fingerprint()}


def _trained_inverter(
    recipe: Recipe, workspace: Workspace, labels: LabelledSet
) -> tuple[MixtureDensityNetwork, dict[str, float]]:
    used = labels.usable()
    latents = torch.as_tensor(labels.latents[used]).flatten(1)
    properties = torch.as_tensor(labels.properties[used]).float()
    inverter = seeded(
        workspace.seed, lambda: MixtureDensityNetwork(properties.shape[1], latents.shape[1], recipe.components)
    )
    metrics = train_mdn(inverter, properties, latents, recipe.mdn, workspace.trainer("mdn"), workspace.seed)
    return inverter, metrics


def build(card: ModelCard) -> LatentMethod:
    """The untrained networks that ``card`` describes."""
    representation = GanRepresentation(**card.representation.config)
    latent = representation.latent_shape[0] * representation.latent_shape[1]
    inverter = MixtureDensityNetwork(len(card.properties), latent, **card.inverter.config)
    return LatentMethod(card, representation, inverter)
