"""Active learning against Bayesian optimisation of the latents, by simulator calls, on the optical problem.

The optical solver is a black box here: neither side sees its gradient, neither has a label before it begins. Both draw
on the shipped generator, which learnt from structures without labels. Compared is the REP of the best and of the 10th
and 30th best structure against calls; structures that differ in less than 2 % of their pixels at some translation count
once, on both sides. How many calls does active learning need for the REP that Bayesian optimisation ends with, and what
share is that of the calls that the latter needed?

Run from the root of the repository: ``python benchmarks/improve.py --work FOLDER --seeds 1``. What an earlier run left
in FOLDER is not made again. ``--only improve`` or ``--only searches`` does one half of the work and writes no results.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from microwright.bench.results import Claim, write_results
from microwright.design.diversity import choose_distinct, diversity
from microwright.design.targets import Target
from microwright.improve.loop import ImproveNumerics, improve, nth_best
from microwright.improve.picture import draw_curve
from microwright.improve.recording import RecordedSimulator
from microwright.methods import load_shipped
from microwright.methods.bayesian_optimisation import latents_at
from microwright.methods.target_search import Evaluations, SearchSettings, TargetSearch, sobol_points
from microwright.methods.workspace import Workspace
from microwright.physics.catalogue import solver_from_spec
from microwright.physics.property import Solver
from microwright.representations.gan import GanRepresentation
from microwright.representations.generator_source import GeneratorSource

TARGETS = (0.55, 0.65, 0.75)
#: Bayesian optimisation as published (250 points of a Sobol sequence first), and with as few as serve the process
SEARCHES = {
    "published start": SearchSettings(initial=250, iterations=150),
    "lean start": SearchSettings(initial=16, iterations=234, refit_every=10),
}
#: for each number of designs: relative error at which active learning leaves a design alone
AIMS = {1: 1e-6, 10: 4e-4, 30: 2.5e-3}
#: calls that active learning is allowed, whatever the number of designs: a fifth of the published optimisation's
BUDGET = 80
#: share of the calls of Bayesian optimisation that active learning may need
GOAL = 0.2
#: REP in percent at which calls are told besides
LEVELS = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01)
OPTIMISATION, LEARNING = "Bayesian optimisation", "active learning"


@dataclass(frozen=True)
class Problem:
    """The optical problem as a black box, and the generator that proposes."""

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


@dataclass(frozen=True)
class Run:
    """REP in percent of the nth best different structure after each call, and how far apart the best n are."""

    side: str
    target: float
    seed: int
    nth: int
    curve: Float[np.ndarray, "calls"]
    mean_pixel_distance: float | None

    def keep(self, path: Path) -> None:
        """Write what a later run need not make again."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"curve": self.curve.tolist(), "mean_pixel_distance": self.mean_pixel_distance}))

    @staticmethod
    def kept(path: Path, side: str, target: float, seed: int, nth: int) -> Run:
        """What ``keep`` wrote."""
        found = json.loads(path.read_text())
        return Run(side, target, seed, nth, np.array(found["curve"]), found["mean_pixel_distance"])

    @staticmethod
    def of(side: str, target: float, seed: int, nth: int, structures: Tensor, rep: np.ndarray) -> Run:
        """A run by its calls; what was chosen once can be kept, so no curve rises."""
        curve = np.minimum.accumulate(nth_best(structures, rep, nth))
        best = choose_distinct(structures, np.argsort(rep, kind="stable").tolist(), nth)
        distance = diversity(structures[best])["mean_pixel_distance"] if len(best) == nth > 1 else None
        return Run(side, target, seed, nth, curve, distance)

    def calls_for(self, rep: float) -> int | None:
        """Calls until ``rep`` was reached; None where it never was."""
        reached = np.flatnonzero(self.curve <= rep)
        return int(reached[0]) + 1 if len(reached) else None

    def row(self) -> dict[str, Any]:
        """The run as the results hold it; infinite where there were too few structures yet."""
        shown = [int(n) for n in np.unique(np.geomspace(10, len(self.curve), 12).astype(int))]
        rep = {str(n): None if np.isinf(self.curve[n - 1]) else float(self.curve[n - 1]) for n in shown}
        calls = {f"{level:g}": self.calls_for(level) for level in LEVELS}
        told = {name: value for name, value in vars(self).items() if name != "curve"}
        return {**told, "rep_percent": rep, "calls_for_rep_percent": calls}


def searched(problem: Problem, name: str, target: float, seed: int, work: Path) -> Iterator[Run]:
    """One Bayesian optimisation, for each number of designs."""
    places = {nth: work / "runs" / f"{name.replace(' ', '-')}-{target:g}-{seed}-{nth}.json" for nth in AIMS}
    side = f"{OPTIMISATION}, {name}"
    if not all(place.exists() for place in places.values()):
        settings = SEARCHES[name]
        points = sobol_points(settings.initial, 4, seed)
        initial = Evaluations(points, torch.tensor([problem.evaluate(point) for point in points], dtype=torch.float64))
        path = work / "searches" / f"{name.replace(' ', '-')}-{target:g}-{seed}.jsonl"
        found = TargetSearch(problem.evaluate, initial, target, settings, seed, path).run()
        structures, rep = problem.decode(found.points), 100 * found.distance(target).numpy() / target
        for nth, place in places.items():
            Run.of(side, target, seed, nth, structures, rep).keep(place)
    for nth, place in places.items():
        yield Run.kept(place, side, target, seed, nth)


def improved(problem: Problem, target: float, seed: int, nth: int, work: Path) -> Run:
    """One active learning for ``nth`` designs."""
    place = work / "runs" / f"improve-{target:g}-{seed}-{nth}.json"
    if not place.exists():
        folder = work / "improve" / f"{target:g}-{seed}-{nth}"
        simulator = RecordedSimulator(problem.solver, folder / "calls", BUDGET)
        workspace = Workspace(folder / "model", seed=seed, accelerator="cpu", progress=False)
        pool = GeneratorSource(problem.representation, 1000 + seed, {})
        numerics = ImproveNumerics(aim=AIMS[nth])
        found = improve(Target.value("absorption", target), pool, simulator, workspace, nth, numerics)
        Run.of(LEARNING, target, seed, nth, found.record.structures, 100 * found.misfit).keep(place)
    return Run.kept(place, LEARNING, target, seed, nth)


def claims(runs: list[Run]) -> Iterator[Claim]:
    """For each number of designs and each start of the optimisation: the median share over targets and seeds."""
    for name in SEARCHES:
        for nth in AIMS:
            rival = [run for run in runs if run.side == f"{OPTIMISATION}, {name}" and run.nth == nth]
            shares = [share for run in rival if (share := share_of_calls(run, runs)) is not None]
            if not shares:
                continue
            wording = "best" if nth == 1 else f"{nth}th best different"
            told = ", ".join("more than its budget" if np.isinf(s) else f"{s:.2f}" for s in sorted(shares))
            typical = float(np.median(shares))
            yield Claim(
                f"calls of active learning over calls of {OPTIMISATION} ({name}), same REP of the {wording} structure",
                None if np.isinf(typical) else typical,
                f"<= {GOAL:g}",
                "1",
                typical <= GOAL,
                f"median of {len(shares)} runs ({told}), at the REP that the optimisation ends with",
            )


def share_of_calls(rival: Run, runs: list[Run]) -> float | None:
    """Calls for the REP that the optimisation ended with, as a share of the calls at which it first had it.

    Infinite where the budget did not reach; None where the optimisation never had so many different structures.
    """
    own = [r for r in runs if (r.side, r.target, r.seed, r.nth) == (LEARNING, rival.target, rival.seed, rival.nth)]
    if not own:
        return None
    rep = float(rival.curve[-1])
    needed, taken = own[0].calls_for(rep), rival.calls_for(rep)
    if not np.isfinite(rep) or taken is None:
        return None
    return np.inf if needed is None else needed / taken


def write_picture(path: Path, runs: list[Run]) -> None:
    """REP against calls for each number of designs, all targets and seeds."""
    figure = Figure(figsize=(11, 3.6), layout="constrained", dpi=150)
    panels = figure.subplots(1, len(AIMS), sharey=True)
    colours = {
        LEARNING: "#1f6fb2",
        **dict(zip((f"{OPTIMISATION}, {s}" for s in SEARCHES), ("#d9822b", "#8a949e"), strict=True)),
    }
    for panel, nth in zip(panels, AIMS, strict=True):
        panel.set_title("best" if nth == 1 else f"{nth}th best different structure", fontsize=10)
        panel.set_xlabel("calls of the simulator")
        panel.spines[["top", "right"]].set_visible(False)
        panel.set_xscale("log")
        panel.set_xticks(ticks := [1, 3, 10, 30, 100, 300], labels=[f"{n}" for n in ticks])
        panel.minorticks_off()
        for side, colour in colours.items():
            for number, run in enumerate(run for run in runs if run.side == side and run.nth == nth):
                draw_curve(panel, run.curve / 100, side if number == 0 else "_", color=colour, lw=1.2, alpha=0.8)
    panels[0].set_ylabel("REP / %")
    panels[0].legend(frameon=False, fontsize=8, loc="lower left")
    figure.savefig(path)


def work_through(problem: Problem, work: Path, seeds: int, only: str) -> list[Run]:
    """All runs; those that an earlier call left are read."""
    runs: list[Run] = []
    for seed in range(seeds):
        for target in TARGETS:
            start = time.perf_counter()
            if only != "searches":
                runs += [improved(problem, target, seed, nth, work) for nth in AIMS]
            if only != "improve":
                runs += [run for name in SEARCHES for run in searched(problem, name, target, seed, work)]
            print(f"{target:g}, seed {seed}: {time.perf_counter() - start:.0f} s", flush=True)
    return runs


def made(runs: list[Run], nth: int) -> str:
    """Calls for ``nth`` structures; a run that reached its aim stopped before its budget was spent."""
    own = [run for run in runs if run.side == LEARNING and run.nth == nth]
    return f"{', '.join(f'{len(run.curve)} for {run.target:g}' for run in own)} (structures: {nth})"


def spread(runs: list[Run], nth: int) -> str:
    """How different the best ``nth`` structures of each side are."""
    told = []
    for side in dict.fromkeys(run.side for run in runs):
        own = [run.mean_pixel_distance for run in runs if run.side == side and run.nth == nth]
        known = [distance for distance in own if distance is not None]
        told.append(f"{side} {100 * np.median(known):.0f} %" if known else f"{side} never had them")
    return f"{'; '.join(told)} (structures: {nth})"


def main() -> None:
    """Run what the work folder lacks, and write results and plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for what can be continued")
    parser.add_argument("--seeds", type=int, default=1, help="seeds per target")
    parser.add_argument("--only", choices=("improve", "searches"), default="", help="one half of the work")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    runs = work_through(Problem.shipped(), arguments.work, arguments.seeds, arguments.only)
    if arguments.only:
        return
    notes = [
        "Structures closer than 2 % of the pixels at some translation count once.",
        f"Active learning had {BUDGET} calls for each number of structures and stopped at a relative error of "
        + ", ".join(f"{aim:g} ({nth})" for nth, aim in AIMS.items()),
        "Calls that it made, by target: " + "; ".join(made(runs, nth) for nth in AIMS),
        "Pixels in which two of the structures differ, mean over the pairs, median over the runs: "
        + "; ".join(spread(runs, nth) for nth in AIMS if nth > 1),
        f"The load average was {os.getloadavg()[2]:.0f}; calls, not seconds, are compared.",
    ]
    command = f"python benchmarks/improve.py --work FOLDER --seeds {arguments.seeds}"
    rows = [run.row() for run in runs]
    packages = ("microwright", "torch", "botorch", "gpytorch")
    print(write_results("improve-absorption", command, rows, claims(runs), notes, packages))
    write_picture(Path("docs/improve-absorption.png"), runs)


if __name__ == "__main__":
    main()
