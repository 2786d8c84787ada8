"""The staggered engine against closed forms, the dense engine, and the laws that no discretisation may break."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from microwright.errors import InputError
from microwright.physics.optics import MIRROR, Film, OpticalCell, PatternedLayer, RcwaNumerics, RcwaSolver, default_cell
from microwright.physics.optics.staggered import StaggeredNumerics, StaggeredSolver
from microwright.physics.optics.staggered_reference import Collocation, Orders
from microwright.physics.property import Status

ALL = ("absorption", "reflectance", "transmittance")
TIGHT = StaggeredNumerics(tolerance=1e-11, value_tolerance=1e-15, precision="double", collocation_points=6)
GLASS = OpticalCell(600.0, 500.0, (PatternedLayer(120.0, 1.0, 2.2 + 0.1j),), substrate=1.5)


def noise(pixels: int, count: int = 1, seed: int = 0) -> torch.Tensor:
    """Coarse two-phase structures."""
    generator = torch.Generator().manual_seed(seed)
    fields = torch.fft.fft2(torch.randn(count, pixels, pixels, generator=generator, dtype=torch.float64))
    order = torch.fft.fftfreq(pixels, 1 / pixels, dtype=torch.float64)
    smooth = torch.exp(-(order[:, None] ** 2 + order**2) / 8)
    return (torch.fft.ifft2(fields * smooth).real > 0).double()


def waves(pixels: int) -> torch.Tensor:
    """A smooth relaxed structure."""
    x = torch.arange(pixels, dtype=torch.float64) * (2 * math.pi / pixels)
    return (0.5 + 0.2 * torch.cos(x)[:, None] + 0.15 * torch.sin(x) * torch.cos(x + 1)[:, None])[None]


def airy(cell: OpticalCell, high: bool) -> tuple[float, float]:
    """R and T of the stack at normal incidence with one phase alone, by characteristic matrices (Born & Wolf 1.6)."""
    m = np.eye(2, dtype=complex)
    for layer in cell.layers:
        index = layer.index if isinstance(layer, Film) else (layer.index_high if high else layer.index_low)
        phase = index * layer.thickness_nm * cell.wavenumber
        m = m @ np.array([[np.cos(phase), -1j * np.sin(phase) / index], [-1j * index * np.sin(phase), np.cos(phase)]])
    if cell.substrate is MIRROR:
        b, c = m[0, 1], m[1, 1]
    else:
        b, c = m @ np.array([1, cell.substrate])
    n0 = complex(cell.superstrate).real
    below = 0.0 if cell.substrate is MIRROR else complex(cell.substrate).real
    return abs((n0 * b - c) / (n0 * b + c)) ** 2, 4 * n0 * below / abs(n0 * b + c) ** 2


@pytest.mark.parametrize(
    "cell",
    [
        default_cell(),
        replace(GLASS, substrate=MIRROR),
        replace(GLASS, layers=(PatternedLayer(90.0, 1.0, 4.5),)),
        replace(GLASS, layers=(Film(80.0, 1.9), PatternedLayer(120.0, 1.5, 2.4 + 0.3j), Film(60.0, 0.06 + 3.6j))),
        replace(GLASS, layers=(Film(10.0, 0.06 + 3.6j), PatternedLayer(60.0, 1.0, 0.06 + 3.6j)), superstrate=1.33),
    ],
    ids=["default", "mirror", "high-index", "films", "metal"],
)
@pytest.mark.parametrize("phase", [0.0, 1.0])
@pytest.mark.parametrize("placement", ["centres", "vertices"])
def test_uniform_layer_is_the_closed_form(cell, phase, placement):
    numerics = replace(TIGHT, placement=placement, collocation_points=14)
    values = StaggeredSolver(cell, numerics, ALL).solve(torch.full((1, 6, 6), phase)).values[0]
    reflectance, transmittance = airy(cell, bool(phase))
    expected = torch.tensor([1 - reflectance - transmittance, reflectance, transmittance])
    torch.testing.assert_close(values, expected.double(), rtol=0, atol=1e-9)


def test_oblique_uniform_layer_is_of_second_order():
    cell = replace(GLASS, theta_deg=35.0, phi_deg=20.0, polarisation="p")
    exact = RcwaSolver(cell, RcwaNumerics(harmonics=1, precision="double"), ALL).solve(torch.ones(1, 6, 6)).values
    errors = []
    for points in (1, 2):
        numerics = replace(TIGHT, placement="centres", points_per_pixel=points, collocation_points=10)
        errors.append((StaggeredSolver(cell, numerics, ALL).solve(torch.ones(1, 6, 6)).values - exact).abs().max())
    assert 3.5 < float(errors[0] / errors[1]) < 4.5


@pytest.mark.parametrize(
    "cell",
    [
        default_cell(),
        replace(
            GLASS,
            layers=(Film(40.0, 1.6 + 0.02j), PatternedLayer(150.0, 1.0, 2.4 + 0.3j), Film(60.0, 2.0 + 0.1j)),
            superstrate=1.2,
            theta_deg=20.0,
            phi_deg=35.0,
        ),
    ],
    ids=["default", "oblique-films"],
)
def test_agrees_with_the_dense_engine(cell):
    """On a relaxed structure both converge fast: second order extrapolated, against Li's rules."""
    structure = waves(16)
    dense = RcwaSolver(cell, RcwaNumerics(harmonics=121, precision="double"), ALL).solve(structure).values
    two, three = (
        StaggeredSolver(cell, replace(TIGHT, points_per_pixel=p, tolerance=1e-7), ALL).solve(structure).values
        for p in (2, 3)
    )
    torch.testing.assert_close((9 * three - 4 * two) / 5, dense, rtol=0, atol=2e-5)


@pytest.mark.parametrize("theta", [0.0, 30.0])
def test_lossless_structures_absorb_nothing(theta):
    cell = replace(GLASS, layers=(PatternedLayer(120.0, 1.0, 2.2), Film(50.0, 1.8)), theta_deg=theta)
    values = StaggeredSolver(cell, TIGHT, ALL).solve(noise(12, 2)).values
    assert float(values[:, 0].abs().max()) < 1e-9
    assert float((values[:, 1] * values[:, 2]).min()) > 0


def test_the_reference_does_not_matter():
    structure = noise(12)
    values = [
        StaggeredSolver(GLASS, replace(TIGHT, reference=reference), ALL).solve(structure).values
        for reference in (2.0, 1.4 + 0.6j)
    ]
    torch.testing.assert_close(values[0], values[1], rtol=0, atol=1e-9)


@pytest.mark.parametrize("placement", ["centres", "vertices"])
def test_symmetries(placement):
    structure = noise(12)
    moved = torch.roll(structure, (3, 5), (1, 2))
    family = torch.cat((structure, moved, structure.transpose(1, 2), structure.flip(1), structure.rot90(1, (1, 2))))
    values = StaggeredSolver(GLASS, replace(TIGHT, placement=placement), ALL).solve(family).values
    torch.testing.assert_close(values, values[:1].expand_as(values), rtol=0, atol=1e-9)


def test_transmission_of_the_zeroth_order_is_reciprocal():
    """Below its diffraction threshold a structure lets as much through from either side."""
    films = (PatternedLayer(120.0, 1.0, 2.2 + 0.1j), Film(70.0, 1.7 + 0.05j))
    cell = OpticalCell(600.0, 350.0, films, superstrate=1.0, substrate=1.0)
    flipped = replace(cell, layers=films[::-1])
    values = [StaggeredSolver(c, TIGHT, ALL).solve(noise(12)).values[0] for c in (cell, flipped)]
    assert float(values[0][2]) == pytest.approx(float(values[1][2]), abs=1e-9)
    assert abs(float(values[0][0] - values[1][0])) > 1e-3


def test_batch_equals_one_by_one():
    structures = noise(16, 3)
    solver = StaggeredSolver(default_cell())
    together = solver.solve(structures)
    alone = torch.cat([solver.solve(s[None]).values for s in structures])
    torch.testing.assert_close(together.values, alone, rtol=0, atol=1e-6)
    one_chunk = StaggeredSolver(default_cell(), StaggeredNumerics(memory_mib=1)).solve(structures)
    torch.testing.assert_close(together.values, one_chunk.values, rtol=0, atol=1e-6)


def test_single_precision_is_enough():
    structure = noise(16)
    single = StaggeredSolver(default_cell(), StaggeredNumerics(tolerance=1e-4, collocation_points=6)).solve(structure)
    double = StaggeredSolver(default_cell(), TIGHT).solve(structure)
    torch.testing.assert_close(single.values, double.values, rtol=0, atol=2e-5)


def test_default_tolerance_is_right_to_5e_4():
    structures = noise(24, 3, seed=4)
    default = StaggeredSolver(default_cell()).solve(structures)
    tight = StaggeredSolver(default_cell(), replace(TIGHT, tolerance=1e-9)).solve(structures)
    assert bool((default.status == Status.CONVERGED).all())
    torch.testing.assert_close(default.values, tight.values, rtol=0, atol=5e-4)


@pytest.mark.parametrize("theta", [0.0, 25.0])
@pytest.mark.parametrize("placement", ["centres", "vertices"])
def test_gradient_equals_finite_differences(theta, placement):
    cell = replace(GLASS, theta_deg=theta, phi_deg=10.0)
    solver = StaggeredSolver(cell, replace(TIGHT, placement=placement, tolerance=1e-12), ALL)
    structure = (0.2 + 0.6 * noise(6, seed=3)).requires_grad_()
    direction = torch.randn(1, 6, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    weights = torch.tensor([1.0, 0.3, -0.4], dtype=torch.float64)
    (solver.solve(structure).values @ weights).sum().backward()
    step = 1e-5
    ends = [solver.solve((structure + sign * step * direction).detach()).values @ weights for sign in (1, -1)]
    difference = float(ends[0] - ends[1]) / (2 * step)
    assert float((structure.grad * direction).sum()) == pytest.approx(difference, abs=1e-7)


def test_gradients_agree_with_the_dense_engine():
    structure = waves(12).requires_grad_()
    gradients = []
    for solver in (
        StaggeredSolver(GLASS, replace(TIGHT, points_per_pixel=4, tolerance=1e-8)),
        RcwaSolver(GLASS, RcwaNumerics(harmonics=121, precision="double")),
    ):
        gradients.append(torch.autograd.grad(solver.solve(structure).values.sum(), structure)[0])
    assert float((gradients[0] - gradients[1]).norm() / gradients[1].norm()) < 0.01


def test_the_mean_of_the_dual_grids_converges_faster():
    structure = noise(20, seed=5)
    one = [_value(structure, placement, 1) for placement in ("centres", "vertices")]
    three = [_value(structure, placement, 3) for placement in ("centres", "vertices")]
    limit = sum(three) / 2
    assert abs(sum(one) / 2 - limit) < 0.5 * max(abs(one[0] - limit), abs(one[1] - limit))
    # the two grids close in on each other
    assert abs(three[0] - three[1]) < 0.6 * abs(one[0] - one[1])


def _value(structure: torch.Tensor, placement: str, points: int) -> float:
    numerics = StaggeredNumerics(points, placement, tolerance=1e-4, value_tolerance=1e-7)
    return float(StaggeredSolver(default_cell(), numerics).solve(structure).values)


def test_amorphous_silicon_converges():
    cell = OpticalCell(600.0, 400.0, (PatternedLayer(200.0, 1.0, 4.5 + 0.2j),), substrate=1.5)
    solution = StaggeredSolver(cell, StaggeredNumerics(placement="centres")).solve(noise(24))
    assert int(solution.status) == Status.CONVERGED
    assert 0 < float(solution.values) < 1


def test_says_when_it_has_not_converged():
    solution = StaggeredSolver(default_cell(), StaggeredNumerics(max_iterations=4)).solve(noise(16, 2))
    assert solution.status.tolist() == [Status.NOT_CONVERGED] * 2
    assert bool((solution.residual > 3e-3).all())


def test_wood_anomaly_is_finite():
    """An order exactly at grazing, on the grid's own dispersion relation."""
    pixels, period = 12, 500.0
    wavelength = math.pi * period / (pixels * math.sin(math.pi / pixels))
    cell = replace(GLASS, wavelength_nm=wavelength, period_nm=period, substrate=1.0)
    assert float((Orders.of(cell, pixels, (0.0, 0.0)).square[1, 0] - 1).abs()) < 1e-12
    values = StaggeredSolver(cell, TIGHT, ALL).solve(noise(pixels)).values[0]
    assert bool(torch.isfinite(values).all())
    near = StaggeredSolver(replace(cell, wavelength_nm=wavelength * (1 + 1e-7)), TIGHT, ALL).solve(noise(pixels))
    torch.testing.assert_close(values, near.values[0], rtol=0, atol=5e-3)


def test_squares_of_wave_numbers_are_real_and_even():
    """Rounding that broke this would flip the branch of k_z of a propagating order."""
    orders = Orders.of(default_cell(), 16, (0.0, 0.0))
    assert not orders.square.is_complex()
    mirrored = torch.roll(orders.square.flip(0), 1, 0)
    assert torch.equal(orders.square[1:8], mirrored[1:8])
    product = sum(p * m for p, m in zip(orders.plus, orders.minus, strict=True))
    torch.testing.assert_close(product.real, orders.square, rtol=1e-12, atol=1e-12)


@given(points=st.integers(2, 12))
@settings(deadline=None, max_examples=11)
def test_collocation_integrates_polynomials(points):
    """The tableau's rows integrate x^k from 0 to each node, and the weights to 1, for every k < q."""
    rule = Collocation.gauss(points)
    nodes = torch.from_numpy((np.polynomial.legendre.leggauss(points)[0] + 1) / 2)
    for k in range(points):
        torch.testing.assert_close(rule.integral @ nodes**k, nodes ** (k + 1) / (k + 1), rtol=0, atol=1e-12)
        assert float(rule.weights @ nodes**k) == pytest.approx(1 / (k + 1), abs=1e-12)


@given(
    thickness=st.floats(2.0, 250.0),
    low=st.floats(1.0, 1.6),
    high=st.complex_numbers(min_magnitude=0, max_magnitude=2.5).map(lambda z: complex(1 + abs(z.real), abs(z.imag))),
    substrate=st.sampled_from([1.0, 1.5, 0.06 + 4j, MIRROR]),
    seed=st.integers(0, 1000),
)
@settings(deadline=None, max_examples=12)
def test_powers_of_random_cells_are_shares(thickness, low, high, substrate, seed):
    cell = OpticalCell(600.0, 700.0, (PatternedLayer(thickness, low, high),), substrate=substrate)
    solution = StaggeredSolver(cell, StaggeredNumerics(tolerance=1e-5), ALL).solve(noise(10, seed=seed))
    if int(solution.status) == Status.CONVERGED:
        assert float(solution.values.sum()) == pytest.approx(1, abs=1e-9)
        assert bool((solution.values > -2e-4).all() & (solution.values < 1 + 2e-4).all())


def test_spec_says_everything():
    numerics = StaggeredNumerics(2, "centres", reference=1.5 + 0.2j, precision="double")
    solver = StaggeredSolver(replace(GLASS, theta_deg=10.0), numerics, ("reflectance",))
    again = StaggeredSolver.from_spec(json.loads(json.dumps(solver.spec())))
    assert again.cell == solver.cell
    assert again.numerics == numerics
    assert again.properties == solver.properties


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"points_per_pixel": 0}, "points_per_pixel"),
        ({"placement": "edges"}, "placement"),
        ({"tolerance": 0.0}, "tolerance"),
        ({"tolerance": math.nan}, "tolerance"),
        ({"collocation_points": 1}, "collocation_points"),
        ({"precision": "half"}, "precision"),
        ({"max_iterations": 2.5}, "max_iterations"),
    ],
)
def test_bad_numerics_are_named(fields, word):
    with pytest.raises(InputError, match=word):
        StaggeredNumerics(**fields)


def test_bad_cells_and_structures_are_named():
    with pytest.raises(InputError, match="patterned"):
        StaggeredSolver(replace(GLASS, layers=GLASS.layers * 2))
    with pytest.raises(InputError, match="property"):
        StaggeredSolver(GLASS, properties=("colour",))
    for structure, word in (
        (torch.ones(1, 8, 6), "square"),
        (torch.full((1, 8, 8), math.nan), "NaN"),
        (torch.ones(8, 8), "axes"),
    ):
        with pytest.raises(InputError, match=word):
            StaggeredSolver(GLASS).solve(structure)
