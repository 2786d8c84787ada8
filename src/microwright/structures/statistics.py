r"""Statistics of periodic structures: phase fraction, two-point correlation, spectral density.

The two-point correlation :math:`S_2(r) = \langle x(s)\,x(s + r) \rangle_s` of a periodic structure is the inverse
Fourier transform of its power spectrum (Wiener-Khinchin); :math:`S_2(0)` of a 0/1 structure is its phase fraction.
See Torquato, "Random Heterogeneous Materials" (2002), ch. 2. All functions are differentiable.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from microwright.errors import InputError


def phase_fraction(structures: Float[Tensor, "batch *grid"]) -> Float[Tensor, "batch"]:
    """Mean of phase 1 over the grid."""
    return structures.flatten(1).mean(1)


def two_point_correlation(structures: Float[Tensor, "batch *grid"]) -> Float[Tensor, "batch *grid"]:
    """Periodic two-point correlation S2 (probability that both ends of a vector lie in phase 1); lag 0 at index 0."""
    axes = tuple(range(1, structures.ndim))
    return torch.fft.ifftn(_power(structures), dim=axes).real / structures[0].numel()


def autocovariance(structures: Float[Tensor, "batch *grid"]) -> Float[Tensor, "batch *grid"]:
    """Two-point correlation of the deviation from the mean, 1 at lag 0; NaN for a structure of one phase only."""
    axes = tuple(range(1, structures.ndim))
    covariance = two_point_correlation(structures - structures.mean(axes, keepdim=True))
    return covariance / covariance.flatten(1)[:, 0].reshape(-1, *([1] * len(axes)))


def radial_spectral_density(structures: Float[Tensor, "batch *grid"]) -> Float[Tensor, "batch shells"]:
    """Power of the deviation from the mean per Fourier coefficient, averaged over shells of the wave number.

    Shell ``s`` holds the wave numbers nearest to ``s`` cycles per shortest side, from 0 to the Nyquist frequency; the
    sum of all coefficients' powers is the variance of the structure (Parseval).
    """
    axes = tuple(range(1, structures.ndim))
    power = _power(structures - structures.mean(axes, keepdim=True)) / structures[0].numel() ** 2
    shortest = min(structures.shape[1:])
    return _shell_average(power, [shortest / n for n in structures.shape[1:]], shortest // 2 + 1)


def radial_average(field: Float[Tensor, "batch *grid"]) -> Float[Tensor, "batch lags"]:
    """Average of a periodic map (lag 0 at index 0) over directions: entry ``r`` holds the lags nearest to r pixels."""
    return _shell_average(field, [1.0] * (field.ndim - 1), min(field.shape[1:]) // 2 + 1)


def two_point_distance(first: Float[Tensor, "m *grid"], second: Float[Tensor, "n *grid"]) -> Float[Tensor, "m n"]:
    """Root-mean-square difference of the two-point correlations of each pair; 0 for translated copies.

    Raises:
        InputError: different grids.
    """
    if first.shape[1:] != second.shape[1:]:
        raise InputError(
            f"two-point distance: grids differ, {tuple(first.shape[1:])} and {tuple(second.shape[1:])}; crop one"
        )
    ours, theirs = (two_point_correlation(structures).flatten(1) for structures in (first, second))
    return torch.cdist(ours, theirs, compute_mode="donot_use_mm_for_euclid_dist") / ours.shape[1] ** 0.5


def _power(structures: Tensor) -> Tensor:
    return torch.fft.fftn(structures, dim=tuple(range(1, structures.ndim))).abs() ** 2


def _shell_average(field: Tensor, spacing: Sequence[float], shells: int) -> Tensor:
    """Mean over the entries whose distance from index 0, round the period, rounds to 0, 1, …, shells − 1."""
    offsets = [torch.fft.fftfreq(n, d=1 / n) * step for n, step in zip(field.shape[1:], spacing, strict=True)]
    squares = torch.stack([offset**2 for offset in torch.meshgrid(*offsets, indexing="ij")]).sum(0)
    shell = torch.round(torch.sqrt(squares)).long().flatten().to(field.device)
    inside = shell < shells
    total = field.new_zeros(len(field), shells).index_add(1, shell[inside], field.flatten(1)[:, inside])
    return total / torch.bincount(shell[inside], minlength=shells)
