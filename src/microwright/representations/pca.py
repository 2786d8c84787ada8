"""Principal components of structures (Yang et al. 2021, the PCA-MDN baseline).

With the mean x̄, the leading eigenvectors U (M, D) of the sample covariance and their eigenvalues s², a structure x has
the latent z = U (x − x̄) / s, of unit variance in each coordinate, and the latent z decodes to x̄ + Uᵀ (s z).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from microwright.errors import InputError
from microwright.representations.base import EncodingRepresentation

SMALLEST_DEVIATION = 1e-12


class PcaRepresentation(EncodingRepresentation):
    """Standardised principal components.

    Args:
        grid: shape of one structure.
        components: number M of components.
    """

    mean: Tensor
    axes: Tensor
    deviation: Tensor

    def __init__(self, grid: Sequence[int], components: int) -> None:
        super().__init__()
        self.grid = tuple(grid)
        self.latent_shape = (components,)
        pixels = math.prod(self.grid)
        self.register_buffer("mean", torch.zeros(pixels))
        self.register_buffer("axes", torch.zeros(components, pixels))
        self.register_buffer("deviation", torch.ones(components))

    def fit(self, structures: Float[Tensor, "n *grid"], seed: int) -> None:
        """Take mean, axes and deviations from ``structures``.

        Args:
            structures: at least as many as there are components.
            seed: of the randomised decomposition that large sets get.

        Raises:
            InputError: fewer structures, or fewer pixels, than components.
        """
        # here, because scikit-learn takes a second to import and decoding does not need it
        from sklearn.decomposition import PCA

        components = self.latent_shape[0]
        if components > min(structures.flatten(1).shape):
            raise InputError(
                f"data: {len(structures)} structures cannot give {components} principal components; give more"
            )
        fitted = PCA(components, random_state=seed).fit(structures.flatten(1).numpy())
        self.mean.copy_(torch.as_tensor(fitted.mean_))
        self.axes.copy_(torch.as_tensor(fitted.components_))
        self.deviation.copy_(torch.as_tensor(fitted.explained_variance_).sqrt().clamp_min(SMALLEST_DEVIATION))

    def encode(self, structures: Float[Tensor, "batch *grid"]) -> Float[Tensor, "batch m"]:
        return (structures.flatten(1) - self.mean) @ self.axes.T / self.deviation

    def decode(self, latents: Float[Tensor, "batch m"]) -> Float[Tensor, "batch *grid"]:
        flat = self.mean + (latents * self.deviation) @ self.axes
        return flat.clamp(0, 1).reshape(-1, *self.grid)

    def config(self) -> dict[str, Any]:
        return {"grid": list(self.grid), "components": self.latent_shape[0]}
