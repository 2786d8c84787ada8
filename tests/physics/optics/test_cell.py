"""What a cell accepts, what it refuses, and that it survives JSON."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microwright.errors import InputError
from microwright.physics.optics import MIRROR, Film, OpticalCell, PatternedLayer, default_cell

INDEX = st.builds(complex, st.floats(0.1, 5), st.floats(0, 5))
LENGTH = st.floats(1, 5000)
LAYER = st.builds(Film, LENGTH, INDEX) | st.builds(PatternedLayer, LENGTH, INDEX, INDEX, st.integers(0, 3))
CELL = st.builds(
    OpticalCell,
    wavelength_nm=LENGTH,
    period_nm=LENGTH,
    layers=st.lists(LAYER, min_size=1, max_size=4).map(tuple),
    superstrate=st.floats(1, 3),
    substrate=st.just(MIRROR) | INDEX,
    theta_deg=st.floats(0, 89.9),
    phi_deg=st.floats(-360, 360),
    polarisation=st.sampled_from(["x", "y", "p", "s", "unpolarised"]),
)


@given(CELL)
def test_json_round_trip(cell: OpticalCell) -> None:
    assert OpticalCell.from_json(json.loads(json.dumps(cell.to_json()))) == cell
    assert OpticalCell.from_json(json.dumps(cell.to_json())) == cell


@given(CELL)
def test_incident_light_is_transverse_and_of_unit_length(cell: OpticalCell) -> None:
    theta, phi = math.radians(cell.theta_deg), math.radians(cell.phi_deg)
    direction = (math.sin(theta) * math.cos(phi), math.sin(theta) * math.sin(phi), math.cos(theta))
    fields = np.array(cell.incident_fields)
    np.testing.assert_allclose(fields @ direction, 0, atol=1e-12)
    np.testing.assert_allclose(fields @ fields.T, np.eye(len(fields)), atol=1e-12)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("wavelength_nm", 0.0),
        ("wavelength_nm", math.nan),
        ("period_nm", -400.0),
        ("layers", ()),
        ("layers", ("glass",)),
        ("superstrate", 1.5 + 0.1j),
        ("substrate", 1.5 - 0.1j),
        ("substrate", complex(math.nan, 0)),
        ("substrate", 0),
        ("theta_deg", 90.0),
        ("theta_deg", -1.0),
        ("phi_deg", math.inf),
        ("polarisation", "circular"),
    ],
)
def test_a_bad_field_is_named_in_one_line(field: str, value: object) -> None:
    with pytest.raises(InputError, match=f"^{field}") as refused:
        replace(default_cell(), **{field: value})
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"thickness_nm": -1.0}, "thickness_nm"),
        ({"thickness_nm": math.nan}, "thickness_nm"),
        ({"index_low": 1 - 0.1j}, "index_low: .*gain"),
        ({"index_high": complex(2, math.inf)}, "index_high"),
        ({"channel": -1}, "channel"),
    ],
)
def test_a_bad_layer_is_named(fields: dict[str, object], named: str) -> None:
    good = {"thickness_nm": 100.0, "index_low": 1.0, "index_high": 2.0}
    with pytest.raises(InputError, match=f"^{named}"):
        PatternedLayer(**{**good, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "content",
    [
        "not JSON",
        "[1]",
        {"wavelength_nm": 600},
        {**default_cell().to_json(), "colour": 1},
        {**default_cell().to_json(), "substrate": 1.5},
    ],
)
def test_damaged_json_is_refused(content: object) -> None:
    with pytest.raises(InputError):
        OpticalCell.from_json(content)  # type: ignore[arg-type]
