"""What fabrication does to a design: its properties under erosion, dilation, rounded corners and rough boundaries.

Each *perturbation* maps periodic binary structures to binary structures:

- *erosion* and *dilation* move every phase boundary by one pixel (face neighbours), as over- and under-etching do;
- *rounding* keeps the majority of a Gaussian neighbourhood (σ = 1 px), as a finite resolution does: corners and
  details below it go, straight edges stay;
- *noise* flips each boundary pixel with a probability of 10 %, a rough edge; its change is the root mean square over
  draws.

The *spread* of a design is the largest change of any of them. `SpreadSolver` makes the spread under erosion and
dilation a property like any other, so that refinement can lower it: ``absorption=0.65, min absorption_spread``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from microwright.design.refinement import solve_in_parts
from microwright.design.targets import Goal, Kind, Target
from microwright.physics.property import Property, Solution, Solver
from microwright.structures.random_fields import gaussian_filter

#: probability with which the rough edge flips a boundary pixel
ROUGHNESS = 0.1


@dataclass(frozen=True)
class Tolerances:
    """Changes of the properties of n designs under each perturbation.

    Attributes:
        changes: name of the perturbation → change of every property, in its unit; for ``noise`` the root mean square.
        nominal: the unperturbed values.
    """

    changes: dict[str, Float[Tensor, "n p"]]
    nominal: Float[Tensor, "n p"]

    @property
    def spread(self) -> Float[Tensor, "n p"]:
        """Largest absolute change under any perturbation."""
        return torch.stack([change.abs() for change in self.changes.values()]).amax(0)


def dilated(structures: Float[Tensor, "batch *grid"]) -> Float[Tensor, "batch *grid"]:
    """Phase 1 grown by its face neighbours (largest value of the neighbourhood; differentiable)."""
    grown = structures
    for axis in range(1, structures.ndim):
        for shift in (1, -1):
            grown = torch.maximum(grown, structures.roll(shift, axis))
    return grown


def eroded(structures: Float[Tensor, "batch *grid"]) -> Float[Tensor, "batch *grid"]:
    """Phase 1 shrunk by one pixel: phase 0 grown by its face neighbours."""
    return 1 - dilated(1 - structures)


def rounded(structures: Float[Tensor, "batch *grid"]) -> Float[Tensor, "batch *grid"]:
    """Majority of a Gaussian neighbourhood of σ = 1 px."""
    return (gaussian_filter(structures, 1.0) > 0.5).to(structures)


def roughened(structures: Float[Tensor, "batch *grid"], generator: torch.Generator) -> Float[Tensor, "batch *grid"]:
    """Each boundary pixel flipped with the probability ``ROUGHNESS``."""
    edge = (dilated(structures) != structures) | (eroded(structures) != structures)
    draw = torch.rand(structures.shape, generator=generator, dtype=torch.float64).to(structures.device)
    return torch.where(edge & (draw < ROUGHNESS), 1 - structures, structures)


#: perturbations without chance
PERTURBATIONS: dict[str, Callable[[Tensor], Tensor]] = {"erosion": eroded, "dilation": dilated, "rounding": rounded}


def tolerances(
    structures: Float[Tensor, "n *grid"], solver: Solver, seed: int, draws: int = 4, workers: int = 1
) -> Tolerances:
    """How the properties of binary structures move under fabrication errors, in 4 + ``draws`` solves for each."""
    generator = torch.Generator().manual_seed(seed)
    nominal = solve_in_parts(solver, structures, workers).values.double()

    def change(perturbed: Tensor) -> Tensor:
        return solve_in_parts(solver, perturbed, workers).values.double() - nominal

    changes = {name: change(perturb(structures)) for name, perturb in PERTURBATIONS.items()}
    rough = torch.stack([change(roughened(structures, generator)) for _ in range(draws)])
    return Tolerances({**changes, "noise": rough.square().mean(0).sqrt()}, nominal)


class SpreadSolver(Solver):
    """A solver with one more property ``NAME_spread`` for each of its own: the root mean square of the changes under
    erosion and dilation, differentiable, at three times the cost.

    Args:
        solver: computes the properties themselves.
    """

    def __init__(self, solver: Solver) -> None:
        self.solver = solver
        self.dimensions = solver.dimensions
        spreads = [
            Property(f"{p.name}_spread", p.unit, f"change of {p.name} under ±1 pixel") for p in solver.properties
        ]
        self.properties = (*solver.properties, *spreads)

    def steadied(self, target: Target) -> Target:
        """The target with the smallest spread of each solved property as one more goal."""
        names = [item.name for item in self.solver.properties if item.name in target.properties]
        return Target((*target.goals, *(Goal(f"{name}_spread", Kind.MINIMISE) for name in names)))

    def solve(self, structures: Float[Tensor, "batch *grid"]) -> Solution:
        """The inner solver's properties and their spreads; the worst status and residual of the three solves."""
        parts = [self.solver.solve(made) for made in (structures, eroded(structures), dilated(structures))]
        nominal, *moved = parts
        squares = torch.stack([(part.values - nominal.values).square() for part in moved]).mean(0)
        bars = torch.stack([part.error_bar for part in parts]).amax(0) * 2
        return Solution(
            values=torch.cat([nominal.values, (squares + 1e-16).sqrt()], dim=1),
            error_bar=torch.cat([nominal.error_bar, bars], dim=1),
            status=torch.stack([part.status for part in parts]).amax(0),
            residual=torch.stack([part.residual for part in parts]).amax(0),
            iterations=torch.stack([part.iterations for part in parts]).amax(0),
        )

    def spec(self) -> dict[str, Any]:
        return {
            **self.solver.spec(),
            "spread": "root mean square of the changes under erosion and dilation by one pixel",
        }
