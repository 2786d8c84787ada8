"""How a structure is handed to an external program: a file of a usual format, or a template of its input file.

In a template (``string.Template``: ``$$`` is a dollar sign) these names are filled in:

=================== ==================================================================================
``$nx $ny $nz``     pixels along each axis; ``$nz`` is 1 for images
``$pixels``         0 or 1 for every pixel, x fastest, one line for each y (and z)
``$phase0 $phase1`` numbers of the pixels of a phase, from 1, x fastest, 16 a line with commas: an element set
``$phase_fraction`` share of phase 1
=================== ==================================================================================
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from string import Template

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from microwright.errors import InputError
from microwright.structures.files import StructureSet, write_structures

PER_LINE = 16


def _write_array(path: Path, structure: UInt8[ndarray, "*grid"]) -> None:
    np.save(path, structure, allow_pickle=False)


def _write_image(path: Path, structure: UInt8[ndarray, "*grid"]) -> None:
    write_structures(path, StructureSet(structure[None], (path.stem,)))


FORMATS: dict[str, Callable[[Path, UInt8[ndarray, "*grid"]], None]] = {
    ".npy": _write_array,
    ".png": _write_image,
    ".tif": _write_image,
    ".tiff": _write_image,
    ".vti": _write_image,
}


def check_format(name: str, dimensions: int) -> None:
    """Refuse a file name whose suffix is no format, or none for that many axes.

    Raises:
        InputError: naming those that are.
    """
    suffix = Path(name).suffix.lower()
    known = [key for key in FORMATS if key != ".png" or dimensions == 2]
    if suffix not in known:
        raise InputError(
            f"simulator: structure = {name!r} is of no format for {dimensions}-D structures; "
            f"choose {' '.join(known)}, or give a template"
        )


def write_structure(path: Path, structure: UInt8[ndarray, "*grid"], template: str | None) -> None:
    """Write a structure in the format of the suffix, or as the template filled in."""
    if template is None:
        FORMATS[path.suffix.lower()](path, structure)
    else:
        path.write_text(Template(template).substitute(placeholders(structure)), encoding="utf-8")


def check_template(template: str) -> None:
    """Refuse a template that asks for something unknown.

    Raises:
        InputError: naming what it asks for.
    """
    try:
        Template(template).substitute(placeholders(np.zeros((1, 1), np.uint8)))
    except (KeyError, ValueError) as error:
        known = ", ".join(f"${name}" for name in placeholders(np.zeros((1, 1), np.uint8)))
        raise InputError(f"simulator: template: {error}; it can hold {known}, and $$ for a dollar sign") from error


def placeholders(structure: UInt8[ndarray, "*grid"]) -> dict[str, str]:
    """What a template can ask for."""
    sizes = (*structure.shape, 1)[:3]
    flat = structure.ravel(order="F")
    rows = flat.reshape(-1, sizes[0])
    return {
        **{f"n{axis}": str(size) for axis, size in zip("xyz", sizes, strict=True)},
        "pixels": "\n".join(" ".join(map(str, row)) for row in rows.tolist()),
        "phase0": _element_set(np.flatnonzero(flat == 0) + 1),
        "phase1": _element_set(np.flatnonzero(flat == 1) + 1),
        "phase_fraction": repr(float(structure.mean())),
    }


def _element_set(numbers: ndarray) -> str:
    texts = numbers.astype(str).tolist()
    return ",\n".join(", ".join(texts[start : start + PER_LINE]) for start in range(0, len(texts), PER_LINE))
