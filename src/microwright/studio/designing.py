"""A request on its way, told stage by stage: first samples at once, progress, and the designs at the end."""

from __future__ import annotations

import math
import queue
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from microwright.design.designer import Designer
from microwright.design.exact import Request, direct_designs, exact_designs
from microwright.design.outcome import Outcome
from microwright.design.refinement import Progress
from microwright.physics.property import Solution, Solver
from microwright.studio.session import Job, Stopped

#: pixels that are solved before the first picture is shown, and between two looks at the Cancel button
FIRST_PIXELS, CHUNK_PIXELS = 200_000, 65_536
#: seconds between two looks at what refinement has to say
TICK = 0.2


@dataclass(frozen=True)
class Stage:
    """What there is to show.

    Attributes:
        message: one line.
        share: of the work that is done, 0 to 1.
        outcome: the designs so far; None before the first.
        final: whether nothing comes after it.
    """

    message: str
    share: float
    outcome: Outcome | None = None
    final: bool = False


def stages(designer: Designer, request: Request, refine: bool, job: Job) -> Iterator[Stage]:
    """The stages of a request; the last one holds the designs.

    Raises:
        InputError: as ``exact_designs``.
    """
    yield Stage("drawing samples …", 0.02)
    stoppable = replace(designer, solver=StoppableSolver(designer.solver, job))
    few = min(request.count, max(1, FIRST_PIXELS // math.prod(designer.method.card.grid)))
    try:
        first = direct_designs(stoppable, replace(request, count=few))
        if not refine and few == request.count:
            yield Stage(_told(first), 1.0, first, final=True)
            return
        yield Stage(f"{_samples(first)}; {'refining' if refine else 'solving the others'} …", 0.1, first)
    except Stopped:
        yield Stage(_why(job) + "; nothing was solved yet", 1.0, final=True)
        return
    yield from _watched(stoppable, request, refine, job, first)


def _watched(designer: Designer, request: Request, refine: bool, job: Job, first: Outcome) -> Iterator[Stage]:
    """The work in a thread, and what it says on its way."""
    said: queue.Queue[str] = queue.Queue()
    with ThreadPoolExecutor(1) as pool:
        if refine:
            future = pool.submit(exact_designs, designer, request, _teller(said, job))
        else:
            future = pool.submit(direct_designs, designer, request)
        try:
            yield from _told_rounds(future, said, request.refinement.rounds)
        finally:  # the visitor may have gone
            if not future.done():
                job.stop()
        try:
            outcome = future.result()
        except Stopped:
            outcome = replace(first, interrupted=True)
    ended = f"{_why(job)}: these are the designs as they were last solved; " if outcome.interrupted else ""
    yield Stage(ended + _told(outcome), 1.0, outcome, final=True)


def _told_rounds(future: Future[Outcome], said: queue.Queue[str], rounds: int) -> Iterator[Stage]:
    heard = 0
    while not future.done():
        try:
            message = said.get(timeout=TICK)
        except queue.Empty:
            continue
        heard += 1
        yield Stage(message, min(0.95, 0.1 + 0.85 * heard / rounds))


def _teller(said: queue.Queue[str], job: Job) -> Progress:
    def tell(number: int, misfit: Float[Tensor, "batch"]) -> None:
        job.check()
        finite = misfit[misfit.isfinite()]
        if len(finite):
            best, mean = 100 * float(finite.min()), 100 * float(finite.mean())
            said.put(f"round {number}: best error so far {best:.2g} %, mean {mean:.2g} %")

    return tell


def _why(job: Job) -> str:
    return f"stopped at the time limit of {job.seconds:g} s" if job.late else "cancelled"


def _samples(outcome: Outcome) -> str:
    return f"{len(outcome.designs)} samples of the method, solved"


def _told(outcome: Outcome) -> str:
    return f"{outcome.meeting} of {len(outcome.designs)} designs meet {outcome.target}"


class StoppableSolver(Solver):
    """A solver that looks at a job between small parts of its batch.

    Args:
        solver: does the work.
        job: may end it.
    """

    def __init__(self, solver: Solver, job: Job) -> None:
        self.solver, self.job = solver, job
        self.properties, self.dimensions = solver.properties, solver.dimensions

    def solve(self, structures: Float[Tensor, "batch *grid"]) -> Solution:
        """The inner solver's solution.

        Raises:
            Stopped: the job is to end.
        """
        return Solution.concatenate([self._solved(part) for part in structures.split(self._chunk(structures))])

    def certify(self, structures: Float[Tensor, "batch *grid"], tolerance: float) -> Solution:
        """The inner solver's certified solution.

        Raises:
            Stopped: the job is to end.
        """
        parts = []
        for part in structures.split(1):
            self.job.check()
            parts.append(self.solver.certify(part, tolerance))
        return Solution.concatenate(parts)

    def spec(self) -> dict[str, Any]:
        return self.solver.spec()

    def _solved(self, part: Tensor) -> Solution:
        self.job.check()
        return self.solver.solve(part)

    @staticmethod
    def _chunk(structures: Tensor) -> int:
        return max(1, CHUNK_PIXELS // max(1, structures[0].numel()))


def solved(solver: Solver, structures: Float[Tensor, "batch *grid"], job: Job) -> Solution:
    """``solver.solve`` without gradients, which the job may end.

    Raises:
        Stopped: the job is to end.
    """
    with torch.no_grad():
        return StoppableSolver(solver, job).solve(structures)
