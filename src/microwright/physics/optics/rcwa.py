r"""Rigorous coupled-wave analysis without eigenvectors: absorption, reflectance and transmittance of pixelated films.

``simulate`` maps structures to a ``Response``; ``RcwaSolver`` is the solver of the project. ``problem`` joins the
parts, ``slab`` has the maths of patterned layers, ``films`` of uniform ones, ``stack`` how they are joined,
``formulations`` how the permittivity multiplies a truncated field, ``coth`` the transcendental function. The method
goes back to M. G. Moharam et al., J. Opt. Soc. Am. A 12, 1077 (1995) and L. Li, J. Opt. Soc. Am. A 14, 2758 (1997).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from microwright.errors import InputError
from microwright.physics.optics.cell import OpticalCell
from microwright.physics.optics.error_bar import error_bars
from microwright.physics.optics.evaluation import Term, evaluate, guarded_problem
from microwright.physics.optics.numerics import RcwaNumerics
from microwright.physics.optics.problem import Problem, Response, checked_patterns, simulate
from microwright.physics.property import Property, Solution, Solver, Status

#: harmonics that certification tries where the dense engine stands alone
FINER = (225, 361, 529)

__all__ = ["RcwaNumerics", "RcwaSolver", "Response", "simulate"]


class RcwaSolver(Solver):
    """Optical properties of pixelated films by rigorous coupled-wave analysis.

    Properties by name: ``"absorption"`` (all layers), ``"reflectance"``, ``"transmittance"``, and ``"absorption:i"``
    for layer i, counted from 0 at the top.

    Args:
        cell: the physics.
        numerics: the effort.
        properties: names of the properties, in the order of ``Solution.values``.

    Raises:
        InputError: an unknown property.
    """

    dimensions = 2

    def __init__(
        self, cell: OpticalCell, numerics: RcwaNumerics = RcwaNumerics(), properties: tuple[str, ...] = ("absorption",)
    ) -> None:
        self.cell = cell
        self.numerics = numerics
        self.properties = tuple(optical_property(name, cell) for name in properties)
        self._problems: dict[torch.device, Problem] = {}

    def solve(self, structures: Float[Tensor, "batch x y"]) -> Solution:
        """Properties of every structure, float64; differentiable; the error bar is that of ``error_bar``, calibrated.

        Raises:
            InputError: structures of the wrong shape, with NaN or values outside [0, 1], or too few pixels.
        """
        patterns = checked_patterns(self.cell, structures, self.numerics)
        problem = self._guarded(patterns)
        terms = [Term(problem, weights_of(self.properties, self.cell))]
        return Solution.exact(evaluate(terms, patterns), error_bars(terms, patterns))

    def _guarded(self, patterns: Tensor) -> Problem:
        """The problem on the device of ``patterns``, in double precision where single was seen to fail."""
        device = patterns.device
        if device not in self._problems:
            self._problems[device] = guarded_problem(self.cell, self.numerics, patterns)
        return self._problems[device]

    def certify(self, structures: Float[Tensor, "batch x y"], tolerance: float) -> Solution:
        """Values that both engines vouch for, see ``certify``; more harmonics alone where the second engine cannot."""
        # imported late: certification is built on this engine
        from microwright.physics.optics.certify import certifiable, certify

        names = tuple(p.name for p in self.properties)
        if certifiable(self.cell, names):
            return certify(self.cell, names, structures, tolerance)
        return self._with_more_harmonics(structures, tolerance)

    @torch.no_grad()
    def _with_more_harmonics(self, structures: Float[Tensor, "batch x y"], tolerance: float) -> Solution:
        """The first solution whose bars are narrow enough, or the finest; ``NOT_CONVERGED`` where they are too wide."""
        carried = [n for n in FINER if self.numerics.harmonics < n <= structures.shape[-1] ** 2]
        names = tuple(p.name for p in self.properties)
        for harmonics in (self.numerics.harmonics, *carried):
            solution = RcwaSolver(self.cell, replace(self.numerics, harmonics=harmonics), names).solve(structures)
            wide = (solution.error_bar > tolerance).any(dim=1)
            if not bool(wide.any()):
                break
        return replace(solution, status=torch.where(wide, int(Status.NOT_CONVERGED), solution.status.to(wide.device)))

    def spec(self) -> dict[str, Any]:
        return {
            "engine": "rcwa",
            "cell": self.cell.to_json(),
            "numerics": asdict(self.numerics),
            "properties": [p.name for p in self.properties],
        }

    @staticmethod
    def from_spec(spec: dict[str, Any]) -> RcwaSolver:
        """The solver that ``spec`` describes.

        Raises:
            InputError: a field that is missing or wrong.
        """
        try:
            numerics = RcwaNumerics(**spec["numerics"])
            return RcwaSolver(OpticalCell.from_json(spec["cell"]), numerics, tuple(spec["properties"]))
        except KeyError as missing:
            raise InputError(f"solver spec: the field {missing} is missing; add it") from None
        except TypeError as error:
            raise InputError(f"solver spec: {error}; compare with the fields of RcwaNumerics") from None


def optical_property(name: str, cell: OpticalCell) -> Property:
    """The property of that name.

    Raises:
        InputError: no such property, or no such layer.
    """
    whole = {
        "absorption": "share of the incident light absorbed in the layers",
        "reflectance": "share of the incident light reflected",
        "transmittance": "share of the incident light that enters the substrate",
    }
    if name in whole:
        return Property(name, "1", whole[name])
    kind, _, layer = name.partition(":")
    if kind == "absorption" and layer.isdecimal() and int(layer) < len(cell.layers):
        return Property(name, "1", f"share of the incident light absorbed in layer {layer}")
    raise InputError(
        f"property {name!r} is unknown; use {', '.join(whole)} or absorption:0 … absorption:{len(cell.layers) - 1}"
    )


def weights_of(properties: Sequence[Property], cell: OpticalCell) -> Float[Tensor, "properties columns"]:
    """How much of each column of ``Response.table`` makes up each property."""
    layers = len(cell.layers)
    weights = torch.zeros(len(properties), layers + 2, dtype=torch.float64)
    for row, item in zip(weights, properties, strict=True):
        kind, _, layer = item.name.partition(":")
        row[_COLUMNS[kind] if not layer else slice(2 + int(layer), 3 + int(layer))] = 1
    return weights


#: where the shares of each kind lie in ``Response.table``
_COLUMNS = {"reflectance": slice(0, 1), "transmittance": slice(1, 2), "absorption": slice(2, None)}
