"""Fully convolutional generative adversarial network for microstructure images (Yang et al. 2018, 2021).

Generator: five transposed convolutions, 128-64-32-16-1 filters, 4×4, stride 2, each but the last with batch
normalisation and ReLU, the last with tanh: a latent map of s×s becomes an image of 32s×32s, so that one generator
serves every size. Discriminator: 16-32-64-128 filters, 4×4, stride 2, batch normalisation and leaky ReLU, then one
kernel that covers the whole feature map. The latent is uniform in [−1, 1].
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from microwright.errors import InputError
from microwright.representations.base import Representation

UPSAMPLING = 32
GENERATOR_FILTERS = (128, 64, 32, 16)
DISCRIMINATOR_FILTERS = (16, 32, 64, 128)


def generator_network() -> nn.Sequential:
    """(batch, 1, s, s) latents → (batch, 1, 32 s, 32 s) images in [−1, 1]."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise((1, *GENERATOR_FILTERS)):
        # no bias: the normalisation that follows would take it out again
        convolution = nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=False)
        layers += [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]
    layers += [nn.ConvTranspose2d(GENERATOR_FILTERS[-1], 1, 4, stride=2, padding=1), nn.Tanh()]
    return nn.Sequential(*layers)


def discriminator_network(size: int) -> nn.Sequential:
    """(batch, 1, size, size) images in [−1, 1] → (batch,) logits of being real."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise((1, *DISCRIMINATOR_FILTERS)):
        convolution = nn.Conv2d(inputs, outputs, 4, stride=2, padding=1, bias=False)
        layers += [convolution, nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2)]
    covers_the_map = size // 2 ** len(DISCRIMINATOR_FILTERS)
    layers += [nn.Conv2d(DISCRIMINATOR_FILTERS[-1], 1, covers_the_map), nn.Flatten(0)]
    return nn.Sequential(*layers)


class GanRepresentation(Representation):
    """Latents of a trained generator.

    Args:
        size: pixels along an edge; a multiple of 32.

    Raises:
        InputError: ``size`` is no positive multiple of 32.
    """

    latent_box = (-1.0, 1.0)

    def __init__(self, size: int) -> None:
        super().__init__()
        if size < UPSAMPLING or size % UPSAMPLING:
            raise InputError(f"size: the generator makes edges of multiples of {UPSAMPLING} pixels, got {size}")
        self.grid = (size, size)
        self.latent_shape = (size // UPSAMPLING, size // UPSAMPLING)
        self.generator = generator_network()

    def decode(self, latents: Float[Tensor, "batch s s"]) -> Float[Tensor, "batch x y"]:
        return (self.generator(latents[:, None])[:, 0] + 1) / 2

    def sample_latents(self, count: int, generator: torch.Generator) -> Float[Tensor, "count s s"]:
        """Latents from the prior that the generator was trained with."""
        return 2 * torch.rand((count, *self.latent_shape), generator=generator) - 1

    def config(self) -> dict[str, Any]:
        return {"size": self.grid[0]}
