"""Random fields: exact fractions, periodicity, isotropy, known spectra, the published figures."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from microwright.errors import InputError
from microwright.structures.random_fields import (
    colour,
    cut_at_fraction,
    filtered_noise,
    gaussian_filter,
    gaussian_random_field,
)
from microwright.structures.statistics import autocovariance, phase_fraction, radial_average, radial_spectral_density


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


grids = st.lists(st.integers(2, 12), min_size=2, max_size=3).map(tuple)


@settings(max_examples=40, deadline=None)
@given(grid=grids, fraction=st.floats(0, 1), count=st.integers(1, 3), seed=st.integers(0, 2**31))
def test_the_phase_fraction_is_exact_to_the_nearest_pixel(grid, fraction, count, seed):
    pixels = int(np.prod(grid))
    for structures in (
        gaussian_random_field(grid, -8, 3, fraction, count, generator=seeded(seed)),
        filtered_noise(grid, 1.5, fraction, count, generator=seeded(seed)),
    ):
        assert structures.shape == (count, *grid) and structures.dtype == torch.float32
        assert set(structures.unique().tolist()) <= {0.0, 1.0}
        assert (phase_fraction(structures) * pixels - fraction * pixels).abs().max() <= 0.5 + 1e-3


def test_each_sample_has_its_own_parameters():
    fractions = torch.tensor([0.1, 0.5, 0.8])
    std = torch.tensor([0.5, 3.0, 30.0])
    structures = gaussian_random_field((64, 64), torch.tensor([0.0, -8.0, 0.0]), std, fractions, 3, generator=seeded())
    torch.testing.assert_close(phase_fraction(structures), fractions, atol=1 / 4096, rtol=0)
    coarse, _, fine = radial_average(autocovariance(structures))[:, 3]
    assert coarse > 0.5 > fine


def test_ties_do_not_change_the_fraction():
    assert cut_at_fraction(torch.zeros(1, 4, 4), 0.25).sum() == 4


def test_the_published_autocovariance_is_reproduced():
    """METHODS: lags 2/4/6/8 px of the published images' family (mean -8, std 3, fraction 0.25 with a spread of 0.1)."""
    generator = seeded(1)
    fractions = 0.15 + 0.2 * torch.rand(400, generator=generator)
    x = gaussian_random_field((64, 64), -8, 3, fractions, 400, generator=generator)
    deviation = x - x.mean()
    covariance = torch.fft.ifft2(torch.fft.fft2(deviation).abs() ** 2).real.mean(0, keepdim=True)
    lags = radial_average(covariance / covariance[0, 0, 0])[0, [2, 4, 6, 8]]
    torch.testing.assert_close(lags, torch.tensor([0.428, 0.166, 0.070, 0.044]), atol=0.012, rtol=0)


@pytest.mark.parametrize("grid", [(64, 64), (24, 24, 24), (32, 64)])
def test_the_field_has_the_stated_spectrum(grid):
    mean, std = 4.0, 2.0
    noise = torch.randn((300, *grid), generator=seeded(), dtype=torch.float64)
    field = colour(noise, mean, std)
    assert field.flatten(1).mean(1).abs().max() < 1e-12
    density = radial_spectral_density(field).mean(0)
    wave_number = 20 * torch.arange(len(density)) / min(grid)
    expected = torch.exp(-((wave_number - mean) ** 2) / (2 * std**2))
    shells = slice(3, len(density) - 1)
    ratio = density[shells] / expected[shells]
    assert (ratio / ratio.mean() - 1).abs().max() < 0.12


def test_fields_are_isotropic():
    x = gaussian_random_field((64, 64), -8, 3, 0.3, 600, generator=seeded(2))
    covariance = autocovariance(x).mean(0)
    assert abs(covariance[5, 0] - covariance[0, 5]) < 0.01
    assert abs(covariance[4, 3] - covariance[5, 0]) < 0.015


def test_fields_are_periodic():
    """No seam: neighbours across the border agree as often as neighbours inside."""
    x = gaussian_random_field((64, 64), 0, 0.8, 0.5, 200, generator=seeded(3))
    inside = (x[:, 31] == x[:, 32]).float().mean()
    border = (x[:, -1] == x[:, 0]).float().mean()
    assert abs(inside - border) < 0.02


@pytest.mark.parametrize("sigma", [0.0, 0.7, (1.0, 3.0), (7.0, 0.0)])
def test_the_filter_is_scipys_wrapped_gaussian(sigma):
    noise = torch.rand(1, 11, 16, generator=seeded(), dtype=torch.float64)
    expected = scipy.ndimage.gaussian_filter(noise[0].numpy(), sigma, mode="wrap")
    np.testing.assert_allclose(gaussian_filter(noise, sigma)[0].numpy(), expected, atol=1e-13)


def test_the_filter_is_scipys_in_three_dimensions_too():
    noise = torch.rand(1, 9, 10, 11, generator=seeded(), dtype=torch.float64)
    expected = scipy.ndimage.gaussian_filter(noise[0].numpy(), (1, 3, 5), mode="wrap")
    np.testing.assert_allclose(gaussian_filter(noise, (1, 3, 5))[0].numpy(), expected, atol=1e-13)


def test_the_same_seed_gives_the_same_structures():
    first, second = (gaussian_random_field((16, 16), -8, 3, 0.3, 2, generator=seeded(5)) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first[0], first[1])


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (((64,), -8, 3, 0.25), "grid"),
        (((64, 1), -8, 3, 0.25), "grid"),
        (((8, 8), -8, 0, 0.25), "std"),
        (((8, 8), float("nan"), 1, 0.25), "mean"),
        (((8, 8), -8, 3, 1.25), "fraction"),
        (((8, 8), -8, 3, float("nan")), "fraction"),
        (((8, 8), -8, 3, torch.tensor([0.1, 0.2])), "fraction"),
        (((8, 8), -8, 3, 0.25, 0), "count"),
    ],
)
def test_bad_parameters_are_named(arguments, word):
    with pytest.raises(InputError, match=word):
        gaussian_random_field(*arguments, generator=seeded())


@pytest.mark.parametrize("sigma", [(1.0,), (1.0, -1.0), float("nan"), (1.0, float("inf"))])
def test_bad_filters_are_named(sigma):
    with pytest.raises(InputError, match="sigma"):
        filtered_noise((8, 8), sigma, 0.5, generator=seeded())
