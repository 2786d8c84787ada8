"""What a table of residual errors does not say: coverage, diversity, novelty and calibration of an inverter.

Distances between structures are those of their two-point correlations (``structures.statistics.two_point_distance``),
so that a translated copy counts as the same structure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from microwright.structures.statistics import two_point_distance

#: nominal levels of the credible intervals that ``interval_coverage`` counts
LEVELS = (0.5, 0.8, 0.9, 0.95)
#: a target counts as met when a design comes within so many per cent of it
MET_PERCENT = 1.0

#: draws of flattened latents for one row of property values
Posterior = Callable[[Float[Tensor, "p"]], Float[Tensor, "draws m"]]


def coverage(smallest_rep: Sequence[float | None]) -> float:
    """Share of targets that some design meets within 1 %; None marks a target that the method refuses."""
    met = [rep is not None and rep <= MET_PERCENT for rep in smallest_rep]
    return sum(met) / len(met)


def diversity(structures: Float[Tensor, "n *grid"]) -> float:
    """Mean distance of all pairs."""
    count = len(structures)
    return float(two_point_distance(structures, structures).sum() / (count * (count - 1)))


def novelty(structures: Float[Tensor, "n *grid"], known: Float[Tensor, "m *grid"]) -> float:
    """Mean distance of a structure to the nearest known one."""
    return float(two_point_distance(structures, known).amin(1).mean())


def ranks(
    posterior: Posterior, properties: Float[Tensor, "n p"], latents: Float[Tensor, "n m"]
) -> Float[Tensor, "n m"]:
    """Share of posterior draws below the true latent, coordinate by coordinate; uniform for a calibrated inverter.

    Simulation-based calibration (Talts et al., 2018).
    """
    return torch.stack([(posterior(y) < z).double().mean(0) for y, z in zip(properties, latents, strict=True)])


def interval_coverage(rank: Float[Tensor, "n m"]) -> dict[str, float]:
    """Share of true latents inside the central credible interval of each nominal level."""
    return {f"{level:.0%}": float(((rank - 0.5).abs() <= level / 2).double().mean()) for level in LEVELS}
