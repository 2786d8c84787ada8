r"""Expected improvement towards a target value.

With the nearest evaluation at the distance b from the target t and a predictive normal N(μ, s²) for y, the expected
improvement of the distance is

.. math:: \mathrm{EI} = E\,(b - |y - t|)_+ = b^2 \int_{-1}^{1} (1 - |\tau|)\, N(t + b\tau;\ \mu, s^2)\, d\tau .

The integral is a Gauss-Legendre sum over both halves, taken in logarithms, so that it neither underflows where the
target is many s away nor cancels where b is much smaller than s (LogEI, Ament et al. 2023). s is kept above b/6, which
the nodes still resolve.
"""

from __future__ import annotations

import math
from functools import cache
from typing import cast

import numpy as np
import torch
from botorch.acquisition import AcquisitionFunction
from botorch.models import SingleTaskGP
from botorch.posteriors import GPyTorchPosterior
from botorch.utils.transforms import t_batch_mode_transform
from jaxtyping import Float
from torch import Tensor

NODES = 16
SMALLEST_SHARE = 1 / 6
SMALLEST_DISTANCE = 1e-9


class LogTargetImprovement(AcquisitionFunction):
    """ln EI of the distance to a target.

    Args:
        model: of y, with one output.
        target: t.
        nearest: b, the smallest distance to t so far.
    """

    def __init__(self, model: SingleTaskGP, target: float, nearest: float) -> None:
        super().__init__(model)
        self.target = target
        self.nearest = max(nearest, SMALLEST_DISTANCE)

    @t_batch_mode_transform(expected_q=1)  # type: ignore[arg-type]
    def forward(self, X: Float[Tensor, "batch 1 m"]) -> Float[Tensor, "batch"]:
        posterior = cast(GPyTorchPosterior, self.model.posterior(X))
        mean, variance = posterior.mean[:, 0, 0], posterior.variance[:, 0, 0]
        return log_target_improvement(mean - self.target, variance.sqrt(), self.nearest)


def log_target_improvement(
    offset: Float[Tensor, "batch"], sigma: Float[Tensor, "batch"], nearest: float
) -> Float[Tensor, "batch"]:
    """ln EI for predictions N(t + offset, sigma²) where ``nearest`` is b."""
    tau, log_weight = _tent_quadrature()
    spread = torch.hypot(sigma, torch.full_like(sigma, SMALLEST_SHARE * nearest))[..., None]
    log_density = -0.5 * ((nearest * tau - offset[..., None]) / spread) ** 2 - spread.log()
    return torch.logsumexp(log_density + log_weight, -1) + 2 * math.log(nearest) - 0.5 * math.log(2 * math.pi)


@cache
def _tent_quadrature() -> tuple[Float[Tensor, "nodes"], Float[Tensor, "nodes"]]:
    """Nodes τ of both halves of [−1, 1], and ln of weight · (1 − |τ|)."""
    x, weight = np.polynomial.legendre.leggauss(NODES)
    half = (x + 1) / 2
    tau = torch.as_tensor(np.concatenate([-half, half]))
    return tau, torch.as_tensor(np.log(np.concatenate([weight, weight]) / 2)) + torch.log1p(-tau.abs())
