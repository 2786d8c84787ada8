"""Materials by wavelength and properties averaged over a spectrum."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from microwright.errors import InputError
from microwright.physics.optics import RcwaNumerics, RcwaSolver
from microwright.physics.optics.materials import BUILT_IN, Material, index_of, material
from microwright.physics.optics.spectrum import (
    MaterialFilm,
    MaterialPattern,
    MaterialStack,
    SpectralSolver,
    Spectrum,
    spectral_solver,
)
from tests.physics.optics.patterns import grey

STACK = MaterialStack(500.0, (MaterialFilm(80.0, "ITO"), MaterialPattern(150.0, 1.5, "a-Si")), 1.0, "Ag")
NUMERICS = RcwaNumerics(9, precision="double")


@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_materials_are_sourced_and_absorb(name: str) -> None:
    table = material(name)
    assert "source:" in table.source
    assert table.wavelengths_nm[0] <= 400 and table.wavelengths_nm[-1] >= 800
    assert index_of(name, 600.0).imag >= 0


@pytest.mark.parametrize(
    ("name", "wavelength", "published"),
    [
        ("Ag", 582.1, 0.05 + 3.858j),  # Johnson and Christy 1972, table I
        ("SiO2", 589.3, 1.45840 + 0j),  # Malitson 1965, sodium D
        ("GaAs", 632.8, 3.856 + 0.196j),  # Aspnes et al. 1986
        ("c-Si", 500.0, 4.293 + 0.045j),  # Green 2008
    ],
)
def test_published_values(name: str, wavelength: float, published: complex) -> None:
    assert index_of(name, wavelength) == pytest.approx(published, abs=0.02)


def test_interpolation_is_linear_and_ends_at_the_table() -> None:
    table = Material("m", (400.0, 500.0), (2.0, 3.0), (0.1, 0.3))
    assert table.index(425.0) == pytest.approx(2.25 + 0.15j)
    assert index_of(table, 400.0) == 2.0 + 0.1j
    for outside in (399.9, 500.1):
        with pytest.raises(InputError, match="outside its table, 400 to 500 nm"):
            table.index(outside)


@pytest.mark.parametrize(
    "rows",
    [
        ((400.0,), (2.0,), (0.1,)),
        ((400.0, 300.0), (2.0, 2.0), (0.1, 0.1)),
        ((400.0, 500.0), (2.0, float("nan")), (0.1, 0.1)),
        ((400.0, 500.0), (2.0, 2.0), (0.1, -0.1)),
        ((400.0, 500.0), (2.0, 2.0), (0.1,)),
    ],
)
def test_bad_tables_are_refused(rows: tuple[tuple[float, ...], ...]) -> None:
    with pytest.raises(InputError, match="^material bad"):
        Material("bad", *rows)


def test_a_csv_of_the_users_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("# measured by hand\nwavelength_nm,n,k\n400,2,0.1\n600,2.2,0.3\n")
    assert index_of(str(path), 500.0) == pytest.approx(2.1 + 0.2j)
    assert Material.from_csv(path).source == "measured by hand"


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "wavelength_nm,n,k\n400,2\n", "wavelength_nm,n,k\n400,x,0\n"])
def test_a_bad_csv_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(InputError, match="bad.csv"):
        Material.from_csv(path)
    with pytest.raises(InputError, match="absent.csv"):
        index_of(tmp_path / "absent.csv", 500.0)
    with pytest.raises(InputError, match="unobtainium"):
        index_of("unobtainium", 500.0)


def test_averages_are_sums_over_cells() -> None:
    spectrum = Spectrum.am15g(400, 700, 3)
    names = ("absorption", "absorption:1", "reflectance@550")
    solver = spectral_solver(STACK, spectrum, NUMERICS, names)
    pattern = grey(4, batch=2).requires_grad_()
    values = solver.solve(pattern).values
    parts = [RcwaSolver(STACK.at(w), NUMERICS, ("absorption", "absorption:1", "reflectance")) for w in (450, 550, 650)]
    single = [part.solve(pattern).values for part in parts]
    mean = sum(w * v for w, v in zip(spectrum.weights, single, strict=True))
    expected = torch.stack([mean[:, 0], mean[:, 1], single[1][:, 2]], -1)
    torch.testing.assert_close(values, expected)
    torch.testing.assert_close(
        torch.autograd.grad(values.sum(), pattern)[0], torch.autograd.grad(expected.sum(), pattern)[0]
    )


def test_spec_holds_numbers_and_comes_back() -> None:
    solver = spectral_solver(STACK, Spectrum((500.0, 600.0), (1.0, 3.0)), NUMERICS, ("absorption", "absorption@600"))
    spec = json.loads(json.dumps(solver.spec()))
    assert spec["cells"][0]["substrate"]["k"] == pytest.approx(index_of("Ag", 500.0).imag)
    assert SpectralSolver.from_spec(spec).spec() == solver.spec()
    assert spec["weights"] == [0.25, 0.75]


def test_sunlight_adds_up() -> None:
    """The parts of a range hold its power, however many there are; the peak lies in the green."""
    few, many = Spectrum.am15g(300, 1200, 3), Spectrum.am15g(300, 1200, 90)
    assert sum(many.weights[:30]) == pytest.approx(few.weights[0], abs=1e-12)
    assert 440 < many.wavelengths_nm[many.weights.index(max(many.weights))] < 560


@pytest.mark.parametrize(
    ("wavelengths", "weights"),
    [((), ()), ((500.0, 400.0), (1.0, 1.0)), ((500.0,), (1.0, 2.0)), ((500.0,), (-1.0,)), ((500.0, 600.0), (0.0, 0.0))],
)
def test_bad_spectra_are_refused(wavelengths: tuple[float, ...], weights: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match="^spectrum"):
        Spectrum(wavelengths, weights)


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="outside its table"):
        spectral_solver(STACK, Spectrum((1500.0,)), NUMERICS)
    with pytest.raises(InputError, match="no such wavelength"):
        spectral_solver(STACK, Spectrum((500.0,)), NUMERICS, ("absorption@510",))
    for low, high, count in ((200, 700, 3), (500, 400, 3), (400, 700, 0)):
        with pytest.raises(InputError, match="^spectrum"):
            Spectrum.am15g(low, high, count)
    path = tmp_path / "lamp.csv"
    path.write_text("wavelength_nm,weight\n500,1\n600,1\n")
    assert Spectrum.from_csv(path).weights == (0.5, 0.5)
