r"""Improve: designs for a target from few calls of a simulator that has no gradient.

Each round

1. *learns*: a small convolutional ensemble from every call so far and from labels that were there before (again when
   half as much again is known), and a Gaussian process on what it leaves, which knows how kin compare
   (`microwright.improve.posterior`);
2. *varies*: new structures of the pool, level-set moves of the best structures, paths between kin on either side of the
   target, and, from designs that have met it, moves far enough to be other designs (`microwright.improve.moves`);
3. *calls* the simulator for the variation x of the least expected squared misfit E[m(y(x))²], y(x) Gaussian: for a
   single wanted value t that is (E y − t)² + Var y, so that a first call is spent where the target is likely, the next
   along the secant, and the last between two structures that differ in a few pixels. Designs that are within the aim
   are let be; where the calls that are left would not do for the missing ones, a coarser aim serves, so that a budget
   gives as many different structures as were asked for.

Every call is kept (`microwright.improve.recording`), counts once, and teaches the next round. The same call of
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
from microwright.design.refinement import goal_values
from microwright.design.targets import PHASE_FRACTION, Target
from microwright.errors import InputError
from microwright.improve.moves import crossings, level_moves, recombinations
from microwright.improve.posterior import Kinship, Posterior
from microwright.improve.recording import BudgetSpent, Calls, RecordedSimulator
from microwright.methods.workspace import Workspace
from microwright.physics.property import Solution, Status
from microwright.physics.surrogate.settings import SurrogateTraining
from microwright.physics.surrogate.solver import SurrogateSolver

#: growth of what is known after which the ensemble learns again, and share of the pool that waits until then
GROWTH, WAITING = 1.5, 0.25
#: largest share of the pixels that a level-set move flips, and that kin differ in
FAR, KIN = 0.08, 0.15
#: kin whose moves are recombined, and kin that each structure is crossed with
COMBINED, PARTNERS = 12, 3
#: designs that a round starts others from
PARENTS = 4
#: calls that each missing design is to have left, and the coarsest aim that is set for the sake of it
PACE, COARSEST = 2.0, 0.05
#: draws of the properties that an expected misfit is the mean of
DRAWS = 16
#: most labels that the Gaussian process holds, and most pixels of all of them together
HELD, HELD_PIXELS = 500, 2**24
#: told after each round: its number, calls so far, and the designs' misfits in rising order
Progress = Callable[[int, int, Float[np.ndarray, "designs"]], None]


@dataclass(frozen=True)
class ImproveNumerics:
    """How a search spends its calls.

    Attributes:
        initial: proposals that are simulated before anything is learnt, where there are no labels to begin with.
        together: calls of a round; they can be made side by side, but none learns from the other.
        pool: structures of the pool that a round chooses from.
        bases: structures that a round varies.
        moves: variations of each.
        apart: share of pixels, at any translation, in which two designs differ at least.
        aim: misfit (relative error) at which a structure is a design.
        training: of the surrogates; all calls are learnt from, none kept for calibration.
    """

    initial: int = 6
    together: int = 1
    pool: int = 256
    bases: int = 6
    moves: int = 48
    apart: float = NEAR
    aim: float = 1.5e-4
    training: SurrogateTraining = field(
        default_factory=lambda: SurrogateTraining(steps=240, batch=24, calibration=0.0, test=0.0)
    )

    def __post_init__(self) -> None:
        if self.initial < 2 or min(self.together, self.pool, self.bases, self.moves) < 1:
            raise InputError("improve: at least 2 initial calls; together, pool, bases and moves of at least 1")
        if not NEAR <= self.apart <= 0.5:
            raise InputError(f"improve: apart {self.apart}; give a share of the pixels from {NEAR:g} to 0.5")
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
        self.surrogate: SurrogateSolver | None = None
        self.learnt = 0  # labels that it learnt from
        self.stuck = False  # whether nothing new could be tried
        first = numerics.initial if pool.length is None else min(numerics.initial, pool.length)
        self.kinship = Kinship(pool.samples(0, first).structures)

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
        return met or self.simulator.count >= self.simulator.budget or self.stuck

    def round(self) -> None:
        """Learn, vary, call."""
        posterior = self._learnt()
        chosen = self._chosen(posterior)
        if chosen:
            self.simulator.solve(torch.stack(chosen))
        self.stuck = not chosen
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

    def _learnt(self) -> Posterior:
        """What all labels say of a structure; new proposals come with a new surrogate."""
        structures, values = self._labels()
        surrogate = self.surrogate
        if surrogate is None or len(values) >= GROWTH * self.learnt:
            surrogate, self.learnt = self._surrogate(structures, values), len(values)
        held = self._nearest(structures, values)
        posterior = Posterior(surrogate, structures[held], values[held], self.kinship)
        if surrogate is not self.surrogate:
            self.surrogate = surrogate
            pool = torch.cat([self.waiting, self._proposals(self.numerics.pool)])
            best = self._expected(pool, posterior).argsort(stable=True)
            self.waiting = pool[best[: max(1, round(WAITING * self.numerics.pool))]]
        return posterior

    def _nearest(self, structures: Tensor, values: Tensor) -> Tensor:
        """Labels that the Gaussian process can hold, those nearest to the target first."""
        misfit = self.target.misfit(self._goals(structures, values))
        return misfit.argsort(stable=True)[: min(HELD, max(32, HELD_PIXELS // structures[0].numel()))]

    def _surrogate(self, structures: Tensor, values: Tensor) -> SurrogateSolver:
        """A surrogate of these labels; the one of an earlier run where it learnt the same."""
        from microwright.physics.surrogate.training import Examples, Origin, train_surrogate

        stage = f"surrogate-{len(values):05d}"
        folder = self.workspace.folder / stage
        if folder.exists():
            return SurrogateSolver.load(folder)
        origin = Origin(self.simulator.properties, self.simulator.spec(), f"{len(values)} labels")
        none = Examples(structures[:0], values[:0])
        options = self.workspace.trainer(f"{stage}.checkpoints")
        learnt = Examples(structures, values)
        seed = self.workspace.seed + len(values)
        return train_surrogate(folder, learnt, none, none, origin, self.numerics.training, options, seed)

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

    def _chosen(self, posterior: Posterior) -> list[Float[Tensor, "*grid"]]:
        """The variations of the least expected misfit, none near a design or near one another."""
        record = self.simulator.record()
        misfit = self._misfits(record)
        done = self._designs(record, misfit)
        variations, clearance = self._variations(record, misfit, done)
        new = [not known for known in self.simulator.knows(variations)]
        variations, clearance = variations[new], clearance[new]
        order = self._expected(variations, posterior).argsort(stable=True)
        taken, chosen = record.structures[done], list[Tensor]()
        for index in order.tolist():
            if len(chosen) == self.numerics.together:
                break
            if _apart(variations[index], taken, float(clearance[index])):
                chosen.append(variations[index])
                taken = torch.cat([taken, variations[index][None]])
        return chosen

    def _designs(self, record: Calls, misfit: Float[np.ndarray, "n"]) -> list[int]:
        """Structures that are let be: within the aim, or a coarser one where the others would get too few calls."""
        left, aim = self.simulator.budget - self.simulator.count, self.numerics.aim
        while True:
            done = self._best(record, np.where(misfit <= aim, misfit, np.inf), self.count)
            if self.count - len(done) <= max(1, left / PACE) or aim >= COARSEST:
                return done
            aim *= 2

    def _variations(
        self, record: Calls, misfit: Float[np.ndarray, "n"], done: list[int]
    ) -> tuple[Float[Tensor, "variations *grid"], Float[Tensor, "variations"]]:
        """Proposals of the pool, moves of the best structures and between them, and moves away from designs.

        With each the distance that it must keep from the designs: what begins at a design goes twice as far as designs
        are apart, so that the steps that follow do not lead back.
        """
        random = np.random.default_rng([self.workspace.seed, len(record)])
        known, moves = record.structures.to(torch.uint8).numpy(), self.numerics.moves
        found: list[np.ndarray] = []
        for index in self._bases(record, misfit, done):
            found += level_moves(known[index], moves, (1 / known[index].size, FAR), random)
            kin = self._kin(record, index)
            found += recombinations(known[index], [known[i] for i in kin[:COMBINED]], moves, random)
            for other in self._across(record, index, kin)[:PARTNERS]:
                found += crossings(known[index], known[other], moves // 2, random)
        near, far = len(self.waiting) + len(found), 2 * self.numerics.apart
        for index in random.permutation(done)[:PARENTS]:
            found += level_moves(known[index], moves, (far, max(FAR, 2 * far)), random)
        varied = torch.from_numpy(np.stack(found)).float() if found else self.waiting[:0]
        clearance = torch.full((len(self.waiting) + len(found),), self.numerics.apart)
        clearance[near:] = far
        return torch.cat([self.waiting, varied]), clearance

    def _bases(self, record: Calls, misfit: Float[np.ndarray, "n"], done: list[int]) -> list[int]:
        """The best structures that are no designs yet, and near none."""
        bases: list[int] = []
        for index in np.argsort(misfit, kind="stable").tolist():
            if len(bases) == self.numerics.bases or not np.isfinite(misfit[index]):
                break
            if index not in done and _apart(record.structures[index], record.structures[done], self.numerics.apart):
                bases.append(index)
        return bases

    def _kin(self, record: Calls, index: int) -> list[int]:
        """Calls that differ from one of them in few pixels, the nearest first."""
        changed = (record.structures != record.structures[index]).flatten(1).double().mean(1)
        order = changed.argsort(stable=True)
        return order[(changed[order] > 0) & (changed[order] < KIN)].tolist()

    def _across(self, record: Calls, index: int, kin: list[int]) -> list[int]:
        """Those of its kin that have a property on the other side of what is wanted."""
        centres = torch.tensor([sum(goal.accepted) / 2 for goal in self.target.goals], dtype=torch.float64)
        beyond = self._goals(record.structures, record.values) - centres
        return [other for other in kin if (beyond[other] * beyond[index] < 0).any()]

    def _expected(self, structures: Float[Tensor, "n *grid"], posterior: Posterior) -> Float[Tensor, "n"]:
        """Expected squared misfit; the draws are of mean zero and variance one, so that a single value's is exact."""
        mean, spread = posterior(structures)
        half = torch.randn((DRAWS // 2, 1, mean.shape[1]), generator=torch.Generator().manual_seed(0)).double()
        half = half / half.square().mean(0).sqrt()
        drawn = torch.cat([mean + half * spread, mean - half * spread])
        return torch.stack([self.target.misfit(self._goals(structures, values)) for values in drawn]).square().mean(0)

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
        return choose_distinct(calls.structures, order, count, self.numerics.apart)

    def _misfits(self, calls: Calls) -> Float[np.ndarray, "n"]:
        """Misfit of every call; infinite where the simulator failed."""
        misfit = self.target.misfit(self._goals(calls.structures, calls.values)).numpy()
        return np.where(np.isfinite(misfit) & (calls.status.numpy() == int(Status.CONVERGED)), misfit, np.inf)

    def _goals(self, structures: Tensor, values: Tensor) -> Float[Tensor, "n goals"]:
        """The goals' properties; the phase fraction is counted."""
        return goal_values(structures, Solution.exact(values), self.columns)


def _apart(structure: Float[Tensor, "*grid"], others: Float[Tensor, "n *grid"], share: float) -> bool:
    """Whether a structure differs in more than ``share`` of the pixels from each of ``others``, at any translation."""
    if len(others) == 0:
        return True
    unmoved = (others != structure).flatten(1).double().mean(1)  # most that are near are so without a translation
    return float(unmoved.min()) > share and float(pixel_distance(structure[None], others).min()) > share


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
