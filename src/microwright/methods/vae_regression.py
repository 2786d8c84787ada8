"""VAE-Regression with a multimodal prior (Sardeshmukh et al.): volumes from stiffness, and stiffness from volumes.

Encoder, decoder, regressor and conditional prior are trained together on labelled volumes; then

- forward: q(c|x) gives mean and variance of the properties of a structure;
- inverse: latents come from p(z|c), drawn or the components' means, are decoded to a probability of the hard phase at
  each voxel, and cut so that the hard phase takes the share that the decoder's mean probability says. A proposal is a
  draw that is cut at the share with which the same model's q(c|x) sees the target met. So that it sees well, a second
  training can follow on volumes of the model's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from microwright.data.store import LabelledSet
from microwright.inverters.multimodal_prior import component_gaussians
from microwright.inverters.sampling import draw, tempered
from microwright.methods.base import Method, Proposals
from microwright.methods.card import ModelCard, PartCard, property_cards
from microwright.methods.own_volumes import own_volumes
from microwright.methods.recipes import Recipe, VolumeRecipe
from microwright.methods.volumes import VolumeSet, volumes_for
from microwright.methods.workspace import Workspace
from microwright.physics.catalogue import solver_from_spec
from microwright.physics.property import Property
from microwright.representations.style import style_named
from microwright.representations.vae_regression import VaeRegressionNetworks, VaeRegressionShape, predictions
from microwright.structures.random_fields import cut_at_fraction
from microwright.training import seeded
from microwright.training.settings import VaeRegressionTraining

__all__ = [
    "NAME",
    "VaeRegression",
    "VaeRegressionNetworks",
    "VaeRegressionShape",
    "VaeRegressionTraining",
    "build",
    "method_of",
    "train",
]

NAME = "vae-regression"
#: volumes encoded or decoded at once
TOGETHER = 16
#: how far the phase fraction of a proposal may lie from the decoder's, and halvings of that interval
FARTHEST, HALVINGS = 0.25, 7


class VaeRegression(Method):
    """The trained networks as a method.

    Args:
        card: the model's card.
        networks: trained.
    """

    def __init__(self, card: ModelCard, networks: VaeRegressionNetworks) -> None:
        self.card = card
        self.networks = networks.eval()

    def forward(self, structures: Shaped[Tensor, "n x y z"]) -> tuple[Float[Tensor, "n p"], Float[Tensor, "n p"]]:
        """Mean and variance of the properties of ``structures``, in their units (and units squared)."""
        return predictions(self.networks, structures, TOGETHER)

    def propose(self, target: Float[Tensor, "p"], count: int, generator: torch.Generator) -> Proposals:
        self.check_target(target)
        latents = self.draw_latents(target, count, generator)
        return Proposals(self.structures_for(target, latents), latents)

    @torch.no_grad()
    def draw_latents(
        self, target: Float[Tensor, "p"], count: int, generator: torch.Generator
    ) -> Float[Tensor, "count m"]:
        """Draws from p(z | target), σ times the card's temperature."""
        mixture = self.networks.prior(self.networks.normalised(target[None]))
        return draw(tempered(mixture, self.card.temperature), count, generator)

    @torch.no_grad()
    def component_means(self, target: Float[Tensor, "p"]) -> Float[Tensor, "k m"]:
        """The means μ_k of the components of p(z | target)."""
        return component_gaussians(self.networks.prior(self.networks.normalised(target[None]))).loc[0]

    @torch.no_grad()
    def component_weights(self, target: Float[Tensor, "p"]) -> Float[Tensor, "k"]:
        """The probabilities π_k of the components of p(z | target)."""
        return self.networks.prior(self.networks.normalised(target[None])).mixture_distribution.probs[0]

    @torch.no_grad()
    def latents(self, structures: Shaped[Tensor, "n x y z"]) -> Float[Tensor, "n m"]:
        """Means of q(z | x)."""
        return torch.cat([self.networks.encode(part.float())[0] for part in structures.split(TOGETHER)])

    @torch.no_grad()
    def structures(
        self, latents: Float[Tensor, "n m"], phase_fraction: float | Float[Tensor, "n"] | None = None
    ) -> Float[Tensor, "n x y z"]:
        """Binary structures of ``latents``: the voxels of highest probability are phase 1.

        Args:
            latents: points of the latent space.
            phase_fraction: share of phase 1, one or one for each; None takes each decoded mean probability.
        """
        probability = self._probability(latents)
        share = probability.flatten(1).mean(1) if phase_fraction is None else phase_fraction
        return cut_at_fraction(probability, share)

    def structures_for(self, target: Float[Tensor, "p"], latents: Float[Tensor, "n m"]) -> Float[Tensor, "n x y z"]:
        """Binary structures of ``latents``, cut at the share of phase 1 with which the model sees the target met."""
        return self.structures(latents, self.fitted_fraction(latents, target))

    @torch.no_grad()
    def fitted_fraction(self, latents: Float[Tensor, "n m"], target: Float[Tensor, "p"]) -> Float[Tensor, "n"]:
        """The share of phase 1 near the decoder's with which q(c|x) predicts the target, by bisection.

        Every stiffness rises with the share of the hard phase. Of several properties, it is the mean of their
        standardised distances from the target that vanishes.
        """
        wanted = self.networks.normalised(target[None])
        probability = self._probability(latents)
        share = probability.flatten(1).mean(1)
        low, high = (share - FARTHEST).clamp_min(0), (share + FARTHEST).clamp_max(1)
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            predicted, _ = self.forward(cut_at_fraction(probability, middle))
            above = (self.networks.normalised(predicted) - wanted).mean(1) > 0
            low, high = torch.where(above, low, middle), torch.where(above, middle, high)
        return (low + high) / 2

    def _probability(self, latents: Float[Tensor, "n m"]) -> Float[Tensor, "n x y z"]:
        return torch.cat([self.networks.decode(part) for part in latents.split(TOGETHER)])

    @property
    def parts(self) -> dict[str, nn.Module]:
        return {"networks": self.networks}


def method_of(
    networks: VaeRegressionNetworks,
    properties: Sequence[Property],
    values: Float[Tensor, "n p"],
    solver: dict[str, Any],
    training: dict[str, Any],
    metrics: dict[str, float],
    temperature: float = 1.0,
) -> VaeRegression:
    """Trained networks with the card that makes them a method.

    Args:
        networks: trained.
        properties: what they predict, in order.
        values: labels of the training set; a target must lie in their range.
        solver: spec of the solver that labelled.
        training: where the structures came from, and how training went about it.
        metrics: what training reached.
        temperature: factor on the prior's σ when latents are drawn.
    """
    shape = networks.shape
    card = ModelCard(
        method=NAME,
        version="",
        properties=property_cards(tuple(properties), values.double()),
        grid=shape.grid,
        solver=solver,
        representation=PartCard(kind=NAME, config=shape.config()),
        inverter=PartCard(kind="multimodal-prior", config={"components": shape.components}),
        temperature=temperature,
        training=training,
        metrics=metrics,
    )
    return VaeRegression(card, networks)


def train(recipe: Recipe, workspace: Workspace, data: LabelledSet | None = None) -> VaeRegression:
    """Train the method and write it to ``workspace.model``.

    Args:
        recipe: its ``volumes`` are used.
        workspace: where the stages go and on what they run.
        data: a labelled set of volumes that is used in place of the recipe's.

    Raises:
        InputError: ``data`` holds images, has no solver, or too few usable samples.
    """
    settings = recipe.volumes
    known = volumes_for(settings, workspace, data)
    shape = VaeRegressionShape(
        grid=tuple(known.structures.shape[1:]),
        latent=settings.latent,
        components=settings.components,
        width=settings.width,
        properties=len(known.properties),
        coarsening=settings.coarsening,
        smallest_base=settings.smallest_base,
    )
    networks = seeded(workspace.seed, lambda: VaeRegressionNetworks(shape))

    def fit() -> dict[str, float]:
        from microwright.representations.vae_regression_inference import fit_prior
        from microwright.representations.vae_regression_training import train_vae_regression

        options, style = workspace.trainer(NAME), style_named(settings.style, settings.style_weights)
        arrays, seed = (known.structures, known.values.float()), workspace.seed
        metrics = train_vae_regression(networks, *arrays, settings.training, options, seed, style=style)
        return metrics | fit_prior(networks, *arrays, settings.training.mirrored, seed)

    metrics = workspace.kept("networks", networks, fit)
    if settings.decoder_training is not None:
        metrics |= _decoder_trained(settings, settings.decoder_training, workspace, networks, known)
    if settings.own_volumes:
        metrics |= _trained_again(settings, workspace, networks, known)
    training = {
        "recipe": recipe.name,
        "seed": workspace.seed,
        "structures": known.source,
        "data": known.fingerprint,
        "samples": len(known.structures),
        "settings": asdict(settings.training),
        "style": settings.style,
        "own_volumes": settings.own_volumes,
    }
    method = _method_of(networks, known, training, metrics, settings.temperature)
    method.save(workspace.model)
    return method


def _method_of(
    networks: VaeRegressionNetworks,
    known: VolumeSet,
    training: dict[str, Any],
    metrics: dict[str, float],
    temperature: float,
) -> VaeRegression:
    return method_of(networks, known.properties, known.values, known.solver, training, metrics, temperature)


def _decoder_trained(
    settings: VolumeRecipe,
    training: VaeRegressionTraining,
    workspace: Workspace,
    networks: VaeRegressionNetworks,
    known: VolumeSet,
) -> dict[str, float]:
    """The training of the decoder of ``networks`` on what inference decodes."""

    def fit() -> dict[str, float]:
        from microwright.representations.vae_regression_inference import train_decoder

        options, style = workspace.trainer(f"{NAME}-decoder"), style_named(settings.style, settings.style_weights)
        arrays = known.structures, known.values.float()
        solver = solver_from_spec(known.solver)
        in_loop = solver if solver.differentiable else None
        return train_decoder(networks, *arrays, in_loop, training, options, workspace.seed, style=style)

    return workspace.kept("networks-decoder", networks, fit)


def _trained_again(
    settings: VolumeRecipe, workspace: Workspace, networks: VaeRegressionNetworks, known: VolumeSet
) -> dict[str, float]:
    """The second training of ``networks``: besides the set, volumes of their own."""
    first = _method_of(networks, known, {}, {}, settings.temperature)
    solver, path = solver_from_spec(known.solver), workspace.folder / "own.safetensors"
    values = known.values.float()
    own = own_volumes(first, solver, values, settings.own_volumes, workspace.seed, path)
    both = torch.cat([known.structures, own[0]]), torch.cat([values, own[1]])

    def fit() -> dict[str, float]:
        from microwright.representations.vae_regression_training import train_on_proposals

        options, style = workspace.trainer(f"{NAME}-again"), style_named(settings.style, settings.style_weights)
        return train_on_proposals(networks, *both, settings.second_training, options, workspace.seed, style=style)

    return {f"again_{name}": value for name, value in workspace.kept("networks-again", networks, fit).items()}


def build(card: ModelCard) -> VaeRegression:
    """The untrained networks that ``card`` describes."""
    return VaeRegression(card, VaeRegressionNetworks(VaeRegressionShape(**card.representation.config)))
