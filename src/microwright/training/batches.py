"""Batches that depend on the seed and the step alone.

Step t of a training always sees the same samples, whatever happened before it: a run that was killed and resumed from
its last checkpoint is the same run. Of several processes each takes its share of the same batch.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Shaped
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset


def step_generator(seed: int, step: int, rank: int = 0) -> torch.Generator:
    """A random generator that belongs to one step of one process."""
    mixed = (seed * 1_000_003 + step) * 1_009 + rank
    return torch.Generator().manual_seed(mixed % (2**63 - 1))


class StepBatches(IterableDataset):
    """Random batches of rows of some tensors, ``steps`` of them an epoch.

    Args:
        tensors: arrays with one row a sample.
        batch: rows a batch (all rows where there are fewer).
        steps: batches an epoch.
        seed: seed of the draw.
    """

    def __init__(self, tensors: tuple[Shaped[Tensor, "n ..."], ...], batch: int, steps: int, seed: int) -> None:
        self.tensors = tensors
        self.batch = min(batch, len(tensors[0]))
        self.steps = steps
        self.seed = seed
        self.epoch = 0
        self.rank = 0
        self.processes = 1

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        for step in range(self.steps):
            generator = step_generator(self.seed, self.epoch * self.steps + step)
            rows = torch.randperm(len(self.tensors[0]), generator=generator)[: self.batch]
            # equal shares, whose mean gradients average to the whole batch's
            yield tuple(tensor[rows[self.rank :: self.processes]] for tensor in self.tensors)

    def loader(self) -> DataLoader:
        """This dataset as Lightning takes it: batches are ready-made, so nothing is collated."""
        return DataLoader(self, batch_size=None)
