"""Derivatives of every share of the power against finite differences, to 1e-6 in double precision."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from microwright.physics.optics import MIRROR, Film, OpticalCell, PatternedLayer, RcwaNumerics, RcwaSolver, simulate
from microwright.physics.optics.numerics import Formulation
from tests.physics.optics.patterns import grey

ABSORBER = PatternedLayer(120.0, 1.0, 2.4 + 0.2j)
CELLS = {
    "silver": OpticalCell(600.0, 700.0, (ABSORBER,), 1.0, 0.05 + 4j),
    "mirror": OpticalCell(600.0, 700.0, (ABSORBER, Film(20.0, 1.5), ABSORBER), 1.0, MIRROR, theta_deg=10.0),
    "oblique": OpticalCell(
        600.0,
        700.0,
        (Film(40.0, 1.4), ABSORBER, Film(60.0, 1.5), PatternedLayer(80.0, 1.1, 1.9), Film(30.0, 1.7 + 0.1j)),
        1.0,
        1.5,
        theta_deg=20.0,
        phi_deg=50.0,
        polarisation="s",
    ),
    "thick": OpticalCell(600.0, 700.0, (PatternedLayer(3000.0, 1.0, 2.4 + 0.02j),), 1.0, 1.5),
    "metal": OpticalCell(600.0, 700.0, (PatternedLayer(50.0, 1.0, 0.05 + 4j),), 1.0, 1.5),
}


def slope(f: Callable[[float], Tensor], step: float) -> float:
    """Central difference, extrapolated once."""
    with torch.no_grad():
        coarse, fine = ((f(h) - f(-h)) / (2 * h) for h in (step, step / 2))
    return float((4 * fine - coarse) / 3)


@pytest.mark.parametrize("formulation", ["laurent", "li"])
@pytest.mark.parametrize("name", CELLS)
def test_pixels_wavelength_and_thickness(name: str, formulation: Formulation) -> None:
    cell = CELLS[name]
    numerics = RcwaNumerics(9, formulation, precision="double")
    generator = torch.Generator().manual_seed(3)
    pattern = grey(1, batch=2, size=8)
    thickness = torch.tensor([layer.thickness_nm for layer in cell.layers], dtype=torch.float64)
    wavelength = torch.tensor(cell.wavelength_nm, dtype=torch.float64)
    weights = torch.rand(2, 2 + len(cell.layers), generator=generator, dtype=torch.float64)

    def total(x: Tensor, w: Tensor, t: Tensor) -> Tensor:
        return (simulate(cell, x, numerics, w, t).table * weights).sum()

    leaves = [value.clone().requires_grad_() for value in (pattern, wavelength, thickness)]
    gradients = torch.autograd.grad(total(*leaves), leaves)
    along = torch.randn(pattern.shape, generator=generator, dtype=torch.float64)
    layers = torch.randn(thickness.shape, generator=generator, dtype=torch.float64)
    pixels = slope(lambda h: total(pattern + h * along, wavelength, thickness), 1e-2 / float(along.abs().max()))
    assert float((gradients[0] * along).sum()) == pytest.approx(pixels, rel=1e-6, abs=1e-8)
    assert float(gradients[1]) == pytest.approx(
        slope(lambda h: total(pattern, wavelength + h, thickness), 0.01), rel=1e-6, abs=1e-8
    )
    assert float((gradients[2] * layers).sum()) == pytest.approx(
        slope(lambda h: total(pattern, wavelength, thickness + h * layers), 0.01), rel=1e-6, abs=1e-8
    )


def test_the_solver_gives_the_same_gradient_as_the_graph() -> None:
    """The solver keeps Jacobians instead of matrices."""
    cell, numerics = CELLS["oblique"], RcwaNumerics(9, precision="double")
    solver = RcwaSolver(cell, numerics, ("absorption:1", "reflectance"))
    pattern = grey(2, batch=3, size=8).requires_grad_()
    weights = torch.tensor([[1.0, -2.0], [0.5, 0.3], [0.0, 1.0]], dtype=torch.float64)
    (kept,) = torch.autograd.grad((solver.solve(pattern).values * weights).sum(), pattern)
    response = simulate(cell, pattern, numerics)
    whole = (torch.stack([response.layers[:, 1], response.reflectance], -1) * weights).sum()
    (graph,) = torch.autograd.grad(whole, pattern)
    torch.testing.assert_close(kept, graph, rtol=1e-10, atol=1e-14)


def test_single_precision_gradients_follow_double_ones() -> None:
    gradients = []
    for precision in ("single", "double"):
        pattern = grey(2, batch=2, size=16).requires_grad_()
        numerics = RcwaNumerics(81, precision=precision)  # type: ignore[arg-type]
        solved = RcwaSolver(CELLS["silver"], numerics).solve(pattern)
        gradients.append(torch.autograd.grad(solved.values.sum(), pattern)[0])
    assert float((gradients[0] - gradients[1]).norm() / gradients[1].norm()) < 1e-4
