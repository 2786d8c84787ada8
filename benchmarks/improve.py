"""Active learning against Bayesian optimisation of the latents, by simulator calls, on the optical problem.

The optical solver is a black box here: neither side sees its gradient, neither has a label before it begins. Both draw
on the shipped generator, which learnt from structures without labels.

Run from the root of the repository: ``python benchmarks/improve.py --work FOLDER``. Searches that an earlier run left
in FOLDER are not made again.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from microwright.methods import load_shipped
from microwright.methods.bayesian_optimisation import latents_at
from microwright.methods.target_search import Evaluations, SearchSettings, TargetSearch, sobol_points
from microwright.physics.catalogue import solver_from_spec
from microwright.physics.property import Solver
from microwright.representations.gan import GanRepresentation

TARGETS = (0.55, 0.65, 0.75)
SEEDS = (0, 1, 2)
#: Bayesian optimisation as published (250 points of a Sobol sequence first), and with as few as serve the process
SEARCHES = {
    "published start": SearchSettings(initial=250, iterations=150),
    "lean start": SearchSettings(initial=16, iterations=234, refit_every=10),
}


@dataclass(frozen=True)
class Problem:
    """The optical problem as a black box, and the generator whose latents are searched."""

    representation: GanRepresentation
    solver: Solver

    @staticmethod
    def shipped() -> Problem:
        """The shipped generator and the solver that labelled for it."""
        method = load_shipped("gan-mdn-data-2")
        return Problem(method.representation, solver_from_spec(method.card.solver))  # type: ignore[attr-defined]

    def decode(self, points: Float[Tensor, "n m"]) -> Float[Tensor, "n x y"]:
        """Structures at points of the unit cube of the latents."""
        latents = latents_at(points, self.representation)
        return torch.cat([self.representation.structures(latent[None]) for latent in latents])

    def evaluate(self, point: Float[Tensor, "m"]) -> float:
        """One call of the simulator."""
        with torch.no_grad():
            return float(self.solver.solve(self.decode(point[None])).values[0, 0])


def searched(problem: Problem, name: str, target: float, seed: int, work: Path) -> Evaluations:
    """All evaluations of one Bayesian optimisation, in order."""
    settings = SEARCHES[name]
    points = sobol_points(settings.initial, 4, seed)
    initial = Evaluations(points, torch.tensor([problem.evaluate(point) for point in points], dtype=torch.float64))
    path = work / "searches" / f"{name.replace(' ', '-')}-{target:g}-{seed}.jsonl"
    return TargetSearch(problem.evaluate, initial, target, settings, seed, path).run()


def main() -> None:
    """Run what the work folder lacks, and write results and plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for what can be continued")
    work = parser.parse_args().work
    problem = Problem.shipped()
    for seed in SEEDS:
        for target in TARGETS:
            for name in SEARCHES:
                start = time.perf_counter()
                found = searched(problem, name, target, seed, work)
                rep = 100 * found.distance(target) / target
                print(
                    f"{name}, {target:g}, seed {seed}: {float(rep.min()):.4f} % in {time.perf_counter() - start:.0f} s"
                )


if __name__ == "__main__":
    main()
