"""Training of a mixture density network: negative log-likelihood, Adam, early stopping (Yang et al. 2021)."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from lightning.pytorch.callbacks import EarlyStopping
from torch import Tensor
from torch.utils.data import DataLoader

from microwright.inverters.mdn import MixtureDensityNetwork
from microwright.training import StepBatches, TrainerOptions
from microwright.training.best import BestWeights
from microwright.training.fit import fit
from microwright.training.settings import MdnTraining


class _MdnModule(BestWeights):
    network: MixtureDensityNetwork

    def __init__(self, network: MixtureDensityNetwork, learning_rate: float) -> None:
        super().__init__(network)
        self.learning_rate = learning_rate

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        properties, latents = batch
        return -self.network(properties).log_prob(latents).mean()

    def validation_step(self, batch: tuple[Tensor, Tensor]) -> None:
        properties, latents = batch
        loss = -self.network(properties).log_prob(latents).mean()
        self.log("validation", loss, prog_bar=True, batch_size=len(latents))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.network.parameters(), lr=self.learning_rate)


def train_mdn(
    network: MixtureDensityNetwork,
    properties: Float[Tensor, "n p"],
    latents: Float[Tensor, "n m"],
    settings: MdnTraining,
    options: TrainerOptions,
    seed: int,
) -> dict[str, float]:
    """Fit ``network`` in place to pairs (y, z), keep its best weights, and return its validation loss."""
    order = torch.randperm(len(latents), generator=torch.Generator().manual_seed(seed))
    held_out, used = order.split(
        [max(1, int(settings.validation * len(order))), len(order) - max(1, int(settings.validation * len(order)))]
    )
    network.standardise_by(properties[used])
    batches = StepBatches((properties[used], latents[used]), settings.batch, max(1, len(used) // settings.batch), seed)
    # in batches too: where the latents are pixels, the mixture of the whole set would not fit in memory
    parts = [(properties[rows], latents[rows]) for rows in held_out.split(settings.batch)]
    validation: DataLoader[Any] = DataLoader(parts, batch_size=None)  # type: ignore[arg-type]
    module = _MdnModule(network, settings.learning_rate)
    stop = EarlyStopping("validation", patience=settings.patience)
    trainer = fit(module, batches, settings.epochs, options, validation, [stop])
    network.load_state_dict(module.best)
    network.eval()
    return {"mdn_validation_nll": module.best_loss, "mdn_epochs": float(trainer.current_epoch)}
