r"""Kriging of what the networks leave: a Gaussian process on the differences between samples and members.

Networks that are trained on tens of samples follow the trend and miss the samples themselves. A Gaussian process with a
Matérn kernel of order 3/2 (Rasmussen & Williams, Gaussian Processes for Machine Learning (2006), ch. 4),

    k(r) = σ² [(1 + √3 r) exp(−√3 r) + ν δ],    r = |c − c'| / ℓ,

takes up the residuals of each member, in coordinates c of a structure x that no translation changes: its phase
fraction, and the amplitudes :math:`|\hat x(k)|` of its longest waves. Length ℓ, weight of the phase fraction and nugget
ν are those of the greatest marginal likelihood on a small grid. Far from all samples the correction fades.
"""

from __future__ import annotations

import itertools

import torch
from jaxtyping import Float
from torch import Tensor, nn

#: weights of the phase fraction among the coordinates, lengths in standard deviations, nuggets
FRACTION_WEIGHTS, LENGTHS, NUGGETS = (1.0, 3.0, 10.0), (5.0, 10.0, 20.0, 40.0, 80.0), (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
#: waves in a period, by dimension of the grid
WAVES = {2: 4, 3: 2}
#: added to each squared amplitude, so that its root has a slope at zero
SMALLEST = 1e-8


class Kriging(nn.Module):
    """Corrections of an ensemble's members.

    Args:
        anchors: number of samples.
        grid: pixels per axis.
        members: networks in the ensemble.
        properties: number of properties.
    """

    centre: Tensor
    scale: Tensor
    anchors: Tensor
    weights: Tensor

    def __init__(self, anchors: int, grid: tuple[int, ...], members: int, properties: int) -> None:
        super().__init__()
        self.waves = wave_vectors(grid)
        count = 1 + len(self.waves)
        self.members, self.properties = members, properties
        #: coordinates become (c - centre) / scale, so that the kernel's length is one
        self.register_buffer("centre", torch.zeros(count, dtype=torch.float64))
        self.register_buffer("scale", torch.ones(count, dtype=torch.float64))
        self.register_buffer("anchors", torch.zeros(anchors, count, dtype=torch.float64))
        self.register_buffer("weights", torch.zeros(anchors, members * properties, dtype=torch.float64))

    def fit(
        self, structures: Float[Tensor, "anchors *grid"], residuals: Float[Tensor, "anchors members properties"]
    ) -> None:
        """Take up the residuals (value less what each member says, in one scale for all properties)."""
        found = self.coordinates(structures)
        self.centre.copy_(found.mean(0))
        spread = found.std(0).clamp_min(1e-9)
        targets = residuals.double().flatten(1)
        weight, length, nugget = _likeliest((found - self.centre) / spread, residuals.double().mean(1))
        self.scale.copy_(spread * length)
        self.scale[0] /= weight
        self.anchors.copy_((found - self.centre) / self.scale)
        covariance = matern(self.anchors, self.anchors) + nugget * torch.eye(len(found), dtype=torch.float64)
        self.weights.copy_(torch.cholesky_solve(targets, torch.linalg.cholesky(covariance)))

    def forward(self, structures: Float[Tensor, "batch *grid"]) -> Float[Tensor, "batch members properties"]:
        """What to add to each member; differentiable."""
        places = (self.coordinates(structures) - self.centre) / self.scale
        return (matern(places, self.anchors) @ self.weights).unflatten(1, (self.members, self.properties))

    def coordinates(self, structures: Float[Tensor, "batch *grid"]) -> Float[Tensor, "batch coordinates"]:
        """Phase fraction, and amplitudes of the longest waves."""
        axes = tuple(range(1, structures.ndim))
        spectrum = torch.fft.fftn(structures.double(), dim=axes, norm="forward")
        chosen = spectrum[(slice(None), *torch.tensor(self.waves).unbind(1))]
        amplitudes = (chosen.abs().square() + SMALLEST).sqrt()
        return torch.cat([structures.double().flatten(1).mean(1, keepdim=True), amplitudes], dim=1)


def wave_vectors(grid: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Wave vectors of the longest waves, one of each pair k, −k; none that the grid cannot tell from another."""
    most = [min(WAVES[len(grid)], (n - 1) // 2) for n in grid]
    every = itertools.product(*[range(-m, m + 1) for m in most])
    return [k for k in every if k > (0,) * len(grid)]


def matern(first: Float[Tensor, "m c"], second: Float[Tensor, "n c"]) -> Float[Tensor, "m n"]:
    """Matérn kernel of order 3/2, variance and length one."""
    distance = 3**0.5 * torch.cdist(first, second, compute_mode="donot_use_mm_for_euclid_dist")
    return (1 + distance) * torch.exp(-distance)


def _likeliest(places: Float[Tensor, "n c"], residuals: Float[Tensor, "n p"]) -> tuple[float, float, float]:
    """Weight of the phase fraction, length and nugget of the greatest marginal likelihood; the variance is its best."""
    scaled = residuals / residuals.square().mean(0).sqrt().clamp_min(1e-12)

    def likelihood(candidate: tuple[float, float, float]) -> float:
        weight, length, nugget = candidate
        weighted = torch.cat([weight * places[:, :1], places[:, 1:]], dim=1) / length
        covariance = matern(weighted, weighted) + nugget * torch.eye(len(places), dtype=torch.float64)
        factor = torch.linalg.cholesky(covariance)
        variance = (scaled * torch.cholesky_solve(scaled, factor)).mean(0)
        return float(-len(places) * (0.5 * variance.log() + factor.diagonal().log().mean()).sum())

    return max(itertools.product(FRACTION_WEIGHTS, LENGTHS, NUGGETS), key=likelihood)
