"""Iterative linear solvers shared by the physics: batched, matrix-free, each with what is known of its error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Complex, Float, Int
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

    The quantity sought is the energy J(x) = J(0) - 2 b^T x + x^T A x at its minimum. At the iterate x it is too large
    by exactly the squared error in the energy norm, for which the Gauss-Radau quadrature behind the iteration gives
    an upper bound from the smallest eigenvalue mu of the preconditioned matrix (Meurant & Tichy, Numer. Algorithms
    62, 2013), at the price of a few scalars:

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
        x.addcmul_(_spread(alpha, p), p)
        r.addcmul_(_spread(-alpha, q), q)
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


@dataclass(frozen=True)
class KrylovSolution:
    """Outcome of a solver of complex systems, one entry per system.

    Attributes:
        x: the solutions.
        residual: norm of b - A x, computed afresh at the end, relative to that of b.
        iterations: products with A until the system met its tolerance.
        converged: whether it met it.
    """

    x: Complex[Tensor, "batch *field"]
    residual: Float[Tensor, "batch"]
    iterations: Int[Tensor, "batch"]
    converged: Bool[Tensor, "batch"]


@dataclass(frozen=True)
class Watch:
    """A wanted value that may end the iteration before the residual does.

    A system whose residual is below ``slack`` times the tolerance stops when its value has moved by less than
    ``tolerance`` at two checks in a row.

    Attributes:
        value: the wanted value of each system at its present x.
        tolerance: absolute change that does not matter.
        slack: how far above the tolerance of the residual the value is listened to.
    """

    value: Callable[[Tensor], Float[Tensor, "batch"]]
    tolerance: float
    slack: float = 10.0


#: iterations between two looks at the residual: each look makes the processor wait for the accelerator
CHECK_EVERY = 4


def conjugate_residuals(
    apply: Callable[[Tensor], Tensor],
    rhs: Complex[Tensor, "batch *field"],
    *,
    tolerance: float,
    max_iterations: int,
    guess: Complex[Tensor, "batch *field"] | None = None,
    watch: Watch | None = None,
) -> KrylovSolution:
    """Solve a batch of complex *symmetric* systems A x = b (A equal to its transpose, not its conjugate transpose).

    Conjugate orthogonal conjugate residuals (Sogabe & Zhang, J. Comput. Appl. Math. 199, 297, 2007): the recurrence of
    conjugate residuals with the bilinear form (u, v) = sum u v in the place of the inner product. One product with A
    and five vectors, whatever the number of iterations: GMRES spends most of its time on orthogonalisation instead.
    The recurrence can break down (the form of a vector with itself may vanish) or drift in single precision: it is
    then started afresh from where it stands, as long as that helps.

    Args:
        apply: x -> A x, batched.
        rhs: b.
        tolerance: residual relative to b at which a system has converged.
        max_iterations: products with A at which to give up.
        guess: where to start; zero if not given.
        watch: a wanted value that may end the iteration earlier.
    """
    return _restarted(_conjugate_residual_sweep, apply, rhs, tolerance, max_iterations, guess, watch)


def stabilised_biconjugate_gradients(
    apply: Callable[[Tensor], Tensor],
    rhs: Complex[Tensor, "batch *field"],
    *,
    tolerance: float,
    max_iterations: int,
    guess: Complex[Tensor, "batch *field"] | None = None,
    watch: Watch | None = None,
) -> KrylovSolution:
    """Solve a batch of complex systems A x = b of any kind by BiCGStab(l), l = ``STABILISATION``.

    Sleijpen & Fokkema, Electron. Trans. Numer. Anal. 1, 11 (1993): l steps of biconjugate gradients, then the residual
    is minimised over a polynomial of degree l. Two products per step and 2 l + 3 vectors. Arguments as in
    ``conjugate_residuals``.
    """
    return _restarted(_stabilised_sweep, apply, rhs, tolerance, max_iterations, guess, watch)


#: degree of the residual polynomial of BiCGStab(l)
STABILISATION = 4


@dataclass
class _Progress:
    """State of a batch of systems between and within sweeps; ``goal`` is the norm of the residual to reach."""

    x: Tensor
    r: Tensor
    goal: Tensor
    active: Tensor
    iterations: Tensor
    settled: Tensor
    watch: Watch | None
    value: Tensor | None = None
    calm: Tensor | None = None

    def look(self) -> bool:
        """Retire the systems that are done; whether any is left."""
        norm = _norm(self.r)
        self._look_at_value(norm)
        self.active &= (norm > self.goal) & ~self.settled & torch.isfinite(norm)
        return bool(self.active.any())

    def _look_at_value(self, norm: Tensor) -> None:
        if self.watch is None:
            return
        value = self.watch.value(self.x)
        calm = torch.zeros_like(self.settled)
        if self.value is not None and self.calm is not None:
            calm = (value - self.value).abs() < self.watch.tolerance
            self.settled |= self.active & calm & self.calm & (norm <= self.watch.slack * self.goal)
        self.value, self.calm = value, calm


def _restarted(
    sweep: Callable[[Callable[[Tensor], Tensor], _Progress, int], None],
    apply: Callable[[Tensor], Tensor],
    rhs: Tensor,
    tolerance: float,
    max_iterations: int,
    guess: Tensor | None,
    watch: Watch | None,
) -> KrylovSolution:
    """Sweeps, each from the true residual of the last, until every system is done or none gains any more."""
    scale = _norm(rhs).clamp_min(torch.finfo(rhs.real.dtype).tiny)
    none = torch.zeros(len(rhs), dtype=torch.bool, device=rhs.device)
    x = torch.zeros_like(rhs) if guess is None else guess.clone()
    r = rhs.clone() if guess is None else rhs - apply(x)
    state = _Progress(x, r, tolerance * scale, ~none, none.to(torch.int64), none, watch)
    last = torch.full_like(scale, torch.inf)
    while True:
        norm = _norm(state.r)
        finished = (norm <= state.goal) | state.settled
        state.active = ~finished & (norm < 0.5 * last)
        budget = max_iterations - int(state.iterations.max())
        if budget <= 0 or not bool(state.active.any()):
            return KrylovSolution(state.x, (norm / scale).to(torch.float64), state.iterations, finished)
        last, state.value, state.calm = norm, None, None
        sweep(apply, state, budget)
        state.r = rhs - apply(state.x)


def _conjugate_residual_sweep(apply: Callable[[Tensor], Tensor], state: _Progress, budget: int) -> None:
    x, r = state.x, state.r
    ar = apply(r)
    p, ap, rho = r.clone(), ar, _bilinear(r, ar)
    for step in range(1, budget + 1):
        alpha = _spread(_or_zero(rho / _bilinear(ap, ap), state.active), x)
        x.addcmul_(alpha, p)
        r.addcmul_(-alpha, ap)
        state.iterations += state.active
        if step % CHECK_EVERY == 0 and not state.look():
            return
        ar = apply(r)
        previous, rho = rho, _bilinear(r, ar)
        beta = _spread(_or_zero(rho / previous, state.active), x)
        p = torch.addcmul(r, beta, p)
        ap = torch.addcmul(ar, beta, ap)


def _stabilised_sweep(apply: Callable[[Tensor], Tensor], state: _Progress, budget: int) -> None:
    x, residuals = state.x, [state.r]
    shadow = state.r.conj().clone()
    directions = [torch.zeros_like(state.r)]
    one = torch.ones(len(x), dtype=x.dtype, device=x.device)
    rho, alpha, omega = one, torch.zeros_like(one), one
    for _ in range(0, budget, 2 * STABILISATION):
        state.iterations += 2 * STABILISATION * state.active
        rho = -omega * rho
        for step in range(STABILISATION):
            previous, rho = rho, _bilinear(shadow, residuals[step])
            beta = _spread(_or_zero(alpha * rho / previous, state.active), x)
            directions = [torch.addcmul(r, -beta, u) for r, u in zip(residuals, directions, strict=True)]
            directions.append(apply(directions[-1]))
            alpha = _or_zero(rho / _bilinear(shadow, directions[-1]), state.active)
            for r, u in zip(residuals, directions[1:], strict=True):
                r.addcmul_(-_spread(alpha, x), u)
            residuals.append(apply(residuals[-1]))
            x.addcmul_(_spread(alpha, x), directions[0])
            # a system solved within a step would feed rounding errors to the next ones
            state.active = state.active & (_norm(residuals[0]) > state.goal)
        weights = _minimising(residuals, state.active)
        omega = weights[-1]
        for weight, r, u in zip(weights, residuals, directions[1:], strict=False):
            x.addcmul_(_spread(weight, x), r)
            directions[0].addcmul_(-_spread(weight, x), u)
        for weight, r in zip(weights, residuals[1:], strict=True):
            residuals[0].addcmul_(-_spread(weight, x), r)
        state.r, residuals, directions = residuals[0], residuals[:1], directions[:1]
        if not state.look():
            return


def _minimising(residuals: list[Tensor], active: Tensor) -> list[Tensor]:
    """The weights w that make |r₀ − Σ w_i r_i| smallest."""
    r = torch.stack([v.flatten(1) for v in residuals], 1)
    gram = torch.stack([(v.conj()[:, None] * r).sum(2) for v in r[:, 1:].unbind(1)], 1).to(torch.complex128)
    weights = torch.linalg.pinv(gram[:, :, 1:]) @ gram[:, :, :1]
    return [_or_zero(w.to(r.dtype), active) for w in weights[..., 0].unbind(1)]


def _bilinear(a: Complex[Tensor, "batch *field"], b: Complex[Tensor, "batch *field"]) -> Complex[Tensor, "batch"]:
    return (a * b).flatten(1).sum(1)


def _norm(a: Complex[Tensor, "batch *field"]) -> Float[Tensor, "batch"]:
    return torch.linalg.vector_norm(a.flatten(1), dim=1)


def _or_zero(factors: Complex[Tensor, "batch"], active: Bool[Tensor, "batch"]) -> Complex[Tensor, "batch"]:
    """The factors of the active systems; zero, which leaves a system as it is, for the others and on a breakdown."""
    return torch.where(active & torch.isfinite(factors.real) & torch.isfinite(factors.imag), factors, 0)
