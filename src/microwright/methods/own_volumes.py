"""Volumes that VAE-Regression infers by itself, with what the solver says of them: what its second training learns.

A decoded volume is smoother than any of the training set, and bridged where the solver in the decoder's training wanted
it. q(c|x), which never saw its like, is off, and so is the phase fraction at which it sees a target met.
Labelled volumes of the model's own put that right for the price of as many solutions. (Learning from the states that
one's own model leads to: Ross, Gordon and Bagnell, AISTATS 2011.)
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, UInt8
from safetensors.torch import load_file
from torch import Tensor

from microwright.physics.property import Solver, Status
from microwright.structures.statistics import phase_fraction
from microwright.training.tensors import write_tensors

if TYPE_CHECKING:
    from microwright.methods.vae_regression import VaeRegression

#: how far the phase fraction of a volume may lie from the decoder's; none is of one phase alone
FARTHEST, PUREST = 0.2, 0.02
#: volumes decoded, and solved, at once
TOGETHER = 32


def own_volumes(
    method: VaeRegression, solver: Solver, targets: Float[Tensor, "n p"], count: int, seed: int, path: Path
) -> tuple[UInt8[Tensor, "m x y z"], Float[Tensor, "m p"]]:
    """``count`` volumes with their solved properties, but for those that the solver fails on.

    Half of them are decoded from means of the prior's components, half from draws; all are cut at a phase fraction
    near the decoder's.

    Args:
        method: decodes.
        solver: labels.
        targets: the properties that are asked for, each a random one of these rows.
        count: how many.
        seed: of targets, components, draws and phase fractions.
        path: a safetensors file; the volumes are made once, then read from it.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_tensors(path, _solved(method, solver, targets, count, torch.Generator().manual_seed(seed)))
    kept = load_file(path)
    return kept["structures"], kept["values"]


def _solved(
    method: VaeRegression, solver: Solver, targets: Float[Tensor, "n p"], count: int, generator: torch.Generator
) -> dict[str, Tensor]:
    wanted = targets[torch.randint(len(targets), (count,), generator=generator)]
    made = [_decoded(method, part, generator) for part in wanted.split(TOGETHER)]
    solved = [solver.solve(part) for part in made]
    structures, values = torch.cat(made), torch.cat([part.values for part in solved])
    usable = torch.cat([part.status for part in solved]) == Status.CONVERGED
    return {"structures": structures[usable].to(torch.uint8), "values": values[usable].float()}


def _decoded(
    method: VaeRegression, targets: Float[Tensor, "n p"], generator: torch.Generator
) -> Float[Tensor, "n x y z"]:
    latents = torch.cat([_latent(method, target, number, generator) for number, target in enumerate(targets)])
    shift = FARTHEST * (2 * torch.rand(len(latents), generator=generator) - 1)
    share = phase_fraction(method.structures(latents)) + shift
    return method.structures(latents, share.clamp(PUREST, 1 - PUREST))


def _latent(
    method: VaeRegression, target: Float[Tensor, "p"], number: int, generator: torch.Generator
) -> Float[Tensor, "1 m"]:
    """The mean of a random component for even numbers, a draw for odd ones."""
    if number % 2:
        return method.draw_latents(target, 1, generator)
    component = torch.multinomial(method.component_weights(target), 1, generator=generator)
    return method.component_means(target)[component]
