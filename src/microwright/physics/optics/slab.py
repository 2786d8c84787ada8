r"""A patterned layer between dense admittances: no eigenvectors, products and solves alone.

With :math:`K = (K_x; K_y)`, :math:`K_\perp = (K_y; -K_x)` and the matrices of the permittivity,

.. math:: E' = A g, \quad g' = B E, \quad A = 1 - K \eta K^T, \quad B = K_\perp K_\perp^T - \mathrm{diag}(\varepsilon_x,
    \varepsilon_y), \quad X = AB = K_\perp K_\perp^T - \varepsilon + K\,(\eta K^T \varepsilon),

since :math:`K^T K_\perp = 0`: only η times (ε_x, ε_y) is a dense product. About its mid-plane the layer carries an
even mode :math:`E = C v`, :math:`g_\pm = \pm B v` and an odd mode :math:`E_\pm = \pm u`, :math:`A g = C u`, where
:math:`C = \Omega\coth(\Omega d/2)`. As C is infinite where a mode resonates, it is kept as a fraction
:math:`C = N D^{-1}` (even: :math:`E = N v, g = \pm B D v`; odd: :math:`E = \pm D u, A g = N u`). With a load
:math:`g = -Y E` below,

.. math:: (N + A Y D)\,W = X D + A Y N, \quad u = -W v, \quad E_{top} = F v, \quad g_{top} = -G v, \quad F = N + D W,
    \quad G = 2 B D + Y (N - D W), \quad E_{bottom} = (N - D W) v,

and the load seen from above is :math:`Y_{in} = G F^{-1}`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Complex
from torch import Tensor

from microwright.physics.optics.coth import CothRational
from microwright.physics.optics.dense import accretive_inverse, inverse, solve
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

    def cast(self, dtype: torch.dtype) -> WaveNumbers:
        return WaveNumbers(self.x.to(dtype), self.y.to(dtype))


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


Load = DiagonalLoad | Tensor


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
    """The operators A, B and X of one patterned layer."""

    k: WaveNumbers
    epsilon: PermittivityMatrices
    squared: Complex[Tensor, "batch 2*orders 2*orders"]

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

    @property
    def b_matrix(self) -> Complex[Tensor, "batch 2*orders 2*orders"]:
        """B as a matrix, without a product."""
        return _curl_curl(self.k) - _block_diagonal(self.epsilon.x, self.epsilon.y)


def slab(k: WaveNumbers, epsilon: PermittivityMatrices) -> Slab:
    """The slab of a layer; X costs one product of η with (ε_x, ε_y)."""
    z = epsilon.inverse_z @ torch.cat([k.x * epsilon.x, k.y * epsilon.y], -1)
    gradient = torch.cat([k.x * z, k.y * z], -2)
    return Slab(k, epsilon, gradient + _curl_curl(k) - _block_diagonal(epsilon.x, epsilon.y))


def _block_diagonal(x: Tensor, y: Tensor) -> Tensor:
    zero = torch.zeros_like(x)
    return torch.cat([torch.cat([x, zero], -1), torch.cat([zero, y], -1)], -2)


def _curl_curl(k: WaveNumbers) -> Tensor:
    """K⊥K⊥ᵀ."""
    xx, xy, yy = (torch.diag(part[:, 0]) for part in (k.x**2, k.x * k.y, k.y**2))
    return torch.cat([torch.cat([yy, -xy], -1), torch.cat([-xy, xx], -1)], -2)


@dataclass(frozen=True)
class CothFraction:
    """C = N D⁻¹; ``denominator`` None stands for 1."""

    numerator: Complex[Tensor, "batch 2*orders 2*orders"]
    denominator: Complex[Tensor, "batch 2*orders 2*orders"] | None

    def times_denominator(self, m: Tensor) -> Tensor:
        return m if self.denominator is None else self.denominator @ m


def coth_fraction(x: Complex[Tensor, "batch n n"], h: Tensor, rational: CothRational, accretive: bool) -> CothFraction:
    """Ω coth(Ωh) of Ω² = ``x``; ``accretive`` says that the Hermitian part of h²x + p is surely positive."""
    h = h / 2**rational.halvings
    c = _coth(x, h, rational, accretive_inverse if accretive else inverse)
    for _ in range(rational.halvings - 1):
        c = (c + solve(c, x)) / 2
    if rational.halvings == 0:
        return CothFraction(c, None)
    return CothFraction((c @ c + x) / 2, c)


def _coth(x: Tensor, h: Tensor, rational: CothRational, invert: Callable[[Tensor], Tensor]) -> Tensor:
    scaled = h**2 * x
    total = rational.constant * scaled
    identity = torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)
    for weight, pole in zip(rational.weights, rational.poles, strict=True):
        total = total - weight * pole * invert(scaled + pole * identity)
    return (total + (1 + sum(rational.weights)) * identity) / h


@dataclass(frozen=True)
class LoadedSlab:
    """A patterned layer with a load below.

    Attributes:
        top: F; electric field at the upper face per amplitude v.
        current: G; minus g at the upper face per amplitude v.
        bottom: electric field at the lower face per amplitude v.
    """

    top: Complex[Tensor, "batch n n"]
    current: Complex[Tensor, "batch n n"]
    bottom: Complex[Tensor, "batch n n"]


def loaded(layer: Slab, c: CothFraction, load: Load) -> LoadedSlab:
    """The layer with admittance ``load`` looking down from its lower face."""
    n, d = c.numerator, c.denominator
    if d is None:
        w = solve(n + layer.a(load @ _identity_like(n)), layer.squared + layer.a(load @ n))
        b = layer.b_matrix
    else:
        w = solve(n + layer.a(load @ d), layer.squared @ d + layer.a(load @ n))
        b = layer.b(d)
    odd = c.times_denominator(w)
    return LoadedSlab(n + odd, 2 * b + load @ (n - odd), n - odd)


def loaded_on_mirror(layer: Slab, c: CothFraction) -> LoadedSlab:
    """The layer on a perfect mirror; ``c`` is C at its full thickness, the amplitude v is E_top itself, A g = −C E."""
    numerator = c.numerator if c.denominator is None else solve(c.denominator, c.numerator)
    identity = _identity_like(numerator)
    return LoadedSlab(identity, solve(layer.a(identity), numerator), torch.zeros_like(numerator))


def _identity_like(m: Tensor) -> Tensor:
    return torch.eye(m.shape[-1], dtype=m.dtype, device=m.device).expand_as(m)
