r"""Moves: what a search may try next, starting from structures that it knows.

A structure is the set φ > 0 of its signed distance φ to the phase boundary (in pixels, positive in phase 1). Its
moves keep the morphology, since they flip pixels in the order of a field and not at random over the grid:

*Level-set moves* φ → φ + a (u + c) with a random smooth field u, a random drift c and the amplitude a > 0 that flips
just the wanted number of pixels. For u = 0 it is dilation or erosion; boundaries move by the velocity a (u + c) as in
the level-set method (Osher & Sethian, J. Comput. Phys. 79 (1988) 12). White u flips single pixels of the boundary, and
that is what the last digits of a property need.

*Crossings* of two structures A, B that share most of their pixels: those in which they differ take B's phase one after
the other, in the order of a random field. The property goes in small steps from that of A to that of B, so that where
one lies below the target and the other above, every such path meets it: a bracket as in the regula falsi, closed down
to one pixel.

*Recombinations* of a structure with its kin: the moves that led from it to two or three of them, made together. What
each did alone is known, and moves of few pixels nearly add up: m calls give about m³ values that need no guess.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray
from scipy.ndimage import distance_transform_edt, gaussian_filter

#: signed distances are cut here, in pixels: no boundary moves further at once
FURTHEST = 8
#: weight and width in pixels of the smoothed phase that orders pixels of one distance: outward corners go first
TIE, TIE_WIDTH = 0.4, 1.5
#: correlation lengths of the random fields, in pixels
LENGTHS = (0.0, 0.0, 1.0, 2.0, 4.0, 8.0)


def level_field(structure: UInt8[ndarray, "*grid"]) -> Float[ndarray, "*grid"]:
    """Signed distance φ to the periodic phase boundary, in pixels; φ > 0 exactly in phase 1."""
    wrapped = np.pad(structure, FURTHEST, mode="wrap")
    distance = distance_transform_edt(wrapped) - distance_transform_edt(1 - wrapped)
    distance = distance[(slice(FURTHEST, -FURTHEST),) * structure.ndim]
    distance = np.clip(distance - 0.5 * np.sign(distance), -FURTHEST, FURTHEST)
    return distance + TIE * (gaussian_filter(structure.astype(float), TIE_WIDTH, mode="wrap") - 0.5)


def random_field(grid: tuple[int, ...], length: float, random: np.random.Generator) -> Float[ndarray, "*grid"]:
    """Periodic Gaussian field of variance one, smoothed over ``length`` pixels."""
    field = random.standard_normal(grid)
    if length > 0:
        field = gaussian_filter(field, length, mode="wrap")
    return field / max(float(field.std()), 1e-12)


def level_moves(
    structure: UInt8[ndarray, "*grid"], count: int, shares: tuple[float, float], random: np.random.Generator
) -> list[UInt8[ndarray, "*grid"]]:
    """``count`` level-set moves at most; the share of pixels that each flips is log-uniform between ``shares``.

    A structure of one phase has no boundary, and so no moves.
    """
    if structure.min() == structure.max():
        return []
    levels = level_field(structure)
    found = []
    for _ in range(count):
        velocity = random_field(structure.shape, random.choice(LENGTHS), random) + random.standard_normal()
        share = np.exp(random.uniform(*np.log(shares)))
        flipped = first_flipped(levels, velocity, max(1, round(share * structure.size)))
        if flipped.any():
            found.append(np.where(flipped, 1 - structure, structure).astype(np.uint8))
    return found


def first_flipped(
    levels: Float[ndarray, "*grid"], velocity: Float[ndarray, "*grid"], count: int
) -> Bool[ndarray, "*grid"]:
    """The ``count`` pixels that change sign first as φ + a·velocity goes up from a = 0; none where too few ever do."""
    amplitude = np.full(levels.shape, np.inf)
    np.divide(-levels, velocity, out=amplitude, where=levels * velocity < 0)
    last = np.partition(amplitude.ravel(), count - 1)[count - 1]
    return (amplitude <= last) & np.isfinite(last)


def crossings(
    first: UInt8[ndarray, "*grid"], second: UInt8[ndarray, "*grid"], count: int, random: np.random.Generator
) -> list[UInt8[ndarray, "*grid"]]:
    """``count`` structures on as many paths from ``first`` to ``second``; none where at most one pixel differs."""
    places = np.flatnonzero(first.ravel() != second.ravel())
    if len(places) < 2:
        return []
    found = []
    for _ in range(count):
        order = random_field(first.shape, random.choice(LENGTHS), random).ravel()[places].argsort()
        taken = places[order[: random.integers(1, len(places))]]
        crossed = first.copy().ravel()
        crossed[taken] = second.ravel()[taken]
        found.append(crossed.reshape(first.shape))
    return found


def recombinations(
    structure: UInt8[ndarray, "*grid"],
    kin: list[UInt8[ndarray, "*grid"]],
    count: int,
    random: np.random.Generator,
) -> list[UInt8[ndarray, "*grid"]]:
    """``count`` times the moves from ``structure`` to two or three of its kin together; none where there is one kin."""
    if len(kin) < 2:
        return []
    moved = np.stack([other != structure for other in kin])
    found = []
    for _ in range(count):
        chosen = random.permutation(len(kin))[: random.integers(2, 4)]
        found.append(np.where(moved[chosen].any(0), 1 - structure, structure).astype(np.uint8))
    return found
