"""The rational function and the matrix function against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from microwright.physics.optics.coth import coth_rational, stieltjes
from microwright.physics.optics.dense import Factorised, accretive_inverse
from microwright.physics.optics.formulations import FORMULATIONS
from microwright.physics.optics.orders import fourier_orders
from microwright.physics.optics.slab import Coth, Slab, WaveNumbers
from tests.physics.optics.patterns import sieve


@settings(deadline=None, max_examples=25)
@given(st.floats(0.1, 60), st.floats(0.5, 1000), st.sampled_from([1e-4, 1e-6]))
def test_rational_function_keeps_its_tolerance(negative: float, positive: float, tolerance: float) -> None:
    fit = coth_rational(negative, positive, tolerance)
    scale = 4.0**fit.halvings
    y = np.linspace(-negative, positive, 2001) / scale
    value = fit.constant + sum(w / (y + p) for w, p in zip(fit.weights, fit.poles, strict=True))
    exact = stieltjes(y)
    error = np.abs(y * (value - exact)) / np.maximum(np.abs(1 + y * exact), 1)
    assert error.max() < 3 * tolerance
    assert min(fit.weights) > 0 and min(fit.poles) > np.pi**2 - 1e-6


@pytest.mark.parametrize("index", [1.6, 2.4 + 0.2j, 4.3 + 0.1j, 0.05 + 4j])
@pytest.mark.parametrize("thickness", [0.01, 1.0, 6.0])
def test_matrix_function_equals_the_eigenvector_route(index: complex, thickness: float) -> None:
    orders = fourier_orders(25, "square")
    k = 0.8 * orders.pairs.to(torch.complex128)
    epsilon = FORMULATIONS["li"](sieve(), torch.tensor(1 + 0j).to(k), torch.tensor(index**2).to(k), orders)
    layer = Slab(WaveNumbers(k[:, :1], k[:, 1:]), epsilon)
    values, vectors = torch.linalg.eig(layer.x_matrix)
    root = torch.sqrt(values) * thickness
    exact = vectors @ (torch.sqrt(values) / torch.tanh(root) * torch.linalg.inv(vectors).mT).mT
    reach = float(values.abs().max()) * thickness**2
    dielectric = complex(index**2).real > 0
    fit = coth_rational(abs(index**2) * thickness**2 if dielectric else reach, reach, 1e-10)
    coth = Coth(layer, torch.tensor(thickness, dtype=torch.float64), fit, dielectric)
    value = coth.n if coth.d is None else coth.n @ torch.linalg.inv(coth.d)
    torch.testing.assert_close(value, exact, rtol=1e-6, atol=1e-6 * float(exact.abs().max()))


@pytest.mark.parametrize("size", [1, 129, 300])
def test_inverse_by_halves_and_factors(size: int) -> None:
    generator = torch.Generator().manual_seed(size)
    a = torch.randn(3, size, size, dtype=torch.complex128, generator=generator) + 3 * size**0.5 * torch.eye(size)
    identity = torch.eye(size, dtype=a.dtype).expand(3, size, size)
    torch.testing.assert_close(accretive_inverse(a) @ a, identity)
    torch.testing.assert_close(a @ Factorised(a).solve(identity), identity)
    torch.testing.assert_close(a.mH @ Factorised(a).adjoint(identity), identity)
