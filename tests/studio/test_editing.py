"""Pixels under the brush, and what is said of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from microwright.errors import InputError
from microwright.physics.elasticity import ElasticPhases, ElasticSolver
from microwright.studio import editing
from microwright.studio.editing import Edited
from microwright.studio.session import Structure
from microwright.studio.widgets import packed, unpacked

BINARY = arrays(np.uint8, array_shapes(min_dims=2, max_dims=3, min_side=2, max_side=9), elements=st.integers(0, 1))


@pytest.fixture
def edited() -> Edited:
    phase = np.zeros((8, 8), np.uint8)
    phase[2:6, 1:5] = 1
    solver = ElasticSolver(ElasticPhases((10.0, 20.0)), properties=("C11", "C12"), dimensions=2)
    return Edited(Structure("test", phase, solver), phase.copy())


def test_prediction_of_a_small_change_is_near_and_on_the_right_side(edited, job):
    edited.solve(job)
    before = edited.solution.values[0].detach().numpy()
    changed = edited.phase.copy()
    changed[3, 5] = 1
    edited.change(changed)
    predicted = edited.predicted
    edited.solve(job)
    after = edited.solution.values[0].detach().numpy()
    assert after[0] > before[0] and predicted[0] > before[0]
    assert abs(predicted[0] - after[0]) < 0.7 * abs(after[0] - before[0])


def test_no_change_is_predicted_exactly(edited, job):
    edited.solve(job)
    edited.change(1 - edited.phase)
    edited.undo()
    assert np.allclose(edited.predicted, edited.solution.values[0].detach().numpy())


def test_undo_goes_back_and_ends(edited):
    before = edited.phase
    edited.change(editing.grown(edited.phase))
    edited.undo()
    assert edited.phase is before
    with pytest.raises(InputError, match="nothing was changed"):
        edited.undo()


def test_another_grid_has_no_prediction(edited, job):
    edited.solve(job)
    edited.change(editing.tiled(edited.phase, 2))
    assert edited.predicted is None


def test_tiling_keeps_elastic_properties(edited, job):
    edited.solve(job)
    before = edited.solution.values[0].detach().numpy()
    edited.change(editing.tiled(edited.phase, 2))
    edited.solve(job)
    assert np.allclose(edited.solution.values[0].detach().numpy(), before, rtol=1e-3)


@given(BINARY)
def test_erosion_and_dilation_bound_the_structure(phase):
    assert (editing.shrunk(phase) <= phase).all() and (phase <= editing.grown(phase)).all()


@given(BINARY)
def test_threshold_without_smoothing_changes_nothing(phase):
    assert np.array_equal(editing.smoothed(phase, 0.0, 0.5), phase)


@given(BINARY)
def test_what_the_browser_gets_comes_back(phase):
    assert np.array_equal(unpacked(packed(phase), phase.shape), phase)


@pytest.mark.parametrize("value", [None, {}, {"shape": [4, 4], "bits": "?"}, {"shape": [4, 5], "bits": "AAA="}])
def test_damaged_pixels_are_refused(value):
    with pytest.raises(InputError, match="does not fit"):
        unpacked(value, (4, 4))


@pytest.mark.parametrize("times", [0, 100])
def test_too_many_tiles_are_refused(times):
    with pytest.raises(InputError, match="copies"):
        editing.tiled(np.zeros((64, 64), np.uint8), times)
