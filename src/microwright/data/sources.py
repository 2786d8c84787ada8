"""Where the structures of a set come from.

A *source* gives the structures of any index range. Sample ``i`` depends on the seed and on ``i`` alone, so neither
chunk size nor order of work nor number of workers changes a set. A source that decodes latents (a generator network)
returns these as well. New kinds of source implement ``Source`` and need no change elsewhere.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from microwright.errors import InputError
from microwright.structures.random_fields import check_grid, colour, cut_at_fraction, gaussian_filter

#: a parameter: one number for all samples, or (low, high) to draw one per sample uniformly
Parameter = float | tuple[float, float]


@dataclass(frozen=True)
class Samples:
    """Structures (0/1, float32), with the latents that they were decoded from where there are any."""

    structures: Float[Tensor, "count *grid"]
    latents: Float[Tensor, "count *latent"] | None = None


class Source(ABC):
    """Structures by index."""

    #: pixels per axis
    grid: tuple[int, ...]
    #: shape of one latent, None for a source without latents
    latent_shape: tuple[int, ...] | None = None
    #: number of samples there are; None where there is no end
    length: int | None = None

    @abstractmethod
    def samples(self, start: int, stop: int) -> Samples:
        """Samples ``start`` to ``stop - 1``; the same whatever range they are asked for in."""

    @abstractmethod
    def spec(self) -> dict[str, Any]:
        """Family, parameters and seeds as JSON: enough to make the same structures again."""

    def portion(self, start: int, stop: int) -> Source:
        """What a worker needs to make samples ``start`` to ``stop - 1``: this source, unless it is large."""
        return self


@dataclass(frozen=True)
class RandomFieldSource(Source):
    """Level-cut Gaussian random fields; see ``microwright.structures.random_fields``.

    Attributes:
        grid: pixels per axis.
        mean: mean of the spectral density, k' units (10 at the Nyquist frequency).
        std: its standard deviation, k' units.
        phase_fraction: share of phase 1.
        seed: of all samples.
    """

    grid: tuple[int, ...]
    mean: Parameter = -8.0
    std: Parameter = 3.0
    phase_fraction: Parameter = 0.25
    seed: int = 0

    def __post_init__(self) -> None:
        check_grid(self.grid)
        _check_parameters(self, "mean", "std", "phase_fraction")

    def samples(self, start: int, stop: int) -> Samples:
        generators = [sample_generator(self.seed, index) for index in range(start, stop)]
        mean, std, fraction = (_draw(p, generators) for p in (self.mean, self.std, self.phase_fraction))
        noise = torch.stack([torch.randn(self.grid, generator=g, dtype=torch.float64) for g in generators])
        return Samples(cut_at_fraction(colour(noise, mean, std), fraction))

    def spec(self) -> dict[str, Any]:
        return {"family": "gaussian random field", **_plain(asdict(self))}


@dataclass(frozen=True)
class FilteredNoiseSource(Source):
    """Uniform noise under Gaussian filters; see ``microwright.structures.random_fields``.

    Attributes:
        grid: pixels per axis.
        sigmas: the filters, each one standard deviation per axis in pixels; sample i takes filter i mod their number.
        phase_fraction: share of phase 1.
        seed: of all samples.
    """

    grid: tuple[int, ...]
    sigmas: tuple[tuple[float, ...], ...]
    phase_fraction: Parameter = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        check_grid(self.grid)
        _check_parameters(self, "phase_fraction")
        if not self.sigmas or any(len(sigma) != len(self.grid) or min(sigma) < 0 for sigma in self.sigmas):
            raise InputError(
                f"sigma: each filter needs {len(self.grid)} widths >= 0, got {self.sigmas}; change --sigma"
            )

    def samples(self, start: int, stop: int) -> Samples:
        generators = [sample_generator(self.seed, index) for index in range(start, stop)]
        fraction = _draw(self.phase_fraction, generators)
        noise = [torch.rand((1, *self.grid), generator=g, dtype=torch.float64) for g in generators]
        filters = [self.sigmas[index % len(self.sigmas)] for index in range(start, stop)]
        fields = [gaussian_filter(field, sigma) for field, sigma in zip(noise, filters, strict=True)]
        return Samples(cut_at_fraction(torch.cat(fields), fraction))

    def spec(self) -> dict[str, Any]:
        return {"family": "filtered noise", **_plain(asdict(self))}


class ArraySource(Source):
    """Structures (and latents) that exist already, in memory, in a memory-mapped file or in a store.

    Args:
        structures: array-like of shape ``(n, *grid)`` with 0/1 values, sliced lazily.
        origin: what to write into the set's ``source``, for instance the file's name.
        latents: array-like of shape ``(n, *latent)``.
    """

    def __init__(self, structures: Any, origin: dict[str, Any] | str, latents: Any = None) -> None:
        if len(structures.shape) not in (3, 4) or 0 in structures.shape:
            raise InputError(f"structures: expected (n, x, y) or (n, x, y, z), got {structures.shape}; add an axis")
        if latents is not None and len(latents) != len(structures):
            raise InputError(f"latents: {len(latents)} for {len(structures)} structures; give one per structure")
        self._structures = structures
        self._latents = latents
        self._offset = 0
        self._origin = origin
        self.grid = tuple(int(n) for n in structures.shape[1:])
        self.length = int(structures.shape[0])
        self.latent_shape = None if latents is None else tuple(int(n) for n in latents.shape[1:])

    def samples(self, start: int, stop: int) -> Samples:
        part = slice(start - self._offset, stop - self._offset)
        structures = torch.as_tensor(np.asarray(self._structures[part])).float()
        latents = None if self._latents is None else torch.as_tensor(np.asarray(self._latents[part])).float()
        return Samples(structures, latents)

    def spec(self) -> dict[str, Any]:
        return {"family": "array", "origin": self._origin}

    def portion(self, start: int, stop: int) -> ArraySource:
        """The asked samples alone, under their own indices: a large array is not sent to workers whole."""
        part = slice(start - self._offset, stop - self._offset)
        latents = None if self._latents is None else np.asarray(self._latents[part])
        piece = ArraySource(np.asarray(self._structures[part]), self._origin, latents)
        piece._offset = start
        return piece


def sample_generator(seed: int, index: int) -> torch.Generator:
    """A generator of its own for each index of a seed.

    torch's CPU generator keeps 32 bits of its seed, and hashes of 32 bits collide within a set of a hundred thousand.
    So the index goes through a permutation of 32-bit words that the seed chooses: no two samples of a set are alike.
    """
    word = index
    for key in np.random.SeedSequence(seed).generate_state(3).tolist():
        word = _permute_word(word ^ key)
    return torch.Generator().manual_seed(word)


def _permute_word(word: int) -> int:
    """The finaliser of MurmurHash3, a one-to-one map of 32-bit words."""
    word ^= word >> 16
    word = word * 0x85EBCA6B & 0xFFFFFFFF
    word ^= word >> 13
    word = word * 0xC2B2AE35 & 0xFFFFFFFF
    return word ^ word >> 16


def _draw(parameter: Parameter, generators: list[torch.Generator]) -> Tensor:
    """The parameter of each sample; a fixed number draws nothing."""
    if not isinstance(parameter, tuple):
        return torch.full((len(generators),), float(parameter), dtype=torch.float64)
    low, high = parameter
    uniform = torch.cat([torch.rand(1, generator=g, dtype=torch.float64) for g in generators])
    return low + (high - low) * uniform


def _check_parameters(source: Source, *names: str) -> None:
    for name in names:
        value = getattr(source, name)
        bounds = np.atleast_1d(np.asarray(value, dtype=float))
        if len(bounds) > 2 or not np.isfinite(bounds).all() or (np.diff(bounds) < 0).any():
            raise InputError(f"{name}: expected a number or (low, high), got {value}; change it")
    if isinstance(getattr(source, "seed", 0), bool) or getattr(source, "seed", 0) < 0:
        raise InputError("seed: expected a whole number >= 0; change --seed")


def _plain(value: Any) -> Any:
    """Tuples as lists, as JSON has them."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
