"""Training of the ensemble: squared error, AdamW, a one-cycle schedule, random translations.

A periodic structure has no origin, so each batch is shifted round the period at random. Every member weighs the samples
with exponential weights of its own (the Bayesian bootstrap, Rubin, Ann. Stat. 9 (1981) 130), so that the members agree
where the data say something and disagree elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
from jaxtyping import Float
from torch import Tensor

from microwright.errors import InputError
from microwright.physics.property import Property
from microwright.physics.surrogate.conformal import conformal_quantile
from microwright.physics.surrogate.network import Ensemble, EnsembleShape
from microwright.physics.surrogate.settings import SurrogateTraining
from microwright.physics.surrogate.solver import SurrogateCard, SurrogateSolver
from microwright.training.batches import StepBatches, step_generator
from microwright.training.fit import fit
from microwright.training.settings import TrainerOptions

#: structures predicted at once
TOGETHER = 128


@dataclass(frozen=True)
class Examples:
    """Structures with what the simulator says of them.

    Attributes:
        structures: 0/1.
        values: in the properties' units, finite.
    """

    structures: Float[Tensor, "n *grid"]
    values: Float[Tensor, "n properties"]

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True)
class Origin:
    """Where examples come from: the simulator's properties and spec, and what tells the training data from others."""

    properties: tuple[Property, ...]
    simulator: dict[str, Any]
    data: str


class _EnsembleModule(lightning.LightningModule):
    def __init__(self, ensemble: Ensemble, settings: SurrogateTraining, seed: int) -> None:
        super().__init__()
        self.ensemble = ensemble
        self.settings = settings
        self.seed = seed

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        structures, values, weights = batch
        grid = structures.shape[1:]
        generator = step_generator(self.seed + 1, self.global_step)
        shift = [int(torch.randint(0, n, (), generator=generator)) for n in grid]
        shifted = torch.roll(structures, shift, tuple(range(1, structures.ndim)))
        errors = (self.ensemble.standardised(shifted) - values[:, None]).square().mean(2)
        return (weights * errors).mean()

    def configure_optimizers(self) -> Any:
        settings = self.settings
        optimiser = torch.optim.AdamW(
            self.ensemble.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, settings.learning_rate, total_steps=_epochs(settings) * _steps_per_epoch(settings)
        )
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def train_surrogate(
    folder: Path,
    train: Examples,
    calibration: Examples,
    test: Examples,
    origin: Origin,
    settings: SurrogateTraining,
    options: TrainerOptions,
    seed: int = 0,
) -> SurrogateSolver:
    """Train an ensemble, calibrate its error bars, measure it, and write it to ``folder``.

    Args:
        folder: of the model.
        train: what the networks learn from.
        calibration: what the error bars are made from; may be empty, which leaves them unknown.
        test: what errors and coverage are measured on; may be empty.
        origin: of the examples, for the card.
        settings: of the training.
        options: where checkpoints go and what it runs on; a killed training continues from them.
        seed: of weights, batches and shifts.

    Raises:
        InputError: fewer than two examples, or values that are not finite.
    """
    ensemble = fitted_ensemble(train, settings, options, seed)
    _calibrate(ensemble, train, calibration, settings.coverage)
    card = SurrogateCard(
        properties=tuple((item.name, item.unit, item.description) for item in origin.properties),
        network=ensemble.config(),
        simulator=origin.simulator,
        training={
            "data": origin.data,
            "seed": seed,
            "samples": {"train": len(train), "calibration": len(calibration), "test": len(test)},
            "settings": asdict(settings),
        },
        metrics=metrics(ensemble, test, [item.name for item in origin.properties]),
    )
    return SurrogateSolver(ensemble, card, folder).save(folder)


def fitted_ensemble(train: Examples, settings: SurrogateTraining, options: TrainerOptions, seed: int) -> Ensemble:
    """An ensemble fitted to the examples, its error bars not yet calibrated.

    Raises:
        InputError: fewer than two examples, or values that are not finite.
    """
    if len(train) < 2 or not torch.isfinite(train.values).all():
        raise InputError(f"surrogate: {len(train)} samples to learn from; give at least two with finite values")
    grid = tuple(train.structures.shape[1:])
    shape = settings.shape or EnsembleShape.for_dimensions(len(grid))
    ensemble = Ensemble(grid, train.values.shape[1], shape, seed)
    values = train.values.float()
    ensemble.standardise_by(values)
    uniform = torch.rand((len(train), shape.members), generator=torch.Generator().manual_seed(seed))
    weights = -torch.log(uniform.clamp_min(1e-12))
    tensors = (train.structures.float(), (values - ensemble.mean) / ensemble.std, weights)
    batches = StepBatches(tensors, settings.batch, _steps_per_epoch(settings), seed)
    fit(_EnsembleModule(ensemble, settings, seed), batches, _epochs(settings), options)
    ensemble = ensemble.cpu().eval()
    if len(train) <= settings.kriged:
        ensemble.krige(train.structures, train.values)
    return ensemble


@torch.no_grad()
def predicted(ensemble: Ensemble, structures: Float[Tensor, "n *grid"]) -> tuple[Tensor, Tensor]:
    """Mean and spread over the members, a bounded number of structures at a time."""
    parts = [ensemble(part) for part in structures.split(TOGETHER)]
    values = torch.cat(parts) if parts else ensemble.mean.new_zeros(0, len(ensemble.members), len(ensemble.mean))
    return values.mean(1), values.std(1)


def _calibrate(ensemble: Ensemble, train: Examples, calibration: Examples, coverage: float) -> None:
    """Set floor and factor of the error bars; the floor, the mean spread in training, keeps a bar from vanishing."""
    ensemble.floor.copy_(predicted(ensemble, train.structures)[1].mean(0).clamp_min(1e-30))
    if len(calibration) == 0:
        return
    mean, spread = predicted(ensemble, calibration.structures)
    scores = (calibration.values.double() - mean).abs() / (spread + ensemble.floor)
    ensemble.factor.copy_(conformal_quantile(scores, coverage))


def metrics(ensemble: Ensemble, test: Examples, names: Sequence[str]) -> dict[str, float]:
    """For each property: coverage and mean of the error bars, mean absolute error, share of the variance explained."""
    if len(test) < 2:
        return {}
    mean, spread = predicted(ensemble, test.structures)
    bars = ensemble.factor * (spread + ensemble.floor)
    errors = (test.values.double() - mean).abs()
    explained = 1 - errors.square().mean(0) / test.values.double().var(0, correction=0).clamp_min(1e-300)
    found: dict[str, float] = {}
    for column, name in enumerate(names):
        found[f"{name}: mean absolute error"] = float(errors[:, column].mean())
        found[f"{name}: variance explained"] = float(explained[column])
        if torch.isfinite(bars[:, column]).all():
            found[f"{name}: coverage"] = float((errors[:, column] <= bars[:, column]).double().mean())
            found[f"{name}: mean error bar"] = float(bars[:, column].mean())
    return found


def _epochs(settings: SurrogateTraining) -> int:
    return max(1, round(settings.steps / _steps_per_epoch(settings)))


def _steps_per_epoch(settings: SurrogateTraining) -> int:
    return min(settings.steps, settings.steps_per_epoch)
