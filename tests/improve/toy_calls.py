"""A black box that notes its calls in a file, and a search on it that a test can kill."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch

from microwright.data.sources import RandomFieldSource
from microwright.design.targets import Target
from microwright.improve.loop import Improved, ImproveNumerics, improve
from microwright.improve.recording import RecordedSimulator
from microwright.methods.workspace import Workspace
from microwright.physics.property import Solution, Solver
from microwright.physics.surrogate import EnsembleShape, SurrogateTraining
from tests.design.toy import ToySolver

POOL = RandomFieldSource((16, 16), 0.0, 2.0, (0.2, 0.6), seed=3)
TARGET = Target.value("absorption", 0.62)
BUDGET, COUNT = 26, 3
NUMERICS = ImproveNumerics(
    initial=8,
    pool=40,
    moves=16,
    aim=1e-3,
    training=SurrogateTraining(
        steps=40, calibration=0.0, test=0.0, shape=EnsembleShape(members=2, lattice=8, channels=4, width=3, hidden=8)
    ),
)


class JournalledToy(Solver):
    """The toy physics without gradient; a line of the journal for each structure that it is asked for."""

    dimensions = 2
    properties = ToySolver.properties

    def __init__(self, journal: Path, seconds: float = 0.0) -> None:
        self.journal, self.seconds = journal, seconds

    def spec(self) -> dict[str, object]:
        return {"engine": "toy"}

    def solve(self, structures: torch.Tensor) -> Solution:
        time.sleep(self.seconds)
        with self.journal.open("a") as file:
            for structure in structures:
                file.write("".join(str(int(value)) for value in structure.flatten()) + "\n")
        with torch.no_grad():
            return ToySolver().solve(structures)


def search(folder: Path, seconds: float = 0.0, budget: int = BUDGET) -> Improved:
    """The search of these tests in ``folder``."""
    simulator = RecordedSimulator(JournalledToy(folder / "journal.txt", seconds), folder / "calls", budget)
    workspace = Workspace(folder / "model", seed=1, accelerator="cpu", progress=False)
    return improve(TARGET, POOL, simulator, workspace, COUNT, NUMERICS)


if __name__ == "__main__":
    search(Path(sys.argv[1]), seconds=0.05)
