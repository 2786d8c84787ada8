"""What the training of a surrogate is told; apart from the loop, which imports Lightning."""

from __future__ import annotations

from dataclasses import dataclass

from microwright.errors import InputError
from microwright.physics.surrogate.network import EnsembleShape


@dataclass(frozen=True)
class SurrogateTraining:
    """How an ensemble is trained and how its error bars are made.

    Attributes:
        steps: optimiser steps.
        steps_per_epoch: steps between checkpoints.
        batch: structures a step.
        learning_rate: highest of a one-cycle schedule (AdamW).
        weight_decay: of AdamW.
        calibration: share of the samples kept for conformal prediction; 0 leaves the error bars unknown.
        test: share of the samples on which errors and coverage are measured.
        coverage: probability with which an error bar is to hold the simulator's value.
        kriged: most samples for which kriging takes up what the networks leave; more they follow by themselves.
        shape: of the networks; None takes the default for images or volumes.
    """

    steps: int = 600
    steps_per_epoch: int = 100
    batch: int = 32
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    calibration: float = 0.2
    test: float = 0.1
    coverage: float = 0.9
    kriged: int = 500
    shape: EnsembleShape | None = None

    def __post_init__(self) -> None:
        if self.steps < 1 or self.steps_per_epoch < 1 or self.batch < 2:
            raise InputError("surrogate training: steps must be at least 1, the batch at least 2")
        if not (min(self.calibration, self.test) >= 0 and self.calibration + self.test < 1):
            raise InputError(
                f"surrogate training: calibration {self.calibration:g} and test {self.test:g} leave nothing to "
                "learn from; give shares that sum to less than 1"
            )
        if not 0 < self.coverage < 1:
            raise InputError(f"coverage: expected a number between 0 and 1, got {self.coverage}; for instance 0.9")
