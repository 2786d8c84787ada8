r"""Training of VAE-Regression: equation (4) of Sardeshmukh et al., all four networks together.

.. math:: L = w_r\,\frac{-\log q(c|x)}{r} + \frac{L_{style}(x, \hat x)}{s} + w_k\,\frac{D(q(z|x)\,\|\,p(z|\hat c))}{k}

x̂ is decoded from a draw of q(z|x), and the prior is that of a draw ĉ of q(c|x), as in the model that the paper builds
on (Zhao et al., MICCAI 2019), so that the divergence's gradient reaches the regressor too. (The paper prints the last
term with the sign of the bound; a loss needs the other.) D is equation (3), ``inverters.multimodal_prior``.

The three terms come in units that have nothing to do with one another. The paper brings them to one order of magnitude
by multipliers of its own; here s, r and k are measured, as the terms' mean magnitudes over the first batches, in which
the divergence is left out of the loss: how much a posterior has to tell shows only where nothing holds it back.

A periodic structure that is shifted has the same properties, and one that is mirrored has the same normal stresses
under the same normal strains; each time a sample is seen it is shifted at random, and mirrored where that is allowed.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Shaped
from lightning.pytorch.callbacks import EarlyStopping
from torch import Tensor
from torch.utils.data import DataLoader

from microwright.errors import InputError
from microwright.inverters.multimodal_prior import (
    mixture_divergence,
)
from microwright.representations.style import StyleLoss, TwoPointStyle
from microwright.representations.vae_regression import VaeRegressionNetworks, predictions
from microwright.training import StepBatches, TrainerOptions, step_generator
from microwright.training.best import BestWeights
from microwright.training.fit import fit
from microwright.training.scales import SMALLEST_SCALE, MeasuredScales
from microwright.training.settings import VaeRegressionTraining

#: structures and their properties
Pair = tuple[Tensor, Tensor]

BETAS = (0.75, 0.999)


class _VaeRegressionModule(BestWeights):
    """Loss (4), with the scales of its terms and the best weights so far."""

    network: VaeRegressionNetworks

    def __init__(
        self, networks: VaeRegressionNetworks, style: StyleLoss, settings: VaeRegressionTraining, steps: int, seed: int
    ) -> None:
        super().__init__(networks)
        self.style = style
        self.settings = settings
        self.steps = steps
        self.seed = seed
        self.scales = MeasuredScales(3)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_index: int) -> Tensor:
        step = self.current_epoch * self.steps + batch_index
        generator = step_generator(self.seed, step, self.global_rank)
        structures, properties = batch
        terms = self._terms(moved(structures, self.settings.mirrored, generator).float(), properties, generator)
        measuring = step < min(self.settings.scale_steps, self.steps)
        if measuring:
            self.scales.observe(terms)
        risen = min(1.0, step / max(1.0, self.settings.warm_up * self.settings.epochs * self.steps))
        return self._loss(terms, 0.0 if measuring else risen)

    def _terms(self, structures: Tensor, properties: Tensor, generator: torch.Generator) -> Float[Tensor, "terms"]:
        """Regression, style and divergence, means over the batch, as they come."""
        q_z, q_c = self.network.posteriors(structures)
        latents, drawn = (q.sample(torch.randn(q.mean.shape, generator=generator).to(q.mean)) for q in (q_z, q_c))
        divergence = mixture_divergence(q_z.mean, q_z.log_variance, self.network.prior(drawn))
        regression = q_c.negative_log_likelihood(self.network.normalised(properties))
        style = self.style(structures, self.network.decoder(latents))
        return torch.stack([regression.mean(), style.mean(), divergence.mean()])

    def _loss(self, terms: Tensor, divergence: float = 1.0) -> Tensor:
        weights = terms.new_tensor([self.settings.regression, 1.0, divergence * self.settings.divergence])
        return (weights * terms / self.scales.values).sum()

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_index: int) -> None:
        structures, properties = batch
        terms = self._terms(structures.float(), properties, step_generator(self.seed + 1, batch_index))
        named = dict(zip(("regression", "style", "divergence"), terms, strict=True))
        self.log_dict({"validation": self._loss(terms), **named}, prog_bar=True, batch_size=len(structures))

    def configure_optimizers(self) -> Any:
        settings = self.settings
        others = [value for name, value in self.network.named_parameters() if not name.startswith("generator.")]
        prior, rate = self.network.generator.parameters(), settings.learning_rate
        groups: list[dict[str, Any]] = [{"params": others}, {"params": prior, "lr": settings.prior_rate * rate}]
        adam = torch.optim.Adam(groups, lr=rate, betas=BETAS)
        return [adam], [torch.optim.lr_scheduler.ExponentialLR(adam, settings.final_rate ** (1 / settings.epochs))]


def train_vae_regression(
    networks: VaeRegressionNetworks,
    structures: Shaped[Tensor, "n x y z"],
    properties: Float[Tensor, "n p"],
    training: VaeRegressionTraining,
    options: TrainerOptions,
    seed: int,
    validation: tuple[Shaped[Tensor, "v x y z"], Float[Tensor, "v p"]] | None = None,
    style: StyleLoss | None = None,
) -> dict[str, float]:
    """Train ``networks`` in place and keep the weights of the best validation loss.

    Args:
        networks: take their units of c from ``properties`` here.
        structures: 0/1; uint8 saves memory.
        properties: in their own units.
        training: settings.
        options: where the checkpoints go; a second call with the same folder continues a killed training.
        seed: of the batches, the shifts and the draws.
        validation: structures and properties that decide when to stop; a share of the others where none are given.
        style: the reconstruction loss; ``TwoPointStyle`` where none is given.

    Returns:
        The validation set's ``loss``, ``regression``, ``style`` and ``divergence`` at the end, ``mape_percent`` and
        ``r2`` of each property (``mape_percent_0``, …), ``epochs``, and the terms' scales.

    Raises:
        InputError: fewer than two volumes, or volumes of another grid.
    """
    check_volumes(networks, structures, properties)
    known, held_out = learnt_and_held_out(structures, properties, validation, training, seed)
    networks.standardise_by(known[1])
    return _trained(networks, known, held_out, training, options, seed, style or TwoPointStyle())


def train_on_proposals(
    networks: VaeRegressionNetworks,
    structures: Shaped[Tensor, "n x y z"],
    properties: Float[Tensor, "n p"],
    training: VaeRegressionTraining,
    options: TrainerOptions,
    seed: int,
    validation: tuple[Shaped[Tensor, "v x y z"], Float[Tensor, "v p"]] | None = None,
    style: StyleLoss | None = None,
) -> dict[str, float]:
    """A second training of trained ``networks``, on volumes of the first one and labelled ones that they decoded.

    Encoder and regressor learn what decoded volumes are like. Decoder and prior stay as they are, and so do the units
    of c: the volumes that the model infers do not change, what it says of them does. Arguments and what is returned are
    those of ``train_vae_regression``.
    """
    check_volumes(networks, structures, properties)
    known, held_out = learnt_and_held_out(structures, properties, validation, training, seed)
    kept = [networks.decoder, networks.generator]
    for part in kept:
        part.requires_grad_(False)
    metrics = _trained(networks, known, held_out, training, options, seed, style or TwoPointStyle())
    for part in kept:
        part.requires_grad_(True)
    return metrics


def learnt_and_held_out(
    structures: Tensor, properties: Tensor, validation: Pair | None, training: VaeRegressionTraining, seed: int
) -> tuple[Pair, Pair]:
    """What is learnt and what decides when to stop."""
    if validation is None:
        return _held_out(structures, properties.float(), training.validation, seed)
    return (structures, properties.float()), (validation[0], validation[1].float())


def _trained(
    networks: VaeRegressionNetworks,
    known: Pair,
    held_out: Pair,
    training: VaeRegressionTraining,
    options: TrainerOptions,
    seed: int,
    style: StyleLoss,
) -> dict[str, float]:
    """Train in place; the metrics that ``train_vae_regression`` tells."""
    steps = _steps(known, training)
    module = _VaeRegressionModule(networks, style, training, steps, seed)
    trainer = fitted(module, networks, known, held_out, training, options, seed)
    held_out = seen_volumes(networks, held_out[0]), held_out[1]
    names = ("regression_scale", "style_scale", "divergence_scale")
    scales = dict(zip(names, module.scales.values.tolist(), strict=True))
    last = {name: float(trainer.callback_metrics[name]) for name in ("regression", "style", "divergence")}
    accuracy = forward_accuracy(networks, *held_out)
    return {"loss": module.best_loss, "epochs": float(trainer.current_epoch), **last, **scales, **accuracy}


def _steps(known: Pair, training: VaeRegressionTraining) -> int:
    """Steps between two validations."""
    return training.steps_per_epoch or max(1, len(known[0]) // training.batch)


def fitted(
    module: BestWeights,
    networks: VaeRegressionNetworks,
    known: Pair,
    held_out: Pair,
    training: VaeRegressionTraining,
    options: TrainerOptions,
    seed: int,
) -> lightning.Trainer:
    """Fit ``module``, whose network is ``networks``, and keep the best weights."""
    known, held_out = (seen_volumes(networks, known[0]), known[1]), (seen_volumes(networks, held_out[0]), held_out[1])
    batches = StepBatches(known, training.batch, _steps(known, training), seed)
    parts = list(zip(*(tensor.split(training.batch) for tensor in held_out), strict=True))
    loader: DataLoader[Any] = DataLoader(parts, batch_size=None)  # type: ignore[arg-type]
    stop = EarlyStopping("validation", patience=training.patience)
    trainer = fit(module, batches, training.epochs, options, loader, [stop])
    networks.load_state_dict(module.best)
    networks.cpu()
    networks.eval()
    return trainer


def seen_volumes(networks: VaeRegressionNetworks, structures: Tensor, together: int = 64) -> Tensor:
    """The volumes as the networks see them, averaged once and for all where that is on a coarser grid."""
    if networks.shape.coarsening == 1:
        return structures
    return torch.cat([networks.seen(part.float()) for part in structures.split(together)])


def moved(
    structures: Shaped[Tensor, "batch x y z"], mirrored: bool, generator: torch.Generator
) -> Shaped[Tensor, "batch x y z"]:
    """Each volume shifted round its period by a random vector and, on request, mirrored along random axes."""
    grid = structures.shape[1:]
    shifts = [torch.randint(n, (len(structures),), generator=generator).tolist() for n in grid]
    flips = torch.rand((len(structures), 3), generator=generator) < (0.5 if mirrored else 0.0)
    return torch.stack(
        [
            volume.roll(shift, (0, 1, 2)).flip(flip.nonzero().flatten().tolist())
            for volume, shift, flip in zip(structures, zip(*shifts, strict=True), flips, strict=True)
        ]
    )


def forward_accuracy(
    networks: VaeRegressionNetworks, structures: Shaped[Tensor, "n x y z"], properties: Float[Tensor, "n p"]
) -> dict[str, float]:
    """The paper's MAPE, mean |error| over mean observed value, and R² of each property."""
    mean, _ = predictions(networks, structures)
    error, observed = mean - properties, properties.mean(0)
    mape = 100 * error.abs().mean(0) / observed.abs()
    r2 = 1 - error.square().sum(0) / (properties - observed).square().sum(0).clamp_min(SMALLEST_SCALE)
    named = {"mape_percent": mape.tolist(), "r2": r2.tolist()}
    return {f"{name}_{index}": value for name, column in named.items() for index, value in enumerate(column)}


def _held_out(structures: Tensor, properties: Tensor, share: float, seed: int) -> tuple[Pair, Pair]:
    """Structures and properties to train on, and those of a share that is kept back."""
    order = torch.randperm(len(structures), generator=torch.Generator().manual_seed(seed))
    kept = min(max(1, round(share * len(order))), len(order) - 1)
    used, back = order[kept:], order[:kept]
    return (structures[used], properties[used]), (structures[back], properties[back])


def check_volumes(networks: VaeRegressionNetworks, structures: Tensor, properties: Tensor) -> None:
    if len(structures) < 2 or len(structures) != len(properties):
        raise InputError(
            f"vae-regression: {len(structures)} structures with {len(properties)} labels; give two or more of both"
        )
    if tuple(structures.shape[1:]) != networks.shape.grid:
        raise InputError(
            f"vae-regression: structures of {tuple(structures.shape[1:])}, but the networks are for "
            f"{networks.shape.grid}; build them for this grid"
        )
    if properties.shape[1:] != (networks.shape.properties,):
        raise InputError(
            f"vae-regression: {tuple(properties.shape[1:])} labels a structure, but the networks are for "
            f"{networks.shape.properties}; build them for these properties"
        )
