"""Solvers that cost nothing, for tests of all that goes on around a solver."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import torch

from microwright.data.labelling import label
from microwright.data.sources import RandomFieldSource
from microwright.physics.property import Property, Solution, Solver


class CheapSolver(Solver):
    """Phase fraction and mean of the square of the row means; notes each of its calls in ``journal``."""

    dimensions = 2
    properties = (Property("fraction", "1", "phase fraction"), Property("rows", "1", "mean square of row means"))

    def __init__(self, journal: Path | None = None, seconds: float = 0.0) -> None:
        self.journal = journal
        self.seconds = seconds

    def solve(self, structures: torch.Tensor) -> Solution:
        time.sleep(self.seconds)
        if self.journal is not None:
            with self.journal.open("a") as file:
                file.write(f"{float(structures[0].double().cumsum(1).square().sum())}\n")
        x = structures.double()
        return Solution.exact(torch.stack([x.mean((1, 2)), x.mean(2).square().mean(1)], 1))

    def spec(self) -> dict[str, Any]:
        return {"engine": "cheap"}


class FaultySolver(CheapSolver):
    """Raises where the first pixel of any structure is 1; returns NaN where the last pixel is 1."""

    def solve(self, structures: torch.Tensor) -> Solution:
        if structures[:, 0, 0].any():
            raise RuntimeError("singular")
        solution = super().solve(structures)
        solution.values[structures[:, -1, -1] == 1] = torch.nan
        return solution


class MortalSolver(CheapSolver):
    """Kills its process, once."""

    def __init__(self, tomb: Path) -> None:
        super().__init__()
        self.tomb = tomb

    def solve(self, structures: torch.Tensor) -> Solution:
        if not self.tomb.exists():
            self.tomb.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().solve(structures)


SOURCE = RandomFieldSource((8, 8), phase_fraction=(0.2, 0.6), seed=4)
COUNT = 100
CHUNK = 8


def label_slowly(path: Path, journal: Path) -> None:
    """Label the set of these tests, a tenth of a second a chunk."""
    label(SOURCE, CheapSolver(journal, seconds=0.1), path, COUNT, chunk=CHUNK)


if __name__ == "__main__":
    label_slowly(*map(Path, sys.argv[1:]))
