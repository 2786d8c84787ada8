r"""Improve: designs for a target from few calls of a simulator that has no gradient.

Each round

1. *learns* a surrogate from every call so far (and from labels that were there before);
2. *proposes*, by turns, the new structure that the ensemble holds nearest to the target on the average, and the one
   that a single member does (ensemble sampling, a form of Thompson's; Lu & Van Roy, Advances in Neural Information
   Processing Systems 30 (2017)): where the members agree that is near the target, where they disagree it is uncertain
   and teaches most. One call each;
3. *refines* the best calls that have not met the target, one of each morphology, a few steps: the simulator says what
   is true of each structure, the surrogate's gradient which pixels to flip next
   (`microwright.physics.surrogate.guided`), and a step that did not pay is taken back.

Every call is kept (`microwright.improve.recording`), counts once, and teaches the next surrogate. The same call of
``improve`` after a kill takes the same turns on the answers that are there, and goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from microwright.data.sources import Source
from microwright.design.diversity import NEAR, choose_distinct, pixel_distance
from microwright.design.refinement import RefinementNumerics, goal_values, refine
from microwright.design.targets import PHASE_FRACTION, Target
from microwright.errors import InputError
from microwright.improve.recording import BudgetSpent, Calls, RecordedSimulator
from microwright.methods.workspace import Workspace
from microwright.physics.property import Solution, Status
from microwright.physics.surrogate.guided import GuidedSolver
from microwright.physics.surrogate.settings import SurrogateTraining
from microwright.physics.surrogate.solver import SurrogateSolver

#: rounds without a new call after which a search ends
PATIENCE = 4
#: told after each round: its number, calls so far, and the designs' misfits in rising order
Progress = Callable[[int, int, Float[np.ndarray, "designs"]], None]


@dataclass(frozen=True)
class ImproveNumerics:
    """How a search spends its calls.

    Attributes:
        initial: proposals that are simulated before anything is learnt, where there are no labels to begin with.
        proposals: new structures that a round simulates.
        refined: structures that a round refines.
        steps: calls that a round may spend on refining one of them.
        pool: new structures that a round chooses its proposals from.
        aim: misfit (relative error) at which a structure is left alone.
        training: of the surrogates; all calls are learnt from, none kept for calibration.
    """

    initial: int = 10
    proposals: int = 4
    refined: int = 4
    steps: int = 3
    pool: int = 256
    aim: float = 1.5e-4
    training: SurrogateTraining = field(
        default_factory=lambda: SurrogateTraining(steps=240, batch=24, calibration=0.0, test=0.0)
    )

    def __post_init__(self) -> None:
        if self.initial < 2 or min(self.proposals, self.refined, self.steps, self.pool) < 1:
            raise InputError("improve: at least 2 initial calls; proposals, refined, steps and pool of at least 1")
        if not self.aim > 0:
            raise InputError(f"improve: aim {self.aim}; give a positive relative error, for instance 1e-4")


@dataclass(frozen=True)
class Improved:
    """What came of a search.

    Attributes:
        record: everything that is known: labels from before, then the calls in order.
        known: number of labels from before.
        best: indices of the best structures, no two of them near-duplicates, by rising misfit.
        misfit: of every structure; infinite where the simulator failed.
        rounds: calls at the end of each round.
        spent: whether every call of the budget was made.
    """

    record: Calls
    known: int
    best: list[int]
    misfit: Float[np.ndarray, "n"]
    rounds: tuple[int, ...]
    spent: bool

    def curve(self, nth: int) -> Float[np.ndarray, "n"]:
        """Misfit of the ``nth`` best structure after each call, near-duplicates counted once; infinite before."""
        return nth_best(self.record.structures[self.known :], self.misfit[self.known :], nth)


def improve(
    target: Target,
    pool: Source,
    simulator: RecordedSimulator,
    workspace: Workspace,
    count: int = 1,
    numerics: ImproveNumerics | None = None,
    progress: Progress | None = None,
) -> Improved:
    """Search for ``count`` different structures that meet ``target`` within the simulator's budget.

    Args:
        target: the goals; each property one of the simulator's, or the phase fraction.
        pool: proposals: a generator, random fields, or structures that exist.
        simulator: keeps and counts the calls.
        workspace: where the surrogates of the rounds go, on what they are trained, and the seed.
        count: designs wanted; the search ends when so many are within the aim.
        numerics: how calls are spent.
        progress: told after each round.

    Raises:
        InputError: an unknown property, a pool of another dimension or without structures, or no call that worked.
    """
    search = _Search(target, pool, simulator, workspace, count, numerics or ImproveNumerics())
    spent = False
    try:
        search.begin()
        while not search.finished:
            search.round()
            if progress is not None:
                progress(len(search.rounds), simulator.count, search.best_misfits())
    except BudgetSpent:
        spent = True
    return search.result(spent)


def nth_best(
    structures: Float[Tensor, "n *grid"], misfit: Float[np.ndarray, "n"], nth: int, near: float = NEAR
) -> Float[np.ndarray, "n"]:
    """Misfit of the ``nth`` best of the first 1, 2, … n structures, near-duplicates counted once; infinite before."""
    apart = pixel_distance(structures, structures).numpy() > near
    curve = np.full(len(misfit), np.inf)
    for end in range(1, len(misfit) + 1):
        chosen = _first_apart(apart, np.argsort(misfit[:end], kind="stable"), nth)
        if len(chosen) == nth:
            curve[end - 1] = misfit[chosen[-1]]
    return curve


def _first_apart(apart: np.ndarray, order: np.ndarray, count: int) -> list[int]:
    """The first ``count`` of an order of preference, each ``apart`` from all before it."""
    chosen: list[int] = []
    for index in order:
        if len(chosen) == count:
            break
        if apart[index, chosen].all():
            chosen.append(int(index))
    return chosen


class _Search:
    """The state of ``improve``; everything in it follows from the seed and the simulator's answers."""

    def __init__(
        self,
        target: Target,
        pool: Source,
        simulator: RecordedSimulator,
        workspace: Workspace,
        count: int,
        numerics: ImproveNumerics,
    ) -> None:
        names = [item.name for item in simulator.properties]
        target.check_known([*names, PHASE_FRACTION])
        _check_pool(pool, simulator, count)
        self.target, self.pool, self.simulator, self.workspace = target, pool, simulator, workspace
        self.count, self.numerics = count, numerics
        self.columns = [None if name == PHASE_FRACTION else names.index(name) for name in target.properties]
        self.rounds: list[int] = []
        self.drawn = 0  # proposals taken from the pool
        self.waiting = torch.zeros(0, *pool.grid)  # those that were not simulated yet
        self.stalled = 0  # rounds without a new call, one after the other
        self.exhausted: list[int] = []  # structures that such a round could not change

    # ------------------------------------------------------------------------------------------------ the turns

    def begin(self) -> None:
        """Simulate the first proposals, as many as known labels leave out."""
        known = self.simulator.known
        wanted = self.numerics.initial - (0 if known is None else len(known.usable))
        if wanted > 0:
            self.simulator.solve(self._proposals(wanted))
            self.rounds.append(self.simulator.count)

    @property
    def finished(self) -> bool:
        """Whether enough designs are within the aim, no call is left, or nothing new could be tried."""
        done = self.best_misfits()
        met = bool(len(done) == self.count and done[-1] <= self.numerics.aim)
        return met or self.simulator.count >= self.simulator.budget or self.stalled > PATIENCE

    def round(self) -> None:
        """Learn, propose, refine."""
        before = self.simulator.count
        surrogate = self._surrogate()
        proposed = self._proposed(surrogate)
        if len(proposed):
            self.simulator.solve(proposed)
        bases = self._unfinished()
        record = self.simulator.record()
        # the first solve of a refinement is that of the structure as it is: known, no call
        rounds = self.numerics.steps + 1
        numerics = RefinementNumerics(aim=self.numerics.aim, rounds=rounds, first_guess=(1.0, 1.0))
        if len(bases):
            refine(record.structures[bases], self.target, GuidedSolver(self.simulator, surrogate), numerics=numerics)
        if self.simulator.count == before:
            self.exhausted += bases
        self.stalled = self.stalled + 1 if self.simulator.count == before else 0
        self.rounds.append(self.simulator.count)

    def result(self, spent: bool) -> Improved:
        record = self.simulator.record()
        misfit = self._misfits(record)
        if not np.isfinite(misfit).any():
            raise InputError(
                f"simulator: none of {len(record)} calls gave a value; look at `failures` under {self.simulator.folder}"
            )
        known = len(record) - self.simulator.count
        best = self._best(record, misfit, self.count)
        spent = spent or self.simulator.count >= self.simulator.budget
        return Improved(record, known, best, misfit, tuple(self.rounds), spent)

    # ------------------------------------------------------------------------------------------------ learning

    def _surrogate(self) -> SurrogateSolver:
        """A surrogate of all that is known; the one of an earlier run where it learnt the same."""
        from microwright.physics.surrogate.training import Examples, Origin, train_surrogate

        structures, values = self._labels()
        stage = f"surrogate-{len(self.rounds):03d}"
        folder = self.workspace.folder / stage
        origin = Origin(self.simulator.properties, self.simulator.spec(), f"{len(values)} labels")
        if folder.exists():
            kept = SurrogateSolver.load(folder)
            if kept.card.training["data"] == origin.data:
                return kept
        none = Examples(structures[:0], values[:0])
        options = self.workspace.trainer(f"{stage}.checkpoints")
        learnt = Examples(structures, values)
        training = self.numerics.training
        seed = self.workspace.seed + len(self.rounds)
        return train_surrogate(folder, learnt, none, none, origin, training, options, seed)

    def _labels(self) -> tuple[Tensor, Tensor]:
        """Structures and values of everything that is known."""
        record = self.simulator.record()
        if len(record.usable) < 2:
            raise InputError(
                f"simulator: {len(record.usable)} of {len(record)} calls gave a value; look at `failures` under "
                f"{self.simulator.folder}, or allow more initial calls"
            )
        return record.structures[record.usable], record.values[record.usable]

    # ------------------------------------------------------------------------------------------------ choosing

    def _unfinished(self) -> list[int]:
        """The best structures that missed the aim, among those that would be the designs if the search ended now."""
        record = self.simulator.record()
        misfit = self._misfits(record)
        best = self._best(record, misfit, self.count + len(self.exhausted))
        missed = [index for index in best if misfit[index] > self.numerics.aim and index not in self.exhausted]
        return missed[: self.numerics.refined]

    def _proposed(self, surrogate: SurrogateSolver) -> Float[Tensor, "bases *grid"]:
        """What the members hold best together, what one of them does, and so on in turn; the others wait."""
        pool = torch.cat([self.waiting, self._proposals(self.numerics.pool)])
        pool = pool[[not known for known in self.simulator.knows(pool)]]
        if len(pool) == 0:
            return pool
        with torch.no_grad():
            said = surrogate.members(pool)
        misfits = [self.target.misfit(self._goals(pool, member)) for member in said.unbind(1)]
        nearest = torch.stack(misfits).mean(0).argsort(stable=True).tolist()
        orders = [order for misfit in misfits for order in (nearest, misfit.argsort(stable=True).tolist())]
        chosen: list[int] = []
        for turn in range(min(self.numerics.proposals, len(pool))):
            order = orders[turn % len(orders)]
            chosen.append(next(index for index in order if index not in chosen))
        self.waiting = pool[[index for index in nearest if index not in chosen][: self.numerics.pool]]
        return pool[chosen]

    def _proposals(self, count: int) -> Float[Tensor, "n *grid"]:
        """The next structures of the pool; fewer, or none, where it ends."""
        end = self.drawn + count if self.pool.length is None else min(self.drawn + count, self.pool.length)
        start, self.drawn = self.drawn, end
        return self.waiting[:0] if start == end else self.pool.samples(start, end).structures.float()

    # ------------------------------------------------------------------------------------------------ judging

    def best_misfits(self) -> Float[np.ndarray, "designs"]:
        """Misfits of the best different structures so far, rising."""
        record = self.simulator.record()
        misfit = self._misfits(record)
        return misfit[self._best(record, misfit, self.count)]

    def _best(self, calls: Calls, misfit: Float[np.ndarray, "n"], count: int) -> list[int]:
        """The best structures, no two of them near-duplicates."""
        order = [index for index in np.argsort(misfit, kind="stable").tolist() if np.isfinite(misfit[index])]
        return choose_distinct(calls.structures, order, count)

    def _misfits(self, calls: Calls) -> Float[np.ndarray, "n"]:
        """Misfit of every call; infinite where the simulator failed."""
        misfit = self.target.misfit(self._goals(calls.structures, calls.values)).numpy()
        return np.where(np.isfinite(misfit) & (calls.status.numpy() == int(Status.CONVERGED)), misfit, np.inf)

    def _goals(self, structures: Tensor, values: Tensor) -> Float[Tensor, "n goals"]:
        """The goals' properties; the phase fraction is counted."""
        return goal_values(structures, Solution.exact(values), self.columns)


def _check_pool(pool: Source, simulator: RecordedSimulator, count: int) -> None:
    if len(pool.grid) != simulator.dimensions:
        raise InputError(
            f"structures: {len(pool.grid)}-D grid {pool.grid}, the simulator works in {simulator.dimensions}-D; "
            "choose other structures"
        )
    if count < 1:
        raise InputError(f"count: {count} structures cannot be designed; ask for at least 1")
    known = simulator.known
    if known is not None and tuple(known.structures.shape[1:]) != tuple(pool.grid):
        raise InputError(
            f"data: labels of grid {tuple(known.structures.shape[1:])}, proposals of {tuple(pool.grid)}; resample one"
        )


__all__ = ["ImproveNumerics", "Improved", "improve", "nth_best"]
