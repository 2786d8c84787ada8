"""Improvement towards a target by its integral, and a search that finds, restarts and refuses."""

import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from microwright.errors import InputError

pytest.importorskip("botorch")

from microwright.methods.target_improvement import SMALLEST_SHARE, log_target_improvement  # noqa: E402
from microwright.methods.target_search import (  # noqa: E402
    Evaluations,
    SearchSettings,
    TargetSearch,
    sobol_points,
)

TARGET = 0.62
SETTINGS = SearchSettings(initial=20, iterations=4, refit_every=3, candidates=32, ascent=15)


def closed_form(offset: float, sigma: float, nearest: float) -> float:
    """E (b − |e|)+ = H(−b) − 2 H(0) + H(b), with H(c) = E (e − c)+ of e ~ N(offset, sigma²)."""

    def above(c: float) -> float:
        v = (offset - c) / sigma
        density = math.exp(-0.5 * v * v) / math.sqrt(2 * math.pi)
        return sigma * (density + v * 0.5 * math.erfc(-v / math.sqrt(2)))

    return above(-nearest) - 2 * above(0) + above(nearest)


@settings(max_examples=60, deadline=None)
@given(offset=st.floats(-2, 2), sigma=st.floats(0.2, 2), nearest=st.floats(0.05, 1.5))
def test_improvement_equals_its_closed_form(offset, sigma, nearest):
    spread = math.hypot(sigma, SMALLEST_SHARE * nearest)
    found = log_target_improvement(*(torch.tensor([v], dtype=torch.float64) for v in (offset, sigma)), nearest)
    assert float(found.exp()) == pytest.approx(closed_form(offset, spread, nearest), rel=1e-3, abs=1e-12)


def test_improvement_has_a_gradient_far_from_the_target():
    offset = torch.tensor([30.0], dtype=torch.float64, requires_grad=True)
    value = log_target_improvement(offset, torch.tensor([0.1], dtype=torch.float64), 0.01)
    value.backward()
    assert torch.isfinite(value).all()
    assert offset.grad < 0


def hill(point: torch.Tensor) -> float:
    return float(0.6 + 0.3 * torch.sin(5 * point[0]) * point[1])


def search(path=None, **changes) -> TargetSearch:
    points = sobol_points(SETTINGS.initial, 2, seed=1)
    initial = Evaluations(points, torch.tensor([hill(point) for point in points], dtype=torch.float64))
    arguments = {"target": TARGET, "settings": SETTINGS, "seed": 3, "path": path} | changes
    return TargetSearch(hill, initial, **arguments)


def test_the_search_stays_near_the_target():
    distance = search().run().distance(TARGET)
    assert len(distance) == SETTINGS.initial + SETTINGS.iterations
    first, later = distance.split([SETTINGS.initial, SETTINGS.iterations])
    assert later.median() < 0.1 * first.median()


def test_a_search_that_was_killed_goes_on_as_if_it_had_not(tmp_path):
    whole = search(tmp_path / "whole").run()
    lines = (tmp_path / "whole").read_text().splitlines(keepends=True)
    (tmp_path / "cut").write_text("".join(lines[:3]) + lines[3][:20])
    again = search(tmp_path / "cut").run()
    assert torch.equal(again.points, whole.points)
    assert torch.equal(again.values, whole.values)
    assert (tmp_path / "cut").read_text() == (tmp_path / "whole").read_text()


def test_a_finished_search_solves_nothing_again(tmp_path):
    first = search(tmp_path / "kept").run()
    again = search(tmp_path / "kept")
    again.evaluate = pytest.fail
    assert torch.equal(again.run().points, first.points)


@pytest.mark.parametrize("change", [{"target": 0.7}, {"seed": 4}])
def test_a_file_of_another_search_is_said(tmp_path, change):
    search(tmp_path / "kept").run()
    with pytest.raises(InputError, match="belongs to another search"):
        search(tmp_path / "kept", **change).run()


def test_a_damaged_file_is_said(tmp_path):
    (tmp_path / "kept").write_text(json.dumps({"target": TARGET})[:-2] + "\n")
    with pytest.raises(InputError, match="is damaged"):
        search(tmp_path / "kept").run()
