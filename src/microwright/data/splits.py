"""Reproducible division of a set into training, validation and test samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from microwright.errors import InputError


@dataclass(frozen=True)
class Split:
    """Indices of the three parts: disjoint, sorted, together all of the given samples."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]


def split(indices: Sequence[int] | NDArray[np.int64] | int, fractions: tuple[float, float, float], seed: int) -> Split:
    """Divide samples at random, the same way for the same seed.

    Args:
        indices: the samples (for instance ``LabelledSet.usable()``), or their number.
        fractions: shares of training, validation and test; they sum to 1.
        seed: of the shuffle.

    Raises:
        InputError: fractions that do not sum to 1, or fewer samples than parts asked for.
    """
    samples = np.arange(indices) if isinstance(indices, int) else np.asarray(indices, dtype=np.int64)
    if not (min(fractions) >= 0 and abs(sum(fractions) - 1) <= 1e-9):
        raise InputError(f"split: fractions must be >= 0 and sum to 1, got {fractions}; for instance 0.6 0.2 0.2")
    wanted = sum(fraction > 0 for fraction in fractions)
    if len(samples) < wanted:
        raise InputError(f"split: {len(samples)} samples for {wanted} parts; give more samples")
    shuffled = np.random.default_rng(seed).permutation(samples)
    cuts = _cuts(len(samples), fractions)
    train, validation, test = (np.sort(part) for part in np.split(shuffled, cuts))
    return Split(train, validation, test)


def _cuts(count: int, fractions: tuple[float, float, float]) -> list[int]:
    """Where the parts end; no part that was asked for stays empty."""
    sizes = [max(round(fraction * count), int(fraction > 0)) for fraction in fractions]
    while sum(sizes) != count:
        largest = int(np.argmax(sizes))
        sizes[largest] += int(np.sign(count - sum(sizes)))
    return [sizes[0], sizes[0] + sizes[1]]
