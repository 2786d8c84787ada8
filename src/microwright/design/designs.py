"""Designs: structures for one target, with what the solver says of them, and the files that hold them.

``designs.h5`` holds ``structures`` (n, *grid) uint8, ``target`` (p), ``achieved`` (n, p), ``error_bar`` (n, p) and
``status`` (n), with the attributes ``properties`` (names and units), ``solver`` (physics and numerics), ``method``,
``seed`` and ``version``. Beside it lie ``designs.csv`` and ``gallery.png``.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from jaxtyping import Float, Int, UInt8

import microwright
from microwright.errors import InputError
from microwright.physics.property import Property, Status


@dataclass(frozen=True)
class Designs:
    """Structures for one target.

    Attributes:
        properties: what was asked for, in the order of the last axis.
        target: wanted values; NaN where a property has a range or a bound instead.
        structures: binary phase maps.
        achieved: values that the solver computed.
        error_bar: half-width of the interval around each; NaN where unknown.
        status: a ``Status`` for each structure.
        solver: physics and numerics of the verification, as JSON.
        method: name of the method that proposed.
        seed: seed of the draw.
        seconds: wall time of each stage.
        request: what was asked for, as JSON: goals, constraints, wanted error bar.
        remarks: further columns of the table, one entry for each structure, for instance its verdict.
    """

    properties: tuple[Property, ...]
    target: Float[np.ndarray, "p"]
    structures: UInt8[np.ndarray, "n *grid"]
    achieved: Float[np.ndarray, "n p"]
    error_bar: Float[np.ndarray, "n p"]
    status: Int[np.ndarray, "n"]
    solver: dict[str, Any]
    method: str
    seed: int
    seconds: dict[str, float] = field(default_factory=dict)
    request: dict[str, Any] = field(default_factory=dict)
    remarks: dict[str, list[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.structures)

    @property
    def rep(self) -> Float[np.ndarray, "n p"]:
        """Residual error percentage |achieved − target| / |target| · 100 (Yang et al. 2021, eq. 1)."""
        return 100 * np.abs(self.achieved - self.target) / np.abs(self.target)

    @property
    def worst_rep(self) -> Float[np.ndarray, "n"]:
        """The largest REP of each structure over the properties that have a target value."""
        return np.nanmax(self.rep, axis=1)

    @property
    def phase_fraction(self) -> Float[np.ndarray, "n"]:
        """Share of phase 1 in each structure."""
        return self.structures.reshape(len(self), -1).mean(1)

    @property
    def summary(self) -> dict[str, float]:
        """Minimum, average and standard deviation of REP, as the papers' tables have them."""
        rep = self.worst_rep
        return {"min_rep": float(rep.min()), "average_rep": float(rep.mean()), "std_rep": float(rep.std())}

    def subset(self, indices: Int[np.ndarray, "m"]) -> Designs:
        """The designs at ``indices``, in that order."""
        arrays = ("structures", "achieved", "error_bar", "status")
        return replace(self, **{name: getattr(self, name)[indices] for name in arrays})

    def write_hdf5(self, path: Path) -> None:
        """Write the file that holds everything."""
        with h5py.File(path, "w") as file:
            file.create_dataset("structures", data=self.structures, compression="gzip")
            for name in ("target", "achieved", "error_bar", "status"):
                file[name] = getattr(self, name)
            file.attrs["properties"] = json.dumps([{"name": p.name, "unit": p.unit} for p in self.properties])
            for name in ("solver", "request", "remarks"):
                file.attrs[name] = json.dumps(getattr(self, name))
            file.attrs["method"] = self.method
            file.attrs["seed"] = self.seed
            file.attrs["version"] = microwright.__version__

    def write_csv(self, path: Path) -> None:
        """One row a structure: achieved values, error bars, REP, phase fraction, status."""
        names = [item.name for item in self.properties]
        header = ["index", *names, *(f"{n}_error_bar" for n in names), *(f"{n}_rep_percent" for n in names)]
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow([*header, "phase_fraction", "status", *self.remarks])
            for index in range(len(self)):
                numbers = [*self.achieved[index], *self.error_bar[index], *self.rep[index], self.phase_fraction[index]]
                label = Status(int(self.status[index])).name.lower()
                remarks = [column[index] for column in self.remarks.values()]
                writer.writerow([index, *(f"{value:.8g}" for value in numbers), label, *remarks])


def read_designs(path: Path) -> Designs:
    """The designs in a ``designs.h5``.

    Raises:
        InputError: no such file, or not of this layout.
    """
    try:
        with h5py.File(path, "r") as file:
            arrays = {name: file[name][()] for name in ("structures", "target", "achieved", "error_bar", "status")}
            attributes = {name: file.attrs[name] for name in ("properties", "solver", "method", "seed")}
            told = {name: json.loads(file.attrs.get(name, "{}")) for name in ("request", "remarks")}
    except (OSError, KeyError) as error:
        raise InputError(
            f"designs: {path} cannot be read ({error}); give a designs.h5 that this program wrote"
        ) from error
    named = json.loads(attributes["properties"])
    return Designs(
        properties=tuple(Property(item["name"], item["unit"], item["name"]) for item in named),
        solver=json.loads(attributes["solver"]),
        method=str(attributes["method"]),
        seed=int(attributes["seed"]),
        **arrays,
        **told,
    )
