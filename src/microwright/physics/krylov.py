"""Iterative linear solvers shared by the physics: batched, matrix-free, each with what is known of its error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True)
class CgSolution:
    """Outcome of ``conjugate_gradients``, one entry per system.

    Attributes:
        x: the solutions.
        energy: energy of the solution, the zero guess's minus what the iterations gained.
        error: upper bound of the squared error in the energy norm, (x - x*)^T A (x - x*).
        residual: residual relative to the right-hand side, in the preconditioner's norm.
        iterations: iterations until the system met its tolerance.
        converged: whether it met it.
    """

    x: Float[Tensor, "batch *field"]
    energy: Float[Tensor, "batch"]
    error: Float[Tensor, "batch"]
    residual: Float[Tensor, "batch"]
    iterations: Int[Tensor, "batch"]
    converged: Bool[Tensor, "batch"]


def conjugate_gradients(
    apply: Callable[[Tensor], Tensor],
    precondition: Callable[[Tensor], Tensor],
    rhs: Float[Tensor, "batch *field"],
    *,
    energy: Float[Tensor, "batch"],
    smallest_eigenvalue: float,
    tolerance: float,
    max_iterations: int,
) -> CgSolution:
    """Solve a batch of symmetric positive definite systems A x = b until their *energy* is known well enough.

    The quantity sought is the energy J(x) = J(0) - 2 b^T x + x^T A x at its minimum. At the iterate x it is too large by
    exactly the squared error in the energy norm, for which the Gauss-Radau quadrature behind the iteration gives an
    upper bound from the smallest eigenvalue mu of the preconditioned matrix (Meurant & Tichy, Numer. Algorithms 62,
    2013), at the price of a few scalars:

        e_k <= g_k rho_k,  g_{k+1} = (g_k - alpha_k) / (mu (g_k - alpha_k) + rho_{k+1} / rho_k),  g_0 = 1 / mu.

    A system stops when its bound is below ``tolerance`` times its energy.

    Args:
        apply: x -> A x, batched.
        precondition: r -> M r, an approximate inverse of A.
        rhs: b.
        energy: J(0) > 0.
        smallest_eigenvalue: mu, no larger than any eigenvalue of M A.
        tolerance: relative error of the energy at which a system has converged.
        max_iterations: where to give up.
    """
    x, r = torch.zeros_like(rhs), rhs.clone()
    z = precondition(r)
    p = z.clone()
    rho = start = _inner(r, z)
    energy = energy.to(torch.float64)
    radau = torch.full_like(rho, 1 / smallest_eigenvalue)
    bound = radau * rho
    iterations = torch.zeros(len(rhs), dtype=torch.int64, device=rhs.device)
    for _ in range(max_iterations):
        active = bound > tolerance * energy
        if not active.any():
            break
        q = apply(p)
        alpha = torch.where(active, rho / _inner(p, q), 0.0)
        x.add_(_spread(alpha, p) * p)
        r.sub_(_spread(alpha, q) * q)
        z = precondition(r)
        previous, rho = rho, torch.where(active, _inner(r, z), rho)
        ratio = torch.where(active, rho / previous, 0.0)
        p = torch.addcmul(z, _spread(ratio, p), p)
        energy = energy - alpha * previous
        # rounding can only bring the excess to zero or below: then 1 / mu, the bound without memory, holds
        excess = radau - alpha
        fresh = torch.where(excess > 0, excess / (smallest_eigenvalue * excess + ratio), 1 / smallest_eigenvalue)
        radau = torch.where(active, fresh, radau)
        bound = radau * rho
        iterations += active
    residual = (rho / start.clamp_min(torch.finfo(start.dtype).tiny)).sqrt()
    return CgSolution(x, energy, bound, residual, iterations, bound <= tolerance * energy)


def _inner(a: Float[Tensor, "batch *field"], b: Float[Tensor, "batch *field"]) -> Float[Tensor, "batch"]:
    return (a * b).flatten(1).sum(1).to(torch.float64)


def _spread(factors: Float[Tensor, "batch"], like: Float[Tensor, "batch *field"]) -> Tensor:
    return factors.to(like.dtype).view(-1, *(1 for _ in like.shape[1:]))
