"""Shapes of the paper's networks, losses that carry gradient, and a generator that serves every size."""

import pytest
import torch
from torch import nn

from microwright.errors import InputError
from microwright.representations.features import (
    RandomFilters,
    TwoPointFeatures,
    collapse_loss,
    features_named,
    gram_matrix,
    style_loss,
)
from microwright.representations.gan import GanRepresentation, discriminator_network, generator_network
from microwright.representations.gan_training import train_gan
from microwright.structures.random_fields import gaussian_random_field
from microwright.training import TrainerOptions, seeded
from microwright.training.settings import GanTraining


@pytest.mark.parametrize(("size", "latent"), [(64, 2), (96, 3), (128, 4)])
def test_one_generator_serves_every_size(size, latent):
    """Data-II: 64×64 from 2×2; Data-I: 96×96 from 3×3."""
    weights = seeded(0, generator_network).state_dict()
    representation = GanRepresentation(size)
    representation.generator.load_state_dict(weights)
    latents = representation.sample_latents(3, torch.Generator().manual_seed(0))
    assert latents.shape == (3, latent, latent)
    fields = representation.eval().decode(latents)
    assert fields.shape == (3, size, size)
    assert fields.min() >= 0 and fields.max() <= 1


def test_filters_are_the_papers():
    convolutions = [layer for layer in generator_network() if isinstance(layer, nn.ConvTranspose2d)]
    assert [layer.out_channels for layer in convolutions] == [128, 64, 32, 16, 1]
    assert {(layer.kernel_size, layer.stride) for layer in convolutions} == {((4, 4), (2, 2))}
    judges = [layer for layer in discriminator_network(96) if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in judges] == [16, 32, 64, 128, 1]
    assert judges[-1].kernel_size == (6, 6)


def test_latents_fill_the_box():
    latents = GanRepresentation(64).sample_latents(2000, torch.Generator().manual_seed(0))
    assert latents.abs().max() <= 1
    assert latents.mean().abs() < 0.03
    assert latents.var() == pytest.approx(1 / 3, rel=0.05)


def test_structures_are_binary():
    representation = seeded(0, lambda: GanRepresentation(64)).eval()
    structures = representation.structures(representation.sample_latents(4, torch.Generator().manual_seed(0)))
    assert set(structures.unique().tolist()) <= {0.0, 1.0}


def test_a_size_that_the_generator_cannot_make_is_refused():
    with pytest.raises(InputError, match="multiples of 32"):
        GanRepresentation(50)


@pytest.mark.parametrize("features", [RandomFilters(), TwoPointFeatures()])
def test_losses_carry_gradient(features):
    generator = torch.Generator().manual_seed(0)
    real, fake = (torch.rand((4, 1, 32, 32), generator=generator) for _ in range(2))
    fake.requires_grad_()
    for loss in (style_loss(features(real), features(fake)), collapse_loss(features(fake))):
        (gradient,) = torch.autograd.grad(loss, fake)
        assert gradient.abs().max() > 0


def test_style_loss_compares_statistics_not_pixels():
    """A translated batch has the same Gram matrices; another texture has not."""
    features = RandomFilters(scales=1)
    generator = torch.Generator().manual_seed(0)
    coarse, fine = (
        2 * gaussian_random_field((64, 64), 0.0, std, 0.4, count=8, generator=generator)[:, None] - 1
        for std in (0.6, 3.0)
    )
    moved = torch.roll(coarse, (10, 20), (2, 3))
    same, other = (style_loss(features(coarse), features(image)) for image in (moved, fine))
    assert style_loss(features(coarse), features(coarse)) == 0
    assert other > 20 * same


def test_gram_matrix_in_closed_form():
    maps = torch.arange(12.0).reshape(1, 3, 2, 2)
    flat = maps.reshape(3, 4)
    assert torch.allclose(gram_matrix(maps), flat @ flat.T)


def test_collapse_loss_is_largest_for_copies():
    one = torch.rand((1, 1, 16, 16), generator=torch.Generator().manual_seed(0))
    assert collapse_loss([one.expand(5, -1, -1, -1)]) == pytest.approx(1)
    assert collapse_loss([torch.eye(5)[:, :, None, None]]) == pytest.approx(0)


def test_features_are_a_choice():
    with pytest.raises(InputError, match="choose random, two-point or vgg16"):
        features_named("vgg19")
    with pytest.raises(InputError, match="needs a file of weights"):
        features_named("vgg16")


def test_a_few_steps_change_the_generator_the_same_way_twice(tmp_path):
    structures = gaussian_random_field((32, 32), 0.0, 1.0, 0.4, count=40, generator=torch.Generator().manual_seed(0))
    weights = []
    for name in ("a", "b"):
        representation = seeded(0, lambda: GanRepresentation(32))
        settings = GanTraining(steps=4, batch=8, steps_per_epoch=2)
        train_gan(representation, structures, settings, TrainerOptions(tmp_path / name, "cpu", progress=False), seed=0)
        weights.append(representation.generator[0].weight.detach())
    assert torch.equal(*weights)
    assert not torch.equal(weights[0], seeded(0, lambda: GanRepresentation(32)).generator[0].weight)
