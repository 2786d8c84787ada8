r"""Rigorous coupled-wave analysis without eigenvectors: absorption, reflectance and transmittance of pixelated films.

``simulate`` maps structures to a ``Response``; ``RcwaSolver`` wraps it as a solver of the project. The maths lies in
``slab`` (patterned layers), ``films`` (uniform ones), ``stack`` (how they are joined), ``formulations`` (how the
permittivity multiplies a truncated field) and ``coth`` (the transcendental function). What the method is to be measured
against: M. G. Moharam et al., J. Opt. Soc. Am. A 12, 1077 (1995); L. Li, J. Opt. Soc. Am. A 14, 2758 (1997).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from microwright.errors import InputError
from microwright.physics.optics import films, stack
from microwright.physics.optics.cell import Film, Mirror, OpticalCell, PatternedLayer
from microwright.physics.optics.coth import coth_rational
from microwright.physics.optics.dense import SMALL
from microwright.physics.optics.films import Admittance, Section
from microwright.physics.optics.formulations import FORMULATIONS, Formulation
from microwright.physics.optics.orders import FourierOrders, Truncation, fourier_orders
from microwright.physics.optics.slab import Coth, DiagonalLoad, Slab, WaveNumbers, diagonal_load
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

    @staticmethod
    def concatenate(parts: Sequence[Response]) -> Response:
        """The responses of consecutive chunks as one."""
        names = ("reflectance", "transmittance", "layers")
        return Response(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names})


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
    patterns = checked_patterns(cell, structures, numerics)
    problem = Problem(cell, numerics, patterns.device, wavelength_nm, thicknesses_nm)
    return Response.concatenate([problem.response(part) for part in patterns.split(chunk_size(numerics, patterns))])


def chunk_size(numerics: RcwaNumerics, patterns: Tensor) -> int:
    """How many structures go through the engine together.

    On a CPU that is one, unless the matrices are so small that the calls cost more than the arithmetic.
    """
    fitting = max(1, numerics.memory_mib * 2**20 // numerics.bytes_per_structure())
    if patterns.is_cuda:
        return fitting
    return min(fitting, 16) if 2 * len(numerics.orders) <= SMALL else 1


def checked_patterns(cell: OpticalCell, structures: Tensor, numerics: RcwaNumerics) -> Tensor:
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


class Problem:
    """A cell prepared for one device and numerics: everything that no structure changes."""

    def __init__(
        self,
        cell: OpticalCell,
        numerics: RcwaNumerics,
        device: torch.device,
        wavelength_nm: Tensor | None = None,
        thicknesses_nm: Tensor | None = None,
    ) -> None:
        self.cell, self.numerics, self.device = cell, numerics, device
        self.dtype = _COMPLEX[numerics.precision]
        self.orders = numerics.orders.to(device)
        self._wave_numbers(wavelength_nm, thicknesses_nm)
        self.first = cell.patterned[0] if cell.patterned else len(cell.layers)
        self.light = self._illumination()
        self.source = self.light.source()
        self.base = self._base()

    def _wave_numbers(self, wavelength_nm: Tensor | None, thicknesses_nm: Tensor | None) -> None:
        lengths = self._real([layer.thickness_nm for layer in self.cell.layers])
        wavelength = self._real(self.cell.wavelength_nm) if wavelength_nm is None else wavelength_nm.to(lengths)
        self.thickness = (lengths if thicknesses_nm is None else thicknesses_nm.to(lengths)) * 2 * math.pi / wavelength
        k = self._real(self.cell.tangential) + self.orders.pairs.to(lengths) * (wavelength / self.cell.period_nm)
        self.k2 = (k**2).sum(-1)
        self.largest_k2 = float(self.k2.detach().max())
        still = self.k2 < 1e-24
        length = torch.sqrt(torch.where(still, torch.ones_like(self.k2), self.k2))
        unit = torch.where(still[:, None], self._real([1.0, 0.0]), k / length[:, None])
        self.directions = stack.Directions(unit[:, 0], unit[:, 1])
        self.k = WaveNumbers(k[:, :1].to(self.dtype), k[:, 1:].to(self.dtype))

    def _real(self, value: Any) -> Tensor:
        return torch.tensor(value, dtype=torch.float64, device=self.device)

    def _epsilon(self, index: complex) -> Tensor:
        return torch.tensor(complex(index) ** 2, dtype=torch.complex128, device=self.device)

    def _illumination(self) -> stack.Illumination:
        epsilon = self._epsilon(self.cell.superstrate)
        incident = self._real(self.cell.incident_fields).to(torch.complex128)
        return stack.Illumination(
            superstrate=films.medium(epsilon, self.k2),
            sections=[self._section(i) for i in range(self.first)],
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

    def _load(self, y: Admittance) -> DiagonalLoad:
        return diagonal_load(y, self.directions.pair, self.dtype)

    def _base(self) -> stack.Below:
        """The substrate and the films below the lowest patterned layer."""
        scalar = self._substrate()
        below: stack.Below = stack.MirrorBelow() if scalar is None else stack.Substrate(self._load(scalar))
        lowest = self.cell.patterned[-1] if self.cell.patterned else len(self.cell.layers)
        for position in reversed(range(lowest + 1, len(self.cell.layers))):
            scalar, step = stack.film_on(self._section(position), scalar)
            below = stack.FilmBelow(self._load(scalar), self._load(step), below)
        return below

    def response(self, patterns: Float[Tensor, "batch channels x y"]) -> Response:
        """Response of one chunk of structures, averaged over the polarisations."""
        powers = self.powers(patterns)
        return Response(powers.reflectance.mean(-1), powers.transmittance.mean(-1), powers.layers.mean(1))

    def powers(self, patterns: Float[Tensor, "batch channels x y"]) -> stack.Powers:
        """Powers of one chunk of structures."""
        fluxes = self._patterned(patterns) if self.cell.patterned else self._uniform(len(patterns))
        shares = torch.stack(fluxes, -1) / self.light.power
        return stack.Powers(1 - shares[..., 0], shares[..., -1], shares[..., :-1] - shares[..., 1:])

    def _uniform(self, batch: int) -> list[Tensor]:
        return [flux.expand(batch, -1) for flux in self.light.fluxes_of_films(self._substrate())]

    def _patterned(self, patterns: Tensor) -> list[Tensor]:
        below = self.base
        for position in reversed(range(self.first + 1, self.cell.patterned[-1] + 1)):
            below = stack.PatternedBelow(self._layer(position, patterns, below))
        top = self._layer(self.first, patterns, below)
        faces = stack.solve_layer(top, stack.Lit(top, *self.source))
        return [*self.light.fluxes_above(faces[0].e), *(face.flux() for face in faces[1:])]

    def _layer(self, position: int, patterns: Tensor, below: stack.Below) -> stack.LoadedLayer:
        """The layer at ``position``; a film between patterned layers is a pattern of one phase."""
        spec = self.cell.layers[position]
        if isinstance(spec, Film):
            spec = PatternedLayer(spec.thickness_nm, spec.index, spec.index)
        low, high = self._epsilon(spec.index_low), self._epsilon(spec.index_high)
        rule = FORMULATIONS[self.numerics.formulation]
        epsilon = rule(patterns[:, spec.channel], low.to(self.dtype), high.to(self.dtype), self.orders)
        operators = Slab(self.k, epsilon)
        if below.load is None:
            return stack.LayerOnMirror(operators, self._coth(operators, spec, self.thickness[position]))
        return stack.LayerOnLoad(operators, self._coth(operators, spec, self.thickness[position] / 2), below)

    def _coth(self, operators: Slab, spec: PatternedLayer, h: Tensor) -> Coth:
        h2 = float(h.detach()) ** 2
        phases = [spec.index_low**2, spec.index_high**2]
        dielectric = all(e.real > 0.5 * abs(e) for e in phases)
        if dielectric:
            bounds = (max(map(abs, phases)) * h2, _DIELECTRIC_MARGIN * self.largest_k2 * h2)
        else:
            bounds = (_norm(operators) * h2,) * 2
        return Coth(operators, h, coth_rational(*bounds, _COTH_TOLERANCE[self.numerics.precision]), dielectric)


#: the spectrum of X reaches above the largest K² by this factor, on dielectric pixel images with indices up to 4.5
#: (tested)
_DIELECTRIC_MARGIN = 1.6


def _norm(operators: Slab) -> float:
    """An upper bound of the spectral norm of X."""
    with torch.no_grad():
        size = operators.x_matrix.abs()
        return float(torch.sqrt(size.sum(-1).amax(-1) * size.sum(-2).amax(-1)).max())


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
