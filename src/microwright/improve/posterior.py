r"""What is known of a structure from its kin: a Gaussian process on what the surrogate leaves.

A surrogate of a few dozen labels is wrong by some percent, and by nearly the same amount for two structures that differ
in few pixels. So the residuals (value less surrogate) of all calls are kriged with a Matérn kernel of order 5/2
(Rasmussen & Williams, Gaussian Processes for Machine Learning (2006), ch. 4) over the distance of structures x, x',

    r² = (‖G(x − x')‖² + ρ ‖x − x'‖²) / ℓ²,

where G smooths over a cell of the surrogate's lattice and ℓ² is the mean of the numerator over unrelated structures.
Its derivative by the pixels is then a random field of two parts: a smooth one, since physics sees whole boundaries,
and a white one of weight ρ for the single pixel. Between kin the process is nearly linear in the pixels: two of them
give the secant along every path that joins them, and many give all sums and differences of the moves made so far.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from microwright.physics.surrogate.guided import smoothed
from microwright.physics.surrogate.network import EnsembleShape, coarse_lattice
from microwright.physics.surrogate.solver import SurrogateSolver

#: weight ρ of single pixels
WHITE = 0.01
#: noise of the simulator that is thought of, as a share of the residuals' variance; the first is for rounding only
NUGGETS = (1e-10, 1e-7, 1e-4, 1e-2)
#: least standard deviation of a residual, in standard deviations of the values: a surrogate hides what it fits
LEAST = 0.5
#: structures compared at once
TOGETHER = 64


class Kinship:
    """Correlation of structures by the distance above.

    Args:
        unrelated: structures whose mean squared distance is the squared length ℓ².
    """

    def __init__(self, unrelated: Float[Tensor, "n *grid"]) -> None:
        grid = tuple(unrelated.shape[1:])
        lattice = coarse_lattice(grid, EnsembleShape.for_dimensions(len(grid)).lattice)
        self.cells = [n / cells for n, cells in zip(grid, lattice, strict=True)]
        apart = self.squared(unrelated, self.features(unrelated))
        mean = float(apart.sum()) / max(1, len(unrelated) * (len(unrelated) - 1))
        self.length = max(mean, 1.0) ** 0.5

    def features(self, structures: Float[Tensor, "n *grid"]) -> Float[Tensor, "n features"]:
        """Coordinates in which the distance is Euclidean."""
        fields = structures.double()
        return torch.cat([smoothed(fields, self.cells).flatten(1), WHITE**0.5 * fields.flatten(1)], dim=1)

    def squared(
        self, structures: Float[Tensor, "m *grid"], features: Float[Tensor, "n features"]
    ) -> Float[Tensor, "m n"]:
        """Squared distances of structures to others whose ``features`` are given."""
        norms = features.square().sum(1)
        parts = []
        for part in structures.split(TOGETHER):
            own = self.features(part)
            parts.append(own.square().sum(1, keepdim=True) + norms - 2 * own @ features.T)
        return torch.cat(parts).clamp_min(0.0) if parts else norms.new_zeros(0, len(features))

    def correlation(
        self, structures: Float[Tensor, "m *grid"], features: Float[Tensor, "n features"]
    ) -> Float[Tensor, "m n"]:
        """Matérn correlation of order 5/2."""
        distance = 5**0.5 * self.squared(structures, features).sqrt() / self.length
        return (1 + distance + distance.square() / 3) * torch.exp(-distance)


class Posterior:
    """Values of any structure, given the surrogate and all calls.

    Args:
        surrogate: mean of the process.
        structures: of the calls that gave a value.
        values: what the simulator said.
        kinship: of structures.
    """

    def __init__(
        self,
        surrogate: SurrogateSolver,
        structures: Float[Tensor, "n *grid"],
        values: Float[Tensor, "n properties"],
        kinship: Kinship,
    ) -> None:
        self.surrogate, self.kinship = surrogate, kinship
        self.features = kinship.features(structures)
        residuals = values - self._mean(structures)
        self.factor = _likeliest(kinship.correlation(structures, self.features), residuals)
        self.weights = torch.cholesky_solve(residuals, self.factor)
        likeliest = (residuals * self.weights).mean(0).sqrt()
        self.scale = torch.maximum(likeliest, LEAST * values.std(0))

    def __call__(
        self, structures: Float[Tensor, "m *grid"]
    ) -> tuple[Float[Tensor, "m properties"], Float[Tensor, "m properties"]]:
        """Mean and standard deviation."""
        correlation = self.kinship.correlation(structures, self.features)
        explained = torch.linalg.solve_triangular(self.factor, correlation.T, upper=False).square().sum(0)
        spread = (1 - explained).clamp_min(NUGGETS[0]).sqrt()
        return self._mean(structures) + correlation @ self.weights, spread[:, None] * self.scale

    @torch.no_grad()
    def _mean(self, structures: Float[Tensor, "m *grid"]) -> Float[Tensor, "m properties"]:
        parts = [self.surrogate.predict(part.float()).mean for part in structures.split(TOGETHER)]
        return torch.cat(parts).double()


def _likeliest(correlation: Float[Tensor, "n n"], residuals: Float[Tensor, "n properties"]) -> Float[Tensor, "n n"]:
    """Cholesky factor of the correlation with the nugget of the greatest marginal likelihood."""
    unit = torch.eye(len(correlation), dtype=torch.float64)
    factors = [torch.linalg.cholesky(correlation + nugget * unit) for nugget in NUGGETS]

    def likelihood(factor: Tensor) -> float:
        variance = (residuals * torch.cholesky_solve(residuals, factor)).mean(0).clamp_min(1e-300)
        return float(-(0.5 * variance.log() + factor.diagonal().log().mean()).sum())

    return max(factors, key=likelihood)
