"""The networks of VAE-Regression, its style losses and its training."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch.nn import functional as F

from microwright.errors import InputError
from microwright.inverters.multimodal_prior import component_gaussians, mixture_divergence
from microwright.physics.elasticity import CgNumerics, ElasticSolver
from microwright.representations.style import (
    ROUNDING,
    SliceStyle,
    TwoPointStyle,
    Vgg19Features,
    shell_weights,
    style_named,
)
from microwright.representations.vae_regression import (
    Gaussian,
    PeriodicConvolution,
    VaeRegressionNetworks,
    VaeRegressionShape,
)
from microwright.representations.vae_regression_inference import fit_prior, train_decoder
from microwright.representations.vae_regression_training import moved, train_vae_regression
from microwright.structures.random_fields import cut_at_fraction, filtered_noise
from microwright.structures.statistics import two_point_correlation
from microwright.training import TrainerOptions, seeded
from microwright.training.settings import VaeRegressionTraining

TINY = VaeRegressionShape((8, 9, 11), latent=4, width=0.1)


def volumes(count: int, grid: tuple[int, ...] = (8, 9, 11), seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    fractions = torch.linspace(0.25, 0.75, count, dtype=torch.float64)
    return filtered_noise(grid, 1.0, fractions, count, generator=generator)


def test_at_51_cubed_every_size_is_that_of_the_papers_tables() -> None:
    with torch.device("meta"):
        networks = VaeRegressionNetworks(VaeRegressionShape((51, 51, 51), components=2, properties=6))
    weights = {name: tuple(value.shape) for name, value in networks.named_parameters() if name.endswith("weight")}
    common = [weights[f"common.convolutions.{layer}.weight"] for layer in range(5)]
    assert common == [(o, i, 3, 3, 3) for i, o in ((1, 16), (16, 32), (32, 64), (64, 128), (128, 256))]
    assert weights["common.dense.weight"] == (2048, 256)
    for branch, outputs in (("encoder", 16), ("regressor", 6)):
        for head in ("mean", "log_variance"):
            assert weights[f"{branch}.{head}.0.weight"] == (1024, 2048)
            assert weights[f"{branch}.{head}.2.weight"] == (outputs, 1024)
    assert [weights[f"decoder.dense.{layer}.weight"] for layer in range(3)] == [(32, 16), (64, 32), (13824, 64)]
    assert networks.decoder.base == (64, 6, 6, 6)
    up = [weights[f"decoder.convolutions.{layer}.weight"][:2] for layer in range(3)]
    assert up == [(64, 64), (32, 64), (16, 32)]
    assert weights["decoder.last.weight"] == (1, 16, 4, 4, 4)
    assert weights["generator.body.0.weight"] == (8, 6)
    assert weights["generator.means.weight"] == weights["generator.log_variances.weight"] == (32, 8)


@settings(max_examples=15, deadline=None)
@given(st.tuples(*[st.integers(8, 27)] * 3), st.integers(1, 3), st.integers(1, 6))
def test_any_grid_decodes_to_itself(grid: tuple[int, ...], components: int, properties: int) -> None:
    shape = VaeRegressionShape(grid, latent=3, components=components, width=0.05, properties=properties)
    networks = VaeRegressionNetworks(shape)
    x = torch.rand(2, *grid)
    decoded = networks.decode(networks.encode(x)[0])
    assert decoded.shape == x.shape
    assert bool(((decoded > 0) & (decoded < 1)).all())
    assert networks.regress(x)[0].shape == (2, properties)
    assert networks.prior(torch.zeros(2, properties)).sample().shape == (2, 3)


@settings(max_examples=10, deadline=None)
@given(st.tuples(*[st.integers(0, 3)] * 3))
def test_periodic_convolution_is_the_padded_one_with_its_gradient(margins: tuple[int, ...]) -> None:
    layer = PeriodicConvolution(2, 3, (1, 1, 1), margins).double()
    ours = torch.rand((2, 2, 4, 3, 5), dtype=torch.float64, requires_grad=True)
    theirs = ours.detach().clone().requires_grad_()
    pads = [margin for margin in reversed(margins) for _ in range(2)]
    expected = F.conv3d(F.pad(theirs, pads, mode="circular"), layer.weight, layer.bias)
    found = layer(ours)
    torch.testing.assert_close(found, expected)
    weight = torch.rand_like(found)
    (weight * found).sum().backward()
    (weight * expected).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_shifting_by_the_pooling_period_changes_no_feature() -> None:
    networks = seeded(0, lambda: VaeRegressionNetworks(VaeRegressionShape((16, 16, 16), latent=4, width=0.1)))
    x = volumes(2, (16, 16, 16))
    torch.testing.assert_close(networks.encode(x)[0], networks.encode(x.roll((16, 16), (1, 3)))[0])
    last = networks.common.convolutions[0]
    torch.testing.assert_close(last(x.roll(5, 2)[:, None]), last(x[:, None]).roll(5, 3))


def test_units_of_the_properties_go_there_and_back() -> None:
    networks = VaeRegressionNetworks(VaeRegressionShape((8, 8, 8), latent=2, width=0.05, properties=2))
    values = 50 + 20 * torch.randn((40, 2), generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 3.0])
    networks.standardise_by(values)
    units = networks.normalised(values)
    torch.testing.assert_close(units.mean(0), torch.zeros(2), atol=1e-4, rtol=0)
    torch.testing.assert_close(networks.physical(units, torch.zeros(40, 2))[0], values)
    assert networks.physical(units, torch.zeros(40, 2))[1][0].tolist() == pytest.approx(
        values.var(0).tolist(), rel=1e-4
    )


def test_likelihood_is_that_of_the_normal_distribution() -> None:
    mean, log_variance, value = torch.randn(3, 5, 2, generator=torch.Generator().manual_seed(0))
    expected = -torch.distributions.Normal(mean, (0.5 * log_variance).exp()).log_prob(value).sum(1)
    torch.testing.assert_close(Gaussian(mean, log_variance).negative_log_likelihood(value), expected)


@pytest.mark.parametrize("grid", [(64, 64), (7, 51, 51)])
def test_grids_that_are_no_volumes_are_refused(grid: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="volume of at least 8"):
        VaeRegressionShape(grid)


# ---------------------------------------------------------------------------------------------------- style


@pytest.mark.parametrize("name", ["two-point", "random"])
def test_style_is_blind_to_shifts_and_sees_textures(name: str) -> None:
    style = style_named(name)
    grid = (16, 16, 16)
    generator = torch.Generator().manual_seed(1)
    fine, coarse = (filtered_noise(grid, sigma, 0.5, 3, generator=generator) for sigma in (0.5, 3.0))
    again = filtered_noise(grid, 0.5, 0.5, 3, generator=generator)
    torch.testing.assert_close(style(fine, fine.roll((8, 8), (1, 3))), torch.zeros(3), atol=1e-9, rtol=0)
    assert float(style(fine, again).mean()) < 0.5 * float(style(fine, coarse).mean())
    soft = torch.full_like(fine, 0.5, requires_grad=True)
    style(fine, soft * fine.mean()).sum().backward()
    assert soft.grad is not None


def test_two_point_style_is_the_weighted_distance_of_the_correlations() -> None:
    first, second = volumes(4).double(), volumes(4, seed=1).double()
    difference = two_point_correlation(first) - two_point_correlation(second)
    expected = (shell_weights((8, 9, 11)) * difference.square()).flatten(1).sum(1).sqrt()
    torch.testing.assert_close(TwoPointStyle()(first, second), expected, atol=ROUNDING, rtol=0)


def test_each_direction_counts_in_slice_style() -> None:
    """A laminate and itself on its side differ, whichever axis it is normal to."""
    layers = torch.zeros(1, 16, 16, 16)
    layers[:, :8] = 1
    style = style_named("random")
    distances = [float(style(layers, layers.transpose(1, axis))) for axis in (2, 3)]
    shifted = float(style(layers, layers.roll(8, 1)))
    assert min(distances) > 1000 * shifted


def test_vgg19_takes_weights_by_path(tmp_path: Path) -> None:
    channels = [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), *[(256, 256)] * 3]
    channels += [(256, 512), *[(512, 512)] * 4]
    places = [0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28]  # torchvision's
    tensors = {}
    for place, (inputs, outputs) in zip(places, channels, strict=True):
        tensors[f"features.{place}.weight"] = torch.full((outputs, inputs, 3, 3), 1e-3)
        tensors[f"features.{place}.bias"] = torch.zeros(outputs)
    save_file(tensors, tmp_path / "vgg19.safetensors")
    style = style_named("vgg19", tmp_path / "vgg19.safetensors")
    assert isinstance(style, SliceStyle)
    maps = Vgg19Features(tmp_path / "vgg19.safetensors")(torch.zeros(1, 1, 32, 32))
    assert [tuple(part.shape[1:]) for part in maps] == [
        (64, 32, 32),
        (128, 16, 16),
        (256, 8, 8),
        (512, 4, 4),
        (512, 2, 2),
    ]


def test_unknown_styles_and_missing_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="choose two-point, random, vgg19"):
        style_named("mse")
    with pytest.raises(InputError, match="needs a safetensors file"):
        style_named("vgg19")
    with pytest.raises(InputError, match="no VGG-19 weights"):
        style_named("vgg19", tmp_path / "none.safetensors")


# ---------------------------------------------------------------------------------------------------- training


def test_moved_volumes_keep_phase_fraction_and_correlation() -> None:
    x = volumes(6)
    y = moved(x, False, torch.Generator().manual_seed(0))
    assert not torch.equal(x, y)
    torch.testing.assert_close(two_point_correlation(x), two_point_correlation(y))
    mirrored = moved(x, True, torch.Generator().manual_seed(0))
    torch.testing.assert_close(mirrored.mean((1, 2, 3)), x.mean((1, 2, 3)))


@pytest.fixture(scope="module")
def fractions() -> tuple[torch.Tensor, torch.Tensor]:
    """Volumes with a property that their phase fraction tells."""
    x = volumes(64)
    return x.to(torch.uint8), 10 + 50 * x.mean((1, 2, 3))[:, None]


def trained(
    folder: Path, data: tuple[torch.Tensor, torch.Tensor], epochs: int, divergence: float = 0.05
) -> tuple[VaeRegressionNetworks, dict[str, float]]:
    networks = seeded(0, lambda: VaeRegressionNetworks(TINY))
    settings_ = VaeRegressionTraining(
        epochs=epochs, steps_per_epoch=20, learning_rate=3e-3, scale_steps=10, divergence=divergence
    )
    options = TrainerOptions(folder, "cpu", progress=False)
    return networks, train_vae_regression(networks, *data, settings_, options, 0)


def test_training_learns_properties_textures_and_the_prior(
    tmp_path: Path, fractions: tuple[torch.Tensor, torch.Tensor]
) -> None:
    networks, metrics = trained(tmp_path / "whole", fractions, 10)
    assert metrics["r2_0"] > 0.8
    assert metrics["style"] < 0.5 * metrics["style_scale"]
    c = torch.tensor([[22.5], [35.0], [47.5]])
    with torch.no_grad():
        decoded = networks.decode(networks.prior(networks.normalised(c)).mean).mean((1, 2, 3))
    assert bool((decoded.diff() > 0.05).all())


def test_a_killed_training_continues_to_the_same_networks(
    tmp_path: Path, fractions: tuple[torch.Tensor, torch.Tensor]
) -> None:
    once, _ = trained(tmp_path / "once", fractions, 2)
    trained(tmp_path / "twice", fractions, 1)
    continued, _ = trained(tmp_path / "twice", fractions, 2)
    for name, value in once.state_dict().items():
        torch.testing.assert_close(continued.state_dict()[name], value, msg=name)


def test_sets_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    networks = VaeRegressionNetworks(TINY)
    options = TrainerOptions(tmp_path, "cpu", progress=False)
    x, y = volumes(4), torch.rand(4, 1)
    for structures, properties, told in (
        (x[:1], y[:1], "give two or more"),
        (x[:, 1:], y, "build them for this grid"),
        (x, y.expand(4, 2), "build them for these properties"),
    ):
        with pytest.raises(InputError, match=told):
            train_vae_regression(networks, structures, properties, VaeRegressionTraining(), options, 0)


def test_the_prior_finds_what_the_posteriors_are(tmp_path: Path, fractions: tuple[torch.Tensor, torch.Tensor]) -> None:
    networks, _ = trained(tmp_path / "whole", fractions, 2)
    others = {name: value.clone() for name, value in networks.state_dict().items() if "generator." not in name}
    told = fit_prior(networks, *fractions, mirrored=True, seed=0)
    assert told["prior_divergence"] < told["prior_divergence_before"]
    for name, value in others.items():
        assert torch.equal(networks.state_dict()[name], value), name
    x = fractions[0].float()
    with torch.no_grad():
        q, _ = networks.posteriors(x)
        prior = networks.prior(networks.normalised(fractions[1]))
        divergence = mixture_divergence(q.mean, q.log_variance, prior).mean()
    # seen at another place of their period the volumes' posteriors are a little different
    assert float(divergence) == pytest.approx(told["prior_divergence"], rel=0.3)


def test_the_decoder_learns_what_inference_decodes(
    tmp_path: Path, fractions: tuple[torch.Tensor, torch.Tensor]
) -> None:
    networks, _ = trained(tmp_path / "whole", fractions, 2)
    fit_prior(networks, *fractions, mirrored=True, seed=0)
    others = {name: value.clone() for name, value in networks.state_dict().items() if "decoder." not in name}
    x, wanted = fractions[0].float(), networks.normalised(fractions[1])

    def missed() -> float:
        """Mean distance of the volumes from what the likeliest component's mean decodes to."""
        with torch.no_grad():
            mixture = networks.prior(wanted)
            chosen = mixture.mixture_distribution.probs.argmax(1)
            means = component_gaussians(mixture).loc[torch.arange(len(x)), chosen]
            return float(TwoPointStyle()(x, networks.decode(means)).mean())

    before = missed()
    settings_ = VaeRegressionTraining(epochs=4, steps_per_epoch=20, learning_rate=3e-3)
    train_decoder(networks, *fractions, None, settings_, TrainerOptions(tmp_path / "decoder", "cpu", progress=False), 0)
    assert missed() < 0.9 * before
    for name, value in others.items():
        assert torch.equal(networks.state_dict()[name], value), name


def test_with_the_solver_in_the_loop_decoded_volumes_have_the_property(tmp_path: Path) -> None:
    x = volumes(64)
    solver = ElasticSolver(numerics=CgNumerics(tolerance=1e-2))
    stiffness = x, solver.solve(x).values.float()
    networks, _ = trained(tmp_path / "whole", stiffness, 2)
    fit_prior(networks, *stiffness, mirrored=True, seed=0)
    start = {name: value.clone() for name, value in networks.state_dict().items()}
    settings_ = VaeRegressionTraining(epochs=3, steps_per_epoch=20, learning_rate=3e-3)

    def missed(in_loop: ElasticSolver | None) -> float:
        """Mean relative error of the solved C11 of what the prior's means decode to."""
        networks.load_state_dict(start)
        options = TrainerOptions(tmp_path / ("alone" if in_loop is None else "solved"), "cpu", progress=False)
        train_decoder(networks, *stiffness, in_loop, settings_, options, 0)
        with torch.no_grad():
            means = component_gaussians(networks.prior(networks.normalised(stiffness[1]))).loc[:, 0]
            decoded = networks.decode(means)
        solved = solver.solve(cut_at_fraction(decoded, decoded.mean((1, 2, 3)))).values
        return float((solved / stiffness[1] - 1).abs().mean())

    assert missed(solver) < 0.6 * missed(None)
