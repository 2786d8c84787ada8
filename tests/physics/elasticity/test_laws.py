"""Laws of effective stiffness: closed forms, bounds, symmetries, refinement."""

from __future__ import annotations

import itertools
import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from microwright.physics.elasticity import CgNumerics, ElasticPhases, ElasticSolver
from microwright.physics.elasticity.voigt import isotropic, numbers
from microwright.physics.property import Status

EXACT = CgNumerics(1e-11, precision="double")
PHASES = ElasticPhases((2.4, 120.0), (0.1, 0.35))
VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))

few = settings(max_examples=12, deadline=None, derandomize=True)
seeds = st.integers(0, 2**31 - 1)


def entries(dimensions: int) -> list[str]:
    return [f"C{i}{j}" for i in numbers(dimensions) for j in numbers(dimensions)]


def stiffness(structure: Tensor, phases: ElasticPhases = PHASES, numerics: CgNumerics = EXACT, **options) -> Tensor:
    """The full stiffness of one structure."""
    dimensions = structure.ndim
    solver = ElasticSolver(phases, numerics, entries(dimensions), dimensions, **options)
    size = len(numbers(dimensions))
    return solver.solve(structure[None]).values.view(size, size)


def random_structure(seed: int, grid: tuple[int, ...]) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    fraction = 0.1 + 0.8 * torch.rand((), generator=generator)
    return (torch.rand(grid, generator=generator) < fraction).double()


def phase_stiffness(phases: ElasticPhases, dimensions: int) -> list[Tensor]:
    return [isotropic(lame, dimensions) for lame in phases.lame_parameters(dimensions, "strain")]


@pytest.mark.parametrize("grid", [(3, 4), (2, 5), (3, 4, 5), (2, 3, 2)])
@pytest.mark.parametrize("phase", [0, 1])
def test_one_phase_gives_the_phase(grid: tuple[int, ...], phase: int) -> None:
    expected = phase_stiffness(PHASES, len(grid))[phase]
    torch.testing.assert_close(stiffness(torch.full(grid, float(phase))), expected, rtol=1e-12, atol=1e-12)


def test_engineering_constants_of_one_phase() -> None:
    young, nu = 120.0, 0.35
    expected = {"E1": young, "E3": young, "nu12": nu, "nu31": nu, "zener": 1.0}
    expected |= {"G23": young / 2 / (1 + nu), "K": young / 3 / (1 - 2 * nu)}
    solution = ElasticSolver(PHASES, EXACT, tuple(expected)).solve(torch.ones(1, 3, 2, 4))
    torch.testing.assert_close(solution.values[0], torch.tensor(list(expected.values()), dtype=torch.float64))


def test_plane_stress_of_one_phase() -> None:
    young, nu = 120.0, 0.35
    found = stiffness(torch.ones(3, 3), plane="stress")
    expected = young / (1 - nu**2) * torch.tensor([[1, nu, 0], [nu, 1, 0], [0, 0, (1 - nu) / 2]], dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-10)


def laminate_stiffness(layers: Tensor, phases: ElasticPhases) -> Tensor:
    """Closed form of layers stacked along axis 1 (Backus averages)."""
    lame = torch.tensor(phases.lame_parameters(3, "strain"), dtype=torch.float64)[layers.long()]
    lam, mu = lame.T
    across = lam + 2 * mu
    c11 = 1 / (1 / across).mean()
    c12 = (lam / across).mean() * c11
    c22 = (across - lam**2 / across).mean() + c12**2 / c11
    c23 = (lam - lam**2 / across).mean() + c12**2 / c11
    shear = 1 / (1 / mu).mean()
    expected = torch.diag(torch.stack([c11, c22, c22, mu.mean(), shear, shear]))
    expected[0, 1] = expected[0, 2] = expected[1, 0] = expected[2, 0] = c12
    expected[1, 2] = expected[2, 1] = c23
    return expected


@given(layers=st.lists(st.sampled_from([0.0, 1.0]), min_size=2, max_size=9))
@few
def test_laminate_along_and_across(layers: list[float]) -> None:
    profile = torch.tensor(layers, dtype=torch.float64)
    found = stiffness(profile[:, None, None].expand(-1, 2, 3))
    torch.testing.assert_close(found, laminate_stiffness(profile, PHASES), rtol=1e-9, atol=1e-8)


@given(seed=seeds)
@few
def test_voigt_and_reuss_bound_the_stiffness(seed: int) -> None:
    structure = random_structure(seed, (5, 4, 3))
    soft, hard = phase_stiffness(PHASES, 3)
    fraction = structure.mean()
    voigt = fraction * hard + (1 - fraction) * soft
    reuss = (fraction * hard.inverse() + (1 - fraction) * soft.inverse()).inverse()
    found = stiffness(structure)
    assert torch.linalg.eigvalsh(voigt - found).min() > -1e-8
    assert torch.linalg.eigvalsh(found - reuss).min() > -1e-8


@given(seed=seeds)
@few
def test_stiffness_is_symmetric_and_positive_definite(seed: int) -> None:
    found = stiffness(random_structure(seed, (4, 6)))
    torch.testing.assert_close(found, found.T, rtol=0, atol=1e-9)
    assert torch.linalg.eigvalsh(found).min() > 0


def hashin_shtrikman_bulk(fraction: float, phases: ElasticPhases) -> tuple[float, float]:
    """Lower and upper bound of the bulk modulus of a cubic two-phase material whose phase 1 is harder in all."""
    (lam0, mu0), (lam1, mu1) = phases.lame_parameters(3, "strain")
    k0, k1 = lam0 + 2 * mu0 / 3, lam1 + 2 * mu1 / 3
    lower = k0 + fraction / (1 / (k1 - k0) + (1 - fraction) / (k0 + 4 * mu0 / 3))
    upper = k1 + (1 - fraction) / (1 / (k0 - k1) + fraction / (k1 + 4 * mu1 / 3))
    return lower, upper


@given(radius=st.floats(0.25, 0.45), inclusion=st.sampled_from([0.0, 1.0]))
@few
def test_hashin_shtrikman_bounds_the_bulk_modulus(radius: float, inclusion: float) -> None:
    """Elements lie above the continuum: the lower bound holds on any grid, the upper one in the limit."""
    axis = (torch.arange(12) + 0.5) / 12 - 0.5
    distance = (axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2).sqrt()
    structure = torch.where(distance < radius, inclusion, 1 - inclusion)
    fine = structure.repeat_interleave(2, 0).repeat_interleave(2, 1).repeat_interleave(2, 2)
    phases = ElasticPhases((10.0, 40.0), (0.3, 0.3))
    solver = ElasticSolver(phases, CgNumerics(1e-6), ("K",))
    bulk, refined = (float(solver.solve(grid[None]).values) for grid in (structure, fine))
    lower, upper = hashin_shtrikman_bulk(float(structure.mean()), phases)
    assert lower < refined < bulk
    assert refined - (bulk - refined) < upper


def rotated(matrix: Tensor, order: tuple[int, ...], signs: tuple[int, ...]) -> Tensor:
    """The stiffness after new axis k is ``signs[k]`` times old axis ``order[k]``."""
    size = torch.zeros(6, 6, dtype=matrix.dtype)
    for row, (i, j) in enumerate(VOIGT):
        size[row, VOIGT.index(tuple(sorted((order[i], order[j]))))] = signs[i] * signs[j]
    return size @ matrix @ size.T


@given(seed=seeds, order=st.permutations(range(3)), flips=st.lists(st.booleans(), min_size=3, max_size=3))
@few
def test_cubic_rotations_permute_the_stiffness(seed: int, order: list[int], flips: list[bool]) -> None:
    structure = random_structure(seed, (3, 4, 5))
    turned = structure.permute(*order).flip([axis for axis in range(3) if flips[axis]])
    signs = tuple(-1 if flip else 1 for flip in flips)
    expected = rotated(stiffness(structure), tuple(order), signs)
    torch.testing.assert_close(stiffness(turned), expected, rtol=1e-8, atol=1e-7)


@given(seed=seeds, shift=st.tuples(st.integers(0, 4), st.integers(0, 3), st.integers(0, 2)))
@few
def test_translation_changes_nothing(seed: int, shift: tuple[int, int, int]) -> None:
    structure = random_structure(seed, (5, 4, 3))
    moved = structure.roll(shift, (0, 1, 2))
    torch.testing.assert_close(stiffness(moved), stiffness(structure), rtol=1e-8, atol=1e-7)


def test_refinement_converges_from_above() -> None:
    structure = random_structure(3, (6, 6))
    solver = ElasticSolver(numerics=EXACT, properties=("C11",), dimensions=2)
    refined = (structure.repeat_interleave(n, 0).repeat_interleave(n, 1) for n in (1, 2, 4, 8, 16))
    steps = torch.stack([solver.solve(fine[None]).values[0, 0] for fine in refined]).diff()
    assert (steps < 0).all()  # nested spaces: the energy can only fall
    assert (steps[1:].abs() < 0.75 * steps[:-1].abs()).all()


def test_plane_strain_is_the_extruded_structure() -> None:
    structure = random_structure(5, (5, 6))
    names = ("C11", "C22", "C66", "C21", "C61", "C62")
    plane = ElasticSolver(PHASES, EXACT, names, 2).solve(structure[None]).values
    solid = ElasticSolver(PHASES, EXACT, names, 3).solve(structure[None, :, :, None].expand(-1, -1, -1, 2)).values
    torch.testing.assert_close(plane, solid, rtol=1e-9, atol=1e-8)


@given(seed=seeds, tolerance=st.sampled_from([1e-2, 1e-3, 1e-4, 1e-5]), contrast=st.sampled_from([3.0, 50.0, 1e3]))
@few
def test_error_bar_holds(seed: int, tolerance: float, contrast: float) -> None:
    structure = random_structure(seed, (9, 8, 7))[None]
    phases = ElasticPhases((1.0, contrast), (0.2, 0.4))
    names = ("C11", "C22", "C21", "C44", "E1", "nu12")
    coarse = ElasticSolver(phases, CgNumerics(tolerance), names).solve(structure)
    exact = ElasticSolver(phases, EXACT, names).solve(structure)
    error = (coarse.values - exact.values).abs()[0]
    assert coarse.status.item() == Status.CONVERGED
    assert (error[:4] <= coarse.error_bar[0, :4]).all()
    assert (error[4:] <= 1.1 * coarse.error_bar[0, 4:]).all()  # carried through to first order
    diagonal = exact.values[0, [0, 1, 3]]
    assert (error[[0, 1, 3]] <= tolerance * diagonal).all()


@pytest.mark.parametrize("precision", ["single", "double"])
def test_contrast_of_ten_thousand_converges(precision: str) -> None:
    structure = random_structure(0, (15, 15, 15))[None]
    phases = ElasticPhases((0.01, 100.0), (0.3, 0.3))
    solution = ElasticSolver(phases, CgNumerics(1e-4, precision=precision)).solve(structure)
    exact = ElasticSolver(phases, EXACT).solve(structure)
    assert solution.status.item() == Status.CONVERGED
    assert abs(solution.values - exact.values) <= solution.error_bar


def test_more_than_two_phases() -> None:
    three = ElasticPhases((1.0, 7.0, 50.0), (0.3, 0.1, 0.2))
    structure = random_structure(1, (4, 4, 4))
    first = stiffness(structure / 2, three)
    torch.testing.assert_close(first, stiffness(structure, ElasticPhases((1.0, 7.0), (0.3, 0.1))))
    second = stiffness(0.5 + structure / 2, three)
    torch.testing.assert_close(second, stiffness(structure, ElasticPhases((7.0, 50.0), (0.1, 0.2))))


def test_between_the_phases_the_stiffness_interpolates() -> None:
    soft, hard = phase_stiffness(PHASES, 3)
    torch.testing.assert_close(stiffness(torch.full((2, 2, 2), 0.3)), 0.7 * soft + 0.3 * hard)


def test_a_batch_is_its_structures() -> None:
    structures = torch.stack([random_structure(seed, (6, 5)) for seed in range(7)])
    solver = ElasticSolver(PHASES, properties=("C11", "C21", "C66"), dimensions=2)
    together = solver.solve(structures)
    alone = [solver.solve(one[None]) for one in structures]
    torch.testing.assert_close(together.values, torch.cat([one.values for one in alone]), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(together.iterations, torch.cat([one.iterations for one in alone]), rtol=0, atol=1)


def test_fields_average_to_the_effective_law() -> None:
    structure = random_structure(2, (5, 4, 6))
    strain = (0.01, -0.003, 0.002, 0.004, 0.0, -0.006)
    local = ElasticSolver(PHASES, EXACT).fields(structure[None], strain)
    mean = torch.tensor(strain, dtype=torch.float64)
    torch.testing.assert_close(local.strain.mean((2, 3, 4))[0], mean, rtol=0, atol=1e-14)
    torch.testing.assert_close(local.stress.mean((2, 3, 4))[0], stiffness(structure) @ mean, rtol=0, atol=2e-8)
    assert local.converged.all()


def test_certify_sharpens_until_the_bar_is_small_enough() -> None:
    structure = random_structure(4, (8, 8, 8))[None]
    solver = ElasticSolver(numerics=CgNumerics(1e-2))
    assert solver.solve(structure).error_bar.item() > 1e-5
    assert solver.certify(structure, 1e-5).error_bar.item() <= 1e-5


def test_unconverged_says_so() -> None:
    solution = ElasticSolver(numerics=CgNumerics(max_iterations=2)).solve(random_structure(0, (8, 8, 8))[None])
    assert solution.status.item() == Status.NOT_CONVERGED
    assert solution.iterations.item() == 2


@pytest.mark.parametrize("dimensions, plane", [(3, "strain"), (2, "stress")])
def test_spec_makes_the_same_solver(dimensions: int, plane: str) -> None:
    solver = ElasticSolver(PHASES, CgNumerics(1e-3), ("C11", "E1"), dimensions, plane)
    again = ElasticSolver.from_spec(json.loads(json.dumps(solver.spec())))
    structure = random_structure(0, (4,) * dimensions)[None]
    assert again.spec() == solver.spec()
    torch.testing.assert_close(again.solve(structure).values, solver.solve(structure).values, rtol=0, atol=0)


def test_names_reach_every_entry_and_constant() -> None:
    for dimensions in (2, 3):
        letters = [f"E{i + 1}" for i in range(dimensions)] + ["K", "zener"]
        pairs = [f"nu{i + 1}{j + 1}" for i, j in itertools.permutations(range(dimensions), 2)]
        shears = ["G12"] if dimensions == 2 else ["G12", "G13", "G23"]
        names = entries(dimensions) + letters + pairs + shears
        solver = ElasticSolver(properties=names, dimensions=dimensions)
        assert [entry.name for entry in solver.properties] == names
