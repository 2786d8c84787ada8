"""Micrographs to samples: grey values to phases, large images to windows, with the size of a pixel.

A window is named after its micrograph and its first pixel, ``steel-03@128,0``, so that it can be found again, and so
that a table of properties by file name serves all windows of a file. Each micrograph is segmented as a whole, before it
is cut: a window that holds one phase only has no threshold of its own.

Solvers take a window for one period of a periodic structure. That is an approximation, the better the more grains,
fibres or pores a window holds.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from microwright.errors import InputError
from microwright.structures.files import StructureSet, read_structures
from microwright.structures.files.content import MAX_BYTES
from microwright.structures.files.images import SUFFIXES, natural_order
from microwright.structures.segmentation import Segmentation

#: nanometres of each unit of length that a pixel size may be written in
UNITS_NM = {"nm": 1.0, "um": 1e3, "µm": 1e3, "μm": 1e3, "mm": 1e6}


@dataclass(frozen=True)
class Cutting:
    """How micrographs become samples.

    Attributes:
        window: pixels of a sample per axis; one number serves all axes, None takes images whole.
        stride: pixels from a window to the next; None puts window beside window.
        pixel_nm: size of a pixel in nanometres; None keeps what the file says.
        segmentation: of grey values.
    """

    window: tuple[int, ...] | None = None
    stride: int | None = None
    pixel_nm: float | None = None
    segmentation: Segmentation = field(default_factory=Segmentation)

    def __post_init__(self) -> None:
        if self.window is not None and min(self.window, default=0) < 2:
            raise InputError(f"window: expected at least 2 pixels, got {self.window}; change --window")
        if self.stride is not None and (self.stride < 1 or self.window is None):
            raise InputError(f"stride: expected at least 1 pixel with a --window, got {self.stride}; change --stride")
        if self.pixel_nm is not None and not (0 < self.pixel_nm < math.inf):
            raise InputError(f"pixel size: expected a positive length, got {self.pixel_nm} nm; write for instance 5nm")

    def spec(self) -> dict[str, Any]:
        """As JSON, for the header of a set."""
        return {
            "window": self.window and list(self.window),
            "stride": self.stride,
            "pixel_nm": self.pixel_nm,
            "classes": self.segmentation.classes,
            "phase_one": list(self.segmentation.phase_one),
        }


def read_samples(
    path: Path, cutting: Cutting, *, dimensions: int | None = None, dataset: str | None = None
) -> StructureSet:
    """Samples of a file or of a folder of micrographs, which may differ in size where they are cut into windows.

    Raises:
        InputError: as ``read_structures``; a window that is larger than every image; more windows than memory holds.
    """
    wholes = list(_wholes(path, cutting, dimensions, dataset))
    if cutting.window is None:
        return _with_pixel_size(wholes[0], cutting)
    parts = [_windows(whole, cutting) for whole in wholes]
    _check_windows(path, wholes, parts, cutting)
    structures = np.concatenate([part.structures for part in parts if len(part.names)])
    names = tuple(name for part in parts for name in part.names)
    return _with_pixel_size(StructureSet(structures, names, wholes[0].spacing), cutting)


def parse_length_nm(text: str) -> float:
    """``"5nm"`` as 5, ``"0.2 um"`` as 200.

    Raises:
        InputError: no number with one of the units.
    """
    match = re.fullmatch(r"\s*([\d.eE+-]+)\s*([a-zµμ]+)\s*", text)
    try:
        if match is None or match[2] not in UNITS_NM:
            raise ValueError
        return float(match[1]) * UNITS_NM[match[2]]
    except ValueError as error:
        raise InputError(f"pixel size: {text!r} is no length; write for instance 5nm or 0.2um") from error


def _wholes(path: Path, cutting: Cutting, dimensions: int | None, dataset: str | None) -> Iterator[StructureSet]:
    """The images as they are: file by file where they are to be cut, since they may then differ in size."""
    folder = path.is_dir() and path.suffix.lower() != ".zarr"
    files = sorted((f for f in path.iterdir() if f.suffix.lower() in SUFFIXES), key=natural_order) if folder else []
    for place in files if cutting.window is not None and files else [path]:
        yield read_structures(place, dimensions=dimensions, dataset=dataset, segmentation=cutting.segmentation)


def _with_pixel_size(samples: StructureSet, cutting: Cutting) -> StructureSet:
    if cutting.pixel_nm is None:
        return samples
    spacing = (cutting.pixel_nm,) * (samples.structures.ndim - 1)
    return StructureSet(samples.structures, samples.names, spacing)


def _windows(whole: StructureSet, cutting: Cutting) -> StructureSet:
    """Every window that lies inside the images of a file."""
    grid = whole.structures.shape[1:]
    window = _window_of(cutting, len(grid))
    step = [cutting.stride or edge for edge in window]
    corners = itertools.product(*(range(0, n - w + 1, s) for n, w, s in zip(grid, window, step, strict=True)))
    places = [(tuple(slice(c, c + w) for c, w in zip(corner, window, strict=True)), corner) for corner in corners]
    parts = [image[place] for image in whole.structures for place, _ in places]
    names = tuple(f"{name}@{','.join(map(str, corner))}" for name in whole.names for _, corner in places)
    structures = np.stack(parts) if parts else np.zeros((0, *window), np.uint8)
    return StructureSet(structures, names, whole.spacing)


def _window_of(cutting: Cutting, axes: int) -> tuple[int, ...]:
    assert cutting.window is not None
    window = cutting.window * axes if len(cutting.window) == 1 else cutting.window
    if len(window) != axes:
        shown = "x".join(map(str, window))
        raise InputError(f"window: {shown} has {len(window)} axes, the images have {axes}; change --window")
    return window


def _check_windows(path: Path, wholes: list[StructureSet], parts: list[StructureSet], cutting: Cutting) -> None:
    count = sum(len(part.names) for part in parts)
    if count == 0:
        largest = max((whole.structures.shape[1:] for whole in wholes), key=math.prod)
        raise InputError(f"{path}: no image holds a window of {cutting.window} pixels, the largest has {largest}")
    size = sum(part.structures.nbytes for part in parts)
    if size > MAX_BYTES:
        raise InputError(f"{path}: {count} windows take {size:,} bytes, the limit is {MAX_BYTES:,}; enlarge --stride")
