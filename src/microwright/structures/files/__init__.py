"""Structures in files: every format by its suffix.

Readers take nothing on trust: sizes are checked before anything is loaded, nothing is unpickled, no other file is
opened than the one that was named, and what is broken ends in one line (``InputError``). A new format is one file
here and one entry in ``READERS`` or ``WRITERS``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from microwright.errors import InputError
from microwright.structures.files import arrays, dream3d, hdf5, images, nrrd, stl, vti, zarr_group
from microwright.structures.files.content import MAX_BYTES, RawImages, Reading, StructureSet, as_structures
from microwright.structures.files.output import fresh_output
from microwright.structures.segmentation import Segmentation

__all__ = ["READERS", "WRITERS", "StructureSet", "read_structures", "write_structures"]

READERS: dict[str, Callable[[Path, Reading], RawImages]] = {
    ".npy": arrays.read_npy,
    ".npz": arrays.read_npz,
    ".h5": hdf5.read_hdf5,
    ".hdf5": hdf5.read_hdf5,
    ".dream3d": dream3d.read_dream3d,
    ".zarr": zarr_group.read_zarr,
    ".png": images.read_png,
    ".tif": images.read_tiff,
    ".tiff": images.read_tiff,
    ".vti": vti.read_vti,
    ".nrrd": nrrd.read_nrrd,
    ".nhdr": nrrd.read_nrrd,
    "": images.read_folder,
}

WRITERS: dict[str, Callable[[Path, StructureSet], None]] = {
    ".npy": lambda path, content: arrays.write_npy(path, content.structures),
    ".h5": hdf5.write_hdf5,
    ".hdf5": hdf5.write_hdf5,
    ".zarr": lambda path, content: zarr_group.write_zarr(path, content.structures),
    ".png": lambda path, content: images.write_png(path, content.structures),
    ".tif": lambda path, content: images.write_tiff(path, content.structures),
    ".tiff": lambda path, content: images.write_tiff(path, content.structures),
    ".vti": lambda path, content: vti.write_vti(path, content.structures, content.spacing),
    ".stl": lambda path, content: stl.write_stl(path, content.structures, content.spacing),
    "": lambda path, content: images.write_png_folder(path, content.structures, content.names),
}


def read_structures(
    path: str | Path,
    *,
    dimensions: int | None = None,
    undeclared: int = 2,
    dataset: str | None = None,
    max_bytes: int = MAX_BYTES,
    segmentation: Segmentation = Segmentation(),
) -> StructureSet:
    """Structures of a file, of a Zarr store, or of a folder of images.

    Args:
        path: the suffix says the format; a folder without a known suffix holds PNG or TIFF images.
        dimensions: grid axes that are needed (2 or 3), where three axes could be images or a volume; by itself a TIFF
            stack is a volume.
        undeclared: grid axes of an array (NPY, NPZ, HDF5, Zarr) of three axes where nobody says: images, or a volume.
        dataset: name of the array in a file of several.
        max_bytes: limit on the bytes of the values.
        segmentation: of grey values; two values are two phases without it.

    Raises:
        InputError: no such file, unknown suffix, corrupt, truncated, empty, too large, or no structures.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; check the path")
    suffix = path.suffix.lower()
    if path.is_dir() and suffix != ".zarr":
        suffix = ""
    if suffix not in READERS or (suffix == "" and not path.is_dir()):
        known = " ".join(name for name in READERS if name)
        raise InputError(f"{path}: unknown format {path.suffix!r}; give a folder of images, or one of {known}")
    raw = READERS[suffix](path, Reading(dataset, max_bytes))
    return as_structures(path, raw, dimensions, undeclared, segmentation)


def write_structures(path: str | Path, content: StructureSet, *, replace: bool = False) -> None:
    """Write structures in the format of the suffix; a path without a suffix becomes a folder of PNG images.

    Args:
        path: where to; appears whole or not at all.
        content: the structures.
        replace: take the place of an output that is there.

    Raises:
        InputError: unknown suffix, an output that exists, structures that the format cannot hold, or a full disk.
    """
    path = Path(path)
    writer = WRITERS.get(path.suffix.lower())
    if writer is None:
        known = " ".join(name for name in WRITERS if name)
        raise InputError(f"{path}: cannot write {path.suffix!r}; give a folder, or one of {known}")
    with fresh_output(path, replace) as draft:
        writer(draft, content)


def named(structures: NDArray[np.uint8], stem: str = "structure") -> StructureSet:
    """Structures that come from no file, with numbers as names."""
    digits = max(4, len(str(len(structures) - 1)))
    return StructureSet(structures, tuple(f"{stem}-{index:0{digits}d}" for index in range(len(structures))))
