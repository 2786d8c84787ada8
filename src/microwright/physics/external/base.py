"""What external simulators share: they run only where they were named, and one failure spoils one structure alone.

A labelled set, a model and a file of designs hold the spec of their solver. A spec of a program that came with a file
of somebody else's must not start that program, so the spec holds no more than what identifies it, and
``solver_from_spec`` gives back a simulator that this process has made before: from a file that the user named, or in
the user's own code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy import ndarray
from torch import Tensor

from microwright.errors import InputError
from microwright.physics.property import Property, Solution, Solver, Status, check_structures

#: simulators made in this process, by the digest of their spec
_NAMED: dict[str, ExternalSolver] = {}
#: how far a value may lie from 0 or 1: rounding of a threshold that passes gradient on
ROUNDING = 1e-3


class SimulationError(Exception):
    """A run that gave no usable values; its text is the log that is kept."""


class ExternalSolver(Solver):
    """A simulator that is no part of this package; its values carry no gradient."""

    differentiable = False

    def remember(self) -> None:
        """Let ``solver_from_spec`` give this simulator back, in this process."""
        _NAMED[_digest(self.spec())] = self

    @classmethod
    def from_spec(cls, spec: dict[str, Any]) -> Self:
        """The simulator of that spec, if this process has made it.

        Raises:
            InputError: it has not.
        """
        solver = _NAMED.get(_digest(spec))
        if not isinstance(solver, cls):
            raise InputError(
                f"solver: these values come from the external simulator {_told(spec)}, which runs only where it is "
                "named; give --simulator with its file, the same as when the structures were labelled"
            )
        return solver


def as_phases(structures: Float[Tensor, "batch *grid"], dimensions: int) -> UInt8[ndarray, "batch *grid"]:
    """The batch as 0 and 1, which is what an external simulator takes.

    Raises:
        InputError: no batch of structures, or grey values.
    """
    check_structures(structures, dimensions)
    values = structures.detach().cpu().numpy()
    phases = values.round()
    if np.abs(values - phases).max() > ROUNDING:
        raise InputError("structures: an external simulator takes 0 and 1 alone; binarise them first")
    return phases.astype(np.uint8)


def as_solution(
    values: Float[ndarray, "batch properties"], bars: Float[ndarray, "batch properties"], log: dict[int, str]
) -> Solution:
    """Values of runs; a row that is not finite is FAILED."""
    failed = ~np.isfinite(values).all(1)
    status = np.where(failed, int(Status.FAILED), int(Status.CONVERGED))
    return Solution(
        values=torch.from_numpy(np.where(failed[:, None], np.nan, values)),
        error_bar=torch.from_numpy(np.where(failed[:, None], np.nan, bars)),
        status=torch.from_numpy(status),
        residual=torch.zeros(len(values), dtype=torch.float64),
        iterations=torch.zeros(len(values), dtype=torch.int64),
        log=log,
    )


def check_described(properties: Sequence[Property], dimensions: int) -> None:
    """Refuse a simulator without properties, with two of one name, or of other than 2 or 3 dimensions."""
    names = [item.name for item in properties]
    if not names or len(set(names)) != len(names):
        raise InputError(f"simulator: properties {names or 'missing'}; give at least one, each with a name of its own")
    if dimensions not in (2, 3):
        raise InputError(f"simulator: dimensions = {dimensions}; choose 2 or 3")


def _digest(spec: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()


def _told(spec: dict[str, Any]) -> str:
    return f"{spec.get('name', 'without a name')!r} ({spec.get('command') or spec.get('function') or 'unknown'})"
