"""Options that several commands share, and the readers of their values."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from microwright.data.sources import Parameter
from microwright.design.designs import read_designs
from microwright.errors import InputError
from microwright.physics.catalogue import dimensions_of, solver_for, solver_from_spec
from microwright.physics.external import read_simulator
from microwright.physics.property import Solver

Force = Annotated[bool, typer.Option("--force", help="Replace an output that is there.")]
Seed = Annotated[int, typer.Option(help="Seed of everything random.")]
Workers = Annotated[int, typer.Option(help="Local processes.")]
Scheduler = Annotated[
    str | None,
    typer.Option(help="Dask scheduler to work on: an address as in tcp://host:8786, or a queue's TOML file."),
]
Dataset = Annotated[str | None, typer.Option(help="Name of the array in a file of several.")]
Dimensions = Annotated[
    int | None, typer.Option(min=2, max=3, help="2 or 3, where three axes could be images or a volume.")
]
Properties = Annotated[list[str] | None, typer.Option("--property", help="Property, as in absorption or C11.")]
SolverFile = Annotated[
    Path | None, typer.Option("--solver", help="JSON of a solver's spec, or a designs.h5 for its own.")
]
SimulatorFile = Annotated[
    Path | None, typer.Option("--simulator", help="TOML of your own simulator: a command, or a Python function.")
]

#: the file of designs, which says what verified them
DESIGNS = "designs.h5"


def parse_grid(text: str) -> tuple[int, ...]:
    """``"64"`` as (64, 64), ``"96x64"`` as (96, 64), ``"51x51x51"`` as (51, 51, 51)."""
    try:
        sizes = tuple(int(part) for part in text.lower().split("x"))
    except ValueError as error:
        raise InputError(f"grid: {text!r} is no size; write 64, 96x64 or 51x51x51") from error
    return sizes * 2 if len(sizes) == 1 else sizes


def parse_parameter(text: str, name: str) -> Parameter:
    """``"0.25"`` as a number, ``"0.2:0.6"`` as an interval to draw from."""
    try:
        parts = [float(part) for part in text.split(":")]
    except ValueError as error:
        raise InputError(f"{name}: {text!r} is no number; write 0.25, or 0.2:0.6 to draw from an interval") from error
    if len(parts) > 2:
        raise InputError(f"{name}: {text!r} has more than two ends; write for instance 0.2:0.6")
    return parts[0] if len(parts) == 1 else (parts[0], parts[1])


def chosen_dimensions(properties: Sequence[str] | None, solver: Path | None, dimensions: int | None) -> int | None:
    """Grid axes that the structures must have, as far as the options say."""
    if solver is not None:
        return read_solver(solver).dimensions
    return dimensions_of(properties or []) or dimensions


def undeclared_dimensions(properties: Sequence[str] | None) -> int:
    """Grid axes of an array of three axes that nobody has told: a volume where the properties are those of volumes."""
    return 3 if properties and dimensions_of(properties) is None else 2


def chosen_solver(properties: Sequence[str] | None, solver: Path | None, dimensions: int) -> Solver:
    """The solver of ``--solver``, or the default one of ``--property``."""
    if solver is None:
        return solver_for(properties or [], dimensions)
    if properties:
        raise InputError("property: given together with --solver, which names its own; leave one out")
    return read_solver(solver)


def named_solver(solver: Path | None, simulator: Path | None) -> Path | None:
    """The file of ``--solver`` or of ``--simulator``, whichever is given."""
    if solver is not None and simulator is not None:
        raise InputError("simulator: given together with --solver; leave one out")
    return solver or simulator


def read_solver(path: Path) -> Solver:
    """The solver whose spec lies in a JSON file, the one that verified a ``designs.h5``, or a simulator's TOML."""
    if path.suffix.lower() == ".toml":
        return read_simulator(path)
    if path.name == DESIGNS:
        return solver_from_spec(read_designs(path).solver)
    try:
        spec = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({error}); give the spec of a solver") from error
    if not isinstance(spec, dict):
        raise InputError(f"{path}: no JSON object; give the spec of a solver")
    return solver_from_spec(spec)
