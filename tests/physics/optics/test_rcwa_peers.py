"""Other solvers, in double precision: values once computed and kept, and fmmax where it is installed.

The kept values belong to the pattern ``sieve(16)``, period 700 nm, wavelength 600 nm, on glass (n = 1.5), N = 49 in the
square truncation. grcwa 0.1.2 and torcwa 0.1.4.2 were given the exact Fourier coefficients of the boxes (as an image
of 28² samples), meent 0.13.2 the pixels themselves with conjugate indices.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from microwright.physics.optics import OpticalCell, PatternedLayer, RcwaNumerics, simulate
from microwright.physics.optics.formulations import FORMULATIONS, PermittivityMatrices, box_transform
from microwright.physics.optics.orders import FourierOrders
from tests.physics.optics.patterns import sieve

NUMERICS = RcwaNumerics(49, "laurent", precision="double")


def cell(
    thickness: float, index: complex, theta: float = 0.0, phi: float = 0.0, polarisation: str = "unpolarised"
) -> OpticalCell:
    layers = (PatternedLayer(thickness, 1.0, index),)
    return OpticalCell(600.0, 700.0, layers, 1.0, 1.5, theta, phi, polarisation)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("thickness", "index", "theta", "phi", "polarisation", "reflectance", "transmittance"),
    [
        (120.0, 2.4 + 0.2j, 0.0, 0.0, "unpolarised", 0.04488471243763638, 0.76138566150722),
        (6.0, 2.4 + 0.2j, 0.0, 0.0, "p", 0.04275790185425229, 0.9450223695948097),
        (3000.0, 2.4 + 0.02j, 0.0, 0.0, "p", 0.04421920610901662, 0.5048385017842051),
        (50.0, 0.05 + 4j, 0.0, 0.0, "p", 0.5320855761649899, 0.3116687927020268),
        (120.0, 2.4 + 0.2j, 25.0, 40.0, "p", 0.03793868689923027, 0.7507903597106026),
        (120.0, 2.4 + 0.2j, 25.0, 40.0, "s", 0.05449743779377041, 0.7547299020700822),
    ],
)
def test_grcwa(
    thickness: float,
    index: complex,
    theta: float,
    phi: float,
    polarisation: str,
    reflectance: float,
    transmittance: float,
) -> None:
    response = simulate(cell(thickness, index, theta, phi, polarisation), sieve(), NUMERICS)
    assert response.reflectance.item() == pytest.approx(reflectance, abs=1e-9)
    assert response.transmittance.item() == pytest.approx(transmittance, abs=1e-9)


def test_torcwa() -> None:
    response = simulate(cell(120.0, 2.4 + 0.2j), sieve(), NUMERICS)
    assert response.reflectance.item() == pytest.approx(0.04488471245491191, abs=1e-9)
    assert response.transmittance.item() == pytest.approx(0.761385661553796, abs=1e-9)


@pytest.mark.parametrize(
    ("polarisation", "reflectance", "transmittance"),
    [("x", 0.026444304056879878, 0.918126113722983), ("y", 0.06826886711348475, 0.6687061791985984)],
)
def test_meent_on_lines(polarisation: str, reflectance: float, transmittance: float) -> None:
    """On lines both orders of Li's factorisation are one rule."""
    row = torch.tensor([0, 0, 1, 1, 1, 0, 1, 1, 0, 0, 0, 0, 1, 0, 0, 0], dtype=torch.float64)
    lines = row[:, None].repeat(1, 16)[None]
    numerics = RcwaNumerics(49, "li", precision="double")
    response = simulate(cell(120.0, 2.4 + 0.2j, polarisation=polarisation), lines, numerics)
    assert response.reflectance.item() == pytest.approx(reflectance, abs=1e-9)
    assert response.transmittance.item() == pytest.approx(transmittance, abs=1e-9)


def inverse_rule_first(structures: Tensor, low: Tensor, high: Tensor, orders: FourierOrders) -> Tensor:
    """Li's other order for E_y: the inverse rule along y, row by row, and then Laurent's rule along x."""
    reach = orders.reach
    transform = box_transform(structures.shape[-1], 2 * reach, torch.complex128, structures.device)
    axis = torch.arange(2 * reach + 1)
    lags = (1 / (low + (high - low) * structures)) @ transform.mT
    lines = torch.linalg.inv(lags[..., axis[:, None] - axis + 2 * reach])
    lagged = torch.einsum("lx,bxij->blij", transform, lines)
    along, across = orders.pairs[:, 0], orders.pairs[:, 1] + reach
    return lagged[:, along[:, None] - along + 2 * reach, across[:, None], across]


def test_meent_on_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """meent takes our rule for E_x and Li's other order for E_y (its image is the transpose of ours)."""

    def mixed(structures: Tensor, low: Tensor, high: Tensor, orders: FourierOrders) -> PermittivityMatrices:
        ours = li(structures, low, high, orders)
        return PermittivityMatrices(ours.x, inverse_rule_first(structures, low, high, orders), ours.inverse_z)

    li = FORMULATIONS["li"]
    monkeypatch.setitem(FORMULATIONS, "li", mixed)
    numerics = RcwaNumerics(49, "li", precision="double")
    response = simulate(cell(120.0, 2.4 + 0.2j), sieve(), numerics)
    assert response.absorption.item() == pytest.approx(0.09615628, abs=1e-7)


def test_fmmax() -> None:
    """fmmax's FFT formulation is Laurent's rule; it is given the boxes' Fourier coefficients."""
    fmmax = pytest.importorskip("fmmax")
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    jnp = jax.numpy
    index, period, thickness = 2.4 + 0.2j, 700.0, 120.0
    transform = box_transform(16, 12, torch.complex128, torch.device("cpu"))
    coefficients = (transform @ sieve()[0].to(transform) @ transform.mT).numpy()
    image = np.zeros((28, 28), complex)
    lags = np.arange(-12, 13) % 28
    image[np.ix_(lags, lags)] = coefficients
    film = 1 + (index**2 - 1) * np.fft.ifft2(image) * 28**2
    lattice = fmmax.LatticeVectors(u=fmmax.X * period, v=fmmax.Y * period)
    expansion = fmmax.generate_expansion(lattice, 49, fmmax.Truncation.PARALLELOGRAMIC)
    layers = [
        fmmax.eigensolve_isotropic_media(
            wavelength=jnp.asarray(600.0),
            in_plane_wavevector=jnp.zeros(2),
            primitive_lattice_vectors=lattice,
            permittivity=jnp.asarray(epsilon),
            expansion=expansion,
            formulation=fmmax.Formulation.FFT,
        )
        for epsilon in (np.full((1, 1), 1 + 0j), film, np.full((1, 1), 2.25 + 0j))
    ]
    s = fmmax.stack_s_matrix(layers, [jnp.asarray(t) for t in (0.0, thickness, 0.0)])
    incident = jnp.zeros((98, 2), complex).at[0, 0].set(1).at[49, 1].set(1)
    nothing = jnp.zeros_like(incident)
    given, _ = fmmax.amplitude_poynting_flux(incident, nothing, layers[0])
    _, reflected = fmmax.amplitude_poynting_flux(nothing, s.s21 @ incident, layers[0])
    reflectance = float((-reflected.sum(0) / given.sum(0)).mean())
    response = simulate(cell(thickness, index), sieve(), NUMERICS)
    assert response.reflectance.item() == pytest.approx(reflectance, abs=1e-6)
