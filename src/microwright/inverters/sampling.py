"""Draws from conditional mixtures with an explicit generator, inside the box in which the latents live."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Independent, MixtureSameFamily, Normal

from microwright.errors import InputError

MOST_ROUNDS = 200


def tempered(mixture: MixtureSameFamily, temperature: float) -> MixtureSameFamily:
    """The mixture with every component's σ multiplied by ``temperature``; its means and weights stay.

    The latents of one property value form a curved surface; Gaussians laid along it are thicker than it is, and below
    1 the draws come nearer to it. Nothing else about the distribution changes.
    """
    components = mixture.component_distribution
    assert isinstance(components, Independent)
    normal = components.base_dist
    narrower = Normal(normal.loc, normal.scale * temperature, validate_args=False)
    return MixtureSameFamily(mixture.mixture_distribution, Independent(narrower, 1), validate_args=False)


def draw(mixture: MixtureSameFamily, count: int, generator: torch.Generator) -> Float[Tensor, "count latent"]:
    """``count`` draws from a single mixture (batch of one); each draw takes a component of its own."""
    component = torch.multinomial(mixture.mixture_distribution.probs[0], count, replacement=True, generator=generator)
    components = mixture.component_distribution
    assert isinstance(components, Independent)
    gaussians = components.base_dist
    noise = torch.randn((count, gaussians.loc.shape[-1]), generator=generator)
    return gaussians.loc[0, component] + gaussians.scale[0, component] * noise


def draw_inside(
    mixture: MixtureSameFamily, count: int, generator: torch.Generator, low: float, high: float
) -> Float[Tensor, "count latent"]:
    """``count`` draws inside the box [low, high]^M; what falls outside is drawn again, not clipped.

    Raises:
        InputError: the mixture has next to no mass inside the box.
    """
    kept: list[Tensor] = []
    missing = count
    for _ in range(MOST_ROUNDS):
        drawn = draw(mixture, max(2 * missing, 16), generator)
        inside = drawn[((drawn >= low) & (drawn <= high)).all(1)][:missing]
        kept.append(inside)
        missing -= len(inside)
        if missing == 0:
            return torch.cat(kept)
    raise InputError("target: the model puts no latents inside its box there; choose a target nearer its training data")
