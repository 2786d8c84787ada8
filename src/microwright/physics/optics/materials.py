"""Complex refractive indices by wavelength: built-in tables, a CSV of the user's own, or plain numbers.

A table is linear between its rows and refuses wavelengths outside them. The built-in ones lie in ``tables``, each with
its source in its head; most are taken from the refractiveindex.info database (public domain).
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import numpy as np

from microwright.errors import InputError

#: names of the built-in materials
BUILT_IN = ("a-Si", "c-Si", "Ag", "Al", "SiO2", "TiO2", "ITO", "GaAs", "MAPbI3")


@dataclass(frozen=True)
class Material:
    """A table of n and k.

    Attributes:
        name: for messages.
        wavelengths_nm: ascending wavelengths.
        n: real part at each.
        k: imaginary part at each, ≥ 0.
        source: where the numbers come from.
    """

    name: str
    wavelengths_nm: tuple[float, ...]
    n: tuple[float, ...]
    k: tuple[float, ...]
    source: str = ""

    def __post_init__(self) -> None:
        columns = (self.wavelengths_nm, self.n, self.k)
        if len(self.wavelengths_nm) < 2 or len({len(column) for column in columns}) != 1:
            raise InputError(f"material {self.name}: needs at least two rows of wavelength_nm, n, k")
        if not all(math.isfinite(value) for column in columns for value in column):
            raise InputError(f"material {self.name}: a value is NaN or infinite; mend the table")
        if np.any(np.diff(self.wavelengths_nm) <= 0):
            raise InputError(f"material {self.name}: wavelength_nm must ascend; sort the rows and drop duplicates")
        if min(self.k) < 0:
            raise InputError(
                f"material {self.name}: k < 0 is a gain medium, which is refused; absorbing media have k > 0"
            )

    def index(self, wavelength_nm: float) -> complex:
        """n + ik by linear interpolation.

        Raises:
            InputError: a wavelength outside the table.
        """
        low, high = self.wavelengths_nm[0], self.wavelengths_nm[-1]
        if not low <= wavelength_nm <= high:
            raise InputError(
                f"material {self.name}: {wavelength_nm:g} nm is outside its table, {low:g} to {high:g} nm; "
                "choose a wavelength within or give another table"
            )
        at = (wavelength_nm, self.wavelengths_nm)
        return complex(np.interp(*at, self.n), np.interp(*at, self.k))

    @staticmethod
    def from_csv(path: Path | str) -> Material:
        """A table from a CSV with the columns ``wavelength_nm,n,k``; lines that begin with # are its source.

        Raises:
            InputError: no such file, other columns, or values that are no numbers.
        """
        path = Path(path)
        notes, (wavelengths, n, k) = read_columns(path, ("wavelength_nm", "n", "k"))
        return Material(path.stem, wavelengths, n, k, notes)


@lru_cache(maxsize=32)
def material(name: str) -> Material:
    """A built-in material, one of ``BUILT_IN``.

    Raises:
        InputError: no such material.
    """
    if name not in BUILT_IN:
        raise InputError(f"material {name!r} is not built in; use one of {', '.join(BUILT_IN)}, a CSV or a number")
    return Material.from_csv(table_path(name))


def table_path(name: str) -> Path:
    """Where the built-in table ``name`` lies."""
    return Path(str(files("microwright.physics.optics.tables") / f"{name}.csv"))


def index_of(medium: complex | str | Path | Material, wavelength_nm: float) -> complex:
    """n + ik of a number, a built-in name, a CSV file or a ``Material`` at a wavelength.

    Raises:
        InputError: an unknown name, a bad file, or a wavelength outside the table.
    """
    if isinstance(medium, Material):
        return medium.index(wavelength_nm)
    if isinstance(medium, Path) or (isinstance(medium, str) and medium.endswith(".csv")):
        return Material.from_csv(medium).index(wavelength_nm)
    if isinstance(medium, str):
        return material(medium).index(wavelength_nm)
    return complex(medium)


def read_columns(path: Path, names: tuple[str, ...]) -> tuple[str, list[tuple[float, ...]]]:
    """The comments and the numeric columns of a small CSV.

    Raises:
        InputError: no such file, other columns, or values that are no numbers.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); give a CSV file with columns {','.join(names)}") from None
    notes = " ".join(line.lstrip("# ").strip() for line in lines if line.startswith("#"))
    rows = list(csv.reader(line for line in lines if line.strip() and not line.startswith("#")))
    if not rows or tuple(cell.strip() for cell in rows[0]) != names:
        raise InputError(f"{path}: the first line must be {','.join(names)}; add it")
    return notes, list(zip(*(_numbers(path, row, len(names)) for row in rows[1:]), strict=True)) or [()] * len(names)


def _numbers(path: Path, row: Iterable[str], count: int) -> tuple[float, ...]:
    cells = tuple(row)
    try:
        numbers = tuple(float(cell) for cell in cells)
    except ValueError:
        numbers = ()
    if len(numbers) != count:
        raise InputError(f"{path}: the row {','.join(cells)!r} is not {count} numbers; mend it")
    return numbers
