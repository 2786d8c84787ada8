"""Zarr (version 3) groups with an array ``structures``: labelled sets, and sets that ``generate`` writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from microwright.structures.files.content import RawImages, Reading, pick_dataset, reading_errors

CHUNK = 64


def read_zarr(path: Path, reading: Reading) -> RawImages:
    """One array of the group, whose first axis counts the structures."""
    values = read_zarr_array(path, reading)
    return RawImages(values, max(values.ndim - 1, 2))


def read_zarr_array(path: Path, reading: Reading) -> NDArray[Any]:
    """One array of the group, whatever its axes."""
    with reading_errors(path, "Zarr"):
        arrays = dict(zarr.open_group(str(path), mode="r", zarr_format=3).arrays())
        name = pick_dataset(path, {key: array.shape for key, array in arrays.items()}, reading.dataset)
        array = arrays[name]
        reading.check_size(path, array.shape, array.dtype.itemsize)
        reading.check_size(path, array.chunks, array.dtype.itemsize)
        return np.asarray(array[...])


def write_zarr(path: Path, structures: NDArray[np.uint8]) -> None:
    """The batch as array ``structures`` of a new group."""
    group = zarr.create_group(str(path), zarr_format=3)
    chunks = (min(CHUNK, len(structures)), *structures.shape[1:])
    group.create_array("structures", data=structures, chunks=chunks)
