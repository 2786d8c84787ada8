"""What follows the joint training of VAE-Regression, so that inference decodes what was asked for.

The joint training (``vae_regression_training``) is about volumes: their posteriors are decoded, and the prior follows
these with as many steps as all else. Inference starts from the prior. Here the prior is fitted once more by itself
(``fit_prior``), and the decoder learns what the prior's components and their means are to look like and what the
solver is to say of them (``train_decoder``).
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.distributions import Normal

from microwright.inverters.multimodal_prior import (
    MultimodalPrior,
    component_gaussians,
    gaussian_divergence,
    mixture_divergence,
)
from microwright.physics.property import Solver
from microwright.representations.style import StyleLoss, TwoPointStyle
from microwright.representations.vae_regression import VaeRegressionNetworks
from microwright.representations.vae_regression_training import (
    BETAS,
    Pair,
    check_volumes,
    fitted,
    learnt_and_held_out,
    moved,
    seen_volumes,
)
from microwright.structures.random_fields import cut_at_fraction
from microwright.training import TrainerOptions, seeded, step_generator
from microwright.training.best import BestWeights
from microwright.training.scales import MeasuredScales
from microwright.training.settings import VaeRegressionTraining

#: places that the fit of the prior begins from, besides where it is; its steps, volumes a step, and learning rate
PRIOR_STARTS, PRIOR_STEPS, PRIOR_BATCH, PRIOR_RATE = 4, 1500, 64, 5e-3
#: a smaller set is seen at several places of its period
PRIOR_VOLUMES = 2048
#: a property is missed relative to its size, but for one of less than this share of the training set's deviation
SMALLEST_SHARE = 0.1


def fit_prior(
    networks: VaeRegressionNetworks,
    structures: Shaped[Tensor, "n x y z"],
    properties: Float[Tensor, "n p"],
    mirrored: bool,
    seed: int,
) -> dict[str, float]:
    """Fit p(z|c) of trained ``networks`` to their posteriors of labelled volumes; everything else stays as it is.

    The divergence of ``train_vae_regression`` alone, at the true c. Trained together with all else a mixture rarely
    gets far, and its components may share what they should divide; by itself it takes seconds, so that it is begun
    from where it is and from several other places, and the one that ends lowest is kept.

    Args:
        networks: their prior is replaced in place.
        structures: 0/1.
        properties: in their own units.
        mirrored: whether mirror images count as well.
        seed: of shifts, batches and places to begin from.

    Returns:
        ``prior_divergence`` before and after: ``prior_divergence_before``, ``prior_divergence``, nats.
    """
    posteriors = _posteriors(networks, seen_volumes(networks, structures), properties.float(), mirrored, seed)
    shape = networks.shape
    fresh = [
        seeded(seed + start, lambda: MultimodalPrior(shape.properties, shape.latent, shape.components))
        for start in range(PRIOR_STARTS)
    ]
    before = _prior_divergence(networks.generator, posteriors)
    found = [(_fitted_prior(prior, posteriors, seed), prior) for prior in (copy.deepcopy(networks.generator), *fresh)]
    least, networks.generator = min(found, key=lambda pair: pair[0])
    return {"prior_divergence_before": before, "prior_divergence": least}


@torch.no_grad()
def _posteriors(
    networks: VaeRegressionNetworks, structures: Tensor, properties: Tensor, mirrored: bool, seed: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Means and log variances of q(z|x) of volumes at random places of their period, and standardised c."""
    generator = torch.Generator().manual_seed(seed)
    found = []
    for _ in range(max(1, PRIOR_VOLUMES // len(structures))):
        parts = zip(structures.split(64), properties.split(64), strict=True)
        found += [
            (*networks.encode(moved(part, mirrored, generator).float()), networks.normalised(values))
            for part, values in parts
        ]
    means, log_variances, values = (torch.cat(column) for column in zip(*found, strict=True))
    return means, log_variances, values


def _fitted_prior(prior: MultimodalPrior, posteriors: tuple[Tensor, Tensor, Tensor], seed: int) -> float:
    """Train ``prior`` in place; its divergence."""
    generator = torch.Generator().manual_seed(seed)
    adam = torch.optim.Adam(prior.parameters(), lr=PRIOR_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, PRIOR_STEPS)
    means, log_variances, values = posteriors
    for _ in range(PRIOR_STEPS):
        rows = torch.randint(len(means), (PRIOR_BATCH,), generator=generator)
        loss = mixture_divergence(means[rows], log_variances[rows], prior(values[rows])).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        schedule.step()
    return _prior_divergence(prior, posteriors)


@torch.no_grad()
def _prior_divergence(prior: MultimodalPrior, posteriors: tuple[Tensor, Tensor, Tensor]) -> float:
    means, log_variances, values = posteriors
    return float(mixture_divergence(means, log_variances, prior(values)).mean())


class _DecoderModule(BestWeights):
    """Style and solved property of what is decoded from posteriors and from the prior; the decoder alone learns."""

    network: VaeRegressionNetworks

    def __init__(
        self,
        networks: VaeRegressionNetworks,
        solver: Solver | None,
        style: StyleLoss,
        settings: VaeRegressionTraining,
        seed: int,
    ) -> None:
        super().__init__(networks)
        self.solver = solver
        self.style = style
        self.settings = settings
        self.seed = seed
        self.scales = MeasuredScales(2)

    def training_step(self, batch: Pair, batch_index: int) -> Tensor:
        # the global step counts on through epochs and kills
        generator = step_generator(self.seed, self.global_step, self.global_rank)
        structures, properties = batch
        terms = self._terms(moved(structures, self.settings.mirrored, generator).float(), properties, generator)
        if self.global_step < self.settings.scale_steps:
            self.scales.observe(terms)
        return (terms / self.scales.values).sum()

    def validation_step(self, batch: Pair, batch_index: int) -> None:
        structures, properties = batch
        terms = self._terms(structures.float(), properties, step_generator(self.seed + 1, batch_index))
        named = dict(zip(("style", "miss"), terms, strict=True))
        loss = (terms / self.scales.values).sum()
        self.log_dict({"validation": loss, **named}, prog_bar=True, batch_size=len(structures))

    def _terms(self, structures: Tensor, properties: Tensor, generator: torch.Generator) -> Float[Tensor, "terms"]:
        """Style and miss, means over the batch, as they come."""
        latents = _decoded_latents(self.network, structures, properties, generator)
        style = self.style(structures, self.network.decoder(latents)).mean()
        miss = style.new_zeros(()) if self.solver is None else self._miss(self.solver, properties, generator)
        return torch.stack([style, miss])

    def _miss(self, solver: Solver, properties: Tensor, generator: torch.Generator) -> Float[Tensor, ""]:
        """Mean relative error of the solved properties of what is inferred, cut at the decoder's phase fraction.

        The solver's gradient by the voxels of the cut volume is taken as that by the decoder's probabilities.
        """
        latents = _inferred_latents(self.network, properties, generator)
        probability = self.network.decode(latents)
        binary = cut_at_fraction(probability.detach(), probability.detach().flatten(1).mean(1))
        solved = solver.solve(binary + (probability - probability.detach())).values.to(properties)
        floor = SMALLEST_SHARE * self.network.property_std
        return ((solved - properties).abs() / properties.abs().clamp_min(floor)).mean()

    def configure_optimizers(self) -> Any:
        settings = self.settings
        adam = torch.optim.Adam(self.network.decoder.parameters(), lr=settings.learning_rate, betas=BETAS)
        return [adam], [torch.optim.lr_scheduler.ExponentialLR(adam, settings.final_rate ** (1 / settings.epochs))]


@torch.no_grad()
def _decoded_latents(
    networks: VaeRegressionNetworks, structures: Tensor, properties: Tensor, generator: torch.Generator
) -> Float[Tensor, "batch m"]:
    """For each volume a draw of q(z|x), or of the prior's component that this belongs to, or that component's mean."""
    posterior, _ = networks.posteriors(structures)
    mixture = networks.prior(networks.normalised(properties))
    components = component_gaussians(mixture)
    closeness = -gaussian_divergence(posterior.mean[:, None], posterior.log_variance[:, None], components)
    shares = (mixture.mixture_distribution.logits + closeness).softmax(1)
    inferred = _of_components(components, shares, generator)
    drawn = posterior.sample(torch.randn(inferred.shape, generator=generator).to(inferred))
    from_posterior = torch.randint(2, (len(structures), 1), generator=generator).to(inferred.device) == 0
    return torch.where(from_posterior, drawn, inferred)


@torch.no_grad()
def _inferred_latents(
    networks: VaeRegressionNetworks, properties: Tensor, generator: torch.Generator
) -> Float[Tensor, "batch m"]:
    """For each target the mean of a component of p(z|c) or a draw from it, components by their probabilities."""
    mixture = networks.prior(networks.normalised(properties))
    return _of_components(component_gaussians(mixture), mixture.mixture_distribution.probs, generator)


def _of_components(
    components: Normal, shares: Float[Tensor, "batch k"], generator: torch.Generator
) -> Float[Tensor, "batch m"]:
    """Of each row one component, by ``shares``: its mean or a draw, one as often as the other."""
    rows = torch.arange(len(shares))
    chosen = torch.multinomial(shares.cpu(), 1, generator=generator)[:, 0]
    mean, scale = components.loc[rows, chosen], components.scale[rows, chosen]
    noise = torch.randn(mean.shape, generator=generator).to(mean)
    drawn = torch.randint(2, (len(shares), 1), generator=generator).to(mean)
    return mean + drawn * scale * noise


def train_decoder(
    networks: VaeRegressionNetworks,
    structures: Shaped[Tensor, "n x y z"],
    properties: Float[Tensor, "n p"],
    solver: Solver | None,
    training: VaeRegressionTraining,
    options: TrainerOptions,
    seed: int,
    validation: tuple[Shaped[Tensor, "v x y z"], Float[Tensor, "v p"]] | None = None,
    style: StyleLoss | None = None,
) -> dict[str, float]:
    """Train the decoder of trained ``networks`` on what inference decodes, the solver in the loop; the rest stays.

    In the joint training the decoder sees draws of q(z|x) alone, and a decoded volume is to have the texture of a true
    one, whatever its properties. The mean of a component of p(z|c) lies in the middle of those draws, where often none
    was seen; and two volumes of nearly one texture may differ by half in stiffness, where a few voxels bridge two
    sheets. Here half of the volumes are decoded from q(z|x), a quarter from the mean of the component of p(z|c) that
    q(z|x) belongs to, and a quarter from draws of that component; all are to have the volume's texture. And what means
    and draws of p(z|c) decode to is cut at the decoder's phase fraction and solved, and is to have the properties c.
    Both terms are divided by their mean magnitudes over the first steps.

    Args:
        networks: their decoder is trained in place.
        structures: 0/1.
        properties: in their own units.
        solver: of these properties, differentiable; None leaves texture alone.
        training: settings.
        options: where the checkpoints go; a second call with the same folder continues a killed training.
        seed: of the batches, the shifts and the draws.
        validation: structures and properties that choose the best weights; a share of the others where none are given.
        style: the texture's loss; ``TwoPointStyle`` where none is given.

    Returns:
        Of the validation set ``decoder_loss``, the least, and at the end ``decoder_style`` and
        ``decoder_miss_percent``, the mean relative error of the solved properties.
    """
    check_volumes(networks, structures, properties)
    known, held_out = learnt_and_held_out(structures, properties, validation, training, seed)
    module = _DecoderModule(networks, solver, style or TwoPointStyle(), training, seed)
    last = fitted(module, networks, known, held_out, training, options, seed).callback_metrics
    return {
        "decoder_loss": module.best_loss,
        "decoder_style": float(last["style"]),
        "decoder_miss_percent": 100 * float(last["miss"]),
    }
