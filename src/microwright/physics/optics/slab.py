r"""A patterned layer between dense admittances: no eigenvectors, products and solves alone.

With :math:`K = (K_x; K_y)`, :math:`K_\perp = (K_y; -K_x)` and the matrices of the permittivity,

.. math:: E' = A g, \quad g' = B E, \quad A = 1 - K \eta K^T, \quad B = K_\perp K_\perp^T - \mathrm{diag}(\varepsilon_x,
    \varepsilon_y), \quad X = AB = K_\perp K_\perp^T - \varepsilon + K\,(\eta K^T \varepsilon),

since :math:`K^T K_\perp = 0`: only η times (ε_x, ε_y) is a dense product. About its mid-plane the layer carries an even
mode :math:`E = C v`, :math:`g_\pm = \pm B v` and an odd mode :math:`E_\pm = \pm u`, :math:`A g = C u`, where
:math:`C = \Omega\coth(\Omega d/2)`, :math:`\Omega^2 = X`. As C is infinite where a mode resonates, it is kept as a
fraction :math:`C = N D^{-1}` (even: :math:`E = N v, g_\pm = \pm B D v`; odd: :math:`E_\pm = \pm D u, A g = N u`).

Gradients: nothing here is differentiated through a matrix factorisation. The dense matrices are computed without a
graph; ``Coth.apply`` then applies C to a few vectors, and its derivative

.. math:: \lambda^H\, dC\, z = h\, [w_0 \lambda^H dX\, z + \sum_k w_k p_k (R_k^H\lambda)^H dX\, (R_k z)],
    \quad \partial C/\partial h = X - C^2,

with the resolvents :math:`R_k = (h^2 X + p_k)^{-1}` at hand costs matrix-vector products alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Complex
from torch import Tensor

from microwright.physics.optics.coth import CothRational
from microwright.physics.optics.dense import Factorised, accretive_inverse, inverse
from microwright.physics.optics.films import Admittance
from microwright.physics.optics.formulations import PermittivityMatrices

Matrix = Complex[Tensor, "batch 2*orders columns"]


@dataclass(frozen=True)
class WaveNumbers:
    """Tangential wave numbers over k₀ of every order, as columns.

    Attributes:
        x: K_x, shape (orders, 1).
        y: K_y, shape (orders, 1).
    """

    x: Complex[Tensor, "orders 1"]
    y: Complex[Tensor, "orders 1"]


@dataclass(frozen=True)
class DiagonalLoad:
    """An admittance that couples the two components of an order, but no two orders.

    Attributes:
        xx, xy, yy: columns of shape (orders, 1).
    """

    xx: Complex[Tensor, "orders 1"]
    xy: Complex[Tensor, "orders 1"]
    yy: Complex[Tensor, "orders 1"]

    def __matmul__(self, m: Matrix) -> Matrix:
        top, bottom = halves(m)
        return torch.cat([self.xx * top + self.xy * bottom, self.xy * top + self.yy * bottom], -2)

    @property
    def mH(self) -> DiagonalLoad:  # noqa: N802, named as torch names it
        """The adjoint."""
        return DiagonalLoad(self.xx.conj(), self.xy.conj(), self.yy.conj())


Load = DiagonalLoad | Tensor
Solve = Callable[[Tensor], Tensor]


def diagonal_load(y: Admittance, directions: tuple[Tensor, Tensor], dtype: torch.dtype) -> DiagonalLoad:
    """Y_s 1 + (Y_p − Y_s) k̂k̂ᵀ with the unit vectors ``directions`` of K."""
    cosine, sine = directions
    difference = y.p - y.s
    parts = (y.s + difference * cosine**2, difference * cosine * sine, y.s + difference * sine**2)
    return DiagonalLoad(*(part.to(dtype).unsqueeze(-1) for part in parts))


def halves(m: Matrix) -> tuple[Tensor, Tensor]:
    """x and y components."""
    n = m.shape[-2] // 2
    return m[..., :n, :], m[..., n:, :]


@dataclass(frozen=True)
class Slab:
    """The operators A, B and X = AB of one patterned layer."""

    k: WaveNumbers
    epsilon: PermittivityMatrices

    def a(self, m: Matrix) -> Matrix:
        """A m."""
        top, bottom = halves(m)
        z = self.epsilon.inverse_z @ (self.k.x * top + self.k.y * bottom)
        return torch.cat([top - self.k.x * z, bottom - self.k.y * z], -2)

    def b(self, m: Matrix) -> Matrix:
        """B m."""
        top, bottom = halves(m)
        curl = self.k.y * top - self.k.x * bottom
        return torch.cat([self.k.y * curl - self.epsilon.x @ top, -self.k.x * curl - self.epsilon.y @ bottom], -2)

    def a_matrix(self, load: Load) -> Complex[Tensor, "batch 2*orders 2*orders"]:
        """A Y; without a product where Y is diagonal in the orders."""
        if isinstance(load, Tensor):
            return self.a(load)
        rows = torch.cat([self.k.x * load.xx + self.k.y * load.xy, self.k.x * load.xy + self.k.y * load.yy])
        z = torch.cat([self.epsilon.inverse_z, self.epsilon.inverse_z], -1) * rows.mT
        product = torch.cat([-self.k.x * z, -self.k.y * z], -2)
        n = len(load.xx)
        for row, column, part in ((0, 0, load.xx), (0, n, load.xy), (n, 0, load.xy), (n, n, load.yy)):
            product[..., row : row + n, column : column + n].diagonal(dim1=-2, dim2=-1).add_(part[:, 0])
        return product

    def x(self, m: Matrix) -> Matrix:
        """X m."""
        return self.a(self.b(m))

    @property
    def b_matrix(self) -> Complex[Tensor, "batch 2*orders 2*orders"]:
        """B, without a product."""
        return _minus_epsilon_plus_curl(self.k, self.epsilon)

    @property
    def x_matrix(self) -> Complex[Tensor, "batch 2*orders 2*orders"]:
        """X, with one product of η and (ε_x, ε_y)."""
        result = self.b_matrix
        n = len(self.k.x)
        z = self.epsilon.inverse_z @ torch.cat([self.k.x * self.epsilon.x, self.k.y * self.epsilon.y], -1)
        result[..., :n, :] += self.k.x * z
        result[..., n:, :] += self.k.y * z
        return result

    @property
    def parameters(self) -> tuple[Tensor, ...]:
        """The tensors that the operators depend on."""
        return self.k.x, self.k.y, self.epsilon.x, self.epsilon.y, self.epsilon.inverse_z

    @staticmethod
    def from_parameters(kx: Tensor, ky: Tensor, x: Tensor, y: Tensor, inverse_z: Tensor) -> Slab:
        return Slab(WaveNumbers(kx, ky), PermittivityMatrices(x, y, inverse_z))


def _minus_epsilon_plus_curl(k: WaveNumbers, epsilon: PermittivityMatrices) -> Tensor:
    n = len(k.x)
    result = epsilon.x.new_zeros(*epsilon.x.shape[:-2], 2 * n, 2 * n)
    result[..., :n, :n] = -epsilon.x
    result[..., n:, n:] = -epsilon.y
    curl = ((0, 0, k.y**2), (0, n, -k.x * k.y), (n, 0, -k.x * k.y), (n, n, k.x**2))
    for row, column, part in curl:
        result[..., row : row + n, column : column + n].diagonal(dim1=-2, dim2=-1).add_(part[:, 0])
    return result


class Coth:
    """N and D of one layer: dense without gradient, and applied to vectors with gradient.

    Attributes:
        n: N.
        d: D, or None for 1.
    """

    def __init__(self, layer: Slab, h: Tensor, rational: CothRational, accretive: bool) -> None:
        self.layer, self.rational = layer, rational
        self.h = h / 2**rational.halvings
        invert = [accretive_inverse if accretive else inverse for _ in rational.poles]
        if rational.beyond:
            invert[0] = inverse
        with torch.no_grad():
            self.squared = layer.x_matrix
            self.resolvents, c = _rational_coth(self.squared, self.h, rational, invert)
            self.levels = [c]
            self.factors: list[Factorised] = []
            for _ in range(rational.halvings - 1):
                self.factors.append(Factorised(c))
                c = (c + self.factors[-1].solve(self.squared)) / 2
                self.levels.append(c)
            self.d = c if rational.halvings else None
            self.n = (c @ c + self.squared) / 2 if rational.halvings else c

    @property
    def resonant(self) -> bool:
        """Whether an eigenvalue lies so near the exact first pole that digits are lost."""
        limit = 10.0 if self.n.dtype == torch.complex64 else 1e3
        return self.rational.beyond and not float(self.resolvents[0].abs().max()) < limit

    def apply(self, z: Matrix) -> tuple[Matrix, Matrix]:
        """N z and D z, with gradient."""
        if not torch.is_grad_enabled():
            return self.n @ z, z if self.d is None else self.d @ z
        last = len(self.levels) - 1
        if self.d is None:
            return self._level(last, z), z
        d = self._level(last, z)
        return (self._level(last, d) + self.layer.x(z)) / 2, d

    def _level(self, level: int, z: Matrix) -> Matrix:
        """Ω coth at the argument h 2^level."""
        if level == 0:
            return _BaseCoth.apply(z, self.h, self, *self.layer.parameters)
        factor = self.factors[level - 1]
        target = self.layer.x(z)
        first = factor.solve(target.detach())
        exact = first - Corrected.apply(self._level(level - 1, first) - target, factor.solve, factor.adjoint)
        return (self._level(level - 1, z) + exact) / 2


def _rational_coth(
    x: Tensor, h: Tensor, rational: CothRational, invert: Sequence[Callable[[Tensor], Tensor]]
) -> tuple[list[Tensor], Tensor]:
    """The resolvents, and Ω coth(Ωh)."""
    scaled = h.to(x.dtype) ** 2 * x
    total = rational.constant * scaled
    total.diagonal(dim1=-2, dim2=-1).add_(1 + sum(rational.weights))
    resolvents = []
    for weight, pole, inverted in zip(rational.weights, rational.poles, invert, strict=True):
        shifted = scaled.clone()
        shifted.diagonal(dim1=-2, dim2=-1).add_(pole)
        resolvents.append(inverted(shifted))
        total.sub_(resolvents[-1], alpha=weight * pole)
    return resolvents, total.div_(h.to(x.dtype))


class _BaseCoth(torch.autograd.Function):
    """C z with the derivative given at the head of the module."""

    @staticmethod
    def forward(ctx, z: Tensor, h: Tensor, coth: Coth, *parameters: Tensor) -> Tensor:
        ctx.coth = coth
        ctx.save_for_backward(z, h, *parameters)
        return coth.levels[0] @ z

    @staticmethod
    def backward(ctx, cotangent: Tensor):
        z, h, *parameters = ctx.saved_tensors
        coth, c = ctx.coth, ctx.coth.levels[0]
        back = c.mH @ cotangent
        slope = coth.squared @ z - c @ (c @ z)
        to_h = (cotangent.conj() * slope).sum().real.to(h.dtype)
        to_parameters = _through_x(coth, h, z, cotangent, parameters)
        return back, to_h, None, *to_parameters


def _through_x(coth: Coth, h: Tensor, z: Tensor, cotangent: Tensor, parameters: list[Tensor]) -> tuple[Tensor, ...]:
    """Gradient of Re λᴴ C z by the parameters of X."""
    rational = coth.rational
    right = torch.cat([z, *(r @ z for r in coth.resolvents)], -1)
    scales = [w * p for w, p in zip(rational.weights, rational.poles, strict=True)]
    left = torch.cat(
        [
            rational.constant * cotangent,
            *(s * (r.mH @ cotangent) for s, r in zip(scales, coth.resolvents, strict=True)),
        ],
        -1,
    )
    leaves = [p.detach().requires_grad_() for p in parameters]
    with torch.enable_grad():
        product = Slab.from_parameters(*leaves).x(right)
        work = ((left * h.to(left.dtype)).conj() * product).sum().real
        return torch.autograd.grad(work, leaves)


class Corrected(torch.autograd.Function):
    """Solution of a linear system whose factors carry no graph: ``solve`` forward, ``adjoint`` backward."""

    @staticmethod
    def forward(ctx, residual: Tensor, solve: Solve, adjoint: Solve) -> Tensor:
        ctx.adjoint = adjoint
        return solve(residual)

    @staticmethod
    def backward(ctx, cotangent: Tensor):
        return ctx.adjoint(cotangent), None, None
