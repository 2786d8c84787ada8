"""PNG and TIFF: single images, stacks, folders of images."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from microwright.errors import InputError
from microwright.structures.files.content import RawImages, Reading, reading_errors

SUFFIXES = (".png", ".tif", ".tiff")
#: weights of red, green and blue in grey (ITU-R BT.601), as Pillow has them
LUMA = np.array([0.299, 0.587, 0.114])


def read_png(path: Path, reading: Reading) -> RawImages:
    """One image; colours become grey, transparency is dropped."""
    with reading_errors(path, "PNG"), Image.open(path, formats=["PNG"]) as image:
        reading.check_size(path, (image.height, image.width), 8)
        grey = image.mode in ("1", "L", "I", "I;16", "F")
        return RawImages(_grey(np.asarray(image if grey else image.convert("RGB"))), 2)


def read_tiff(path: Path, reading: Reading) -> RawImages:
    """One image, or a stack, which is a volume whose first axis counts the pages."""
    with reading_errors(path, "TIFF"), _quiet(), tifffile.TiffFile(path) as file:
        if not file.pages:
            raise InputError(f"{path}: a TIFF file without a page; give one with an image")
        first = file.pages.first
        reading.check_size(path, (len(file.pages), *first.shape), first.dtype.itemsize if first.dtype else 8)
        pages = [_page(path, cast(tifffile.TiffPage, page), first.shape, reading) for page in file.pages]
        images = np.stack(pages)
    return RawImages(images[0] if len(images) == 1 else images, 3)


def read_folder(path: Path, reading: Reading) -> RawImages:
    """All PNG and TIFF images of a folder, in the order of the numbers in their names; no folder within is read."""
    files = sorted((f for f in path.iterdir() if f.suffix.lower() in SUFFIXES and f.is_file()), key=natural_order)
    if not files:
        raise InputError(f"{path}: no PNG or TIFF image in this folder; give a folder of images")
    first = _read_one(files[0], reading)
    reading.check_size(path, (len(files), *first.shape), first.itemsize)
    images = [first, *(_read_one(file, reading) for file in files[1:])]
    for file, image in zip(files, images, strict=True):
        if image.shape != first.shape:
            raise InputError(
                f"{file}: {image.shape} pixels where {files[0].name} has {first.shape}; make all images of one size"
            )
    return RawImages(np.stack(images), first.ndim, names=tuple(file.stem for file in files))


def write_png_folder(path: Path, structures: NDArray[np.uint8], names: tuple[str, ...]) -> None:
    """One black-and-white image per structure, phase 1 white."""
    if structures.ndim != 3:
        raise InputError(f"{path}: a folder of PNG images takes 2-D structures; write volumes as .npy, .h5 or .vti")
    path.mkdir()
    for structure, name in zip(structures, names, strict=True):
        Image.fromarray(structure * np.uint8(255)).save(path / f"{name}.png")


def write_png(path: Path, structures: NDArray[np.uint8]) -> None:
    """One structure, phase 1 white."""
    if structures.ndim != 3 or len(structures) != 1:
        raise InputError(f"{path}: one PNG holds one 2-D structure; give a folder (a name without a suffix)")
    Image.fromarray(structures[0] * np.uint8(255)).save(path)


def write_tiff(path: Path, structures: NDArray[np.uint8]) -> None:
    """A stack: the pages are 2-D structures, or the layers of one volume along its first axis; phase 1 white."""
    if structures.ndim == 4 and len(structures) > 1:
        raise InputError(f"{path}: a TIFF stack holds one volume; write {len(structures)} volumes as .npy or .h5")
    pages = structures.reshape(-1, *structures.shape[-2:])
    with tifffile.TiffWriter(path) as file:
        for page in pages:
            file.write(page * np.uint8(255), contiguous=False, compression="zlib", photometric="minisblack")


def natural_order(path: Path) -> list[Any]:
    """Key that puts image-2 before image-10."""
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in re.split(r"(\d+)", path.name)]


def _page(path: Path, page: tifffile.TiffPage, shape: tuple[int, ...], reading: Reading) -> NDArray[Any]:
    """The values of a page, after a look at what decoding it would take: a broken page can promise anything."""
    if page.shape != shape:
        raise InputError(f"{path}: pages of different sizes, {page.shape} and {shape}; save pages of one size")
    reading.check_size(path, (len(page.dataoffsets), *page.chunks), 1)
    if len(page.dataoffsets) > page.size:
        raise InputError(f"{path}: a page of {page.size} pixels in {len(page.dataoffsets)} pieces; save it again")
    values = np.asarray(page.asarray())
    return _grey(values) if values.ndim == 3 and values.shape[-1] in (3, 4) else values


@contextmanager
def _quiet() -> Iterator[None]:
    """tifffile logs each oddity of a broken file; what matters ends in an exception of ours."""
    logger = logging.getLogger("tifffile")
    logger.addFilter(_nothing)
    try:
        yield
    finally:
        logger.removeFilter(_nothing)


def _nothing(record: logging.LogRecord) -> bool:
    return False


def _read_one(path: Path, reading: Reading) -> NDArray[Any]:
    return (read_png if path.suffix.lower() == ".png" else read_tiff)(path, reading).values


def _grey(image: NDArray[Any]) -> NDArray[Any]:
    """Colours to grey; images whose three channels agree keep their values."""
    if image.ndim == 2:
        return image
    colours = image[..., :3]
    if (colours == colours[..., :1]).all():
        return colours[..., 0]
    return colours @ LUMA
