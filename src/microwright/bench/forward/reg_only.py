"""The Reg-only network (Yang et al., Comput. Mater. Sci. 151, 2018): a 3-D CNN from structure to stiffness, no more.

Convolutions 3×3×3 of 16, 32, 64, 128, 256 filters with ReLU, each followed by average pooling by 2, as many as the grid
has halvings; dense layers of 2048 and 1024; the structure minus 0.5 in, the property out. Squared error with L2
weights of 0.001 per GPa², Adam, early stopping. Structures are periodic, and so are the convolutions; each time one is
seen it is shifted and mirrored at random, as VAE-Regression's training does.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from lightning.pytorch.callbacks import EarlyStopping
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from microwright.bench.forward.data import Part
from microwright.bench.forward.settings import RegOnlyTraining
from microwright.representations.vae_regression import BRANCH, COMMON, VaeRegressionShape
from microwright.representations.vae_regression_training import moved
from microwright.training import StepBatches, TrainerOptions, step_generator
from microwright.training.best import BestWeights
from microwright.training.fit import fit


class RegOnlyNetwork(nn.Module):
    """Volumes → standardised properties.

    Args:
        shape: whose grid, width and number of properties it takes.
    """

    property_mean: Tensor
    property_std: Tensor

    def __init__(self, shape: VaeRegressionShape) -> None:
        super().__init__()
        filters = (1, *shape.encoder_filters)
        self.convolutions = nn.ModuleList(
            nn.Conv3d(i, o, 3, padding=1, padding_mode="circular") for i, o in pairwise(filters)
        )
        sizes = (shape.flat_features, shape.scaled(COMMON), shape.scaled(BRANCH))
        self.dense = nn.ModuleList(nn.Linear(i, o) for i, o in pairwise(sizes))
        self.last = nn.Linear(sizes[-1], shape.properties)
        self.register_buffer("property_mean", torch.zeros(shape.properties))
        self.register_buffer("property_std", torch.ones(shape.properties))

    def forward(self, structures: Float[Tensor, "batch x y z"]) -> Float[Tensor, "batch p"]:
        x = structures[:, None] - 0.5
        for convolution in self.convolutions:
            x = F.avg_pool3d(F.relu(convolution(x)), 2)
        x = x.flatten(1)
        for layer in self.dense:
            x = F.relu(layer(x))
        return self.last(x)

    @torch.no_grad()
    def predict(self, structures: Float[Tensor, "n x y z"], batch: int = 64) -> Float[Tensor, "n p"]:
        """Properties in their own units."""
        return torch.cat([self(part) * self.property_std + self.property_mean for part in structures.split(batch)])

    def standardise_by(self, values: Float[Tensor, "n p"]) -> None:
        """Take the units of the properties from the training values."""
        self.property_mean.copy_(values.mean(0))
        self.property_std.copy_(values.std(0).clamp_min(1e-12))


class _RegOnlyModule(BestWeights):
    network: RegOnlyNetwork

    def __init__(self, network: RegOnlyNetwork, settings: RegOnlyTraining, steps: int, seed: int) -> None:
        super().__init__(network)
        self.settings = settings
        self.steps = steps
        self.seed = seed

    def _squared_error(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        structures, values = batch
        wanted = (values - self.network.property_mean) / self.network.property_std
        return (self.network(structures) - wanted).square().mean()

    def training_step(self, batch: tuple[Tensor, Tensor], batch_index: int) -> Tensor:
        structures, values = batch
        generator = step_generator(self.seed, self.current_epoch * self.steps + batch_index, self.global_rank)
        error = self._squared_error((moved(structures, True, generator), values))
        # the error is in units of the variance, and so is the paper's weight
        weight = self.settings.l2 / self.network.property_std.square().mean()
        squares = sum(p.square().sum() for name, p in self.network.named_parameters() if name.endswith("weight"))
        return error + weight * squares

    def validation_step(self, batch: tuple[Tensor, Tensor]) -> None:
        self.log("validation", self._squared_error(batch), prog_bar=True, batch_size=len(batch[0]))

    def configure_optimizers(self) -> Any:
        settings = self.settings
        adam = torch.optim.Adam(self.network.parameters(), lr=settings.learning_rate)
        return [adam], [torch.optim.lr_scheduler.ExponentialLR(adam, settings.final_rate ** (1 / settings.epochs))]


def train_reg_only(
    network: RegOnlyNetwork,
    train: Part,
    validation: Part,
    settings: RegOnlyTraining,
    options: TrainerOptions,
    seed: int,
) -> dict[str, float]:
    """Fit ``network`` in place and keep its best weights; continues from the checkpoint in ``options.folder``.

    Returns:
        The best validation loss (variances) and the epochs taken.
    """
    network.standardise_by(train.values)
    tensors = train.structures, train.values.float()
    steps = max(1, len(train) // settings.batch)
    batches = StepBatches(tensors, settings.batch, steps, seed)
    held_out = zip(validation.structures.split(64), validation.values.float().split(64), strict=True)
    loader: DataLoader[Any] = DataLoader(list(held_out), batch_size=None)  # type: ignore[arg-type]
    module = _RegOnlyModule(network, settings, steps, seed)
    stop = EarlyStopping("validation", patience=settings.patience)
    trainer = fit(module, batches, settings.epochs, options, loader, [stop])
    network.load_state_dict(module.best)
    network.eval()
    return {"validation": module.best_loss, "epochs": float(trainer.current_epoch)}
