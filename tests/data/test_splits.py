"""Splits: disjoint, complete, reproducible."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microwright.data.splits import split
from microwright.errors import InputError


@given(count=st.integers(3, 300), weights=st.tuples(*[st.integers(1, 20)] * 3), seed=st.integers(0, 2**32))
def test_parts_are_disjoint_and_complete(count, weights, seed):
    fractions = tuple(weight / sum(weights) for weight in weights)
    samples = np.arange(count) * 7
    parts = split(samples, fractions, seed)
    together = np.concatenate([parts.train, parts.validation, parts.test])
    assert np.array_equal(np.sort(together), samples)
    for part, fraction in zip((parts.train, parts.validation, parts.test), fractions, strict=True):
        assert len(part) >= 1
        assert abs(len(part) - fraction * count) <= 3
        assert (np.diff(part) > 0).all()


def test_a_part_may_be_empty_when_asked():
    parts = split(10, (0.8, 0.2, 0.0), seed=0)
    assert (len(parts.train), len(parts.validation), len(parts.test)) == (8, 2, 0)


def test_the_seed_decides():
    first, second, other = (split(100, (0.6, 0.2, 0.2), seed).train for seed in (1, 1, 2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("fractions", [(0.5, 0.2, 0.2), (1.2, -0.2, 0.0), (float("nan"), 0.5, 0.5)])
def test_bad_fractions_are_refused(fractions):
    with pytest.raises(InputError, match="fractions"):
        split(10, fractions, seed=0)


def test_too_few_samples_are_refused():
    with pytest.raises(InputError, match="2 samples for 3 parts"):
        split(2, (0.6, 0.2, 0.2), seed=0)
