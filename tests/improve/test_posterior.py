"""What kin say of one another: exact at the calls, secants between them, sums of known moves, noise if any."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from microwright.improve.moves import level_field
from microwright.improve.posterior import Kinship, Posterior
from microwright.physics.surrogate.solver import Prediction
from tests.improve.toy_calls import POOL

UNRELATED = POOL.samples(0, 12).structures
WEIGHTS = torch.randn(16, 16, generator=torch.Generator().manual_seed(4)).double()


class Ignorant:
    """A surrogate that says zero of everything."""

    def predict(self, structures):
        nothing = torch.zeros(len(structures), 1)
        return Prediction(nothing, nothing)


def linear(structures):
    """A property that every pixel adds to."""
    return (structures.double() * WEIGHTS).flatten(1).sum(1, keepdim=True) / 16


def flipped(structure, places):
    other = structure.clone().flatten()
    other[places] = 1 - other[places]
    return other.reshape(structure.shape)


@pytest.fixture(scope="module")
def kin():
    base = UNRELATED[0]
    return torch.stack([base, *(flipped(base, list(range(start, start + 5))) for start in (0, 40, 80, 120))])


@pytest.fixture(scope="module")
def posterior(kin):
    known = torch.cat([UNRELATED[1:], kin])
    return Posterior(Ignorant(), known, linear(known), Kinship(UNRELATED))


def test_the_calls_are_known_exactly(posterior, kin):
    mean, spread = posterior(kin)
    torch.testing.assert_close(mean, linear(kin), atol=1e-6, rtol=0)
    assert float(spread.max()) < 1e-4 * float(posterior.scale[0])


def test_known_moves_add_up(posterior, kin):
    both = flipped(UNRELATED[0], [*range(5), *range(80, 85)])[None]
    new = flipped(UNRELATED[0], [*range(200, 205), *range(160, 165)])[None]
    (mean, spread), (_, unknown) = posterior(both), posterior(new)
    moves = (linear(kin[1:]) - linear(kin[:1])).abs().max()
    assert float((mean - linear(both)).abs()) < 0.02 * float(moves)
    assert float(spread) < 0.25 * float(unknown)


def test_between_two_calls_the_way_is_surer_than_beyond_them():
    base, field = UNRELATED[0], level_field(UNRELATED[0].numpy().astype(np.uint8))
    order = np.argsort(np.abs(field).ravel())
    ways = torch.stack([flipped(base, order[:count].tolist()) for count in (0, 10, 20, 30)])
    posterior = Posterior(Ignorant(), ways[[0, 2]], linear(ways[[0, 2]]), Kinship(UNRELATED))
    _, spread = posterior(ways)
    assert spread[0] < spread[1] < spread[3] and spread[2] < spread[1]


def test_a_noisy_simulator_is_not_taken_at_its_word():
    """The same structures twice, with noise: the mean lies between, and no weight explodes."""
    known = torch.cat([UNRELATED, UNRELATED])
    noise = 0.05 * torch.randn(len(known), 1, generator=torch.Generator().manual_seed(5)).double()
    posterior = Posterior(Ignorant(), known, linear(known) + noise, Kinship(UNRELATED))
    mean, _ = posterior(UNRELATED)
    assert float((mean - linear(UNRELATED)).abs().max()) < 0.15


def test_distances_count_pixels_and_their_surroundings():
    kinship = Kinship(UNRELATED)
    base = UNRELATED[:1]
    one = flipped(base[0], [0])[None]
    together = flipped(base[0], [0, 1])[None]
    features = kinship.features(base)
    squared = [float(kinship.squared(other, features)) for other in (base, one, together)]
    assert abs(squared[0]) < 1e-9 < squared[1] < squared[2]
    assert float(kinship.correlation(base, features)) == pytest.approx(1.0)
    apart = kinship.squared(UNRELATED, kinship.features(UNRELATED))
    assert float(apart.sum()) / (12 * 11) == pytest.approx(kinship.length**2)
