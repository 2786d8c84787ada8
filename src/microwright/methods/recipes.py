"""Recipes: everything that a training needs besides a seed, so that a name stands for a model."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from microwright.errors import InputError
from microwright.inverters.mdn_training import MdnTraining
from microwright.physics.optics import RcwaNumerics
from microwright.representations.gan_training import GanTraining


@dataclass(frozen=True)
class RandomFieldFamily:
    """The structures that a recipe learns from; see ``microwright.structures.random_fields``.

    Attributes:
        mean: mean of the spectral density in k' units (10 at the Nyquist frequency).
        std: its standard deviation.
        phase_fraction: range of the share of phase 1.
    """

    mean: float = 0.0
    std: tuple[float, float] = (0.8, 1.6)
    phase_fraction: tuple[float, float] = (0.2, 0.6)


@dataclass(frozen=True)
class Recipe:
    """How a 2-D model is made from nothing.

    Attributes:
        name: what the command line calls it.
        size: pixels along an edge.
        structures: random fields that the representation learns from.
        labels: labelled structures that the inverter learns from.
        family: the random fields.
        gan: settings of the adversarial training.
        mdn: settings of the mixture density network's training.
        components: Gaussians of the mixture.
        numerics: fidelity of the labels.
    """

    name: str
    size: int
    structures: int = 5000
    labels: int = 8000
    family: RandomFieldFamily = field(default_factory=RandomFieldFamily)
    gan: GanTraining = field(default_factory=GanTraining)
    mdn: MdnTraining = field(default_factory=MdnTraining)
    components: int = 40
    numerics: RcwaNumerics = field(default_factory=RcwaNumerics)


_DATA_2 = Recipe("data-2", size=64)
RECIPES = {
    "data-1": replace(_DATA_2, name="data-1", size=96),
    "data-2": _DATA_2,
    "smoke": Recipe(
        "smoke",
        size=64,
        structures=200,
        labels=128,
        gan=GanTraining(steps=40, steps_per_epoch=20),
        mdn=MdnTraining(epochs=30),
        numerics=RcwaNumerics(harmonics=49),
    ),
}


def recipe_named(name: str) -> Recipe:
    """The recipe called ``name``.

    Raises:
        InputError: no such recipe.
    """
    if name not in RECIPES:
        raise InputError(f"recipe: '{name}' is unknown; choose {', '.join(RECIPES)}")
    return RECIPES[name]
