"""Whether designs differ: distances between periodic structures, and a choice without near-duplicates.

A periodic structure has no origin, so two are compared at the translation at which they agree best: the *pixel
distance* is the smallest share of differing pixels over all translations t. For binary x, y of phase fractions f, g

    d(x, y) = f + g − 2 max_t ⟨x(s) y(s + t)⟩,

whose correlation is one product of Fourier transforms. Structures of one morphology but another arrangement are told
apart by the *two-point distance* (`microwright.structures.statistics.two_point_distance`).
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from microwright.structures.statistics import two_point_distance

#: share of differing pixels below which two designs count as one
NEAR = 0.02


def pixel_distance(first: Float[Tensor, "m *grid"], second: Float[Tensor, "n *grid"]) -> Float[Tensor, "m n"]:
    """Smallest share of differing pixels of each pair over all translations."""
    axes = tuple(range(1, first.ndim))
    ours, theirs = (torch.fft.rfftn(structures.double(), dim=axes) for structures in (first, second))
    return torch.stack([_distances(first[i], ours[i], second, theirs) for i in range(len(first))])


def _distances(structure: Tensor, spectrum: Tensor, others: Tensor, spectra: Tensor) -> Float[Tensor, "n"]:
    axes = tuple(range(1, others.ndim))
    correlation = torch.fft.irfftn(spectrum[None].conj() * spectra, s=structure.shape, dim=axes) / structure.numel()
    fractions = structure.double().mean() + others.double().flatten(1).mean(1)
    return (fractions - 2 * correlation.flatten(1).amax(1)).clamp_min(0.0)


def choose_distinct(
    structures: Float[Tensor, "n *grid"], order: Iterable[int], count: int, near: float = NEAR
) -> list[int]:
    """The first ``count`` structures of an order of preference that are no near-duplicates of one chosen before.

    Returns fewer where the rest are all near-duplicates.
    """
    chosen: list[int] = []
    for index in order:
        if len(chosen) == count:
            break
        if not chosen or float(pixel_distance(structures[[index]], structures[chosen]).min()) > near:
            chosen.append(index)
    return chosen


def mean_pairwise(distances: Float[Tensor, "n n"]) -> float:
    """Mean over the pairs of different structures; NaN for a single one."""
    n = len(distances)
    return float(distances.sum() - distances.diagonal().sum()) / (n * (n - 1)) if n > 1 else float("nan")


def diversity(structures: Float[Tensor, "n *grid"]) -> dict[str, float]:
    """Smallest and mean pixel distance of a set, and its mean two-point distance."""
    pixels = pixel_distance(structures, structures)
    apart = pixels[~torch.eye(len(pixels), dtype=torch.bool)]
    return {
        "smallest_pixel_distance": float(apart.min()) if len(apart) else float("nan"),
        "mean_pixel_distance": mean_pairwise(pixels),
        "mean_two_point_distance": mean_pairwise(two_point_distance(structures.double(), structures.double())),
    }
