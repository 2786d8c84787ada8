r"""One cell at one wavelength, put together from its parts: wave numbers, loads, patterned layers, powers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from microwright.errors import InputError
from microwright.physics.optics import films, stack
from microwright.physics.optics.cell import Film, Mirror, OpticalCell, PatternedLayer
from microwright.physics.optics.coth import coth_rational
from microwright.physics.optics.dense import SMALL
from microwright.physics.optics.films import Admittance, Section
from microwright.physics.optics.formulations import FORMULATIONS
from microwright.physics.optics.numerics import RcwaNumerics
from microwright.physics.optics.slab import Coth, DiagonalLoad, Slab, WaveNumbers, diagonal_load
from microwright.physics.property import check_structures

#: the spectrum of X reaches above the largest K² by this factor, on dielectric pixel images with indices up to 4.5
#: (tested)
_DIELECTRIC_MARGIN = 1.3


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

    @property
    def table(self) -> Float[Tensor, "batch layers+2"]:
        """R, T and the absorption of each layer as columns."""
        return torch.cat([torch.stack([self.reflectance, self.transmittance], -1), self.layers], -1)

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
        self.dtype = numerics.dtype
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
        self.lengths = self.thickness.detach().tolist()  # on the host, so that chunks need not ask the device
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
            return stack.LayerOnMirror(operators, self._coth(operators, spec, position, share=1.0))
        return stack.LayerOnLoad(operators, self._coth(operators, spec, position, share=0.5), below)

    def _coth(self, operators: Slab, spec: PatternedLayer, position: int, share: float) -> Coth:
        """C at a share of the layer's thickness."""
        h, h2 = self.thickness[position] * share, (self.lengths[position] * share) ** 2
        phases = [spec.index_low**2, spec.index_high**2]
        dielectric = all(e.real > 0.5 * abs(e) for e in phases)
        if dielectric:
            bounds = (max(map(abs, phases)) * h2, _DIELECTRIC_MARGIN * self.largest_k2 * h2)
        else:
            bounds = (_norm(operators) * h2,) * 2
        tolerance = self.numerics.coth_tolerance
        coth = Coth(operators, h, coth_rational(*bounds, tolerance, beyond=dielectric), dielectric)
        return Coth(operators, h, coth_rational(*bounds, tolerance), dielectric) if coth.resonant else coth


def _norm(operators: Slab) -> float:
    """An upper bound of the spectral norm of X."""
    with torch.no_grad():
        size = operators.x_matrix.abs()
        return float(torch.sqrt(size.sum(-1).amax(-1) * size.sum(-2).amax(-1)).max())
