"""A solver of your own: the length of the interface between the phases, per pixel.

It stands for any physics: it computes named properties of a batch of structures, says how sure it is, and lets
gradients through. Refinement, labelling and reports then work with it as with the solvers that come with the package.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from microwright.design.refinement import refine
from microwright.design.targets import parse_target
from microwright.physics.catalogue import ENGINES, solver_from_spec
from microwright.physics.property import Property, Solution, Solver, check_structures
from microwright.structures.random_fields import gaussian_random_field


class InterfaceSolver(Solver):
    """Interface per pixel: the mean of (x(s) − x(s + e))² over all pixels s, summed over the axes e."""

    properties = (Property("interface", "1/px", "length of the interface per pixel"),)

    def __init__(self, dimensions: int = 2) -> None:
        self.dimensions = dimensions

    def solve(self, structures: Float[Tensor, "batch *grid"]) -> Solution:
        check_structures(structures, self.dimensions)
        x = structures.double()
        steps = [(x - x.roll(1, axis)).square() for axis in range(1, x.ndim)]
        values = sum(step.flatten(1).mean(1) for step in steps)[:, None]
        return Solution.exact(values, error_bar=torch.zeros_like(values).detach())  # counted, so the bar is 0

    def spec(self) -> dict[str, Any]:
        return {"engine": "interface", "dimensions": self.dimensions}

    @classmethod
    def from_spec(cls, spec: dict[str, Any]) -> InterfaceSolver:
        return cls(spec["dimensions"])


ENGINES["interface"] = (__name__, "InterfaceSolver")  # in the package: one line in physics/catalogue.py

if __name__ == "__main__":
    solver = InterfaceSolver()

    stripes = torch.zeros(1, 16, 16)
    stripes[:, :8] = 1
    print("two edges in sixteen pixels:", float(solver.solve(stripes).values))

    fields = gaussian_random_field((64, 64), -8, 3, 0.3, count=3, generator=torch.Generator().manual_seed(0))
    refined = refine(fields, parse_target("interface=0.24±0.0005", "interface"), solver)
    print("before:", [round(v, 4) for v in refined.start_values[:, 0].tolist()])
    print("after: ", [round(v, 4) for v in refined.values[:, 0].tolist()])
    print("spec:  ", solver_from_spec(solver.spec()).spec())
