"""Designs in the formats that others read: PNG, TIFF, VTI, STL, and GDSII for lithography.

GDSII is the layout format of mask makers: polygons in whole multiples of a database unit. A film's phase 1 becomes the
polygons of layer 1, the cell's outline lies on layer 0, and one user unit is one nanometre.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gdstk
import numpy as np
from jaxtyping import UInt8

from microwright.design.designs import Designs
from microwright.errors import InputError
from microwright.structures.files import StructureSet, write_structures

FORMATS = ("png", "tiff", "vti", "stl", "gds")
#: GDSII database unit, in nanometres
DATABASE_UNIT_NM = 0.001
OUTLINE, PHASE = 0, 1


def check_formats(formats: Sequence[str], dimensions: int) -> None:
    """Refuse formats that there are not, or that do not hold such structures.

    Raises:
        InputError: naming the format.
    """
    for name in formats:
        if name not in FORMATS:
            raise InputError(f"export: unknown format {name!r}; choose from {', '.join(FORMATS)}")
        if dimensions == 3 and name in ("png", "gds"):
            raise InputError(f"export: {name} holds 2-D structures, these are 3-D; choose vti, stl or tiff")
        if dimensions == 2 and name == "stl":
            raise InputError("export: stl holds 3-D structures, these are 2-D; choose gds, png, tiff or vti")


def export(folder: Path, designs: Designs, formats: Sequence[str]) -> list[Path]:
    """Write every design in each format to ``folder/FORMAT/design-000.FORMAT``; the paths that were written.

    Raises:
        InputError: an unknown format, one that does not fit, or GDSII without a period in the solver's spec.
    """
    check_formats(formats, designs.structures.ndim - 1)
    written = []
    for name in formats:
        place = folder / name
        place.mkdir(parents=True, exist_ok=True)
        for index, structure in enumerate(designs.structures):
            path = place / f"design-{index:03d}.{name}"
            _write(path, structure, designs)
            written.append(path)
    return written


def _write(path: Path, structure: UInt8[np.ndarray, "*grid"], designs: Designs) -> None:
    if path.suffix == ".gds":
        write_gds(path, structure, period_of_spec(designs.solver))
    else:
        write_structures(path, StructureSet(structure[None], (path.stem,)), replace=True)


def period_of_spec(solver: Mapping[str, Any]) -> float:
    """Period of the optical cell in a solver's spec, nm.

    Raises:
        InputError: a solver without a period.
    """
    cell = solver.get("cell", {})
    if "period_nm" not in cell:
        raise InputError("lengths in nm need a period, but this solver has none; give pixels, or another export format")
    return float(cell["period_nm"])


def write_gds(path: Path, structure: UInt8[np.ndarray, "x y"], period_nm: float) -> None:
    """One period of a film as GDSII: phase 1 as merged polygons, first axis along x, lower left corner at the origin.

    Args:
        path: where to.
        structure: 0/1, the first axis along x.
        period_nm: edge of the first axis, nm; pixels are square.
    """
    pitch = period_nm / structure.shape[0]
    library = gdstk.Library("microwright", unit=1e-9, precision=DATABASE_UNIT_NM * 1e-9)
    cell = library.new_cell(path.stem.upper().replace("-", "_"))
    width, height = (n * pitch for n in structure.shape)
    cell.add(gdstk.rectangle((0, 0), (width, height), layer=OUTLINE))
    cell.add(*gdstk.boolean(_bars(structure, pitch), [], "or", precision=DATABASE_UNIT_NM, layer=PHASE))
    library.write_gds(path)


def _bars(structure: UInt8[np.ndarray, "x y"], pitch: float) -> list[gdstk.Polygon]:
    """One rectangle for each unbroken run of phase 1 along y."""
    edges = np.diff(np.pad(structure.astype(np.int8), [(0, 0), (1, 1)]), axis=1)
    starts, ends = np.argwhere(edges == 1), np.argwhere(edges == -1)
    return [
        gdstk.rectangle((x * pitch, low * pitch), ((x + 1) * pitch, high * pitch))
        for (x, low), (_, high) in zip(starts, ends, strict=True)
    ]
