"""Kriging: it meets its samples, ignores translations, fades far away, and learns what linear theory knows."""

from __future__ import annotations

import pytest
import torch

from microwright.physics.surrogate.guided import smoothed
from microwright.physics.surrogate.kriging import Kriging, matern, wave_vectors
from tests.design.toy import fields


def fitted(count: int = 30, dimensions: int = 2) -> tuple[Kriging, torch.Tensor, torch.Tensor]:
    structures = fields(count, 12, dimensions=dimensions).double()
    waves = torch.fft.fftn(structures, dim=tuple(range(1, structures.ndim)), norm="forward").abs().flatten(1)
    values = torch.stack([waves[:, 0], waves[:, 0].square() + waves[:, 1]], dim=1)
    residuals = ((values - values.mean(0)) / values.std(0))[:, None].repeat(1, 3, 1)
    kriging = Kriging(count // 2, tuple(structures.shape[1:]), 3, 2)
    kriging.fit(structures[: count // 2], residuals[: count // 2])
    return kriging, structures, residuals


@pytest.mark.parametrize("dimensions", [2, 3])
def test_smooth_residuals_are_met_at_the_samples_and_followed_between(dimensions):
    kriging, structures, residuals = fitted(60, dimensions)
    missed = (kriging(structures) - residuals).square().mean((1, 2))
    power = residuals.square().mean()
    assert missed[:30].mean() < 0.3 * power
    assert missed[30:].mean() < 0.6 * power


def test_a_translation_changes_nothing():
    kriging, structures, _ = fitted()
    torch.testing.assert_close(kriging(structures), kriging(structures.roll((3, 5), (1, 2))))


def test_it_fades_far_from_all_samples():
    kriging, structures, _ = fitted()
    near, far = kriging(structures).abs().max(), kriging(structures + 1e3).abs().max()
    assert far < 1e-6 * near


def test_the_kernel_is_a_covariance():
    points = torch.randn(40, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    kernel = matern(points, points)
    assert torch.linalg.eigvalsh(kernel).min() > 0
    torch.testing.assert_close(kernel.diagonal(), torch.ones(40, dtype=torch.float64))


@pytest.mark.parametrize("grid", [(64, 64), (5, 9), (1, 8), (12, 12, 12), (2, 3, 4)])
def test_each_pair_of_waves_counts_once(grid):
    waves = wave_vectors(grid)
    opposite = {tuple(-n for n in wave) for wave in waves}
    assert len(set(waves)) == len(waves) and not opposite & set(waves)
    assert all(2 * abs(n) < size for wave in waves for n, size in zip(wave, grid, strict=True))


def test_smoothing_keeps_the_mean_and_is_its_own_transpose():
    first, second = fields(2, 12).double()[:, None]
    for field in (first, second):
        torch.testing.assert_close(smoothed(field, [2.0, 1.0]).mean(), field.mean())
    torch.testing.assert_close(
        (smoothed(first, [2.0, 1.0]) * second).sum(), (first * smoothed(second, [2.0, 1.0])).sum()
    )
