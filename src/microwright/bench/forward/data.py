r"""What every forward method is given, and how its predictions are judged.

The paper's figures: mean absolute error over the mean observed value, and the coefficient of determination,

.. math:: \mathrm{MAPE} = \frac{1}{n} \sum_i \frac{|y_i - \hat y_i|}{\bar y}, \qquad
          R^2 = 1 - \frac{\sum_i (y_i - \hat y_i)^2}{\sum_i (y_i - \bar y)^2}.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from microwright.data.splits import split
from microwright.errors import InputError

#: shares of training, validation and test
FRACTIONS = (0.6, 0.2, 0.2)


@dataclass(frozen=True)
class Part:
    """Structures with their property values."""

    structures: Float[Tensor, "n x y z"]
    values: Float[Tensor, "n p"]

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True)
class ForwardData:
    """The three parts of a labelled set."""

    train: Part
    validation: Part
    test: Part


def forward_data(structures: Float[Tensor, "n x y z"], values: Float[Tensor, "n p"], seed: int) -> ForwardData:
    """60 % training, 20 % validation and 20 % test, shuffled by ``seed``.

    Raises:
        InputError: fewer than three structures, or not one row of values for each.
    """
    if len(structures) != len(values):
        raise InputError(f"values: {len(values)} rows for {len(structures)} structures; give one for each")
    parts = split(len(values), FRACTIONS, seed)
    rows = (torch.as_tensor(part) for part in (parts.train, parts.validation, parts.test))
    return ForwardData(*(Part(structures[own], values[own]) for own in rows))


def mape(predicted: Float[Tensor, "n p"], observed: Float[Tensor, "n p"]) -> Float[Tensor, "p"]:
    """Mean absolute error over the mean observed value, per cent, of each property."""
    return 100 * (predicted - observed).abs().mean(0) / observed.mean(0)


def r_squared(predicted: Float[Tensor, "n p"], observed: Float[Tensor, "n p"]) -> Float[Tensor, "p"]:
    """Coefficient of determination of each property; 1 is exact, 0 is the mean."""
    scatter = (observed - observed.mean(0)).square().sum(0)
    return 1 - (predicted - observed).square().sum(0) / scatter
