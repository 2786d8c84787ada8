r"""Rigorous coupled-wave analysis without eigenvectors: absorption, reflectance and transmittance of pixelated films.

``simulate`` maps structures to a ``Response``; ``RcwaSolver`` wraps it as a solver of the project. The maths lies in
``slab`` (patterned layers), ``films`` (uniform ones), ``stack`` (how they are joined), ``formulations`` (how the
permittivity multiplies a truncated field) and ``coth`` (the transcendental function). What the method is to be measured
against: M. G. Moharam et al., J. Opt. Soc. Am. A 12, 1077 (1995); L. Li, J. Opt. Soc. Am. A 14, 2758 (1997).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from microwright.errors import InputError
from microwright.physics.optics import films, stack
from microwright.physics.optics.cell import Film, Mirror, OpticalCell, PatternedLayer
from microwright.physics.optics.coth import coth_rational
from microwright.physics.optics.dense import solve
from microwright.physics.optics.films import Admittance, Section
from microwright.physics.optics.formulations import FORMULATIONS, Formulation
from microwright.physics.optics.orders import FourierOrders, Truncation, fourier_orders
from microwright.physics.optics.slab import (
    CothFraction,
    LoadedSlab,
    Slab,
    WaveNumbers,
    coth_fraction,
    diagonal_load,
    loaded,
    loaded_on_mirror,
    slab,
)
from microwright.physics.property import Property, Solution, Solver, check_structures

Precision = Literal["single", "double"]
_COMPLEX = {"single": torch.complex64, "double": torch.complex128}
#: relative error allowed to the rational approximation of coth
_COTH_TOLERANCE = {"single": 2e-7, "double": 1e-12}


@dataclass(frozen=True)
class RcwaNumerics:
    """How finely the cell is computed.

    Attributes:
        harmonics: at most this many Fourier orders N (the largest symmetric set is taken).
        formulation: ``"li"`` (Li's rules on pixel edges) or ``"laurent"``.
        truncation: ``"square"`` or ``"circular"``.
        precision: ``"single"`` (complex64) or ``"double"`` (complex128); values are float64 either way.
        memory_mib: working memory that one chunk of a batch may take.
    """

    harmonics: int = 225
    formulation: Formulation = "li"
    truncation: Truncation = "square"
    precision: Precision = "single"
    memory_mib: int = 1024

    def __post_init__(self) -> None:
        fourier_orders(self.harmonics, self.truncation)
        if self.formulation not in FORMULATIONS:
            raise InputError(f"formulation: {self.formulation!r} is unknown; use {' or '.join(FORMULATIONS)}")
        if self.precision not in get_args(Precision):
            raise InputError(f"precision: {self.precision!r} is unknown; use single or double")
        if not self.memory_mib >= 1:
            raise InputError(f"memory_mib: must be at least 1, got {self.memory_mib!r}")

    @property
    def orders(self) -> FourierOrders:
        """The Fourier orders kept."""
        return fourier_orders(self.harmonics, self.truncation)

    def bytes_per_structure(self) -> int:
        """Rough peak of working memory per structure: a dozen matrices of 2N rows."""
        return 12 * (2 * len(self.orders)) ** 2 * (8 if self.precision == "single" else 16)


@dataclass(frozen=True)
class Response:
    """What a cell does with the incident power; shares that sum to one, float64, averaged over the polarisations.

    Attributes:
        reflectance: R.
        transmittance: T, the flux through the last interface (into the substrate).
        layers: absorption of each layer from top to bottom.
    """

    reflectance: Float[Tensor, "batch"]
    transmittance: Float[Tensor, "batch"]
    layers: Float[Tensor, "batch layers"]

    @property
    def absorption(self) -> Float[Tensor, "batch"]:
        """What the layers absorb together; 1 − R − T."""
        return self.layers.sum(-1)


def simulate(
    cell: OpticalCell,
    structures: Float[Tensor, "batch *channels x y"],
    numerics: RcwaNumerics,
    wavelength_nm: Tensor | None = None,
    thicknesses_nm: Tensor | None = None,
) -> Response:
    """Powers of every structure; differentiable in the structures, the wavelength and the thicknesses.

    Args:
        cell: the physics.
        structures: values in [0, 1], shape (batch, x, y), or (batch, channel, x, y) for a cell with several patterns.
        numerics: the effort.
        wavelength_nm: scalar tensor that replaces the cell's wavelength (indices unchanged), to differentiate by it.
        thicknesses_nm: tensor (layers,) that replaces the thicknesses, to differentiate by them.

    Raises:
        InputError: structures of the wrong shape, with NaN or values outside [0, 1], or fewer pixels than harmonics.
    """
    patterns = _checked_patterns(cell, structures, numerics)
    chunk = max(1, numerics.memory_mib * 2**20 // numerics.bytes_per_structure()) if patterns.is_cuda else 1
    parts = [_Problem(cell, p, numerics, wavelength_nm, thicknesses_nm).response() for p in patterns.split(chunk)]
    return Response(
        torch.cat([part.reflectance for part in parts]),
        torch.cat([part.transmittance for part in parts]),
        torch.cat([part.layers for part in parts]),
    )


def _checked_patterns(cell: OpticalCell, structures: Tensor, numerics: RcwaNumerics) -> Tensor:
    """Structures as (batch, channel, x, y)."""
    if cell.channels == 1:
        check_structures(structures, 2)
        patterns = structures.unsqueeze(1)
    else:
        check_structures(structures, 3)
        patterns = structures
    if patterns.shape[1] != cell.channels:
        raise InputError(f"structures: {patterns.shape[1]} channels, but the cell has {cell.channels}; give one each")
    nx, ny = patterns.shape[-2:]
    if nx != ny:
        raise InputError(
            f"structures: {nx} × {ny} pixels, but the cell is square; give as many pixels along x as along y"
        )
    count = len(numerics.orders)
    if count > nx * ny:
        raise InputError(
            f"harmonics: {count} are more than {nx} × {ny} pixels carry; lower harmonics or refine the grid"
        )
    return patterns


class _Problem:
    """One chunk of structures in one cell."""

    def __init__(
        self,
        cell: OpticalCell,
        patterns: Tensor,
        numerics: RcwaNumerics,
        wavelength_nm: Tensor | None,
        thicknesses_nm: Tensor | None,
    ) -> None:
        self.cell, self.patterns, self.numerics = cell, patterns, numerics
        self.device = patterns.device
        self.dtype = _COMPLEX[numerics.precision]
        self.orders = numerics.orders.to(self.device)
        self.wavelength = self._real(cell.wavelength_nm) if wavelength_nm is None else wavelength_nm.to(torch.float64)
        thickness = (
            self._real([layer.thickness_nm for layer in cell.layers]) if thicknesses_nm is None else thicknesses_nm
        )
        self.thickness = thickness.to(torch.float64) * 2 * math.pi / self.wavelength
        offset = self._real(cell.tangential)
        k = offset + self.orders.pairs.to(torch.float64) * (self.wavelength / cell.period_nm)
        self.k2 = (k**2).sum(-1)
        still = self.k2 < 1e-24
        length = torch.sqrt(torch.where(still, torch.ones_like(self.k2), self.k2))
        unit = torch.where(still[:, None], self._real([1.0, 0.0]), k / length[:, None])
        self.directions = stack.Directions(unit[:, 0], unit[:, 1])
        self.k = WaveNumbers(*(k[:, i : i + 1].to(self.dtype) for i in (0, 1)))

    def _real(self, value: Any) -> Tensor:
        return torch.tensor(value, dtype=torch.float64, device=self.device)

    def _epsilon(self, index: complex) -> Tensor:
        return torch.tensor(complex(index) ** 2, dtype=torch.complex128, device=self.device)

    def response(self) -> Response:
        powers = self.powers()
        return Response(powers.reflectance.mean(-1), powers.transmittance.mean(-1), powers.layers.mean(1))

    def powers(self) -> stack.Powers:
        first = self.cell.patterned[0] if self.cell.patterned else len(self.cell.layers)
        light = self._illumination(first)
        fluxes = self._uniform(light) if first == len(self.cell.layers) else self._patterned(light, first)
        shares = torch.stack(fluxes, -1) / light.power
        return stack.Powers(1 - shares[..., 0], shares[..., -1], shares[..., :-1] - shares[..., 1:])

    def _illumination(self, first: int) -> stack.Illumination:
        epsilon = self._epsilon(self.cell.superstrate)
        incident = self._real(self.cell.incident_fields).to(torch.complex128)
        return stack.Illumination(
            superstrate=films.medium(epsilon, self.k2),
            sections=[self._section(i) for i in range(first)],
            incident=incident[:, :2].T,
            power=torch.sqrt(epsilon.real) * math.cos(math.radians(self.cell.theta_deg)),
            directions=self.directions,
            dtype=self.dtype,
        )

    def _section(self, position: int) -> Section:
        layer = self.cell.layers[position]
        assert isinstance(layer, Film)
        return films.section(films.medium(self._epsilon(layer.index), self.k2), self.thickness[position])

    def _substrate(self) -> Admittance | None:
        if isinstance(self.cell.substrate, Mirror):
            return None
        return films.half_space(films.medium(self._epsilon(self.cell.substrate), self.k2))

    def _uniform(self, light: stack.Illumination) -> list[Tensor]:
        """A stack without pattern: the zeroth order alone."""
        fluxes = stack.fluxes_of_films(light, self._substrate())
        return [flux.expand(self.patterns.shape[0], -1) for flux in fluxes]

    def _patterned(self, light: stack.Illumination, first: int) -> list[Tensor]:
        interfaces = self._below(first + 1)
        load = interfaces[0].load
        up, driven = stack.source(light)
        top = self._loaded(first, load)
        amplitude = solve(top.current + up @ top.top, driven.expand(self.patterns.shape[0], -1, -1))
        fields = top.bottom @ amplitude
        fluxes = stack.fluxes_above(light, top.top @ amplitude)
        for interface in interfaces:
            fluxes.append(stack.flux(interface.load, fields))
            fields = interface.descend(fields)
        return fluxes

    def _below(self, start: int) -> list[stack.Interface]:
        """Interfaces from the top face of layer ``start`` to the substrate."""
        diagonal = self._substrate()
        last = None if diagonal is None else diagonal_load(diagonal, self.directions.pair, self.dtype)
        interfaces = [stack.Interface(last, lambda e: e)]
        dense = False
        for position in reversed(range(start, len(self.cell.layers))):
            if isinstance(self.cell.layers[position], PatternedLayer):
                interfaces.insert(0, self._patterned_interface(position, interfaces[0].load))
                dense = True
            elif dense:
                load = interfaces[0].load
                assert isinstance(load, Tensor)
                interfaces.insert(0, stack.film_above_dense(self._section(position), load, self.directions))
            else:
                diagonal, interface = stack.film_above_diagonal(
                    self._section(position), diagonal, self.directions, self.dtype
                )
                interfaces.insert(0, interface)
        return interfaces

    def _patterned_interface(self, position: int, load: Any) -> stack.Interface:
        return stack.slab_interface(self._loaded(position, load))

    def _loaded(self, position: int, load: Any) -> LoadedSlab:
        """Patterned layer ``position`` on ``load``; None is the perfect mirror."""
        layer = self.cell.layers[position]
        assert isinstance(layer, PatternedLayer)
        low, high = self._epsilon(layer.index_low), self._epsilon(layer.index_high)
        rule = FORMULATIONS[self.numerics.formulation]
        epsilon = rule(self.patterns[:, layer.channel], low.to(self.dtype), high.to(self.dtype), self.orders)
        operators = slab(self.k, epsilon)
        half = self.thickness[position] / (1 if load is None else 2)
        c = self._coth(operators, low, high, half)
        return loaded_on_mirror(operators, c) if load is None else loaded(operators, c, load)

    def _coth(self, operators: Slab, low: Tensor, high: Tensor, h: Tensor) -> CothFraction:
        h2 = float(h.detach()) ** 2
        phases = [complex(low), complex(high)]
        dielectric = all(e.real > 0.5 * abs(e) for e in phases)
        largest = max(abs(e) for e in phases)
        if dielectric:
            bounds = (largest * h2, _DIELECTRIC_MARGIN * float(self.k2.max()) * h2)
        else:
            norm = float(_norm(operators.squared).max()) * h2
            bounds = (norm, norm)
        rational = coth_rational(*bounds, _COTH_TOLERANCE[self.numerics.precision])
        return coth_fraction(operators.squared, h.to(self.dtype), rational, accretive=dielectric)


#: the spectrum of X reaches above the largest K² by this factor, on dielectric pixel images with indices up to 4.5
#: (tested)
_DIELECTRIC_MARGIN = 1.6


def _norm(x: Tensor) -> Tensor:
    """An upper bound of the spectral norm."""
    size = x.detach().abs()
    return torch.sqrt(size.sum(-1).amax(-1) * size.sum(-2).amax(-1))


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

    def solve(self, structures: Float[Tensor, "batch x y"]) -> Solution:
        """Properties of every structure, float64; differentiable; the error bar is unknown.

        Raises:
            InputError: structures of the wrong shape, with NaN or values outside [0, 1], or too few pixels.
        """
        return Solution.exact(select(simulate(self.cell, structures, self.numerics), self.properties))

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


def select(response: Response, properties: tuple[Property, ...]) -> Float[Tensor, "batch properties"]:
    """The columns of ``response`` that ``properties`` name."""
    return torch.stack([_column(response, p.name) for p in properties], -1)


def _column(response: Response, name: str) -> Float[Tensor, "batch"]:
    kind, _, layer = name.partition(":")
    return response.layers[:, int(layer)] if layer else getattr(response, kind)
