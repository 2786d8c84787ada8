"""A solver whose work is done by the workers of a Dask scheduler: verification, certification, gradients.

The batch goes out in parts of a few structures; what comes back is the same as the solver itself would have given.
Where gradient is asked for, the workers send the derivatives of every property by every pixel with the values, and the
chain rule is applied here.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from microwright.data.labelling import solve_each
from microwright.physics.property import Property, Solution, Solver

if TYPE_CHECKING:
    from distributed import Client

#: parts of a batch for each thread of the cluster, so that fast workers take more of them
PARTS_PER_THREAD = 2

#: a part's place in the batch, and its structures
Part = tuple[int, Tensor]
#: a part's place, its solution, and the derivatives of its values where they were asked for
Answer = tuple[int, Solution, Tensor | None]


@contextmanager
def working_on(solver: Solver, scheduler: str | None, timeout: float = 30.0) -> Iterator[Solver]:
    """``solver`` with its work done by the workers of ``scheduler``; itself where there is none.

    Raises:
        InputError: the scheduler does not answer or has no worker within ``timeout`` seconds, or goes away.
    """
    if scheduler is None:
        yield solver
        return
    from microwright.data.workers import connected

    with connected(scheduler, 1, timeout) as client:
        yield RemoteSolver(solver, client)


@dataclass(frozen=True)
class _Solve:
    """Solve a part; a structure that raises is FAILED, and the others are not."""

    solver: Solver
    tolerance: float | None = None

    def __call__(self, part: Part) -> Answer:
        solver, tolerance = self.solver, self.tolerance
        solve = solver.solve if tolerance is None else lambda batch: solver.certify(batch, tolerance)
        solution, log = solve_each(solve, part[1], len(solver.properties))
        return part[0], replace(solution, log=log), None


@dataclass(frozen=True)
class _Differentiate:
    """Solve a part, with the derivatives of each property by each pixel."""

    solver: Solver

    def __call__(self, part: Part) -> Answer:
        with torch.enable_grad():
            inputs = part[1].detach().clone().requires_grad_()
            solution = self.solver.solve(inputs)
            slopes = [
                torch.autograd.grad(column.sum(), inputs, retain_graph=True)[0] for column in solution.values.unbind(1)
            ]
        return part[0], replace(solution, values=solution.values.detach()), torch.stack(slopes, dim=1)


class RemoteSolver(Solver):
    """A solver like the one it is given, which computes on a cluster.

    Args:
        solver: what the workers run.
        client: of the cluster.
    """

    def __init__(self, solver: Solver, client: Client) -> None:
        self.solver = solver
        self.client = client
        self.dimensions = solver.dimensions
        self.differentiable = solver.differentiable

    @property
    def properties(self) -> tuple[Property, ...]:  # type: ignore[override]
        return self.solver.properties

    def spec(self) -> dict[str, Any]:
        return self.solver.spec()

    def solve(self, structures: Float[Tensor, "batch *grid"]) -> Solution:
        if not (structures.requires_grad and torch.is_grad_enabled() and self.differentiable):
            return self._gathered(_Solve(self.solver), structures)[0]
        kept: list[Solution] = []
        values = _Values.apply(structures, self, kept)
        return replace(kept[0], values=values)

    def certify(self, structures: Float[Tensor, "batch *grid"], tolerance: float) -> Solution:
        return self._gathered(_Solve(self.solver, tolerance), structures)[0]

    def _gathered(self, work: Callable[[Part], Answer], structures: Tensor) -> tuple[Solution, Tensor | None]:
        """The parts' answers in the order of the batch."""
        from microwright.data.workers import run_tasks

        threads = max(1, sum(self.client.nthreads().values()))
        pieces = structures.detach().cpu().tensor_split(min(PARTS_PER_THREAD * threads, max(1, len(structures))))
        name = f"microwright-{uuid.uuid4().hex}"
        answers = sorted(run_tasks(self.client, work, enumerate(pieces), name), key=lambda answer: answer[0])
        slopes = [answer[2] for answer in answers if answer[2] is not None]
        return Solution.concatenate([answer[1] for answer in answers]), torch.cat(slopes) if slopes else None


class _Values(torch.autograd.Function):
    """Values from a cluster as a function of the structures; the Jacobian comes with them."""

    @staticmethod
    def forward(ctx: Any, structures: Tensor, solver: RemoteSolver, kept: list[Solution]) -> Tensor:
        solution, slopes = solver._gathered(_Differentiate(solver.solver), structures)
        assert slopes is not None
        kept.append(solution)
        ctx.save_for_backward(slopes.to(structures.device))
        return solution.values.to(structures.device)

    @staticmethod
    def backward(ctx: Any, *weights: Tensor) -> tuple[Tensor, None, None]:
        (slopes,) = ctx.saved_tensors
        return torch.einsum("bp,bp...->b...", weights[0].to(slopes.dtype), slopes), None, None
