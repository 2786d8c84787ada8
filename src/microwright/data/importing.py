"""Sets that exist already, as labelled sets: files with properties inside (HDF5, NPZ, Zarr), or a table beside them.

A table is CSV with a header. Its column ``name`` (or ``file``, ``image``, ``sample``) matches rows to structures by
file name; without such a column rows follow the order of the structures. A header ``C11 [GPa]`` gives name and unit.
Windows that were cut from a micrograph have the properties of the micrograph's row.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microwright.data.micrographs import Cutting, read_samples
from microwright.data.store import Chunk, LabelledSet
from microwright.errors import InputError
from microwright.physics.property import Property, Status
from microwright.structures.files import StructureSet
from microwright.structures.files.arrays import read_npz_array
from microwright.structures.files.content import MissingDatasetError, Reading, reading_errors
from microwright.structures.files.hdf5 import read_hdf5_array
from microwright.structures.files.output import check_output, fresh_output
from microwright.structures.files.zarr_group import read_zarr_array

CHUNK = 64
MAX_TABLE_BYTES = 2**30
#: names that a set's header keeps; of more it keeps none
MOST_NAMES = 10_000
NAME_COLUMNS = ("name", "file", "filename", "image", "sample")
#: names under which properties and latents are looked for in a file of several arrays
USUAL_PROPERTIES = ("properties", "y", "targets", "labels")
USUAL_LATENTS = ("latents", "z")

_ARRAYS: dict[str, Callable[[Path, Reading], NDArray[Any]]] = {
    ".h5": read_hdf5_array,
    ".hdf5": read_hdf5_array,
    ".npz": read_npz_array,
    ".zarr": read_zarr_array,
}


@dataclass(frozen=True)
class Layout:
    """Where a file keeps what; None looks under the usual names.

    Attributes:
        structures: dataset of the structures.
        properties: dataset of the properties.
        latents: dataset of the latents.
        property_names: names of the properties, ``"C11 [GPa]"`` with unit; None takes the dataset's or the table's.
        dimensions: grid axes where three axes could be images or a volume.
    """

    structures: str | None = None
    properties: str | None = None
    latents: str | None = None
    property_names: Sequence[str] | None = None
    dimensions: int | None = None


@dataclass(frozen=True)
class _Table:
    """Properties as read: header and values, with the structures' names where the table has them."""

    header: list[str]
    values: NDArray[np.float64]
    names: list[str] | None = None


def import_set(
    path: str | Path,
    out: str | Path,
    *,
    table: str | Path | None = None,
    layout: Layout = Layout(),
    cutting: Cutting = Cutting(),
    replace: bool = False,
) -> LabelledSet:
    """Make a labelled set of structures and properties that are there already.

    Args:
        path: file or folder of structures, any format of ``read_structures``.
        out: the set.
        table: CSV (or NPY) of properties; None takes those in ``path``.
        layout: datasets and names.
        cutting: segmentation of grey images, windows, pixel size.
        replace: take the place of a set that is there.

    Raises:
        InputError: unreadable files, properties missing for some structures or not finite, or ``out`` exists.
    """
    path, out = Path(path), Path(out)
    check_output(out, replace)
    structures = read_samples(path, cutting, dimensions=layout.dimensions, dataset=layout.structures)
    properties = _matched(_read_properties(path, table, layout), structures, path if table is None else Path(table))
    latents = _read_latents(path, layout, len(structures.structures))
    names = list(layout.property_names or properties.header)
    if len(names) != properties.values.shape[1]:
        raise InputError(
            f"{path}: {properties.values.shape[1]} properties per structure, {len(names)} names; "
            "give --property-name once per property"
        )
    source = {
        "family": "import",
        "file": path.name,
        "spacing": structures.spacing and list(structures.spacing),
        "cutting": cutting.spec(),
        "names": list(structures.names) if len(structures.names) <= MOST_NAMES else [],
    }
    with fresh_output(out, replace) as draft:
        _write(draft, structures, properties.values, latents, [as_property(name) for name in names], source)
    return LabelledSet.open(out)


def as_property(text: str) -> Property:
    """``"C11 [GPa]"`` as a property; without brackets the unit is 1."""
    match = re.fullmatch(r"\s*([^\[\]]*[^\[\]\s])\s*(?:\[([^\[\]]*)\])?\s*", text)
    if match is None:
        raise InputError(f"property: {text!r} is no name; write for instance absorption, or 'C11 [GPa]'")
    return Property(match[1], match[2] or "1", "imported")


def _write(
    path: Path,
    structures: StructureSet,
    properties: NDArray[np.float64],
    latents: NDArray[np.float32] | None,
    described: list[Property],
    source: dict[str, Any],
) -> None:
    labelled = LabelledSet.create(
        path,
        count=len(properties),
        grid=structures.structures.shape[1:],
        properties=described,
        solver={},
        source=source,
        latent_shape=None if latents is None else latents.shape[1:],
        chunk=CHUNK,
    )
    for chunk in range(labelled.header.chunks):
        part = slice(*labelled.bounds(chunk))
        values = properties[part]
        labelled.write_chunk(
            chunk,
            Chunk(
                structures=structures.structures[part],
                properties=values,
                error_bar=np.full_like(values, np.nan),
                status=np.full(len(values), int(Status.CONVERGED), np.uint8),
                latents=None if latents is None else latents[part],
            ),
        )


def _read_properties(path: Path, table: str | Path | None, layout: Layout) -> _Table:
    if table is not None:
        return _read_table(Path(table))
    if path.suffix.lower() not in _ARRAYS:
        raise InputError(f"{path}: holds no properties; give a CSV of them with --properties")
    name, values = _dataset(path, layout.properties, USUAL_PROPERTIES)
    if values is None:
        raise InputError(
            f"{path}: no dataset {' or '.join(USUAL_PROPERTIES)}; give --properties-dataset or --properties"
        )
    return _columns(values, name)


def _read_latents(path: Path, layout: Layout, count: int) -> NDArray[np.float32] | None:
    if path.suffix.lower() not in _ARRAYS:
        return None
    name, values = _dataset(path, layout.latents, USUAL_LATENTS)
    if values is None:
        return None
    if len(values) != count or values.ndim < 2 or not np.isfinite(values).all():
        raise InputError(
            f"{path}: dataset {name!r} is no set of {count} finite latents; give another --latents-dataset"
        )
    return values.astype(np.float32)


def _dataset(path: Path, wanted: str | None, usual: Sequence[str]) -> tuple[str, NDArray[Any] | None]:
    """The dataset asked for, or the first of the usual ones that is there."""
    read = _ARRAYS[path.suffix.lower()]
    if wanted is not None:
        return wanted, read(path, Reading(wanted))
    for name in usual:
        with suppress(MissingDatasetError):
            return name, read(path, Reading(name))
    return "", None


def _read_table(path: Path) -> _Table:
    if not path.is_file():
        raise InputError(f"{path}: no such table; check --properties")
    if path.stat().st_size > MAX_TABLE_BYTES:
        raise InputError(f"{path}: larger than {MAX_TABLE_BYTES:,} bytes; split it")
    if path.suffix.lower() == ".npy":
        with reading_errors(path, "NPY"):
            return _columns(np.load(path, allow_pickle=False), path.stem)
    with reading_errors(path, "CSV"), path.open(newline="", encoding="utf-8-sig") as file:
        rows = [row for row in csv.reader(file, strict=True) if any(cell.strip() for cell in row)]
    return _parsed(path, rows)


def _parsed(path: Path, rows: list[list[str]]) -> _Table:
    if len(rows) < 2:
        raise InputError(f"{path}: empty; give a header and one row per structure")
    header = [cell.strip() for cell in rows[0]]
    named = next((i for i, cell in enumerate(header) if cell.lower() in NAME_COLUMNS), None)
    columns = [i for i in range(len(header)) if i != named]
    if not columns:
        raise InputError(f"{path}: only names; add a column per property")
    values = [[_number(path, line, header, row, column) for column in columns] for line, row in enumerate(rows[1:], 2)]
    names = None if named is None else [row[named].strip() for row in rows[1:]]
    return _Table([header[i] for i in columns], np.array(values), names)


def _number(path: Path, line: int, header: list[str], row: list[str], column: int) -> float:
    """A cell as a number; NaN for an empty one, which matters only if a structure needs it."""
    cell = row[column].strip() if column < len(row) else ""
    try:
        return float(cell) if cell else float("nan")
    except ValueError as error:
        raise InputError(f"{path}: row {line}, {header[column]}: {cell!r} is no number; correct it") from error


def _columns(values: NDArray[Any], name: str) -> _Table:
    if values.dtype.kind not in "buif" or values.ndim not in (1, 2) or values.size == 0:
        raise InputError(
            f"{name}: shape {values.shape} of {values.dtype} is no table of properties; give (n,) or (n, p)"
        )
    columns = values.reshape(len(values), -1).astype(np.float64)
    header = [name] if columns.shape[1] == 1 else [f"{name}{index}" for index in range(columns.shape[1])]
    return _Table(header, columns)


def _matched(table: _Table, structures: StructureSet, path: Path) -> _Table:
    """The rows in the order of the structures, one for each of them, all finite."""
    names = structures.names
    if table.names is None:
        if len(table.values) != len(names):
            raise InputError(
                f"{path}: {len(table.values)} rows for {len(names)} structures; give one row per structure"
            )
        values = table.values
    else:
        rows = {_stem(name): index for index, name in enumerate(table.names)}
        missing = [name for name in names if _stem(name) not in rows]
        if missing:
            raise InputError(
                f"{path}: no properties for {missing[0]!r} ({len(missing)} in all); add rows, or leave it out"
            )
        values = table.values[[rows[_stem(name)] for name in names]]
    broken = [names[index] for index in np.flatnonzero(~np.isfinite(values).all(1))]
    if broken:
        raise InputError(
            f"{path}: properties of {broken[0]!r} are missing or not finite ({len(broken)} in all); complete them"
        )
    return _Table(table.header, values)


def _stem(name: str) -> str:
    """A file name without folder, image suffix and place of a window, as tables write it with or without."""
    bare = re.sub(r"@\d+(,\d+)*$", "", name.replace("\\", "/").rsplit("/", 1)[-1])
    return re.sub(r"\.(png|tiff?|vti)$", "", bare, flags=re.IGNORECASE)
