"""Effective conductivity (thermal, electric) or diffusivity of periodic microstructures.

The scalar twin of the elastic engine: nodal temperatures T, the gradient of T as the strain, k(x) times the unit matrix
as the material, the same elements' shape functions, preconditioner, error bound and gradients.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from microwright.errors import InputError
from microwright.physics.homogenisation import CgNumerics, Homogeniser
from microwright.physics.periodic_fem import Elements, shape_gradients
from microwright.physics.property import Property
from microwright.physics.voxel_solver import Quantity, VoxelSolver


@dataclass(frozen=True)
class ConductionPhases:
    """Isotropic phases of a conductor, phase 0 first.

    A voxel of value k/(m-1) is phase k of m; in between, the conductivity interpolates linearly between neighbours.

    Attributes:
        conductivities_w_per_m_k: conductivity of every phase, W/(m K), > 0. The problem is linear: in whatever unit the
            phases are given (S/m, m^2/s), the effective value is in the same.
    """

    conductivities_w_per_m_k: tuple[float, ...] = (1.0, 10.0)

    def __post_init__(self) -> None:
        values = tuple(float(value) for value in self.conductivities_w_per_m_k)
        object.__setattr__(self, "conductivities_w_per_m_k", values)
        if len(values) < 2:
            raise InputError(f"phases: expected two or more conductivities, got {len(values)}; give one per phase")
        for value in values:
            if not 0 < value < math.inf:
                raise InputError(
                    f"conductivities_w_per_m_k: must be positive and finite, got {value:g}; "
                    "for an insulator give about 1e-4 times the best conductor"
                )


class ConductionSolver(VoxelSolver):
    """Effective conductivities by name, differentiable by every voxel.

    Args:
        phases: conductivities of the phases.
        numerics: tolerance, iterations, precision.
        properties: entries ``k11`` ... ``k33`` of the effective conductivity, W/(m K).
        dimensions: 2 or 3 grid axes.

    Raises:
        InputError: an unknown name or number of dimensions.
    """

    def __init__(
        self,
        phases: ConductionPhases | None = None,
        numerics: CgNumerics | None = None,
        properties: Sequence[str] = ("k11",),
        dimensions: int = 3,
    ) -> None:
        if dimensions not in (2, 3):
            raise InputError(f"dimensions: expected 2 or 3, got {dimensions}; choose one of them")
        self.phases = phases or ConductionPhases()
        values = torch.tensor(self.phases.conductivities_w_per_m_k, dtype=torch.float64)[:, None]
        homogeniser = Homogeniser(elements(dimensions), (1.0,), float(values.min()), numerics or CgNumerics())
        super().__init__([quantity(name, dimensions) for name in properties], values, homogeniser)

    def spec(self) -> dict[str, Any]:
        return {
            "engine": "conduction",
            "phases": asdict(self.phases),
            "numerics": asdict(self.numerics),
            "properties": [entry.name for entry in self.properties],
            "dimensions": self.dimensions,
        }

    @classmethod
    def from_spec(cls, spec: dict[str, Any]) -> ConductionSolver:
        phases, numerics = ConductionPhases(**spec["phases"]), CgNumerics(**spec["numerics"])
        return cls(phases, numerics, spec["properties"], spec["dimensions"])


def elements(dimensions: int) -> Elements:
    """Conducting elements: temperatures in, temperature gradients out."""
    corners = torch.tensor(list(itertools.product((0.0, 1.0), repeat=dimensions)), dtype=torch.float64)
    return Elements(shape_gradients(dimensions), torch.eye(dimensions, dtype=torch.float64)[None], corners, 1)


def quantity(name: str, dimensions: int) -> Quantity:
    """The entry of the effective conductivity that users call ``name``.

    Raises:
        InputError: no such entry in this number of dimensions.
    """
    if not re.fullmatch(rf"k[1-{dimensions}]{{2}}", name):
        raise InputError(f"properties: unknown name {name!r}; choose k11 to k{dimensions}{dimensions}")
    row, column = int(name[1]) - 1, int(name[2]) - 1
    cases = tuple(sorted({row, column}))
    entry = Property(name, "W/(m K)", f"effective conductivity, entry {name[1:]}")
    return Quantity(entry, cases, partial(_pick, row=cases.index(row), column=cases.index(column)))


def _pick(matrix: Tensor, row: int, column: int) -> Tensor:
    return matrix[:, row, column]
