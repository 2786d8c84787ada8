r"""The reference slab of the staggered engine: a uniform layer in the stack, answering to sources of every order.

Fields are scaled so that Maxwell's equations read :math:`\nabla\times E = H`, :math:`\nabla\times H = \varepsilon E`
with lengths times :math:`k_0`. On a staggered grid of step :math:`\Delta` the derivatives along x and y become
:math:`iK^\pm`, :math:`K^+ = -i(e^{i\kappa\Delta} - 1)/\Delta`, :math:`K^- = -i(1 - e^{-i\kappa\Delta})/\Delta`, whose
product is real, :math:`K^+K^- = (2\sin(\kappa\Delta/2)/\Delta)^2`. That product, never the square of a rounded complex
number, decides which orders propagate: rounding would flip the branch of :math:`k_z`.

With :math:`\kappa^2 = K_x^+K_x^- + K_y^+K_y^-` and unit vectors :math:`u = K^+/\kappa`, :math:`v = K^-/\kappa`, each
order falls apart into two scalar systems :math:`e' = a h + f`, :math:`h' = c e + g`:

==== ==================================== ============================ ======================== ================
part fields                               a, c                         sources f, g             up/down waves
==== ==================================== ============================ ======================== ================
p    :math:`e = v_xE_x + v_yE_y`,         :math:`\kappa^2/\varepsilon  :math:`\kappa s_w`,      :math:`(\mp i
     :math:`h = w/\kappa`                 - 1`, :math:`\varepsilon`    :math:`v_xs_x + v_ys_y`  k_z, \varepsilon)`
s    :math:`e = u_yE_x - u_xE_y`,         1,                           0,                       :math:`(1,
     :math:`h = u_xH_x + u_yH_y`          :math:`\kappa^2-\varepsilon` :math:`u_xs_y - u_ys_x`  \mp ik_z)`
==== ==================================== ============================ ======================== ================

with :math:`w = K_y^-H_x - K_x^-H_y` and :math:`s` the sources (see ``staggered``). In z the fields are polynomials,
collocated at q Gauss points, which is the Gauss-Legendre Runge-Kutta method over the whole layer: of order 2q at the
faces, and it keeps quadratic invariants, so that power balances exactly and reciprocity holds (Sanz-Serna, BIT 28, 877,
1988; Hairer, Lubich & Wanner, Geometric Numerical Integration, ch. IV). In variables scaled by the square roots of the
Gauss weights the answer to sources, Green's operator G, is therefore a complex symmetric matrix per order, up to the
reversal of the wave vector. The uniform stacks above and below enter exactly, by the waves they let through.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from microwright.physics.optics.cell import Film, Mirror, OpticalCell

DOUBLE = torch.complex128


@dataclass(frozen=True)
class Collocation:
    """Gauss-Legendre Runge-Kutta tableau on [0, 1]: q weights b and the q × q matrix A of integrals to the nodes."""

    weights: Float[Tensor, "q"]
    integral: Float[Tensor, "q q"]

    @staticmethod
    def gauss(points: int) -> Collocation:
        nodes, weights = np.polynomial.legendre.leggauss(points)
        legendre = np.polynomial.legendre.legvander(nodes, points)
        degree = np.arange(1, points)
        primitive = np.empty((points, points))
        primitive[:, 0] = nodes + 1
        primitive[:, 1:] = (legendre[:, 2:] - legendre[:, :-2]) / (2 * degree + 1)
        integral = 0.5 * primitive @ np.linalg.inv(legendre[:, :-1])
        return Collocation(torch.from_numpy(0.5 * weights), torch.from_numpy(integral))


@dataclass(frozen=True)
class Orders:
    """Wave numbers of the Fourier orders of an n × n staggered grid, over k₀; all of shape (n, n).

    Attributes:
        plus: K⁺ along x and y.
        minus: K⁻ along x and y.
        square: κ², real.
    """

    plus: tuple[Tensor, Tensor]
    minus: tuple[Tensor, Tensor]
    square: Float[Tensor, "n n"]

    @staticmethod
    def of(cell: OpticalCell, points: int, tangential: tuple[float, float]) -> Orders:
        step = cell.period_nm / points * cell.wavenumber
        order = torch.fft.fftfreq(points, 1 / points, dtype=torch.float64)
        phases = [2 * math.pi * order / points + component * step for component in tangential]
        axes = [
            phase.view(shape).expand(points, points) for phase, shape in zip(phases, ((-1, 1), (1, -1)), strict=True)
        ]
        plus = tuple(torch.polar(2 * torch.sin(t / 2) / step, t / 2) for t in axes)
        minus = tuple(torch.polar(2 * torch.sin(t / 2) / step, -t / 2) for t in axes)
        square = sum((2 * torch.sin(t / 2) / step) ** 2 for t in axes)
        return Orders(plus, minus, square)  # type: ignore[arg-type]

    @property
    def length(self) -> Float[Tensor, "n n"]:
        """κ."""
        return self.square.sqrt()

    @property
    def directions(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """u_x, u_y, v_x, v_y; an order without direction is given that of x."""
        still = self.length == 0
        scale = torch.where(still, 1.0, self.length)
        along = [torch.where(still, 1.0, wave / scale) for wave in (self.plus[0], self.minus[0])]
        across = [torch.where(still, 0.0, wave / scale) for wave in (self.plus[1], self.minus[1])]
        return along[0], across[0], along[1], across[1]


@dataclass(frozen=True)
class ScalarPart:
    """Coefficients of the p or the s part at given κ²: ``a`` and ``c`` of a medium, and the waves it carries."""

    polarised: str
    square: Float[Tensor, "k"]

    def coefficients(self, permittivity: complex) -> tuple[Tensor, Tensor]:
        one = torch.ones_like(self.square, dtype=DOUBLE)
        if self.polarised == "s":
            return one, self.square - permittivity * one
        return self.square / permittivity - one, permittivity * one

    def wave(self, permittivity: complex, direction: int) -> Complex[Tensor, "k 2"]:
        """(e, h) of the wave that travels or decays down (+1) or up (−1)."""
        kz = torch.sqrt(permittivity - self.square.to(DOUBLE))
        kz = direction * torch.where(kz.imag < 0, -kz, kz)
        one = torch.ones_like(kz)
        return torch.stack((one, 1j * kz) if self.polarised == "s" else (1j * kz, permittivity * one), -1)

    def transfer(self, film: Film, wavenumber: float, direction: int) -> tuple[Tensor, Tensor]:
        """What takes (e, h) through a film, down (+1) or up (−1): a matrix, and the growth g to multiply it by e^g."""
        a, c = self.coefficients(film.index**2)
        depth = film.thickness_nm * wavenumber
        phase = torch.sqrt(a * c) * depth
        phase = torch.where(phase.real < 0, -phase, phase)
        decay = torch.exp(-2 * phase)
        ratio = torch.where(phase.abs() < 1e-8, 1.0, (1 - decay) / (2 * phase)) * depth * direction
        rows = torch.stack(((1 + decay) / 2, a * ratio), -1), torch.stack((c * ratio, (1 + decay) / 2), -1)
        return torch.exp(1j * phase.imag)[:, None, None] * torch.stack(rows, -2), phase.real

    def flux(self, fields: Complex[Tensor, "*k 2"]) -> Float[Tensor, "*k"]:
        """Power that flows down."""
        e, h = fields.unbind(-1)
        return (e.conj() * h).imag if self.polarised == "s" else (h.conj() * e).imag


@dataclass(frozen=True)
class Wave:
    """A wave at a face of the slab, (e, h), and the power that it carries in its half-space."""

    fields: Complex[Tensor, "k 2"]
    power: Float[Tensor, "k"]

    def through(self, films: list[Film], part: ScalarPart, wavenumber: float, direction: int) -> Wave:
        """Carried on through uniform films; of an amplitude that neither overflows nor underflows."""
        fields, power = self.fields, self.power
        for film in films:
            matrix, growth = part.transfer(film, wavenumber, direction)
            fields = torch.einsum("kij,kj->ki", matrix, fields)
            power = power * torch.exp(-2 * growth)
        return Wave(fields, power)

    def amplitude(self, fields: Complex[Tensor, "*batch k 2"]) -> Complex[Tensor, "*batch k"]:
        """How much of this wave fields that are a multiple of it hold."""
        return (fields * self.fields.conj()).sum(-1) / self.fields.abs().square().sum(-1)


@dataclass(frozen=True)
class Surroundings:
    """What the uniform films and half-spaces do to one scalar part of the orders.

    Attributes:
        incident: the light that comes down, at the top face, before the slab answers.
        reflected: the wave that leaves into the superstrate, at the top face.
        transmitted: the wave that leaves into the substrate, at the bottom face.
    """

    incident: Wave
    reflected: Wave
    transmitted: Wave

    @staticmethod
    def of(cell: OpticalCell, part: ScalarPart) -> Surroundings:
        above, below = films_around(cell)
        superstrate = complex(cell.superstrate) ** 2
        down, up, out = part.wave(superstrate, 1), part.wave(superstrate, -1), _leaving(cell, part)
        return Surroundings(
            Wave(down, part.flux(down)).through(above, part, cell.wavenumber, 1),
            Wave(up, -part.flux(up)).through(above, part, cell.wavenumber, 1),
            Wave(out, part.flux(out)).through(below[::-1], part, cell.wavenumber, -1),
        )


def films_around(cell: OpticalCell) -> tuple[list[Film], list[Film]]:
    """The uniform films above and below the one patterned layer, from top to bottom."""
    position = cell.patterned[0]
    above, below = cell.layers[:position], cell.layers[position + 1 :]
    return [f for f in above if isinstance(f, Film)], [f for f in below if isinstance(f, Film)]


def _leaving(cell: OpticalCell, part: ScalarPart) -> Complex[Tensor, "k 2"]:
    if isinstance(cell.substrate, Mirror):
        return torch.tensor([0, 1], dtype=DOUBLE).expand(len(part.square), 2)
    return part.wave(complex(cell.substrate) ** 2, 1)


@dataclass(frozen=True)
class Answer:
    """What one scalar part of the reference slab answers, per order (k), with variables scaled by √b.

    Attributes:
        green: (e, h) at the nodes from the sources (f, g).
        faces: (e, h) at the top, then at the bottom face, from the sources.
        light: (e, h) at the nodes in the incident wave (of the amplitude of ``Surroundings.incident``).
        light_at_faces: the same at the faces.
    """

    green: Complex[Tensor, "k 2q 2q"]
    faces: Complex[Tensor, "k 4 2q"]
    light: Complex[Tensor, "k 2q"]
    light_at_faces: Complex[Tensor, "k 4"]

    @staticmethod
    def of(part: ScalarPart, around: Surroundings, permittivity: complex, depth: float, rule: Collocation) -> Answer:
        """Solve e_i = e_0 + L Σ_j A_ij (a h_j + f_j), h_i = h_0 + L Σ_j A_ij (c e_j + g_j) with the waves at the faces.

        Args:
            part: which of the two scalar systems, at which κ².
            around: the waves at the faces.
            permittivity: ε of the reference slab.
            depth: L = k₀d.
            rule: the Gauss points.
        """
        a, c = part.coefficients(permittivity)
        integral, weights = depth * rule.integral.to(DOUBLE), depth * rule.weights.to(DOUBLE)
        matrix, right = _collocated(a, c, integral, weights, around)
        solution = torch.linalg.solve(matrix, right)
        q = len(weights)
        nodes, top = solution[:, : 2 * q], solution[:, 2 * q :]
        across = torch.stack((a[:, None] * (weights @ nodes[:, q:]), c[:, None] * (weights @ nodes[:, :q])), 1)
        across[:, 0, :q] += weights
        across[:, 1, q : 2 * q] += weights
        faces = torch.cat((top, top + across), 1)
        root = rule.weights.sqrt().repeat(2)
        green = root[:, None] * nodes[..., :-1] / root
        return Answer(green, faces[..., :-1] / root, root * nodes[..., -1], faces[..., -1])


def _collocated(
    a: Complex[Tensor, "k"],
    c: Complex[Tensor, "k"],
    integral: Float[Tensor, "q q"],
    weights: Float[Tensor, "q"],
    around: Surroundings,
) -> tuple[Complex[Tensor, "k m m"], Complex[Tensor, "k m r"]]:
    """The linear systems of ``Answer.of``, m = 2q + 2, for r = 2q + 1 right-hand sides: the sources, then the light.

    The unknowns are e and h at the nodes, then e₀ and h₀ at the top face; the last two rows say that only leaving waves
    meet the slab's own field at the faces.
    """
    q = len(weights)
    top, bottom = _across(around.reflected.fields), _across(around.transmitted.fields)
    matrix = torch.zeros(len(a), 2 * q + 2, 2 * q + 2, dtype=DOUBLE)
    matrix[:, : 2 * q, : 2 * q] = torch.eye(2 * q)
    matrix[:, :q, q : 2 * q] = -a[:, None, None] * integral
    matrix[:, q : 2 * q, :q] = -c[:, None, None] * integral
    matrix[:, :q, 2 * q] = matrix[:, q : 2 * q, 2 * q + 1] = -1
    matrix[:, 2 * q, 2 * q :] = top
    matrix[:, 2 * q + 1, 2 * q :] = bottom
    matrix[:, 2 * q + 1, q : 2 * q] = (bottom[:, 0] * a)[:, None] * weights
    matrix[:, 2 * q + 1, :q] = (bottom[:, 1] * c)[:, None] * weights
    right = torch.zeros(len(a), 2 * q + 2, 2 * q + 1, dtype=DOUBLE)
    right[:, :q, :q] = right[:, q : 2 * q, q : 2 * q] = integral
    right[:, 2 * q + 1, : 2 * q] = -torch.cat((bottom[:, :1] * weights, bottom[:, 1:] * weights), 1)
    right[:, 2 * q, 2 * q] = (top * around.incident.fields).sum(-1)
    return matrix, right


def _across(wave: Complex[Tensor, "k 2"]) -> Complex[Tensor, "k 2"]:
    """The row that annihilates a wave, of unit length."""
    row = torch.stack((wave[:, 1], -wave[:, 0]), -1)
    return row / torch.linalg.vector_norm(row, dim=-1, keepdim=True)


class ReferenceSlab:
    """Green's operator of a uniform layer in its stack, for fields and sources (E_x, E_y, w) at q heights.

    Args:
        cell: the stack; its patterned layer is filled with ``permittivity``.
        points: n, points of the grid along x and along y.
        collocation: q, Gauss points in z.
        permittivity: ε₀ of the reference.
        dtype: complex type of the fields; the operator is always made in double precision.
        device: where the fields lie.
        reverse: make the transpose instead, which is the slab lit from the opposite direction.
    """

    def __init__(
        self,
        cell: OpticalCell,
        points: int,
        collocation: int,
        permittivity: complex,
        dtype: torch.dtype,
        device: torch.device,
        reverse: bool = False,
    ) -> None:
        sign = -1 if reverse else 1
        orders = Orders.of(cell, points, (sign * cell.tangential[0], sign * cell.tangential[1]))
        # orders of equal κ² share one answer: an eighth of them at normal incidence
        square, self._order = torch.unique(_rounded(orders.square), return_inverse=True)
        depth = cell.layers[cell.patterned[0]].thickness_nm * cell.wavenumber
        rule = Collocation.gauss(collocation)
        self.collocation, self.dtype, self.device = collocation, dtype, device
        parts = {name: ScalarPart(name, square) for name in ("p", "s")}
        self._around = {name: Surroundings.of(cell, part) for name, part in parts.items()}
        self._answers = {
            name: Answer.of(part, self._around[name], permittivity, depth, rule) for name, part in parts.items()
        }
        self._light = _incident_amplitudes(cell, orders)
        self._directions = tuple(d.to(device=device, dtype=dtype) for d in orders.directions)
        self._length = orders.length.to(device=device, dtype=dtype)
        self._green = {"s": self._s_green(), "p": self._p_green(orders.length)}

    def _s_green(self) -> Complex[Tensor, "q q n n"]:
        q = self.collocation
        return self._spread(self._answers["s"].green[:, :q, q:].transpose(1, 2)).contiguous()

    def _p_green(self, length: Float[Tensor, "n n"]) -> Complex[Tensor, "2q 2q n n"]:
        """From (s_p, s_w) to (e_p, w = κh), the first axis that of the sources."""
        q = self.collocation
        scale = torch.ones(2 * q, *length.shape, dtype=torch.float64)
        scale[q:] = length
        swapped = torch.cat((self._answers["p"].green[..., q:], self._answers["p"].green[..., :q]), -1)
        scale = scale.to(self.device)
        return (self._spread(swapped.transpose(1, 2), DOUBLE) * scale[:, None] * scale).to(self.dtype).contiguous()

    def _spread(self, table: Complex[Tensor, "k *rest"], dtype: torch.dtype | None = None) -> Tensor:
        """A table over distinct κ² as one over the orders, which become the last two axes."""
        return table[self._order].movedim((0, 1), (-2, -1)).to(device=self.device, dtype=dtype or self.dtype)

    def apply(self, sources: Complex[Tensor, "*batch 3 q n n"]) -> Complex[Tensor, "*batch 3 q n n"]:
        """Fields (E_x, E_y, w) of every order that sources (s_x, s_y, s_w) cause."""
        p, s = self._split(sources)
        p, s = _contract(self._green["p"], p), _contract(self._green["s"], s)
        ux, uy, vx, vy = self._directions
        e, w = p.split(self.collocation, -3)
        return torch.stack((ux * e + vy * s, uy * e - vx * s, w), -4)

    def _split(self, sources: Tensor) -> tuple[Tensor, Tensor]:
        """Sources of the p part, (s_p, s_w), and of the s part."""
        ux, uy, vx, vy = self._directions
        x, y, w = sources.unbind(-4)
        return torch.cat((vx * x + vy * y, w), -3), ux * y - uy * x

    def light(self) -> Complex[Tensor, "polarisations 3 q n n"]:
        """Fields of every order in the incident light, one set per polarisation."""
        q, n = self.collocation, self._order.shape[0]
        fields = torch.zeros(len(self._light["p"]), 3, q, n, n, dtype=DOUBLE, device=self.device)
        first = self._order[0, 0]
        p, s = (self._light[name][:, None] * self._answers[name].light[first] for name in ("p", "s"))
        ux, uy, vx, vy = (d[0, 0].to(DOUBLE) for d in self._directions)
        p, s = p.to(self.device), s.to(self.device)
        fields[:, 0, :, 0, 0] = ux * p[:, :q] + vy * s[:, :q]
        fields[:, 1, :, 0, 0] = uy * p[:, :q] - vx * s[:, :q]
        fields[:, 2, :, 0, 0] = self._length[0, 0] * p[:, q:]
        return fields.to(self.dtype)

    def incident_power(self) -> Float[Tensor, "polarisations"]:
        """Power of the incident light in the superstrate."""
        powers = [self._light[n].abs().square() * self._incident_wave(n).power for n in ("p", "s")]
        return (powers[0] + powers[1]).to(self.device)

    def _incident_wave(self, name: str) -> Wave:
        first, wave = self._order[0, 0], self._around[name].incident
        return Wave(wave.fields[first], wave.power[first])

    def powers(self, sources: Complex[Tensor, "batch polarisations 3 q n n"]) -> tuple[Tensor, Tensor]:
        """Shares of the incident power that are reflected and transmitted, (batch, polarisations) each, float64."""
        p, s = self._split(sources)
        along, upright = p.split(self.collocation, -3)
        ps = self._part_powers("p", torch.cat((self._length * upright, along), -3))
        ss = self._part_powers("s", torch.cat((torch.zeros_like(s), s), -3))
        incident = self.incident_power()
        return (ps[0] + ss[0]) / incident, (ps[1] + ss[1]) / incident

    def _part_powers(self, name: str, sources: Complex[Tensor, "batch polarisations 2q n n"]) -> tuple[Tensor, Tensor]:
        """Power reflected and transmitted in one scalar part, from its sources (f, g)."""
        answer, around, light = self._answers[name], self._around[name], self._light[name].to(self.device)
        fields = torch.einsum("fjxy,bpjxy->bpxyf", self._spread(answer.faces, DOUBLE), sources.to(DOUBLE))
        first = self._order[0, 0]
        # only the order of the incident light holds any of it
        lit = torch.zeros(fields.shape[1:], dtype=DOUBLE, device=self.device)
        lit[:, 0, 0] = light[:, None] * answer.light_at_faces[first].to(self.device)
        incoming = torch.zeros(*fields.shape[1:-1], 2, dtype=DOUBLE, device=self.device)
        incoming[:, 0, 0] = light[:, None] * around.incident.fields[first].to(self.device)
        fields = fields + lit
        reflected = self._leaving_power(around.reflected, fields[..., :2] - incoming)
        return reflected, self._leaving_power(around.transmitted, fields[..., 2:])

    def _leaving_power(self, wave: Wave, fields: Complex[Tensor, "batch polarisations n n 2"]) -> Tensor:
        spread = Wave(wave.fields.to(self.device)[self._order], wave.power.to(self.device)[self._order])
        return (spread.amplitude(fields).abs().square() * spread.power).sum((-1, -2))


def _rounded(square: Float[Tensor, "n n"]) -> Float[Tensor, "n n"]:
    """κ² without the last digits, in which equal orders may differ."""
    return torch.round(square, decimals=11)


def _contract(green: Complex[Tensor, "i j n n"], sources: Complex[Tensor, "*batch i n n"]) -> Tensor:
    """Σ_i G_ij s_i: a loop of fused products, an order of magnitude faster than batched products of small matrices."""
    parts = sources.unsqueeze(-3).unbind(-4)
    result = green[0] * parts[0]
    for matrix, source in zip(green[1:], parts[1:], strict=True):
        result.addcmul_(matrix, source)
    return result


def _incident_amplitudes(cell: OpticalCell, orders: Orders) -> dict[str, Complex[Tensor, "polarisations"]]:
    """Amplitudes, in units of the incident waves, of each polarisation of the cell."""
    field = torch.tensor(cell.incident_fields, dtype=DOUBLE)
    kx, ky = cell.tangential
    length = math.hypot(kx, ky)
    x, y = (kx / length, ky / length) if length else (1.0, 0.0)
    part = ScalarPart("p", orders.square[:1, 0])
    tangential = part.wave(complex(cell.superstrate) ** 2, 1)[0, 0]
    # the s field lives at the centres of the faces, half a step along x and y from where p's does
    shift = orders.plus[0][0, 0] * orders.plus[1][0, 0]
    shift = shift / shift.abs() if shift.abs() > 0 else torch.ones((), dtype=DOUBLE)
    return {"p": (x * field[:, 0] + y * field[:, 1]) / tangential, "s": shift * (y * field[:, 0] - x * field[:, 1])}
