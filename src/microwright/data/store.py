"""Labelled sets: structures, their properties and where both came from, in one Zarr (version 3) store.

Arrays, n samples in chunks of ``chunk`` samples::

    structures  uint8   (n, *grid)     0/1
    properties  float64 (n, p)         NaN where the sample failed
    error_bar   float64 (n, p)         NaN where unknown
    status      uint8   (n,)           microwright.physics.property.Status
    latents     float32 (n, *latent)   only where the source has latents
    done        uint8   (n / chunk,)   1 once every array of the chunk is written, and written last

A chunk counts only when its ``done`` flag is set, so a run killed at any moment leaves a whole store that lacks
at most the chunks in hand. Each chunk has one writer: workers share a store without locks between them; one *run* at
a time holds the store's lock (``microwright.data.places``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, PositiveInt, ValidationError

import microwright
from microwright.data.places import Place, place_of
from microwright.errors import InputError
from microwright.physics.property import Property, Status

FORMAT = "microwright labelled set"
VERSION = 1


class PropertyRecord(BaseModel):
    """A property as it stands in the header."""

    model_config = ConfigDict(extra="forbid")
    name: str
    unit: str
    description: str = ""


class Header(BaseModel):
    """Attributes of the store: what its numbers mean."""

    model_config = ConfigDict(extra="forbid")
    format: Literal["microwright labelled set"] = "microwright labelled set"
    version: Literal[1] = 1
    count: PositiveInt
    chunk: PositiveInt
    grid: list[PositiveInt]
    latent_shape: list[PositiveInt] | None
    properties: list[PropertyRecord]
    solver: dict[str, Any]
    source: dict[str, Any]
    microwright: str

    @property
    def chunks(self) -> int:
        return -(-self.count // self.chunk)

    def layout(self) -> dict[str, tuple[tuple[int, ...], str, float]]:
        """Shape, type and fill value of each array."""
        n, p = self.count, len(self.properties)
        arrays: dict[str, tuple[tuple[int, ...], str, float]] = {
            "structures": ((n, *self.grid), "uint8", 0),
            "properties": ((n, p), "float64", np.nan),
            "error_bar": ((n, p), "float64", np.nan),
            "status": ((n,), "uint8", int(Status.FAILED)),
            "done": ((self.chunks,), "uint8", 0),
        }
        if self.latent_shape is not None:
            arrays["latents"] = ((n, *self.latent_shape), "float32", np.nan)
        return arrays


@dataclass(frozen=True)
class Chunk:
    """The samples of one chunk, as they are written.

    Attributes:
        structures: 0/1, shape ``(m, *grid)``.
        properties: shape ``(m, p)``.
        error_bar: half-widths, shape ``(m, p)``; NaN where unknown.
        status: one ``Status`` per sample.
        latents: shape ``(m, *latent)``, or None where the source has none.
    """

    structures: NDArray[Any]
    properties: NDArray[np.float64]
    error_bar: NDArray[np.float64]
    status: NDArray[np.uint8]
    latents: NDArray[np.float32] | None = None


class StoredArray:
    """An array of a labelled set, read lazily by NumPy indexing; corrupt chunks are named."""

    def __init__(self, array: zarr.Array, path: Path | str) -> None:
        self._array = array
        self._path = path

    @property
    def shape(self) -> tuple[int, ...]:
        return self._array.shape

    def __len__(self) -> int:
        return self._array.shape[0]

    def __getitem__(self, index: Any) -> NDArray[Any]:
        try:
            return np.asarray(self._array.oindex[index] if _is_fancy(index) else self._array[index])
        except IndexError:
            raise
        except Exception as error:
            raise InputError(
                f"{self._path}: array {self._array.basename!r} is damaged ({_first_line(error)}); make the set again"
            ) from error


class LabelledSet:
    """A labelled set on disk or in an object store; ``create`` a new one or ``open`` one that is there."""

    def __init__(self, place: Place, header: Header, arrays: dict[str, zarr.Array]) -> None:
        self.place = place
        self.header = header
        self._arrays = arrays

    @property
    def path(self) -> Path | str:
        """Its folder, or its URL."""
        return self.place.path

    @classmethod
    def create(
        cls,
        path: str | Path,
        *,
        count: int,
        grid: Sequence[int],
        properties: Sequence[Property],
        solver: dict[str, Any],
        source: dict[str, Any],
        latent_shape: Sequence[int] | None = None,
        chunk: int = 64,
    ) -> LabelledSet:
        """A new, empty set; it appears at ``path`` whole or not at all.

        Args:
            path: where the store goes, a folder or a URL as in ``s3://bucket/set.zarr``; must not exist.
            count: number of samples it will hold.
            grid: pixels per axis.
            properties: names and units of the property axis.
            solver: spec of the solver that labels (JSON).
            source: spec of where the structures come from (JSON).
            latent_shape: shape of one latent, or None.
            chunk: samples per chunk.

        Raises:
            InputError: ``path`` exists or cannot be written, or a size is not positive.
        """
        place = place_of(path)
        place.check_free()
        records = [PropertyRecord(name=p.name, unit=p.unit, description=p.description) for p in properties]
        try:
            header = Header(
                count=count,
                chunk=chunk,
                grid=list(grid),
                latent_shape=None if latent_shape is None else list(latent_shape),
                properties=records,
                solver=solver,
                source=source,
                microwright=microwright.__version__,
            )
        except ValidationError as error:
            raise InputError(f"{path}: {_first_problem(error)}; change the arguments") from error
        place.create(lambda store: _write_empty(store, header))
        return cls.open(path)

    @classmethod
    def open(cls, path: str | Path) -> LabelledSet:
        """The set at ``path``, header and array shapes checked.

        Raises:
            InputError: missing, not a labelled set, of another version, or damaged.
        """
        place = place_of(path)
        if not place.exists():
            raise InputError(f"{path}: no such labelled set; check the path, or make one with `microwright label`")
        try:
            group = zarr.open_group(str(path), mode="r+", zarr_format=3)
            attributes = dict(group.attrs)
        except Exception as error:
            raise InputError(f"{path}: not a Zarr store ({_first_line(error)}); give a labelled set") from error
        header = _checked_header(path, attributes)
        return cls(place, header, _checked_arrays(path, header, group))

    def __len__(self) -> int:
        return self.header.count

    @property
    def grid(self) -> tuple[int, ...]:
        return tuple(self.header.grid)

    @property
    def property_names(self) -> tuple[str, ...]:
        return tuple(record.name for record in self.header.properties)

    @property
    def units(self) -> tuple[str, ...]:
        return tuple(record.unit for record in self.header.properties)

    @property
    def solver(self) -> dict[str, Any]:
        """Spec of the solver that labelled."""
        return self.header.solver

    @property
    def source(self) -> dict[str, Any]:
        """Spec of where the structures came from."""
        return self.header.source

    @property
    def structures(self) -> StoredArray:
        return self._array("structures")

    @property
    def properties(self) -> StoredArray:
        return self._array("properties")

    @property
    def error_bar(self) -> StoredArray:
        return self._array("error_bar")

    @property
    def status(self) -> StoredArray:
        return self._array("status")

    @property
    def latents(self) -> StoredArray:
        """Latents of the samples.

        Raises:
            InputError: the set has none.
        """
        if self.header.latent_shape is None:
            raise InputError(f"{self.path}: the set has no latents; label a source that has them")
        return self._array("latents")

    @property
    def done(self) -> NDArray[np.bool_]:
        """Which chunks are whole."""
        return self._array("done")[:].astype(bool)

    @property
    def complete(self) -> bool:
        return bool(self.done.all())

    def missing_chunks(self) -> list[int]:
        """Indices of the chunks that are still to be written."""
        return np.flatnonzero(~self.done).tolist()

    def bounds(self, chunk: int) -> tuple[int, int]:
        """First sample of a chunk, and the one after its last."""
        start = chunk * self.header.chunk
        return start, min(start + self.header.chunk, self.header.count)

    def usable(self) -> NDArray[np.int64]:
        """Indices of the samples that are written, converged and finite, in order."""
        written = np.repeat(self.done, self.header.chunk)[: len(self)]
        converged = self.status[:] == int(Status.CONVERGED)
        return np.flatnonzero(written & converged & np.isfinite(self.properties[:]).all(1))

    def write_chunk(self, chunk: int, samples: Chunk) -> None:
        """Write all arrays of a chunk, its ``done`` flag last.

        Raises:
            InputError: shapes that do not fit the set, structures that are not 0/1, or a full disk.
        """
        start, stop = self.bounds(chunk)
        arrays = {name: getattr(samples, name) for name in self.header.layout() if name != "done"}
        for name, values in arrays.items():
            _check_part(name, values, (stop - start, *self._zarr(name).shape[1:]))
        with self.place.errors():
            for name, values in arrays.items():
                self._zarr(name)[start:stop] = values
            self._zarr("done")[chunk] = 1

    def fingerprint(self) -> str:
        """SHA-256 of header, structures, properties and latents: which data a model was trained on."""
        digest = hashlib.sha256(json.dumps(self.header.model_dump(), sort_keys=True).encode())
        names = ["structures", "properties", *(["latents"] if self.header.latent_shape is not None else [])]
        for name in names:
            for chunk in range(self.header.chunks):
                digest.update(self._array(name)[slice(*self.bounds(chunk))].tobytes())
        return digest.hexdigest()

    @contextmanager
    def locked(self) -> Iterator[LabelledSet]:
        """Hold the store for one run. A killed run leaves no lock behind, or in an object store one that lapses.

        Raises:
            InputError: another run holds it.
        """
        with self.place.locked():
            yield self

    def _zarr(self, name: str) -> zarr.Array:
        return self._arrays[name]

    def _array(self, name: str) -> StoredArray:
        return StoredArray(self._zarr(name), self.path)


def _write_empty(store: str, header: Header) -> None:
    """The arrays, then the group's own record: what lacks it is no set."""
    for name, (shape, dtype, fill) in header.layout().items():
        length = 1 if name == "done" else header.chunk
        chunks = (min(length, shape[0]), *shape[1:])
        # by its own path: created by name within the group, an array would bring the group's record with it
        place = f"{store}/{name}"
        zarr.create_array(
            place, shape=shape, chunks=chunks, dtype=dtype, fill_value=fill, zarr_format=3, overwrite=True
        )
    zarr.create_group(store, zarr_format=3, attributes=header.model_dump())


def _checked_header(path: str | Path, attributes: dict[str, Any]) -> Header:
    if attributes.get("format") != FORMAT:
        raise InputError(
            f"{path}: a Zarr store, but no labelled set; make one with `microwright label` or `data import`"
        )
    if attributes.get("version") != VERSION:
        raise InputError(
            f"{path}: labelled set of version {attributes.get('version')}, this program reads {VERSION}; "
            "label it again, or use the program that wrote it"
        )
    try:
        return Header.model_validate(attributes)
    except ValidationError as error:
        raise InputError(f"{path}: damaged header, {_first_problem(error)}; make the set again") from error


def _checked_arrays(path: str | Path, header: Header, group: zarr.Group) -> dict[str, zarr.Array]:
    arrays: dict[str, zarr.Array] = {}
    for name, (shape, dtype, _) in header.layout().items():
        try:
            array = group[name]
        except Exception as error:
            raise InputError(f"{path}: array {name!r} is missing or damaged; make the set again") from error
        if not isinstance(array, zarr.Array) or array.shape != shape or array.dtype != np.dtype(dtype):
            raise InputError(f"{path}: array {name!r} is not {dtype} of shape {shape}; make the set again")
        arrays[name] = array
    return arrays


def _check_part(name: str, values: NDArray[Any] | None, shape: tuple[int, ...]) -> None:
    if values is None or values.shape != shape:
        found = None if values is None else values.shape
        raise InputError(f"{name}: expected shape {shape} for this chunk, got {found}; give one row per sample")
    if name == "structures" and not ((values == 0) | (values == 1)).all():
        raise InputError("structures: a labelled set holds 0/1 alone; binarise them first")


def _is_fancy(index: Any) -> bool:
    return isinstance(index, (list, np.ndarray))


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _first_problem(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
