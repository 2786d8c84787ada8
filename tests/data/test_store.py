"""Labelled sets: what is written comes back; what is damaged is named."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microwright.data import store as store_module
from microwright.data.store import Chunk, LabelledSet
from microwright.errors import InputError
from microwright.physics.property import Property, Status

PROPERTIES = (Property("absorption", "1", "share of the light"), Property("C11", "GPa", "stiffness"))


def new_set(path, count=10, chunk=4, grid=(4, 6), latent_shape=(2, 2)) -> LabelledSet:
    return LabelledSet.create(
        path,
        count=count,
        grid=grid,
        properties=PROPERTIES,
        solver={"engine": "cheap", "nested": {"a": [1, 2.5]}},
        source={"family": "test"},
        latent_shape=latent_shape,
        chunk=chunk,
    )


def random_chunk(labelled: LabelledSet, chunk: int, seed: int = 0) -> Chunk:
    start, stop = labelled.bounds(chunk)
    draw = np.random.default_rng([seed, chunk])
    latent_shape = labelled.header.latent_shape
    return Chunk(
        structures=draw.integers(0, 2, (stop - start, *labelled.grid)).astype(np.uint8),
        properties=draw.normal(size=(stop - start, 2)),
        error_bar=draw.random((stop - start, 2)),
        status=np.zeros(stop - start, np.uint8),
        latents=None if latent_shape is None else draw.normal(size=(stop - start, *latent_shape)).astype(np.float32),
    )


@pytest.fixture
def full(tmp_path) -> LabelledSet:
    labelled = new_set(tmp_path / "set.zarr")
    for chunk in range(3):
        labelled.write_chunk(chunk, random_chunk(labelled, chunk))
    return labelled


@settings(max_examples=15, deadline=None)
@given(
    count=st.integers(1, 12),
    chunk=st.integers(1, 15),
    grid=st.lists(st.integers(1, 5), min_size=2, max_size=3).map(tuple),
    latent_shape=st.none() | st.just((3,)),
)
def test_what_is_written_comes_back(tmp_path_factory, count, chunk, grid, latent_shape):
    path = tmp_path_factory.mktemp("sets") / "set.zarr"
    labelled = new_set(path, count, chunk, grid, latent_shape)
    parts = [random_chunk(labelled, index) for index in range(labelled.header.chunks)]
    for index, part in enumerate(parts):
        labelled.write_chunk(index, part)
    again = LabelledSet.open(path)
    assert again.complete and len(again) == count and again.grid == grid
    for name in ("structures", "properties", "error_bar", "status"):
        np.testing.assert_array_equal(getattr(again, name)[:], np.concatenate([getattr(part, name) for part in parts]))
    if latent_shape is not None:
        np.testing.assert_array_equal(again.latents[:], np.concatenate([part.latents for part in parts]))


def test_the_header_says_what_the_numbers_mean(full):
    again = LabelledSet.open(full.path)
    assert again.property_names == ("absorption", "C11")
    assert again.units == ("1", "GPa")
    assert again.solver == {"engine": "cheap", "nested": {"a": [1, 2.5]}}
    assert again.source == {"family": "test"}


def test_only_whole_chunks_count(tmp_path):
    labelled = new_set(tmp_path / "set.zarr")
    labelled.write_chunk(1, random_chunk(labelled, 1))
    assert labelled.done.tolist() == [False, True, False]
    assert labelled.missing_chunks() == [0, 2]
    assert labelled.usable().tolist() == [4, 5, 6, 7]
    assert not labelled.complete
    assert (labelled.status[:4] == Status.FAILED).all()


def test_the_flag_is_written_last(tmp_path, monkeypatch):
    """Where any array of a chunk cannot be written, the chunk does not count."""
    for stopped in ("structures", "properties", "error_bar", "status", "latents"):
        labelled = new_set(tmp_path / f"{stopped}.zarr")
        directory = labelled.path / stopped
        shutil.rmtree(directory / "c", ignore_errors=True)
        (directory / "c").write_text("in the way")
        with pytest.raises(InputError, match="cannot be written"):
            labelled.write_chunk(0, random_chunk(labelled, 0))
        (directory / "c").unlink()
        assert not LabelledSet.open(labelled.path).done.any()


def test_failed_samples_are_not_usable(tmp_path):
    labelled = new_set(tmp_path / "set.zarr", count=4)
    part = random_chunk(labelled, 0)
    part.status[1] = Status.NOT_CONVERGED
    part.properties[2, 1] = np.nan
    labelled.write_chunk(0, part)
    assert labelled.usable().tolist() == [0, 3]


def test_arrays_are_read_by_slices_and_by_indices(full):
    everything = full.structures[:]
    np.testing.assert_array_equal(full.structures[2:7], everything[2:7])
    np.testing.assert_array_equal(full.structures[[7, 0, 5]], everything[[7, 0, 5]])
    np.testing.assert_array_equal(full.properties[np.array([9, 1])], full.properties[:][[9, 1]])


def test_the_fingerprint_changes_with_any_value(full, tmp_path):
    shutil.copytree(full.path, tmp_path / "copy.zarr")
    copy = LabelledSet.open(tmp_path / "copy.zarr")
    assert copy.fingerprint() == full.fingerprint()
    part = random_chunk(copy, 2)
    part.properties[0, 0] += 1e-9
    copy.write_chunk(2, part)
    assert copy.fingerprint() != full.fingerprint()


def test_sets_are_not_overwritten(full):
    with pytest.raises(InputError, match="exists already.*--force"):
        new_set(full.path)


@pytest.mark.parametrize(("field", "value"), [("structures", 2), ("structures", 0.5)])
def test_structures_must_be_binary(tmp_path, field, value):
    labelled = new_set(tmp_path / "set.zarr")
    part = random_chunk(labelled, 0)
    with pytest.raises(InputError, match="0/1"):
        labelled.write_chunk(0, Chunk(**{**vars(part), field: np.full((4, 4, 6), value)}))
    assert not labelled.done.any()


def test_parts_of_the_wrong_size_are_refused(tmp_path):
    labelled = new_set(tmp_path / "set.zarr")
    with pytest.raises(InputError, match="structures: expected shape"):
        labelled.write_chunk(2, random_chunk(labelled, 0))
    with pytest.raises(InputError, match="latents"):
        labelled.write_chunk(0, Chunk(**{**vars(random_chunk(labelled, 0)), "latents": None}))


def test_sets_without_latents_say_so(tmp_path):
    with pytest.raises(InputError, match="no latents"):
        new_set(tmp_path / "set.zarr", latent_shape=None).latents  # noqa: B018


def rewrite_header(path, change) -> None:
    file = path / "zarr.json"
    content = json.loads(file.read_text())
    change(content["attributes"])
    file.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.update(version=2), "version 2, this program reads 1"),
        (lambda a: a.pop("version"), "version None"),
        (lambda a: a.update(format="other"), "no labelled set"),
        (lambda a: a.clear(), "no labelled set"),
        (lambda a: a.update(count=-1), "damaged header, count"),
        (lambda a: a.update(grid="abc"), "damaged header, grid"),
        (lambda a: a.update(count=11), "not .* of shape"),
        (lambda a: a.update(properties=[{"name": "x", "unit": "1"}]), "not .* of shape"),
        (lambda a: a.pop("solver"), "damaged header, solver"),
        (lambda a: a.update(code="import os"), "damaged header, code"),
    ],
)
def test_damaged_headers_are_named(full, change, message):
    rewrite_header(full.path, change)
    with pytest.raises(InputError, match=message):
        LabelledSet.open(full.path)


def test_damaged_stores_are_named(full, tmp_path):
    with pytest.raises(InputError, match="no such"):
        LabelledSet.open(tmp_path / "nothing.zarr")
    (tmp_path / "file.zarr").write_bytes(b"")
    with pytest.raises(InputError, match="not a Zarr store"):
        LabelledSet.open(tmp_path / "file.zarr")
    (full.path / "properties" / "c" / "1" / "0").write_bytes(b"truncated")
    with pytest.raises(InputError, match="'properties' is damaged"):
        LabelledSet.open(full.path).properties[:]
    shutil.rmtree(full.path / "error_bar")
    with pytest.raises(InputError, match="'error_bar' is missing"):
        LabelledSet.open(full.path)
    (full.path / "zarr.json").write_text("{")
    with pytest.raises(InputError, match="not a Zarr store"):
        LabelledSet.open(full.path)


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    def full_disk(*arguments, **options):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(store_module.zarr, "create_group", full_disk)
    with pytest.raises(InputError, match="No space left on device"):
        new_set(tmp_path / "set.zarr")
    assert not any(tmp_path.iterdir())


def test_a_lock_dies_with_its_process(full):
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time; from microwright.data.store import LabelledSet\n"
            "with LabelledSet.open(sys.argv[1]).locked(): print('held', flush=True); time.sleep(60)",
            str(full.path),
        ],
        stdout=subprocess.PIPE,
    )
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(InputError, match=f"process {holder.pid} on"), full.locked():
        pass
    holder.kill()
    holder.wait()
    with full.locked():
        pass
