"""Refinement: no error grows, what is returned is what was solved, and constraints hold throughout."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from microwright.design.constraints import Constraints, boundary, repair
from microwright.design.refinement import RefinementNumerics, refine, select, sensitivities, solve_in_parts
from microwright.design.targets import Target, parse_target
from microwright.errors import InputError
from tests.design.toy import DivergingSolver, ToySolver, fields

SOLVER = ToySolver()
QUICK = RefinementNumerics(rounds=6)
ASKED = (
    Constraints(),
    Constraints((0.25, 0.45), 2, no_islands=True),
    Constraints(smallest_feature_px=3),
    Constraints(smallest_feature_px=2, smallest_gap_px=2),
    Constraints(symmetry="rotation_90"),
    Constraints((0.2, 0.5), 2, symmetry="mirror_x", no_enclosed_voids=True),
)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.7, 0.95), st.sampled_from(ASKED))
@example(31, 0.75, ASKED[5])  # the first of the two is not repaired, and refinement makes it satisfy
def test_no_error_grows_and_constraints_hold(seed: int, wanted: float, asked: Constraints) -> None:
    start = repair(fields(2, 24, seed), asked)
    refined = refine(start, Target.value("absorption", wanted), SOLVER, asked, QUICK)
    assert (refined.misfit <= refined.start_misfit).all()
    satisfied = asked.satisfied(refined.structures)
    assert satisfied[asked.satisfied(start)].all()
    assert torch.equal(refined.structures[~satisfied], start[~satisfied])


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["absorption=0.85, second=0.5", "max absorption", "second<=0.3"]))
def test_what_is_returned_is_what_was_solved(seed: int, text: str) -> None:
    target = parse_target(text, "absorption")
    refined = refine(fields(3, 24, seed), target, SOLVER, numerics=QUICK)
    fresh = SOLVER.solve(refined.structures).values
    assert torch.equal(refined.solution.values, fresh)
    columns = [[item.name for item in SOLVER.properties].index(name) for name in target.properties]
    assert torch.equal(refined.values, fresh[:, columns])
    assert torch.allclose(refined.misfit, target.misfit(refined.values))


def test_random_fields_reach_their_target() -> None:
    start = fields(12, 48, 5)
    wanted = float(SOLVER.solve(start).values[:, 0].mean())
    refined = refine(start, Target.value("absorption", wanted), SOLVER)
    assert refined.start_misfit.mean() > 3e-3
    assert refined.misfit.mean() < 2e-4
    assert refined.changed.mean() < 0.05
    history = np.stack([entry.misfit for entry in refined.rounds])
    assert (np.diff(history, axis=0) <= 0).all()


def test_volumes_and_several_properties() -> None:
    solver = ToySolver(dimensions=3)
    start = fields(2, 16, 2, dimensions=3)
    values = solver.solve(start).values.mean(0)
    target = parse_target(f"absorption={values[0] * 1.01}, second={values[1] * 0.98}", "absorption")
    refined = refine(start, target, solver)
    assert (refined.misfit < 0.3 * refined.start_misfit).all()


def test_an_extreme_is_pushed() -> None:
    start = fields(3, 32, 1)
    before = SOLVER.solve(start).values[:, 0]
    assert (refine(start, parse_target("max absorption", ""), SOLVER).values[:, 0] > before + 0.005).all()
    assert (refine(start, parse_target("min absorption", ""), SOLVER).values[:, 0] < before - 0.005).all()


def test_only_boundaries_move() -> None:
    start = fields(4, 48, 3)
    refined = refine(start, Target.value("absorption", 0.9), SOLVER, numerics=RefinementNumerics(rounds=2))
    for before, after in zip(start.numpy() > 0.5, refined.structures.numpy() > 0.5, strict=True):
        near = boundary(before, periodic=True)
        for _ in range(12):  # as many layers as one round has passes
            near = near | boundary(near, periodic=True)
        assert not ((before != after) & ~near).any()


def test_the_change_is_bounded() -> None:
    numerics = RefinementNumerics(largest_change=0.01)
    refined = refine(fields(3, 32, 4), Target.value("absorption", 0.2), SOLVER, numerics=numerics)
    assert (refined.changed <= 0.01 + 12 / 32**2).all()


def test_unconverged_values_are_never_accepted() -> None:
    start = fields(2, 24)
    refined = refine(start, Target.value("absorption", 0.9), DivergingSolver(), numerics=QUICK)
    assert torch.equal(refined.structures, start)
    assert torch.isinf(refined.misfit).all()


def test_an_offset_is_added_to_the_solver() -> None:
    start, offset = fields(4, 32), torch.full((4, 1), 0.03, dtype=torch.float64)
    wanted = float(SOLVER.solve(start).values[:, 0].mean()) + 0.035
    refined = refine(start, Target.value("absorption", wanted), SOLVER, offset=offset)
    assert torch.allclose(refined.values - refined.solution.values[:, :1], offset)
    assert (refined.misfit < 2e-3).all()


def test_an_interrupt_leaves_the_last_solved_state() -> None:
    def stop(number: int, misfit: torch.Tensor) -> None:
        if number == 2:
            raise KeyboardInterrupt

    refined = refine(fields(3, 32), Target.value("absorption", 0.9), SOLVER, progress=stop)
    assert refined.interrupted and len(refined.rounds) == 2
    assert torch.equal(refined.solution.values, SOLVER.solve(refined.structures).values)


def test_threads_change_nothing() -> None:
    start = fields(5, 24)
    one, two = (solve_in_parts(SOLVER, start, workers).values for workers in (1, 2))
    assert torch.equal(one, two)
    solution, slopes = sensitivities(SOLVER, start, [0, 1], 2)
    assert torch.equal(solution.values, one)
    assert slopes.shape == (5, 2, 24, 24)


def test_sensitivities_are_derivatives() -> None:
    start = 0.2 + 0.6 * fields(1, 16)
    _, slopes = sensitivities(SOLVER, start, [1], 1)
    step = torch.zeros_like(start)
    step[0, 3, 7] = 1e-5
    difference = (SOLVER.solve(start + step).values - SOLVER.solve(start - step).values)[0, 1] / 2e-5
    assert float(slopes[0, 0, 3, 7]) == pytest.approx(float(difference), rel=1e-6)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 40))
def test_a_selection_ends_where_no_single_move_helps(seed: int, most: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    benefits = torch.randn(60, 2, generator=generator, dtype=torch.float64) * 0.01
    target = parse_target("a=0.6, b>=0.5", "a")
    values = torch.tensor([0.5, 0.45], dtype=torch.float64)
    chosen = select(values, benefits, target, most)
    after = values + benefits[chosen].sum(0)
    assert len(chosen) <= most and len(set(chosen.tolist())) == len(chosen)
    assert target.misfit(after) <= target.misfit(values)
    if len(chosen) < most:
        rest = [i for i in range(60) if i not in set(chosen.tolist())]
        assert (target.misfit(after + benefits[rest]) >= target.misfit(after) - 1e-12).all()


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match="binary"):
        refine(0.5 * fields(1, 16), Target.value("absorption", 0.9), SOLVER)
    with pytest.raises(InputError, match="unknown property C11"):
        refine(fields(1, 16), Target.value("C11", 30), SOLVER)
    with pytest.raises(InputError, match="aim"):
        RefinementNumerics(aim=0)
