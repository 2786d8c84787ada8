r"""Fourier factorisation: which matrix multiplies a field by the permittivity of a pixel image.

With :math:`[\![\cdot]\!]` the Toeplitz matrix of Fourier coefficients, a product of two functions that jump at the same
place must be expanded by the *inverse rule*, any other by *Laurent's rule* (L. Li, J. Opt. Soc. Am. A 13, 1870 (1996)).

- ``"laurent"``: :math:`D_x = [\![\varepsilon]\!] E_x`, :math:`D_y = [\![\varepsilon]\!] E_y`.
- ``"li"``: edges of pixels are normal to x or to y. Along an edge Laurent's rule holds, across it the inverse rule; for
  :math:`E_x` Laurent's rule is taken first, along y, column by column, and then the inverse rule along x (Li 1997, J.
  Opt. Soc. Am. A 14, 2758, of the two orders the one that converges best on pixel images), for :math:`E_y` the same
  with the axes exchanged, so that a transposed structure gives transposed matrices.

:math:`E_z` is parallel to every wall, so that :math:`E_z = [\![\varepsilon]\!]^{-1} D_z` in both.

Pixels are boxes, not samples: their Fourier coefficients carry the factor sinc(m/n_x) sinc(n/n_y).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from microwright.physics.optics.dense import inverse
from microwright.physics.optics.orders import FourierOrders

Formulation = Literal["laurent", "li"]


@dataclass(frozen=True)
class PermittivityMatrices:
    """How one patterned layer multiplies fields.

    Attributes:
        x: matrix that takes E_x to D_x.
        y: matrix that takes E_y to D_y.
        inverse_z: matrix that takes D_z to E_z.
    """

    x: Complex[Tensor, "batch orders orders"]
    y: Complex[Tensor, "batch orders orders"]
    inverse_z: Complex[Tensor, "batch orders orders"]


def laurent(
    structures: Float[Tensor, "batch x y"], low: Tensor, high: Tensor, orders: FourierOrders
) -> PermittivityMatrices:
    """Laurent's rule for every component; ``low`` and ``high`` are the permittivities of the phases."""
    epsilon = _toeplitz(structures, low, high, orders)
    return PermittivityMatrices(epsilon, epsilon, inverse(epsilon))


def li(
    structures: Float[Tensor, "batch x y"], low: Tensor, high: Tensor, orders: FourierOrders
) -> PermittivityMatrices:
    """Li's rules on pixel edges; ``low`` and ``high`` are the permittivities of the phases."""
    epsilon = _toeplitz(structures, low, high, orders)
    return PermittivityMatrices(
        x=_edge_rule(structures, low, high, orders, normal=0),
        y=_edge_rule(structures.transpose(-1, -2), low, high, orders, normal=1),
        inverse_z=inverse(epsilon),
    )


#: the formulations on offer
FORMULATIONS: dict[str, Callable[..., PermittivityMatrices]] = {"laurent": laurent, "li": li}


def box_transform(pixels: int, reach: int, dtype: torch.dtype, device: torch.device) -> Complex[Tensor, "lags pixels"]:
    """Matrix that takes values on boxes to the Fourier coefficients at the lags −reach … reach."""
    lag = torch.arange(-reach, reach + 1, dtype=torch.float64, device=device)[:, None]
    centre = (torch.arange(pixels, dtype=torch.float64, device=device) + 0.5) / pixels
    wave = torch.polar(torch.ones_like(lag * centre), -2 * math.pi * lag * centre)
    return (torch.sinc(lag / pixels) / pixels * wave).to(dtype)


def _toeplitz(
    structures: Float[Tensor, "batch x y"], low: Tensor, high: Tensor, orders: FourierOrders
) -> Complex[Tensor, "batch orders orders"]:
    dtype, device = low.dtype, structures.device
    along_x = box_transform(structures.shape[-2], 2 * orders.reach, dtype, device)
    along_y = box_transform(structures.shape[-1], 2 * orders.reach, dtype, device)
    coefficients = along_x @ structures.to(dtype) @ along_y.mT
    pattern = coefficients.flatten(-2)[:, orders.lags]
    return low * _identity(len(orders), low) + (high - low) * pattern


def _edge_rule(
    structures: Float[Tensor, "batch x y"], low: Tensor, high: Tensor, orders: FourierOrders, normal: int
) -> Complex[Tensor, "batch orders orders"]:
    """Laurent's rule along the second axis of ``structures``, then the inverse rule along the first.

    ``normal`` is the column of ``orders.pairs`` that belongs to the first axis.
    """
    dtype, device, reach = low.dtype, structures.device, orders.reach
    along_edge = structures.to(dtype) @ box_transform(structures.shape[-1], 2 * reach, dtype, device).mT
    axis = torch.arange(2 * reach + 1, device=device)
    lines = low * _identity(2 * reach + 1, low) + (high - low) * along_edge[..., axis[:, None] - axis + 2 * reach]
    inverted = torch.linalg.inv(lines)  # small: one matrix of 2M + 1 rows per line of pixels
    lagged = torch.einsum("lx,bxij->blij", box_transform(structures.shape[-2], 2 * reach, dtype, device), inverted)
    across, along = orders.pairs[:, normal], orders.pairs[:, 1 - normal] + reach
    return inverse(lagged[:, across[:, None] - across + 2 * reach, along[:, None], along])


def _identity(size: int, like: Tensor) -> Tensor:
    return torch.eye(size, dtype=like.dtype, device=like.device)
