"""Adversarial training with style and collapse losses (Yang et al. 2018, 2021).

Generator loss = binary cross-entropy + 0.03 · collapse + 0.03 · style. The papers' code takes three discriminator steps
at 5e-4 for each generator step; on two-phase random fields the discriminator then wins at once, so the default is one
step at 2e-4.
"""

from __future__ import annotations

import lightning
import torch
from jaxtyping import Float
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor
from torch.nn import functional as F

from microwright.representations.features import collapse_loss, features_named, style_loss
from microwright.representations.gan import GanRepresentation, discriminator_network
from microwright.training import StepBatches, TrainerOptions, seeded, step_generator
from microwright.training.fit import fit
from microwright.training.settings import GanTraining


class _GanModule(lightning.LightningModule):
    def __init__(self, representation: GanRepresentation, settings: GanTraining, seed: int) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.representation = representation
        self.discriminator = seeded(seed + 1, lambda: discriminator_network(representation.grid[0]))
        self.features = features_named(settings.features, settings.vgg16_weights)
        self.settings = settings
        self.seed = seed

    def training_step(self, batch: tuple[Tensor], batch_index: int) -> None:
        settings = self.settings
        step = self.current_epoch * settings.steps_per_epoch + batch_index
        generator = step_generator(self.seed, step, self.global_rank)
        optimise_generator, optimise_discriminator = self.optimizers()  # type: ignore[attr-defined]
        for real in (2 * batch[0][:, None] - 1).split(settings.batch):
            self._step(optimise_discriminator, self._discriminator_loss(real, self._fakes(generator).detach()))
        loss = self._generator_loss(real, self._fakes(generator))
        self._step(optimise_generator, loss)
        self.log("generator", loss.detach(), prog_bar=True)

    def _fakes(self, generator: torch.Generator) -> Float[Tensor, "batch 1 x y"]:
        latents = self.representation.sample_latents(self.settings.batch, generator).to(self.device)
        return self.representation.generator(latents[:, None])

    def _discriminator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        on_real, on_fake = self.discriminator(real), self.discriminator(fake)
        return F.binary_cross_entropy_with_logits(
            on_real, torch.ones_like(on_real)
        ) + F.binary_cross_entropy_with_logits(on_fake, torch.zeros_like(on_fake))

    def _generator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        judged = self.discriminator(fake)
        adversarial = F.binary_cross_entropy_with_logits(judged, torch.ones_like(judged))
        fake_features = self.features(fake)
        style = style_loss(self.features(real), fake_features)
        return (
            adversarial
            + self.settings.style_weight * style
            + self.settings.collapse_weight * collapse_loss(fake_features)
        )

    def _step(self, optimiser: LightningOptimizer, loss: Tensor) -> None:
        optimiser.zero_grad()
        self.manual_backward(loss)
        optimiser.step()

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        return [
            torch.optim.Adam(network.parameters(), lr=rate, betas=(0.5, 0.999))
            for network, rate in (
                (self.representation.generator, self.settings.generator_rate),
                (self.discriminator, self.settings.discriminator_rate),
            )
        ]


def train_gan(
    representation: GanRepresentation,
    structures: Float[Tensor, "n x y"],
    settings: GanTraining,
    options: TrainerOptions,
    seed: int,
) -> None:
    """Train the generator of ``representation`` in place on binary ``structures``."""
    rows = settings.batch * settings.discriminator_steps
    batches = StepBatches((structures,), rows, settings.steps_per_epoch, seed)
    epochs = -(-settings.steps // settings.steps_per_epoch)
    fit(_GanModule(representation, settings, seed), batches, epochs, options)
    representation.eval()
