"""Labelling at scale: two workers against one, memory of the parent, overhead for each structure.

    python -m benchmarks.scale speed      results/scale-speed.json
    python -m benchmarks.scale memory     results/scale-memory.json
    python -m benchmarks.scale overhead   results/scale-overhead.json

Times are taken from the first finished chunk to the last, so that starting processes does not count; what it takes
stands beside. Memory and overhead use a solver that costs nothing: what is measured is all around it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import psutil
import torch

from microwright.bench.results import Claim, write_results
from microwright.data.labelling import label
from microwright.data.sources import RandomFieldSource, Samples, Source
from microwright.physics.optics import RcwaNumerics, RcwaSolver, default_cell
from microwright.physics.property import Property, Solution, Solver

CHUNK = 64
SPEED_COUNT, SPEED_HARMONICS = 20_000, 49
BARE_COUNT = 5_000
MEMORY_COUNTS = (2_000, 20_000, 200_000)
OVERHEAD_COUNT = 20_000
PACKAGES = ("microwright", "torch", "numpy", "dask", "distributed", "zarr")


class FreeSource(Source):
    """One structure over and over: making it costs nothing."""

    grid = (16, 16)

    def samples(self, start: int, stop: int) -> Samples:
        return Samples(torch.eye(16).expand(stop - start, 16, 16))

    def spec(self) -> dict[str, Any]:
        return {"family": "identity"}


class FreeSolver(Solver):
    """The mean: computing it costs nothing."""

    dimensions = 2
    properties = (Property("fraction", "1", "share of phase 1"),)

    def solve(self, structures: torch.Tensor) -> Solution:
        return Solution.exact(structures.double().mean((1, 2))[:, None])

    def spec(self) -> dict[str, Any]:
        return {"engine": "mean"}


class Stopwatch:
    """Times and the parent's memory at every report of progress."""

    def __init__(self) -> None:
        self.start = time.perf_counter()
        self.reports: list[tuple[int, float]] = []
        self.memory = 0
        self.processor: list[tuple[float, float]] = []

    def __call__(self, done: int, total: int) -> None:
        self.reports.append((done, time.perf_counter()))
        self.memory = max(self.memory, psutil.Process().memory_info().rss)
        if len(self.reports) == 2 or done == total:
            self.processor.append((time.process_time(), children_seconds()))

    @property
    def row(self) -> dict[str, Any]:
        """Structures a second between the first chunk and the last, and seconds until the first."""
        (first, began), (last, ended) = self.reports[1], self.reports[-1]
        return {
            "structures_per_s": (last - first) / (ended - began),
            "s_per_structure": (ended - began) / (last - first),
            "seconds": ended - began,
            "seconds_to_first_chunk": began - self.start,
            "parent_peak_mib": self.memory / 2**20,
            "parent_processor_s": self.processor[-1][0] - self.processor[0][0],
            "workers_processor_s": self.processor[-1][1] - self.processor[0][1],
        }


def children_seconds() -> float:
    """Processor time of the processes that this one has started, so far."""
    return sum(sum(child.cpu_times()[:2]) for child in psutil.Process().children(recursive=True))


def labelled(source: Source, solver: Solver, count: int, workers: int) -> dict[str, Any]:
    """Label into a folder that goes, and tell how it went."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        watch = Stopwatch()
        label(source, solver, Path(folder) / "set.zarr", count, chunk=CHUNK, workers=workers, progress=watch)
    return {"workers": workers, "count": count, **watch.row}


def optical(count: int, workers: int) -> dict[str, Any]:
    """The default cell on 64 × 64 pixels."""
    solver, source = _optics()
    return labelled(source, solver, count, workers)


def _optics() -> tuple[Solver, Source]:
    solver = RcwaSolver(default_cell(), RcwaNumerics(harmonics=SPEED_HARMONICS), ("absorption",))
    return solver, RandomFieldSource((64, 64))


def bare(count: int, workers: int) -> dict[str, Any]:
    """The same work in processes that know nothing of each other: what the machine has to give."""
    with get_context("spawn").Pool(workers) as pool:
        seconds = pool.map(_bare_share, [count // workers] * workers, chunksize=1)
    return {"workers": workers, "count": count, "structures_per_s": count / max(seconds), "seconds": max(seconds)}


def _bare_share(count: int) -> float:
    torch.set_num_threads(1)
    solver, source = _optics()
    with torch.no_grad():
        solver.solve(source.samples(0, 1).structures)
        start = time.perf_counter()
        for first in range(0, count, CHUNK):
            solver.solve(source.samples(first, min(first + CHUNK, count)).structures)
    return time.perf_counter() - start


def free(count: int, workers: int) -> dict[str, Any]:
    """Nothing but the labelling itself."""
    return labelled(FreeSource(), FreeSolver(), count, workers)


def in_new_process(part: str, count: int, workers: int) -> dict[str, Any]:
    """A row measured in a process of its own, so that no earlier one shows in its memory."""
    command = [sys.executable, "-m", "benchmarks.scale", part, "--count", str(count), "--workers", str(workers)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def speed() -> None:
    rows = [in_new_process("optical", SPEED_COUNT, workers) for workers in (1, 2)]
    peers = [in_new_process("bare", BARE_COUNT, workers) for workers in (1, 2)]
    ratio = rows[1]["structures_per_s"] / rows[0]["structures_per_s"]
    ceiling = peers[1]["structures_per_s"] / peers[0]["structures_per_s"]
    note = f"two bare processes without Dask and store, in the same run: {ceiling:.2f} times one"
    whole = [row["seconds"] + row["seconds_to_first_chunk"] for row in rows]
    write(
        "speed",
        [{"kind": "labelling", **row} for row in rows] + [{"kind": "bare processes", **row} for row in peers],
        [Claim(f"{SPEED_COUNT} structures on two workers against one", ratio, ">= 1.8", "times", ratio >= 1.8, note)],
        [
            f"absorption of the default cell at {SPEED_HARMONICS} harmonics, 64 x 64 pixels, made by the workers",
            "one worker is the process itself, without Dask; two are local processes of one thread on two cores",
            f"with starting processes: {whole[0] / whole[1]:.2f} times",
        ],
    )


def memory() -> None:
    rows = [in_new_process("free", count, 2) for count in MEMORY_COUNTS]
    growth = rows[-1]["parent_peak_mib"] / rows[0]["parent_peak_mib"] - 1
    name = f"growth of the parent's peak memory from {MEMORY_COUNTS[0]} to {MEMORY_COUNTS[-1]} structures"
    write(
        "memory",
        rows,
        [Claim(name, growth, "<= 0.10", "share", growth <= 0.10)],
        ["two local workers; the parent holds the scheduler too; each count in a process of its own"],
    )


def overhead() -> None:
    rows = [in_new_process("free", OVERHEAD_COUNT, workers) for workers in (1, 2)]
    costs = [1e3 * row["workers"] * row["s_per_structure"] for row in rows]
    names = ("overhead for each structure in this process", "worker time for each structure through Dask")
    write(
        "overhead",
        rows,
        [Claim(name, cost, "< 1", "ms", cost < 1) for name, cost in zip(names, costs, strict=True)],
        [f"chunks of {CHUNK}; reading the task, making, solving, checking and writing, with nothing to solve"],
    )


def write(part: str, rows: list[dict[str, Any]], claims: list[Claim], notes: list[str]) -> None:
    path = write_results(f"scale-{part}", f"python -m benchmarks.scale {part}", rows, claims, notes, PACKAGES)
    print(path, *claims, sep="\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=("speed", "memory", "overhead", "optical", "bare", "free"))
    parser.add_argument("--count", type=int, default=1_000)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    rows: dict[str, Callable[[int, int], dict[str, Any]]] = {"optical": optical, "bare": bare, "free": free}
    if options.part in rows:
        print(json.dumps(rows[options.part](options.count, options.workers)))
        return
    {"speed": speed, "memory": memory, "overhead": overhead}[options.part]()


if __name__ == "__main__":
    main()
