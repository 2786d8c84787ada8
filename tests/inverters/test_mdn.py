"""The mixture is a density, draws follow it, and training finds both branches of a one-to-many map."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from microwright.errors import InputError
from microwright.inverters.mdn import SMALLEST_SIGMA, MixtureDensityNetwork
from microwright.inverters.mdn_training import train_mdn
from microwright.inverters.sampling import draw, draw_inside, tempered
from microwright.training import TrainerOptions, seeded
from microwright.training.settings import MdnTraining


def network(latent: int = 1, components: int = 5) -> MixtureDensityNetwork:
    return seeded(0, lambda: MixtureDensityNetwork(1, latent, components)).eval()


def test_outputs_are_counted_as_in_the_paper():
    """N = K (1 + 2M), four layers of 16 fed with the input and all layers before them."""
    mdn = MixtureDensityNetwork(1, 4)
    assert mdn.head.out_features == 40 * (1 + 2 * 4)
    assert [layer[0].in_features for layer in mdn.body.layers] == [1, 17, 33, 49]


@settings(max_examples=20, deadline=None)
@given(y=st.floats(-3, 3))
def test_density_integrates_to_one(y):
    z = torch.linspace(-60, 60, 20001)[:, None]
    with torch.no_grad():
        mixture = network()(torch.tensor([[y]]))
        total = torch.trapezoid(mixture.log_prob(z).exp(), z[:, 0])
    assert total == pytest.approx(1, abs=1e-3)


def test_sigma_is_positive_however_negative_the_output():
    mdn = network()
    with torch.no_grad():
        mdn.head.bias.fill_(-50)
        mdn.head.weight.zero_()
        sigma = mdn(torch.zeros(1, 1)).component_distribution.base_dist.scale
    assert (sigma >= SMALLEST_SIGMA).all()


def test_draws_have_the_moments_of_the_mixture():
    with torch.no_grad():
        mixture = network(latent=3)(torch.tensor([[0.4]]))
    drawn = draw(mixture, 40000, torch.Generator().manual_seed(0))
    error = mixture.stddev[0] / 40000**0.5
    assert ((drawn.mean(0) - mixture.mean[0]).abs() < 5 * error).all()
    assert torch.allclose(drawn.std(0), mixture.stddev[0], rtol=0.03)


@given(temperature=st.floats(0.1, 2))
def test_temperature_scales_the_components_and_nothing_else(temperature):
    with torch.no_grad():
        mixture = network(latent=2)(torch.tensor([[0.0]]))
    narrower = tempered(mixture, temperature)
    one, other = (m.component_distribution.base_dist for m in (mixture, narrower))
    assert torch.allclose(other.scale, one.scale * temperature)
    assert torch.equal(other.loc, one.loc)
    assert torch.equal(narrower.mixture_distribution.probs, mixture.mixture_distribution.probs)


def test_draws_outside_the_box_are_drawn_again_not_clipped():
    with torch.no_grad():
        mixture = network(latent=2)(torch.tensor([[0.0]]))
    drawn = draw_inside(mixture, 500, torch.Generator().manual_seed(0), -0.5, 0.5)
    assert drawn.shape == (500, 2)
    assert drawn.abs().max() < 0.5


def test_a_mixture_without_mass_in_the_box_is_said():
    mdn = network(latent=2)
    with torch.no_grad():
        mdn.head.weight.zero_()
        mdn.head.bias.fill_(0)
        mdn.head.bias[5:15] = 40
        mixture = mdn(torch.zeros(1, 1))
    with pytest.raises(InputError, match="latents inside its box"):
        draw_inside(mixture, 3, torch.Generator().manual_seed(0), -1, 1)


def test_training_finds_both_branches(tmp_path):
    """z = ±√y: the mean of the latents is no solution, both branches are."""
    generator = torch.Generator().manual_seed(0)
    z = 2 * torch.rand((2000, 1), generator=generator) - 1
    mdn = seeded(1, lambda: MixtureDensityNetwork(1, 1, components=8))
    settings_ = MdnTraining(epochs=60, learning_rate=3e-3)
    metrics = train_mdn(mdn, z**2, z, settings_, TrainerOptions(tmp_path, "cpu", progress=False), seed=0)
    with torch.no_grad():
        drawn = draw(mdn(torch.tensor([[0.5]])), 400, generator)[:, 0]
    assert metrics["mdn_validation_nll"] < 0.69 - 1  # an uninformed model has ln 2
    assert (drawn > 0).float().mean() == pytest.approx(0.5, abs=0.2)
    assert ((drawn.abs() - 0.5**0.5).abs() < 0.15).float().mean() > 0.8
