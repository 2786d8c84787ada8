"""A hundred kills at random moments: nothing lost, nothing doubled, every value that of an undisturbed run.

A scheduler, two workers and the parent are processes of their own. Again and again one of them is killed (SIGKILL),
or a worker kills itself a random few milliseconds after it has solved, which is while it writes its chunk; what died is
started again, as a user or a cluster would. Sets are labelled one after the other until the kills are used up, and each
is then compared with one that nobody disturbed.

    python -m benchmarks.chaos            results/scale-chaos.json
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

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


class Cluster:
    """A scheduler and two workers, as processes."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.address = ""
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Start what does not run."""
        if not self._runs("scheduler"):
            self.stop()
            note = self.scratch / "scheduler.json"
            note.unlink(missing_ok=True)
            arguments = ["--port", "0", "--dashboard-address", ":0", "--scheduler-file", str(note)]
            self.processes["scheduler"] = self._dask("scheduler", *arguments)
            wait_until(lambda: note.exists() and note.read_text().rstrip().endswith("}"))
            self.address = f"tcp://{note.read_text().split('tcp://')[1].split(chr(34))[0]}"
        for name in ("worker-0", "worker-1"):
            if not self._runs(name):
                self.processes[name] = self._dask(
                    "worker", self.address, "--nthreads", "1", "--no-dashboard", "--local-directory", str(self.scratch)
                )

    def stop(self) -> None:
        for process in self.processes.values():
            kill_tree(process.pid)
            process.wait()
        self.processes.clear()

    def worker_pids(self) -> list[int]:
        """The processes that solve: children of the nannies."""
        pids = []
        for name in ("worker-0", "worker-1"):
            try:
                children = psutil.Process(self.processes[name].pid).children(recursive=True)
                pids += [child.pid for child in children if "spawn_main" in " ".join(child.cmdline())]
            except (psutil.NoSuchProcess, psutil.ZombieProcess, KeyError):
                continue
        return pids

    def _runs(self, name: str) -> bool:
        return name in self.processes and self.processes[name].poll() is None

    def _dask(self, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.scratch / f"{arguments[0]}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "distributed.cli.dask_" + arguments[0], *arguments[1:]], stdout=log, stderr=log
            )


class Parent:
    """The process that labels."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster, self.folder = cluster, folder
        self.process: subprocess.Popen[bytes] | None = None
        self.starts = 0

    def start(self) -> None:
        command = [sys.executable, "-m", "benchmarks.chaos", "--label", str(self.folder), self.cluster.address]
        with (self.folder / "parent.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        self.starts += 1

    def finished(self) -> bool:
        """Whether the set is whole; a parent that ended otherwise is started again."""
        assert self.process is not None
        code = self.process.poll()
        if code is None or code == 0:
            return code == 0
        self.cluster.start()
        self.start()
        return False

    def ended(self) -> bool:
        assert self.process is not None
        return self.process.poll() is not None

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()


def disturbed(cluster: Cluster, folder: Path, kills: list[str], chance: random.Random) -> dict[str, Any]:
    """Label one set while killing; takes what it uses from ``kills``."""
    cluster.start()
    parent = Parent(cluster, folder)
    parent.start()
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
    if target == "parent":
        parent.kill()
        parent.start()
    elif target == "scheduler":
        cluster.processes["scheduler"].kill()
        cluster.processes["scheduler"].wait()
    elif target == "worker" and (pids := cluster.worker_pids()):
        os.kill(chance.choice(pids), signal.SIGKILL)
    else:
        return ordered(parent, folder, chance)
    return False


def ordered(parent: Parent, folder: Path, chance: random.Random) -> bool:
    """Tell the next worker that has solved to die in its write."""
    order = folder / "order"
    order.with_suffix(".draft").write_text(str(chance.uniform(0.0, 0.03)))
    order.with_suffix(".draft").rename(order)
    wait_until(lambda: not order.exists() or parent.ended())
    if order.exists():
        order.unlink()
        raise OverError
    (taken,) = folder.glob("order-*")
    wait_until(lambda: not psutil.pid_exists(int(taken.name.removeprefix("order-"))))
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


def kill_tree(pid: int) -> None:
    try:
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for process in family:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue


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
    undisturbed = label(SOURCE, Mean(), folder / "undisturbed.zarr", CHUNK * CHUNKS, chunk=CHUNK)
    cluster = Cluster(folder)
    rows = []
    try:
        while kills:
            place = folder / f"set-{len(rows)}"
            place.mkdir()
            row = disturbed(cluster, place, kills, chance)
            rows.append(row | compared(LabelledSet.open(place / "set.zarr"), undisturbed))
            print(len(kills), "kills left", rows[-1], flush=True)
    finally:
        cluster.stop()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--label", nargs=2, metavar=("FOLDER", "ADDRESS"), help="be the parent")
    options = parser.parse_args()
    if options.label is not None:
        sys.exit(label_here(Path(options.label[0]), options.label[1]))
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
        ["a sample is doubled where another of the set has the same structure: the source gives no two alike"],
        ("microwright", "torch", "dask", "distributed", "zarr"),
    )
    print(path)


if __name__ == "__main__":
    main()
