"""Training of the vector-quantised autoencoder with a physical loss (Kilic et al. 2023, equations 1 to 5).

Loss = α R + β A + θ V + C, with the reconstruction loss R = mean ‖x̂ − x‖₂ (the L2 norm of each structure's residual),
the absorption loss A = Σ |a(x̂) − a(x)| over n_batch/32 samples of the batch, the codebook loss V = ‖sg[z_e] − e‖² and
the commitment loss C = β_c ‖z_e − sg[e]‖². a is the property that the *solver* computes, here at a fast fidelity, and
A's gradient comes from its adjoint. The codebook follows its moving average, so V stands in the sum but has no gradient
to give.

A is taken on the structure that is delivered, the thresholded x̂, whose gradient passes to x̂ as it is: on grey values
the decoder would learn to meet the absorption with a material that does not exist.
"""

from __future__ import annotations

import lightning
import torch
from jaxtyping import Float, Int
from torch import Tensor

from microwright.physics.property import Solver
from microwright.representations.vqvae import Quantised, VqVaeRepresentation
from microwright.structures.segmentation import binarise
from microwright.training import StepBatches, TrainerOptions, step_generator
from microwright.training.fit import fit
from microwright.training.settings import VqVaeTraining

SAMPLES_PER_SOLVE = 32


class _VqVaeModule(lightning.LightningModule):
    def __init__(self, representation: VqVaeRepresentation, solver: Solver, settings: VqVaeTraining, seed: int) -> None:
        super().__init__()
        self.representation = representation
        self.solver = solver
        self.settings = settings
        self.seed = seed

    def training_step(self, batch: tuple[Tensor], batch_index: int) -> Tensor:
        settings, structures = self.settings, batch[0]
        step = self.current_epoch * settings.steps_per_epoch + batch_index
        latents = self.representation.encode(structures)
        quantised = self._quantise(latents, step)
        output = self.representation.decode_codes(quantised.codes)
        chosen = self._solved_samples(len(structures), step)
        parts = {
            "reconstruction": (output - structures).flatten(1).norm(dim=1).mean(),
            "absorption": len(chosen) * property_loss(self.solver, output[chosen], structures[chosen]),
            "codebook": (latents - quantised.codes).detach().square().mean(),
        }
        # the codes carry the latents' gradient, so their values are taken out before the distance is
        commitment = settings.commitment * (latents - quantised.codes.detach()).square().mean()
        self._log(parts, quantised.indices)
        return sum((getattr(settings, name) * part for name, part in parts.items()), commitment)

    def _quantise(self, latents: Tensor, step: int) -> Quantised:
        """The codebook draws from the global generator when it revives entries: it gets this step's seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(step_generator(self.seed, step).initial_seed())
            return self.representation.quantise(latents)

    def _solved_samples(self, batch: int, step: int) -> Int[Tensor, "solved"]:
        generator = step_generator(self.seed + 1, step, self.global_rank)
        return torch.randperm(batch, generator=generator)[: max(1, batch // SAMPLES_PER_SOLVE)]

    def _log(self, parts: dict[str, Tensor], indices: Tensor) -> None:
        use = codebook_use(indices, self.representation.shape.codes)
        self.log_dict({**{name: part.detach() for name, part in parts.items()}, **use}, on_step=False, on_epoch=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.representation.parameters(), lr=self.settings.learning_rate)


def property_loss(solver: Solver, output: Float[Tensor, "n x y"], wanted: Float[Tensor, "n x y"]) -> Float[Tensor, ""]:
    """Mean |a(output) − a(wanted)| of the solver's properties, on the thresholded output, straight through."""
    delivered = binarise(output.detach()) + (output - output.detach())
    with torch.no_grad():
        goal = solver.solve(wanted).values
    return (solver.solve(delivered).values - goal).abs().mean().to(output.dtype)


def codebook_use(indices: Int[Tensor, "batch s t"], codes: int) -> dict[str, float]:
    """Share of the entries in use, and the perplexity exp(−Σ p ln p) of their frequencies."""
    frequency = torch.bincount(indices.flatten(), minlength=codes) / indices.numel()
    entropy = -torch.xlogy(frequency, frequency).sum()
    return {"codes used": float((frequency > 0).float().mean()), "perplexity": float(entropy.exp())}


def train_vqvae(
    representation: VqVaeRepresentation,
    structures: Float[Tensor, "n x y"],
    solver: Solver,
    settings: VqVaeTraining,
    options: TrainerOptions,
    seed: int,
) -> dict[str, float]:
    """Train ``representation`` in place on binary ``structures``; mean losses and codebook use of the last epoch."""
    batches = StepBatches((structures,), settings.batch, settings.steps_per_epoch, seed)
    epochs = -(-settings.steps // settings.steps_per_epoch)
    trainer = fit(_VqVaeModule(representation, solver, settings, seed), batches, epochs, options)
    representation.eval()
    return {f"vqvae {name}": float(value) for name, value in trainer.callback_metrics.items()}
