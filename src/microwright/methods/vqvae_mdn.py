"""VQ-VAE + mixture density network (Kilic et al. 2023): a quantised autoencoder that physics helps to train.

The autoencoder learns from the structures and, through the differentiable solver, from their property. The mixture
density network learns the latents before quantisation, which are quantised when they are decoded. Where the paper pairs
a latent with the property of the structure that was encoded, here the property of its reconstruction is solved: that is
what the latent will decode to.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from microwright.data.sources import ArraySource
from microwright.data.store import LabelledSet
from microwright.errors import InputError
from microwright.methods.base import LatentMethod
from microwright.methods.card import ModelCard
from microwright.methods.decoded import images_for, train_decoded
from microwright.methods.encoded import build_encoded, encoded
from microwright.methods.recipes import Recipe
from microwright.methods.workspace import Workspace
from microwright.physics.optics import RcwaSolver
from microwright.physics.property import Solver
from microwright.representations.vqvae import VqVaeRepresentation, VqVaeShape
from microwright.training import seeded

NAME = "vqvae-mdn"


def train(recipe: Recipe, workspace: Workspace, data: LabelledSet | None = None) -> LatentMethod:
    """Train the method and write it to ``workspace.model``.

    Args:
        recipe: sizes and settings.
        workspace: where the stages go and on what they run.
        data: a labelled set whose structures and solver are used in place of the recipe's family and cell.

    Raises:
        InputError: ``data`` is 3-D, or has no solver, or one without gradients; vector-quantize-pytorch is missing.
    """
    own = replace(recipe, structures=recipe.vqvae_structures, temperature=recipe.vqvae_temperature)
    structures, solver, origin = images_for(NAME, own, workspace, data)
    if not solver.differentiable:
        raise InputError(f"data: {NAME} learns from the solver's gradients, which this one has not; choose pca-mdn")
    representation = seeded(workspace.seed, lambda: VqVaeRepresentation(structures.shape[-1], recipe.vqvae_shape))

    def fit() -> dict[str, float]:
        # here, because Lightning takes seconds to import and designing does not need it
        from microwright.representations.vqvae_training import train_vqvae

        fast = coarser(solver, recipe.vqvae.harmonics)
        options = workspace.trainer("vqvae")
        return train_vqvae(representation, structures, fast, recipe.vqvae, options, workspace.seed)

    metrics = workspace.kept("vqvae", representation, fit)
    labelled = structures if data is not None else structures[: recipe.structures]
    source = reconstructions(representation, labelled, {"reconstructions of": origin})
    return train_decoded(NAME, representation, source, solver, own, workspace, origin, metrics)


def reconstructions(
    representation: VqVaeRepresentation, structures: Float[Tensor, "n x y"], origin: dict[str, object]
) -> ArraySource:
    """What the autoencoder makes of ``structures``, with the latents before quantisation."""
    latents = encoded(representation, structures)
    decoded = torch.cat([representation.structures(part) for part in latents.split(256)])
    return ArraySource(decoded.to(torch.uint8).numpy(), origin, latents.numpy())


def coarser(solver: Solver, harmonics: int) -> Solver:
    """An optical solver with fewer harmonics; any other solver as it is."""
    if not isinstance(solver, RcwaSolver):
        return solver
    numerics = replace(solver.numerics, harmonics=min(harmonics, solver.numerics.harmonics))
    return RcwaSolver(solver.cell, numerics, tuple(item.name for item in solver.properties))


def build(card: ModelCard) -> LatentMethod:
    """The untrained method that ``card`` describes."""
    config = card.representation.config
    return build_encoded(card, VqVaeRepresentation(config["size"], VqVaeShape(**config["shape"])))
