r"""A stack of films and patterned layers between two half-spaces: one sweep up with admittances, one down with fields.

::

      incident ↓   reflected ↑
    ───────────────────────────    looking up:   scalar admittances (films alone)
      films above
    ───────────────────────────    the topmost patterned layer closes the system with
      patterned layer                  −g + Y_up E = (Y_up + Y_ref) E_inc
    ───────────────────────────    looking down: scalar below the lowest patterned layer,
      films, patterned layers …        dense above it
    ───────────────────────────
      transmitted ↓

A patterned layer (symbols as in ``slab``) on a load :math:`-g = Y E` has the even and odd amplitudes v and u, with

.. math:: (N + A Y D)\,u + (X D + A Y N)\,v = 0, \quad E_{bottom} = N v + D u, \quad E_{top} = N v - D u, \quad
    -g_{top} = 2 B D v + Y E_{bottom},

hence :math:`u = -W v`, :math:`E_{top} = F v`, :math:`-g_{top} = G v` and the load seen from above :math:`G F^{-1}`.
The incident light in the films above is split into a wave that a reference admittance Y_ref would swallow at the
topmost patterned layer, and the field that the layer radiates upward, so that no resonance of the films is divided by.
Powers are the downward fluxes :math:`-\mathrm{Im}(E\cdot g^*)` at the interfaces; the absorption of a layer is the
difference of the fluxes at its two faces.

Gradients: the factorised system carries no graph. Its solution is inserted once into the equations, applied to vectors
with a graph, and one step of refinement by the same factors gives the solution its derivative (implicit function
theorem).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from microwright.physics.optics import films
from microwright.physics.optics.dense import Factorised
from microwright.physics.optics.films import Admittance, Medium, Section
from microwright.physics.optics.slab import Corrected, Coth, DiagonalLoad, Load, Slab, diagonal_load

Fields = Complex[Tensor, "batch 2*orders polarisations"]
Flux = Float[Tensor, "batch polarisations"]


@dataclass(frozen=True)
class Face:
    """Tangential fields at an interface: E, and −g (the current that a load draws)."""

    e: Fields
    current: Fields

    def flux(self) -> Flux:
        """Power flowing down."""
        return (self.e.to(torch.complex128) * self.current.to(torch.complex128).conj()).imag.sum(-2)


@dataclass(frozen=True)
class Powers:
    """Shares of the incident power, per polarisation.

    Attributes:
        reflectance: R.
        transmittance: T, the flux through the last interface.
        layers: absorption of each layer, from top to bottom.
    """

    reflectance: Flux
    transmittance: Flux
    layers: Float[Tensor, "batch polarisations layers"]


class Below(ABC):
    """What lies below an interface.

    Attributes:
        load: admittance looking down, without gradient; None for a perfect mirror.
    """

    load: Load | None

    @abstractmethod
    def respond(self, e: Fields) -> list[Face]:
        """Fields at this interface and at all below it, for the electric field ``e`` at this one; with gradient."""


class Substrate(Below):
    """A half-space."""

    def __init__(self, load: DiagonalLoad) -> None:
        self.load: DiagonalLoad = load

    def respond(self, e: Fields) -> list[Face]:
        return [Face(e, self.load @ e)]


class MirrorBelow(Below):
    """A perfect mirror: no tangential field, no flux."""

    load = None

    def respond(self, e: Fields) -> list[Face]:
        nothing = torch.zeros_like(e)
        return [Face(nothing, nothing)]


class FilmBelow(Below):
    """A film on something uniform: ``load`` looks into it, ``step`` takes E through it."""

    def __init__(self, load: DiagonalLoad, step: DiagonalLoad, below: Below) -> None:
        self.load: DiagonalLoad = load
        self.step, self.below = step, below

    def respond(self, e: Fields) -> list[Face]:
        return [Face(e, self.load @ e), *self.below.respond(self.step @ e)]


class PatternedBelow(Below):
    """A patterned layer that lies below another one."""

    def __init__(self, layer: LoadedLayer) -> None:
        self.layer = layer
        with torch.no_grad():
            self.factor = Factorised(layer.top)
            self.load: Tensor = Factorised(layer.top.mT).solve(layer.current.mT).mT

    def respond(self, e: Fields) -> list[Face]:
        return solve_layer(self.layer, GivenField(self.factor, e))


@dataclass(frozen=True)
class LayerFields:
    """Fields of a layer for given amplitudes, and by how much they miss the equation at its lower face."""

    top: Face
    residual: Fields
    below: list[Face]


class LoadedLayer(ABC):
    """A patterned layer with something below; dense matrices without gradient.

    Attributes:
        equation: factors of the matrix of u in the equation at the lower face.
        w: W.
        top: F.
        current: G.
    """

    equation: Factorised
    w: Tensor
    top: Tensor
    current: Tensor

    @abstractmethod
    def fields(self, u: Fields, v: Fields) -> LayerFields:
        """With gradient."""

    @abstractmethod
    def odd(self, u: Fields) -> tuple[Fields, Fields]:
        """E and −g at the upper face that u alone makes, by dense matrices."""

    @abstractmethod
    def odd_adjoint(self, e: Fields, current: Fields) -> Fields:
        """The adjoint of ``odd``."""


class LayerOnLoad(LoadedLayer):
    """A patterned layer above a half-space, a film or another patterned layer."""

    def __init__(self, layer: Slab, coth: Coth, below: Below) -> None:
        self.layer, self.coth, self.below = layer, coth, below
        with torch.no_grad():
            self._factorise(below.load)

    def _factorise(self, load: Load | None) -> None:
        assert load is not None
        self.load = load
        n, d, layer = self.coth.n, self.coth.d, self.layer
        matrix = layer.a_matrix(load) if d is None else layer.a(load @ d)
        self.equation = Factorised(matrix.add_(n))
        driven = layer.a(load @ n).add_(self.coth.squared if d is None else self.coth.squared @ d)
        self.w = self.equation.solve(driven)
        odd = self.w if d is None else d @ self.w
        self.top = n + odd
        self.current = (load @ (n - odd)).add_(layer.b_matrix if d is None else layer.b(d), alpha=2)

    def fields(self, u: Fields, v: Fields) -> LayerFields:
        count = v.shape[-1]
        n, d = self.coth.apply(torch.cat([v, u], -1))
        even, odd = n[..., :count], d[..., count:]
        below = self.below.respond(even + odd)
        drive = self.layer.b(d[..., :count])
        residual = self.layer.a(drive + below[0].current) + n[..., count:]
        return LayerFields(Face(even - odd, 2 * drive + below[0].current), residual, below)

    def odd(self, u: Fields) -> tuple[Fields, Fields]:
        e = u if self.coth.d is None else self.coth.d @ u
        return -e, self.load @ e

    def odd_adjoint(self, e: Fields, current: Fields) -> Fields:
        back = self.load.mH @ current - e
        return back if self.coth.d is None else self.coth.d.mH @ back


class LayerOnMirror(LoadedLayer):
    """A patterned layer on a perfect mirror.

    The field is odd about the mirror, so that C belongs to the full thickness: E = D v at the upper face, where the
    current u obeys A u = N v.
    """

    def __init__(self, layer: Slab, coth: Coth) -> None:
        self.layer, self.coth = layer, coth
        with torch.no_grad():
            identity = torch.eye(coth.n.shape[-1], dtype=coth.n.dtype, device=coth.n.device)
            self.equation = Factorised(-layer.a(identity))
            self.w = self.equation.solve(coth.n)
            self.top = identity.expand_as(coth.n) if coth.d is None else coth.d
            self.current = -self.w

    def fields(self, u: Fields, v: Fields) -> LayerFields:
        n, d = self.coth.apply(v)
        return LayerFields(Face(d, u), n - self.layer.a(u), MirrorBelow().respond(d))

    def odd(self, u: Fields) -> tuple[Fields, Fields]:
        return torch.zeros_like(u), u

    def odd_adjoint(self, e: Fields, current: Fields) -> Fields:
        return current


class Closing(ABC):
    """The second equation of a layer, at its upper face: a E + b (−g) = target.

    Attributes:
        factor: factors of a F + b G.
        target: right-hand side, with gradient.
    """

    factor: Factorised
    target: Fields

    @abstractmethod
    def combine(self, face: Face) -> Fields:
        """a E + b (−g), with gradient."""

    @abstractmethod
    def adjoint(self, r: Fields) -> tuple[Fields, Fields]:
        """aᴴ r and bᴴ r."""


class GivenField(Closing):
    """E = target."""

    def __init__(self, factor: Factorised, e: Fields) -> None:
        self.factor, self.target = factor, e

    def combine(self, face: Face) -> Fields:
        return face.e

    def adjoint(self, r: Fields) -> tuple[Fields, Fields]:
        return r, torch.zeros_like(r)


class Lit(Closing):
    """−g + Y_up E = (Y_up + Y_ref) E_inc."""

    def __init__(self, layer: LoadedLayer, up: DiagonalLoad, target: Fields) -> None:
        self.up, self.target = up, target.expand(layer.top.shape[0], -1, -1)
        with torch.no_grad():
            self.factor = Factorised(layer.current + up @ layer.top)

    def combine(self, face: Face) -> Fields:
        return face.current + self.up @ face.e

    def adjoint(self, r: Fields) -> tuple[Fields, Fields]:
        return self.up.mH @ r, r


def solve_layer(layer: LoadedLayer, closing: Closing) -> list[Face]:
    """Fields at the upper face of ``layer`` and at every interface below, with gradient where it is enabled."""
    with torch.no_grad():
        v = closing.factor.solve(closing.target)
        u = -(layer.w @ v)
    if torch.is_grad_enabled():
        u, v = _refined(layer, closing, u, v)
    solved = layer.fields(u, v)
    return [solved.top, *solved.below]


def _refined(layer: LoadedLayer, closing: Closing, u: Fields, v: Fields) -> tuple[Fields, Fields]:
    missed = layer.fields(u, v)
    residual = torch.cat([missed.residual, closing.combine(missed.top) - closing.target], -2)
    step = Corrected.apply(residual, lambda r: _solve(layer, closing, r), lambda c: _solve_adjoint(layer, closing, c))
    rows = u.shape[-2]
    return u - step[..., :rows, :], v - step[..., rows:, :]


def _solve(layer: LoadedLayer, closing: Closing, residual: Tensor) -> Tensor:
    """(u, v) of the block system by elimination of u."""
    first, second = residual.chunk(2, -2)
    a = layer.equation.solve(first)
    v = closing.factor.solve(second - closing.combine(Face(*layer.odd(a))))
    return torch.cat([a - layer.w @ v, v], -2)


def _solve_adjoint(layer: LoadedLayer, closing: Closing, cotangent: Tensor) -> Tensor:
    """The adjoint of ``_solve``."""
    to_u, to_v = cotangent.chunk(2, -2)
    second = closing.factor.adjoint(to_v - layer.w.mH @ to_u)
    first = layer.equation.adjoint(to_u - layer.odd_adjoint(*closing.adjoint(second)))
    return torch.cat([first, second], -2)


@dataclass(frozen=True)
class Directions:
    """Unit vectors of the tangential wave vector of every order; (1, 0) where it vanishes."""

    x: Float[Tensor, "orders"]
    y: Float[Tensor, "orders"]

    @property
    def pair(self) -> tuple[Tensor, Tensor]:
        return self.x, self.y

    @property
    def zeroth(self) -> tuple[Tensor, Tensor]:
        """Those of the incident order."""
        return self.x[:1], self.y[:1]


def film_on(film: Section, load: Admittance | None) -> tuple[Admittance, Admittance]:
    """Admittance looking into a film on a scalar load (None: a mirror), and the share of E that gets behind it."""
    if load is None:
        above = films.through_to_mirror(film)
        return above, Admittance(torch.zeros_like(above.s), torch.zeros_like(above.p))
    return films.through(film, load), films.transmission(film, load)


@dataclass(frozen=True)
class Illumination:
    """The light that falls on the stack and the films above the topmost patterned layer.

    Attributes:
        superstrate: the half-space of the incident light at all orders.
        sections: films from the top down to the patterned layer.
        incident: tangential electric field of the zeroth order, shape (2, polarisations).
        power: downward flux of the incident light.
        directions: see ``Directions``.
        dtype: of the dense problem below.
    """

    superstrate: Medium
    sections: Sequence[Section]
    incident: Complex[Tensor, "2 polarisations"]
    power: Float[Tensor, ""]
    directions: Directions
    dtype: torch.dtype

    def upward(self) -> list[Admittance]:
        """Admittances looking up at every interface, from the top to the patterned layer."""
        loads = [films.half_space(self.superstrate)]
        for section in self.sections:
            loads.append(films.through(section, loads[-1]))
        return loads

    def reference(self) -> Admittance:
        """The scalar load that swallows the incident light."""
        return _zeroth(films.half_space(self.superstrate))

    def arriving(self, load: Admittance | None) -> tuple[list[Tensor], list[Admittance | None]]:
        """Zeroth-order fields and admittances at every interface with the zeroth-order ``load`` at the last one."""
        loads: list[Admittance | None] = [load]
        steps: list[Admittance] = []
        for section in reversed(self.sections):
            above, step = film_on(_zeroth_section(section), loads[0])
            loads.insert(0, above)
            steps.insert(0, step)
        first = loads[0]
        assert first is not None  # a stack has at least one layer above a mirror
        own = self.reference()
        entering = Admittance(2 * own.s / (own.s + first.s), 2 * own.p / (own.p + first.p))
        fields = [self.apply(entering, self.incident)]
        for step in steps:
            fields.append(self.apply(step, fields[-1]))
        return fields, loads

    def apply(self, y: Admittance, e: Tensor) -> Tensor:
        """A tensor that is scalar for s and p, times a zeroth-order field."""
        return diagonal_load(y, self.directions.zeroth, torch.complex128) @ e

    def source(self) -> tuple[DiagonalLoad, Tensor]:
        """Y_up at the patterned layer, and the right-hand side (Y_up + Y_ref) E_inc, all orders."""
        up, reference = self.upward()[-1], self.reference()
        field = self.arriving(reference)[0][-1]
        driven = self.apply(Admittance(_zeroth(up).s + reference.s, _zeroth(up).p + reference.p), field)
        return diagonal_load(up, self.directions.pair, self.dtype), self.embed(driven).to(self.dtype)

    def embed(self, zeroth: Tensor) -> Tensor:
        """A zeroth-order field among all orders."""
        row = torch.zeros(len(self.directions.x), 1, dtype=torch.complex128, device=zeroth.device)
        row[0] = 1
        return torch.cat([row * zeroth[0], row * zeroth[1]])

    def fluxes_above(self, e_top: Fields) -> list[Flux]:
        """Downward fluxes at every interface above the patterned layer, from the top; the first is (1 − R) power."""
        up = self.upward()
        arriving, looking_down = self.arriving(self.reference())
        radiated = [e_top.to(torch.complex128) - self.embed(arriving[-1])]
        for section, load in zip(reversed(self.sections), reversed(up[:-1]), strict=True):
            step = diagonal_load(films.transmission(section, load), self.directions.pair, torch.complex128)
            radiated.insert(0, step @ radiated[0])
        parts = zip(radiated, up, arriving, looking_down, strict=True)
        return [self._mixed(*part).flux() for part in parts]

    def _mixed(self, radiated: Fields, up: Admittance, arriving: Tensor, down: Admittance | None) -> Face:
        """An upward field of all orders with the zeroth-order light that it interferes with."""
        assert down is not None
        current = self.embed(self.apply(down, arriving))
        current = current - diagonal_load(up, self.directions.pair, torch.complex128) @ radiated
        return Face(radiated + self.embed(arriving), current)

    def fluxes_of_films(self, substrate: Admittance | None) -> list[Flux]:
        """Downward fluxes at every interface of a stack without pattern; shape (1, polarisations)."""
        fields, loads = self.arriving(None if substrate is None else _zeroth(substrate))
        return [self._zeroth_face(e, load).flux() for e, load in zip(fields, loads, strict=True)]

    def _zeroth_face(self, e: Tensor, load: Admittance | None) -> Face:
        current = torch.zeros_like(e) if load is None else self.apply(load, e)
        return Face(e.unsqueeze(0), current.unsqueeze(0))


def _zeroth(y: Admittance) -> Admittance:
    return Admittance(y.s[:1], y.p[:1])


def _zeroth_section(section: Section) -> Section:
    m = section.medium
    zeroth = Medium(m.epsilon, m.gamma2[:1], m.gamma[:1])
    return Section(zeroth, section.cosine[:1], section.sine[:1], section.decay[:1])
