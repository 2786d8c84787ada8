"""A trained generator as a source of structures: sample i comes from its own latent, drawn from the prior."""

from __future__ import annotations

from typing import Any

import torch

from microwright.data.sources import Samples, Source, sample_generator
from microwright.representations.gan import GanRepresentation


class GeneratorSource(Source):
    """Structures of a generator with their latents.

    Args:
        representation: the trained generator.
        seed: seed of the latents.
        origin: what the generator was trained as, for the set's header.
    """

    def __init__(self, representation: GanRepresentation, seed: int, origin: dict[str, Any]) -> None:
        self.representation = representation.eval()
        self.seed = seed
        self.origin = origin
        self.grid = representation.grid
        self.latent_shape = representation.latent_shape

    def samples(self, start: int, stop: int) -> Samples:
        drawn = [self.representation.sample_latents(1, sample_generator(self.seed, i)) for i in range(start, stop)]
        latents = torch.cat(drawn)
        # one image at a time: the rounding of a convolution depends on the size of its batch
        structures = torch.cat([self.representation.structures(latent[None]) for latent in latents])
        return Samples(structures, latents)

    def spec(self) -> dict[str, Any]:
        return {"family": "generator", "seed": self.seed, **self.origin}
