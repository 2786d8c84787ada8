"""The designer: propose → verify → report, for one target at a time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from microwright.design.designs import Designs
from microwright.design.targets import PHASE_FRACTION, Goal, Target
from microwright.errors import InputError
from microwright.methods.base import Method, Proposals
from microwright.physics.catalogue import solver_from_spec
from microwright.physics.property import Property, Solution, Solver
from microwright.structures.statistics import phase_fraction

FRACTION = Property(PHASE_FRACTION, "1", "share of phase 1")


@dataclass(frozen=True)
class Designer:
    """Makes designs with a method and verifies them with a solver.

    Attributes:
        method: proposes structures.
        solver: says what they achieve.
    """

    method: Method
    solver: Solver

    @staticmethod
    def of(method: Method) -> Designer:
        """A designer that verifies with the physics and numerics that the model was labelled with."""
        return Designer(method, solver_from_spec(method.card.solver))

    @property
    def known(self) -> tuple[Property, ...]:
        """Everything that a target may ask for."""
        return (*self.solver.properties, FRACTION)

    def design(self, target: Target, count: int, seed: int) -> Designs:
        """``count`` verified structures for ``target``, straight from the method.

        Raises:
            InputError: a count below 1, an unknown property, or a value outside what the method saw in training.
        """
        if count < 1:
            raise InputError(f"count: {count} structures cannot be designed; ask for at least 1")
        target.check_known([item.name for item in self.known])
        start = time.perf_counter()
        proposals = self.propose(target, count, seed)
        proposed = time.perf_counter()
        solution = self.solver.solve(proposals.structures)
        seconds = {"propose": proposed - start, "verify": time.perf_counter() - proposed}
        return self.record(target, proposals, solution, seed, seconds)

    def propose(self, target: Target, count: int, seed: int) -> Proposals:
        """Structures from the method alone, not verified."""
        return self.method.propose(self.aim(target), count, torch.Generator().manual_seed(seed))

    def aim(self, target: Target) -> Float[Tensor, "p"]:
        """The property values that the method is asked for.

        Raises:
            InputError: a property that the method was trained for has no goal.
        """
        asked = {goal.property: goal for goal in target.goals}
        missing = [item.name for item in self.method.properties if item.name not in asked]
        if missing:
            names = ", ".join(item.name for item in self.method.properties)
            raise InputError(f"target: {', '.join(missing)} is missing; this model designs for {names}")
        cards = self.method.card.properties
        return torch.tensor([_aimed(asked[card.name], card.low, card.high) for card in cards], dtype=torch.float64)

    def record(
        self, target: Target, proposals: Proposals, solution: Solution, seed: int, seconds: dict[str, float]
    ) -> Designs:
        """What a solution says of structures with respect to ``target``."""
        properties = tuple(item for name in target.properties for item in self.known if item.name == name)
        values = _columns(properties, self.solver.properties, proposals.structures, solution.values)
        bars = _columns(properties, self.solver.properties, None, solution.error_bar)
        return Designs(
            properties=properties,
            target=np.array([np.nan if goal.value is None else goal.value for goal in target.goals]),
            structures=proposals.structures.to(torch.uint8).numpy(),
            achieved=values.numpy(),
            error_bar=bars.numpy(),
            status=solution.status.numpy(),
            solver=self.solver.spec(),
            method=self.method.card.method,
            seed=seed,
            seconds=seconds,
        )


def _aimed(goal: Goal, low: float, high: float) -> float:
    """The accepted value nearest to the middle of what the method saw; for an extreme, the end of that range."""
    if goal.value is not None:
        return goal.value
    if not goal.bounded:
        return high if goal.kind == "maximise" else low
    at_least, at_most = goal.accepted
    return min(max((max(low, at_least) + min(high, at_most)) / 2, at_least), at_most)


def _columns(
    wanted: Sequence[Property], solved: Sequence[Property], structures: Tensor | None, values: Tensor
) -> Float[Tensor, "n p"]:
    """The columns of ``values`` for the ``wanted`` properties; the phase fraction is counted, its error is 0."""
    names = [item.name for item in solved]
    counted = torch.zeros(len(values)) if structures is None else phase_fraction(structures)
    columns = [counted if item == FRACTION else values[:, names.index(item.name)] for item in wanted]
    return torch.stack([column.detach().double() for column in columns], dim=1)
