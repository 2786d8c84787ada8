"""The measures beyond the papers, on cases whose answer is known."""

import pytest
import torch

from microwright.bench.metrics import coverage, diversity, interval_coverage, novelty, ranks
from microwright.bench.published import PUBLISHED, TARGETS


def structures(count: int, seed: int = 0) -> torch.Tensor:
    return (torch.rand((count, 8, 8), generator=torch.Generator().manual_seed(seed)) > 0.5).float()


def test_coverage_counts_targets_met_within_one_per_cent():
    assert coverage([0.2, 1.0, 1.01, None]) == 0.5


def test_translated_copies_are_neither_diverse_nor_novel():
    one = structures(1)
    copies = torch.cat([one, one.roll(3, 1), one.roll((1, 2), (1, 2))])
    assert diversity(copies) == pytest.approx(0, abs=1e-6)
    assert novelty(copies, one) == pytest.approx(0, abs=1e-6)


def test_diversity_is_the_mean_over_pairs():
    """A full and an empty structure: correlations 1 and 0 everywhere."""
    pair = torch.stack([torch.ones(8, 8), torch.zeros(8, 8)])
    assert diversity(pair) == pytest.approx(1)
    assert diversity(torch.cat([pair, pair])) == pytest.approx(8 / 12)
    assert novelty(pair, pair[:1]) == pytest.approx(0.5)


@pytest.mark.parametrize(("width", "expected"), [(1.0, None), (0.3, "overconfident"), (4.0, "too wide")])
def test_credible_intervals_cover_as_often_as_they_say(width, expected):
    """z ~ N(y, 1): the posterior N(y, width²) is calibrated for width 1 alone."""
    generator = torch.Generator().manual_seed(0)
    y = torch.randn((2000, 1), generator=generator)
    z = y + torch.randn((2000, 2), generator=generator)
    rank = ranks(lambda value: value + width * torch.randn((400, 2), generator=generator), y, z)
    covered = interval_coverage(rank)
    if expected is None:
        assert covered == pytest.approx({"50%": 0.5, "80%": 0.8, "90%": 0.9, "95%": 0.95}, abs=0.03)
    else:
        assert (covered["80%"] < 0.6) == (expected == "overconfident")
        assert (covered["50%"] > 0.6) == (expected == "too wide")


def test_published_figures_are_complete():
    for methods in PUBLISHED.values():
        for rows in methods.values():
            assert tuple(rows) == TARGETS
    assert PUBLISHED["data-2"]["gan-mdn"][0.70].minimum == 0.10
    assert PUBLISHED["data-2"]["vqvae-mdn"][0.55].average == 6.17
