"""PCA + mixture density network (Yang et al. 2021, baseline): as many principal components as the GAN's latent has."""

from __future__ import annotations

from microwright.data.store import LabelledSet
from microwright.methods.base import LatentMethod
from microwright.methods.card import ModelCard
from microwright.methods.encoded import TrainingSet, build_encoded, train_encoded
from microwright.methods.recipes import Recipe
from microwright.methods.workspace import Workspace
from microwright.representations.gan import UPSAMPLING
from microwright.representations.pca import PcaRepresentation

NAME = "pca-mdn"


def train(recipe: Recipe, workspace: Workspace, data: LabelledSet | None = None) -> LatentMethod:
    """Train the method and write it to ``workspace.model``.

    Raises:
        InputError: ``data`` is 3-D, has no solver, or has too few usable samples.
    """

    def fit(known: TrainingSet) -> tuple[PcaRepresentation, dict[str, float]]:
        representation = PcaRepresentation(known.structures.shape[1:], components_of(known.structures.shape[-1]))
        representation.fit(known.structures, workspace.seed)
        return representation, {}

    return train_encoded(NAME, fit, recipe.mdn, recipe, workspace, data)


def components_of(size: int) -> int:
    """Latent coordinates of a generator for images of that edge: 4 at 64 pixels, 9 at 96."""
    return max(1, size // UPSAMPLING) ** 2


def build(card: ModelCard) -> LatentMethod:
    """The unfitted method that ``card`` describes."""
    return build_encoded(card, PcaRepresentation(**card.representation.config))
