"""No reduction at all: every pixel is a latent coordinate (Yang et al. 2021, the MDN baseline)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor

from microwright.representations.base import EncodingRepresentation


class PixelRepresentation(EncodingRepresentation):
    """Structures as they are.

    Args:
        grid: shape of one structure.
    """

    def __init__(self, grid: Sequence[int]) -> None:
        super().__init__()
        self.grid = tuple(grid)
        self.latent_shape = self.grid

    def encode(self, structures: Float[Tensor, "batch *grid"]) -> Float[Tensor, "batch *grid"]:
        return structures

    def decode(self, latents: Float[Tensor, "batch *grid"]) -> Float[Tensor, "batch *grid"]:
        return latents.clamp(0, 1)

    def config(self) -> dict[str, Any]:
        return {"grid": list(self.grid)}
