"""Constraints: the checks against their definitions, and the projection against the checks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import ndarray

from microwright.design.constraints import (
    SYMMETRIES,
    Constraints,
    additions,
    apply_legal,
    centres,
    disc,
    loose_components,
    opened,
    pixels_of,
    removals,
    repair,
)
from microwright.errors import InputError
from tests.design.toy import fields

SEEDS = st.integers(0, 10**6)


def structure(seed: int, size: int = 24, fraction: float = 0.4) -> ndarray:
    return fields(1, size, seed, fraction)[0].numpy() > 0.5


def union_of_discs(marks: ndarray, diameter: int) -> ndarray:
    """The definition: a disc at every mark, one by one, round the cell."""
    result = np.zeros_like(marks)
    offsets = np.argwhere(disc(diameter, marks.ndim)) - diameter // 2
    for mark in np.argwhere(marks):
        result[tuple(((mark + offsets) % np.array(marks.shape)).T)] = True
    return result


@pytest.mark.parametrize(("diameter", "pixels"), [(1, 1), (2, 4), (3, 9), (4, 12), (5, 21)])
def test_disc_holds_the_pixels_within_its_radius(diameter: int, pixels: int) -> None:
    assert disc(diameter, 2).sum() == pixels
    assert np.array_equal(disc(diameter, 2), disc(diameter, 2).T[::-1])


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(1, 5))
def test_opening_is_the_union_of_the_discs_inside(seed: int, diameter: int) -> None:
    phase = structure(seed)
    result = opened(phase, diameter, periodic=True)
    assert np.array_equal(result, union_of_discs(centres(phase, diameter, True), diameter))
    assert not (result & ~phase).any()
    assert np.array_equal(opened(result, diameter, True), result)


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.integers(-30, 30), st.integers(-30, 30))
def test_checks_do_not_depend_on_the_origin(seed: int, dx: int, dy: int) -> None:
    asked = Constraints((0.3, 0.5), 3, 2, no_islands=True, no_enclosed_voids=True)
    phase = structure(seed)
    assert asked.violations(phase) == asked.violations(np.roll(phase, (dx, dy), (0, 1)))


def test_what_wraps_round_the_cell_is_attached() -> None:
    grid = np.zeros((12, 12), dtype=bool)
    stripe, block, diagonal = grid.copy(), grid.copy(), grid.copy()
    stripe[:, 3:6] = True
    block[10:12, 8:10] = block[0:2, 8:10] = True  # one piece across the cell's face, yet finite
    for i in range(12):
        diagonal[i, i] = diagonal[i, (i + 1) % 12] = True  # winds round both axes
    assert loose_components(stripe, True)[1] == []
    assert len(loose_components(block, True)[1]) == 1
    assert loose_components(diagonal, True)[1] == []
    assert len(loose_components(stripe | block, True)[1]) == 1
    assert len(loose_components(stripe | block, False)[1]) == 2  # all but the largest


def test_a_corner_contact_attaches_nothing() -> None:
    phase = np.zeros((8, 8), dtype=bool)
    phase[:, 2] = True
    phase[4:6, 3:5] = True
    assert Constraints(no_islands=True).violations(phase) == []
    phase[4:6, 3:5] = False
    phase[:, 2] = False
    phase[np.arange(8), np.arange(8)] = True
    assert Constraints(no_islands=True).violations(phase) == ["8 islands"]


def test_each_violation_is_named() -> None:
    phase = np.zeros((16, 16), dtype=bool)
    phase[3:5, 3:9] = True
    asked = Constraints((0.3, 0.5), 3, 1, no_islands=True, symmetry="mirror_x")
    said = "; ".join(asked.violations(phase))
    for word in ("phase fraction 0.0469", "12 pixels in a feature narrower than 3", "1 islands", "symmetry mirror_x"):
        assert word in said
    assert Constraints(no_enclosed_voids=True).violations(~phase) == ["1 enclosed voids"]


@pytest.mark.parametrize(
    "asked",
    [
        Constraints((0.3, 0.35), 3, no_islands=True),
        Constraints((0.3, 0.4), 2, 2),
        Constraints(smallest_feature_px=3, smallest_gap_px=3),
        Constraints(smallest_feature_px=2, no_islands=True, symmetry="rotation_90"),
        Constraints((0.4, 0.6), no_enclosed_voids=True, symmetry="mirror_xy"),
        Constraints(smallest_feature_px=3, periodic=False),
    ],
    ids=str,
)
def test_most_structures_can_be_repaired(asked: Constraints) -> None:
    structures = fields(8, 32, 3, 0.38)
    mended = repair(structures, asked)
    assert asked.satisfied(mended).sum() >= 7
    assert ((mended == 0) | (mended == 1)).all()


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.sampled_from(SYMMETRIES), st.integers(1, 3), st.booleans())
def test_repairing_twice_is_repairing_once(seed: int, symmetry: str, feature: int, islands: bool) -> None:
    asked = Constraints((0.2, 0.6), feature, no_islands=islands, symmetry=symmetry)
    once = repair(fields(1, 24, seed), asked)
    if not asked.violations(once[0]):
        assert torch.equal(repair(once, asked), once)


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.integers(1, 3), st.integers(1, 2), st.sampled_from(("none", "mirror_x", "rotation_180")))
def test_moves_never_break_what_holds(seed: int, feature: int, gap: int, symmetry: str) -> None:
    asked = Constraints((0.2, 0.6), feature, gap, no_islands=True, symmetry=symmetry)
    phase = repair(fields(1, 24, seed), asked)[0].numpy() > 0.5
    if asked.violations(phase):
        return
    random = np.random.default_rng(seed)
    for moves in (additions(phase, asked), removals(phase, asked)):
        places = np.flatnonzero(moves.legal)
        chosen = random.choice(places, min(6, len(places)), replace=False)
        moved = apply_legal(phase, asked, [(moves.at(i), moves.value) for i in chosen])
        assert asked.violations(moved) == []


def test_impossible_constraints_are_refused() -> None:
    for bad, said in (
        ({"phase_fraction": (0.4, 0.3)}, "lower bound first"),
        ({"smallest_feature_px": 0}, "at least 1"),
        ({"symmetry": "spiral"}, "unknown"),
    ):
        with pytest.raises(InputError, match=said):
            Constraints(**bad)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="third of a cell"):
        Constraints(smallest_feature_px=20).check_grid((32, 32))
    with pytest.raises(InputError, match="square"):
        Constraints(symmetry="rotation_90").check_grid((32, 16))
    with pytest.raises(InputError, match="no whole number"):
        Constraints((0.3001, 0.3002)).check_grid((8, 8))
    with pytest.raises(InputError, match="binary"):
        Constraints().violations(torch.full((4, 4), 0.5))


def test_nanometres_become_enough_pixels() -> None:
    assert pixels_of(37.5, 800.0, 64) == 3
    assert pixels_of(37.6, 800.0, 64) == 4
    with pytest.raises(InputError):
        pixels_of(-1, 800.0, 64)


def test_volumes() -> None:
    asked = Constraints((0.3, 0.4), 2, no_islands=True)
    mended = repair(fields(2, 16, 1, 0.35, dimensions=3), asked)
    assert asked.satisfied(mended).all()


def test_constraints_survive_json() -> None:
    asked = Constraints((0.3, 0.4), 2, 3, True, False, "mirror_x")
    assert Constraints.from_spec(asked.spec()) == asked
