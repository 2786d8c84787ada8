"""Properties of batches: weighted sums over problems, chunk by chunk, with gradients that hold no matrices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from microwright.physics.optics.cell import OpticalCell
from microwright.physics.optics.numerics import RcwaNumerics
from microwright.physics.optics.problem import Problem, chunk_size


@dataclass(frozen=True)
class Term:
    """A contribution to the properties: a problem, and how much of each share of its response counts.

    Attributes:
        problem: the prepared cell.
        weights: shape (properties, columns of ``Response.table``).
    """

    problem: Problem
    weights: Float[Tensor, "properties columns"]

    def values(self, patterns: Tensor) -> Float[Tensor, "batch properties"]:
        return self.problem.response(patterns).table @ self.weights.to(patterns.device).T


def evaluate(terms: Sequence[Term], patterns: Float[Tensor, "batch channels x y"]) -> Float[Tensor, "batch properties"]:
    """Sum of the terms for every structure; the derivative is taken chunk by chunk, so that memory stays bounded."""
    chunks = patterns.split(chunk_size(terms[0].problem.numerics, patterns))
    if torch.is_grad_enabled() and patterns.requires_grad:
        return torch.cat([_EagerJacobian.apply(chunk, terms) for chunk in chunks])
    return torch.cat([_total(terms, chunk) for chunk in chunks])


def _total(terms: Sequence[Term], patterns: Tensor) -> Tensor:
    return torch.stack([term.values(patterns) for term in terms]).sum(0)


class _EagerJacobian(torch.autograd.Function):
    """Values whose few gradients are computed at once and kept instead of the matrices they come from."""

    @staticmethod
    def forward(ctx: Any, patterns: Tensor, terms: Sequence[Term]) -> Tensor:
        parts = [_values_and_jacobian(term, patterns) for term in terms]
        ctx.save_for_backward(torch.stack([slope for _, slope in parts]).sum(0))
        return torch.stack([value for value, _ in parts]).sum(0)

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor, None]:
        (jacobian,) = ctx.saved_tensors
        return torch.einsum("bp,pbcxy->bcxy", cotangent.to(jacobian), jacobian), None


def _values_and_jacobian(term: Term, patterns: Tensor) -> tuple[Tensor, Tensor]:
    """Values (batch, properties) and their gradients (properties, batch, channels, x, y)."""
    leaf = patterns.detach().requires_grad_()
    with torch.enable_grad():
        values = term.values(leaf)
        last = values.shape[1] - 1
        rows = [torch.autograd.grad(values[:, i].sum(), leaf, retain_graph=i < last)[0] for i in range(last + 1)]
    return values.detach(), torch.stack(rows)


#: difference to double precision above which single precision is given up
SINGLE_TOLERANCE = 1e-4


def guarded_problem(cell: OpticalCell, numerics: RcwaNumerics, patterns: Tensor) -> Problem:
    """A problem of the precision asked for, or of double precision where single misses the probe on two structures."""
    problem = Problem(cell, numerics, patterns.device)
    if numerics.precision == "double":
        return problem
    with torch.no_grad():
        exact = Problem(cell, replace(numerics, precision="double"), patterns.device)
        probe = patterns[:: max(1, len(patterns) - 1)][:2]
        missed = max(float((problem.response(p).table - exact.response(p).table).abs().max()) for p in probe.split(1))
    return problem if missed <= SINGLE_TOLERANCE else exact
