"""What a training is told. Apart from the loops themselves, which import Lightning: that takes seconds, and whoever
designs with a trained model needs none of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class TrainerOptions:
    """Where and on what a training runs.

    Attributes:
        folder: where its checkpoints go; a second call with the same folder continues from them.
        accelerator: ``"cpu"``, ``"gpu"`` or ``"auto"``.
        devices: how many; Lightning's own word for it.
        progress: draw a progress bar.
        extra: further arguments of ``lightning.Trainer`` (strategy, num_nodes, precision, ...).
    """

    folder: Path
    accelerator: str = "auto"
    devices: int | str = 1
    progress: bool = True
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class MdnTraining:
    """The paper's settings.

    Attributes:
        batch: pairs a step.
        learning_rate: of Adam.
        patience: epochs without a better validation loss before stopping.
        epochs: at most so many.
        validation: share of the pairs kept for early stopping.
    """

    batch: int = 128
    learning_rate: float = 1e-3
    patience: int = 50
    epochs: int = 1000
    validation: float = 0.1


@dataclass(frozen=True)
class GanTraining:
    """Settings of the training.

    Attributes:
        steps: generator steps.
        batch: images a step.
        generator_rate: learning rate of the generator's Adam (β1 = 0.5).
        discriminator_rate: learning rate of the discriminator's Adam (β1 = 0.5).
        discriminator_steps: discriminator steps for each generator step.
        style_weight: weight of the style loss.
        collapse_weight: weight of the collapse loss.
        features: ``random``, ``two-point`` or ``vgg16``.
        vgg16_weights: safetensors file for ``vgg16``.
        steps_per_epoch: generator steps between checkpoints.
    """

    steps: int = 5000
    batch: int = 30
    generator_rate: float = 5e-4
    discriminator_rate: float = 2e-4
    discriminator_steps: int = 1
    style_weight: float = 0.03
    collapse_weight: float = 0.03
    features: str = "random"
    vgg16_weights: Path | None = None
    steps_per_epoch: int = 100


@dataclass(frozen=True)
class VqVaeTraining:
    """Settings of the training; weights and batch are the paper's.

    The paper takes 277,000 steps at a rate of 3e-4; these few need a larger one.

    Attributes:
        steps: gradient steps.
        batch: structures a step.
        learning_rate: of Adam.
        reconstruction: weight α.
        absorption: weight β.
        codebook: weight θ.
        commitment: β_c.
        harmonics: of the solver inside the loss.
        steps_per_epoch: steps between checkpoints.
    """

    steps: int = 1100
    batch: int = 128
    learning_rate: float = 1e-3
    reconstruction: float = 0.1
    absorption: float = 1.2
    codebook: float = 1.2
    commitment: float = 0.25
    harmonics: int = 49
    steps_per_epoch: int = 50


@dataclass(frozen=True)
class VaeRegressionTraining:
    """Settings of the training; the defaults are the paper's.

    Attributes:
        batch: volumes a step.
        learning_rate: of Adam, β₁ = 0.75, β₂ = 0.999.
        patience: epochs without a better validation loss before stopping.
        epochs: at most so many.
        steps_per_epoch: steps between validations; None for one pass over the training volumes.
        prior_rate: factor on the learning rate of the prior's network: a small one that must keep up with the encoder,
            or the components of a mixture stay alike.
        regression: weight w_r of the regression term.
        divergence: weight w_k of the divergence.
        warm_up: share of the epochs over which that weight rises from nothing: textures are learnt first, then the
            latents are brought together, so that a component's mean lies among those of its structures.
        scale_steps: first steps over which the terms' scales are measured; at most those of one epoch.
        final_rate: the learning rate falls geometrically to this share of itself at the last epoch; 1 keeps it.
        validation: share of the volumes kept for early stopping where no validation set is given.
        mirrored: mirror volumes at random; right for C11 to C33 and the diagonal, not for entries such as C16.
    """

    batch: int = 8
    learning_rate: float = 5e-4
    patience: int = 10
    epochs: int = 200
    steps_per_epoch: int | None = None
    prior_rate: float = 1.0
    regression: float = 10.0
    divergence: float = 1.0
    warm_up: float = 0.0
    scale_steps: int = 64
    final_rate: float = 1.0
    validation: float = 0.25
    mirrored: bool = True
