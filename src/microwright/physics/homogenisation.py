"""Effective materials of periodic voxel structures: load cases in, effective matrix and its error out.

Shared by the elastic and the conduction engine, which differ in their elements and their materials alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from microwright.errors import InputError
from microwright.physics.krylov import CgSolution, conjugate_gradients
from microwright.physics.periodic_fem import Elements, EnergyProducts, GreenOperator, PeriodicStiffness

#: nodal values of one batch of systems: one 51^3 displacement field stays in a core's cache, a GPU wants many
_BATCH_VALUES = {"cpu": 400_000, "cuda": 64_000_000}
#: relative rounding error of an effective property (measured against double precision, contrast 10^4 included)
_ROUNDING = {torch.float32: 1e-6, torch.float64: 1e-13}


@dataclass(frozen=True)
class CgNumerics:
    """How finely the linear systems of the elastic and the conduction engine are solved.

    Attributes:
        tolerance: relative error of the effective property at which a load case stops.
        max_iterations: iterations after which a load case is given up; 10 sqrt(contrast) have always sufficed.
        precision: of the fields, ``"single"`` or ``"double"``.
    """

    tolerance: float = 1e-4
    max_iterations: int = 1000
    precision: Literal["single", "double"] = "single"

    def __post_init__(self) -> None:
        if self.precision not in ("single", "double"):
            raise InputError(f"precision: expected 'single' or 'double', got {self.precision!r}; choose one of them")
        least = 1e-6 if self.precision == "single" else 1e-12
        if not least <= self.tolerance < 1:
            raise InputError(
                f"tolerance: {self.precision} precision reaches [{least:g}, 1), got {self.tolerance:g}; "
                "loosen it or choose precision 'double'"
            )
        if self.max_iterations < 1:
            raise InputError(f"max_iterations: expected at least 1, got {self.max_iterations}; raise it")

    @property
    def dtype(self) -> torch.dtype:
        return torch.float32 if self.precision == "single" else torch.float64


@dataclass(frozen=True)
class Effective:
    """Effective matrices of a batch of structures over some load cases.

    Attributes:
        matrix: D*_ij for the load cases i, j, differentiable by the coefficient fields.
        error: bounds of its error, sqrt(e_i e_j) from the energy errors e of the two cases.
        residual: relative residual, the largest of the cases.
        iterations: the largest of the cases.
        converged: whether all cases met the tolerance.
    """

    matrix: Float[Tensor, "batch cases cases"]
    error: Float[Tensor, "batch cases cases"]
    residual: Float[Tensor, "batch"]
    iterations: Int[Tensor, "batch"]
    converged: Bool[Tensor, "batch"]


@dataclass(frozen=True, eq=False)
class Homogeniser:
    """Solves load cases on coefficient fields and gathers the effective matrix.

    Attributes:
        elements: the physics.
        reference: coefficients of the homogeneous medium whose Green operator preconditions.
        smallest_eigenvalue: lower bound of D(x) relative to the reference, over all voxels that can occur.
        numerics: tolerance, iterations and precision.
    """

    elements: Elements
    reference: tuple[float, ...]
    smallest_eigenvalue: float
    numerics: CgNumerics
    _green: dict[tuple, GreenOperator] = field(default_factory=dict, repr=False)

    def effective(self, coefficients: Float[Tensor, "batch coefficients *grid"], cases: tuple[int, ...]) -> Effective:
        """The effective matrix over the unit strains ``cases``."""
        strains = torch.eye(self.elements.materials.shape[-1])[list(cases)].to(coefficients)
        chunk = self._systems_per_batch(coefficients)
        parts = [self._effective(part, strains) for part in coefficients.split(max(1, chunk // len(cases)))]
        names = ("matrix", "error", "residual", "iterations", "converged")
        return Effective(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names})

    @torch.no_grad()
    def solve(
        self, coefficients: Float[Tensor, "batch coefficients *grid"], strains: Float[Tensor, "batch strains"]
    ) -> CgSolution:
        """Fluctuations under one macroscopic strain per structure; energies are densities."""
        stiffness = PeriodicStiffness(self.elements, coefficients)
        forces = stiffness.load(strains)
        volume = coefficients[0, 0].numel()
        weights = coefficients.flatten(2).sum(-1, dtype=torch.float64)
        materials = self.elements.materials.to(weights)
        affine = torch.einsum("br,rst,bs,bt->b", weights, materials, strains.to(weights), strains.to(weights))
        solution = conjugate_gradients(
            stiffness,
            self._green_operator(coefficients),
            forces,
            energy=affine,
            smallest_eigenvalue=self.smallest_eigenvalue,
            tolerance=self.numerics.tolerance,
            max_iterations=self.numerics.max_iterations,
        )
        return replace(solution, energy=solution.energy / volume, error=solution.error / volume)

    def mean_strains(
        self, coefficients: Float[Tensor, "batch coefficients *grid"], strains: Float[Tensor, "batch strains"]
    ) -> tuple[Float[Tensor, "batch strains *grid"], Bool[Tensor, "batch"]]:
        """Mean strain of every voxel under one macroscopic strain per structure, and whether the solve converged."""
        chunks = (part.split(self._systems_per_batch(coefficients)) for part in (coefficients, strains))
        parts = [self._mean_strains(*chunk) for chunk in zip(*chunks, strict=True)]
        return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])

    def _mean_strains(self, coefficients: Tensor, strains: Tensor) -> tuple[Tensor, Tensor]:
        solution = self.solve(coefficients, strains)
        operator = self.elements.mean_strain.to(coefficients)
        stiffness = PeriodicStiffness(self.elements, coefficients)
        slabs = [operator @ values for _, values in stiffness.element_values(solution.x, strains)]
        return torch.cat(slabs, dim=-1).unflatten(-1, stiffness.grid), solution.converged

    def _effective(self, coefficients: Tensor, strains: Tensor) -> Effective:
        batch, cases = len(coefficients), len(strains)
        systems = coefficients.detach().repeat_interleave(cases, 0), strains.repeat(batch, 1)
        chunks = zip(*(part.split(self._systems_per_batch(coefficients)) for part in systems), strict=True)
        solutions = [self.solve(*chunk) for chunk in chunks]
        fluctuations = torch.cat([solution.x for solution in solutions]).unflatten(0, (batch, cases))
        matrix = EnergyProducts.apply(coefficients, fluctuations, self.elements, strains)
        # the true energy lies below the computed one by at most the bound, rounding apart
        bound, residual, iterations, converged = (
            torch.cat([getattr(solution, name) for solution in solutions]).view(batch, cases)
            for name in ("error", "residual", "iterations", "converged")
        )
        diagonal = matrix.detach().diagonal(dim1=1, dim2=2)
        scale = (bound + _ROUNDING[coefficients.dtype] * diagonal).sqrt()
        error = (scale[:, :, None] * scale[:, None, :]).to(matrix)
        return Effective(matrix, error, residual.amax(1), iterations.amax(1), converged.all(1))

    def _systems_per_batch(self, coefficients: Tensor) -> int:
        values = self.elements.components * coefficients[0, 0].numel()
        return max(1, _BATCH_VALUES[coefficients.device.type] // values)

    def _green_operator(self, like: Tensor) -> GreenOperator:
        """Green's operator of the reference; the last one is kept, as structures come in many of one size."""
        key = (tuple(like.shape[2:]), like.dtype, like.device)
        if key not in self._green:
            self._green.clear()
            self._green[key] = GreenOperator(self.elements, self.reference, key[0], like)
        return self._green[key]
