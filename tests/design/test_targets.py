"""Targets: what is written is what is meant, and what cannot be meant is refused in one line."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from microwright.design.constraints import Constraints, constraints_of_file
from microwright.design.targets import Goal, Kind, Target, parse_target, residual_error_percentage
from microwright.errors import InputError

WRITTEN = {
    "0.65": (Goal("absorption", value=0.65),),
    " .65 ± 1e-3 ": (Goal("absorption", value=0.65, tolerance=1e-3),),
    "0.65+-1%": (Goal("absorption", value=0.65, tolerance=0.0065),),
    "0.3..0.4": (Goal("absorption", Kind.RANGE, low=0.3, high=0.4),),
    "absorption=.3...4": (Goal("absorption", Kind.RANGE, low=0.3, high=0.4),),
    "C11>=30": (Goal("C11", Kind.AT_LEAST, low=30),),
    "C11 ≤ 3e1": (Goal("C11", Kind.AT_MOST, high=30),),
    "C11<=40, C11>=30": (Goal("C11", Kind.RANGE, low=30, high=40),),
    "max absorption": (Goal("absorption", Kind.MAXIMISE),),
    "minimise nu12": (Goal("nu12", Kind.MINIMISE),),
    "absorption:0=0.2, phase_fraction=0.3..0.4": (
        Goal("absorption:0", value=0.2),
        Goal("phase_fraction", Kind.RANGE, low=0.3, high=0.4),
    ),
    "C11=8.24,C22=38.07": (Goal("C11", value=8.24), Goal("C22", value=38.07)),
}


@pytest.mark.parametrize("text", WRITTEN)
def test_what_is_written_is_what_is_meant(text: str) -> None:
    target = parse_target(text, "absorption")
    assert target.properties == tuple(goal.property for goal in WRITTEN[text])
    for goal, expected in zip(target.goals, WRITTEN[text], strict=True):
        assert goal.kind is expected.kind
        for name in ("value", "low", "high", "tolerance"):
            assert getattr(goal, name) == pytest.approx(getattr(expected, name))


@pytest.mark.parametrize(
    ("text", "said"),
    {
        "phase_fraction=0.9, phase_fraction<=0.3": "exclude each other",
        "0.5, 0.6": "exclude each other",
        "max absorption, absorption=0.3": "keep one",
        "nan": "finite",
        "inf": "finite",
        "0.4..0.3": "lower bound first",
        "phase_fraction=30": "fraction",
        "phase_fraction>=1.2": "fraction",
        "0.6±-1": "at least 0",
        "": "empty",
        "hello": "not understood",
        "a=": "not understood",
        "missing.toml": "missing.toml",
    }.items(),
)
def test_bad_targets_are_refused_in_one_line(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        parse_target(text, "absorption")
    assert "\n" not in str(caught.value)


def test_unknown_properties_and_tolerances_below_the_precision_are_refused() -> None:
    target = parse_target("absorption=0.65±1e-9", "absorption")
    with pytest.raises(InputError, match="unknown property absorption; known here: C11"):
        target.check_known(["C11"])
    with pytest.raises(InputError, match="precision"):
        target.check_precision(1e-6)
    target.check_precision(1e-12)


@given(st.floats(0.05, 2.0), st.floats(-3, 3))
def test_misfit_of_one_value_is_its_rep(wanted: float, value: float) -> None:
    misfit = Target.value("absorption", wanted).misfit(torch.tensor([[value]], dtype=torch.float64))
    assert 100 * float(misfit) == pytest.approx(
        float(residual_error_percentage(torch.tensor(value, dtype=torch.float64), wanted))
    )


@given(st.floats(-2, 2), st.floats(-2, 2), st.floats(0, 1))
def test_misfit_vanishes_exactly_inside_a_range(a: float, b: float, value: float) -> None:
    low, high = sorted((a, b))
    gap = Goal("x", Kind.RANGE, low=low, high=high).gap(torch.tensor(value, dtype=torch.float64))
    assert (float(gap) == 0) == (low <= value <= high)


@given(st.floats(-100, 100), st.floats(-100, 100))
def test_extremes_order_values(a: float, b: float) -> None:
    first, second = (Goal("x", Kind.MAXIMISE).gap(torch.tensor(v, dtype=torch.float64)) for v in (a, b))
    assert float(first) >= 0
    if a > b + 1e-6:
        assert float(first) < float(second)


@given(st.floats(0.3, 0.9), st.floats(0, 0.05), st.floats(0.5, 0.7))
def test_met_means_the_whole_interval_is_accepted(value: float, bar: float, wanted: float) -> None:
    target = Target.value("absorption", wanted, tolerance=0.02)
    values, bars = torch.tensor([[value]], dtype=torch.float64), torch.tensor([[bar]], dtype=torch.float64)
    inside = abs(value - wanted) + bar <= 0.02 + 1e-8
    assert bool(target.met(values, bars)) == inside or math.isclose(abs(value - wanted) + bar, 0.02, abs_tol=1e-7)


def test_a_bar_wider_than_the_tolerance_is_told() -> None:
    target = parse_target("0.65±0.001", "absorption")
    values = torch.tensor([[0.65], [0.65], [0.66]], dtype=torch.float64)
    bars = torch.tensor([[0.0005], [0.003], [0.0]], dtype=torch.float64)
    assert target.verdicts(values, bars) == ["met", "met, bar wider than tolerance", "missed"]


@pytest.mark.parametrize("text", WRITTEN)
def test_targets_survive_json(text: str) -> None:
    target = parse_target(text, "absorption")
    assert Target.from_spec(target.spec()) == target


def test_toml_file(tmp_path: Path) -> None:
    path = tmp_path / "long.toml"
    path.write_text(
        "[absorption]\nvalue = 0.65\ntolerance = 0.001\n[C33]\nlow = 3\n[C22]\nmaximise = true\n"
        "[constraints]\nsmallest_feature_px = 3\n"
    )
    target = parse_target(str(path), "absorption")
    assert str(target) == "absorption=0.65±0.001, C33>=3, max C22"
    assert constraints_of_file(str(path), Constraints(no_islands=True)) == Constraints(
        smallest_feature_px=3, no_islands=True
    )
    path.write_text("[absorption]\nvalues = 0.65\n")
    with pytest.raises(InputError, match="may hold"):
        parse_target(str(path), "absorption")
    path.write_text("[absorption\n")
    with pytest.raises(InputError, match="no TOML"):
        parse_target(str(path), "absorption")
