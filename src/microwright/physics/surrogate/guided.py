"""Values of a simulator, slopes of a surrogate: gradient-based refinement of what has no gradient.

The value of every structure is the simulator's own, so that nothing that a search accepts rests on the surrogate; the
surrogate only says which pixels to flip next, and refinement learns how far it can be trusted.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from jaxtyping import Float
from torch import Tensor

from microwright.errors import InputError
from microwright.physics.property import Solution, Solver
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
        guess = self.surrogate.predict(structures).mean[:, self.columns].to(solution.values)
        return replace(solution, values=solution.values.detach() + (guess - guess.detach()))

    def certify(self, structures: Float[Tensor, "batch *grid"], tolerance: float) -> Solution:
        return self.simulator.certify(structures.detach(), tolerance)

    def spec(self) -> dict[str, Any]:
        """The simulator's: it computed every value."""
        return self.simulator.spec()
