"""Mixture density network straight to pixels (Yang et al. 2021, baseline): every pixel is an output dimension."""

from __future__ import annotations

from microwright.data.store import LabelledSet
from microwright.methods.base import LatentMethod
from microwright.methods.card import ModelCard
from microwright.methods.encoded import TrainingSet, build_encoded, train_encoded
from microwright.methods.recipes import Recipe
from microwright.methods.workspace import Workspace
from microwright.representations.pixels import PixelRepresentation

NAME = "pixel-mdn"


def train(recipe: Recipe, workspace: Workspace, data: LabelledSet | None = None) -> LatentMethod:
    """Train the method and write it to ``workspace.model``.

    Raises:
        InputError: ``data`` is 3-D, has no solver, or has too few usable samples.
    """

    def fit(known: TrainingSet) -> tuple[PixelRepresentation, dict[str, float]]:
        return PixelRepresentation(known.structures.shape[1:]), {}

    return train_encoded(NAME, fit, recipe.pixel_mdn, recipe, workspace, data)


def build(card: ModelCard) -> LatentMethod:
    """The untrained method that ``card`` describes."""
    return build_encoded(card, PixelRepresentation(**card.representation.config))
