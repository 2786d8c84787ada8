"""The scales of a loss's terms, measured instead of set by hand."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

#: the smallest scale that a term is divided by
SMALLEST_SCALE = 1e-12


class MeasuredScales(nn.Module):
    """Mean magnitudes of the terms of a loss over the first steps of a training; checkpoints keep them.

    Args:
        terms: their number.
    """

    totals: Tensor
    measured: Tensor

    def __init__(self, terms: int) -> None:
        super().__init__()
        self.register_buffer("totals", torch.zeros(terms))
        self.register_buffer("measured", torch.zeros(()))

    def observe(self, terms: Float[Tensor, "terms"]) -> None:
        """Count the terms of one step."""
        self.totals += terms.detach().abs()
        self.measured += 1

    @property
    def values(self) -> Float[Tensor, "terms"]:
        """What each term is to be divided by."""
        return (self.totals / self.measured.clamp_min(1)).clamp_min(SMALLEST_SCALE)
