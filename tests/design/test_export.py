"""Exports read back: every format holds exactly the structures."""

from __future__ import annotations

from pathlib import Path

import gdstk
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from microwright.design.designs import Designs
from microwright.design.export import check_formats, export, write_gds
from microwright.errors import InputError
from microwright.physics.property import Property
from microwright.structures.files import read_structures
from tests.design.toy import fields

PERIOD = 850.0


def designs(dimensions: int = 2, count: int = 2) -> Designs:
    structures = fields(count, 16, 1, dimensions=dimensions).to(torch.uint8).numpy()
    return Designs(
        properties=(Property("absorption", "1", ""),),
        target=np.array([0.5]),
        structures=structures,
        achieved=np.full((count, 1), 0.5),
        error_bar=np.full((count, 1), np.nan),
        status=np.zeros(count, dtype=int),
        solver={"engine": "toy", "cell": {"period_nm": PERIOD}},
        method="toy",
        seed=0,
    )


@pytest.mark.parametrize(("dimensions", "name"), [(2, "png"), (2, "tiff"), (2, "vti"), (3, "vti"), (3, "tiff")])
def test_files_hold_the_structures(tmp_path: Path, dimensions: int, name: str) -> None:
    made = designs(dimensions)
    for path, structure in zip(export(tmp_path, made, [name]), made.structures, strict=True):
        assert np.array_equal(read_structures(path, dimensions=dimensions).structures[0], structure)


def test_stl_encloses_the_phase(tmp_path: Path) -> None:
    made = designs(3, 1)
    (path,) = export(tmp_path, made, ["stl"])
    triangles = np.frombuffer(path.read_bytes()[84:], dtype=np.dtype([("f", "<12f4"), ("a", "<u2")]))["f"][:, 3:]
    a, b, c = triangles.reshape(-1, 3, 3).astype(float).transpose(1, 0, 2)
    volume = abs(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)
    assert volume == pytest.approx(made.structures[0].sum(), rel=0.2)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6))
def test_gds_polygons_are_the_pixels(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    structure = fields(1, 16, seed)[0].to(torch.uint8).numpy()
    path = tmp_path_factory.mktemp("gds") / "design-000.gds"
    write_gds(path, structure, PERIOD)
    library = gdstk.read_gds(path)
    assert library.unit == pytest.approx(1e-9)
    (cell,) = library.cells
    phase = [polygon for polygon in cell.polygons if polygon.layer == 1]
    outline = [polygon for polygon in cell.polygons if polygon.layer == 0]
    assert sum(polygon.area() for polygon in phase) == pytest.approx(structure.mean() * PERIOD**2, rel=1e-5)
    assert outline[0].area() == pytest.approx(PERIOD**2)
    middles = (np.argwhere(np.ones_like(structure)) + 0.5) * PERIOD / 16
    assert np.array_equal(gdstk.inside(middles, phase), structure.ravel().astype(bool))


def test_formats_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    for formats, dimensions in ((["gds"], 3), (["png"], 3), (["stl"], 2), (["step"], 2)):
        with pytest.raises(InputError, match="export"):
            check_formats(formats, dimensions)
    made = designs()
    made.solver.pop("cell")
    with pytest.raises(InputError, match="period"):
        export(tmp_path, made, ["gds"])
