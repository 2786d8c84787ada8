"""What a representation is: structures as points of a small latent space.

``decode`` maps latents to relaxed phase maps in [0, 1]; ``structures`` makes them binary by Otsu's threshold, image by
image, as the papers do. Representations that can also place a given structure add ``encode``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from microwright.structures.segmentation import binarise


class Representation(nn.Module, ABC):
    """Structures ↔ latents.

    Attributes:
        grid: shape of one structure.
        latent_shape: shape of its latent.
        latent_box: (low, high) that holds every coordinate of a valid latent, or None where any value is valid.
    """

    grid: tuple[int, ...]
    latent_shape: tuple[int, ...]
    latent_box: tuple[float, float] | None = None

    @abstractmethod
    def decode(self, latents: Float[Tensor, "batch *latent"]) -> Float[Tensor, "batch *grid"]:
        """Relaxed phase maps in [0, 1]; differentiable."""

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """The arguments that build this representation again, as JSON."""

    @torch.no_grad()
    def structures(self, latents: Float[Tensor, "batch *latent"]) -> Float[Tensor, "batch *grid"]:
        """Binary structures of ``latents``."""
        return binarise(self.decode(latents))


class EncodingRepresentation(Representation):
    """A representation that can also place a given structure in its latent space."""

    @abstractmethod
    def encode(self, structures: Float[Tensor, "batch *grid"]) -> Float[Tensor, "batch *latent"]:
        """Latents of ``structures``."""
