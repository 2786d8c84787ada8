"""Simulated annealing in the latent space from random starts and from the inferred points: figures 4 and 9.

The objective is the relative error of C11, as the Reg-only network predicts it (the paper's choice) or, from the
inferred points, as the solver computes it. Decoded volumes are cut at the decoder's phase fraction, as in the paper, or
at that with which q(c | x) sees the target met. Whatever the objective, the solver says what was achieved.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from microwright.bench.simulated_annealing import AnnealingRun, anneal
from microwright.bench.stiffness import StiffnessBench
from microwright.bench.stiffness_inverse import LIKELY, PRIORS, decoded, morphology
from microwright.methods.vae_regression import VaeRegression
from microwright.physics.property import Solver
from microwright.structures.statistics import phase_fraction

#: structures → C11, GPa
Forward = Callable[[Float[Tensor, "n x y z"]], Float[Tensor, "n"]]
#: latents → structures
Decoding = Callable[[Float[Tensor, "n m"]], Float[Tensor, "n x y z"]]
#: objective, kind of starts, cut
Kind = tuple[str, str, str]
#: objective, kind of starts and cut of each search
SEARCHES = (
    ("reg-only", "random", "decoder"),
    ("reg-only", "inferred", "decoder"),
    ("reg-only", "inferred", "regressor"),
    ("solver", "inferred", "decoder"),
)
#: iterations after which the best so far is solved
CHECKED = (0, 10, 20, 50, 100, 200)
#: mean error that the paper reaches by 5 searches of 200 iterations from random starts, per cent
PAPER_GOAL = 10.0


def annealing_rows(bench: StiffnessBench) -> list[dict[str, Any]]:
    """One row for each seed, objective, kind of start, cut, target, start and number of iterations."""
    return [
        row
        for seed in bench.scale.inverse_seeds
        for kind in SEARCHES
        for row in bench.measured(
            f"annealing-{'-'.join(kind)}-{seed}",
            lambda k=kind, s=seed: _rows(bench, k, s),  # type: ignore[misc]
        )
    ]


def _rows(bench: StiffnessBench, kind: Kind, seed: int) -> list[dict[str, Any]]:
    objective, start, cut = kind
    method = bench.morphology_model(PRIORS["mixture"], seed)
    settings = bench.scale.annealing if start == "random" else bench.scale.refining
    rows = []
    for target in bench.scale.targets:
        decode = _decoding(method, target, cut)
        run = search(bench, method, decode, kind, target, seed)
        checked = [step for step in CHECKED if step < settings.iterations] + [settings.iterations]
        common = {"objective": objective, "start": start, "cut": cut, "seed": seed, "target": target}
        rows += [{**common, **row} for row in _checked(bench.solver("C11"), decode, run, target, checked)]
    return rows


def search(
    bench: StiffnessBench, method: VaeRegression, decode: Decoding, kind: Kind, target: float, seed: int
) -> AnnealingRun:
    """One search for one target, all its starts side by side."""
    objective, start, _ = kind
    known = method.latents(bench.morphology_data(seed).train.structures)
    generator = torch.Generator().manual_seed(seed)
    starts, settings = _inferred(method, target), bench.scale.refining
    if start == "random":
        starts, settings = random_starts(known, bench.scale.starts, generator), bench.scale.annealing
    forward = _forward(bench, objective, seed)
    return anneal(
        lambda latents: (forward(decode(latents)) - target).abs() / target,
        starts,
        known.std(0),
        settings,
        generator,
    )


def _decoding(method: VaeRegression, target: float, cut: str) -> Decoding:
    return lambda latents: decoded(method, torch.tensor([target]), latents, cut)


def random_starts(known: Float[Tensor, "n m"], count: int, generator: torch.Generator) -> Float[Tensor, "count m"]:
    """Points drawn evenly from the box that holds the latents of the training volumes."""
    low, high = known.amin(0), known.amax(0)
    return low + (high - low) * torch.rand(count, known.shape[1], generator=generator)


def _inferred(method: VaeRegression, target: float) -> Float[Tensor, "k m"]:
    wanted = torch.tensor([target])
    return method.component_means(wanted)[method.component_weights(wanted) >= LIKELY]


def _forward(bench: StiffnessBench, objective: str, seed: int) -> Forward:
    if objective == "solver":
        return _solved(bench.solver("C11"))
    network = bench.judge(seed)
    return lambda structures: network.predict(structures)[:, 0]


def _solved(solver: Solver) -> Forward:
    return lambda structures: solver.solve(structures).values[:, 0]


def _checked(
    solver: Solver, decode: Decoding, run: AnnealingRun, target: float, iterations: Sequence[int]
) -> list[dict[str, Any]]:
    """The best so far of every start after some numbers of iterations, solved; ``chosen`` is the best by objective."""
    rows = []
    for step in iterations:
        structures = decode(run.latents[step])
        achieved = solver.solve(structures).values[:, 0]
        kinds, fractions = morphology(structures), phase_fraction(structures)
        for place, value in enumerate(achieved.tolist()):
            rows.append(
                {
                    "place": place,
                    "chosen": place == int(run.objective[step].argmin()),
                    "iterations": step,
                    "seconds": float(run.seconds[step]),
                    "objective_percent": 100 * float(run.objective[step, place]),
                    "achieved": value,
                    "error_percent": 100 * abs(value - target) / target,
                    "morphology": kinds[place],
                    "phase_fraction": float(fractions[place]),
                }
            )
    return rows
