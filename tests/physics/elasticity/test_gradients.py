"""Closed-form gradients against finite differences."""

from __future__ import annotations

import pytest
import torch

from microwright.physics.elasticity import CgNumerics, ElasticPhases, ElasticSolver

EXACT = CgNumerics(1e-12, precision="double")


def central_difference(function, x: torch.Tensor, index: tuple[int, ...], step: float = 2e-3) -> torch.Tensor:
    """Derivative by x[index], to fourth order."""
    offsets = {-2: 1 / 12, -1: -2 / 3, 1: 2 / 3, 2: -1 / 12}
    total = torch.zeros(())
    for multiple, weight in offsets.items():
        moved = x.clone()
        moved[index] += multiple * step
        total = total + weight * function(moved)
    return total / step


@pytest.mark.parametrize(
    "grid, plane, names",
    [
        ((4, 3, 5), "strain", ("C11", "C21", "C44", "C65", "C31")),
        ((4, 3, 5), "strain", ("E1", "nu12", "K", "zener", "G23")),
        ((5, 4), "stress", ("C11", "C21", "C66", "C61", "K")),
        ((5, 4), "strain", ("C22",)),
    ],
)
@pytest.mark.parametrize("ratios", [(0.3, 0.3), (0.1, 0.4)])
def test_gradient(grid: tuple[int, ...], plane: str, names: tuple[str, ...], ratios: tuple[float, float]) -> None:
    generator = torch.Generator().manual_seed(1)
    solver = ElasticSolver(ElasticPhases((2.4, 120.0), ratios), EXACT, names, len(grid), plane)
    structures = 0.1 + 0.8 * torch.rand(2, *grid, generator=generator, dtype=torch.float64)
    weights = torch.randn(2, len(names), generator=generator, dtype=torch.float64)

    def objective(x: torch.Tensor) -> torch.Tensor:
        return (solver.solve(x).values * weights).sum()

    variable = structures.clone().requires_grad_()
    objective(variable).backward()
    assert variable.grad is not None
    scale = variable.grad.abs().max()
    for index in [(0, *(0 for _ in grid)), (1, *(n - 1 for n in grid)), (1, *(n // 2 for n in grid))]:
        expected = central_difference(objective, structures, index)
        assert abs(variable.grad[index] - expected) < 1e-6 * scale


def test_gradient_of_binary_structures_in_single_precision() -> None:
    """At a loose tolerance the gradient is close already: its error is linear in the residual."""
    structures = (torch.rand(1, 9, 9, 9, generator=torch.Generator().manual_seed(0)) < 0.5).float()
    gradients = []
    for numerics in (CgNumerics(), EXACT):
        variable = structures.clone().requires_grad_()
        ElasticSolver(numerics=numerics).solve(variable).values.sum().backward()
        assert variable.grad is not None and variable.grad.dtype == structures.dtype
        gradients.append(variable.grad)
    assert (gradients[0] - gradients[1]).norm() < 0.01 * gradients[1].norm()


def test_nothing_is_recorded_without_gradient() -> None:
    assert not ElasticSolver().solve(torch.ones(1, 3, 3, 3)).values.requires_grad
