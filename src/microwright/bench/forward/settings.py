"""Settings of the Reg-only network's training, apart from the loop, which imports Lightning."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RegOnlyTraining:
    """Settings; the paper's but for the epochs, which it leaves to early stopping.

    Attributes:
        batch: structures a step.
        learning_rate: of Adam.
        l2: weight of the squared weights against the squared error in GPa².
        patience: epochs without a better validation loss before stopping.
        epochs: at most so many.
        final_rate: the learning rate falls geometrically to this share of itself at the last epoch; 1 keeps it.
    """

    batch: int = 8
    learning_rate: float = 5e-4
    l2: float = 1e-3
    patience: int = 10
    epochs: int = 200
    final_rate: float = 1.0
