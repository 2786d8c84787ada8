"""Solvers of complex systems: against direct solves, at breakdowns, and honest when they fail."""

from __future__ import annotations

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from microwright.physics.krylov import Watch, conjugate_residuals, stabilised_biconjugate_gradients

METHODS = [conjugate_residuals, stabilised_biconjugate_gradients]


def systems(batch: int, size: int, seed: int, symmetric: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
    """Well-conditioned matrices, of spectrum around 1, and right-hand sides."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(batch, size, size, dtype=torch.complex128, generator=generator) / size**0.5
    noise = (noise + noise.transpose(1, 2)) / 2 if symmetric else noise
    rhs = torch.randn(batch, size, dtype=torch.complex128, generator=generator)
    return torch.eye(size) + 0.35 * noise, rhs


def product(matrices: torch.Tensor):
    return lambda x: (matrices @ x[..., None])[..., 0]


@pytest.mark.parametrize("method", METHODS)
@example(seed=1, size=1, batch=3)
@given(seed=st.integers(0, 10**6), size=st.integers(1, 30), batch=st.integers(1, 4))
@settings(max_examples=20, deadline=None)
def test_equals_direct_solve(method, seed, size, batch):
    matrices, rhs = systems(batch, size, seed)
    solution = method(product(matrices), rhs, tolerance=1e-10, max_iterations=400)
    assert bool(solution.converged.all())
    torch.testing.assert_close(solution.x, torch.linalg.solve(matrices, rhs), rtol=0, atol=1e-7)


def test_general_systems():
    matrices, rhs = systems(3, 25, 1, symmetric=False)
    solution = stabilised_biconjugate_gradients(product(matrices), rhs, tolerance=1e-10, max_iterations=300)
    torch.testing.assert_close(solution.x, torch.linalg.solve(matrices, rhs), rtol=0, atol=1e-8)


@pytest.mark.parametrize("method", METHODS)
def test_residual_is_that_of_the_solution(method):
    matrices, rhs = systems(3, 25, 2)
    solution = method(product(matrices), rhs, tolerance=1e-3, max_iterations=300)
    residual = (rhs - product(matrices)(solution.x)).norm(dim=1) / rhs.norm(dim=1)
    torch.testing.assert_close(solution.residual, residual)


@pytest.mark.parametrize("method", METHODS)
def test_each_system_of_a_batch_stops_by_itself(method):
    matrices, rhs = systems(2, 25, 3)
    matrices[0] = torch.eye(25)
    together = method(product(matrices), rhs, tolerance=1e-9, max_iterations=300)
    alone = method(product(matrices[1:]), rhs[1:], tolerance=1e-9, max_iterations=300)
    assert together.iterations[0] < together.iterations[1] == alone.iterations[0]
    torch.testing.assert_close(together.x[1], alone.x[0])
    torch.testing.assert_close(together.x[0], rhs[0])


@pytest.mark.parametrize("method", METHODS)
def test_says_when_it_has_not_converged(method):
    matrices, rhs = systems(2, 25, 4)
    solution = method(product(matrices), rhs, tolerance=1e-12, max_iterations=8)
    assert not bool(solution.converged.any())
    assert bool((solution.residual > 1e-12).all())
    assert bool((solution.iterations <= 8).all())


@pytest.mark.parametrize("method", METHODS)
def test_breakdown_is_no_nan(method):
    """An isotropic right-hand side of the exchange matrix: (r, A r) vanishes at once."""
    matrices = torch.tensor([[[1, 0], [0, -1]]], dtype=torch.complex128)
    rhs = torch.tensor([[1, 1]], dtype=torch.complex128)
    solution = method(product(matrices), rhs, tolerance=1e-10, max_iterations=40)
    assert bool(torch.isfinite(solution.x).all())
    exact = (solution.x - torch.tensor([[1, -1]])).abs().max() < 1e-8
    assert bool(exact) == bool(solution.converged.all())


@pytest.mark.parametrize("method", METHODS)
def test_zero_right_hand_side(method):
    matrices, rhs = systems(2, 5, 5)
    rhs[0] = 0
    solution = method(product(matrices), rhs, tolerance=1e-9, max_iterations=100)
    assert bool(solution.converged.all())
    assert float(solution.x[0].abs().max()) == 0


@pytest.mark.parametrize("method", METHODS)
def test_a_good_guess_costs_nothing(method):
    matrices, rhs = systems(2, 25, 6)
    exact = torch.linalg.solve(matrices, rhs)
    assert int(method(product(matrices), rhs, tolerance=1e-9, max_iterations=100, guess=exact).iterations.max()) == 0


@pytest.mark.parametrize("method", METHODS)
def test_watched_value_ends_the_iteration_earlier(method):
    matrices, rhs = systems(2, 60, 7)
    matrices = matrices + torch.diag(torch.linspace(0, 30, 60, dtype=torch.float64))
    watch = Watch(lambda x: x.abs().square().sum(1), tolerance=1e-3, slack=1e6)
    plain = method(product(matrices), rhs, tolerance=1e-10, max_iterations=400)
    watched = method(product(matrices), rhs, tolerance=1e-10, max_iterations=400, watch=watch)
    assert bool(watched.converged.all())
    assert bool((watched.iterations < plain.iterations).all())
    torch.testing.assert_close(watch.value(watched.x), watch.value(plain.x), rtol=0, atol=1e-2)


def test_single_precision_reaches_its_limit():
    matrices, rhs = systems(2, 40, 8)
    solution = conjugate_residuals(
        product(matrices.to(torch.complex64)), rhs.to(torch.complex64), tolerance=2e-6, max_iterations=400
    )
    assert bool(solution.converged.all())
    torch.testing.assert_close(solution.x.to(torch.complex128), torch.linalg.solve(matrices, rhs), rtol=0, atol=1e-4)
