"""Exact designs: propose → choose → repair → refine → replace → certify → analyse.

A method's proposals miss their target by a few per cent. Here they become structures that have the property asked for:

1. more proposals are drawn than wanted; with constraints, each is repaired and those that satisfy come first;
2. the first ``count`` that differ from one another are refined at the fidelity that the model was labelled with; what
   missed starts again after steps in the method's latent space (``design.latent_steps``);
3. what missed all the same gives way to a spare proposal, refined in its turn;
4. on request the designs are *certified*: the solver bounds its own error, and refinement goes on at the fast
   fidelity with the difference to the certified value as an offset, until the certified values meet the target.

Every value that is returned was computed for exactly the structure that is returned. Ctrl-C ends the work at the last
state that was solved.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from microwright.data.filtered_noise_set import FilteredNoiseSet
from microwright.data.sources import FilteredNoiseSource, RandomFieldSource
from microwright.design.constraints import Constraints, repair
from microwright.design.designer import Designer
from microwright.design.diversity import choose_distinct
from microwright.design.latent_steps import latent_steps
from microwright.design.outcome import Outcome
from microwright.design.reachability import Reachable, reachability, refuse_impossible
from microwright.design.refinement import (
    Progress,
    Refined,
    RefinementNumerics,
    Round,
    goal_values,
    refine,
    solve_in_parts,
)
from microwright.design.targets import PHASE_FRACTION, Kind, Target
from microwright.design.tolerance import SpreadSolver, tolerances
from microwright.errors import InputError
from microwright.methods.base import LatentMethod, Proposals
from microwright.methods.card import ModelCard
from microwright.physics.catalogue import solver_from_spec
from microwright.physics.property import Solution, Solver, Status

#: proposals drawn for each design wanted: without and with constraints
DRAWN, DRAWN_CONSTRAINED = 1.4, 4.0
#: structures of the training set that the report compares with
COMPARED = 100
#: the same of volumes, which take longer
COMPARED_VOLUMES = 32
#: rounds of refinement against certified values
CERTIFIED_ROUNDS = 4
#: goals for the phase fraction that are constraints at the same time
BOUNDS = (Kind.RANGE, Kind.AT_LEAST, Kind.AT_MOST)


@dataclass(frozen=True)
class Request:
    """What is wanted of a designer.

    Attributes:
        target: the properties.
        count: how many designs.
        seed: of the draw, and of the rough edges of the tolerance analysis.
        constraints: kept by every design that is said to satisfy.
        refinement: how far to refine.
        certify: wanted half-width of the error bars, in the first property's unit; ``None`` keeps the solver's own.
        robust: refine twice the count, also for the smallest spread under ±1 pixel, and keep the steadiest.
        fabrication: run the tolerance analysis.
    """

    target: Target
    count: int
    seed: int = 0
    constraints: Constraints = field(default_factory=Constraints)
    refinement: RefinementNumerics = field(default_factory=RefinementNumerics)
    certify: float | None = None
    robust: bool = False
    fabrication: bool = False


def direct_designs(designer: Designer, request: Request) -> Outcome:
    """The method's own samples, verified, judged by the request's target and constraints.

    Raises:
        InputError: as ``exact_designs``.
    """
    work = _Work(designer, request, None)
    work.check()
    designs = replace(designer, solver=work.solver).design(request.target, request.count, request.seed)
    notes = [str(item) for item in work.reached]
    outcome = Outcome(request.target, designs, constraints=work.constraints, notes=notes)
    return _with_remarks(replace(outcome, training=training_structures(designer.method.card, COMPARED)), request)


def exact_designs(designer: Designer, request: Request, progress: Progress | None = None) -> Outcome:
    """Designs that meet the request where they can, each with what is known of its error.

    Raises:
        InputError: a count below 1, a target or constraints that contradict each other or physics, an unknown property.
    """
    work = _Work(designer, request, progress)
    work.check()
    work.check_gradients()
    return work.run()


def solver_for_target(solver: Solver, target: Target) -> Solver:
    """The same physics and numerics, computing every property that the target names.

    Raises:
        InputError: a property that the engine does not know.
    """
    have = [item.name for item in solver.properties]
    missing = [name for name in target.properties if name not in (*have, PHASE_FRACTION)]
    return solver_from_spec({**solver.spec(), "properties": [*have, *missing]}) if missing else solver


def precision_of(solver: Solver) -> float:
    """Rounding error of the solver's values, in their unit: 1e-6 in single precision, 1e-12 in double."""
    return 1e-12 if solver.spec().get("numerics", {}).get("precision") == "double" else 1e-6


def seen_values(card: ModelCard) -> dict[str, Tensor]:
    """Percentiles of the labelled values that a model was trained on, by property."""
    return {item.name: torch.tensor([item.low, *item.quantiles, item.high]) for item in card.properties}


def training_structures(card: ModelCard, count: int) -> Float[np.ndarray, "count *grid"] | None:
    """The first structures of the random family that a model learnt from; ``None`` for a user's own set."""
    spec: dict[str, Any] = dict(card.training.get("structures", {}))
    family = spec.pop("family", "")
    if family == "filtered noise set":
        return FilteredNoiseSet(seed=spec["seed"]).structures(range(min(count, COMPARED_VOLUMES))).numpy()
    sources = {"gaussian random field": RandomFieldSource, "filtered noise": FilteredNoiseSource}
    source = sources.get(family)
    if source is None:
        return None
    settings = {name: tuple(value) if isinstance(value, list) else value for name, value in spec.items()}
    return source(**settings).samples(0, count).structures.numpy()


class _Work:
    """One request on its way."""

    def __init__(self, designer: Designer, request: Request, progress: Progress | None) -> None:
        self.designer, self.request, self.progress = designer, request, progress
        self.target, self.constraints = request.target, _kept(request.target, request.constraints)
        self.solver = solver_for_target(designer.solver, request.target)
        self.seconds: dict[str, float] = {}
        self.rounds: list[Round] = []
        self.interrupted = False

    def check(self) -> None:
        """Refuse what cannot be, before anything is computed."""
        if self.request.count < 1:
            raise InputError(f"count: {self.request.count} structures cannot be designed; ask for at least 1")
        self.target.check_precision(precision_of(self.solver))
        self.constraints.check_grid(tuple(self.designer.method.card.grid))
        refuse_impossible(self.reached)

    def check_gradients(self) -> None:
        """Refuse a simulator that refinement cannot follow."""
        if not self.solver.differentiable:
            raise InputError(
                "solver: refinement needs gradients, which an external simulator does not give; "
                "take the method's samples with --direct, or refine with a surrogate"
            )

    @property
    def reached(self) -> tuple[Reachable, ...]:
        return reachability(self.target, seen_values(self.designer.method.card), self.solver.spec())

    def run(self) -> Outcome:
        start = time.perf_counter()
        proposals = self._proposals()
        order = self._preference(proposals.structures)
        wanted = self.request.count * (2 if self.request.robust else 1)
        chosen = choose_distinct(proposals.structures, order, wanted)
        spares = [index for index in order if index not in chosen]
        proposed = time.perf_counter()
        refined = self._refined(proposals.structures[chosen])
        refined = self._stepped(refined, Proposals(proposals.structures[chosen], proposals.latents[chosen]))
        refined = self._replaced(refined, proposals.structures[spares])
        if self.request.certify is not None:
            refined = self._certified(refined)
        if self.request.robust:
            refined = _rows(refined, self._steadiest(refined))
        self.seconds = {"propose": proposed - start, "verify": time.perf_counter() - proposed}
        return self._outcome(refined)

    def _proposals(self) -> Proposals:
        """More proposals than wanted, repaired where constraints are asked."""
        factor = DRAWN_CONSTRAINED if self.constraints.asked else DRAWN
        drawn = int(np.ceil(factor * self.request.count)) * (2 if self.request.robust else 1)
        proposals = self.designer.propose(self.target, drawn, self.request.seed)
        if not self.constraints.asked:
            return proposals
        return replace(proposals, structures=self._repaired(proposals.structures))

    def _repaired(self, structures: Float[Tensor, "n *grid"]) -> Float[Tensor, "m *grid"]:
        """Repaired structures, until enough of them satisfy: the rest would never be looked at."""
        enough = int(np.ceil(DRAWN * self.request.count)) * (2 if self.request.robust else 1)
        mended: list[Tensor] = []
        satisfied = 0
        for structure in structures.split(1):
            mended.append(repair(structure, self.constraints))
            satisfied += not self.constraints.violations(mended[-1][0])
            if satisfied == enough:
                break
        return torch.cat(mended)

    def _preference(self, structures: Float[Tensor, "n *grid"]) -> list[int]:
        """Satisfying structures first; the order of the draw otherwise."""
        if not self.constraints.asked:
            return list(range(len(structures)))
        satisfied = self.constraints.satisfied(structures).tolist()
        return sorted(range(len(structures)), key=lambda index: not satisfied[index])

    def _stepped(self, refined: Refined, proposals: Proposals) -> Refined:
        """Designs that flips did not bring to the target start again after steps in the latent space."""
        method = self.designer.method
        missed = [i for i in range(len(refined.structures)) if not self._good(refined, i)]
        idle = self.interrupted or self.constraints.asked or self.request.refinement.rounds == 1
        if idle or not missed or not isinstance(method, LatentMethod):
            return refined
        own = Proposals(proposals.structures[missed], proposals.latents[missed])
        stepped = latent_steps(method.representation, own, self.target, self.solver, self._workers)
        others = stepped.before(self._refined(stepped.structures))
        better = {i: k for k, i in enumerate(missed) if others.misfit[k] < refined.misfit[i]}
        return _picked(
            [(others, better[i]) if i in better else (refined, i) for i in range(len(refined.structures))], refined
        )

    def _refined(self, structures: Float[Tensor, "n *grid"], offset: Tensor | None = None) -> Refined:
        solver, target = self._objective()
        refined = refine(structures, target, solver, self.constraints, self._numerics(), offset, self.progress)
        self.rounds = self.rounds or list(refined.rounds)
        self.interrupted |= refined.interrupted
        return _without_extra(refined, len(self.target.goals), len(self.solver.properties))

    def _objective(self) -> tuple[Solver, Target]:
        """What refinement works on: in robust mode the spread under ±1 pixel is one more goal."""
        if not self.request.robust:
            return self.solver, self.target
        solver = SpreadSolver(self.solver)
        return solver, solver.steadied(self.target)

    def _numerics(self) -> RefinementNumerics:
        """An asked tolerance below the usual aim tightens it."""
        asked = [goal.tolerance / goal.scale for goal in self.target.goals if goal.tolerance]
        return replace(self.request.refinement, aim=min([self.request.refinement.aim, *(t / 2 for t in asked)]))

    def _replaced(self, refined: Refined, spares: Float[Tensor, "spares *grid"]) -> Refined:
        """Put refined spares in the place of designs that missed; the better of the two stays."""
        missed = [i for i in range(len(refined.structures)) if not self._good(refined, i)]
        count = min(len(missed), len(spares))
        if count == 0 or self.interrupted or self.request.refinement.rounds == 1:
            return refined
        others = self._refined(spares[:count])
        better = [k for k in range(count) if self._good(others, k)]
        places = dict(zip(missed, better, strict=False))
        picks = [(others, places[i]) if i in places else (refined, i) for i in range(len(refined.structures))]
        return _picked(picks, refined)

    def _good(self, refined: Refined, index: int) -> bool:
        met = bool(self.target.met(refined.values[index]))
        return met and not self.constraints.violations(refined.structures[index])

    def _certified(self, refined: Refined) -> Refined:
        """Refine fast values plus their difference to the certified ones, until the latter meet the target."""
        assert self.request.certify is not None
        best, solution = refined, self._certify(refined.structures)
        values = self._values(best.structures, solution)
        for _ in range(CERTIFIED_ROUNDS):
            aim = self._certified_aim(solution)
            open_ = (self.target.misfit(values) > aim).nonzero().flatten()
            if len(open_) == 0 or self.interrupted:
                break
            fast = self._values(
                best.structures[open_], solve_in_parts(self.solver, best.structures[open_], self._workers)
            )
            trial = self._refined(best.structures[open_], values[open_] - fast)
            checked = self._certify(trial.structures)
            found = self._values(trial.structures, checked)
            better = (self.target.misfit(found) < self.target.misfit(values[open_])).nonzero().flatten()
            if len(better) == 0:
                break
            best, solution, values = _updated(best, solution, values, open_[better], trial, checked, found, better)
        return replace(best, solution=solution, values=values, misfit=self.target.misfit(values))

    def _certified_aim(self, solution: Solution) -> Float[Tensor, "n"]:
        """Misfit at which a certified design is left alone: a fifth of its bar, never below the aim of refinement."""
        bars = self._bars(solution)
        scales = torch.tensor([goal.scale for goal in self.target.goals], dtype=torch.float64)
        relative = torch.nan_to_num(bars / scales).square().sum(1).sqrt()
        return (relative / 5).clamp_min(self.request.refinement.aim)

    def _certify(self, structures: Tensor) -> Solution:
        assert self.request.certify is not None
        with torch.no_grad():
            return self.solver.certify(structures, self.request.certify)

    def _columns(self) -> list[int | None]:
        names = [item.name for item in self.solver.properties]
        return [None if name == PHASE_FRACTION else names.index(name) for name in self.target.properties]

    def _values(self, structures: Tensor, solution: Solution) -> Float[Tensor, "n goals"]:
        return goal_values(structures, solution, self._columns())

    def _bars(self, solution: Solution) -> Float[Tensor, "n goals"]:
        bars = solution.error_bar.double().cpu()
        counted = torch.zeros(len(bars), dtype=torch.float64)
        return torch.stack([counted if c is None else bars[:, c] for c in self._columns()], dim=1)

    @property
    def _workers(self) -> int:
        return self.request.refinement.workers

    def _steadiest(self, refined: Refined) -> list[int]:
        """The designs of smallest spread among those that meet the target; then the others."""
        spread = tolerances(refined.structures, self.solver, self.request.seed, draws=1, workers=self._workers).spread
        scales = torch.tensor([max(abs(float(v)), 1e-12) for v in spread.mean(0)], dtype=torch.float64)
        rank = (spread / scales).amax(1).tolist()
        order = sorted(range(len(rank)), key=lambda i: (not self._good(refined, i), rank[i]))
        return order[: self.request.count]

    def _outcome(self, refined: Refined) -> Outcome:
        analysed = self.request.fabrication and not self.interrupted
        seed, workers = self.request.seed, self._workers
        outcome = Outcome(
            target=self.target,
            designs=self._record(refined),
            start=refined.start_values.numpy(),
            changed=refined.changed.numpy(),
            rounds=self.rounds,
            constraints=self.constraints,
            tolerances=tolerances(refined.structures, self.solver, seed, workers=workers) if analysed else None,
            training=training_structures(self.designer.method.card, COMPARED),
            notes=[str(item) for item in self.reached] + self._shortfall(refined),
            interrupted=self.interrupted,
        )
        return _with_remarks(outcome, self.request)

    def _record(self, refined: Refined) -> Any:
        designer = replace(self.designer, solver=self.solver)
        proposals = Proposals(refined.structures, torch.zeros(len(refined.structures), 0))
        designs = designer.record(self.target, proposals, refined.solution, self.request.seed, self.seconds)
        return designs

    def _shortfall(self, refined: Refined) -> list[str]:
        """What a user must be told about designs that are missing or not usable."""
        told = []
        if len(refined.structures) < self.request.count:
            told.append(
                f"only {len(refined.structures)} of {self.request.count} proposals differ enough; change the seed"
            )
        stuck = int((refined.solution.status != Status.CONVERGED).sum())
        if stuck:
            told.append(f"{stuck} designs did not converge: {Status.NOT_CONVERGED.remedy}")
        if self.interrupted:
            told.append("interrupted: these are the designs as they were last solved")
        return told


# ---------------------------------------------------------------------------------------------------- rows of results


def _kept(target: Target, constraints: Constraints) -> Constraints:
    """The constraints with the target's bounds on the phase fraction among them.

    Raises:
        InputError: bounds that exclude each other.
    """
    if PHASE_FRACTION not in target.properties or target[PHASE_FRACTION].kind not in BOUNDS:
        return constraints
    both = Target((target[PHASE_FRACTION], constraints.fraction_goal()))[PHASE_FRACTION]
    return replace(constraints, phase_fraction=both.accepted)


def _with_remarks(outcome: Outcome, request: Request) -> Outcome:
    """The designs with what was asked for and each one's verdict, so that their file says it by itself."""
    asked = {
        "target": request.target.spec(),
        "constraints": outcome.constraints.spec(),
        "wanted_error_bar": request.certify,
    }
    remarks: dict[str, list[Any]] = {
        "verdict": outcome.verdicts,
        "violations": ["; ".join(found) for found in outcome.violations],
    }
    if outcome.changed is not None:
        remarks["changed_percent"] = [round(100 * float(share), 4) for share in outcome.changed]
    return replace(outcome, designs=replace(outcome.designs, request=asked, remarks=remarks))


def _rows(refined: Refined, which: Sequence[int]) -> Refined:
    return _picked([(refined, index) for index in which], refined)


def _picked(picks: Sequence[tuple[Refined, int]], model: Refined) -> Refined:
    """A result made of rows of others."""
    names = ("structures", "values", "start_values", "start_misfit", "misfit", "changed")
    columns: dict[str, Any] = {
        name: torch.stack([getattr(source, name)[row] for source, row in picks]) for name in names
    }
    solution = Solution.concatenate([_solution_row(source.solution, row) for source, row in picks])
    return replace(model, solution=solution, **columns)


def _solution_row(solution: Solution, row: int) -> Solution:
    fields = ("values", "error_bar", "status", "residual", "iterations")
    return Solution(**{name: getattr(solution, name)[row : row + 1] for name in fields})


def _updated(
    best: Refined,
    solution: Solution,
    values: Tensor,
    places: Tensor,
    trial: Refined,
    checked: Solution,
    found: Tensor,
    better: Tensor,
) -> tuple[Refined, Solution, Tensor]:
    """The results with the better trials in their places; the share of changed pixels counts from the first start."""
    taken = dict(zip(places.tolist(), better.tolist(), strict=True))
    size = len(best.structures)
    rows = [_solution_row(checked, taken[i]) if i in taken else _solution_row(solution, i) for i in range(size)]
    structures, values, changed = best.structures.clone(), values.clone(), best.changed.clone()
    structures[places], values[places] = trial.structures[better], found[better]
    changed[places] = (changed[places] + trial.changed[better]).clamp_max(1.0)
    return replace(best, structures=structures, changed=changed), Solution.concatenate(rows), values


def _without_extra(refined: Refined, goals: int, properties: int) -> Refined:
    """Only the asked goals and the solver's own properties: in robust mode the spread was one more."""
    solution = refined.solution
    trimmed = replace(solution, values=solution.values[:, :properties], error_bar=solution.error_bar[:, :properties])
    return replace(
        refined, solution=trimmed, values=refined.values[:, :goals], start_values=refined.start_values[:, :goals]
    )
