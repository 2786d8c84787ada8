"""A solver that calls a Python function."""

from __future__ import annotations

import hashlib
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray
from torch import Tensor

from microwright.errors import InputError
from microwright.physics.external.base import ExternalSolver, as_phases, as_solution, check_described
from microwright.physics.property import Property, Solution

#: characters of a traceback that a log keeps, from the end
TAIL = 20_000


@dataclass(frozen=True)
class FunctionSolver(ExternalSolver):
    """Calls ``function(structures)`` of a module.

    The function takes a NumPy array ``(n, *grid)`` of 0 and 1 (uint8) and returns an array ``(n, p)``, ``(n,)`` for one
    property, or a dictionary from property names to arrays ``(n,)``. Where it raises, it is called again with one
    structure at a time.

    Attributes:
        name: what messages and files call it.
        function: as in ``"heat:conductivity"``.
        properties: in the order of the last axis.
        dimensions: grid axes of the structures.
        folder: where the module is looked for first; on a cluster it must mean the same folder on all machines.
    """

    name: str
    function: str
    properties: tuple[Property, ...]
    dimensions: int = 2
    folder: str | None = None

    def __post_init__(self) -> None:
        check_described(self.properties, self.dimensions)
        self.called()
        self.remember()

    def solve(self, structures: Float[Tensor, "batch *grid"]) -> Solution:
        """Call the function; a structure for which it raises or gives NaN has status ``FAILED`` and a log.

        Raises:
            InputError: no batch of 0/1 structures, no such function, or values of another shape.
        """
        phases, call = as_phases(structures, self.dimensions), self.called()
        log: dict[int, str] = {}
        try:
            values = self._values(call, phases)
        except InputError:
            raise
        except Exception:
            rows = [self._one(call, phases[index : index + 1], index, log) for index in range(len(phases))]
            values = np.concatenate(rows)
        for index in np.flatnonzero(~np.isfinite(values).all(1)).tolist():
            log.setdefault(index, f"{self.function}: values {values[index].tolist()}")
        return as_solution(values, np.full_like(values, np.nan), log)

    def spec(self) -> dict[str, Any]:
        """What identifies the function: its name, and the digest of the file that it stands in."""
        return {
            "engine": "function",
            "name": self.name,
            "dimensions": self.dimensions,
            "function": self.function,
            "module_sha256": _source_digest(self.function.partition(":")[0]),
            "properties": [dict(vars(item)) for item in self.properties],
        }

    def called(self) -> Callable[[ndarray], Any]:
        """The function itself.

        Raises:
            InputError: there is none of that name.
        """
        module, _, attribute = self.function.partition(":")
        if self.folder is not None and self.folder not in sys.path:
            sys.path.insert(0, self.folder)
        try:
            found = getattr(import_module(module), attribute)
        except Exception as error:
            raise InputError(
                f"simulator: function {self.function!r} cannot be imported ({type(error).__name__}: {error}); "
                "write module:function, with the module beside the simulator's file or installed"
            ) from error
        if not callable(found):
            raise InputError(f"simulator: {self.function!r} is no function; name one")
        return found

    def _one(
        self, call: Callable[[ndarray], Any], phase: UInt8[ndarray, "1 *grid"], index: int, log: dict[int, str]
    ) -> Float[ndarray, "1 properties"]:
        try:
            return self._values(call, phase)
        except InputError:
            raise
        except Exception:
            log[index] = traceback.format_exc()[-TAIL:]
            return np.full((1, len(self.properties)), np.nan)

    def _values(
        self, call: Callable[[ndarray], Any], phases: UInt8[ndarray, "batch *grid"]
    ) -> Float[ndarray, "batch properties"]:
        given = call(phases.copy())
        names = [item.name for item in self.properties]
        if isinstance(given, Mapping):
            given = np.stack([np.asarray(given[name], np.float64) for name in names], axis=1)
        values = np.asarray(given, np.float64)
        values = values[:, None] if values.shape == (len(phases),) and len(names) == 1 else values
        if values.shape != (len(phases), len(names)):
            raise InputError(
                f"simulator: {self.function} gave shape {values.shape} for {len(phases)} structures and "
                f"{len(names)} properties; return {(len(phases), len(names))}"
            )
        return values


def _source_digest(module: str) -> str | None:
    found = find_spec(module)
    origin = None if found is None or found.origin is None else Path(found.origin)
    return hashlib.sha256(origin.read_bytes()).hexdigest() if origin is not None and origin.is_file() else None
