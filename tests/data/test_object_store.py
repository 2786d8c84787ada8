"""Labelled sets in an object store: the same values, one writer at a time, every refusal in one line."""

from __future__ import annotations

import json
import time
import uuid

import fsspec
import numpy as np
import pytest

from microwright.data import places
from microwright.data.labelling import label
from microwright.data.places import is_url, place_of
from microwright.data.sources import RandomFieldSource
from microwright.data.store import LabelledSet
from microwright.errors import InputError
from tests.data.cheap import CHUNK, SOURCE, CheapSolver, FaultySolver
from tests.data.test_labelling import assert_equal_sets

COUNT = 20


@pytest.fixture
def memory() -> str:
    """A place in fsspec's store within the process."""
    return f"memory://sets/{uuid.uuid4().hex}.zarr"


@pytest.fixture(scope="module")
def bucket():
    """A bucket on a local S3 server, reached as users reach theirs: by the environment."""
    server = pytest.importorskip("moto.server")
    pytest.importorskip("s3fs")
    with pytest.MonkeyPatch.context() as patch:
        running = server.ThreadedMotoServer(port=0, verbose=False)
        running.start()
        host, port = running.get_host_and_port()
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        fsspec.filesystem("s3", skip_instance_cache=True).mkdir("structures")
        yield "s3://structures"
        running.stop()


@pytest.fixture(scope="module")
def local(tmp_path_factory) -> LabelledSet:
    return label(SOURCE, CheapSolver(), tmp_path_factory.mktemp("sets") / "set.zarr", COUNT, chunk=CHUNK)


class Stop(Exception):
    """Raised in the middle of the work."""


def stop_at(chunks: int):
    def report(done: int, total: int) -> None:
        if done >= chunks * CHUNK:
            raise Stop

    return report


def test_s3_holds_the_same_set(bucket, local):
    """Labelled, stopped, continued and read again on an S3 server."""
    path = f"{bucket}/set.zarr"
    with pytest.raises(Stop):
        label(SOURCE, CheapSolver(), path, COUNT, chunk=CHUNK, progress=stop_at(1))
    assert LabelledSet.open(path).done.tolist() == [True, False, False]
    assert_equal_sets(local, label(SOURCE, CheapSolver(), path, COUNT, chunk=CHUNK))
    again = LabelledSet.open(path)
    assert again.complete and again.fingerprint() == local.fingerprint()
    with pytest.raises(InputError, match="another source"):
        label(RandomFieldSource((8, 8), seed=1), CheapSolver(), path, COUNT, chunk=CHUNK)
    with again.locked(), pytest.raises(InputError, match="being written by process"):
        label(SOURCE, CheapSolver(), path, COUNT, chunk=CHUNK)
    place_of(path).remove()
    assert not place_of(path).exists()


def test_a_bucket_that_is_not_there_is_told(bucket):
    with pytest.raises(InputError, match="s3://elsewhere"):
        label(SOURCE, CheapSolver(), "s3://elsewhere/set.zarr", COUNT)


def test_failures_leave_their_logs(memory):
    labelled = label(SOURCE, FaultySolver(), memory, COUNT, chunk=CHUNK)
    raised = np.flatnonzero(labelled.structures[:, 0, 0] == 1)
    files = fsspec.filesystem("memory").glob(f"{memory.removeprefix('memory:/')}/failures/*.txt")
    assert {int(name.rpartition("/")[2].removesuffix(".txt")) for name in files} == set(raised.tolist())


def test_a_lease_that_lapsed_is_taken(memory, monkeypatch):
    """A run that was killed cannot give its lease back; the next one need not wait for ever."""
    labelled = label(SOURCE, CheapSolver(), memory, COUNT, chunk=CHUNK)
    files, key = fsspec.filesystem("memory"), f"{memory.removeprefix('memory:/')}/.lock"
    lease = {"owner": "process 1 on a machine that is gone", "token": "x", "time": time.time()}
    files.pipe_file(key, json.dumps(lease).encode())
    with pytest.raises(InputError, match="a machine that is gone"), labelled.locked():
        pass
    files.pipe_file(key, json.dumps({**lease, "time": time.time() - 2 * places.LEASE}).encode())
    with labelled.locked():
        assert "a machine that is gone" not in files.cat_file(key).decode()
    assert not files.exists(key)


def test_a_lease_is_renewed(memory, monkeypatch):
    monkeypatch.setattr(places, "LEASE", 0.2)
    labelled = label(SOURCE, CheapSolver(), memory, COUNT, chunk=CHUNK)
    with labelled.locked():
        time.sleep(0.5)
        with pytest.raises(InputError, match="being written by"), labelled.locked():
            pass


def test_a_creation_that_was_killed_leaves_no_set(memory, monkeypatch):
    """The group's own record comes last: without it there is nothing, and the next run begins afresh."""
    files, root = fsspec.filesystem("memory"), memory.removeprefix("memory:/")
    labelled = label(SOURCE, CheapSolver(), memory, COUNT, chunk=CHUNK)
    values = labelled.properties[:]
    files.rm_file(f"{root}/zarr.json")
    assert not place_of(memory).exists()
    with pytest.raises(InputError, match="no such labelled set"):
        LabelledSet.open(memory)
    again = label(SOURCE, CheapSolver(), memory, COUNT, chunk=CHUNK, progress=None)
    np.testing.assert_array_equal(again.properties[:], values)


def test_urls_are_told_from_paths(tmp_path):
    assert is_url("s3://bucket/set.zarr") and not is_url(tmp_path) and not is_url("C:/set.zarr")
    with pytest.raises(InputError, match="nowhere"):
        place_of("nowhere://set.zarr")
