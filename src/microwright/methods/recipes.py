"""Recipes: everything that a training needs besides a seed, so that a name stands for a model."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from microwright.data.sources import RandomFieldSource
from microwright.errors import InputError
from microwright.methods.target_search import SearchSettings
from microwright.physics.optics import RcwaNumerics, RcwaSolver, default_cell
from microwright.representations.vqvae import VqVaeShape
from microwright.training.settings import GanTraining, MdnTraining, VaeRegressionTraining, VqVaeTraining


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
    phase_fraction: tuple[float, float] = (0.2, 0.7)


@dataclass(frozen=True)
class VolumeRecipe:
    """How a 3-D model is made from nothing: filtered noise and its stiffness.

    Attributes:
        grid: voxels per axis.
        samples: labelled volumes.
        properties: what is learnt.
        filter_scale: factor on the family's filter widths, which are meant for 51 voxels.
        latent: dimensions of the latent.
        components: Gaussians of the prior.
        width: factor on the paper's numbers of filters and neurons.
        coarsening: voxels along an edge that the networks see as one.
        smallest_base: voxels along an edge that the decoder starts from, at least.
        style: reconstruction loss: two-point, random or vgg19.
        style_weights: safetensors file of VGG-19's weights; None for the other two.
        training: settings of the training.
        decoder_training: of the decoder on what inference decodes, and solves; None leaves that out.
        own_volumes: that the trained model infers, and that a second training learns besides; 0 leaves that out.
        second_training: settings of it.
        temperature: factor on the prior's σ when latents are drawn.
    """

    grid: tuple[int, int, int] = (51, 51, 51)
    samples: int = 64 * 139
    properties: tuple[str, ...] = ("C11",)
    filter_scale: float = 1.0
    latent: int = 16
    components: int = 2
    width: float = 1.0
    coarsening: int = 1
    smallest_base: int = 3
    style: str = "two-point"
    style_weights: Path | None = None
    training: VaeRegressionTraining = field(default_factory=VaeRegressionTraining)
    decoder_training: VaeRegressionTraining | None = None
    own_volumes: int = 0
    second_training: VaeRegressionTraining = field(default_factory=VaeRegressionTraining)
    temperature: float = 1.0

    @property
    def shipped(self) -> bool:
        """Whether the labels that come with the package are those that the recipe needs."""
        entries = {"C11", "C21", "C31", "C22", "C32", "C33"}
        return self.grid == (51, 51, 51) and self.filter_scale == 1 and set(self.properties) <= entries


@dataclass(frozen=True)
class Recipe:
    """How a model is made from nothing; ``volumes`` is for the 3-D method, the others are for the 2-D ones.

    Attributes:
        name: what the command line calls it.
        size: pixels along an edge.
        structures: random fields that the representation learns from.
        labels: labelled structures that the inverter learns from.
        family: the random fields.
        gan: settings of the adversarial training.
        generator: a shipped model whose generator is taken, at this size, instead of training one; or None.
        mdn: settings of the mixture density network's training.
        pixel_mdn: settings of its training where it gives pixels instead of latents.
        vqvae_shape: sizes of the quantised latent.
        vqvae_structures: random fields that the quantised autoencoder learns from; the first ``structures`` of them are
            decoded and labelled for its inverter.
        vqvae_temperature: like ``temperature``, for the latents of the quantised autoencoder.
        vqvae: settings of the quantised autoencoder's training.
        search: settings of the Bayesian optimisation.
        components: Gaussians of the mixture.
        temperature: factor on the Gaussians' σ when latents are drawn; the papers have 1.
        numerics: fidelity of the labels.
        volumes: everything of the 3-D method.
    """

    name: str
    size: int
    structures: int = 5000
    labels: int = 14000
    family: RandomFieldFamily = field(default_factory=RandomFieldFamily)
    gan: GanTraining = field(default_factory=GanTraining)
    generator: str | None = None
    mdn: MdnTraining = field(default_factory=MdnTraining)
    pixel_mdn: MdnTraining = field(default_factory=lambda: MdnTraining(epochs=1))
    vqvae_shape: VqVaeShape = field(default_factory=lambda: VqVaeShape(embedding=1))
    vqvae_structures: int = 14000
    vqvae_temperature: float = 0.25
    vqvae: VqVaeTraining = field(default_factory=VqVaeTraining)
    search: SearchSettings = field(default_factory=SearchSettings)
    components: int = 40
    temperature: float = 0.5
    numerics: RcwaNumerics = field(default_factory=RcwaNumerics)
    volumes: VolumeRecipe = field(default_factory=VolumeRecipe)

    def source(self, seed: int) -> RandomFieldSource:
        """The family's structures."""
        family = self.family
        return RandomFieldSource((self.size, self.size), family.mean, family.std, family.phase_fraction, seed)

    def solver(self) -> RcwaSolver:
        """The solver that labels: the shipped cell at the recipe's fidelity."""
        return RcwaSolver(default_cell(), self.numerics)


_DATA_2 = Recipe("data-2", size=64)
_LIGHT_TRAINING = VaeRegressionTraining(
    epochs=24,
    steps_per_epoch=200,
    scale_steps=100,
    learning_rate=1e-3,
    final_rate=0.05,
    divergence=0.03,
    validation=0.05,
)
# what one core trains in minutes: a third of the volumes, a sixteenth of the weights, an eighth of the voxels
_LIGHT_VOLUMES = VolumeRecipe(
    samples=64 * 50,
    width=0.25,
    coarsening=2,
    training=_LIGHT_TRAINING,
    decoder_training=replace(_LIGHT_TRAINING, epochs=4, steps_per_epoch=100),
    own_volumes=768,
    second_training=replace(_LIGHT_TRAINING, epochs=8, learning_rate=5e-4),
)
RECIPES = {
    # as in the paper, one fully convolutional generator makes both sizes
    "data-1": replace(_DATA_2, name="data-1", size=96, generator="gan-mdn-data-2"),
    "data-2": _DATA_2,
    "stiffness": replace(_DATA_2, name="stiffness"),
    "stiffness-light": replace(_DATA_2, name="stiffness-light", volumes=_LIGHT_VOLUMES),
    "smoke": Recipe(
        "smoke",
        size=64,
        structures=200,
        vqvae_structures=200,
        labels=128,
        gan=GanTraining(steps=40, steps_per_epoch=20),
        mdn=MdnTraining(epochs=30),
        pixel_mdn=MdnTraining(epochs=2),
        vqvae=VqVaeTraining(steps=20, batch=32, steps_per_epoch=10),
        search=SearchSettings(initial=16, iterations=6),
        numerics=RcwaNumerics(harmonics=49),
        volumes=VolumeRecipe(
            grid=(12, 12, 12),
            samples=32,
            filter_scale=0.25,
            width=0.125,
            training=VaeRegressionTraining(epochs=4, steps_per_epoch=10, scale_steps=5),
            decoder_training=VaeRegressionTraining(epochs=1, steps_per_epoch=5),
            own_volumes=8,
            second_training=VaeRegressionTraining(epochs=1, steps_per_epoch=5, scale_steps=5),
        ),
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
