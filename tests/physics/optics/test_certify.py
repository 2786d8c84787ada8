"""Certification: orders found in sequences that have them, bars that hold, honesty when the effort is not enough."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from microwright.errors import InputError
from microwright.physics.optics import OpticalCell, PatternedLayer, RcwaNumerics, RcwaSolver, StaggeredNumerics
from microwright.physics.optics.certify import Effort, certify, dense_estimate, extrapolate, observed_order
from microwright.physics.property import Status

CELL = OpticalCell(600.0, 500.0, (PatternedLayer(100.0, 1.0, 2.0 + 0.2j),), substrate=1.5)
SMALL = Effort(harmonics=(25, 49, 81))
PIXELS = 16


def blocks(count: int, seed: int = 0) -> torch.Tensor:
    """Structures of 4 × 4 pixel blocks."""
    generator = torch.Generator().manual_seed(seed)
    coarse = (torch.rand(count, PIXELS // 4, PIXELS // 4, generator=generator) > 0.5).double()
    return coarse.repeat_interleave(4, 1).repeat_interleave(4, 2)


@given(order=st.floats(1, 2), limit=st.floats(-1, 1), size=st.floats(-0.5, 0.5).filter(lambda c: abs(c) > 1e-3))
@settings(max_examples=40, deadline=None)
def test_extrapolation_finds_the_limit_of_a_power_law(order, limit, size):
    values = [torch.tensor([limit + size * p**-order], dtype=torch.float64) for p in (1, 2, 3)]
    assert float(observed_order(*values)) == pytest.approx(order, abs=0.011)
    value, bar = extrapolate(values)
    assert float(value) == pytest.approx(limit, abs=0.02 * abs(size))
    assert abs(float(values[2]) - limit) <= float(bar) * 1.1
    two, bar_of_two = extrapolate(values[:2])
    assert abs(float(two) - limit) <= float(bar_of_two)


def test_orders_are_held_within_bounds():
    one = torch.tensor([0.0, 0.0, 0.0, 0.0])
    two = torch.tensor([1.0, 1.0, 1.0, 0.0])
    three = torch.tensor([2.0, 1.001, 0.5, 0.0])
    assert observed_order(one, two, three).tolist() == [1.0, 2.0, 1.0, 1.0]


def test_bars_hold_and_engines_agree():
    structures = blocks(3)
    loose = certify(CELL, ("absorption",), structures, 0.02, SMALL)
    tight = certify(
        CELL, ("absorption",), structures, 0.002, replace(SMALL, staggered=StaggeredNumerics(tolerance=1e-3))
    )
    assert bool((loose.status == Status.CONVERGED).all() & (loose.error_bar <= 0.02).all())
    assert bool((tight.status == Status.CONVERGED).all() & (tight.error_bar <= 0.002).all())
    assert bool(((loose.values - tight.values).abs() <= loose.error_bar).all())
    dense = RcwaSolver(CELL, RcwaNumerics(harmonics=225)).solve(structures).values
    assert bool(((dense - tight.values).abs() < 0.01).all())
    assert bool((tight.iterations > loose.iterations).all())


def test_says_when_the_bar_stays_too_wide():
    solution = certify(CELL, ("absorption",), blocks(2), 1e-7, replace(SMALL, points_per_pixel=(1, 2)))
    assert solution.status.tolist() == [Status.NOT_CONVERGED] * 2
    assert bool((solution.error_bar > 1e-7).all() & (solution.error_bar < 0.05).all())


def test_the_dense_engine_stands_in_where_the_iteration_fails():
    effort = replace(SMALL, staggered=StaggeredNumerics(max_iterations=4))
    structures = blocks(2)
    solution = certify(CELL, ("absorption",), structures, 1e-6, effort)
    dense = RcwaSolver(CELL, RcwaNumerics(harmonics=81)).solve(structures).values
    torch.testing.assert_close(solution.values, dense, rtol=0, atol=1e-5)
    assert solution.status.tolist() == [Status.NOT_CONVERGED] * 2
    assert bool((certify(CELL, ("absorption",), structures, 0.9, effort).status == Status.CONVERGED).all())


def test_disagreement_widens_the_bar(monkeypatch):
    """Engines that contradict each other: the bar covers both and the status says so."""
    from microwright.physics.optics import certify as module

    true_dense = module._dense

    def wrong(cell, properties, numerics, formulation):
        return true_dense(replace(cell, substrate=3.0), properties, numerics, formulation)

    structures = blocks(1)
    fair = certify(CELL, ("reflectance",), structures, 0.005, SMALL)
    monkeypatch.setattr(module, "_dense", wrong)
    solution = certify(CELL, ("reflectance",), structures, 0.005, SMALL)
    other = wrong(CELL, ("reflectance",), RcwaNumerics(harmonics=81), "li").solve(structures).values
    assert int(fair.status) == Status.CONVERGED
    assert int(solution.status) == Status.NOT_CONVERGED
    assert float(solution.error_bar) >= float((solution.values - other).abs()) - 1e-5


def test_all_properties_at_once():
    names = ("absorption", "reflectance", "transmittance")
    solution = certify(CELL, names, blocks(1), 0.01, SMALL)
    assert solution.values.shape == solution.error_bar.shape == (1, 3)
    assert float(solution.values.sum()) == pytest.approx(1, abs=1e-4)


def test_solvers_certify():
    from microwright.physics.optics import StaggeredSolver

    by_staggered = StaggeredSolver(CELL).certify(blocks(1), 0.02)
    by_dense = RcwaSolver(CELL).certify(blocks(1), 0.02)
    assert int(by_staggered.status) == int(by_dense.status) == Status.CONVERGED
    torch.testing.assert_close(by_staggered.values, by_dense.values)


def test_what_the_second_engine_cannot_do_has_the_dense_engines_bar():
    two = replace(CELL, layers=CELL.layers * 2)
    solver = RcwaSolver(two, RcwaNumerics(harmonics=25))
    loose, tight = (solver.certify(blocks(1), tolerance) for tolerance in (1.0, 1e-3))
    torch.testing.assert_close(loose.values, solver.solve(blocks(1)).values, rtol=0, atol=1e-6)
    assert int(loose.status) == Status.CONVERGED and int(tight.status) == Status.NOT_CONVERGED
    assert bool((tight.error_bar <= loose.error_bar).all() & (tight.error_bar > 1e-3).all())


def test_fast_bar_holds_and_keeps_the_gradient():
    structures = blocks(3, seed=2).requires_grad_()
    estimate = dense_estimate(CELL, ("absorption",), structures, RcwaNumerics(harmonics=81))
    true = certify(CELL, ("absorption",), structures.detach(), 0.003, SMALL)
    assert bool(((estimate.value - true.values).abs() <= estimate.bar + true.error_bar).all())
    assert not estimate.bar.requires_grad
    assert float(torch.autograd.grad(estimate.value.sum(), structures)[0].abs().max()) > 0


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: certify(CELL, ("absorption",), blocks(1), 0.0), "tolerance"),
        (lambda: certify(CELL, ("absorption",), blocks(1)[0], 0.01), "axes"),
        (lambda: Effort(points_per_pixel=(2, 3)), "points_per_pixel"),
        (lambda: Effort(harmonics=(121, 49)), "harmonics"),
    ],
)
def test_bad_input_is_named(call, word):
    with pytest.raises(InputError, match=word):
        call()
