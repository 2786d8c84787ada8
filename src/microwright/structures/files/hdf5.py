"""HDF5 of any layout, our own designs among them. Nothing outside the file is read: links to other files are not
followed, datasets kept in other files are refused.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from microwright.errors import InputError
from microwright.structures.files.content import (
    RawImages,
    Reading,
    StructureSet,
    pick_dataset,
    reading_errors,
)

#: bytes that the names of a file's structures may take
MOST_NAME_BYTES = 2**26


def read_hdf5(path: Path, reading: Reading) -> RawImages:
    """One dataset of the file, with names and spacing where ``write_hdf5`` left them."""
    values = read_hdf5_array(path, reading)
    names, spacing = _described(path)
    return RawImages(values, None, spacing=spacing, names=names if names and len(names) == len(values) else None)


def read_hdf5_array(path: Path, reading: Reading) -> NDArray[Any]:
    """One dataset of the file, whatever its axes."""
    with reading_errors(path, "HDF5"), h5py.File(path, "r") as file:
        datasets = numeric_datasets(file)
        name = pick_dataset(path, {key: dataset.shape for key, dataset in datasets.items()}, reading.dataset)
        return load(path, reading, name, datasets[name])


def load(path: Path, reading: Reading, name: str, dataset: h5py.Dataset) -> NDArray[Any]:
    """The values of a dataset that lie in the file itself.

    Raises:
        InputError: they lie in other files, or there are none or too many.
    """
    if dataset.is_virtual or dataset.external:
        raise InputError(f"{path}: dataset {name!r} lies in other files; give a file that holds its own values")
    reading.check_size(path, dataset.shape, dataset.dtype.itemsize)
    if dataset.chunks is not None:
        reading.check_size(path, dataset.chunks, dataset.dtype.itemsize)
    return np.asarray(dataset[...])


def write_hdf5(path: Path, content: StructureSet) -> None:
    """The batch as dataset ``structures``, compressed; names and spacing are its attributes."""
    structures = content.structures
    with h5py.File(path, "w") as file:
        chunk = (1, *structures.shape[1:])
        file.create_dataset("structures", data=structures, chunks=chunk, compression="gzip", compression_opts=4)
        # one string: attributes hold 64 KiB, so many names lie in a dataset of their bytes
        file["names"] = np.frombuffer(json.dumps(content.names).encode(), dtype="S1")
        if content.spacing is not None:
            file.attrs["spacing"] = content.spacing


def _described(path: Path) -> tuple[tuple[str, ...] | None, tuple[float, ...] | None]:
    """Names and spacing, where the file has them in the form that ``write_hdf5`` gives them."""
    with reading_errors(path, "HDF5"), h5py.File(path, "r") as file:
        told = None
        with suppress(ValueError):  # bytes of another program are no names
            told = json.loads(file["names"][()].tobytes()) if _is_own(file, "names") else None
        spacing = np.ravel(file.attrs.get("spacing", 0.0))
    names = tuple(told) if isinstance(told, list) and all(isinstance(name, str) for name in told) else None
    usable = spacing.dtype.kind == "f" and bool((np.isfinite(spacing) & (spacing > 0)).all())
    return names, tuple(spacing.tolist()) if usable else None


def _is_own(file: h5py.File, name: str) -> bool:
    """Whether a small dataset of bytes of that name lies in the file itself."""
    link = file.get(name, getlink=True)
    if not isinstance(link, h5py.HardLink) or not isinstance(file[name], h5py.Dataset):
        return False
    dataset = file[name]
    return dataset.dtype == np.dtype("S1") and dataset.ndim == 1 and 0 < dataset.size <= MOST_NAME_BYTES


def numeric_datasets(file: h5py.File) -> dict[str, h5py.Dataset]:
    """Numeric datasets reached by hard links alone."""
    found: dict[str, h5py.Dataset] = {}

    def note(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.shape and item.dtype.kind in "buif":
            found[name] = item

    file.visititems(note)
    return found
