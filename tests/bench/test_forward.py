"""Forward baselines: bounds, laws and data they must fit."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from microwright.bench.forward.averages import hill_average, reuss_average, voigt_average
from microwright.bench.forward.data import ForwardData, Part, forward_data, mape, r_squared
from microwright.bench.forward.latents import REGRESSORS, predict_from_latents
from microwright.bench.forward.reg_only import RegOnlyNetwork, train_reg_only
from microwright.bench.forward.settings import RegOnlyTraining
from microwright.bench.forward.two_point import TwoPointSettings, half_correlation, predict_from_two_point
from microwright.errors import InputError
from microwright.physics.elasticity import CgNumerics, ElasticPhases, ElasticSolver
from microwright.representations.vae_regression import VaeRegressionShape
from microwright.structures.random_fields import filtered_noise
from microwright.training import TrainerOptions, seeded

NAMES = ("C11", "C22", "C33")


def volumes(count: int, size: int = 8, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    fractions = 0.25 + 0.5 * torch.rand(count, generator=generator, dtype=torch.float64)
    return filtered_noise((size,) * 3, 1.0, fractions, count, generator=generator)


def test_the_solver_lies_between_reuss_and_voigt():
    structures = volumes(6)
    fractions = structures.flatten(1).mean(1)
    values = ElasticSolver(ElasticPhases(), CgNumerics(), NAMES).solve(structures).values
    assert (reuss_average(fractions, ElasticPhases(), NAMES) <= values).all()
    assert (values <= voigt_average(fractions, ElasticPhases(), NAMES)).all()


@pytest.mark.parametrize("hard", [0.0, 1.0])
def test_averages_of_one_phase_are_the_phase(hard):
    phases = ElasticPhases()
    young, nu = phases.youngs_moduli_gpa[int(hard)], phases.poissons_ratios[int(hard)]
    direct = young * (1 - nu) / ((1 + nu) * (1 - 2 * nu))
    coupled = young * nu / ((1 + nu) * (1 - 2 * nu))
    made = hill_average(torch.full((1, 2, 2, 2), hard), phases, ("C11", "C21"))
    assert made[0].tolist() == pytest.approx([direct, coupled])


@given(st.floats(0.1, 10), st.integers(2, 20), st.integers(0, 9))
@settings(max_examples=25, deadline=None)
def test_scores_do_not_depend_on_units(factor, count, seed):
    generator = torch.Generator().manual_seed(seed)
    observed = 1 + torch.rand(count, 2, generator=generator, dtype=torch.float64)
    predicted = observed + 0.1 * torch.randn(count, 2, generator=generator, dtype=torch.float64)
    for score in (mape, r_squared):
        assert torch.allclose(score(predicted, observed), score(factor * predicted, factor * observed))
    assert mape(observed, observed).tolist() == [0, 0] and r_squared(observed, observed).tolist() == [1, 1]
    mean = observed.mean(0).expand_as(observed)
    assert torch.allclose(r_squared(mean, observed), torch.zeros(2, dtype=torch.float64), atol=1e-9)


def test_parts_are_disjoint_and_together_everything():
    values = torch.arange(50.0)[:, None]
    data = forward_data(volumes(50, 4), values, 0)
    parts = [part.values[:, 0] for part in (data.train, data.validation, data.test)]
    assert [len(part) for part in parts] == [30, 10, 10]
    assert torch.cat(parts).sort().values.tolist() == values[:, 0].tolist()
    with pytest.raises(InputError, match="one for each"):
        forward_data(volumes(3, 4), values, 0)


def test_half_the_correlation_is_all_of_it():
    structures = volumes(2, 6)
    half = half_correlation(structures).reshape(2, 4, 6, 6)
    shifted = half_correlation(structures.roll((1, 2), (1, 3))).reshape_as(half)
    assert torch.allclose(half, shifted, atol=1e-6)
    assert torch.allclose(half[:, 0, 0, 0], structures.flatten(1).mean(1), atol=1e-6)


def test_two_point_regression_finds_what_the_fraction_alone_decides():
    structures = volumes(120)
    values = (10 * structures.flatten(1).mean(1, keepdim=True)) ** 2
    data = forward_data(structures, values, 0)
    predicted = predict_from_two_point(data, TwoPointSettings(), 0)
    assert mape(predicted, data.test.values.double()).item() < 3


@pytest.mark.parametrize("name", REGRESSORS)
def test_latent_regressors_fit_a_plane(name):
    latents = 2 * torch.rand(200, 3, generator=torch.Generator().manual_seed(0)) - 1
    values = latents @ torch.tensor([[1.0, 0.0], [2.0, 1.0], [0.0, -1.0]]) + 10
    predicted = predict_from_latents(name, latents[:150], values[:150], latents[150:], 0)
    assert predicted.shape == (50, 2)
    assert r_squared(predicted, values[150:].double()).min() > 0.95


def part(count: int, seed: int) -> Part:
    structures = volumes(count, seed=seed)
    return Part(structures, 100 * structures.flatten(1).mean(1, keepdim=True))


def trained(folder, epochs: int) -> tuple[RegOnlyNetwork, dict[str, float]]:
    network = seeded(0, lambda: RegOnlyNetwork(VaeRegressionShape((8, 8, 8), width=0.25)))
    options = TrainerOptions(folder, "cpu", progress=False)
    settings = RegOnlyTraining(epochs=epochs, learning_rate=2e-3)
    return network, train_reg_only(network, part(96, 0), part(24, 1), settings, options, 0)


def test_reg_only_learns_the_fraction_and_a_killed_training_goes_on(tmp_path):
    network, metrics = trained(tmp_path / "whole", 8)
    test = part(30, 2)
    data = ForwardData(test, test, test)
    assert r_squared(network.predict(data.test.structures), data.test.values).item() > 0.8
    trained(tmp_path / "parts", 4)
    resumed, again = trained(tmp_path / "parts", 8)
    assert again["epochs"] == metrics["epochs"] == 8
    assert torch.allclose(resumed.predict(test.structures), network.predict(test.structures), atol=1e-3)


def test_reg_only_has_the_paper_s_sizes_at_51():
    with torch.device("meta"):
        network = RegOnlyNetwork(VaeRegressionShape((51, 51, 51), properties=6))
    filters = [layer.out_channels for layer in network.convolutions]
    dense = [layer.out_features for layer in (*network.dense, network.last)]
    assert (filters, dense) == ([16, 32, 64, 128, 256], [2048, 1024, 6])
    assert network.dense[0].in_features == 256


def test_reg_only_sees_a_whole_number_of_poolings_shifted_alike():
    """Shifts by what all poolings together merge change nothing."""
    network = seeded(0, lambda: RegOnlyNetwork(VaeRegressionShape((16, 16, 16), width=0.25)))
    structures = volumes(2, 16)
    assert np.allclose(network.predict(structures), network.predict(structures.roll(16, 1)))
