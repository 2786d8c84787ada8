"""What a file of structures holds, and the checks that all formats share."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microwright.errors import InputError
from microwright.structures.segmentation import Segmentation

#: bytes that a file's values may take in memory, unless the caller says otherwise
MAX_BYTES = 8 * 2**30


class MissingDatasetError(InputError):
    """A file of several arrays has none of the name asked for."""


@dataclass(frozen=True)
class StructureSet:
    """Structures with what their file says of them.

    Attributes:
        structures: 0/1, shape ``(n, *grid)``, uint8.
        names: one per structure: the file's name, numbered where the file holds several.
        spacing: size of a pixel along each axis in the file's own unit of length; None where it says nothing.
    """

    structures: NDArray[np.uint8]
    names: tuple[str, ...]
    spacing: tuple[float, ...] | None = None


@dataclass(frozen=True)
class RawImages:
    """Values as a reader finds them.

    Attributes:
        values: of any real type; one structure, or several along the first axis.
        dimensions: grid axes of one structure; None where the format leaves open what three axes are.
        spacing: as in ``StructureSet``.
        names: one per structure, where the format has names.
        countable: whether the first axis may count structures, where the caller needs one axis less.
    """

    values: NDArray[Any]
    dimensions: int | None
    spacing: tuple[float, ...] | None = None
    names: tuple[str, ...] | None = None
    countable: bool = True


@dataclass(frozen=True)
class Reading:
    """How a file is to be read.

    Attributes:
        dataset: name of the array in a file of several; None takes the one that looks like structures.
        max_bytes: limit on the bytes of the values.
    """

    dataset: str | None = None
    max_bytes: int = MAX_BYTES

    def check_size(self, path: Path, shape: Sequence[int], itemsize: int) -> None:
        """Refuse to load what is empty or too large.

        Raises:
            InputError: no values, or more than ``max_bytes``.
        """
        if any(n < 1 for n in shape) or not shape:
            raise InputError(f"{path}: empty, shape {tuple(shape)}; give a file with at least one structure")
        size = math.prod(int(n) for n in shape) * itemsize
        if size > self.max_bytes:
            raise InputError(f"{path}: holds {size:,} bytes, the limit is {self.max_bytes:,}; split the file")


@contextmanager
def reading_errors(path: Path, format_name: str) -> Iterator[None]:
    """Whatever a library says of a broken file, as one line."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        first = (str(error).splitlines() or [""])[0][:160]
        raise InputError(
            f"{path}: cannot be read as {format_name} ({type(error).__name__}: {first}); give a whole file"
        ) from error


def pick_dataset(path: Path, shapes: dict[str, tuple[int, ...]], wanted: str | None) -> str:
    """The array asked for; or else the one of a usual name; or else the largest that can be structures.

    Raises:
        MissingDatasetError: none of that name.
        InputError: none that can be structures.
    """
    names = {name.strip("/"): name for name in shapes}
    if wanted is not None:
        if wanted.strip("/") not in names:
            raise MissingDatasetError(f"{path}: no dataset {wanted!r}; it has {', '.join(sorted(names)) or 'none'}")
        return names[wanted.strip("/")]
    images = {short: name for short, name in names.items() if 2 <= len(shapes[name]) <= 4}
    for usual in ("structures", "x", "images", "microstructures", "volume"):
        if usual in images:
            return images[usual]
    if not images:
        raise InputError(f"{path}: no dataset of two to four axes; it has {', '.join(sorted(names)) or 'none'}")
    return max(images.values(), key=lambda name: math.prod(shapes[name]))


def as_structures(
    path: Path,
    raw: RawImages,
    dimensions: int | None,
    undeclared: int = 2,
    segmentation: Segmentation = Segmentation(),
) -> StructureSet:
    """Batch axis added where it is missing, phases told apart, names given.

    Args:
        path: of the file, for names and messages.
        raw: what the reader found.
        dimensions: grid axes that the caller needs; None leaves it to the format.
        undeclared: grid axes of an array of three axes where neither says.
        segmentation: of grey values.

    Raises:
        InputError: too few or too many axes, or values that make no phases.
    """
    axes = raw.values.ndim
    wanted = dimensions or min(raw.dimensions or (undeclared if axes == 3 else 3), axes)
    values = raw.values[None] if raw.values.ndim == wanted else raw.values
    batched = raw.values.ndim > wanted
    if wanted not in (2, 3) or values.ndim != wanted + 1 or 0 in values.shape or (batched and not raw.countable):
        needed = "two or three" if dimensions is None else str(dimensions)
        raise InputError(f"{path}: shape {raw.values.shape}, structures of {needed} axes were expected; reshape it")
    names = raw.names or _numbered(path.stem, len(values))
    spacing = raw.spacing if raw.spacing is not None and len(raw.spacing) == wanted else None
    return StructureSet(to_phases(values, names, path, segmentation), names, spacing)


def to_phases(
    values: NDArray[Any], names: Sequence[str], path: Path, segmentation: Segmentation = Segmentation()
) -> NDArray[np.uint8]:
    """0/1 from any real images: two values are two phases (the larger is 1), grey images are segmented.

    Raises:
        InputError: no numbers, NaN, or an image of one grey value.
    """
    if values.dtype.kind not in "buif":
        raise InputError(f"{path}: values of type {values.dtype} are no numbers; save grey values or 0/1")
    low, high = values.min(), values.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        raise InputError(f"{path}: holds NaN or infinite values; replace them")
    if ((values == low) | (values == high)).all() and (low != high or low in (0, 1)):
        return (values == (high if low != high else 1)).astype(np.uint8)
    parts = [_segmented(image, name, path, segmentation) for image, name in zip(values, names, strict=True)]
    return np.stack(parts)


def _segmented(image: NDArray[Any], name: str, path: Path, segmentation: Segmentation) -> NDArray[np.uint8]:
    if image.min() == image.max():
        raise InputError(f"{path}: {name} has one grey value only; nothing tells its phases apart, leave it out")
    try:
        return segmentation(image)
    except InputError as error:
        raise InputError(f"{path}: {name}: {error}") from error


def _numbered(stem: str, count: int) -> tuple[str, ...]:
    if count == 1:
        return (stem,)
    digits = len(str(count - 1))
    return tuple(f"{stem}-{index:0{digits}d}" for index in range(count))
