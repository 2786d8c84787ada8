"""Fabrication errors, diversity and reachability."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from microwright.design.diversity import choose_distinct, diversity, pixel_distance
from microwright.design.reachability import physical_bounds, reachability, refuse_impossible
from microwright.design.refinement import refine
from microwright.design.targets import Target, parse_target
from microwright.design.tolerance import SpreadSolver, dilated, eroded, roughened, rounded, tolerances
from microwright.errors import InputError
from microwright.physics.elasticity import ElasticSolver
from tests.design.toy import ToySolver, fields


def test_erosion_and_dilation_move_a_straight_edge_by_one_pixel() -> None:
    stripe = torch.zeros(1, 12, 12)
    stripe[:, 3:8] = 1
    assert dilated(stripe).sum() == 7 * 12
    assert eroded(stripe).sum() == 3 * 12
    assert torch.equal(rounded(stripe), stripe)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_perturbations_are_ordered_and_dual(seed: int) -> None:
    structure = fields(1, 24, seed)
    assert (eroded(structure) <= structure).all() and (structure <= dilated(structure)).all()
    assert torch.equal(eroded(1 - structure), 1 - dilated(structure))
    rough = roughened(structure, torch.Generator().manual_seed(seed))
    touched = rough != structure
    assert not (touched & (dilated(structure) == eroded(structure))).any()


def test_tolerances_are_differences_of_solves() -> None:
    structures, solver = fields(3, 24), ToySolver()
    found = tolerances(structures, solver, seed=1)
    nominal = solver.solve(structures).values
    assert torch.allclose(found.changes["erosion"], solver.solve(eroded(structures)).values - nominal)
    assert (found.spread >= found.changes["dilation"].abs()).all()
    assert torch.equal(tolerances(structures, solver, seed=1).changes["noise"], found.changes["noise"])


def test_the_spread_is_a_property_that_refinement_lowers() -> None:
    solver = SpreadSolver(ToySolver())
    start = fields(4, 32)
    moved = [ToySolver().solve(change(start)).values for change in (eroded, dilated)]
    nominal = ToySolver().solve(start).values
    expected = torch.stack([(part - nominal).square() for part in moved]).mean(0).sqrt()
    assert torch.allclose(solver.solve(start).values[:, 2:], expected, atol=1e-7)
    target = solver.steadied(Target.value("absorption", float(nominal[:, 0].mean())))
    refined = refine(start, target, solver)
    assert (refined.misfit <= refined.start_misfit).all()
    assert refined.values[:, 1].mean() < expected[:, 0].mean()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 23), st.integers(0, 23))
def test_pixel_distance_is_a_distance_of_translation_classes(seed: int, dx: int, dy: int) -> None:
    first, second = fields(2, 24, seed).split(1)
    moved = first.roll((dx, dy), (1, 2))
    assert float(pixel_distance(first, moved)) == pytest.approx(0, abs=1e-12)
    assert float(pixel_distance(first, second)) == pytest.approx(float(pixel_distance(second, moved)))
    direct = min(
        float((first != second.roll((i, j), (1, 2))).double().mean()) for i in range(0, 24, 1) for j in range(0, 24, 1)
    )
    assert float(pixel_distance(first, second)) == pytest.approx(direct, abs=1e-9)


def test_near_duplicates_are_passed_over() -> None:
    structures = fields(4, 24)
    copies = structures.roll(5, 2).clone()
    copies[:, 0, 0] = 1 - copies[:, 0, 0]
    both = torch.cat([structures, copies])
    assert choose_distinct(both, range(8), 8) == [0, 1, 2, 3]
    assert choose_distinct(both, [7, 3, 2], 2) == [7, 2]
    assert diversity(structures)["smallest_pixel_distance"] > 0.02


ELASTIC = ElasticSolver().spec()


def test_voigt_and_reuss_bound_every_stiffness() -> None:
    structures = fields(4, 12, 3, 0.4, dimensions=3)
    values = ElasticSolver(properties=("C11", "C44")).solve(structures).values
    fraction = float(structures[0].mean())
    for column, name in enumerate(("C11", "C44")):
        low, high = physical_bounds(name, ELASTIC, (fraction, fraction))
        assert ((values[:, column] > low) & (values[:, column] < high)).all()
        assert physical_bounds(name, ELASTIC)[0] < low < high < physical_bounds(name, ELASTIC)[1]


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("0.65", "inside"),
        ("absorption>=0.5", "inside"),
        ("0.82", "edge"),
        ("0.95", "outside"),
        ("1.2", "impossible"),
        ("max absorption", "inside"),
    ],
)
def test_reachability_is_told_beforehand(text: str, verdict: str) -> None:
    seen = {"absorption": torch.linspace(0.3, 0.8, 101)}
    (found,) = reachability(parse_target(text, "absorption"), seen, {})
    assert found.verdict == verdict
    assert found.seen == pytest.approx((0.3, 0.8))
    if verdict == "impossible":
        assert found.nearest == pytest.approx(0.8)
        with pytest.raises(InputError, match="0 to 1; nearest seen: 0.8"):
            refuse_impossible([found])


def test_a_fraction_narrows_what_a_stiffness_can_be() -> None:
    target = parse_target("C11=100, phase_fraction=0.2..0.4", "C11")
    stiffness, fraction = reachability(target, {}, ELASTIC)
    assert stiffness.verdict == "impossible" and fraction.verdict == "inside"
    assert math.isnan(fraction.near) and "no labelled values" in str(fraction)
