"""Labelling: the structures of a source through a solver into a labelled set, on one core, on many, or on a cluster.

Every chunk is one task: its structures are made, solved and written by the same worker, which sends back its index.
The parent hands out a bounded number of chunks at a time, so its memory does not grow with the set. On a cluster the
workers write to the store themselves: its path must mean the same folder on all machines.

A run may be killed at any moment: whole chunks stay, and the next run computes the others. A worker that dies loses
the chunk in hand, which Dask gives to another one.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from microwright.data.places import place_of
from microwright.data.sources import Samples, Source
from microwright.data.store import Chunk, LabelledSet
from microwright.errors import InputError
from microwright.physics.property import Solution, Solver, Status

if TYPE_CHECKING:
    from distributed import Client

#: called after each chunk with the number of samples done and of samples wanted
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Task:
    """One chunk to label, and the source, or its part, that holds the chunk's structures."""

    chunk: int
    source: Source


@dataclass(frozen=True)
class Labeller:
    """All that a worker keeps for a run."""

    solver: Solver
    path: Path | str
    device: str

    @cached_property
    def store(self) -> LabelledSet:
        """The set, opened once in each process: what a worker is sent has not opened it."""
        return LabelledSet.open(self.path)

    def __call__(self, task: Task) -> int:
        """Make, solve and write one chunk, and a text under ``failures`` for each sample that has a log."""
        store = self.store
        start, stop = store.bounds(task.chunk)
        samples = task.source.samples(start, stop)
        structures = samples.structures.to(self.device)
        solution, log = solve_each(self.solver.solve, structures, len(self.solver.properties))
        for index, message in log.items():
            store.place.write_text(f"failures/{start + index}.txt", message + "\n")
        store.write_chunk(task.chunk, _as_chunk(samples, solution))
        return task.chunk


def label(
    source: Source,
    solver: Solver,
    path: str | Path,
    count: int,
    *,
    chunk: int = 64,
    workers: int = 1,
    scheduler: str | None = None,
    timeout: float = 30.0,
    device: str = "cpu",
    progress: Progress | None = None,
) -> LabelledSet:
    """Label ``count`` structures, or finish the set at ``path`` that the same call left unfinished.

    Args:
        source: gives the structures.
        solver: gives the properties.
        path: the set, a folder or a URL as in ``s3://bucket/set.zarr``; one of the same source, solver and sizes is
            continued.
        count: number of samples.
        chunk: samples per chunk, the unit of work and of loss.
        workers: 1 works in this process, more start as many local processes of one thread each. A script that asks
            for more than one needs the usual guard ``if __name__ == "__main__":``.
        scheduler: address of a Dask scheduler to use instead, or the TOML file of a queue.
        timeout: seconds to wait for the scheduler and its first worker.
        device: torch device of the solver.
        progress: called after every chunk.

    Raises:
        InputError: arguments that cannot be, a path that holds something else, another run on the same set, a
            scheduler that does not answer, or a full disk.
    """
    if workers < 1:
        raise InputError(f"workers: expected at least 1, got {workers}; change --workers")
    with open_set(source, solver, path, count, chunk).locked() as store:
        where = store.path.resolve() if isinstance(store.path, Path) else store.path
        labeller = Labeller(solver, where, device)
        if scheduler is None and workers == 1:
            _label_here(labeller, source, store, progress)
        else:
            from microwright.data.workers import connected

            with connected(scheduler, workers, timeout) as client:
                _label_through(client, labeller, source, store, progress)
        return store


def open_set(source: Source, solver: Solver, path: str | Path, count: int, chunk: int = 64) -> LabelledSet:
    """The set that ``label`` fills: a new one, or the one at ``path`` if it was made for the same work.

    Raises:
        InputError: a source too short or of the wrong dimension, or a set made for other work.
    """
    if len(source.grid) != solver.dimensions:
        raise InputError(
            f"structures: {len(source.grid)}-D grid {source.grid}, the solver works in {solver.dimensions}-D; "
            "choose another property or other structures"
        )
    if count < 1 or (source.length is not None and count > source.length):
        raise InputError(f"count: expected 1 to {source.length or 'any number'}, got {count}; change --count")
    wanted: dict[str, Any] = {
        "count": count,
        "grid": list(source.grid),
        "latent_shape": None if source.latent_shape is None else list(source.latent_shape),
        "solver": _as_json(solver.spec()),
        "source": _as_json(source.spec()),
    }
    if place_of(path).exists():
        return _check_same_work(LabelledSet.open(path), wanted)
    return LabelledSet.create(path, properties=solver.properties, chunk=chunk, **wanted)


def solve_each(
    solve: Callable[[Tensor], Solution], structures: Float[Tensor, "batch *grid"], properties: int
) -> tuple[Solution, dict[int, str]]:
    """Solve a batch; where that raises, one structure at a time, and those that raise again are FAILED, with a log.

    An ``InputError`` is the caller's to mend and is passed on.

    Args:
        solve: ``solve`` or ``certify`` of a solver.
        structures: values in [0, 1].
        properties: number of properties that ``solve`` gives.
    """
    with torch.no_grad():
        try:
            solution = _on_cpu(solve(structures))
            return solution, dict(solution.log)
        except InputError:
            raise
        except Exception:
            return _solve_one_by_one(solve, structures, properties)


def _solve_one_by_one(
    solve: Callable[[Tensor], Solution], structures: Tensor, properties: int
) -> tuple[Solution, dict[int, str]]:
    parts: list[Solution] = []
    log: dict[int, str] = {}
    for index in range(len(structures)):
        try:
            parts.append(_on_cpu(solve(structures[index : index + 1])))
            if parts[-1].log:
                log[index] = parts[-1].log[0]
        except Exception as error:
            parts.append(_failure(properties))
            log[index] = f"{type(error).__name__}: {error}"
    return Solution.concatenate(parts), log


def _failure(properties: int) -> Solution:
    nan = torch.full((1, properties), torch.nan, dtype=torch.float64)
    status = torch.tensor([int(Status.FAILED)])
    return Solution(nan, nan, status, torch.full((1,), torch.nan, dtype=torch.float64), torch.zeros_like(status))


def _on_cpu(solution: Solution) -> Solution:
    """The solution in main memory; a value that is not finite is a failure, whatever its status says."""
    fields = {name: value.cpu() for name, value in vars(solution).items() if name != "log"}
    broken = ~torch.isfinite(fields["values"]).all(1)
    for name in ("values", "error_bar"):
        fields[name] = fields[name].double().masked_fill(broken[:, None], torch.nan)
    fields["status"] = fields["status"].masked_fill(broken, int(Status.FAILED))
    return Solution(**fields, log=solution.log)


def _as_chunk(samples: Samples, solution: Solution) -> Chunk:
    return Chunk(
        structures=samples.structures.numpy(),
        properties=solution.values.numpy(),
        error_bar=solution.error_bar.numpy(),
        status=solution.status.numpy().astype(np.uint8),
        latents=None if samples.latents is None else samples.latents.numpy().astype(np.float32),
    )


def _as_json(spec: dict[str, Any]) -> dict[str, Any]:
    """The spec as it comes back from the file: tuples as lists."""
    return json.loads(json.dumps(spec))


def _check_same_work(store: LabelledSet, wanted: dict[str, Any]) -> LabelledSet:
    """``store``, if its header says that it was made for the same work (chunks may have another size)."""
    header = store.header.model_dump()
    other = [name for name, value in wanted.items() if header[name] != value]
    if other:
        raise InputError(
            f"{store.path}: holds a set of another {', '.join(other)}; give another --out, or --force to replace it"
        )
    return store


def _label_here(labeller: Labeller, source: Source, store: LabelledSet, progress: Progress | None) -> None:
    reporter = _Reporter(store, progress)
    for chunk in store.missing_chunks():
        labeller(Task(chunk, source))
        reporter.finished(chunk)


def _label_through(
    client: Client, labeller: Labeller, source: Source, store: LabelledSet, progress: Progress | None
) -> None:
    from microwright.data.workers import run_tasks

    reporter = _Reporter(store, progress)
    tasks = (Task(chunk, source.portion(*store.bounds(chunk))) for chunk in store.missing_chunks())
    for chunk in run_tasks(client, labeller, tasks, name=f"microwright-{uuid.uuid4().hex}"):
        reporter.finished(chunk)


class _Reporter:
    """Counts samples for the progress callback, those of earlier runs included."""

    def __init__(self, store: LabelledSet, progress: Progress | None) -> None:
        self._store = store
        self._progress = progress or (lambda done, total: None)
        self._done = sum(stop - start for start, stop in map(store.bounds, np.flatnonzero(store.done).tolist()))
        self._progress(self._done, len(store))

    def finished(self, chunk: int) -> None:
        start, stop = self._store.bounds(chunk)
        self._done += stop - start
        self._progress(self._done, len(self._store))
