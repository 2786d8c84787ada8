"""What a task costs the scheduler and the parent, up to a thousand workers; and what that says of 10⁸ structures.

The workers are real Dask workers, many in a process; their tasks sleep. Scheduler and parent are processes of their
own, and what is counted is their processor time, which does not depend on what else the machine does.

    python -m benchmarks.scheduler_load       results/scale-scheduler.json
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import tempfile
import threading
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import dask
import psutil
from distributed import Scheduler, Worker

from microwright.bench.results import Claim, write_results
from microwright.data.workers import connected, run_tasks

#: workers, tasks, seconds that each task sleeps
CASES = ((10, 1_000, 0.2), (100, 2_000, 1.0), (1_000, 4_000, 10.0))
WORKERS_PER_PROCESS = 250
CHUNK, STRUCTURES = 64, 10**8
#: a thousand workers that look after themselves as often as one does would fill the cores before any task comes
QUIET = {
    "distributed.comm.timeouts.connect": "300s",
    "distributed.scheduler.worker-ttl": None,
    "distributed.worker.profile.enabled": False,
    "distributed.worker.memory.monitor-interval": "60s",
    "distributed.admin.system-monitor.interval": "60s",
    "distributed.admin.tick.interval": "10s",
}
#: chunks of 64 optical structures at 49 harmonics take a core about this long, seconds
CHUNK_SECONDS = 0.2


@dataclass(frozen=True)
class Sleep:
    """A task that sleeps and returns its number."""

    seconds: float

    def __call__(self, task: int) -> int:
        time.sleep(self.seconds)
        return task


def end_with(parent: int) -> None:
    """End this process with the one that started it, also where that is killed."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def schedule(parent: int, pipe: Connection) -> None:
    """Be the scheduler."""
    end_with(parent)

    async def main() -> None:
        async with Scheduler(port=0, host="127.0.0.1", dashboard_address=":0") as scheduler:
            pipe.send(scheduler.address)
            await scheduler.finished()

    asyncio.run(main())


def serve(parent: int, address: str, count: int, pipe: Connection) -> None:
    """Be ``count`` workers."""
    end_with(parent)

    async def main() -> None:
        with tempfile.TemporaryDirectory() as folder:
            options: dict[str, Any] = {"nthreads": 1, "dashboard": False, "memory_limit": 0, "local_directory": folder}
            workers = [Worker(address, host="127.0.0.1", **options) for _ in range(count)]
            await asyncio.gather(*workers)
            pipe.send(psutil.Process().memory_info().rss / count)
            await asyncio.gather(*(worker.finished() for worker in workers))

    with dask.config.set(QUIET):
        asyncio.run(main())


def measured(workers: int, tasks: int, seconds: float) -> dict[str, Any]:
    """Processor time for each task."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    scheduler = context.Process(target=schedule, args=(os.getpid(), there))
    scheduler.start()
    address = here.recv()
    shares = [min(WORKERS_PER_PROCESS, workers - start) for start in range(0, workers, WORKERS_PER_PROCESS)]
    hosts = [context.Process(target=serve, args=(os.getpid(), address, share, there)) for share in shares]
    for host in hosts:
        host.start()
    memory = [here.recv() for _ in hosts]
    # the parent in a process of its own too: the threads of a client do not survive the next fork
    parent = context.Process(target=hand_out, args=(address, workers, tasks, seconds, scheduler.pid, there))
    parent.start()
    row = here.recv()
    for process in (parent, *hosts, scheduler):
        process.kill()
        process.join()
    return {**row, "worker_mib": max(memory) / 2**20}


def hand_out(address: str, workers: int, tasks: int, seconds: float, scheduler: int, pipe: Connection) -> None:
    """Be the parent."""
    watched = psutil.Process(scheduler)
    with connected(address, 1, 300.0) as client:
        client.wait_for_workers(workers, timeout=300)
        before = (seconds_of(watched), time.process_time(), time.perf_counter())
        done = sum(1 for _ in run_tasks(client, Sleep(seconds), range(tasks), "load"))
        after = (seconds_of(watched), time.process_time(), time.perf_counter())
    spent = [end - start for start, end in zip(before, after, strict=True)]
    pipe.send(
        {
            "workers": workers,
            "tasks": done,
            "task_sleeps_s": seconds,
            "scheduler_ms_per_task": 1e3 * spent[0] / done,
            "parent_ms_per_task": 1e3 * spent[1] / done,
            "seconds": spent[2],
            "tasks_per_s": done / spent[2],
            "scheduler_mib": watched.memory_info().rss / 2**20,
        }
    )


def seconds_of(process: psutil.Process) -> float:
    return sum(process.cpu_times()[:2])


def notes(row: dict[str, Any]) -> list[str]:
    """What the largest case says of 10⁸ structures."""
    chunks = STRUCTURES / CHUNK
    busy = row["scheduler_ms_per_task"] / 1e3
    limit = 1 / max(busy, row["parent_ms_per_task"] / 1e3)
    parent = chunks * row["parent_ms_per_task"] / 3.6e6
    files, fewer = 5 * chunks, 5 * STRUCTURES / 1024
    return [
        f"{row['workers']} workers were run, {WORKERS_PER_PROCESS} in a process, {row['worker_mib']:.1f} MiB each",
        f"10^8 structures are {chunks:.3g} chunks of {CHUNK}: {chunks * busy / 3600:.2f} hours of the scheduler's core "
        f"and {parent:.2f} of the parent's, spread over the run",
        f"one scheduler hands out at most {limit:.0f} chunks a second, which keeps {row['workers']} workers busy whose "
        f"chunks take {row['workers'] / limit:.1f} s or more; of workers that take {CHUNK_SECONDS} s it feeds "
        f"{limit * CHUNK_SECONDS:.0f}: larger chunks feed more",
        f"such a set has {files:.2g} files in chunks of {CHUNK}, {fewer:.2g} in chunks of 1024",
        "processor time is counted, so a busy machine changes little; tasks_per_s is what the sleeping allows",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=len(CASES), help="the first so many")
    options = parser.parse_args()
    rows = []
    for case in CASES[: options.cases]:
        rows.append(measured(*case))
        print(json.dumps(rows[-1]), flush=True)
    last = rows[-1]
    told = [Claim("workers really run", last["workers"], ">= 1000", "workers", last["workers"] >= 1000)]
    packages = ("microwright", "dask", "distributed")
    print(write_results("scale-scheduler", "python -m benchmarks.scheduler_load", rows, told, notes(last), packages))


if __name__ == "__main__":
    main()
