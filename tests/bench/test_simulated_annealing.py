"""Annealing finds minima, keeps the best, and is the same for the same seed."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from microwright.bench.simulated_annealing import AnnealingSettings, anneal


def bowl(latents: torch.Tensor) -> torch.Tensor:
    return (latents - 1).square().sum(1).sqrt()


def search(seed: int, iterations: int = 200, starts: int = 3):
    generator = torch.Generator().manual_seed(seed)
    begin = torch.full((starts, 2), -2.0)
    return anneal(bowl, begin, torch.ones(2), AnnealingSettings(iterations), generator)


def test_it_comes_near_the_minimum():
    run = search(0)
    assert run.objective[0].tolist() == pytest.approx([3 * 2**0.5] * 3)
    assert run.objective[-1].max() < 0.3


@given(st.integers(0, 99), st.integers(1, 30))
@settings(max_examples=20, deadline=None)
def test_the_best_only_improves_and_belongs_to_its_latents(seed, iterations):
    run = search(seed, iterations)
    assert run.latents.shape == (iterations + 1, 3, 2) and len(run.seconds) == iterations + 1
    assert (run.objective.diff(dim=0) <= 0).all() and (run.seconds.diff() >= 0).all()
    assert torch.allclose(bowl(run.latents.flatten(0, 1)), run.objective.flatten())
    assert bowl(run.chosen(iterations)[None]).item() == pytest.approx(run.objective[-1].min().item())


def test_a_seed_is_a_search():
    assert torch.equal(search(1).latents, search(1).latents)
    assert not torch.equal(search(1).latents, search(2).latents)


def test_it_escapes_where_descent_would_stay():
    """A dip at 0 beside a deeper one at 2: hot chains cross the wall between them."""

    def dips(latents: torch.Tensor) -> torch.Tensor:
        x = latents[:, 0]
        return 1 - 0.5 * torch.exp(-((x / 0.3) ** 2)) - torch.exp(-(((x - 2) / 0.3) ** 2))

    generator = torch.Generator().manual_seed(0)
    run = anneal(dips, torch.zeros(16, 1), torch.ones(1), AnnealingSettings(400, hot=1.0), generator)
    assert (run.latents[-1, :, 0] > 1).double().mean() > 0.5


def test_it_cools_geometrically():
    settings = AnnealingSettings(iterations=5, hot=0.5, cold=0.005)
    temperatures = [settings.temperature(step) for step in range(5)]
    assert temperatures[0] == pytest.approx(0.5) and temperatures[-1] == pytest.approx(0.005)
    ratios = [b / a for a, b in zip(temperatures, temperatures[1:], strict=False)]
    assert ratios == pytest.approx([ratios[0]] * 4)
