"""How the numbers of an external program are found in what it wrote: a JSON key, a CSV column, a regular expression."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from microwright.errors import InputError
from microwright.physics.external.base import SimulationError

#: bytes of a result that are read; more is no result
MAX_BYTES = 64 * 2**20


def from_json(text: str, key: str) -> str:
    """The value at a dotted key, as in ``"stiffness.C11"`` or ``"eigenvalues.0"``."""
    value = json.loads(text)
    for part in key.split("."):
        value = value[int(part)] if isinstance(value, list) else value[part]
    if isinstance(value, bool | dict | list | None):
        raise ValueError(f"{value!r} is no number")
    return str(value)


def from_csv(text: str, column: str) -> str:
    """The last row of a column, by its heading."""
    rows = [row for row in csv.reader(text.splitlines(), skipinitialspace=True) if row]
    heading = [cell.strip() for cell in rows[0]]
    if len(rows) < 2:
        raise ValueError("no row below the heading")
    return rows[-1][heading.index(column)]


def from_pattern(text: str, pattern: str) -> str:
    """The first group of the last match, or the whole match where the pattern has no group."""
    matches = list(re.finditer(pattern, text, re.MULTILINE))
    if not matches:
        raise ValueError("no match")
    return matches[-1].group(1 if matches[-1].re.groups else 0)


KINDS: dict[str, Callable[[str, str], str]] = {"json": from_json, "csv": from_csv, "pattern": from_pattern}


@dataclass(frozen=True)
class Locator:
    """Where a number stands.

    Attributes:
        kind: ``"json"``, ``"csv"`` or ``"pattern"``.
        where: the dotted key, the heading of the column, or the regular expression.
        file: name of the file in the run's folder.
    """

    kind: str
    where: str
    file: str

    def __post_init__(self) -> None:
        if self.kind == "pattern":
            try:
                re.compile(self.where)
            except re.error as error:
                raise InputError(f"simulator: pattern {self.where!r} is broken ({error}); correct it") from error

    def read(self, folder: Path) -> float:
        """The number, from the files that a run left in ``folder``.

        Raises:
            SimulationError: no file, nothing there, or no finite number.
        """
        try:
            value = float(KINDS[self.kind](self._text(folder), self.where))
        except (OSError, ValueError, LookupError, TypeError, RecursionError, csv.Error) as error:
            raise SimulationError(f"{self.file}: no number at {self.kind} {self.where!r} ({error!r})") from error
        if not math.isfinite(value):
            raise SimulationError(f"{self.file}: {self.kind} {self.where!r} is {value}")
        return value

    def _text(self, folder: Path) -> str:
        path = folder / self.file
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"larger than {MAX_BYTES} bytes")
        return path.read_text(encoding="utf-8", errors="replace")
