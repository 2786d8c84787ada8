"""Laws of effective conductivity: laminates, the checkerboard, duality, bounds, gradients."""

from __future__ import annotations

import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from microwright.errors import InputError
from microwright.physics.conduction import ConductionPhases, ConductionSolver
from microwright.physics.elasticity import CgNumerics

EXACT = CgNumerics(1e-11, precision="double")
PHASES = ConductionPhases((1.0, 10.0))

few = settings(max_examples=12, deadline=None, derandomize=True)


def conductivities(structure: torch.Tensor, names: tuple[str, ...], phases: ConductionPhases = PHASES) -> torch.Tensor:
    return ConductionSolver(phases, EXACT, names, structure.ndim).solve(structure[None]).values[0]


def random_structure(seed: int, grid: tuple[int, ...]) -> torch.Tensor:
    return (torch.rand(grid, generator=torch.Generator().manual_seed(seed)) < 0.5).double()


@given(layers=st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=2, max_size=9))
@few
def test_laminate(layers: list[float]) -> None:
    profile = torch.tensor(layers, dtype=torch.float64)
    found = conductivities(profile[:, None, None].expand(-1, 2, 3), ("k11", "k22", "k33", "k12"))
    k = 1 + 9 * profile
    expected = torch.stack([1 / (1 / k).mean(), k.mean(), k.mean(), torch.zeros(()).double()])
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("contrast, accuracy", [(2.0, 1e-3), (10.0, 0.02)])
def test_checkerboard_converges_to_the_geometric_mean(contrast: float, accuracy: float) -> None:
    board = torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=torch.float64)
    phases = ConductionPhases((1.0, contrast))
    refined = (board.repeat_interleave(n, 0).repeat_interleave(n, 1) for n in (4, 8, 16, 32, 64))
    errors = [float(conductivities(fine, ("k11",), phases)) / math.sqrt(contrast) - 1 for fine in refined]
    assert all(0 < fine < coarse for coarse, fine in zip(errors, errors[1:], strict=False))
    assert errors[-1] < accuracy  # the field is singular at the corners, the more so the higher the contrast


@given(seed=st.integers(0, 2**31 - 1))
@few
def test_duality_bounds_the_swapped_structure(seed: int) -> None:
    """Keller: k11 of a structure times k22 with its phases swapped is k1 k2 exactly; elements stay above."""
    structure = random_structure(seed, (5, 5)).repeat_interleave(6, 0).repeat_interleave(6, 1)
    product = conductivities(structure, ("k11",)) * conductivities(1 - structure, ("k22",))
    assert 10 < float(product) < 10 * 1.25


@given(seed=st.integers(0, 2**31 - 1))
@few
def test_arithmetic_and_harmonic_mean_bound(seed: int) -> None:
    structure = random_structure(seed, (4, 5, 3))
    k = 1 + 9 * structure
    for value in conductivities(structure, ("k11", "k22", "k33")):
        assert 1 / (1 / k).mean() - 1e-9 < value < k.mean() + 1e-9


def test_gradient() -> None:
    structures = 0.2 + 0.6 * torch.rand(1, 4, 5, 3, generator=torch.Generator().manual_seed(0)).double()
    solver = ConductionSolver(PHASES, EXACT, ("k11", "k12", "k33"))
    variable = structures.clone().requires_grad_()
    solver.solve(variable).values.sum().backward()
    assert variable.grad is not None
    step = torch.zeros_like(structures)
    step[0, 1, 2, 0] = 1e-3
    values = [solver.solve(structures + multiple * step).values.sum() for multiple in (-2, -1, 1, 2)]
    expected = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / 12e-3
    assert abs(variable.grad[0, 1, 2, 0] - expected) < 1e-6 * variable.grad.abs().max()


def test_spec_makes_the_same_solver() -> None:
    solver = ConductionSolver(PHASES, CgNumerics(1e-3), ("k11", "k21"), 2)
    again = ConductionSolver.from_spec(json.loads(json.dumps(solver.spec())))
    assert again.spec() == solver.spec()


def test_bad_input() -> None:
    for values, word in (((0.0, 1.0), "conductivities"), ((1.0,), "phases"), ((float("nan"), 1.0), "conductivities")):
        with pytest.raises(InputError, match=word):
            ConductionPhases(values)
    for name, dimensions in (("k44", 3), ("k13", 2), ("C11", 3)):
        with pytest.raises(InputError, match=name):
            ConductionSolver(properties=(name,), dimensions=dimensions)
    with pytest.raises(InputError, match="dimensions"):
        ConductionSolver(dimensions=4)
