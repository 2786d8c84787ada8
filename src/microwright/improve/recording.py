"""A simulator that remembers: each call is in a labelled store, and no structure is simulated twice.

Calls come in batches. The structures of a batch are written first (``batch-0003.npy``), then labelled one sample a
chunk (``batch-0003.zarr``), so that a kill at any moment loses at most the calls in hand. A search on top of it that
depends on its seed and on the answers alone is therefore resumable by running it again: the answers that are there come
from the store, the search takes the same turns, and goes on where the simulator was last called.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from microwright.data.labelling import label
from microwright.data.sources import ArraySource
from microwright.data.store import Chunk, LabelledSet
from microwright.errors import InputError
from microwright.physics.property import Solution, Solver, Status, check_structures

#: called after each batch with the number of calls so far
Called = Callable[[int], None]


class BudgetSpent(Exception):
    """The next call would exceed the budget; all calls that were made are recorded."""


@dataclass
class Calls:
    """What was simulated, in order.

    Attributes:
        structures: 0/1.
        values: NaN where the simulator failed.
        error_bar: the simulator's own; NaN where unknown.
        status: a ``Status`` for each.
    """

    structures: Float[Tensor, "n *grid"]
    values: Float[Tensor, "n properties"]
    error_bar: Float[Tensor, "n properties"]
    status: Tensor

    def __len__(self) -> int:
        return len(self.values)

    @property
    def usable(self) -> Tensor:
        """Indices of the calls that converged, in order."""
        good = (self.status == int(Status.CONVERGED)) & self.values.isfinite().all(1)
        return torch.nonzero(good).flatten()


@dataclass
class RecordedSimulator(Solver):
    """A simulator whose calls are kept in ``folder`` and counted against a budget.

    Attributes:
        simulator: any solver, for instance an external command.
        folder: of the batches; those of an earlier run are answers, and a batch that was cut short is finished.
        budget: calls at most.
        known: labels by the same simulator that were there before; they cost no call.
        labelling: further arguments of ``label``: workers, scheduler, …
        called: told after each batch.
    """

    simulator: Solver
    folder: Path
    budget: int
    known: Calls | None = None
    labelling: dict[str, Any] = field(default_factory=dict)
    called: Called | None = None
    _batches: list[Calls] = field(default_factory=list)
    _answers: dict[bytes, tuple[Tensor, Tensor, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.budget < 1:
            raise InputError(f"budget: {self.budget} calls of the simulator teach nothing; allow at least 1")
        self.properties, self.dimensions = self.simulator.properties, self.simulator.dimensions
        if self.known is not None:
            self._remember(self.known)
        self.folder.mkdir(parents=True, exist_ok=True)

    @property
    def count(self) -> int:
        """Calls so far."""
        return sum(map(len, self._batches))

    def knows(self, structures: Float[Tensor, "batch *grid"]) -> list[bool]:
        """Whether the answer for each binary structure is there already."""
        return [_key(structure) in self._answers for structure in structures.to(torch.uint8)]

    def spec(self) -> dict[str, Any]:
        return self.simulator.spec()

    def solve(self, structures: Float[Tensor, "batch *grid"]) -> Solution:
        """What the simulator says; only what it has not said before is asked of it.

        Raises:
            InputError: no binary structures.
            BudgetSpent: some structures would exceed the budget; as many as the budget allows were simulated.
        """
        check_structures(structures, self.dimensions)
        binary = structures.detach().round().to(torch.uint8).cpu()
        keys = [_key(structure) for structure in binary]
        while new := self._unanswered(keys):
            room = self.budget - self.count
            if room < 1:
                raise BudgetSpent
            self._next_batch(binary[new[:room]])
        answers = [self._answers[key] for key in keys]
        return Solution(
            values=torch.stack([values for values, _, _ in answers]).to(structures.device),
            error_bar=torch.stack([bar for _, bar, _ in answers]).to(structures.device),
            status=torch.tensor([status for _, _, status in answers]),
            residual=torch.zeros(len(answers), dtype=torch.float64),
            iterations=torch.zeros(len(answers), dtype=torch.int64),
        )

    def calls(self) -> Calls:
        """Everything that was simulated here, in order."""
        return _joined(self._batches)

    def record(self) -> Calls:
        """Everything that is known: labels from before, then the calls."""
        return _joined([*([] if self.known is None else [self.known]), *self._batches])

    def write_set(self, path: Path) -> LabelledSet:
        """All calls as one labelled set, for a training or for a later search."""
        calls = self.calls()
        labelled = LabelledSet.create(
            path,
            count=len(calls),
            grid=tuple(calls.structures.shape[1:]),
            properties=self.properties,
            solver=self.simulator.spec(),
            source={"family": "active learning", "calls": len(calls)},
        )
        for chunk in range(labelled.header.chunks):
            part = slice(*labelled.bounds(chunk))
            labelled.write_chunk(
                chunk,
                Chunk(
                    structures=calls.structures[part].to(torch.uint8).numpy(),
                    properties=calls.values[part].numpy(),
                    error_bar=calls.error_bar[part].numpy(),
                    status=calls.status[part].to(torch.uint8).numpy(),
                ),
            )
        return labelled

    def _unanswered(self, keys: list[bytes]) -> list[int]:
        """Where the structures without an answer stand, each of them once."""
        first = {key: index for index, key in reversed(list(enumerate(keys))) if key not in self._answers}
        return sorted(first.values())

    def _next_batch(self, structures: Tensor) -> None:
        """Label ``structures``; or take the next batch of an earlier run, the same if that run took these turns."""
        path = self.folder / f"batch-{len(self._batches):04d}.npy"
        if not path.exists():
            draft = path.with_suffix(".partial")
            with draft.open("wb") as file:
                np.save(file, structures.numpy(), allow_pickle=False)
            draft.replace(path)
        self._take(self._labelled(path))
        if self.called is not None:
            self.called(self.count)

    def _labelled(self, path: Path) -> LabelledSet:
        """The labels of a batch; only those that an earlier run left out are made now."""
        structures = np.load(path, allow_pickle=False)
        origin = {"batch": path.stem, "sha256": hashlib.sha256(structures.tobytes()).hexdigest()}
        source = ArraySource(structures, origin)
        store = path.with_suffix(".zarr")
        return label(source, self.simulator, store, len(structures), chunk=1, **self.labelling)

    def _take(self, batch: LabelledSet) -> None:
        calls = Calls(
            torch.as_tensor(batch.structures[:]).float(),
            torch.as_tensor(batch.properties[:]),
            torch.as_tensor(batch.error_bar[:]),
            torch.as_tensor(batch.status[:]).long(),
        )
        self._batches.append(calls)
        self._remember(calls)

    def _remember(self, calls: Calls) -> None:
        for structure, values, bar, status in zip(*vars(calls).values(), strict=True):
            self._answers[_key(structure.to(torch.uint8))] = (values, bar, int(status))


def _joined(parts: list[Calls]) -> Calls:
    if not parts:
        raise InputError("calls: nothing was simulated yet; call the simulator first")
    names = ("structures", "values", "error_bar", "status")
    return Calls(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names})


def _key(structure: Tensor) -> bytes:
    """What tells one structure of a grid from another."""
    return hashlib.sha256(structure.numpy().tobytes()).digest()
