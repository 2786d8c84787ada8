"""Statistics: definitions by direct sums, limits, symmetries."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from microwright.errors import InputError
from microwright.structures.random_fields import gaussian_random_field
from microwright.structures.statistics import (
    autocovariance,
    phase_fraction,
    radial_average,
    radial_spectral_density,
    two_point_correlation,
    two_point_distance,
)


@pytest.fixture
def structures() -> torch.Tensor:
    return gaussian_random_field((12, 15), -8, 3, 0.3, 4, generator=torch.Generator().manual_seed(0)).double()


def test_two_point_correlation_at_lag_zero_is_the_phase_fraction(structures):
    torch.testing.assert_close(two_point_correlation(structures)[:, 0, 0], phase_fraction(structures))


def test_two_point_correlation_is_the_direct_sum(structures):
    s2 = two_point_correlation(structures)
    for lag in [(0, 1), (3, 0), (5, 7), (11, 14)]:
        shifted = structures.roll([-n for n in lag], dims=(1, 2))
        torch.testing.assert_close(s2[:, lag[0], lag[1]], (structures * shifted).mean((1, 2)))


def test_two_point_correlation_in_three_dimensions():
    x = gaussian_random_field((6, 7, 8), 0, 3, 0.4, 2, generator=torch.Generator().manual_seed(0)).double()
    expected = (x * x.roll((-1, -2, -3), dims=(1, 2, 3))).mean((1, 2, 3))
    torch.testing.assert_close(two_point_correlation(x)[:, 1, 2, 3], expected)


def test_autocovariance_is_one_at_lag_zero_and_averages_to_zero(structures):
    covariance = autocovariance(structures)
    torch.testing.assert_close(covariance[:, 0, 0], torch.ones(4, dtype=torch.float64))
    torch.testing.assert_close(covariance.mean((1, 2)), torch.zeros(4, dtype=torch.float64), atol=1e-14, rtol=0)


def test_radial_average_of_the_distance_is_the_radius():
    offset = torch.fft.fftfreq(32, d=1 / 32)
    distance = torch.hypot(offset[:, None], offset[None]).unsqueeze(0)
    averaged = radial_average(distance)[0]
    assert len(averaged) == 17
    assert (averaged - torch.arange(17)).abs().max() < 0.3


def test_a_wave_has_its_power_in_its_own_shell():
    x = torch.cos(2 * np.pi * 5 * torch.arange(32, dtype=torch.float64) / 32).expand(1, 32, 32)
    density = radial_spectral_density(x)[0]
    assert density.argmax() == 5
    others = torch.cat([density[:5], density[6:]])
    assert others.max() < 1e-20


def test_powers_sum_to_the_variance():
    """Parseval, on a field that has no power beyond the last shell."""
    x = gaussian_random_field((32, 32), 0, 0.5, 0.5, 1, generator=torch.Generator().manual_seed(0)).double()
    offset = torch.fft.fftfreq(32, d=1 / 32)
    shell = torch.round(torch.hypot(offset[:, None], offset[None])).long()
    spectrum = torch.fft.fft2(x).masked_fill(shell > 16, 0)
    smooth = torch.fft.ifft2(spectrum).real
    members = torch.bincount(shell.flatten())[:17]
    torch.testing.assert_close((radial_spectral_density(smooth)[0] * members).sum(), smooth.var(unbiased=False))


def test_distance_is_zero_for_translations_and_symmetric(structures):
    moved = structures.roll((3, 4), dims=(1, 2))
    distance = two_point_distance(structures, moved)
    assert distance.diagonal().abs().max() < 1e-7
    torch.testing.assert_close(distance, two_point_distance(moved, structures).T)
    off_diagonal = distance[~torch.eye(4, dtype=torch.bool)]
    assert off_diagonal.min() > 1e-3


def test_distance_needs_equal_grids(structures):
    with pytest.raises(InputError, match="grids"):
        two_point_distance(structures, structures[:, :5])


def test_statistics_are_differentiable():
    x = torch.rand(1, 4, 5, dtype=torch.float64, requires_grad=True, generator=torch.Generator().manual_seed(0))
    assert torch.autograd.gradcheck(lambda v: radial_average(two_point_correlation(v)), (x,))
    assert torch.autograd.gradcheck(radial_spectral_density, (x,))
