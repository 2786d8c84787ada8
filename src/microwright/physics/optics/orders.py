r"""Fourier orders of a square cell and the tables that turn Fourier coefficients into Toeplitz matrices.

A field of the cell is :math:`E(x, y) = \sum_{mn} E_{mn}\, e^{i k_0 (K_{x,m} x + K_{y,n} y)}` with
:math:`K_{x,m} = K_{x,0} + m\lambda/\Lambda` and likewise in y; a product with a periodic function multiplies the
vector of its orders by the matrix of the function's Fourier coefficients at the *lags* :math:`(m - m', n - n')`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from microwright.errors import InputError

Truncation = Literal["circular", "square"]


@dataclass(frozen=True, eq=False)
class FourierOrders:
    """The orders (m, n) kept, symmetric under exchange of the axes and under rotation by 90°.

    Attributes:
        pairs: the orders, shape (N, 2); the first is (0, 0).
        reach: largest order M along either axis.
        lags: position of the lag (m − m', n − n') in a flattened table of shape (4M + 1, 4M + 1), for each pair of
        orders.
    """

    pairs: Int[Tensor, "orders 2"]
    reach: int
    lags: Int[Tensor, "orders orders"]

    def __len__(self) -> int:
        return self.pairs.shape[0]

    def to(self, device: torch.device) -> FourierOrders:
        return FourierOrders(self.pairs.to(device), self.reach, self.lags.to(device))


@lru_cache(maxsize=32)
def fourier_orders(harmonics: int, truncation: Truncation) -> FourierOrders:
    """The largest symmetric set of at most ``harmonics`` orders.

    Args:
        harmonics: upper bound of N.
        truncation: ``"square"`` keeps |m|, |n| ≤ M; ``"circular"`` keeps whole shells of m² + n².

    Raises:
        InputError: fewer than one harmonic, or a truncation of another name.
    """
    if isinstance(harmonics, bool) or not isinstance(harmonics, int) or harmonics < 1:
        raise InputError(f"harmonics: must be a whole number from 1, got {harmonics!r}")
    if truncation == "square":
        pairs = _square(harmonics)
    elif truncation == "circular":
        pairs = _circular(harmonics)
    else:
        raise InputError(f"truncation: {truncation!r} is unknown; use circular or square")
    return _with_lags(pairs)


def _square(harmonics: int) -> np.ndarray:
    return _disc((math.isqrt(harmonics) - 1) // 2)


def _circular(harmonics: int) -> np.ndarray:
    pairs = _disc(math.isqrt(harmonics))
    radius = (pairs**2).sum(1)
    shells, counts = np.unique(radius, return_counts=True)
    kept = shells[np.cumsum(counts) <= harmonics]
    return pairs[radius <= kept.max()]


def _disc(reach: int) -> np.ndarray:
    """All orders up to ``reach``, sorted by their length (ties: by the order itself)."""
    axis = np.arange(-reach, reach + 1)
    pairs = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0], (pairs**2).sum(1)))]


def _with_lags(pairs: np.ndarray) -> FourierOrders:
    reach = int(pairs.max())
    difference = pairs[:, None] - pairs[None] + 2 * reach
    lags = difference[..., 0] * (4 * reach + 1) + difference[..., 1]
    return FourierOrders(torch.from_numpy(pairs), reach, torch.from_numpy(lags))
