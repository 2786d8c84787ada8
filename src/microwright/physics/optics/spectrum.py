"""Several wavelengths: stacks of named materials, weights over a spectrum, and properties averaged by them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from microwright.errors import InputError
from microwright.physics.optics.cell import MIRROR, Film, Mirror, OpticalCell, PatternedLayer, Polarisation
from microwright.physics.optics.error_bar import error_bars
from microwright.physics.optics.evaluation import Term, evaluate, guarded_problem
from microwright.physics.optics.materials import Material, index_of, read_columns, table_path
from microwright.physics.optics.numerics import RcwaNumerics
from microwright.physics.optics.problem import Problem, checked_patterns
from microwright.physics.optics.rcwa import optical_property, weights_of
from microwright.physics.property import Property, Solution, Solver

Medium = complex | str | Path | Material


@dataclass(frozen=True)
class MaterialFilm:
    """A uniform layer of a material.

    Attributes:
        thickness_nm: thickness.
        medium: number, built-in name, CSV file or ``Material``.
    """

    thickness_nm: float
    medium: Medium


@dataclass(frozen=True)
class MaterialPattern:
    """A patterned layer of two materials; ``channel`` as in ``PatternedLayer``."""

    thickness_nm: float
    low: Medium
    high: Medium
    channel: int = 0


@dataclass(frozen=True)
class MaterialStack:
    """A cell whose indices follow the wavelength; the fields are those of ``OpticalCell`` with media for indices."""

    period_nm: float
    layers: tuple[MaterialFilm | MaterialPattern, ...]
    superstrate: Medium = 1.0
    substrate: Medium | Mirror = 1.0
    theta_deg: float = 0.0
    phi_deg: float = 0.0
    polarisation: Polarisation = "unpolarised"

    def at(self, wavelength_nm: float) -> OpticalCell:
        """The cell at one wavelength, every index a number.

        Raises:
            InputError: a wavelength outside a material's table.
        """
        below = self.substrate
        return OpticalCell(
            wavelength_nm=wavelength_nm,
            period_nm=self.period_nm,
            layers=tuple(_layer_at(layer, wavelength_nm) for layer in self.layers),
            superstrate=index_of(self.superstrate, wavelength_nm),
            substrate=MIRROR if isinstance(below, Mirror) else index_of(below, wavelength_nm),
            theta_deg=self.theta_deg,
            phi_deg=self.phi_deg,
            polarisation=self.polarisation,
        )


def _layer_at(layer: MaterialFilm | MaterialPattern, wavelength_nm: float) -> Film | PatternedLayer:
    if isinstance(layer, MaterialFilm):
        return Film(layer.thickness_nm, index_of(layer.medium, wavelength_nm))
    low, high = index_of(layer.low, wavelength_nm), index_of(layer.high, wavelength_nm)
    return PatternedLayer(layer.thickness_nm, low, high, layer.channel)


@dataclass(frozen=True)
class Spectrum:
    """Wavelengths and how much each counts; the weights are scaled to sum to one.

    Attributes:
        wavelengths_nm: ascending wavelengths.
        weights: non-negative weights, for instance incident power.
    """

    wavelengths_nm: tuple[float, ...]
    weights: tuple[float, ...] = field(default=())

    def __post_init__(self) -> None:
        weights = self.weights or (1.0,) * len(self.wavelengths_nm)
        if not self.wavelengths_nm or len(weights) != len(self.wavelengths_nm):
            raise InputError("spectrum: give as many weights as wavelengths_nm, at least one")
        if not all(math.isfinite(w) and w >= 0 for w in weights) or sum(weights) <= 0:
            raise InputError("spectrum: weights must be finite, not negative, and not all zero")
        if not all(math.isfinite(w) and w > 0 for w in self.wavelengths_nm) or np.any(
            np.diff(self.wavelengths_nm) <= 0
        ):
            raise InputError("spectrum: wavelengths_nm must be positive and ascend; sort them")
        object.__setattr__(self, "wavelengths_nm", tuple(map(float, self.wavelengths_nm)))
        object.__setattr__(self, "weights", tuple(float(w / sum(weights)) for w in weights))

    @staticmethod
    def from_csv(path: Path | str) -> Spectrum:
        """A spectrum from a CSV with the columns ``wavelength_nm,weight``.

        Raises:
            InputError: no such file, other columns, or bad values.
        """
        return Spectrum(*read_columns(Path(path), ("wavelength_nm", "weight"))[1])

    @staticmethod
    def am15g(low_nm: float, high_nm: float, count: int) -> Spectrum:
        """Sunlight at ``count`` wavelengths, the middles of equal parts of [low, high], each with the power of its
        part.

        Source: ASTM G173-03, global tilt, as means over 10 nm.

        Raises:
            InputError: a range outside 280 to 2500 nm, or no wavelength.
        """
        if count < 1:
            raise InputError(f"spectrum: count must be at least 1, got {count}")
        columns = read_columns(table_path("AM1.5G"), ("wavelength_nm", "irradiance_w_m2_nm"))[1]
        middles, power = np.array(columns[0]), np.array(columns[1])
        if not middles[0] - 5 <= low_nm < high_nm <= middles[-1] + 5:
            raise InputError(f"spectrum: {low_nm:g} to {high_nm:g} nm is not within 280 to 2500 nm, ascending")
        edges = np.linspace(low_nm, high_nm, count + 1)
        below = np.interp(edges, np.append(middles - 5, middles[-1] + 5), np.append(0, 10 * np.cumsum(power)))
        return Spectrum(tuple((edges[1:] + edges[:-1]) / 2), tuple(np.diff(below)))


def spectral_solver(
    stack: MaterialStack,
    spectrum: Spectrum,
    numerics: RcwaNumerics = RcwaNumerics(),
    properties: tuple[str, ...] = ("absorption",),
) -> SpectralSolver:
    """The solver of a stack of materials over a spectrum."""
    cells = tuple(stack.at(wavelength) for wavelength in spectrum.wavelengths_nm)
    return SpectralSolver(cells, spectrum.weights, numerics, properties)


class SpectralSolver(Solver):
    """Properties averaged over wavelengths, and at single ones.

    A property named as in ``RcwaSolver`` is the weighted mean; with ``@550`` appended it is the value at 550 nm, which
    must be one of the wavelengths.

    Args:
        cells: the same stack at every wavelength, as numbers.
        weights: how much each counts; scaled to sum to one.
        numerics: the effort.
        properties: names of the properties.

    Raises:
        InputError: no cell, other numbers of weights or layers, or an unknown property.
    """

    dimensions = 2

    def __init__(
        self,
        cells: Sequence[OpticalCell],
        weights: Sequence[float],
        numerics: RcwaNumerics = RcwaNumerics(),
        properties: Sequence[str] = ("absorption",),
    ) -> None:
        spectrum = Spectrum(tuple(cell.wavelength_nm for cell in cells), tuple(weights))
        if len({(len(cell.layers), cell.channels) for cell in cells}) != 1:
            raise InputError("spectral solver: the cells must have the same layers at every wavelength")
        self.cells, self.weights, self.numerics = tuple(cells), spectrum.weights, numerics
        self.properties = tuple(_spectral_property(name, self.cells) for name in properties)
        self._problems: dict[torch.device, list[Problem]] = {}

    def solve(self, structures: Float[Tensor, "batch x y"]) -> Solution:
        """Properties of every structure, float64; differentiable; the error bar is that of ``error_bar``, calibrated.

        Raises:
            InputError: structures of the wrong shape, with NaN or values outside [0, 1], or too few pixels.
        """
        patterns = checked_patterns(self.cells[0], structures, self.numerics)
        if patterns.device not in self._problems:
            self._problems[patterns.device] = [guarded_problem(cell, self.numerics, patterns) for cell in self.cells]
        problems = self._problems[patterns.device]
        terms = [Term(problem, self._weights(at)) for at, problem in enumerate(problems)]
        return Solution.exact(evaluate(terms, patterns), error_bars(terms, patterns))

    def _weights(self, position: int) -> Float[Tensor, "properties columns"]:
        """How much the response at one wavelength counts for each property."""
        cell = self.cells[position]
        plain = [optical_property(item.name.partition("@")[0], cell) for item in self.properties]
        share = [_share(item.name, cell.wavelength_nm, self.weights[position]) for item in self.properties]
        return weights_of(plain, cell) * torch.tensor(share, dtype=torch.float64)[:, None]

    def spec(self) -> dict[str, Any]:
        return {
            "engine": "rcwa-spectrum",
            "cells": [cell.to_json() for cell in self.cells],
            "weights": list(self.weights),
            "numerics": asdict(self.numerics),
            "properties": [item.name for item in self.properties],
        }

    @staticmethod
    def from_spec(spec: dict[str, Any]) -> SpectralSolver:
        """The solver that ``spec`` describes.

        Raises:
            InputError: a field that is missing or wrong.
        """
        try:
            cells = [OpticalCell.from_json(cell) for cell in spec["cells"]]
            return SpectralSolver(cells, spec["weights"], RcwaNumerics(**spec["numerics"]), spec["properties"])
        except KeyError as missing:
            raise InputError(f"solver spec: the field {missing} is missing; add it") from None
        except TypeError as error:
            raise InputError(f"solver spec: {error}; compare with the fields of RcwaNumerics") from None


def _spectral_property(name: str, cells: tuple[OpticalCell, ...]) -> Property:
    base, at, wavelength = name.partition("@")
    plain = optical_property(base, cells[0])
    if not at:
        return Property(name, "1", f"{plain.description}, weighted mean over the wavelengths")
    known = [cell.wavelength_nm for cell in cells]
    if not re.fullmatch(r"\d+(\.\d+)?", wavelength) or float(wavelength) not in known:
        raise InputError(
            f"property {name!r}: no such wavelength; the spectrum has {', '.join(f'{w:g}' for w in known)} nm"
        )
    return Property(name, "1", f"{plain.description}, at {wavelength} nm")


def _share(name: str, wavelength_nm: float, weight: float) -> float:
    _, at, wanted = name.partition("@")
    return weight if not at else float(float(wanted) == wavelength_nm)
