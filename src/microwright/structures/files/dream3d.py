"""DREAM.3D: cell arrays of an image geometry, of version 6 (``_SIMPL_GEOMETRY``) and of DREAM3D-NX (``_DIMENSIONS``).

The file is HDF5. A cell array has the axes z, y, x and the components of a cell; DIMENSIONS and SPACING of the geometry
are in the order x, y, z (S. P. Singh & M. A. Jackson, Integrating Materials and Manufacturing Innovation 3 (2014) 5).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from microwright.errors import InputError
from microwright.structures.files.content import MissingDatasetError, RawImages, Reading, reading_errors
from microwright.structures.files.hdf5 import load, numeric_datasets, read_hdf5

#: cell arrays taken where none is asked for
USUAL = ("phases", "mask")


def read_dream3d(path: Path, reading: Reading) -> RawImages:
    """One cell array with one number a cell; a file without an image geometry is read as any HDF5.

    Raises:
        InputError: no such cell array, or none to choose.
    """
    with reading_errors(path, "DREAM.3D"), h5py.File(path, "r") as file:
        arrays = numeric_datasets(file)
        geometries = _geometries(file, lambda name: load(path, reading, name, arrays[name]) if name in arrays else None)
        cells = {name: found for name, array in arrays.items() if (found := _fits(name, array, geometries)) is not None}
        if not geometries:
            return read_hdf5(path, reading)
        name = _picked(path, list(cells), reading.dataset)
        size, spacing = cells[name]
        volume = load(path, reading, name, arrays[name]).reshape(size[::-1]).transpose()
    if size[2] == 1:
        return RawImages(volume[..., 0], 2, spacing[:2])
    return RawImages(volume, 3, spacing, countable=False)


#: cells and spacing along x, y, z
Geometry = tuple[tuple[int, ...], tuple[float, ...]]


def _geometries(file: h5py.File, value: Callable[[str], NDArray[Any] | None]) -> dict[str, Geometry]:
    """Image geometries by the name of the group that holds them and their cells."""
    found: dict[str, Geometry] = {}

    def note(name: str, item: Any) -> None:
        if not isinstance(item, h5py.Group):
            return
        if "_DIMENSIONS" in item.attrs:
            geometry = _sensible(item.attrs["_DIMENSIONS"], item.attrs.get("_SPACING"))
        else:
            geometry = _sensible(*(value(f"{name}/_SIMPL_GEOMETRY/{part}") for part in ("DIMENSIONS", "SPACING")))
        if geometry is not None:
            found[name] = geometry

    file.visititems(note)
    return found


def _sensible(size: NDArray[Any] | None, spacing: NDArray[Any] | None) -> Geometry | None:
    """A geometry, if its numbers can be one; without a spacing a cell is one wide."""
    cells = np.ravel(() if size is None else size)
    widths = np.ravel(np.ones(3) if spacing is None else spacing).astype(float)
    if len(cells) == len(widths) == 3 and (cells > 0).all() and np.isfinite(widths).all() and (widths > 0).all():
        return tuple(int(n) for n in cells), tuple(widths.tolist())
    return None


def _fits(name: str, array: h5py.Dataset, geometries: dict[str, Geometry]) -> Geometry | None:
    """The geometry whose cells the array fills with one number each."""
    for group, (size, spacing) in geometries.items():
        if name.startswith(group + "/") and array.shape in (size[::-1], (*size[::-1], 1)):
            return size, spacing
    return None


def _picked(path: Path, cells: list[str], wanted: str | None) -> str:
    """The array asked for by its path or its last name; or else the phases."""
    asked = [wanted.strip("/")] if wanted is not None else list(USUAL)
    for name in asked:
        for cell in cells:
            if name in (cell, cell.rsplit("/", 1)[-1]) or (wanted is None and cell.lower().endswith("/" + name)):
                return cell
    there = ", ".join(sorted(cells)) or "none"
    if wanted is not None:
        raise MissingDatasetError(f"{path}: no cell array {wanted!r} with one number a cell; it has {there}")
    raise InputError(f"{path}: no cell array Phases or Mask; it has {there}: name one by --dataset")
