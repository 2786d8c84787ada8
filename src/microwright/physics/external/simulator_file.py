"""The TOML file in which users describe their simulator.

A command::

    command = ["{python}", "heat.py", "{structure}"]
    files = ["heat.py"]
    structure = "structure.npy"
    dimensions = 2
    time_limit_s = 60
    retries = 1

    [[properties]]
    name = "k11"
    unit = "W/(m K)"
    json = "conductivity.0"
    file = "result.json"

A function::

    function = "heat:conductivity"

    [[properties]]
    name = "k11"
    unit = "W/(m K)"
"""

from __future__ import annotations

import os
import shlex
import tomllib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from microwright.errors import InputError
from microwright.physics.external.base import ExternalSolver
from microwright.physics.external.command import CommandSolver, Companion, Output
from microwright.physics.external.function import FunctionSolver
from microwright.physics.external.process import STDOUT
from microwright.physics.external.results import KINDS, Locator
from microwright.physics.property import Property

DESCRIPTION = "computed by an external simulator"
MAX_BYTES = 2**20
#: the file of a structure, where none is named
STRUCTURE = "structure.npy"


class PropertyEntry(BaseModel):
    """One ``[[properties]]`` table."""

    model_config = ConfigDict(extra="forbid")
    name: str
    unit: str = "1"
    description: str = DESCRIPTION
    json_key: str | None = Field(None, alias="json")
    csv: str | None = None
    pattern: str | None = None
    file: str = STDOUT
    error_bar: str | float | None = None

    @property
    def described(self) -> Property:
        return Property(self.name, self.unit, self.description)

    @property
    def kinds(self) -> dict[str, str]:
        """The ways of reading that are given."""
        given = {"json": self.json_key, "csv": self.csv, "pattern": self.pattern}
        return {kind: where for kind, where in given.items() if where is not None}

    def output(self) -> Output:
        """How a command's result holds this property."""
        if len(self.kinds) != 1:
            raise InputError(f"properties: {self.name} needs exactly one of {', '.join(KINDS)}; correct it")
        ((kind, where),) = self.kinds.items()
        bar = Locator(kind, self.error_bar, self.file) if isinstance(self.error_bar, str) else self.error_bar
        return Output(self.described, Locator(kind, where, self.file), bar)


class SimulatorFile(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid")
    name: str | None = None
    dimensions: Literal[2, 3] = 2
    properties: list[PropertyEntry]
    function: str | None = None
    command: list[str] | str | None = None
    structure: str | None = None
    template: str | None = None
    files: list[str] = []
    time_limit_s: float = 600.0
    retries: int = 0

    @model_validator(mode="after")
    def _one_of_both(self) -> SimulatorFile:
        if (self.function is None) == (self.command is None):
            raise ValueError("give either command or function")
        return self


def read_simulator(path: str | Path) -> ExternalSolver:
    """The simulator that a TOML file describes. Reading it trusts it: its program will be run.

    Raises:
        InputError: no file, no TOML, unknown or missing entries, or files that are not there.
    """
    path = Path(path)
    entries = _parsed(path)
    try:
        return _simulator(path, entries)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _parsed(path: Path) -> SimulatorFile:
    try:
        content = tomllib.loads(_read(path, MAX_BYTES).decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as TOML ({error}); correct it") from error
    try:
        return SimulatorFile.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{path}: {where or 'simulator'}: {first['msg']}; correct it") from error


def _simulator(path: Path, entries: SimulatorFile) -> ExternalSolver:
    name = entries.name or path.stem
    if entries.function is not None:
        described = tuple(item.described for item in entries.properties)
        for item in entries.properties:
            if item.kinds:
                raise InputError(f"properties: {item.name} is returned by the function; leave {next(iter(item.kinds))}")
        folder = str(path.resolve().parent)
        return FunctionSolver(name, entries.function, described, entries.dimensions, folder)
    command = shlex.split(entries.command) if isinstance(entries.command, str) else entries.command or []
    template = None if entries.template is None else _read(path.parent / entries.template, MAX_BYTES).decode("utf-8")
    return CommandSolver(
        name=name,
        command=tuple(command),
        structure=entries.structure or _structure_name(entries),
        outputs=tuple(item.output() for item in entries.properties),
        dimensions=entries.dimensions,
        template=template,
        files=tuple(_companion(path.parent / file) for file in entries.files),
        time_limit_s=entries.time_limit_s,
        retries=entries.retries,
    )


def _structure_name(entries: SimulatorFile) -> str:
    return STRUCTURE if entries.template is None else Path(entries.template).name


def _companion(path: Path) -> Companion:
    return Companion(path.name, _read(path, 64 * 2**20), os.access(path, os.X_OK))


def _read(path: Path, limit: int) -> bytes:
    try:
        if path.stat().st_size > limit:
            raise InputError(f"{path}: larger than {limit:,} bytes; name it by an absolute path in the command instead")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from error
