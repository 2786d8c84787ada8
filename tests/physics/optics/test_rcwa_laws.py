"""Closed forms, conservation and symmetry of the dense engine."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from microwright.physics.optics import MIRROR, Film, OpticalCell, PatternedLayer, RcwaNumerics, Response, simulate
from tests.physics.optics.patterns import airy, grey, sieve

FORMULATIONS = pytest.mark.parametrize("formulation", ["laurent", "li"])
ABSORBER = PatternedLayer(120.0, 1.0, 2.4 + 0.2j)
ON_GLASS = OpticalCell(600.0, 700.0, (ABSORBER,), 1.0, 1.5)


def exact(cell: OpticalCell, structures: torch.Tensor, formulation: str = "li", harmonics: int = 25) -> Response:
    numerics = RcwaNumerics(harmonics, formulation, precision="double")  # type: ignore[arg-type]
    with torch.no_grad():
        return simulate(cell, structures, numerics)


@FORMULATIONS
@pytest.mark.parametrize("theta", [0.0, 35.0, 80.0])
@pytest.mark.parametrize("thickness", [6.0, 150.0, 3000.0])
def test_a_uniform_pattern_obeys_airys_formula(formulation: str, theta: float, thickness: float) -> None:
    films = (Film(50.0, 1.6), Film(thickness, 2.4 + 0.1j), Film(30.0, 1.8 + 0.05j))
    cell = OpticalCell(600.0, 700.0, films, 1.0, 0.05 + 4j, theta_deg=theta, phi_deg=20.0)
    reflectance, transmittance = airy(cell)
    patterned = replace(cell, layers=(films[0], PatternedLayer(thickness, 1.2, 2.4 + 0.1j), films[2]))
    for response in (
        exact(cell, torch.zeros(1, 8, 8)),
        exact(patterned, torch.ones(1, 8, 8, dtype=torch.float64), formulation),
    ):
        assert response.reflectance.item() == pytest.approx(reflectance, abs=1e-9)
        assert response.transmittance.item() == pytest.approx(transmittance, abs=1e-9)


@pytest.mark.parametrize("half_waves", [1, 2, 5, 10])
def test_films_at_their_own_resonance(half_waves: int) -> None:
    """coth is infinite where a film is a whole number of half-waves thick."""
    thickness = half_waves * 600.0 / (2 * 2.0)
    cell = OpticalCell(600.0, 700.0, (PatternedLayer(thickness, 1.0, 2.0),), 1.0, 1.5)
    ones = torch.ones(1, 8, 8, dtype=torch.float64)
    assert exact(cell, ones).reflectance.item() == pytest.approx((0.5 / 2.5) ** 2, abs=1e-9)


@FORMULATIONS
@pytest.mark.parametrize("thickness", [6.0, 150.0, 3000.0])
@pytest.mark.parametrize("index", [1.5, 4.2])
def test_a_lossless_cell_keeps_all_power(formulation: str, thickness: float, index: float) -> None:
    layers = (Film(40.0, 1.7), PatternedLayer(thickness, 1.0, index))
    cell = OpticalCell(600.0, 700.0, layers, 1.0, 1.5, theta_deg=10.0, phi_deg=30.0)
    response = exact(cell, sieve(), formulation)
    assert response.layers.abs().max() < 1e-10
    assert (response.reflectance + response.transmittance).item() == pytest.approx(1, abs=1e-10)


@FORMULATIONS
def test_a_perfect_mirror_below_swallows_nothing(formulation: str) -> None:
    cell = OpticalCell(600.0, 700.0, (PatternedLayer(150.0, 1.0, 2.4), Film(60.0, 1.5)), 1.0, MIRROR)
    for layers in (cell.layers, cell.layers[:1]):
        response = exact(replace(cell, layers=layers), sieve(), formulation)
        assert response.reflectance.item() == pytest.approx(1, abs=1e-10)
        assert response.transmittance.item() == 0


@FORMULATIONS
def test_silver_approaches_the_perfect_mirror(formulation: str) -> None:
    layers = (PatternedLayer(150.0, 1.0, 2.4 + 0.2j),)
    perfect = exact(OpticalCell(600.0, 700.0, layers, 1.0, MIRROR), sieve(), formulation)
    metal = exact(OpticalCell(600.0, 700.0, layers, 1.0, 1e6j), sieve(), formulation)
    torch.testing.assert_close(metal.table, perfect.table, rtol=0, atol=1e-4)


@FORMULATIONS
def test_transmission_is_reciprocal(formulation: str) -> None:
    """Where only the zeroth orders travel, light goes up as it goes down."""
    layers = (Film(30.0, 1.8 + 0.1j), ABSORBER, Film(60.0, 2.0))
    down = OpticalCell(600.0, 300.0, layers, 1.0, 1.3, theta_deg=25.0, phi_deg=35.0)
    inside = torch.rad2deg(torch.asin(torch.sin(torch.deg2rad(torch.tensor(25.0, dtype=torch.float64))) / 1.3)).item()
    up = replace(down, layers=layers[::-1], superstrate=1.3, substrate=1.0, theta_deg=inside, phi_deg=215.0)
    there, back = (exact(cell, sieve(), formulation) for cell in (down, up))
    assert there.transmittance.item() == pytest.approx(back.transmittance.item(), abs=1e-11)
    assert there.absorption.item() > 0.01


@FORMULATIONS
def test_symmetries(formulation: str) -> None:
    pattern = sieve()
    value = exact(ON_GLASS, pattern, formulation).table
    moved = (
        pattern.roll((3, 5), (1, 2)),
        torch.rot90(pattern, 1, (1, 2)),
        pattern.transpose(1, 2),
        pattern.flip(1),
    )
    for other in moved:
        torch.testing.assert_close(exact(ON_GLASS, other, formulation).table, value, rtol=0, atol=1e-11)


@FORMULATIONS
def test_turning_structure_and_light_together_changes_nothing(formulation: str) -> None:
    tilted = replace(ON_GLASS, theta_deg=30.0, phi_deg=20.0, polarisation="p")
    value = exact(tilted, sieve(), formulation).table
    turned = exact(replace(tilted, phi_deg=110.0), torch.rot90(sieve(), 1, (1, 2)), formulation).table
    torch.testing.assert_close(turned, value, rtol=0, atol=1e-11)


def test_unpolarised_is_the_mean_of_x_and_y_and_of_s_and_p() -> None:
    tilted = replace(ON_GLASS, theta_deg=30.0, phi_deg=20.0)
    shares = {p: exact(replace(tilted, polarisation=p), sieve()).table for p in ("x", "y", "s", "p")}  # type: ignore[arg-type]
    whole = exact(tilted, sieve()).table
    torch.testing.assert_close((shares["x"] + shares["y"]) / 2, whole)
    torch.testing.assert_close((shares["s"] + shares["p"]) / 2, whole)


@FORMULATIONS
def test_a_layer_may_be_cut_in_two(formulation: str) -> None:
    """Two patterned layers of one pattern are one; a film of both phases' index between two patterns is a film."""
    whole = exact(ON_GLASS, sieve(), formulation)
    cut = replace(ON_GLASS, layers=(replace(ABSORBER, thickness_nm=50.0), replace(ABSORBER, thickness_nm=70.0)))
    parts = exact(cut, sieve(), formulation)
    torch.testing.assert_close(parts.absorption, whole.absorption, rtol=0, atol=1e-11)
    torch.testing.assert_close(parts.reflectance, whole.reflectance, rtol=0, atol=1e-11)
    between = (Film(20.0, 1.4), ABSORBER, Film(70.0, 1.9 + 0.1j), PatternedLayer(60.0, 1.1, 2.0, channel=1))
    as_pattern = (*between[:2], PatternedLayer(70.0, 1.9 + 0.1j, 1.9 + 0.1j, channel=1), between[3])
    both = torch.stack([sieve(), 1 - sieve().roll(2, 1)], 1)
    first, second = (
        exact(replace(ON_GLASS, layers=layers, theta_deg=10.0, substrate=MIRROR), both, formulation).table
        for layers in (between, as_pattern)
    )
    torch.testing.assert_close(first, second, rtol=0, atol=1e-11)


@FORMULATIONS
@pytest.mark.parametrize("precision", ["single", "double"])
def test_an_order_at_grazing_is_finite(formulation: str, precision: str) -> None:
    """A Wood anomaly in the superstrate and one in the substrate."""
    numerics = RcwaNumerics(25, formulation, precision=precision)  # type: ignore[arg-type]
    for period in (600.0, 400.0):
        cell = replace(ON_GLASS, period_nm=period)
        tables = [simulate(replace(cell, period_nm=period * (1 + d)), sieve(), numerics).table for d in (0, 1e-9)]
        assert torch.isfinite(tables[0]).all()
        assert tables[0].min() > 0 and tables[0].max() < 1
        torch.testing.assert_close(*tables, rtol=0, atol=2e-3)


@FORMULATIONS
def test_finer_pixels_of_the_same_picture_change_nothing(formulation: str) -> None:
    """Pixels are boxes, not samples."""
    fine = sieve().repeat_interleave(3, 1).repeat_interleave(3, 2)
    coarse, finer = (exact(ON_GLASS, pattern, formulation).table for pattern in (sieve(), fine))
    torch.testing.assert_close(coarse, finer, rtol=0, atol=1e-11)


def test_formulations_and_truncations_close_in_on_one_value() -> None:
    """A coarse low-contrast pattern; Laurent's rule comes slowly."""
    pattern = torch.zeros(1, 24, 24, dtype=torch.float64)
    pattern[:, 4:16, 6:18] = 1
    cell = OpticalCell(600.0, 500.0, (PatternedLayer(120.0, 1.2, 1.6 + 0.1j),), 1.0, 1.5)

    def value(harmonics: int, formulation: str, truncation: str = "square") -> float:
        numerics = RcwaNumerics(harmonics, formulation, truncation, "double")  # type: ignore[arg-type]
        with torch.no_grad():
            return simulate(cell, pattern, numerics).absorption.item()

    gaps = [abs(value(n, "laurent") - value(n, "li")) for n in (25, 169)]
    assert gaps[1] < 0.5 * gaps[0]
    assert value(169, "li", "circular") == pytest.approx(value(169, "li"), abs=1e-4)


@settings(deadline=None, max_examples=20)
@given(
    st.integers(0, 10**6),
    st.floats(300, 1200),
    st.floats(200, 1500),
    st.floats(2, 800),
    st.builds(complex, st.floats(0.05, 4.3), st.floats(0, 5)),
    st.builds(complex, st.floats(1, 4), st.floats(0, 4)),
    st.floats(0, 85),
    st.floats(0, 360),
    st.sampled_from(["laurent", "li"]),
    st.sampled_from(["x", "p", "s", "unpolarised"]),
)
def test_random_cells_share_the_power(  # noqa: PLR0913
    seed: int,
    wavelength: float,
    period: float,
    thickness: float,
    index: complex,
    substrate: complex,
    theta: float,
    phi: float,
    formulation: str,
    polarisation: str,
) -> None:
    layers = (Film(30.0, 1.5), PatternedLayer(thickness, 1.0, index), Film(20.0, 2.0 + 0.1j))
    cell = OpticalCell(wavelength, period, layers, 1.0, substrate, theta, phi, polarisation)  # type: ignore[arg-type]
    response = exact(cell, grey(seed, size=8).round(), formulation, harmonics=9)
    table = response.table
    assert torch.isfinite(table).all()
    assert table.min() > -1e-6 and table.max() < 1 + 1e-6
    assert table.sum().item() == pytest.approx(1, abs=1e-9)
