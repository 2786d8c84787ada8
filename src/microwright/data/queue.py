"""Workers from the queue of a cluster (SLURM and its like), described in a TOML file, by dask-jobqueue.

    kind = "slurm"
    jobs = 8                      # jobs to submit, each one ``options`` large

    [options]                     # arguments of dask_jobqueue.SLURMCluster
    queue = "regular"
    account = "materials"
    cores = 16
    processes = 16                # one thread each
    memory = "64GB"
    walltime = "04:00:00"

The scheduler runs in the process that reads the file; its jobs are cancelled when it ends.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from distributed import Client, Status
from pydantic import BaseModel, ConfigDict, PositiveFloat, PositiveInt, ValidationError

from microwright.data.workers import ALLOCATION
from microwright.errors import InputError

CLASSES = {
    "slurm": "SLURMCluster",
    "pbs": "PBSCluster",
    "lsf": "LSFCluster",
    "sge": "SGECluster",
    "htcondor": "HTCondorCluster",
    "oar": "OARCluster",
}


class QueueFile(BaseModel):
    """The whole file.

    Attributes:
        kind: which queue.
        jobs: how many to submit.
        wait_s: seconds to wait until the first worker has started.
        options: arguments of dask-jobqueue's class.
    """

    model_config = ConfigDict(extra="forbid")
    kind: Literal["slurm", "pbs", "lsf", "sge", "htcondor", "oar"]
    jobs: PositiveInt
    wait_s: PositiveFloat = 86_400.0
    options: dict[str, Any]


def read_queue(path: str | Path) -> QueueFile:
    """The description in a TOML file.

    Raises:
        InputError: no file, no TOML, or unknown or missing entries.
    """
    try:
        return QueueFile.model_validate(tomllib.loads(Path(path).read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"scheduler {path}: cannot be read as TOML ({error}); check --scheduler") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"scheduler {path}: {where}: {first['msg']}; correct it") from error


@contextmanager
def queued(path: str | Path) -> Iterator[tuple[Client, float]]:
    """A client of a scheduler in this process whose workers the queue starts, and seconds to wait for the first.

    Raises:
        InputError: a file that is none, dask-jobqueue is missing, or the queue does not take the jobs.
    """
    description = read_queue(path)
    try:
        import dask_jobqueue
    except ImportError as error:
        raise InputError(
            f"scheduler {path}: dask-jobqueue is missing; run `pip install 'microwright[cluster]'`"
        ) from error
    prologue = [f"export {name}={value}" for name, value in ALLOCATION.items()]
    options = dict(description.options)
    options["job_script_prologue"] = prologue + list(options.get("job_script_prologue") or [])
    try:
        cluster = getattr(dask_jobqueue, CLASSES[description.kind])(**options)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"scheduler {path}: {description.kind} does not take these options ({error})") from error
    with cluster, Client(cluster) as client:
        try:
            cluster.sync(_submit, cluster, description.jobs)
        except (OSError, RuntimeError) as error:
            raise InputError(f"scheduler {path}: the queue refused the jobs ({error}); ask it by hand") from error
        yield client, description.wait_s


async def _submit(cluster: Any, jobs: int) -> None:
    """Submit the jobs, and hear a queue that refuses them.

    ``scale`` alone submits later and loses what goes wrong; in the same step of the cluster's loop its errors are ours.
    """
    cluster.scale(jobs=jobs)
    try:
        await cluster._correct_state()
    except (OSError, RuntimeError):
        for job in cluster._created:
            # closing the cluster demands of every job that it has ended, also of one that never began
            if job.status == Status.created:
                job.status = Status.failed
        raise
