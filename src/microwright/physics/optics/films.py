r"""Uniform media: every Fourier order by itself, split into s and p, each with a scalar admittance.

Tangential fields are :math:`E = (E_x, E_y)` and :math:`g = i(H_y, -H_x)` (H times the impedance of vacuum), lengths are
in units of 1/k₀, z points down. Maxwell's equations then read :math:`E' = A g`, :math:`g' = B E`; in a uniform medium
:math:`A = (1, -\gamma^2/\varepsilon)`, :math:`B = (\gamma^2, -\varepsilon)` for (s, p), with
:math:`\gamma = -i k_z = \sqrt{K^2 - \varepsilon}`, waves going as :math:`e^{\mp\gamma z}`. What lies beyond an
interface is an admittance Y looking away from it, :math:`g = -Y E` (down) or :math:`g = +Y E` (up): for a half-space
:math:`Y_s = \gamma`, :math:`Y_p = -\varepsilon/\gamma`. The power flowing down is :math:`-\mathrm{Im}(E \cdot g^*)`,
for a plane wave in the medium n at θ of unit amplitude :math:`n \cos\theta`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Complex
from torch import Tensor

#: squared γ of an order at grazing: exactly there p admittances are infinite (a Wood anomaly); the field then differs
#: from its limit by about the root of this number
_GRAZING = 1e-12


@dataclass(frozen=True)
class Admittance:
    """Y of every order looking away from an interface, for s and p."""

    s: Complex[Tensor, "*orders"]
    p: Complex[Tensor, "*orders"]


@dataclass(frozen=True)
class Medium:
    """A uniform medium at the orders of a problem.

    Attributes:
        epsilon: permittivity.
        gamma2: γ² = K² − ε of every order.
        gamma: γ, the root with the wave decaying or leaving.
    """

    epsilon: Complex[Tensor, ""]
    gamma2: Complex[Tensor, "*orders"]
    gamma: Complex[Tensor, "*orders"]


def medium(epsilon: Complex[Tensor, ""], tangential2: Tensor) -> Medium:
    """The medium of permittivity ``epsilon`` at squared tangential wave numbers K²."""
    kz2 = epsilon - tangential2
    kz2 = torch.where(kz2.abs() < _GRAZING, torch.full_like(kz2, _GRAZING), kz2)
    kz = torch.sqrt(kz2)
    kz = torch.where(kz.imag < 0, -kz, kz)
    return Medium(epsilon, -kz2, -1j * kz)


def half_space(m: Medium) -> Admittance:
    """Admittance of a half-space."""
    return Admittance(m.gamma, -m.epsilon / m.gamma)


@dataclass(frozen=True)
class Section:
    """A film of one medium; c = 1 + e^{−2γd}, s = (1 − e^{−2γd})/γ, both finite for every order."""

    medium: Medium
    cosine: Complex[Tensor, "*orders"]
    sine: Complex[Tensor, "*orders"]
    decay: Complex[Tensor, "*orders"]


def section(m: Medium, thickness: Tensor) -> Section:
    """The film of ``m`` with ``thickness`` in units of 1/k₀."""
    x = m.gamma * thickness
    decay = torch.exp(-x)
    small = x.abs() < 1e-3
    safe = torch.where(small, torch.ones_like(x), x)
    sinhc = torch.where(small, 1 + x**2 / 6 + x**4 / 120, (1 - torch.exp(-2 * safe)) / (2 * safe * torch.exp(-safe)))
    return Section(m, 1 + decay**2, 2 * thickness * decay * sinhc, decay)


def through(film: Section, load: Admittance) -> Admittance:
    """Admittance looking into ``film`` with ``load`` behind it."""
    m, c, s = film.medium, film.cosine, film.sine
    return Admittance(
        (load.s * c + m.gamma2 * s) / (c + load.s * s),
        (load.p * c - m.epsilon * s) / (c - load.p * s * m.gamma2 / m.epsilon),
    )


def through_to_mirror(film: Section) -> Admittance:
    """Admittance looking into ``film`` with a perfect mirror behind it."""
    m, c, s = film.medium, film.cosine, film.sine
    return Admittance(c / s, -m.epsilon * c / (m.gamma2 * s))


def transmission(film: Section, load: Admittance) -> Admittance:
    """Electric field behind ``film`` over the field before it, for s and p, with ``load`` behind."""
    m, c, s = film.medium, film.cosine, film.sine
    return Admittance(
        2 * film.decay / (c + load.s * s),
        2 * film.decay / (c - load.p * s * m.gamma2 / m.epsilon),
    )
