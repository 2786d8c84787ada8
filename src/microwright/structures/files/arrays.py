"""NPY and NPZ. Never with pickle: an array of objects is refused."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from microwright.errors import InputError
from microwright.structures.files.content import RawImages, Reading, pick_dataset, reading_errors


def read_npy(path: Path, reading: Reading) -> RawImages:
    """The array of a NPY file."""
    with reading_errors(path, "NPY"), path.open("rb") as file:
        shape, dtype = _header(file, path)
        reading.check_size(path, shape, dtype.itemsize)
        file.seek(0)
        return RawImages(npy.read_array(file, allow_pickle=False), None)


def read_npz(path: Path, reading: Reading) -> RawImages:
    """One array of a NPZ file."""
    return RawImages(read_npz_array(path, reading), None)


def read_npz_array(path: Path, reading: Reading) -> NDArray[Any]:
    """One array of a NPZ file, whatever its axes."""
    with reading_errors(path, "NPZ"), zipfile.ZipFile(path) as archive:
        headers = {}
        for member in archive.namelist():
            with archive.open(member) as file:
                headers[member.removesuffix(".npy")] = (member, *_header(file, path))
        name = pick_dataset(path, {key: shape for key, (_, shape, _) in headers.items()}, reading.dataset)
        member, shape, dtype = headers[name]
        reading.check_size(path, shape, dtype.itemsize)
        with archive.open(member) as file:
            return npy.read_array(file, allow_pickle=False)


def write_npy(path: Path, structures: NDArray[np.uint8]) -> None:
    """The batch as one uint8 array."""
    with path.open("wb") as file:
        np.save(file, structures, allow_pickle=False)


def _header(file: IO[bytes], path: Path) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = npy.read_magic(file)
    read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
    if read is None:
        raise InputError(f"{path}: NPY version {version}; save it again with numpy.save")
    shape, _, dtype = read(file)
    if dtype.kind not in "buif":
        raise InputError(f"{path}: an array of type {dtype}; save numbers")
    return shape, dtype
