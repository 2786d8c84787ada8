"""HDF5 of any layout, our own designs among them. Nothing outside the file is read: links to other files are not
followed, datasets kept in other files are refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from microwright.errors import InputError
from microwright.structures.files.content import RawImages, Reading, pick_dataset, reading_errors


def read_hdf5(path: Path, reading: Reading) -> RawImages:
    """One dataset of the file."""
    return RawImages(read_hdf5_array(path, reading), None)


def read_hdf5_array(path: Path, reading: Reading) -> NDArray[Any]:
    """One dataset of the file, whatever its axes."""
    with reading_errors(path, "HDF5"), h5py.File(path, "r") as file:
        datasets = _datasets(file)
        name = pick_dataset(path, {key: dataset.shape for key, dataset in datasets.items()}, reading.dataset)
        dataset = datasets[name]
        if dataset.is_virtual or dataset.external:
            raise InputError(f"{path}: dataset {name!r} lies in other files; give a file that holds its own values")
        reading.check_size(path, dataset.shape, dataset.dtype.itemsize)
        if dataset.chunks is not None:
            reading.check_size(path, dataset.chunks, dataset.dtype.itemsize)
        return np.asarray(dataset[...])


def write_hdf5(path: Path, structures: NDArray[np.uint8]) -> None:
    """The batch as dataset ``structures``, compressed."""
    with h5py.File(path, "w") as file:
        chunk = (1, *structures.shape[1:])
        file.create_dataset("structures", data=structures, chunks=chunk, compression="gzip", compression_opts=4)


def _datasets(file: h5py.File) -> dict[str, h5py.Dataset]:
    """Numeric datasets reached by hard links alone."""
    found: dict[str, h5py.Dataset] = {}

    def note(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.shape and item.dtype.kind in "buif":
            found[name] = item

    file.visititems(note)
    return found
