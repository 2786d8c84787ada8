"""VQ-VAE + mixture density network (Kilic et al. 2023): a quantised autoencoder that physics helps to train.

The autoencoder learns from the structures and, through the differentiable solver, from their property; the mixture
density network learns its latents before quantisation, which are quantised when they are decoded.
"""

from __future__ import annotations

from dataclasses import replace

from microwright.data.store import LabelledSet
from microwright.methods.base import LatentMethod
from microwright.methods.card import ModelCard
from microwright.methods.encoded import TrainingSet, build_encoded, train_encoded
from microwright.methods.recipes import Recipe
from microwright.methods.workspace import Workspace
from microwright.physics.optics import RcwaSolver
from microwright.physics.property import Solver
from microwright.representations.vqvae import VqVaeRepresentation, VqVaeShape
from microwright.representations.vqvae_training import train_vqvae
from microwright.training import seeded

NAME = "vqvae-mdn"


def train(recipe: Recipe, workspace: Workspace, data: LabelledSet | None = None) -> LatentMethod:
    """Train the method and write it to ``workspace.model``.

    Raises:
        InputError: ``data`` is 3-D, has no solver, or has too few usable samples; vector-quantize-pytorch is missing.
    """

    def fit(known: TrainingSet) -> tuple[VqVaeRepresentation, dict[str, float]]:
        size = known.structures.shape[-1]
        representation = seeded(workspace.seed, lambda: VqVaeRepresentation(size, recipe.vqvae_shape))
        solver = coarser(known.solver, recipe.vqvae.harmonics)

        def train_it() -> dict[str, float]:
            options = workspace.trainer("vqvae")
            return train_vqvae(representation, known.structures, solver, recipe.vqvae, options, workspace.seed)

        return representation, workspace.kept("vqvae", representation, train_it)

    return train_encoded(NAME, fit, recipe.mdn, recipe, workspace, data)


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
