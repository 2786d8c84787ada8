"""The conditional mixture prior and equation (3)."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Independent, Normal, kl_divergence

from microwright.errors import InputError
from microwright.inverters.multimodal_prior import (
    MultimodalPrior,
    component_gaussians,
    gaussian_divergence,
    mixture_divergence,
)
from microwright.training import seeded


def prior_of(components: int, properties: int = 2, latent: int = 3) -> MultimodalPrior:
    return seeded(0, lambda: MultimodalPrior(properties, latent, components))


def posterior(seed: int, batch: int = 4, latent: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn((batch, latent), generator=generator),
        torch.randn((batch, latent), generator=generator),
    )


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_divergence_of_gaussians_is_that_of_torch(seed: int) -> None:
    (mean, log_variance), (other_mean, other_log_variance) = posterior(seed), posterior(seed + 1)
    other = Normal(other_mean, (0.5 * other_log_variance).exp())
    ours = gaussian_divergence(mean, log_variance, other)
    theirs = kl_divergence(Independent(Normal(mean, (0.5 * log_variance).exp()), 1), Independent(other, 1))
    torch.testing.assert_close(ours, theirs)


def test_one_component_is_an_affine_map_and_its_divergence_is_exact() -> None:
    prior = prior_of(1)
    c = torch.randn((4, 2), generator=torch.Generator().manual_seed(3))
    means = [component_gaussians(prior(part)).loc for part in (c, 2 * c, 0 * c)]
    torch.testing.assert_close(means[1] - means[2], 2 * (means[0] - means[2]))
    mean, log_variance = posterior(5)
    only = component_gaussians(prior(c))
    exact = gaussian_divergence(mean, log_variance, Normal(only.loc[:, 0], only.scale[:, 0]))
    torch.testing.assert_close(mixture_divergence(mean, log_variance, prior(c)), exact)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 5))
def test_equation_three_lies_between_the_nearest_component_and_its_weight(seed: int, components: int) -> None:
    """min KL_k ≤ D ≤ min_k (KL_k − log π_k)."""
    mixture = prior_of(components)(torch.randn((4, 2), generator=torch.Generator().manual_seed(seed)))
    mean, log_variance = posterior(seed)
    each = gaussian_divergence(mean[:, None], log_variance[:, None], component_gaussians(mixture))
    found = mixture_divergence(mean, log_variance, mixture)
    assert bool((found >= each.min(1).values - 1e-4).all())
    assert bool((found <= (each - mixture.mixture_distribution.logits).min(1).values + 1e-4).all())


def test_equation_three_of_equal_components_is_that_of_one() -> None:
    prior = prior_of(3)
    with torch.no_grad():
        for head in (prior.means, prior.log_variances):
            head.weight.copy_(head.weight[:3].repeat(3, 1))
            head.bias.copy_(head.bias[:3].repeat(3))
    mixture = prior(torch.zeros(4, 2))
    mean, log_variance = posterior(1)
    first = component_gaussians(mixture)
    alone = gaussian_divergence(mean, log_variance, Normal(first.loc[:, 0], first.scale[:, 0]))
    torch.testing.assert_close(mixture_divergence(mean, log_variance, mixture), alone)


def test_two_clusters_become_two_components() -> None:
    """Latents at ±(1 + c) for one and the same c: a mixture finds both, a single Gaussian their middle."""
    generator = torch.Generator().manual_seed(0)
    c = torch.rand((256, 1), generator=generator)
    sign = torch.where(torch.rand((256, 1), generator=generator) < 0.5, -1.0, 1.0)
    mean, log_variance = sign * (1 + c) * torch.ones(1, 2), torch.full((256, 2), -4.0)
    found = {}
    for components in (1, 2):
        prior = seeded(1, lambda k=components: MultimodalPrior(1, 2, k))
        adam = torch.optim.Adam(prior.parameters(), lr=0.03)
        for _ in range(300):
            adam.zero_grad()
            loss = mixture_divergence(mean, log_variance, prior(c)).mean()
            loss.backward()
            adam.step()
        found[components] = loss.item(), component_gaussians(prior(torch.tensor([[0.5]]))).loc[0, :, 0].tolist()
    assert found[2][0] < found[1][0]
    assert abs(found[1][1][0]) < 0.3
    assert sorted(found[2][1]) == pytest.approx([-1.5, 1.5], abs=0.2)


def test_sizes_below_one_are_refused() -> None:
    with pytest.raises(InputError, match="at least 1"):
        MultimodalPrior(1, 2, 0)
