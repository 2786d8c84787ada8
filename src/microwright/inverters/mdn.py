"""Mixture density network: from target properties to a distribution over latents.

p(z | y) = Σ_k π_k(y) N(z; μ_k(y), diag σ_k²(y)), with π, μ, σ from a small densely connected network (Bishop 1994;
Yang et al. 2021, appendix): four layers of 16 neurons, each with batch normalisation and ReLU and each fed with the
input and the outputs of all layers before it; K = 40; N = K (1 + 2M) outputs for M latent dimensions; σ = ELU + 1 + ε.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal
from torch.nn import functional as F

SMALLEST_SIGMA = 1e-4


class DenselyConnected(nn.Module):
    """Layers that each see the input and the outputs of all layers before them (Yang et al. 2021, figure 1b)."""

    def __init__(self, inputs: int, width: int, depth: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(inputs + width * layer, width), nn.BatchNorm1d(width), nn.ReLU())
            for layer in range(depth)
        )
        self.outputs = inputs + width * depth

    def forward(self, x: Float[Tensor, "batch inputs"]) -> Float[Tensor, "batch outputs"]:
        for layer in self.layers:
            x = torch.cat([x, layer(x)], dim=1)
        return x


class MixtureDensityNetwork(nn.Module):
    """Builds p(z | y) as a ``torch.distributions.MixtureSameFamily``.

    Args:
        properties: number p of target properties.
        latent: number M of latent dimensions (flattened).
        components: number K of Gaussians.
        width: neurons of each densely connected layer.
        depth: number of densely connected layers.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, properties: int, latent: int, components: int = 40, width: int = 16, depth: int = 4) -> None:
        super().__init__()
        self.latent = latent
        self.components = components
        self.body = DenselyConnected(properties, width, depth)
        self.head = nn.Linear(self.body.outputs, components * (1 + 2 * latent))
        self.register_buffer("mean", torch.zeros(properties))
        self.register_buffer("std", torch.ones(properties))

    def standardise_by(self, properties: Float[Tensor, "n p"]) -> None:
        """Take the scale of the inputs from the training properties."""
        self.mean.copy_(properties.mean(0))
        self.std.copy_(properties.std(0).clamp_min(1e-12))

    def forward(self, properties: Float[Tensor, "batch p"]) -> MixtureSameFamily:
        features = self.body((properties - self.mean) / self.std)
        sizes = (self.components, self.components * self.latent, self.components * self.latent)
        logits, means, scales = self.head(features).split(sizes, dim=1)
        shape = (-1, self.components, self.latent)
        normal = Normal(means.reshape(shape), F.elu(scales.reshape(shape)) + 1 + SMALLEST_SIGMA, validate_args=False)
        return MixtureSameFamily(
            Categorical(logits=logits, validate_args=False), Independent(normal, 1), validate_args=False
        )
