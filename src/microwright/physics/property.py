"""What every solver of the project shares: properties, solutions with error bars, and the verb ``solve``.

A *solver* maps periodic structures to properties by physics. Its ``solve`` is differentiable: the ``values`` of the
solution carry gradient whenever the structures do. What is physically there and how finely it is computed both
travel as JSON (``Solver.spec``), so that every file says by itself what its numbers mean.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from microwright.errors import InputError


@dataclass(frozen=True)
class Property:
    """A number that a solver computes for a structure.

    Attributes:
        name: how users write it, for instance ``"absorption"`` or ``"C11"``.
        unit: its unit; ``"1"`` for a dimensionless number.
        description: one line for tables and reports.
    """

    name: str
    unit: str
    description: str


class Status(IntEnum):
    """Whether a value can be used; anything but ``CONVERGED`` must be said to the user."""

    CONVERGED = 0
    NOT_CONVERGED = 1
    FAILED = 2

    @property
    def remedy(self) -> str:
        return {
            Status.CONVERGED: "",
            Status.NOT_CONVERGED: "allow more iterations, or loosen the tolerance",
            Status.FAILED: "look at the log of this sample, then run it again",
        }[self]


@dataclass(frozen=True)
class Solution:
    """Properties of a batch of structures, with what is known of their error.

    Attributes:
        values: computed properties, in the units of ``Property.unit``; NaN where ``status`` is ``FAILED``.
        error_bar: half-width of the interval that holds the exact value of the stated physics; NaN where unknown.
        status: one ``Status`` per structure.
        residual: relative residual of the linear solve, 0 for direct solvers.
        iterations: iterations of the linear solve, 0 for direct solvers.
        log: what is known of structures that failed, by their place in the batch.
    """

    values: Float[Tensor, "batch properties"]
    error_bar: Float[Tensor, "batch properties"]
    status: Int[Tensor, "batch"]
    residual: Float[Tensor, "batch"]
    iterations: Int[Tensor, "batch"]
    log: Mapping[int, str] = field(default_factory=dict)

    @staticmethod
    def exact(values: Float[Tensor, "batch properties"], error_bar: Tensor | None = None) -> Solution:
        """A converged solution of a direct solver; the error bar is NaN (unknown) unless given."""
        batch = values.shape[0]
        return Solution(
            values=values,
            error_bar=torch.full_like(values, torch.nan).detach() if error_bar is None else error_bar,
            status=torch.zeros(batch, dtype=torch.int64),
            residual=torch.zeros(batch, dtype=torch.float64),
            iterations=torch.zeros(batch, dtype=torch.int64),
        )

    @staticmethod
    def concatenate(parts: list[Solution]) -> Solution:
        """The solutions of consecutive chunks as one."""
        fields = ("values", "error_bar", "status", "residual", "iterations")
        log: dict[int, str] = {}
        start = 0
        for part in parts:
            log |= {start + index: text for index, text in part.log.items()}
            start += len(part.status)
        return Solution(**{name: torch.cat([getattr(part, name) for part in parts]) for name in fields}, log=log)


class Solver(ABC):
    """Structures in, properties out, by physics."""

    #: the properties computed, in the order of the last axis of ``Solution.values``
    properties: tuple[Property, ...]
    #: number of grid axes of the structures: 2 or 3
    dimensions: int
    #: whether the values of a solution carry gradient, so that refinement can use them
    differentiable: bool = True

    @abstractmethod
    def solve(self, structures: Float[Tensor, "batch *grid"]) -> Solution:
        """Properties of ``structures`` (values in [0, 1]); differentiable with respect to them.

        Raises:
            InputError: wrong number of axes, NaN, or values outside [0, 1].
        """

    @abstractmethod
    def spec(self) -> dict[str, Any]:
        """The physics and the numerics as JSON; ``microwright.physics.catalogue.solver_from_spec`` inverts it."""

    def certify(self, structures: Float[Tensor, "batch *grid"], tolerance: float) -> Solution:
        """Values whose error bar is at most ``tolerance`` where that can be had; otherwise the bar that was reached.

        A solver without means to bound its own error returns its plain solution, bar unknown.
        """
        return self.solve(structures)


def check_structures(structures: Tensor, dimensions: int) -> None:
    """Refuse what is no batch of phase maps.

    Raises:
        InputError: wrong number of axes, empty, NaN or values outside [0, 1].
    """
    if structures.ndim != dimensions + 1:
        raise InputError(
            f"structures: expected {dimensions + 1} axes (batch and {dimensions} grid axes), "
            f"got shape {tuple(structures.shape)}; add or remove an axis"
        )
    if 0 in structures.shape:
        raise InputError(f"structures: empty, shape {tuple(structures.shape)}; give at least one structure")
    low, high = torch.aminmax(structures.detach())
    if not (low >= 0 and high <= 1):
        raise InputError(
            f"structures: values must lie in [0, 1] without NaN, got [{float(low):g}, {float(high):g}]; "
            "rescale or segment them first"
        )
