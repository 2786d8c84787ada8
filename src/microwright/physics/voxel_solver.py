"""What the elastic and the conduction solver share: named quantities of an effective matrix and their error bars."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import torch
from jaxtyping import Float
from torch import Tensor

from microwright.errors import InputError
from microwright.physics.homogenisation import CgNumerics, Effective, Homogeniser
from microwright.physics.property import Property, Solution, Solver, Status, check_structures


@dataclass(frozen=True)
class Quantity:
    """A number read from an effective matrix.

    Attributes:
        property: name, unit and description.
        cases: positions of the load cases that it needs, ascending.
        read: maps the matrix over these cases to the number.
    """

    property: Property
    cases: tuple[int, ...]
    read: Callable[[Float[Tensor, "batch cases cases"]], Float[Tensor, "batch"]]


class VoxelSolver(Solver):
    """Quantities of the effective matrix of voxel structures; only the load cases that they need are solved.

    Args:
        quantities: what to compute.
        phase_coefficients: the element coefficients of every phase.
        homogeniser: elements, reference and numerics.
    """

    def __init__(
        self,
        quantities: Sequence[Quantity],
        phase_coefficients: Float[Tensor, "phases coefficients"],
        homogeniser: Homogeniser,
    ) -> None:
        if not quantities:
            raise InputError("properties: none given; name at least one")
        self.properties = tuple(quantity.property for quantity in quantities)
        self.dimensions = homogeniser.elements.dimensions
        self.numerics: CgNumerics = homogeniser.numerics
        self._quantities = tuple(quantities)
        self._cases = tuple(sorted({case for quantity in quantities for case in quantity.cases}))
        self._phase_coefficients = phase_coefficients
        self._homogeniser = homogeniser

    @classmethod
    @abstractmethod
    def from_spec(cls, spec: dict[str, Any]) -> Self:
        """The solver that ``spec()`` described."""

    def solve(self, structures: Float[Tensor, "batch *grid"]) -> Solution:
        """Properties of ``structures``, whose values in [0, 1] pick the phases; differentiable.

        A load case stops when the error of its diagonal entry is below ``numerics.tolerance`` of it; the error bar of
        an entry ij is the square root of the product of the two cases' errors. Error bars are those of the linear
        solve on the voxels given.

        Raises:
            InputError: wrong number of axes, a grid thinner than two voxels, NaN, or values outside [0, 1].
        """
        effective = self._homogeniser.effective(self._coefficients(structures), self._cases)
        columns = [self._read(quantity, effective) for quantity in self._quantities]
        return Solution(
            values=torch.stack([value for value, _ in columns], dim=1),
            error_bar=torch.stack([bar for _, bar in columns], dim=1),
            status=torch.where(effective.converged, Status.CONVERGED, Status.NOT_CONVERGED),
            residual=effective.residual,
            iterations=effective.iterations,
        )

    def certify(self, structures: Float[Tensor, "batch *grid"], tolerance: float) -> Solution:
        """Values whose error bars are at most ``tolerance``, in the properties' units; solved again if they are not."""
        solution = self.solve(structures)
        largest = float(solution.error_bar.max())
        if largest <= tolerance:
            return solution
        sharper = max(self.numerics.tolerance * tolerance / largest / 2, 1e-12)
        numerics = replace(self.numerics, tolerance=sharper, precision="double")
        return self.from_spec({**self.spec(), "numerics": asdict(numerics)}).solve(structures)

    def _coefficients(self, structures: Tensor) -> Float[Tensor, "batch coefficients *grid"]:
        check_structures(structures, self.dimensions)
        if min(structures.shape[1:]) < 2:
            raise InputError(
                f"structures: the grid {tuple(structures.shape[1:])} is one voxel thin; "
                "use the two-dimensional solver, or repeat the structure along that axis"
            )
        fields = structures.to(self.numerics.dtype)
        return interpolate(fields, self._phase_coefficients.to(fields))

    def _read(self, quantity: Quantity, effective: Effective) -> tuple[Float[Tensor, "batch"], Float[Tensor, "batch"]]:
        """A quantity and its error bar, the errors of the entries carried through to first order."""
        where = [self._cases.index(case) for case in quantity.cases]
        block, errors = (matrix[:, where][:, :, where] for matrix in (effective.matrix, effective.error))
        with torch.enable_grad():
            entries = block.detach().requires_grad_()
            (slopes,) = torch.autograd.grad(quantity.read(entries).sum(), entries)
        return quantity.read(block), (slopes.abs() * errors).sum((1, 2))


def interpolate(
    structures: Float[Tensor, "batch *grid"], values: Float[Tensor, "phases coefficients"]
) -> Float[Tensor, "batch coefficients *grid"]:
    """Coefficient fields of phase maps: ``values[k]`` at k/(m-1) for m phases, linear in between; differentiable."""
    position = structures * (len(values) - 1)
    lower = position.detach().floor().clamp(max=len(values) - 2).long()
    steps = values.diff(dim=0)
    fields = values[lower] + (position - lower)[..., None] * steps[lower]
    return fields.movedim(-1, 1).contiguous()
