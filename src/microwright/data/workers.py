"""What runs on Dask workers, and how to reach them."""

from __future__ import annotations

import asyncio
import logging
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Any, cast

import dask
import torch
from distributed import Client, Future, LocalCluster, Worker, WorkerPlugin, as_completed, get_worker, rpc
from distributed.comm import CommClosedError
from distributed.scheduler import KilledWorker

from microwright.errors import InputError

#: tasks handed out per worker thread: one in work, one waiting
IN_FLIGHT = 2
#: seconds after which workers that came or went are counted again
RECOUNT = 5.0
#: how glibc is to give out memory in workers. Dask has it return each large block to the system at once; a solver
#: that works with megabytes then spends half of its time on page faults. One arena, because tasks run in a thread.
ALLOCATION = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(2**25),
    "MALLOC_TRIM_THRESHOLD_": str(2**28),
}
_BEFORE_START = "distributed.nanny.pre-spawn-environ"
#: what is said of a scheduler that was there before
GONE = "scheduler: went away in the middle of the work; start it, then run the same command again to go on"
#: how often a task is tried again after an error that is not the user's
RETRIES = 2


class WorkerState(WorkerPlugin):
    """An object that every worker of a run holds, also those that come later or come back.

    It is sent once per worker, so that what it caches serves all tasks of that worker.
    """

    def __init__(self, name: str, value: Any) -> None:
        self.name = name
        self.value = value

    def setup(self, worker: Worker) -> None:
        # workers are as many as cores: one thread each
        torch.set_num_threads(1)


def _run_task(name: str, task: Any) -> tuple[bool, Any]:
    """``state(task)`` on a worker. An ``InputError`` comes back as a value: trying again would not mend it."""
    try:
        return True, cast(WorkerState, get_worker().plugins[name]).value(task)
    except InputError as error:
        return False, str(error)


@contextmanager
def connected(scheduler: str | None, workers: int, timeout: float) -> Iterator[Client]:
    """A client of the scheduler at that address, of a queue's workers, or of as many local processes of one thread.

    Args:
        scheduler: an address, the TOML file of a queue (``microwright.data.queue``), or None for local processes.
        workers: number of local processes.
        timeout: seconds to wait for the scheduler, and for the first worker unless a queue says otherwise.

    Raises:
        InputError: the scheduler does not answer or has no worker within ``timeout`` seconds, or goes away.
    """
    with _quiet(), _reached(scheduler, workers, timeout) as (client, patience):
        try:
            client.wait_for_workers(1, timeout=patience)
        except TimeoutError as error:
            raise InputError(f"scheduler {scheduler}: no worker within {patience:g} s; start workers") from error
        except CommClosedError as error:
            raise InputError(GONE) from error
        yield client


@contextmanager
def _reached(scheduler: str | None, workers: int, timeout: float) -> Iterator[tuple[Client, float]]:
    """The client, and how long its first worker may take."""
    if scheduler is not None and scheduler.endswith(".toml"):
        from microwright.data.queue import queued

        with queued(scheduler) as (client, patience):
            yield client, patience
    else:
        with _local(workers) if scheduler is None else _remote(scheduler, timeout) as client:
            yield client, timeout


def run_tasks(client: Client, state: Callable[[Any], Any], tasks: Iterable[Any], name: str) -> Iterator[Any]:
    """``state(task)`` of every task, as they finish; at most ``IN_FLIGHT`` tasks per thread are out at a time.

    Raises:
        InputError: raised by a task, or the scheduler went away, or a task killed every worker it was given to.
    """
    try:
        client.register_plugin(WorkerState(name, state))
        for future in _bounded(client, iter(tasks), name):
            good, value = future.result()
            if not good:
                raise InputError(value)
            yield value
    except (CancelledError, OSError) as error:
        raise InputError(GONE) from error
    except KilledWorker as error:
        raise InputError(f"workers: died again and again ({error}); look for lack of memory") from error
    finally:
        _forget(client, name)


def _bounded(client: Client, tasks: Iterator[Any], name: str) -> Iterator[Future]:
    """The futures of all tasks as they finish, with no more out than the workers of the moment can have in hand."""
    running = as_completed()
    out, counted, room = 0, -RECOUNT, 0
    while True:
        if time.monotonic() - counted >= RECOUNT:
            counted, room = time.monotonic(), IN_FLIGHT * max(1, sum(client.nthreads().values()))
        for task in islice(tasks, max(0, room - out)):
            running.add(client.submit(_run_task, name, task, pure=False, retries=RETRIES))
            out += 1
        if not out:
            return
        yield next(running)
        out -= 1


def _forget(client: Client, name: str) -> None:
    """Leave nothing of the run on a cluster that goes on; where the scheduler is gone there is nothing left."""
    if client.status == "running":
        with suppress(CommClosedError):  # it went away just now
            client.unregister_worker_plugin(name)


@contextmanager
def _quiet() -> Iterator[None]:
    """Dask logs lost connections with their tracebacks; what matters to the user ends in one line of ours."""
    handlers = logging.getLogger("distributed").handlers
    levels = [handler.level for handler in handlers]
    try:
        for handler in handlers:
            handler.setLevel(logging.CRITICAL)
        yield
    finally:
        for handler, level in zip(handlers, levels, strict=True):
            handler.setLevel(level)


@contextmanager
def _local(workers: int) -> Iterator[Client]:
    with (
        tempfile.TemporaryDirectory(prefix="microwright-") as scratch,
        dask.config.set({_BEFORE_START: {**dask.config.get(_BEFORE_START), **ALLOCATION}}),
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address=":0",
            local_directory=scratch,
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


@contextmanager
def _remote(scheduler: str, timeout: float) -> Iterator[Client]:
    # the client waits without end for a scheduler that accepts the connection and then says nothing: ask first
    with ThreadPoolExecutor(1) as thread:
        try:
            thread.submit(asyncio.run, _answer(scheduler, timeout)).result()
        except (OSError, TimeoutError, ValueError) as error:
            raise InputError(
                f"scheduler {scheduler}: no answer within {timeout:g} s; check --scheduler, or start `dask scheduler`"
            ) from error
    with Client(scheduler, timeout=timeout) as client:
        yield client


async def _answer(scheduler: str, timeout: float) -> None:
    async with asyncio.timeout(timeout), rpc(scheduler, timeout=timeout) as remote:
        await remote.identity()
