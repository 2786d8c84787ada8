"""Work on a cluster: solvers whose work is done elsewhere, workers from a queue."""

from __future__ import annotations

import os
import stat
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from distributed import LocalCluster

from microwright.data import workers
from microwright.data.labelling import label
from microwright.data.queue import read_queue
from microwright.data.remote import working_on
from microwright.errors import InputError
from microwright.physics.conduction import ConductionSolver
from microwright.physics.external import CommandSolver
from microwright.physics.external.command import Output
from microwright.physics.external.results import Locator
from microwright.physics.homogenisation import CgNumerics
from microwright.physics.property import Property, Status
from tests.data.cheap import CHUNK, COUNT, SOURCE, CheapSolver, FaultySolver

CONDUCTION = ConductionSolver(
    numerics=CgNumerics(tolerance=1e-9, precision="double"), properties=("k11", "k12"), dimensions=2
)


@pytest.fixture(scope="module")
def cluster():
    """A scheduler with a worker; both are threads of this process, to start quickly."""
    threads = torch.get_num_threads()
    with LocalCluster(1, threads_per_worker=1, processes=False, protocol="tcp", dashboard_address=":0") as started:
        yield started
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def structures() -> torch.Tensor:
    return SOURCE.samples(0, 5).structures.double()


def test_no_scheduler_is_the_solver_itself():
    solver = CheapSolver()
    with working_on(solver, None) as working:
        assert working is solver


def test_a_cluster_solves_and_differentiates_as_the_solver_does(cluster, structures):
    """Values, error bars and chain rule: what refinement uses does not depend on where it is computed."""
    with working_on(CONDUCTION, cluster.scheduler_address) as remote:
        assert remote.spec() == CONDUCTION.spec() and remote.properties == CONDUCTION.properties
        solved, certified = remote.solve(structures), remote.certify(structures, 1e-3)
        gradients = []
        for solver in (remote, CONDUCTION):
            inputs = structures.clone().requires_grad_()
            values = solver.solve(inputs).values
            (values.square() * torch.tensor([1.0, -3.0]).double()).sum().backward()
            gradients.append(inputs.grad)
    expected = CONDUCTION.solve(structures)
    torch.testing.assert_close(solved.values, expected.values, rtol=1e-6, atol=1e-8)
    assert (solved.error_bar < 1e-6).all() and not solved.status.any()
    torch.testing.assert_close(certified.values, CONDUCTION.certify(structures, 1e-3).values, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-7)


def test_a_failure_on_a_worker_stays_alone(cluster):
    batch = SOURCE.samples(0, 40).structures
    with working_on(FaultySolver(), cluster.scheduler_address) as remote:
        solution = remote.solve(batch)
    bad = (batch[:, 0, 0] == 1) | (batch[:, -1, -1] == 1)
    assert ((solution.status == Status.FAILED) == bad).all()
    assert set(solution.log) == set((batch[:, 0, 0] == 1).nonzero().flatten().tolist())
    good = ~bad
    torch.testing.assert_close(solution.values[good], CheapSolver().solve(batch[good]).values)


def test_external_commands_run_on_workers(cluster, tmp_path):
    fraction = Property("fraction", "1", "share of phase 1")
    output = Output(fraction, Locator("pattern", r"(\S+)", "stdout.txt"))
    solver = CommandSolver("cat", ("cat", "{structure}"), "f.txt", (output,), template="$phase_fraction")
    labelled = label(SOURCE, solver, tmp_path / "set.zarr", 6, chunk=2, scheduler=cluster.scheduler_address)
    np.testing.assert_allclose(labelled.properties[:, 0], SOURCE.samples(0, 6).structures.double().mean((1, 2)))


def test_workers_that_come_later_get_work(monkeypatch, tmp_path):
    monkeypatch.setattr(workers, "RECOUNT", 0.0)
    out: list[int] = []
    threads = torch.get_num_threads()
    with LocalCluster(1, threads_per_worker=1, processes=False, protocol="tcp", dashboard_address=":0") as growing:

        def grow(done: int, total: int) -> None:
            held = [task.state for worker in growing.workers.values() for task in worker.state.tasks.values()]
            out.append(len(held) - held.count("memory"))  # results that wait to be fetched are work done
            if done == CHUNK:
                growing.scale(3)
                growing.wait_for_workers(3, timeout=60)

        solver = CheapSolver(seconds=0.05)
        label(SOURCE, solver, tmp_path / "a.zarr", COUNT, chunk=2, scheduler=growing.scheduler_address, progress=grow)
        assert len(growing.workers) == 3
    torch.set_num_threads(threads)
    assert max(out) > workers.IN_FLIGHT  # more than one worker could have in hand
    assert max(out) <= 3 * workers.IN_FLIGHT


# --------------------------------------------------------------------------------------------------------------- queue

#: runs the job script in the background, as SLURM would on another machine, and remembers it
SBATCH = """#!/bin/sh
cp "$1" "{folder}/job-$$.sh"
# the caller deletes its file as soon as this returns
setsid sh "{folder}/job-$$.sh" > "{folder}/job-$$.log" 2>&1 &
echo $! > "{folder}/job-$$.pid"
echo "Submitted batch job $$"
"""
SCANCEL = """#!/bin/sh
for job in "$@"; do kill -TERM "-$(cat "{folder}/job-$job.pid")"; echo "$job" >> "{folder}/cancelled"; done
"""
QUEUE = """
kind = "slurm"
jobs = {jobs}
[options]
queue = "regular"
account = "materials"
cores = 1
processes = 1
memory = "1GB"
walltime = "00:10:00"
interface = "lo"
"""


def command(path: Path, text: str) -> None:
    path.write_text(text.format(folder=path.parent))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def slurm(tmp_path, monkeypatch) -> Path:
    """A folder with ``sbatch`` and ``scancel`` in front of the path, and the file of a queue."""
    pytest.importorskip("dask_jobqueue")
    folder = tmp_path / "slurm"
    folder.mkdir()
    command(folder / "sbatch", SBATCH)
    command(folder / "scancel", SCANCEL)
    (folder / "queue.toml").write_text(QUEUE.format(jobs=1))
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    # what a worker unpickles lies in this repository, as it would on a shared disk
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    return folder


def test_slurm_jobs_label_a_set(slurm, tmp_path):
    """Submit, work, cancel; the job scripts ask for what the file says."""
    path = tmp_path / "set.zarr"
    labelled = label(SOURCE, CheapSolver(), path, COUNT, chunk=CHUNK, scheduler=str(slurm / "queue.toml"))
    np.testing.assert_array_equal(
        labelled.properties[:], CheapSolver().solve(SOURCE.samples(0, COUNT).structures).values
    )
    (script,) = slurm.glob("job-*.sh")
    text = script.read_text()
    assert "#SBATCH -p regular" in text and "#SBATCH -A materials" in text and "#SBATCH -t 00:10:00" in text
    assert sys.executable in text
    job = script.stem.removeprefix("job-")
    assert (slurm / "cancelled").read_text().split() == [job]
    deadline = time.monotonic() + 10
    while Path(f"/proc/{int((slurm / f'job-{job}.pid').read_text())}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_queue_that_refuses_ends_in_one_line(slurm, tmp_path):
    command(slurm / "sbatch", "#!/bin/sh\necho 'sbatch: error: invalid account' >&2\nexit 1\n")
    with pytest.raises(InputError, match="queue refused the jobs.*invalid account"):
        label(SOURCE, CheapSolver(), tmp_path / "set.zarr", COUNT, scheduler=str(slurm / "queue.toml"))


def test_a_queue_that_never_starts_ends_in_one_line(slurm, tmp_path):
    sleeping = "sleep 60 > /dev/null 2>&1 & echo $! > {folder}/job-7.pid"
    command(slurm / "sbatch", f"#!/bin/sh\n{sleeping}\necho 'Submitted batch job 7'\n")
    command(slurm / "scancel", "#!/bin/sh\nkill $(cat {folder}/job-7.pid)\n")
    (slurm / "queue.toml").write_text("wait_s = 0.5\n" + QUEUE.format(jobs=1))
    with pytest.raises(InputError, match="no worker within 0.5 s"):
        label(SOURCE, CheapSolver(), tmp_path / "set.zarr", COUNT, scheduler=str(slurm / "queue.toml"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind = ", "cannot be read as TOML"),
        (QUEUE.format(jobs=1).replace("slurm", "condor"), "kind"),
        (QUEUE.format(jobs=0), "jobs"),
        ('kind = "slurm"\njobs = 1', "options"),
        ("walltime = 3\n" + QUEUE.format(jobs=1), "walltime"),
    ],
)
def test_a_broken_queue_file_ends_in_one_line(text, message, tmp_path):
    (tmp_path / "queue.toml").write_text(text)
    with pytest.raises(InputError, match=message) as told:
        read_queue(tmp_path / "queue.toml")
    assert "\n" not in str(told.value)
    with pytest.raises(InputError, match="cannot be read"):
        read_queue(tmp_path / "missing.toml")


def test_options_that_the_queue_does_not_know_are_told(slurm, tmp_path):
    (slurm / "queue.toml").write_text(QUEUE.format(jobs=1) + 'colour = "red"\n')
    with pytest.raises(InputError, match="slurm does not take these options.*colour"):
        label(SOURCE, CheapSolver(), tmp_path / "set.zarr", COUNT, scheduler=str(slurm / "queue.toml"))
