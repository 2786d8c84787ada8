"""A hundred kills at random moments: nothing lost, nothing doubled, every value that of an undisturbed run.

A scheduler, two workers and the parent are processes of their own. Again and again one of them is killed (SIGKILL),
or a worker kills itself a random few milliseconds after it has solved, which is while it writes its chunk; what died is
started again, as a user or a cluster would. Sets are labelled one after the other until the kills are used up, and each
is then compared with one that nobody disturbed.

    python -m benchmarks.chaos            results/scale-chaos.json
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from distributed import Scheduler, Worker

import microwright.data.workers  # noqa: F401 - before the first fork
from microwright.bench.results import Claim, write_results
from microwright.data.labelling import label
from microwright.data.sources import RandomFieldSource
from microwright.data.store import LabelledSet
from microwright.errors import InputError
from microwright.physics.property import Property, Solution, Solver

KILLS, SEED = 100, 5
CHUNK, CHUNKS = 16, 300
SOURCE = RandomFieldSource((32, 32), phase_fraction=(0.2, 0.6), seed=8)
TARGETS = (*["worker"] * 3, *["write"] * 4, *["parent"] * 2, "scheduler")
WORKERS = ("worker-0", "worker-1")
FAULTS = ("samples_lost", "samples_doubled", "samples_that_differ")
ARRAYS = ("structures", "properties", "error_bar", "status")


class OverError(Exception):
    """The work was over before anything could be killed."""


class Mean(Solver):
    """Phase fraction and its square; writes a line for each chunk, and dies in the write where ``order`` says so."""

    dimensions = 2
    properties = (Property("fraction", "1", "share of phase 1"), Property("square", "1", "its square"))

    def __init__(self, folder: Path | None = None, seconds: float = 0.0) -> None:
        self.folder = folder
        self.seconds = seconds

    def solve(self, structures: torch.Tensor) -> Solution:
        if self.folder is not None:
            time.sleep(self.seconds)
            with (self.folder / "journal").open("a") as journal:
                journal.write(f"{float(structures.double().flatten().cumsum(0).sum())!r}\n")
            self._obey(self.folder / "order")
        fraction = structures.double().mean((1, 2))
        return Solution.exact(torch.stack([fraction, fraction.square()], 1))

    def spec(self) -> dict[str, Any]:
        return {"engine": "mean and square"}

    def _obey(self, order: Path) -> None:
        """Take the order, if there is one, and die as many milliseconds later as it says."""
        taken = order.with_name(f"order-{os.getpid()}")
        try:
            order.rename(taken)
        except FileNotFoundError:
            return
        delay = float(taken.read_text())
        threading.Timer(delay, os.kill, (os.getpid(), signal.SIGKILL)).start()


class Forked:
    """A process split off from this one, so that it need not import anything."""

    def __init__(self, work: Callable[[], int], log: Path) -> None:
        self.code: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(output, 1)
            os.dup2(output, 2)
            code = 1
            try:
                code = work()
            finally:
                os._exit(code)

    def poll(self) -> int | None:
        """Its exit code; None while it runs."""
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if pid else None
        return self.code

    def kill(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
            self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


class Cluster:
    """A scheduler and two workers, as processes."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.note = scratch / "address"
        self.processes: dict[str, Forked] = {}

    @property
    def address(self) -> str:
        return self.note.read_text()

    def start(self) -> None:
        """Start what does not run."""
        if not self._runs("scheduler"):
            self.stop()
            self.note.unlink(missing_ok=True)
            self.processes["scheduler"] = Forked(lambda: asyncio.run(schedule(self.note)), self.scratch / "log")
            wait_until(self.note.exists)
        for name in WORKERS:
            if not self._runs(name):
                address = self.address
                self.processes[name] = Forked(lambda to=address: asyncio.run(serve(to)), self.scratch / "log")  # type: ignore[misc]

    def stop(self) -> None:
        for process in self.processes.values():
            process.kill()
        self.processes.clear()

    def _runs(self, name: str) -> bool:
        return name in self.processes and self.processes[name].poll() is None


async def schedule(note: Path) -> int:
    """Be the scheduler."""
    async with Scheduler(port=0, dashboard_address=":0") as scheduler:
        draft = note.with_suffix(".draft")
        draft.write_text(scheduler.address)
        draft.rename(note)
        await scheduler.finished()
    return 0


async def serve(address: str) -> int:
    """Be a worker."""
    async with Worker(address, nthreads=1, dashboard=False) as worker:
        await worker.finished()
    return 0


class Parent:
    """The process that labels."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster, self.folder = cluster, folder
        self.starts = 0
        self.start()

    def start(self) -> None:
        address = self.cluster.address
        self.process = Forked(lambda: label_here(self.folder, address), self.folder / "parent.log")
        self.starts += 1

    def finished(self) -> bool:
        """Whether the set is whole; a parent that ended otherwise is started again."""
        if self.process.poll() in (None, 0):
            return self.process.poll() == 0
        self.cluster.start()
        self.start()
        return False

    def ended(self) -> bool:
        return self.process.poll() is not None


def disturbed(cluster: Cluster, folder: Path, kills: list[str], chance: random.Random) -> dict[str, Any]:
    """Label one set while killing; takes what it uses from ``kills``."""
    cluster.start()
    parent = Parent(cluster, folder)
    made: list[str] = []
    half_written = 0
    while not parent.finished():
        if kills and in_full_swing(parent, folder):
            time.sleep(chance.uniform(0.0, 0.4))
            if parent.finished():
                break
            target = kills.pop()
            try:
                half_written += struck(target, cluster, parent, folder, chance)
                made.append(target)
            except OverError:
                kills.append(target)
            cluster.start()
        time.sleep(0.02)
    journal = (folder / "journal").read_text().split()
    return {
        "kills": dict(Counter(made)),
        "parents_started": parent.starts,
        "chunks": CHUNKS,
        "chunks_solved": len(journal),
        "different_chunks_solved": len(set(journal)),
        "killed_with_a_chunk_half_written": half_written,
    }


def in_full_swing(parent: Parent, folder: Path) -> bool:
    """Wait until chunks come in again; false where the work ends before."""
    before = len(done_chunks(folder))
    deadline = time.monotonic() + 900
    while len(done_chunks(folder)) < before + 2:
        if parent.ended():
            return False
        if time.monotonic() > deadline:
            raise RuntimeError("the work stands still")
        time.sleep(0.02)
    return True


def struck(target: str, cluster: Cluster, parent: Parent, folder: Path, chance: random.Random) -> bool:
    """Kill; whether a chunk was left half written."""
    if target == "write":
        return ordered(cluster, parent, folder, chance)
    if target == "parent":
        parent.process.kill()
        parent.start()
    else:
        cluster.processes[chance.choice(WORKERS) if target == "worker" else target].kill()
    return False


def ordered(cluster: Cluster, parent: Parent, folder: Path, chance: random.Random) -> bool:
    """Tell the next worker that has solved to die in its write."""
    order = folder / "order"
    order.with_suffix(".draft").write_text(str(chance.uniform(0.0, 0.03)))
    order.with_suffix(".draft").rename(order)
    wait_until(lambda: not order.exists() or parent.ended())
    if order.exists():
        order.unlink()
        raise OverError
    (taken,) = folder.glob("order-*")
    pid = int(taken.name.removeprefix("order-"))
    victim = next(process for process in cluster.processes.values() if process.pid == pid)
    wait_until(lambda: victim.poll() is not None)
    begun = {path.name for path in (folder / "set.zarr" / "structures" / "c").glob("*")}
    taken.unlink()
    return bool(begun - done_chunks(folder))


def done_chunks(folder: Path) -> set[str]:
    return {path.name for path in (folder / "set.zarr" / "done" / "c").glob("*") if not path.name.startswith(".")}


def compared(first: LabelledSet, second: LabelledSet) -> dict[str, int]:
    """Samples that are lost, and those that differ in anything."""
    same = np.ones(len(first), bool)
    for name in ARRAYS:
        a, b = (getattr(item, name)[:].reshape(len(first), -1) for item in (first, second))
        same &= ((a == b) | ((a != a) & (b != b))).all(1)
    doubled = len(first) - len(np.unique(first.structures[:].reshape(len(first), -1), axis=0))
    lost = int((~np.repeat(first.done, CHUNK)[: len(first)]).sum())
    different = int((~same).sum())
    return {
        "samples": len(first),
        "samples_lost": lost,
        "samples_doubled": doubled,
        "samples_that_differ": different,
    }


def wait_until(condition: Any, seconds: float = 900) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError("waited in vain")
        time.sleep(0.005)


def label_here(folder: Path, address: str) -> int:
    """The parent; its errors are of one line, as on the command line."""
    try:
        solver = Mean(folder, seconds=0.05)
        label(SOURCE, solver, folder / "set.zarr", CHUNK * CHUNKS, chunk=CHUNK, scheduler=address)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def measure(count: int, folder: Path) -> list[dict[str, Any]]:
    chance = random.Random(SEED)
    kills = [TARGETS[index % len(TARGETS)] for index in range(count)]
    chance.shuffle(kills)
    cluster = Cluster(folder)
    rows = []
    try:
        while kills:
            place = folder / f"set-{len(rows)}"
            place.mkdir()
            rows.append(disturbed(cluster, place, kills, chance))
            print(len(kills), "kills left", rows[-1], flush=True)
    finally:
        cluster.stop()
    # only now, because this starts threads, which do not survive a fork
    undisturbed = label(SOURCE, Mean(), folder / "undisturbed.zarr", CHUNK * CHUNKS, chunk=CHUNK)
    sets = [LabelledSet.open(folder / f"set-{index}" / "set.zarr") for index in range(len(rows))]
    return [row | compared(labelled, undisturbed) for row, labelled in zip(rows, sets, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=KILLS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        rows = measure(options.kills, Path(folder))
    faults = {name: sum(row[name] for row in rows) for name in FAULTS}
    killed = sum(sum(row["kills"].values()) for row in rows)
    path = write_results(
        "scale-chaos",
        f"python -m benchmarks.chaos --kills {options.kills}",
        rows,
        [
            Claim("kills", killed, f">= {KILLS}", "kills", killed >= KILLS),
            *(Claim(name.replace("_", " "), number, "0", "samples", number == 0) for name, number in faults.items()),
        ],
        [
            "one of ten kills is the scheduler's, two the parent's, three a worker's, four a worker's in its write",
            "a sample is doubled where another of the set has the same structure: the source gives no two alike",
        ],
        ("microwright", "torch", "dask", "distributed", "zarr"),
    )
    print(path)


if __name__ == "__main__":
    main()
