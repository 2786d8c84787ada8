"""A solver that runs an external command for every structure."""

from __future__ import annotations

import hashlib
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray
from torch import Tensor

from microwright.errors import InputError
from microwright.physics.external.base import ExternalSolver, SimulationError, as_phases, as_solution, check_described
from microwright.physics.external.process import printed, run_command
from microwright.physics.external.results import Locator
from microwright.physics.external.writing import check_format, check_template, write_structure
from microwright.physics.property import Property, Solution

#: bytes of the files that go into every run's folder
MAX_FILES = 64 * 2**20


@dataclass(frozen=True)
class Output:
    """A property, and where the command leaves it.

    Attributes:
        property: name, unit, description.
        value: where its value stands.
        error_bar: half-width of the interval that holds the exact value: a number in the property's unit, where a run
            says it, or None where it is unknown.
    """

    property: Property
    value: Locator
    error_bar: Locator | float | None = None


@dataclass(frozen=True)
class Companion:
    """A file that every run finds in its folder: a script, a mesh, a table of materials."""

    name: str
    content: bytes = field(repr=False)
    executable: bool = False


@dataclass(frozen=True)
class CommandSolver(ExternalSolver):
    """Runs a command for every structure, each in a fresh folder.

    Attributes:
        name: what messages and files call it.
        command: program and arguments; ``{structure}`` is the file of the structure, ``{python}`` this Python.
        structure: name of the file that the structure is written to; the suffix says the format.
        outputs: properties, and how they are read.
        dimensions: grid axes of the structures.
        template: text of the input file, instead of a format; see ``writing``.
        files: copied into every run's folder.
        time_limit_s: seconds after which a run is stopped.
        retries: how often a failed run is tried again.
    """

    name: str
    command: tuple[str, ...]
    structure: str
    outputs: tuple[Output, ...]
    dimensions: int = 2
    template: str | None = field(default=None, repr=False)
    files: tuple[Companion, ...] = ()
    time_limit_s: float = 600.0
    retries: int = 0

    def __post_init__(self) -> None:
        check_described(self.properties, self.dimensions)
        if not self.command:
            raise InputError("simulator: command is empty; give a program and its arguments")
        for name in (self.structure, *(companion.name for companion in self.files)):
            if Path(name).name != name:
                raise InputError(f"simulator: {name!r} is no plain file name; leave folders out")
        if self.template is None:
            check_format(self.structure, self.dimensions)
        else:
            check_template(self.template)
        if not (0 < self.time_limit_s < float("inf")) or self.retries < 0:
            raise InputError("simulator: time_limit_s must be above 0, retries at least 0; correct them")
        if sum(len(companion.content) for companion in self.files) > MAX_FILES:
            raise InputError(f"simulator: files hold more than {MAX_FILES:,} bytes; name large ones by absolute paths")
        self.remember()

    @property
    def properties(self) -> tuple[Property, ...]:  # type: ignore[override]
        return tuple(output.property for output in self.outputs)

    def solve(self, structures: Float[Tensor, "batch *grid"]) -> Solution:
        """Run the command for each structure; one that fails has status ``FAILED`` and its log in the solution.

        Raises:
            InputError: no batch of 0/1 structures, or no such program.
        """
        phases = as_phases(structures, self.dimensions)
        values = np.full((len(phases), len(self.outputs)), np.nan)
        bars = np.full_like(values, np.nan)
        log: dict[int, str] = {}
        for index, phase in enumerate(phases):
            try:
                values[index], bars[index] = self._simulated(phase)
            except SimulationError as error:
                log[index] = str(error)
        return as_solution(values, bars, log)

    def spec(self) -> dict[str, Any]:
        """What identifies the simulator; limits of time and retries do not change its values and are left out."""
        return {
            "engine": "command",
            "name": self.name,
            "dimensions": self.dimensions,
            "command": list(self.command),
            "structure": self.structure,
            "template_sha256": None if self.template is None else _sha256(self.template.encode()),
            "files_sha256": {companion.name: _sha256(companion.content) for companion in self.files},
            "properties": [_output_spec(output) for output in self.outputs],
        }

    def _simulated(self, phase: UInt8[ndarray, "*grid"]) -> tuple[list[float], list[float]]:
        """Values and error bars of one structure, after as many tries as allowed.

        Raises:
            SimulationError: none of them succeeded; the logs of all.
        """
        failures: list[str] = []
        for _ in range(1 + self.retries):
            try:
                return self._tried(phase)
            except SimulationError as error:
                failures.append(str(error))
        raise SimulationError("\n\n".join(failures))

    def _tried(self, phase: UInt8[ndarray, "*grid"]) -> tuple[list[float], list[float]]:
        with tempfile.TemporaryDirectory(prefix="microwright-run-", ignore_cleanup_errors=True) as name:
            folder = Path(name)
            self._prepare(folder, phase)
            try:
                run_command([self._filled(word) for word in self.command], folder, self.time_limit_s)
                return [o.value.read(folder) for o in self.outputs], [_bar(o, folder) for o in self.outputs]
            except SimulationError as error:
                raise SimulationError(f"{self.name}: {error}\n{printed(folder)}") from error

    def _prepare(self, folder: Path, phase: UInt8[ndarray, "*grid"]) -> None:
        for companion in self.files:
            path = folder / companion.name
            path.write_bytes(companion.content)
            path.chmod(0o755 if companion.executable else 0o644)
        write_structure(folder / self.structure, phase, self.template)

    def _filled(self, word: str) -> str:
        return word.replace("{structure}", self.structure).replace("{python}", sys.executable)


def _bar(output: Output, folder: Path) -> float:
    if isinstance(output.error_bar, Locator):
        return abs(output.error_bar.read(folder))
    return float("nan") if output.error_bar is None else float(output.error_bar)


def _output_spec(output: Output) -> dict[str, Any]:
    return dict(_output_items(output))


def _output_items(output: Output) -> Iterator[tuple[str, Any]]:
    yield from vars(output.property).items()
    yield "value", vars(output.value)
    yield "error_bar", vars(output.error_bar) if isinstance(output.error_bar, Locator) else output.error_bar


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
