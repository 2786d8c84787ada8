r"""A second, matrix-free optical engine: staggered grids in the plane, polynomials in depth, a reference slab, Krylov.

It shares nothing with the dense engine but the cell, so that agreement of the two means something, and its cost grows
as n log n where that of the dense engine grows as N³.

*In the plane* (K. S. Yee, IEEE Trans. Antennas Propag. 14, 302, 1966) each field component lives where the material is
known along it. Two such grids exist on an image of pixels:

* ``"centres"``: E_z at the centres of the cells; E_x and E_y half-way between centres, on the edges that they cross,
  with the harmonic mean of both sides (their flux is continuous).
* ``"vertices"``: E_z at the corners, with the mean of its four cells; E_x and E_y at the middles of the edges that they
  run along, with the arithmetic mean of both sides (they are continuous).

The two are each other's duals: of a static field one gives the energy, the other the complementary energy, and their
errors at the pixels' corners, where fields are singular, are opposite to leading order (J. B. Keller, J. Math. Phys. 5,
548, 1964, has the continuous law). Their mean, ``"both"``, converges far faster than either.

*In depth* the fields are polynomials (``staggered_reference``). The contrast to a uniform reference slab acts only
through :math:`x = (E_x, E_y, w)`, :math:`w = K_y^-H_x - K_x^-H_y`, as sources

.. math:: s = \delta\,x, \qquad \delta = (\varepsilon_x - \varepsilon_0,\; \varepsilon_y - \varepsilon_0,\;
          1/\varepsilon_z - 1/\varepsilon_0), \qquad x = x_\mathrm{inc} + \mathcal{F}^{-1} G \mathcal{F} s,

a Lippmann-Schwinger equation, solved as :math:`(1 - \sqrt\delta\,\mathcal{F}^{-1}G\mathcal{F}\sqrt\delta)\,y =
\sqrt\delta\,x_\mathrm{inc}`, :math:`s = \sqrt\delta\,y`. Reciprocity makes that operator complex symmetric at normal
incidence, so that conjugate residuals need one product and five vectors whatever the number of iterations; oblique
light takes a solver of general systems. An absorbing reference (complex :math:`\varepsilon_0`, as in G. Osnabrugge et
al., J. Comput. Phys. 322, 113, 2016) keeps its resonances away from those of the structure: with it, indices up to 4.5
converge.

The derivative is one more solve with the transpose, which is the same operator lit from the opposite direction.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Literal, get_args

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from microwright.errors import InputError
from microwright.physics.krylov import KrylovSolution, Watch, conjugate_residuals, stabilised_biconjugate_gradients
from microwright.physics.optics.cell import OpticalCell, PatternedLayer
from microwright.physics.optics.staggered_reference import ReferenceSlab
from microwright.physics.property import Property, Solution, Solver, Status, check_structures

Placement = Literal["centres", "vertices", "both"]
Precision = Literal["single", "double"]
_COMPLEX = {"single": torch.complex64, "double": torch.complex128}

PROPERTIES = {
    "absorption": Property("absorption", "1", "share of the incident power absorbed in the layers"),
    "reflectance": Property("reflectance", "1", "share of the incident power reflected"),
    "transmittance": Property("transmittance", "1", "share of the incident power that enters the substrate"),
}


#: share of half the difference of the dual grids that the error of their mean may reach: calibrated, ten times what
#: was measured on the default cell
GAP_SHARE = 0.15
#: error of an absorption per unit of the relative residual of its linear systems, measured with a margin
ITERATION_SHARE = 0.1


@dataclass(frozen=True)
class StaggeredNumerics:
    """How finely the cell is computed.

    Attributes:
        points_per_pixel: p, points of the grid per pixel and direction.
        placement: which of the two staggered grids, or the mean of ``"both"``.
        collocation_points: q, Gauss points in depth; chosen from the optical thickness of the layer if None.
        tolerance: relative residual of the linear systems at which they have converged.
        value_tolerance: a change of the absorption over eight iterations that no longer matters.
        max_iterations: where to give up.
        precision: ``"single"`` (complex64) or ``"double"`` (complex128); values are float64 either way.
        reference: permittivity ε₀ of the reference slab; chosen from the two phases if None.
        memory_mib: working memory that one chunk of a batch may take.
    """

    points_per_pixel: int = 1
    placement: Placement = "both"
    collocation_points: int | None = None
    tolerance: float = 3e-3
    value_tolerance: float = 1e-4
    max_iterations: int = 2000
    precision: Precision = "single"
    reference: complex | None = None
    memory_mib: int = 64

    def __post_init__(self) -> None:
        for name in ("points_per_pixel", "max_iterations", "memory_mib"):
            _check_whole(name, getattr(self, name), 1)
        if self.collocation_points is not None:
            _check_whole("collocation_points", self.collocation_points, 2)
        for name in ("tolerance", "value_tolerance"):
            if not 0 < getattr(self, name) < 1:
                raise InputError(f"{name}: must lie between 0 and 1, got {getattr(self, name)!r}")
        for name, choices in (("placement", get_args(Placement)), ("precision", get_args(Precision))):
            if getattr(self, name) not in choices:
                raise InputError(f"{name}: {getattr(self, name)!r} is unknown; use {' or '.join(choices)}")

    @property
    def grids(self) -> tuple[str, ...]:
        """The grids to be averaged over."""
        return ("centres", "vertices") if self.placement == "both" else (self.placement,)

    def heights(self, layer: PatternedLayer, wavenumber: float) -> int:
        """q: five for 150 nm of a halide perovskite, eight for 200 nm of amorphous silicon."""
        thickness = max(abs(layer.index_low), abs(layer.index_high)) * layer.thickness_nm * wavenumber
        return self.collocation_points or max(5, math.ceil(3 + 0.55 * thickness))

    def reference_permittivity(self, layer: PatternedLayer) -> complex:
        """ε₀: nearer the phase of smaller permittivity, and absorbing, where the fewest iterations were measured."""
        if self.reference is not None:
            return complex(self.reference)
        small, large = sorted((layer.index_low**2, layer.index_high**2), key=abs)
        return small + 0.25 * (large - small) + 0.15j * abs(large - small)


def _check_whole(name: str, value: int, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(f"{name}: must be a whole number from {least}, got {value!r}")


class StaggeredSolver(Solver):
    """Optical properties of pixelated films on staggered grids, without matrices.

    Properties by name: ``"absorption"``, ``"reflectance"``, ``"transmittance"``. The stack may hold one patterned layer
    between any uniform films.

    Args:
        cell: the physics.
        numerics: the effort.
        properties: names of the properties, in the order of ``Solution.values``.

    Raises:
        InputError: an unknown property, or a cell with none or several patterned layers.
    """

    dimensions = 2

    def __init__(
        self,
        cell: OpticalCell,
        numerics: StaggeredNumerics = StaggeredNumerics(),
        properties: tuple[str, ...] = ("absorption",),
    ) -> None:
        if len(cell.patterned) != 1 or cell.channels != 1:
            raise InputError(
                f"layers: {len(cell.patterned)} are patterned, the staggered engine takes one; use the rcwa engine"
            )
        for name in properties:
            if name not in PROPERTIES:
                raise InputError(f"property: {name!r} is unknown; the staggered engine has {', '.join(PROPERTIES)}")
        self.cell = cell
        self.numerics = numerics
        self.properties = tuple(PROPERTIES[name] for name in properties)

    def solve(self, structures: Float[Tensor, "batch x y"]) -> Solution:
        """Properties of every structure, float64; differentiable.

        With ``placement="both"`` the error bar is a share of the difference of the two grids plus the grid's
        dispersion error; with one grid it is unknown.

        Raises:
            InputError: structures of the wrong shape, with NaN or values outside [0, 1].
        """
        check_structures(structures, 2)
        if structures.shape[1] != structures.shape[2]:
            raise InputError(
                f"structures: {structures.shape[1]} × {structures.shape[2]} pixels, but the cell is square; "
                "give as many pixels along x as along y"
            )
        chunk = self._chunk(structures.shape[1])
        return Solution.concatenate([self._solve_chunk(part) for part in structures.split(chunk)])

    def _chunk(self, pixels: int) -> int:
        """Structures at once: on the processor one, which stays in its cache; elsewhere what the memory holds."""
        numerics, layer = self.numerics, self._layer
        fields = 3 * numerics.heights(layer, self.cell.wavenumber) * (pixels * numerics.points_per_pixel) ** 2
        size = fields * len(self.cell.incident_fields) * _COMPLEX[numerics.precision].itemsize
        return max(1, numerics.memory_mib * 2**20 // (10 * size))

    @property
    def _layer(self) -> PatternedLayer:
        layer = self.cell.layers[self.cell.patterned[0]]
        assert isinstance(layer, PatternedLayer)
        return layer

    def _solve_chunk(self, structures: Tensor) -> Solution:
        outcomes = [self._on_grid(structures, grid) for grid in self.numerics.grids]
        values = torch.stack([outcome.values for outcome in outcomes])
        return Solution(
            values=values.mean(0),
            error_bar=self._error_bar(values.detach(), structures.shape[1]),
            status=torch.stack([outcome.status for outcome in outcomes]).amax(0),
            residual=torch.stack([outcome.residual for outcome in outcomes]).amax(0),
            iterations=torch.stack([outcome.iterations for outcome in outcomes]).sum(0),
        )

    def _error_bar(self, values: Float[Tensor, "grids batch properties"], pixels: int) -> Tensor:
        if len(values) == 1:
            return torch.full_like(values[0], torch.nan)
        gap = (values[0] - values[1]).abs() / 2
        return GAP_SHARE * gap + ITERATION_SHARE * self.numerics.tolerance + self.dispersion_error(pixels)

    def dispersion_error(self, pixels: int) -> float:
        """(n k₀ Δ)²/48, half the relative error of the wave number on the grid in the denser phase.

        An estimate of what both grids err by alike, checked by refinement on the default cell and on amorphous silicon.
        """
        index = max(abs(self._layer.index_low), abs(self._layer.index_high))
        step = self.cell.period_nm / (pixels * self.numerics.points_per_pixel) * self.cell.wavenumber
        return (index * step) ** 2 / 48

    def _on_grid(self, structures: Tensor, grid: str) -> Solution:
        numerics, layer = self.numerics, self._layer
        n = structures.shape[1] * numerics.points_per_pixel
        dtype, device = _COMPLEX[numerics.precision], structures.device
        reference = numerics.reference_permittivity(layer)
        heights = numerics.heights(layer, self.cell.wavenumber)
        slab = _reference_slab(self.cell, n, heights, reference, dtype, device, False)
        permittivity = permittivities(structures, layer, numerics.points_per_pixel, grid)
        reciprocal = torch.tensor([reference, reference, 1 / reference], dtype=torch.complex128, device=device)
        contrast = (permittivity - reciprocal[:, None, None]).to(dtype)
        problem = _Scattering(
            self.cell, slab, permittivity.detach().imag.to(contrast.real.dtype), numerics, n, reference
        )
        sources, krylov = problem.sources(contrast)
        values = _named_values(slab, sources, self.properties)
        status = torch.where(krylov.converged, int(Status.CONVERGED), int(Status.NOT_CONVERGED))
        return Solution(values, torch.full_like(values, torch.nan).detach(), status, krylov.residual, krylov.iterations)

    def certify(self, structures: Float[Tensor, "batch x y"], tolerance: float) -> Solution:
        """See ``microwright.physics.optics.certify``."""
        # imported late: certification is built on this engine
        from microwright.physics.optics.certify import Effort, certify

        names = tuple(p.name for p in self.properties)
        return certify(self.cell, names, structures, tolerance, Effort(staggered=self.numerics))

    def spec(self) -> dict[str, Any]:
        """Physics and numerics as JSON."""
        numerics = asdict(self.numerics)
        if self.numerics.reference is not None:
            reference = complex(self.numerics.reference)
            numerics["reference"] = [reference.real, reference.imag]
        return {
            "engine": "staggered",
            "cell": self.cell.to_json(),
            "numerics": numerics,
            "properties": [p.name for p in self.properties],
        }

    @staticmethod
    def from_spec(spec: dict[str, Any]) -> StaggeredSolver:
        """The solver that ``spec`` describes."""
        numerics = dict(spec["numerics"])
        if numerics.get("reference") is not None:
            numerics["reference"] = complex(*numerics["reference"])
        return StaggeredSolver(
            OpticalCell.from_json(spec["cell"]), StaggeredNumerics(**numerics), tuple(spec["properties"])
        )


@lru_cache(maxsize=6)
def _reference_slab(
    cell: OpticalCell,
    points: int,
    heights: int,
    permittivity: complex,
    dtype: torch.dtype,
    device: torch.device,
    reverse: bool,
) -> ReferenceSlab:
    return ReferenceSlab(cell, points, heights, permittivity, dtype, device, reverse)


def permittivities(
    structures: Float[Tensor, "batch x y"], layer: PatternedLayer, points_per_pixel: int, grid: str
) -> Complex[Tensor, "batch 3 n n"]:
    """ε_x, ε_y and 1/ε_z where the grid has them, in double precision; differentiable."""
    low, high = layer.index_low**2, layer.index_high**2
    fine = structures.repeat_interleave(points_per_pixel, 1).repeat_interleave(points_per_pixel, 2)
    cells = low + (high - low) * fine.to(torch.complex128)
    return (_at_centres if grid == "centres" else _at_vertices)(cells)


def _at_centres(cells: Complex[Tensor, "batch n n"]) -> Complex[Tensor, "batch 3 n n"]:
    inverse = 1 / cells
    x, y = (2 / (inverse + torch.roll(inverse, -1, axis)) for axis in (1, 2))
    return torch.stack((x, y, inverse), 1)


def _at_vertices(cells: Complex[Tensor, "batch n n"]) -> Complex[Tensor, "batch 3 n n"]:
    """E_z at the corner before cell (i, j), E_x half a step along x from there, on the edge before the cell along y."""
    x, y = (cells + torch.roll(cells, 1, 2)) / 2, (cells + torch.roll(cells, 1, 1)) / 2
    return torch.stack((x, y, 2 / (x + torch.roll(x, 1, 1))), 1)


def _named_values(
    slab: ReferenceSlab, sources: Complex[Tensor, "batch polarisations 3 q n n"], properties: tuple[Property, ...]
) -> Float[Tensor, "batch properties"]:
    orders = torch.fft.fft2(sources, norm="forward")
    reflectance, transmittance = (share.mean(1) for share in slab.powers(orders))
    table = {
        "absorption": 1 - reflectance - transmittance,
        "reflectance": reflectance,
        "transmittance": transmittance,
    }
    return torch.stack([table[p.name] for p in properties], 1)


@dataclass(frozen=True)
class _Scattering:
    """The linear systems of one chunk of structures on one grid."""

    cell: OpticalCell
    slab: ReferenceSlab
    losses: Float[Tensor, "batch 3 n n"]
    numerics: StaggeredNumerics
    points: int
    reference: complex

    def sources(self, contrast: Complex[Tensor, "batch 3 n n"]) -> tuple[Tensor, KrylovSolution]:
        """s = δx on the grid, (batch, polarisations, 3, q, n, n), differentiable by δ; and how the solve went."""
        light = torch.fft.ifft2(self.slab.light(), norm="forward").expand(len(contrast), -1, -1, -1, -1, -1)
        outcome: list[KrylovSolution] = []
        sources = _Sources.apply(contrast, light, self, outcome)
        return sources, outcome[0]

    def solve(self, contrast: Tensor, right: Tensor, transpose: bool, watch: bool) -> tuple[Tensor, KrylovSolution]:
        """y of (1 − √δ G √δ) y = right or its transpose; ``right`` has axes (batch, polarisations, 3, q, n, n)."""
        slab = self._reversed() if transpose else self.slab
        root = contrast.sqrt()[:, None, :, None]
        batch = right.shape[:2]

        def apply(y: Tensor) -> Tensor:
            fields = y.unflatten(0, batch)
            return (fields - root * propagate(slab, root * fields)).flatten(0, 1)

        symmetric = self.cell.tangential == (0.0, 0.0)
        method = conjugate_residuals if symmetric else stabilised_biconjugate_gradients
        solution = method(
            apply,
            right.flatten(0, 1),
            tolerance=self.numerics.tolerance,
            max_iterations=self.numerics.max_iterations,
            watch=Watch(self._absorption(contrast, batch), self.numerics.value_tolerance) if watch else None,
        )
        return solution.x.unflatten(0, batch), _per_structure(solution, batch)

    def _reversed(self) -> ReferenceSlab:
        s = self.slab
        return _reference_slab(self.cell, self.points, s.collocation, self.reference, s.dtype, s.device, True)

    def _absorption(self, contrast: Tensor, batch: torch.Size) -> Any:
        """What the layer absorbs, from y: k₀d Σ b (Im ε_x|E_x|² + Im ε_y|E_y|² − Im(1/ε_z)|w|²), |x|² = |y|²/|δ|."""
        sign = torch.tensor([1.0, 1.0, -1.0], device=contrast.device, dtype=self.losses.dtype)
        tiny = torch.finfo(self.losses.dtype).tiny
        density = sign[:, None, None] * self.losses / contrast.abs().clamp_min(tiny)
        layer = self.cell.layers[self.cell.patterned[0]]
        depth = layer.thickness_nm * self.cell.wavenumber
        incident = self.slab.incident_power().to(density.dtype)

        def absorbed(y: Tensor) -> Tensor:
            strength = y.abs().square().sum(2).unflatten(0, batch)
            power = (density[:, None] * strength).sum((2, 3, 4)) / self.points**2
            return (depth * power / incident).flatten()

        return absorbed


def propagate(slab: ReferenceSlab, sources: Complex[Tensor, "*batch 3 q n n"]) -> Complex[Tensor, "*batch 3 q n n"]:
    """Fields on the grid that sources on the grid cause in the reference slab."""
    return torch.fft.ifft2(slab.apply(torch.fft.fft2(sources)))


def _per_structure(solution: KrylovSolution, batch: torch.Size) -> KrylovSolution:
    """The worst of the polarisations."""
    return KrylovSolution(
        solution.x,
        solution.residual.unflatten(0, batch).amax(1),
        solution.iterations.unflatten(0, batch).amax(1),
        solution.converged.unflatten(0, batch).all(1),
    )


class _Sources(torch.autograd.Function):
    """s(δ) with its derivative by the adjoint solve: ds = (1 − δG)⁻¹ x dδ."""

    @staticmethod
    def forward(
        ctx: Any, contrast: Tensor, light: Tensor, problem: _Scattering, outcome: list[KrylovSolution]
    ) -> Tensor:
        root = contrast.sqrt()[:, None, :, None]
        y, krylov = problem.solve(contrast, root * light, transpose=False, watch=True)
        sources = root * y
        outcome.append(krylov)
        ctx.problem = problem
        ctx.save_for_backward(contrast, light, sources)
        return sources

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        contrast, light, sources = ctx.saved_tensors
        problem: _Scattering = ctx.problem
        root = contrast.sqrt()[:, None, :, None]
        z, _ = problem.solve(contrast, root * gradient.conj(), transpose=True, watch=False)
        dual = gradient.conj() + propagate(problem._reversed(), root * z)
        fields = light + propagate(problem.slab, sources)
        return (dual * fields).sum((1, 3)).conj(), None, None, None
