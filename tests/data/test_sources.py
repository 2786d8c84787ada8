"""Sources: sample i depends on the seed and on i alone."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from microwright.data.sources import (
    ArraySource,
    FilteredNoiseSource,
    RandomFieldSource,
    _permute_word,
    sample_generator,
)
from microwright.errors import InputError
from microwright.structures.statistics import phase_fraction

SOURCES = [
    RandomFieldSource((16, 16), mean=(-8, 0), std=(0.8, 3), phase_fraction=(0.2, 0.6), seed=3),
    RandomFieldSource((6, 7, 8), seed=3),
    FilteredNoiseSource((12, 12), sigmas=((1, 1), (1, 3), (3, 1)), phase_fraction=(0.2, 0.6), seed=3),
    ArraySource((np.random.default_rng(0).random((40, 5, 6)) < 0.3), "drawn", np.arange(40.0).reshape(40, 1)),
]


@settings(max_examples=30, deadline=None)
@given(source=st.sampled_from(SOURCES), start=st.integers(0, 20), first=st.integers(1, 10), second=st.integers(1, 10))
def test_ranges_do_not_matter(source, start, first, second):
    middle, stop = start + first, start + first + second
    whole = source.samples(start, stop)
    parts = [source.samples(start, middle), source.portion(middle, stop).samples(middle, stop)]
    assert torch.equal(whole.structures, torch.cat([part.structures for part in parts]))
    assert whole.structures.shape == (first + second, *source.grid)
    assert set(whole.structures.unique().tolist()) <= {0.0, 1.0}
    if source.latent_shape is not None:
        assert torch.equal(whole.latents, torch.cat([part.latents for part in parts]))


@pytest.mark.parametrize("source", SOURCES)
def test_the_spec_is_json(source):
    assert json.loads(json.dumps(source.spec())) == source.spec()


def test_samples_and_seeds_differ():
    first = SOURCES[0].samples(0, 20).structures.flatten(1)
    assert len(first.unique(dim=0)) == 20
    other = RandomFieldSource((16, 16), mean=(-8, 0), std=(0.8, 3), phase_fraction=(0.2, 0.6), seed=4)
    assert not torch.equal(first, other.samples(0, 20).structures.flatten(1))


def test_drawn_parameters_fill_their_interval():
    fractions = phase_fraction(SOURCES[0].samples(0, 200).structures)
    assert fractions.min() > 0.19 and fractions.max() < 0.61
    assert abs(fractions.mean() - 0.4) < 0.03
    assert abs(fractions.std() - 0.4 / 12**0.5) < 0.02


def test_seeds_of_samples_do_not_collide():
    """The map of words is one to one: the finaliser of MurmurHash3 is inverted by its published inverse."""
    words = np.random.default_rng(0).integers(0, 2**32, 1000).tolist()
    assert [_inverse(_permute_word(word)) for word in words] == words
    seeds = {sample_generator(7, index).initial_seed() for index in range(20_000)}
    assert len(seeds) == 20_000 and max(seeds) < 2**32


def _inverse(word: int) -> int:
    word ^= word >> 16
    word = word * pow(0xC2B2AE35, -1, 2**32) % 2**32
    word ^= (word >> 13) ^ (word >> 26)
    word = word * pow(0x85EBCA6B, -1, 2**32) % 2**32
    return word ^ (word >> 16)


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: RandomFieldSource((8,)), "grid"),
        (lambda: RandomFieldSource((8, 8), mean=(0.0, -1.0)), "mean"),
        (lambda: RandomFieldSource((8, 8), phase_fraction=float("nan")), "fraction"),
        (lambda: RandomFieldSource((8, 8), seed=-1), "seed"),
        (lambda: FilteredNoiseSource((8, 8), sigmas=((1, 1, 1),)), "sigma"),
        (lambda: FilteredNoiseSource((8, 8), sigmas=()), "sigma"),
        (lambda: ArraySource(np.zeros((3, 4)), "flat"), "structures"),
        (lambda: ArraySource(np.zeros((0, 4, 4)), "empty"), "structures"),
        (lambda: ArraySource(np.zeros((3, 4, 4)), "x", np.zeros((2, 1))), "latents"),
    ],
)
def test_bad_sources_are_named(make, word):
    with pytest.raises(InputError, match=word):
        make()
