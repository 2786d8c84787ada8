"""Split conformal prediction: its guarantee on any distribution, and where it must say that it knows nothing."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from microwright.errors import InputError
from microwright.physics.surrogate.conformal import conformal_quantile, fewest_samples


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9])
def test_the_guarantee_holds_for_a_heavy_tailed_distribution(coverage):
    """Over many draws of 40 calibration scores the next one lies within the quantile at least that often."""
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand((40 + 1, 4000), generator=generator, dtype=torch.float64).pow(-1.5)
    covered = (scores[40] <= conformal_quantile(scores[:40], coverage)).double().mean()
    # exchangeability gives ceil(41 c) / 41 exactly; three standard deviations of a mean of 4000
    assert coverage - 0.024 <= covered <= coverage + 1 / 41 + 0.024


@given(st.integers(1, 60), st.floats(0.05, 0.97))
def test_the_quantile_is_a_score_or_unknown(count, coverage):
    scores = torch.arange(1.0, count + 1, dtype=torch.float64)[:, None]
    quantile = float(conformal_quantile(scores, coverage)[0])
    if count < fewest_samples(coverage):
        assert quantile != quantile
    else:
        # at least a share c of n + 1 scores lie at or below it
        assert quantile >= (count + 1) * coverage - 1e-6 and quantile <= count


@pytest.mark.parametrize("coverage", [0.0, 1.0, -0.1, float("nan")])
def test_a_coverage_that_cannot_be_is_refused(coverage):
    with pytest.raises(InputError, match="coverage"):
        conformal_quantile(torch.ones(5, 1), coverage)
