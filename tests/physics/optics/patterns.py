"""Structures and closed forms that the optical tests share."""

from __future__ import annotations

import cmath
import math

import numpy as np
import torch
from torch import Tensor

from microwright.physics.optics import OpticalCell


def sieve(size: int = 16) -> Tensor:
    """A two-phase pattern without any symmetry, the same everywhere: (7i + 3j + ij) mod 5 < 2."""
    i, j = np.indices((size, size))
    return torch.tensor(((7 * i + 3 * j + i * j) % 5 < 2).astype(float))[None]


def grey(seed: int, batch: int = 1, size: int = 12) -> Tensor:
    """Relaxed patterns away from the bounds."""
    generator = torch.Generator().manual_seed(seed)
    return 0.1 + 0.8 * torch.rand(batch, size, size, generator=generator, dtype=torch.float64)


def airy(cell: OpticalCell) -> tuple[float, float]:
    """R and T of a stack of films by Fresnel coefficients and Airy's recursion, mean of s and p."""
    shares = [_airy(cell, polarisation) for polarisation in ("s", "p")]
    return sum(r for r, _ in shares) / 2, sum(t for _, t in shares) / 2


def _airy(cell: OpticalCell, polarisation: str) -> tuple[float, float]:
    """r and t of the whole stack, built up from the substrate one interface at a time."""
    n = [cell.superstrate, *(layer.index for layer in cell.layers), cell.substrate]
    k = [2 * math.pi / cell.wavelength_nm * cmath.sqrt(m**2 - math.sin(math.radians(cell.theta_deg)) ** 2) for m in n]
    q = [kz if polarisation == "s" else kz / m**2 for kz, m in zip(k, n, strict=True)]
    r, t = 0j, 1 + 0j
    for above in reversed(range(len(n) - 1)):
        last = above + 1 == len(n) - 1
        inner = 1.0 if last else cmath.exp(1j * k[above + 1] * cell.layers[above].thickness_nm)
        own = (q[above] - q[above + 1]) / (q[above] + q[above + 1])
        below = r * inner**2
        t = (1 + own) * inner * t / (1 + own * below)
        r = (own + below) / (1 + own * below)
    return abs(r) ** 2, abs(t) ** 2 * (q[-1]).real / q[0].real
