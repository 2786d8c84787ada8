"""The bar of a plain value: exact where nothing is truncated, narrower with more effort, and it holds."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from microwright.physics.optics import OpticalCell, PatternedLayer, RcwaNumerics, RcwaSolver, default_cell
from microwright.physics.optics.certify import certify
from microwright.physics.optics.error_bar import truncation_share
from microwright.physics.optics.spectrum import MaterialPattern, MaterialStack, Spectrum, spectral_solver

CELL = default_cell()


def field(count: int, seed: int, pixels: int = 16) -> torch.Tensor:
    """Blocks of two pixels."""
    draw = torch.rand(count, pixels // 2, pixels // 2, generator=torch.Generator().manual_seed(seed))
    return (draw > 0.5).double().repeat_interleave(2, 1).repeat_interleave(2, 2)


@pytest.mark.parametrize("formulation", ["li", "laurent"])
def test_the_exact_value_lies_within_the_bar(formulation):
    structures = field(6, seed=4)
    true = certify(CELL, ("absorption", "reflectance"), structures, 0.003)
    for harmonics in (25, 81, 121):
        numerics = RcwaNumerics(harmonics, formulation)
        plain = RcwaSolver(CELL, numerics, ("absorption", "reflectance")).solve(structures)
        assert bool(((plain.values - true.values).abs() <= plain.error_bar + true.error_bar).all())


def test_a_uniform_layer_is_exact_but_for_rounding():
    structures = torch.stack([torch.zeros(8, 8), torch.full((8, 8), 0.4), torch.ones(8, 8)]).double()
    rough, fine = (RcwaSolver(CELL, RcwaNumerics(n, precision="double")).solve(structures) for n in (9, 49))
    assert float(rough.error_bar.max()) <= 1e-8
    assert bool(((rough.values - fine.values).abs() <= rough.error_bar).all())


@given(st.integers(1, 300), st.integers(1, 300), st.sampled_from(["li", "laurent"]))
def test_more_harmonics_never_widen_the_bar(one, other, formulation):
    few, many = sorted((one, other))
    wide, narrow = (truncation_share(RcwaNumerics(n, formulation)) for n in (few, many))
    assert 0 < narrow <= wide


@settings(max_examples=15, deadline=None)
@given(st.floats(1.1, 4.0), st.floats(1.0, 400.0))
def test_the_bar_follows_contrast_and_thickness(index, thickness):
    cell = OpticalCell(600.0, 800.0, (PatternedLayer(thickness, 1.0, index),))
    thinner = replace(cell, layers=(replace(cell.layers[0], thickness_nm=thickness / 2),))
    weaker = replace(cell, layers=(replace(cell.layers[0], index_high=(1 + index) / 2),))
    numerics, structures = RcwaNumerics(9, precision="double"), field(1, 0, 8)
    bar, thin, weak = (float(RcwaSolver(c, numerics).solve(structures).error_bar) for c in (cell, thinner, weaker))
    assert thin <= bar and weak < bar


def test_a_mean_over_wavelengths_has_the_mean_of_the_bars():
    stack = MaterialStack(700.0, (MaterialPattern(50.0, 1.0, 2.0),))
    names = ("absorption", "absorption@500", "absorption@600")
    solver = spectral_solver(stack, Spectrum((500.0, 600.0), (1.0, 3.0)), RcwaNumerics(9), names)
    mean, first, second = solver.solve(field(2, 1, 8)).error_bar.T
    torch.testing.assert_close(mean, 0.25 * first + 0.75 * second)


def test_the_bar_carries_no_gradient():
    solution = RcwaSolver(CELL, RcwaNumerics(9)).solve(field(1, 2, 8).requires_grad_())
    assert solution.values.requires_grad and not solution.error_bar.requires_grad
