"""Values of a simulator, slopes of a surrogate: gradient-based refinement of what has no gradient.

The value of every structure is the simulator's own, so that nothing that a search accepts rests on the surrogate; the
surrogate only says which pixels to flip next, and refinement learns how far it can be trusted.

A surrogate knows little of single pixels, and flips are chosen for the slopes it gives them: chosen by raw slopes, they
are those that it overrates most, and less comes of them than promised. So its slopes are smoothed, periodically, by a
Gaussian of one cell of its lattice, the finest detail that it sees.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from microwright.errors import InputError
from microwright.physics.property import Solution, Solver
from microwright.physics.surrogate.network import coarse_lattice
from microwright.physics.surrogate.solver import SurrogateSolver


class GuidedSolver(Solver):
    """A simulator with the derivatives of a surrogate.

    Args:
        simulator: says what is true; need not be differentiable.
        surrogate: of the same properties.

    Raises:
        InputError: a property of the simulator that the surrogate did not learn, or other dimensions.
    """

    def __init__(self, simulator: Solver, surrogate: SurrogateSolver) -> None:
        known = [item.name for item in surrogate.properties]
        missing = [item.name for item in simulator.properties if item.name not in known]
        if missing or simulator.dimensions != surrogate.dimensions:
            raise InputError(
                f"surrogate: it knows {', '.join(known)} of {surrogate.dimensions}-D structures, wanted are "
                f"{', '.join(item.name for item in simulator.properties)} of {simulator.dimensions}-D ones; train "
                "one on labels of this simulator"
            )
        self.simulator, self.surrogate = simulator, surrogate
        self.properties, self.dimensions = simulator.properties, simulator.dimensions
        self.columns = [known.index(item.name) for item in simulator.properties]

    def solve(self, structures: Float[Tensor, "batch *grid"]) -> Solution:
        solution = self.simulator.solve(structures.detach())
        if not structures.requires_grad:
            return solution
        grid, shape = self.surrogate.ensemble.grid, self.surrogate.ensemble.shape
        cells = [n / cells for n, cells in zip(grid, coarse_lattice(grid, shape.lattice), strict=True)]
        still = structures.detach()
        # the values of `still`; the smoothing is its own transpose, so that it acts on the slopes
        smooth = still + smoothed(structures - still, cells)
        guess = self.surrogate.predict(smooth).mean[:, self.columns].to(solution.values)
        return replace(solution, values=solution.values.detach() + (guess - guess.detach()))

    def certify(self, structures: Float[Tensor, "batch *grid"], tolerance: float) -> Solution:
        return self.simulator.certify(structures.detach(), tolerance)

    def spec(self) -> dict[str, Any]:
        """The simulator's: it computed every value."""
        return self.simulator.spec()


def smoothed(fields: Float[Tensor, "batch *grid"], widths: list[float]) -> Float[Tensor, "batch *grid"]:
    """Periodic fields smoothed by a Gaussian whose standard deviation along each axis is given in pixels."""
    axes = tuple(range(1, fields.ndim))
    spectrum = torch.fft.fftn(fields, dim=axes)
    for axis, width in zip(axes, widths, strict=True):
        waves = torch.fft.fftfreq(fields.shape[axis], device=fields.device, dtype=fields.dtype)
        damping = torch.exp(-2 * (torch.pi * width * waves) ** 2)
        spectrum = spectrum * damping.reshape([-1 if a == axis else 1 for a in range(fields.ndim)])
    return torch.fft.ifftn(spectrum, dim=axes).real
