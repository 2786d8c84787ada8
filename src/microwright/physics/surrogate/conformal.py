r"""Error bars by split conformal prediction.

With calibration data that no training saw, the normalised scores :math:`s_i = |y_i - \mu(x_i)| / \sigma(x_i)` have the
:math:`\lceil (n + 1)\,c \rceil`-th smallest as their conformal quantile q, and the interval
:math:`\mu(x) \pm q\,\sigma(x)` holds the value of a new structure of the same population with a probability of at least
c, whatever the network and whatever the distribution (Vovk, Gammerman & Shafer, "Algorithmic Learning in a Random
World", 2005; Lei et al., J. Am. Stat. Assoc. 113 (2018) 1094). Structures that a search has bent towards a target are
another population: there the bars are a guide, and the simulator has the last word.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from microwright.errors import InputError


def conformal_quantile(scores: Float[Tensor, "n p"], coverage: float) -> Float[Tensor, "p"]:
    """The conformal quantile of each column; NaN (no bar can be had) where there are too few scores.

    Args:
        scores: normalised absolute errors on calibration data.
        coverage: wanted probability c, in (0, 1).

    Raises:
        InputError: a coverage outside (0, 1).
    """
    if not 0 < coverage < 1:
        raise InputError(f"coverage: expected a number between 0 and 1, got {coverage}; for instance 0.9")
    rank = math.ceil((len(scores) + 1) * coverage - 1e-9)
    if rank > len(scores):
        return scores.new_full(scores.shape[1:], torch.nan)
    return scores.sort(0).values[rank - 1]


def fewest_samples(coverage: float) -> int:
    """The fewest calibration samples that give a finite interval: 9 at a coverage of 0.9."""
    return math.ceil(coverage / (1 - coverage) - 1e-9)
