"""The quantised autoencoder: nearest codes, straight-through gradient, moving average, and the physical loss."""

import pytest
import torch

from microwright.errors import InputError
from microwright.physics.optics import RcwaNumerics, RcwaSolver, default_cell
from microwright.representations.vqvae import VqVaeRepresentation, VqVaeShape
from microwright.representations.vqvae_training import codebook_use, property_loss, train_vqvae
from microwright.structures.segmentation import binarise
from microwright.training import TrainerOptions, seeded
from microwright.training.settings import VqVaeTraining

pytest.importorskip("vector_quantize_pytorch")
SHAPE = VqVaeShape(downsamplings=3, embedding=2, codes=8, width=4, widest=8)
SOLVER = RcwaSolver(default_cell(), RcwaNumerics(harmonics=9))


def representation(shape: VqVaeShape = SHAPE, size: int = 16) -> VqVaeRepresentation:
    return seeded(0, lambda: VqVaeRepresentation(size, shape))


def images(count: int = 12, size: int = 16) -> torch.Tensor:
    return (torch.rand((count, size, size), generator=torch.Generator().manual_seed(3)) > 0.5).float()


def entries(network: VqVaeRepresentation) -> torch.Tensor:
    return network.codebook.codebook.detach().reshape(-1, network.shape.embedding)


def test_codes_are_the_nearest_entries():
    network = representation()
    network.quantise(torch.randn((20, 2, 2, 2), generator=torch.Generator().manual_seed(0)))
    network.eval()
    latents = torch.randn((5, 2, 2, 2), generator=torch.Generator().manual_seed(1))
    quantised = network.quantise(latents)
    distance = torch.cdist(latents.movedim(1, -1).reshape(-1, 2), entries(network))
    assert torch.equal(quantised.indices.flatten(), distance.argmin(1))
    assert torch.equal(quantised.codes.movedim(1, -1).reshape(-1, 2), entries(network)[distance.argmin(1)])


@pytest.mark.parametrize("training", [True, False])
def test_gradient_goes_straight_through(training):
    network = representation().train(training)
    latents = torch.randn((4, 2, 2, 2), requires_grad=True)
    weight = torch.randn(4, 2, 2, 2)
    (network.quantise(latents).codes * weight).sum().backward()
    assert torch.equal(latents.grad, weight)


def test_the_codebook_follows_the_moving_average():
    """One entry, two batches of n vectors: e = d m1 + (1 − d) m2 once the first batch has started it."""
    network = representation(VqVaeShape(downsamplings=3, embedding=2, codes=1, width=4, decay=0.9)).train()
    first, second = torch.randn(6, 2, 2, 2), 5 + torch.randn(6, 2, 2, 2)
    network.quantise(first)
    before = entries(network)[0].clone()
    network.quantise(second)
    expected = 0.9 * before + 0.1 * second.mean((0, 2, 3))
    assert torch.allclose(entries(network)[0], expected, atol=1e-3)


def test_the_codebook_does_not_move_in_use():
    network = representation().train()
    network.quantise(torch.randn(6, 2, 2, 2))
    network.eval()
    before = entries(network).clone()
    network.decode(network.encode(images()))
    assert torch.equal(entries(network), before)


def test_networks_are_periodic():
    """A shift by one latent cell shifts the latent map, and the map decodes to the shifted structure."""
    network = representation().eval()
    x = images()
    with torch.no_grad():
        latents, shifted = network.encode(x), network.encode(x.roll((8, 8), (1, 2)))
        assert torch.allclose(shifted, latents.roll((1, 1), (2, 3)), atol=1e-5)
        assert torch.allclose(network.decode(shifted), network.decode(latents).roll((8, 8), (1, 2)), atol=1e-5)


def test_decoded_structures_lie_between_the_phases():
    low, high = representation().eval().decode(100 * torch.randn(6, 2, 2, 2)).aminmax()
    assert 0 <= low <= high <= 1


def test_perplexity_counts_the_codes_in_use():
    assert codebook_use(torch.arange(8)[None, None], 8) == {"codes used": 1.0, "perplexity": pytest.approx(8)}
    assert codebook_use(torch.zeros(1, 4, 4, dtype=torch.int64), 8) == {"codes used": 0.125, "perplexity": 1.0}


def test_the_physical_loss_is_that_of_the_delivered_structure():
    wanted = images(3)
    assert float(property_loss(SOLVER, wanted, wanted)) == pytest.approx(0, abs=1e-6)
    grey = (0.2 + 0.6 * wanted.roll(1, 0)).requires_grad_()
    loss = property_loss(SOLVER, grey, wanted)
    expected = (SOLVER.solve(binarise(grey.detach())).values - SOLVER.solve(wanted).values).abs().mean()
    assert float(loss.detach()) == pytest.approx(float(expected), rel=1e-4)


def test_the_physical_loss_has_the_solvers_gradient():
    wanted = images(3)
    grey = (0.2 + 0.6 * wanted.roll(1, 0)).requires_grad_()
    property_loss(SOLVER, grey, wanted).backward()
    delivered = binarise(grey.detach()).requires_grad_()
    (SOLVER.solve(delivered).values - SOLVER.solve(wanted).values).abs().mean().backward()
    assert grey.grad.abs().max() > 0
    assert torch.allclose(grey.grad, delivered.grad, rtol=1e-3, atol=1e-7)


def trained(folder, *steps: int) -> VqVaeRepresentation:
    for count in steps:
        network = representation()
        settings = VqVaeTraining(steps=count, batch=8, steps_per_epoch=2, harmonics=9)
        train_vqvae(network, images(), SOLVER, settings, TrainerOptions(folder, "cpu", progress=False), seed=5)
    return network


def test_resumed_training_equals_an_undisturbed_one(tmp_path):
    """The codebook revives its dead entries at random: from the step's own seed, so a resumed run does the same."""
    whole, parts = trained(tmp_path / "whole", 6), trained(tmp_path / "parts", 2, 6)
    for (name, ours), theirs in zip(whole.state_dict().items(), parts.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs), name


def test_a_size_that_does_not_halve_is_said():
    with pytest.raises(InputError, match="multiple of 8 pixels, got 20"):
        representation(size=20)
