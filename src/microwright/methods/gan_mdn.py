"""GAN + mixture density network (Yang et al. 2021): a generator learns the structures, an MDN its latents.

1. A generator learns to make structures like those of a family (or of a user's set).
2. Latents are drawn from its prior, decoded, and labelled by the solver.
3. A mixture density network learns p(z | y) from those pairs.

Each stage leaves its result in a working folder beside the model, so that a killed training continues where it was.
"""

from __future__ import annotations

from typing import Any

from microwright.data.store import LabelledSet
from microwright.inverters.mdn import MixtureDensityNetwork
from microwright.methods.base import LatentMethod
from microwright.methods.card import SHIPPED, ModelCard, load_weights
from microwright.methods.decoded import images_for, train_decoded
from microwright.methods.recipes import Recipe
from microwright.methods.workspace import Workspace
from microwright.physics.property import Solver
from microwright.representations.gan import GanRepresentation
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
    return train_decoded(NAME, representation, source, solver, recipe, workspace, origin, {})


def generator_stage(
    recipe: Recipe, workspace: Workspace, data: LabelledSet | None
) -> tuple[GanRepresentation, Solver, dict[str, Any]]:
    """The trained generator, the solver for its structures, and what it learnt from.

    Raises:
        InputError: ``data`` is 3-D, or has no solver to label new structures with.
    """
    if data is None and recipe.generator is not None:
        return shipped_generator(recipe), recipe.solver(), {"generator of": recipe.generator}
    structures, solver, origin = images_for(NAME, recipe, workspace, data)
    representation = seeded(workspace.seed, lambda: GanRepresentation(structures.shape[-1]))

    def train() -> dict[str, float]:
        # here, because Lightning takes seconds to import and designing does not need it
        from microwright.representations.gan_training import train_gan

        train_gan(representation, structures, recipe.gan, workspace.trainer("gan"), workspace.seed)
        return {}

    workspace.kept("generator", representation, train)
    return representation, solver, origin


def shipped_generator(recipe: Recipe) -> GanRepresentation:
    """The generator of the shipped model that ``recipe`` names, at the recipe's size: it is fully convolutional."""
    representation = GanRepresentation(recipe.size)
    load_weights(SHIPPED / str(recipe.generator), {"representation": representation})
    return representation


def build(card: ModelCard) -> LatentMethod:
    """The untrained networks that ``card`` describes."""
    representation = GanRepresentation(**card.representation.config)
    latent = representation.latent_shape[0] * representation.latent_shape[1]
    inverter = MixtureDensityNetwork(len(card.properties), latent, **card.inverter.config)
    return LatentMethod(card, representation, inverter)
