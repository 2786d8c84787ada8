r"""A stack of films and patterned layers between two half-spaces: one sweep up with admittances, one down with fields.

::

      incident ↓   reflected ↑
    ───────────────────────────    looking up:   scalar admittances (films alone)
      films above
    ───────────────────────────    E_top of the topmost patterned layer:
      patterned layer                  (G + Y_up F) v = (Y_up + Y_ref) E_inc
    ───────────────────────────    looking down: scalar below the lowest patterned layer,
      films, patterned layers …        dense above it
    ───────────────────────────
      transmitted ↓

The incident light in the films above is split into a wave that a reference admittance Y_ref would swallow at the
topmost patterned layer, and the field that the layer radiates upward, so that no resonance of the films is ever
divided by. Powers are the downward fluxes :math:`-\mathrm{Im}(E\cdot g^*)` at the interfaces; the absorption of a
layer is the difference of the fluxes at its two faces.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from microwright.physics.optics import films
from microwright.physics.optics.dense import right_solve, solve
from microwright.physics.optics.films import Admittance, Medium, Section
from microwright.physics.optics.slab import DiagonalLoad, Load, LoadedSlab, diagonal_load

Fields = Complex[Tensor, "batch 2*orders polarisations"]
Flux = Float[Tensor, "batch polarisations"]


@dataclass(frozen=True)
class Directions:
    """Unit vectors of the tangential wave vector of every order; (1, 0) where it vanishes."""

    x: Float[Tensor, "orders"]
    y: Float[Tensor, "orders"]

    @property
    def pair(self) -> tuple[Tensor, Tensor]:
        return self.x, self.y


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


@dataclass(frozen=True)
class Interface:
    """What is known below an interface: the load it looks down on, and how fields get to the next interface."""

    load: Load | None
    descend: Callable[[Fields], Fields]


def flux(load: Load | None, e: Fields) -> Flux:
    """Power flowing down into ``load``; none flows into a perfect mirror."""
    if load is None:
        return e.real.new_zeros(e.shape[0], e.shape[2], dtype=torch.float64)
    return -(e.conj() * (load @ e)).imag.to(torch.float64).sum(-2)


def pass_film(film: Section, load: Admittance | None) -> tuple[Admittance, Admittance]:
    """Admittance looking into a film, and the share of the electric field that gets behind it."""
    if load is None:
        above = films.through_to_mirror(film)
        return above, Admittance(torch.zeros_like(above.s), torch.zeros_like(above.p))
    return films.through(film, load), films.transmission(film, load)


def film_above_diagonal(
    film: Section, load: Admittance | None, directions: Directions, dtype: torch.dtype
) -> tuple[Admittance, Interface]:
    """A film on a scalar load (None: on the perfect mirror)."""
    above, passed = pass_film(film, load)
    step = diagonal_load(passed, directions.pair, dtype)
    return above, Interface(diagonal_load(above, directions.pair, dtype), lambda e: step @ e)


def film_above_dense(film: Section, load: Tensor, directions: Directions) -> Interface:
    """A film on a dense load: Y_in = (c Y + B s)(c + A s Y)⁻¹."""
    m, dtype = film.medium, load.dtype
    cosine = diagonal_load(Admittance(film.cosine, film.cosine), directions.pair, dtype)
    a = diagonal_load(Admittance(film.sine, -film.sine * m.gamma2 / m.epsilon), directions.pair, dtype)
    b = diagonal_load(Admittance(film.sine * m.gamma2, -film.sine * m.epsilon), directions.pair, dtype)
    decay = diagonal_load(Admittance(2 * film.decay, 2 * film.decay), directions.pair, dtype)
    identity = torch.eye(load.shape[-1], dtype=dtype, device=load.device).expand_as(load)
    electric = cosine @ identity + a @ load
    above = right_solve(cosine @ load + b @ identity, electric)
    return Interface(above, lambda e: decay @ solve(electric, e))


def slab_interface(layer: LoadedSlab) -> Interface:
    """A patterned layer below something that is not uniform."""
    return Interface(
        right_solve(layer.current, layer.top),
        lambda e: layer.bottom @ solve(layer.top, e),
    )


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
            above, step = pass_film(_zeroth_section(section), loads[0])
            loads.insert(0, above)
            steps.insert(0, step)
        first = loads[0]
        assert first is not None  # a stack has at least one layer above a mirror
        own = _zeroth(films.half_space(self.superstrate))
        entering = Admittance(2 * own.s / (own.s + first.s), 2 * own.p / (own.p + first.p))
        fields = [self.apply(entering, self.incident)]
        for step in steps:
            fields.append(self.apply(step, fields[-1]))
        return fields, loads

    def apply(self, y: Admittance, e: Tensor) -> Tensor:
        """A tensor that is scalar for s and p, times a zeroth-order field."""
        first = (self.directions.x[:1], self.directions.y[:1])
        return diagonal_load(y, first, torch.complex128) @ e


def _zeroth(y: Admittance) -> Admittance:
    return Admittance(y.s[:1], y.p[:1])


def _zeroth_section(section: Section) -> Section:
    m = section.medium
    return Section(
        Medium(m.epsilon, m.gamma2[:1], m.gamma[:1]), section.cosine[:1], section.sine[:1], section.decay[:1]
    )


def source(light: Illumination) -> tuple[DiagonalLoad, Tensor]:
    """Y_up at the patterned layer, and the right-hand side (Y_up + Y_ref) E_inc, shape (2·orders, polarisations)."""
    up = light.upward()[-1]
    reference = light.reference()
    field = light.arriving(reference)[0][-1]
    driven = light.apply(Admittance(_zeroth(up).s + reference.s, _zeroth(up).p + reference.p), field)
    return diagonal_load(up, light.directions.pair, light.dtype), embed(driven, len(light.directions.x), light.dtype)


def embed(zeroth: Tensor, orders: int, dtype: torch.dtype) -> Tensor:
    """A zeroth-order field among all orders."""
    row = torch.zeros(orders, 1, dtype=dtype, device=zeroth.device)
    row[0] = 1
    return torch.cat([row * zeroth[0].to(dtype), row * zeroth[1].to(dtype)])


def fluxes_above(light: Illumination, e_top: Fields) -> list[Flux]:
    """Downward fluxes at every interface above the patterned layer, from the top; the first is (1 − R) power."""
    up = light.upward()
    reference = light.reference()
    arriving, looking_down = light.arriving(reference)
    orders = len(light.directions.x)
    wide = torch.complex128
    radiated = [e_top.to(wide) - embed(arriving[-1], orders, wide)]
    for section, load in zip(reversed(light.sections), reversed(up[:-1]), strict=True):
        step = diagonal_load(films.transmission(section, load), light.directions.pair, wide)
        radiated.insert(0, step @ radiated[0])
    return [_mixed_flux(light, *parts) for parts in zip(radiated, up, arriving, looking_down, strict=True)]


def _mixed_flux(
    light: Illumination, radiated: Fields, up: Admittance, arriving: Tensor, down: Admittance | None
) -> Flux:
    """Flux of an upward field of all orders and the zeroth-order light it interferes with."""
    orders = len(light.directions.x)
    lit = embed(arriving, orders, torch.complex128)
    g = diagonal_load(up, light.directions.pair, torch.complex128) @ radiated
    assert down is not None
    g = g - embed(light.apply(down, arriving), orders, torch.complex128)
    return -((radiated + lit) * g.conj()).imag.sum(-2)


def fluxes_of_films(light: Illumination, substrate: Admittance | None) -> list[Flux]:
    """Downward fluxes at every interface of a stack without pattern; shape (1, polarisations)."""
    fields, loads = light.arriving(None if substrate is None else _zeroth(substrate))
    directions = (light.directions.x[:1], light.directions.y[:1])
    return [
        flux(None if load is None else diagonal_load(load, directions, torch.complex128), e.unsqueeze(0))
        for e, load in zip(fields, loads, strict=True)
    ]
