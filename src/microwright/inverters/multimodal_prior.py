r"""Conditional mixture prior: from properties to a mixture of Gaussians over latents (Sardeshmukh et al., tables 4, 5).

.. math:: p(z|c) = \sum_{k=1}^K \pi_k(c)\, N\!\left(z; \mu_k(c), \operatorname{diag}\sigma_k^2(c)\right)

One Gaussian (K = 1) is an affine map of c (table 4); a mixture has one layer of 8 tanh neurons before its three heads
(table 5). The divergence of a Gaussian posterior q from the mixture has no closed form; equation (3), after Hershey &
Olsen (ICASSP 2007), takes

.. math:: D(q\,\|\,p) \approx -\log \sum_k \pi_k\, e^{-D_{KL}(q \| p_k)},

which is exact for K = 1 and never less than the least of the components' divergences.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from microwright.errors import InputError

#: neurons of the mixture's hidden layer
HIDDEN = 8
#: log variances stay within this distance of 0: beyond it exp leaves what single precision can train with
LARGEST_LOG_VARIANCE = 10.0


class MultimodalPrior(nn.Module):
    """Builds p(z | c) as a ``torch.distributions.MixtureSameFamily``.

    Args:
        properties: number p of properties.
        latent: number M of latent dimensions.
        components: number K of Gaussians.

    Raises:
        InputError: a size below 1.
    """

    def __init__(self, properties: int, latent: int, components: int = 2) -> None:
        super().__init__()
        if min(properties, latent, components) < 1:
            raise InputError(
                f"prior: properties, latent dimensions and components must be at least 1, got {properties}, {latent} "
                f"and {components}"
            )
        self.latent = latent
        self.components = components
        mixture = components > 1
        self.body = nn.Sequential(nn.Linear(properties, HIDDEN), nn.Tanh()) if mixture else nn.Identity()
        inputs = HIDDEN if mixture else properties
        self.weights = nn.Linear(inputs, components)
        self.means = nn.Linear(inputs, components * latent)
        self.log_variances = nn.Linear(inputs, components * latent)

    def forward(self, properties: Float[Tensor, "batch p"]) -> MixtureSameFamily:
        features = self.body(properties)
        shape = (-1, self.components, self.latent)
        log_variances = bounded(self.log_variances(features)).reshape(shape)
        normal = Normal(self.means(features).reshape(shape), (0.5 * log_variances).exp(), validate_args=False)
        weights = Categorical(logits=self.weights(features), validate_args=False)
        return MixtureSameFamily(weights, Independent(normal, 1), validate_args=False)


def bounded(log_variance: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Log variances that single precision can train with."""
    return log_variance.clamp(-LARGEST_LOG_VARIANCE, LARGEST_LOG_VARIANCE)


def component_gaussians(mixture: MixtureSameFamily) -> Normal:
    """The diagonal Gaussians of a mixture; batch shape ``(batch, K, M)``."""
    components = mixture.component_distribution
    assert isinstance(components, Independent)
    return components.base_dist


def gaussian_divergence(
    mean: Float[Tensor, "*batch m"], log_variance: Float[Tensor, "*batch m"], other: Normal
) -> Float[Tensor, "*batch"]:
    """D_KL of N(mean, diag exp(log_variance)) from the diagonal Gaussians ``other``, nats."""
    prior_variance = other.scale.square()
    ratio = log_variance.exp() / prior_variance
    distance = (mean - other.loc).square() / prior_variance
    return 0.5 * (ratio + distance - 1 - log_variance + 2 * other.scale.log()).sum(-1)


def mixture_divergence(
    mean: Float[Tensor, "batch m"], log_variance: Float[Tensor, "batch m"], mixture: MixtureSameFamily
) -> Float[Tensor, "batch"]:
    """Equation (3): the approximate D_KL of N(mean, diag exp(log_variance)) from ``mixture``, nats.

    Args:
        mean: of the posterior q(z | x).
        log_variance: of the posterior.
        mixture: the prior p(z | c), one for each sample.
    """
    to_each = gaussian_divergence(mean[:, None], log_variance[:, None], component_gaussians(mixture))
    log_weights = mixture.mixture_distribution.logits
    return -torch.logsumexp(log_weights - to_each, dim=1)
