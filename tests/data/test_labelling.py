"""Labelling: the same values whoever does the work and however often it dies."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from distributed import LocalCluster

from microwright.data.labelling import label, solve_each
from microwright.data.sources import ArraySource, RandomFieldSource
from microwright.data.store import LabelledSet
from microwright.data.workers import connected, run_tasks
from microwright.errors import InputError
from microwright.physics.property import Status
from tests.data.cheap import CHUNK, COUNT, SOURCE, CheapSolver, FaultySolver, MortalSolver

REPOSITORY = Path(__file__).parents[2]

#: a scheduler with one worker in one process, which says its address
CLUSTER = """
import time
from distributed import LocalCluster
cluster = LocalCluster(1, threads_per_worker=1, processes=False, protocol="tcp", dashboard_address=":0")
print(cluster.scheduler_address, flush=True)
time.sleep(60)
"""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> LabelledSet:
    return label(SOURCE, CheapSolver(), tmp_path_factory.mktemp("sets") / "whole.zarr", COUNT, chunk=CHUNK)


def assert_equal_sets(first: LabelledSet, second: LabelledSet) -> None:
    for name in ("structures", "properties", "error_bar", "status"):
        np.testing.assert_array_equal(getattr(first, name)[:], getattr(second, name)[:])


def test_a_set_holds_what_the_solver_says(undisturbed):
    samples = SOURCE.samples(0, COUNT).structures
    assert undisturbed.complete
    assert undisturbed.property_names == ("fraction", "rows")
    np.testing.assert_array_equal(undisturbed.structures[:], samples.numpy())
    np.testing.assert_allclose(undisturbed.properties[:, 0], samples.mean((1, 2)).numpy(), atol=1e-7)
    assert undisturbed.status[:].max() == Status.CONVERGED
    assert np.isnan(undisturbed.error_bar[:]).all()
    assert undisturbed.usable().tolist() == list(range(COUNT))


def test_chunks_do_not_change_the_set(undisturbed, tmp_path):
    assert_equal_sets(undisturbed, label(SOURCE, CheapSolver(), tmp_path / "set.zarr", COUNT, chunk=33))


def test_a_killed_run_continues(undisturbed, tmp_path):
    """SIGKILL in the middle; the second run computes the rest, and nothing twice but the chunk in hand."""
    path, journal = tmp_path / "set.zarr", tmp_path / "journal"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.data.cheap", str(path), str(journal)], cwd=REPOSITORY, stderr=subprocess.PIPE
    )
    wait_until(lambda: journal.exists() and journal.read_text().count("\n") >= 4, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    killed = LabelledSet.open(path)
    written = killed.done.sum()
    assert 0 < written < killed.header.chunks
    assert len(killed.usable()) == written * CHUNK
    assert_equal_sets(undisturbed, label(SOURCE, CheapSolver(journal), path, COUNT, chunk=CHUNK))
    calls = journal.read_text().split()
    assert len(calls) <= killed.header.chunks + 1
    assert len(set(calls)) == killed.header.chunks


def wait_until(condition, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.stderr.read().decode()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_workers_that_die_are_replaced(undisturbed, tmp_path):
    seen = []
    labelled = label(
        SOURCE,
        MortalSolver(tmp_path / "tomb"),
        tmp_path / "set.zarr",
        COUNT,
        chunk=CHUNK,
        workers=2,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert (tmp_path / "tomb").exists()
    assert_equal_sets(undisturbed, labelled)
    assert seen[0] == (0, COUNT) and seen[-1] == (COUNT, COUNT) and seen == sorted(seen)


@pytest.fixture(scope="module")
def scheduler():
    """Address of a running scheduler with a worker; both are threads of this process, to start quickly."""
    threads = torch.get_num_threads()
    with LocalCluster(1, threads_per_worker=1, processes=False, protocol="tcp", dashboard_address=":0") as cluster:
        yield cluster.scheduler_address
    torch.set_num_threads(threads)


def test_a_given_scheduler_does_the_work(undisturbed, scheduler, tmp_path):
    labelled = label(SOURCE, CheapSolver(), tmp_path / "set.zarr", COUNT, chunk=CHUNK, scheduler=scheduler)
    assert_equal_sets(undisturbed, labelled)


def test_an_array_goes_to_the_workers_piece_by_piece(undisturbed, scheduler, tmp_path):
    source = ArraySource(undisturbed.structures, "set")
    assert len(source.portion(8, 16)._structures) == 8
    labelled = label(source, CheapSolver(), tmp_path / "set.zarr", COUNT, chunk=CHUNK, scheduler=scheduler)
    assert_equal_sets(undisturbed, labelled)


def test_errors_on_workers_are_one_line(scheduler, tmp_path):
    grey = ArraySource(np.full((20, 8, 8), 0.5), "grey")
    with pytest.raises(InputError, match="0/1"):
        label(grey, CheapSolver(), tmp_path / "set.zarr", 20, chunk=8, scheduler=scheduler)


def test_a_failed_sample_does_not_stop_the_rest(tmp_path):
    labelled = label(SOURCE, FaultySolver(), tmp_path / "set.zarr", COUNT, chunk=CHUNK)
    structures = labelled.structures[:]
    raised, broken = structures[:, 0, 0] == 1, structures[:, -1, -1] == 1
    assert raised.any() and broken.any() and not (raised | broken).all()
    np.testing.assert_array_equal(labelled.status[:] == Status.FAILED, raised | broken)
    np.testing.assert_array_equal(np.isnan(labelled.properties[:]).all(1), raised | broken)
    np.testing.assert_array_equal(labelled.usable(), np.flatnonzero(~(raised | broken)))
    logs = {int(file.stem) for file in (tmp_path / "set.zarr" / "failures").iterdir()}
    assert logs == set(np.flatnonzero(raised).tolist())


def test_input_errors_of_the_solver_are_passed_on():
    def refuse(structures):
        raise InputError("grid: too small; use a larger one")

    with pytest.raises(InputError, match="too small"):
        solve_each(refuse, torch.zeros(2, 4, 4), 1)


def test_another_set_is_not_overwritten(undisturbed, tmp_path):
    other = RandomFieldSource((8, 8), seed=5)
    with pytest.raises(InputError, match="another source.*--force"):
        label(other, CheapSolver(), undisturbed.path, COUNT, chunk=CHUNK)
    with pytest.raises(InputError, match="another count"):
        label(SOURCE, CheapSolver(), undisturbed.path, COUNT + 1, chunk=CHUNK)


def test_a_set_in_use_is_refused(undisturbed):
    with undisturbed.locked(), pytest.raises(InputError, match="being written by process"):
        label(SOURCE, CheapSolver(), undisturbed.path, COUNT, chunk=CHUNK)


def test_a_set_in_use_is_not_replaced_either(undisturbed):
    with undisturbed.locked(), pytest.raises(InputError, match="being written by process"):
        undisturbed.place.remove()
    assert undisturbed.path.exists()


def test_a_scheduler_that_goes_away_before_the_first_task_ends_in_one_line(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", CLUSTER], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    with connected(process.stdout.readline().strip(), 1, 30.0) as client:
        process.kill()
        process.wait()
        with pytest.raises(InputError, match="went away in the middle"):
            list(run_tasks(client, CheapSolver().solve, [torch.zeros(1, 8, 8)], "gone"))


def test_a_scheduler_that_goes_away_ends_in_one_line(undisturbed, scheduler, tmp_path):
    """SIGKILL of scheduler and worker in the middle; another scheduler finishes the set."""
    process = subprocess.Popen([sys.executable, "-c", CLUSTER], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    address = process.stdout.readline().strip()

    def kill_in_the_middle(done: int, total: int) -> None:
        if done >= 3 * CHUNK:
            process.kill()

    path = tmp_path / "set.zarr"
    work = {"chunk": CHUNK, "scheduler": address, "progress": kill_in_the_middle}
    with pytest.raises(InputError, match="went away in the middle"):
        label(SOURCE, CheapSolver(seconds=0.1), path, COUNT, **work)
    process.wait()
    assert 3 <= LabelledSet.open(path).done.sum() < LabelledSet.open(path).header.chunks
    assert_equal_sets(undisturbed, label(SOURCE, CheapSolver(), path, COUNT, chunk=CHUNK, scheduler=scheduler))


def test_a_scheduler_that_does_not_answer_is_named(tmp_path):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(InputError, match=f"scheduler {address}: no answer within 1 s"):
            label(SOURCE, CheapSolver(), tmp_path / "set.zarr", COUNT, scheduler=address, timeout=1)


@pytest.mark.parametrize(
    ("source", "count", "word"),
    [
        (SOURCE, 0, "count"),
        (ArraySource(np.zeros((3, 8, 8)), "zeros"), 4, "count.*1 to 3"),
        (RandomFieldSource((8, 8, 8)), 4, "3-D"),
    ],
)
def test_bad_work_is_refused_before_a_store_is_made(source, count, word, tmp_path):
    with pytest.raises(InputError, match=word):
        label(source, CheapSolver(), tmp_path / "set.zarr", count)
    assert not any(tmp_path.iterdir())


def test_too_few_workers_are_refused(tmp_path):
    with pytest.raises(InputError, match="workers"):
        label(SOURCE, CheapSolver(), tmp_path / "set.zarr", 4, workers=0)
