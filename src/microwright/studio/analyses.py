"""What there is to know about one structure: statistics, tolerance, convergence, spectrum, directional stiffness."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from microwright.design.exact import COMPARED, training_structures
from microwright.design.tolerance import Tolerances, tolerances
from microwright.errors import InputError
from microwright.methods.card import ModelCard
from microwright.physics.elasticity import ElasticSolver
from microwright.physics.homogenisation import CgNumerics
from microwright.physics.optics import RcwaNumerics, RcwaSolver
from microwright.physics.optics.dispersion import dispersive, tabulated_range
from microwright.physics.optics.formulations import Formulation
from microwright.physics.property import Solution, Solver
from microwright.structures.statistics import radial_average, radial_spectral_density, two_point_correlation
from microwright.studio.designing import StoppableSolver, solved
from microwright.studio.session import Job, Structure

#: Fourier orders at which a film's value is shown
HARMONICS = (25, 49, 81, 121, 169, 225, 289)
#: finer voxels at which a volume's value is shown, as long as the grid stays below MOST_VOXELS
SUBDIVISIONS = (1, 2, 3)
MOST_VOXELS = 1_200_000
SHARES = ("reflectance", "transmittance", "absorption")
ENTRIES = tuple(f"C{i}{j}" for i in range(1, 7) for j in range(i, 7))


@dataclass(frozen=True)
class Curves:
    """Two-point correlation and spectral density by distance and by wave number, of one or several structures."""

    two_point: Float[np.ndarray, "n lags"]
    spectral: Float[np.ndarray, "n shells"]


def statistics(structures: np.ndarray) -> Curves:
    """Radially averaged two-point correlation and spectral density."""
    fields = torch.as_tensor(structures).double()
    return Curves(radial_average(two_point_correlation(fields)).numpy(), radial_spectral_density(fields).numpy())


def training_curves(card: ModelCard, grid: tuple[int, ...]) -> Curves | None:
    """The same of the training set; None where it is not at hand or has another grid."""
    if tuple(card.grid) != grid:
        return None
    count = COMPARED if len(grid) == 2 else COMPARED // 10
    known = training_structures(card, count)
    return None if known is None else statistics(known)


def fabrication(structure: Structure, seed: int, job: Job) -> Tolerances:
    """How the properties move under fabrication errors.

    Raises:
        Stopped: the job is to end.
    """
    return tolerances(as_batch(structure.phase), StoppableSolver(structure.solver, job), seed)


@dataclass(frozen=True)
class Convergence:
    """Values at rising effort.

    Attributes:
        effort: what rises, for the axis.
        at: the efforts.
        values: name of the curve and its values, one for each effort.
        used: the effort of the solver itself.
    """

    effort: str
    at: list[int]
    values: dict[str, list[float]]
    used: int


def convergence(structure: Structure, job: Job) -> Iterator[Convergence]:
    """The first property at rising effort, told after each solve.

    Raises:
        InputError: a solver without a known effort.
        Stopped: the job is to end.
    """
    solver = structure.solver
    if isinstance(solver, RcwaSolver):
        yield from _over_harmonics(solver, structure.phase, job)
    elif structure.phase.ndim == 3:
        yield from _over_voxels(solver, structure.phase, job)
    else:
        raise InputError("convergence: this solver has no harmonics and no voxels to refine; certify it instead")


def _over_harmonics(solver: RcwaSolver, phase: np.ndarray, job: Job) -> Iterator[Convergence]:
    told = Convergence("Fourier orders N", [], {"Li's rules": [], "Laurent's rule": []}, solver.numerics.harmonics)
    names = tuple(item.name for item in solver.properties)
    rules: tuple[tuple[str, Formulation], ...] = (("Li's rules", "li"), ("Laurent's rule", "laurent"))
    for harmonics in (n for n in HARMONICS if n <= phase.shape[-1] ** 2):
        for curve, formulation in rules:
            numerics = replace(solver.numerics, harmonics=harmonics, formulation=formulation)
            told.values[curve].append(_first(solved(RcwaSolver(solver.cell, numerics, names), as_batch(phase), job)))
        told.at.append(harmonics)
        yield told


def _over_voxels(solver: Solver, phase: np.ndarray, job: Job) -> Iterator[Convergence]:
    told = Convergence("voxels along an edge of the given ones", [], {solver.properties[0].name: []}, 1)
    for finer in SUBDIVISIONS:
        if phase.size * finer**3 > MOST_VOXELS:
            break
        split = np.kron(phase, np.ones((finer,) * 3, phase.dtype))
        told.values[solver.properties[0].name].append(_first(solved(solver, as_batch(split), job)))
        told.at.append(finer)
        yield told


@dataclass(frozen=True)
class SpectrumSoFar:
    """Shares of the incident light at the wavelengths that are solved.

    Attributes:
        wavelengths_nm: solved so far.
        shares: name and values.
        wanted: how many wavelengths there will be.
        media: what the layers were taken for.
    """

    wavelengths_nm: list[float]
    shares: dict[str, list[float]]
    wanted: int
    media: str


def spectrum(structure: Structure, low_nm: float, high_nm: float, count: int, job: Job) -> Iterator[SpectrumSoFar]:
    """Reflectance, transmittance and absorptance over wavelength, told after each wavelength.

    Raises:
        InputError: no film, or wavelengths that a material's table does not have.
        Stopped: the job is to end.
    """
    solver = structure.solver
    if not isinstance(solver, RcwaSolver):
        raise InputError("spectrum: only films have one; choose a design of an optical model")
    stack = dispersive(solver.cell)
    least, most = tabulated_range(stack)
    if not least <= low_nm < high_nm <= most:
        raise InputError(
            f"spectrum: {low_nm:g} to {high_nm:g} nm; give a range within {least:g} to {most:g} nm, ascending"
        )
    if not 2 <= count <= 200:
        raise InputError(f"spectrum: {count} wavelengths; give 2 to 200")
    told = SpectrumSoFar([], {name: [] for name in SHARES}, count, _media(stack.layers, stack.substrate))
    for wavelength in np.linspace(low_nm, high_nm, count):
        values = solved(
            RcwaSolver(stack.at(float(wavelength)), spectrum_numerics(solver.numerics), SHARES),
            as_batch(structure.phase),
            job,
        ).values[0]
        told.wavelengths_nm.append(float(wavelength))
        for name, value in zip(SHARES, values.tolist(), strict=True):
            told.shares[name].append(value)
        yield told


def spectrum_numerics(numerics: RcwaNumerics) -> RcwaNumerics:
    """A picture of a spectrum needs fewer orders than a verified value."""
    return replace(numerics, harmonics=min(numerics.harmonics, 121))


def _media(layers: Sequence[object], substrate: object) -> str:
    named = [str(medium) for layer in layers for medium in vars(layer).values() if isinstance(medium, str)]
    named += [substrate] if isinstance(substrate, str) else []
    return ", ".join(named) or "the indices of the cell, kept at all wavelengths"


def full_stiffness(structure: Structure, job: Job) -> Float[Tensor, "6 6"]:
    """All entries of a volume's effective stiffness, GPa.

    Raises:
        InputError: no volume, or no elastic phases.
        Stopped: the job is to end.
    """
    solver = structure.solver
    if not isinstance(solver, ElasticSolver) or structure.phase.ndim != 3:
        raise InputError("stiffness: only volumes with an elastic solver have a directional modulus; choose one")
    whole = ElasticSolver(solver.phases, CgNumerics(), ENTRIES, 3)
    values = solved(whole, as_batch(structure.phase), job).values[0].double()
    stiffness = torch.zeros(6, 6, dtype=torch.float64)
    upper = torch.triu_indices(6, 6)
    stiffness[upper[0], upper[1]] = values
    return stiffness + stiffness.T - stiffness.diag().diag()


def as_batch(phase: np.ndarray) -> Float[Tensor, "1 *grid"]:
    """One structure as a solver takes it."""
    return torch.as_tensor(phase).float()[None]


def _first(solution: Solution) -> float:
    return float(solution.values[0, 0])
