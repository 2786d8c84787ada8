"""A cell recognised as materials."""

from __future__ import annotations

import pytest

from microwright.physics.optics import default_cell
from microwright.physics.optics.cell import MIRROR, Film, OpticalCell
from microwright.physics.optics.dispersion import dispersive, medium_of, tabulated_range
from microwright.physics.optics.materials import BUILT_IN, material


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_built_in_material_is_recognised(name):
    assert medium_of(material(name).index(670.0), 670.0) == name


def test_an_unknown_index_stays_a_number():
    assert medium_of(1.7 + 0.3j, 670.0) == 1.7 + 0.3j


def test_default_cell_comes_back_at_its_own_wavelength():
    cell, again = default_cell(), dispersive(default_cell()).at(670.0)
    assert again.period_nm == cell.period_nm and again.layers[0].thickness_nm == cell.layers[0].thickness_nm
    assert again.layers[0].index_high == pytest.approx(cell.layers[0].index_high, rel=1e-3)
    assert again.substrate == pytest.approx(cell.substrate, rel=1e-3)


def test_range_is_what_all_tables_share():
    low, high = tabulated_range(dispersive(default_cell()))
    tables = [material(name).wavelengths_nm for name in ("MAPbI3", "Ag")]
    assert low == max(table[0] for table in tables) and high == min(table[-1] for table in tables)


def test_numbers_and_mirrors_go_with_every_wavelength():
    stack = dispersive(OpticalCell(500.0, 300.0, (Film(50.0, 1.7),), substrate=MIRROR))
    assert tabulated_range(stack) == (1.0, float("inf"))
    assert stack.at(900.0).layers[0].index == 1.7
