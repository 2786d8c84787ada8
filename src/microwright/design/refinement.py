r"""Refinement: flip boundary pixels in the order of the adjoint sensitivity until the properties meet the target.

A solver's gradient gives for every pixel how the properties y move when its phase changes by δ = ±1. To first order a
set F of flips moves them by :math:`\Delta y = \sum_{i \in F} \delta_i\, \partial y / \partial x_i`. Each round

1. *selects* flips whose predicted sum brings the misfit of the target to its minimum: in the order in which single
   flips lower the misfit, as many as lower it together (a line search over the number of flips), again and again until
   no single flip helps. Ranges, bounds, extremes and several properties at once need nothing more: they differ in the
   misfit only;
2. *solves* all candidates in one batch, and accepts only where the misfit fell, so that no error ever grows;
3. *corrects* the sensitivities by the ratio of the change that came to the change that was predicted.

Only pixels on the boundary of the phases move, so the morphology stays. With constraints, moves are whole discs that
keep the smallest feature, made together with their symmetric images, and only as far as nothing is violated
(`microwright.design.constraints`).

The sensitivity-ordered exchange of phases at an interface is that of bidirectional evolutionary structural
optimisation (Huang & Xie, Finite Elements in Analysis and Design 43 (2007) 1039); here it solves an equation instead of
seeking an extreme, so that it stops on the target.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor

from microwright.design.constraints import (
    Constraints,
    Moves,
    additions,
    apply_legal,
    as_mask,
    removals,
    symmetry_images,
)
from microwright.design.targets import PHASE_FRACTION, Target
from microwright.errors import InputError
from microwright.physics.property import Solution, Solver, Status

R = TypeVar("R")

#: what becomes of predicted additions and removals of the stronger phase before anything is learnt (optics, stiffness)
FIRST_GUESS = (0.65, 1.3)
#: called after each round with the round's number and every candidate's misfit
Progress = Callable[[int, Float[Tensor, "batch"]], None]


@dataclass(frozen=True)
class RefinementNumerics:
    """How far refinement goes.

    Attributes:
        aim: misfit (relative error) at which a candidate is left alone.
        rounds: batched solves at most, the first included.
        largest_change: share of the pixels that may differ from the start.
        passes: selections within a round, each on the boundary that the one before left.
        workers: threads that solve parts of the batch side by side.
        first_guess: factors on what additions and removals of the stronger phase promise, before anything is learnt.
    """

    aim: float = 1.5e-4
    rounds: int = 12
    largest_change: float = 0.08
    passes: int = 12
    workers: int = 1
    first_guess: tuple[float, float] = FIRST_GUESS

    def __post_init__(self) -> None:
        if not self.aim > 0:
            raise InputError(f"refinement aim {self.aim}: give a positive relative error, for instance 1e-4")
        if self.rounds < 1 or self.passes < 1 or self.workers < 1:
            raise InputError("refinement: rounds, passes and workers must be at least 1")
        if not 0 <= self.largest_change <= 1:
            raise InputError(f"refinement largest_change {self.largest_change}: give a share of the pixels in [0, 1]")


@dataclass(frozen=True)
class Round:
    """Solver calls so far, summed over the candidates, and every candidate's misfit after the round."""

    calls: int
    misfit: Float[ndarray, "batch"]


@dataclass(frozen=True)
class Refined:
    """Refined structures with the solution that was computed for exactly these structures.

    Attributes:
        structures: binary, in the dtype of the start.
        solution: of ``solver.solve`` at the refinement's fidelity.
        values: the target's properties (phase fraction included where asked), in the order of its goals.
        start_values: the same of the structures as they came.
        start_misfit: misfit of ``start_values``.
        misfit: misfit of ``values``.
        changed: share of the pixels that differ from the start.
        rounds: what each round reached.
        interrupted: whether Ctrl-C ended it early; everything above holds all the same.
    """

    structures: Float[Tensor, "batch *grid"]
    solution: Solution
    values: Float[Tensor, "batch goals"]
    start_values: Float[Tensor, "batch goals"]
    start_misfit: Float[Tensor, "batch"]
    misfit: Float[Tensor, "batch"]
    changed: Float[Tensor, "batch"]
    rounds: tuple[Round, ...] = ()
    interrupted: bool = False


def refine(
    structures: Float[Tensor, "batch *grid"],
    target: Target,
    solver: Solver,
    constraints: Constraints | None = None,
    numerics: RefinementNumerics | None = None,
    offset: Float[Tensor, "batch goals"] | None = None,
    progress: Progress | None = None,
) -> Refined:
    """Move binary structures onto the target by flips at their phase boundaries.

    Args:
        structures: binary candidates; where constraints are asked, candidates that satisfy them (`repair`), since one
            that does not is returned as it came, unless a step happens to end where they are satisfied.
        target: the goals; each property one of the solver's, or the phase fraction.
        solver: differentiable.
        constraints: kept by every accepted change.
        numerics: how far to go.
        offset: added to the solver's values, for instance the difference to a finer fidelity.
        progress: told after each round.

    Raises:
        InputError: structures that are not binary, or a property that the solver does not compute.
    """
    run = _Refinement(
        structures, target, solver, constraints or Constraints(), numerics or RefinementNumerics(), offset
    )
    interrupted = False
    try:
        run.run(progress)
    except KeyboardInterrupt:
        if run.solution is None:
            raise
        interrupted = True
    return run.result(interrupted)


@dataclass
class _Refinement:
    """The state of `refine`: the best structure of every candidate, its values, and the sensitivities in use."""

    start: Float[Tensor, "batch *grid"]
    target: Target
    solver: Solver
    constraints: Constraints
    numerics: RefinementNumerics
    offset: Float[Tensor, "batch goals"] | None
    solution: Solution | None = None
    rounds: list[Round] = field(default_factory=list)
    calls: int = 0

    def __post_init__(self) -> None:
        names = [item.name for item in self.solver.properties]
        self.target.check_known([*names, PHASE_FRACTION])
        self.columns = [None if name == PHASE_FRACTION else names.index(name) for name in self.target.properties]
        self.phases = as_mask(self.start)
        self.guide = _guide(self.target, self.constraints)
        self.aim = self.numerics.aim if self.target.bounded else 0.0  # an extreme can always be pushed further
        batch = len(self.start)
        self.values = torch.zeros(batch, len(self.guide.goals), dtype=torch.float64)
        self.misfit = torch.full((batch,), torch.inf, dtype=torch.float64)
        self.sensitivity = np.zeros((batch, len(self.guide.goals), *self.phases.shape[1:]))
        self.trust = np.ones((batch, len(self.guide.goals)))
        self.direction = np.tile(np.array(self.numerics.first_guess)[:, None], len(self.guide.goals))
        self.direction[:, [goal.property == PHASE_FRACTION for goal in self.guide.goals]] = 1.0  # counted: exact
        self.original = self.phases.copy()
        self.room = int(self.numerics.largest_change * self.phases[0].size)
        self.moves = np.full(batch, self.phases[0].size)  # a candidate may make at once
        self.used = np.zeros(batch, dtype=np.int64)  # moves of its last step
        self.done = np.zeros(batch, dtype=bool)

    def run(self, progress: Progress | None) -> None:
        self._first()
        while len(self.rounds) < self.numerics.rounds:
            if progress is not None:
                progress(len(self.rounds), self.misfit)
            self.done |= self.misfit.numpy() <= self.aim
            if self.done.all():
                break
            self._round(np.flatnonzero(~self.done))

    def _first(self) -> None:
        every = np.arange(len(self.phases))
        solution, sensitivity = self._solve(self.phases)
        self.solution, self.sensitivity = solution, sensitivity
        self.values = self._goal_values(self.phases, solution, every)
        self.misfit = self._misfit(self.values, solution)
        self.start_values, self.start_misfit = self.values.clone(), self.misfit.clone()
        self._record()

    def _round(self, active: Int[ndarray, "active"]) -> None:
        """One selection, batched solve and acceptance of the candidates that are not done."""
        trials = np.stack([self._step(index) for index in active])
        moved = (trials != self.phases[active]).reshape(len(active), -1).any(1)
        self.done[active[~moved]] = True  # nothing left to try
        if moved.any():
            self._accept(trials[moved], active[moved])
            self._record()

    def _step(self, index: int) -> Bool[ndarray, "*grid"]:
        """The structure that the sensitivities promise the least misfit for."""
        before = phase = self.phases[index]
        slopes = self._slopes(index, phase)
        values, refused = self.values[index], set[tuple[bool, int]]()
        # half of what is left to change: a prediction that went too far can still be taken back
        room = int(self.room - (before != self.original[index]).sum()) // 2 + 1
        allowed = left = min(int(self.moves[index]), room)
        for _ in range(self.numerics.passes):
            predicted = values + torch.from_numpy(_change(slopes, phase, before))
            if left < 1 or self.guide.misfit(predicted) < self.aim / 4:
                break
            chosen = _selected(phase, predicted, slopes, self.guide, self.constraints, left, refused)
            if not chosen:
                break
            phase = apply_legal(phase, self.constraints, [(kind.at(place), kind.value) for kind, place in chosen])
            # whatever a constraint stopped is not tried again in this step
            refused |= {(kind.value, place) for kind, place in chosen if phase.flat[kind.at(place)[0]] != kind.value}
            left -= len(chosen)
        self.used[index] = allowed - left
        predicted = values + torch.from_numpy(_change(slopes, phase, before))
        return phase if self.guide.misfit(predicted) < self.misfit[index] else before

    def _slopes(self, index: int, phase: Bool[ndarray, "*grid"]) -> Float[ndarray, "goals *grid"]:
        """Sensitivities of a candidate, corrected by what became of earlier predictions."""
        additions, removals = self.direction.reshape(2, -1, *[1] * phase.ndim)
        trust = self.trust[index].reshape(-1, *[1] * phase.ndim)
        return self.sensitivity[index] * np.where(phase, removals, additions) * trust

    def _learn(
        self, trials: Bool[ndarray, "tried *grid"], tried: Int[ndarray, "tried"], actual: Float[ndarray, "tried goals"]
    ) -> None:
        """Fit the factors of additions and removals over the batch, then the factor of each candidate.

        A finite flip is not an infinitesimal one: a pixel that turns into the stronger phase changes the field in
        itself, so additions do less and removals more than the gradient says, by a ratio that all candidates share.
        """
        pairs = list(zip(tried, trials, strict=True))
        grown = np.array([_change(self.sensitivity[i], trial & ~self.phases[i], 0 * trial) for i, trial in pairs])
        shrunk = np.array([-_change(self.sensitivity[i], ~trial & self.phases[i], 0 * trial) for i, trial in pairs])
        for goal in range(actual.shape[1]):
            rows = np.stack([grown[:, goal], shrunk[:, goal]], axis=1)
            self.direction[:, goal] = _fitted(rows, actual[:, goal], self.direction[:, goal])
        predicted = grown * self.direction[0] + shrunk * self.direction[1]
        self.trust[tried] = _trust(self.trust[tried], predicted, actual)

    def _accept(self, trials: Bool[ndarray, "tried *grid"], tried: Int[ndarray, "tried"]) -> None:
        """Solve the trials, learn from what came of the predictions, and keep what is better."""
        solution, sensitivity = self._solve(trials)
        values = self._goal_values(trials, solution, tried)
        misfit = self._misfit(values, solution)
        self._learn(trials, tried, (values - self.values[tried]).numpy())
        for row, index in enumerate(tried):
            if misfit[row] < self.misfit[index]:
                self.phases[index], self.values[index], self.misfit[index] = trials[row], values[row], misfit[row]
                self.sensitivity[index] = sensitivity[row]
                self.moves[index] = 4 * max(1, self.used[index])
                _put(self.solution, index, solution, row)
            else:
                self.moves[index] = self.used[index] // 2

    def _solve(self, phases: Bool[ndarray, "n *grid"]) -> tuple[Solution, Float[ndarray, "n goals *grid"]]:
        """Solution and sensitivities; a hand-written adjoint adds less than half of the cost of a solve."""
        self.calls += len(phases)
        columns = [column for column in self.columns if column is not None]
        solution, slopes = sensitivities(self.solver, self._tensor(phases), columns, self.numerics.workers)
        by_column = dict(zip(columns, slopes.unbind(1), strict=True))
        share = torch.full(phases.shape, 1 / phases[0].size, dtype=torch.float64)
        wanted = [*self.columns, None][: len(self.guide.goals)]
        return solution, torch.stack([share if c is None else by_column[c] for c in wanted], dim=1).numpy()

    def _goal_values(
        self, phases: Bool[ndarray, "n *grid"], solution: Solution, which: Int[ndarray, "n"]
    ) -> Float[Tensor, "n goals"]:
        asked = goal_values(self._tensor(phases), solution, self.columns)
        if self.offset is not None:
            asked = asked + self.offset[which]
        if len(self.guide.goals) == len(self.target.goals):
            return asked
        return torch.cat([asked, self._tensor(phases).flatten(1).mean(1)[:, None].to(asked)], dim=1)

    def _misfit(self, values: Float[Tensor, "n goals"], solution: Solution) -> Float[Tensor, "n"]:
        """Infinite where the solver did not converge: such a value is never accepted."""
        usable = (solution.status.cpu() == Status.CONVERGED) & values.isfinite().all(1)
        return torch.where(usable, self.guide.misfit(values), torch.inf)

    def _tensor(self, phases: Bool[ndarray, "n *grid"]) -> Float[Tensor, "n *grid"]:
        return torch.from_numpy(phases).to(self.start)

    def _record(self) -> None:
        self.rounds.append(Round(self.calls, self.misfit.numpy().copy()))

    def result(self, interrupted: bool) -> Refined:
        assert self.solution is not None
        return Refined(
            structures=self._tensor(self.phases),
            solution=self.solution,
            values=self.values[:, : len(self.target.goals)],
            start_values=self.start_values[:, : len(self.target.goals)],
            start_misfit=self.start_misfit,
            misfit=self.misfit,
            changed=torch.from_numpy((self.phases != self.original).reshape(len(self.phases), -1).mean(1)),
            rounds=tuple(self.rounds),
            interrupted=interrupted,
        )


# ---------------------------------------------------------------------------------------------------- solving


def goal_values(
    structures: Float[Tensor, "batch *grid"], solution: Solution, columns: Sequence[int | None]
) -> Float[Tensor, "batch goals"]:
    """The goals' properties from a solution, in double precision on the CPU; ``None`` counts the phase fraction."""
    solved, counted = solution.values.detach().double().cpu(), structures.double().flatten(1).mean(1).cpu()
    return torch.stack([counted if column is None else solved[:, column] for column in columns], dim=1)


def solve_in_parts(solver: Solver, structures: Float[Tensor, "batch *grid"], workers: int) -> Solution:
    """``solver.solve`` without gradients, ``workers`` parts of the batch side by side in threads."""
    return Solution.concatenate(_in_threads(lambda part: _solved(solver, part), structures, workers))


def sensitivities(
    solver: Solver, structures: Float[Tensor, "batch *grid"], columns: Sequence[int], workers: int
) -> tuple[Solution, Float[Tensor, "batch columns *grid"]]:
    """A solution, and the derivatives of its ``columns`` by every pixel, in double precision on the CPU."""
    parts = _in_threads(lambda part: _differentiated(solver, part, columns), structures, workers)
    return Solution.concatenate([part[0] for part in parts]), torch.cat([part[1] for part in parts])


def _in_threads(call: Callable[[Tensor], R], structures: Tensor, workers: int) -> list[R]:
    parts = structures.tensor_split(min(workers, len(structures)))
    if len(parts) == 1:
        return [call(structures)]
    with ThreadPoolExecutor(len(parts)) as pool:
        return list(pool.map(call, parts))


def _solved(solver: Solver, part: Tensor) -> Solution:
    with torch.no_grad():  # inside the thread: each thread has its own gradient mode
        return solver.solve(part)


def _differentiated(solver: Solver, part: Tensor, columns: Sequence[int]) -> tuple[Solution, Tensor]:
    with torch.enable_grad():
        inputs = part.detach().clone().requires_grad_()
        solution = solver.solve(inputs)
        slopes = [
            torch.autograd.grad(solution.values[:, column].sum(), inputs, retain_graph=True)[0] for column in columns
        ]
    empty = inputs.new_zeros(len(part), 0, *part.shape[1:])
    stacked = torch.stack(slopes, dim=1) if slopes else empty
    return replace(solution, values=solution.values.detach()), stacked.detach().double().cpu()


# ---------------------------------------------------------------------------------------------------- selecting


def select(
    values: Float[Tensor, "goals"], benefits: Float[Tensor, "moves goals"], target: Target, most: int
) -> Int[Tensor, "chosen"]:
    """Moves whose summed benefits bring the misfit of ``values`` to a minimum that no single further move lowers."""
    free = torch.ones(len(benefits), dtype=torch.bool)
    chosen: list[Tensor] = []
    while most > 0:
        misfits = target.misfit(values + benefits)
        order = torch.where(free, misfits, torch.inf).argsort()[:most]
        order = order[free[order] & (misfits[order] < target.misfit(values))]
        if len(order) == 0:
            break
        path = values + benefits[order].cumsum(0)
        taken = order[: int(target.misfit(path).argmin()) + 1]
        values, most = path[len(taken) - 1], most - len(taken)
        free[taken] = False
        chosen.append(taken)
    return torch.cat(chosen) if chosen else torch.zeros(0, dtype=torch.int64)


def _selected(
    phase: Bool[ndarray, "*grid"],
    values: Float[Tensor, "goals"],
    slopes: Float[ndarray, "goals *grid"],
    target: Target,
    constraints: Constraints,
    most: int,
    refused: set[tuple[bool, int]],
) -> list[tuple[Moves, int]]:
    """The moves of one pass, each with its centre."""
    kinds = (additions(phase, constraints), removals(phase, constraints))
    places = [_representatives(kind, constraints, refused) for kind in kinds]
    slopes = _over_orbits(slopes, constraints.symmetry)
    benefits = torch.from_numpy(np.concatenate([_benefits(*pair, slopes) for pair in zip(kinds, places, strict=True)]))
    moves = [(kind, place) for kind, found in zip(kinds, places, strict=True) for place in found.tolist()]
    if max(kind.diameter for kind in kinds) > 1:
        apart = _apart(moves, target.misfit(values + benefits).argsort())
        benefits, moves = benefits[apart], [moves[i] for i in apart]
    return [moves[i] for i in select(values, benefits, target, most).tolist()]


def _representatives(moves: Moves, constraints: Constraints, refused: set[tuple[bool, int]]) -> Int[ndarray, "places"]:
    """Legal centres that were not refused, one of each symmetry orbit."""
    legal = moves.legal.ravel()
    if constraints.symmetry != "none":
        first = symmetry_images(moves.legal.shape, constraints.symmetry).min(0)
        legal = legal & (first == np.arange(len(first)))
    return np.setdiff1d(np.flatnonzero(legal), [place for value, place in refused if value == moves.value])


def _benefits(
    moves: Moves, places: Int[ndarray, "places"], slopes: Float[ndarray, "goals *grid"]
) -> Float[ndarray, "places goals"]:
    sign = 1.0 if moves.value else -1.0
    return np.stack([sign * moves.benefit(slope).ravel()[places] for slope in slopes], axis=1)


def _apart(moves: list[tuple[Moves, int]], order: Int[Tensor, "moves"], most: int = 200) -> list[int]:
    """The first moves of an order that change no pixel of an earlier one, whose benefits therefore add up."""
    used: set[int] = set()
    apart = []
    for index in order.tolist():
        pixels = set(moves[index][0].at(moves[index][1]).tolist())
        if not pixels & used:
            used |= pixels
            apart.append(index)
        if len(apart) == most:
            break
    return apart


def _over_orbits(slopes: Float[ndarray, "goals *grid"], symmetry: str) -> Float[ndarray, "goals *grid"]:
    """Sum of a sensitivity over the distinct symmetric images of each pixel, which flip with it."""
    images = symmetry_images(slopes.shape[1:], symmetry)
    flat = slopes.reshape(len(slopes), -1)
    copies = (images == images[0]).sum(0)  # how often the orbit visits each pixel
    return (flat[:, images].sum(1) / copies).reshape(slopes.shape)


def _change(slopes: Float[ndarray, "goals *grid"], after: ndarray, before: ndarray) -> Float[ndarray, "goals"]:
    """Predicted change of the values between two structures."""
    places = np.flatnonzero(after != before)
    delta = np.where(after.ravel()[places], 1.0, -1.0)
    return slopes.reshape(len(slopes), -1)[:, places] @ delta


def _fitted(rows: Float[ndarray, "n 2"], actual: Float[ndarray, "n"], prior: Float[ndarray, "2"]) -> ndarray:
    """Factors on additions and removals that explain the changes; what was known decides where these say little."""
    gram = rows.T @ rows
    ridge = 0.05 * np.trace(gram) + 1e-30
    factors = np.linalg.solve(gram + ridge * np.eye(2), rows.T @ actual + ridge * prior)
    return np.clip(factors, 0.2, 5.0)


def _trust(old: Float[ndarray, "n goals"], predicted: ndarray, actual: ndarray) -> Float[ndarray, "n goals"]:
    """Factor on a candidate's sensitivities that makes its last prediction true, within a factor of three."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = actual / predicted
    return np.where(np.isfinite(ratio) & (ratio > 0), np.clip(ratio, 1 / 3, 3.0), old)


def _guide(target: Target, constraints: Constraints) -> Target:
    """The target with the fraction's range as one more goal: a selection that leaves it would only be refused later."""
    if constraints.phase_fraction == (0.0, 1.0):
        return target
    return Target((*target.goals, constraints.fraction_goal()))


def _put(whole: Solution | None, index: int, part: Solution, row: int) -> None:
    for name in ("values", "error_bar", "status", "residual", "iterations"):
        getattr(whole, name)[index] = getattr(part, name)[row]
