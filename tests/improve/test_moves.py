"""Moves keep what they promise: boundaries only, exact counts, paths between two structures, sums of known moves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microwright.improve.moves import crossings, first_flipped, level_field, level_moves, random_field, recombinations
from tests.improve.toy_calls import POOL

STRUCTURE = POOL.samples(0, 1).structures[0].numpy().astype(np.uint8)
OTHER = POOL.samples(1, 2).structures[0].numpy().astype(np.uint8)


def ball(*grid: int, radius: float) -> np.ndarray:
    centred = np.meshgrid(*[np.arange(n) - n // 2 for n in grid], indexing="ij")
    return (sum(x**2 for x in centred) <= radius**2).astype(np.uint8)


@given(st.integers(0, 2**32 - 1), st.sampled_from([(9, 12), (16, 16), (6, 7, 8)]), st.floats(0.0, 1.0))
@settings(max_examples=30, deadline=None)
def test_the_level_field_tells_the_phases(seed, grid, share):
    structure = (np.random.default_rng(seed).random(grid) < share).astype(np.uint8)
    np.testing.assert_array_equal(level_field(structure) > 0, structure == 1)


def test_the_level_field_is_the_distance_and_has_no_origin():
    disc = ball(24, 24, radius=6)
    assert level_field(disc)[12, 12] == pytest.approx(6.0, abs=0.5)
    shifted = np.roll(disc, (11, 7), (0, 1))
    np.testing.assert_allclose(level_field(shifted), np.roll(level_field(disc), (11, 7), (0, 1)), atol=1e-12)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_uniform_velocity_dilates_or_erodes(sign):
    disc = ball(24, 24, radius=6)
    ring = first_flipped(level_field(disc), np.full((24, 24), float(sign)), 20)
    assert ring.sum() >= 20
    # layer by layer: pixels that touch the other phase, none beyond
    assert np.abs(level_field(disc)[ring]).max() < 1.0
    assert (disc[ring] == (sign < 0)).all()


def test_level_moves_flip_as_many_pixels_as_asked():
    random = np.random.default_rng(0)
    found = level_moves(STRUCTURE, 40, (1 / 256, 0.1), random)
    changed = np.array([(move != STRUCTURE).sum() for move in found])
    assert len(found) > 30 and changed.min() == 1 and 15 < changed.max() <= 30


def test_a_structure_of_one_phase_has_no_moves():
    assert level_moves(np.zeros((8, 8), np.uint8), 5, (0.01, 0.1), np.random.default_rng(0)) == []


def test_crossings_lie_between_their_ends():
    found = crossings(STRUCTURE, OTHER, 12, np.random.default_rng(1))
    same = STRUCTURE == OTHER
    for crossed in found:
        np.testing.assert_array_equal(crossed[same], STRUCTURE[same])
        assert 0 < (crossed != STRUCTURE).sum() < (~same).sum()
    assert crossings(STRUCTURE, STRUCTURE, 3, np.random.default_rng(1)) == []


def test_recombinations_make_known_moves_together():
    kin = []
    for row in range(4):
        other = STRUCTURE.copy()
        other[row, :2] = 1 - other[row, :2]
        kin.append(other)
    for combined in recombinations(STRUCTURE, kin, 20, np.random.default_rng(2)):
        changed = (combined != STRUCTURE).sum(1)
        assert set(changed) == {0, 2} and changed[4:].sum() == 0 and 2 <= (changed > 0).sum() <= 3
    assert recombinations(STRUCTURE, kin[:1], 5, np.random.default_rng(2)) == []


def test_random_fields_are_smooth_over_their_length():
    rough, smooth = (random_field((32, 32), length, np.random.default_rng(3)) for length in (0.0, 3.0))
    assert smooth.std() == pytest.approx(1.0) and rough.std() == pytest.approx(1.0)
    assert np.abs(np.diff(smooth, axis=0)).mean() < 0.4 * np.abs(np.diff(rough, axis=0)).mean()
