"""The structures of Sardeshmukh et al.'s VAE-Regression paper, from seeds, and their stiffness as shipped.

Uniform noise on 51^3 voxels, convolved with periodic Gaussian filters of sigma = (i, j, k), i, j, k in {1, 3, 5, 7} (64
filters), and cut so that the hard phase takes a share drawn uniformly from 0.25 to 0.75. Structure i belongs to filter
i mod 64, so that any leading part of the set holds all filters alike, and has a seed of its own, so that it can be made
alone. The published set (Fernandez-Zelaia et al., Integr. Mater. Manuf. Innov. 8, 2019) was made the same way with
seeds unknown; about 8,900 volumes, as here.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from microwright.errors import InputError
from microwright.structures.random_fields import filtered_noise

#: standard deviations of the 64 filters, voxels
FILTERS = tuple(itertools.product((1, 3, 5, 7), (1, 3, 5, 7), (1, 3, 5, 7)))
_SHIPPED = "shipped/filtered_noise_stiffness.npz"


@dataclass(frozen=True)
class FilteredNoiseSet:
    """A set of structures, each of which its number and the set's seed make.

    Attributes:
        seed: of the set, in [0, 65535].
        size: number of structures, at most 65536.
        grid: voxels per axis.
        phase_fractions: range of the share of phase 1.
    """

    seed: int = 0
    size: int = 64 * 139
    grid: tuple[int, int, int] = (51, 51, 51)
    phase_fractions: tuple[float, float] = (0.25, 0.75)

    def __post_init__(self) -> None:
        # torch's CPU generator keeps 32 bits of a seed: 16 for the set, 16 for the structure
        if not 0 <= self.seed < 1 << 16:
            raise InputError(f"seed: expected 0 to 65535, got {self.seed}")
        if not 1 <= self.size <= 1 << 16:
            raise InputError(f"size: expected 1 to 65536, got {self.size}")

    def sigma(self, index: int) -> tuple[int, int, int]:
        """Standard deviations of the filter of structure ``index``, voxels."""
        return FILTERS[index % len(FILTERS)]

    def phase_fraction(self, index: int) -> float:
        """Share of phase 1 of structure ``index``, before it is rounded to whole voxels."""
        return self._draw_fraction(self._generator(index))

    def structures(self, indices: Iterable[int]) -> Float[Tensor, "batch x y z"]:
        """The structures of these numbers, 0 and 1."""
        return torch.cat([self._structure(index) for index in indices])

    def _structure(self, index: int) -> Tensor:
        generator = self._generator(index)
        fraction = self._draw_fraction(generator)
        return filtered_noise(self.grid, self.sigma(index), fraction, generator=generator)

    def _generator(self, index: int) -> torch.Generator:
        if not 0 <= index < self.size:
            raise InputError(f"index: expected 0 to {self.size - 1}, got {index}")
        return torch.Generator().manual_seed((self.seed << 16) + index)

    def _draw_fraction(self, generator: torch.Generator) -> float:
        low, high = self.phase_fractions
        return low + (high - low) * float(torch.rand((), generator=generator, dtype=torch.float64))


@dataclass(frozen=True)
class ShippedStiffness:
    """Effective stiffness of the default ``FilteredNoiseSet``, as it ships with the package.

    Attributes:
        indices: numbers of the structures.
        values: one column per property asked for, GPa.
        error_bar: bounds of their error, GPa.
        solver: spec of the solver that made them.
    """

    indices: Int[Tensor, "batch"]
    values: Float[Tensor, "batch properties"]
    error_bar: Float[Tensor, "batch properties"]
    solver: dict[str, Any]


def shipped_stiffness(names: Sequence[str] = ("C11",)) -> ShippedStiffness:
    """Labels of all structures for which every one of ``names`` was computed.

    Raises:
        InputError: a name that does not ship.
    """
    with np.load(str(files("microwright.data") / _SHIPPED), allow_pickle=False) as archive:
        content = {key: archive[key] for key in archive.files}
    columns = json.loads(str(content["names"]))
    for name in names:
        if name not in columns:
            raise InputError(f"names: {name!r} does not ship; choose among {', '.join(columns)}")
    where = [columns.index(name) for name in names]
    values, bars = (torch.from_numpy(content[key][:, where]) for key in ("values", "error_bar"))
    known = ~values.isnan().any(1)
    return ShippedStiffness(known.nonzero().squeeze(1), values[known], bars[known], json.loads(str(content["solver"])))
