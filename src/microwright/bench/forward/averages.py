r"""Voigt-Reuss-Hill average: the stiffness that phase fractions alone suggest (Hill 1952).

.. math:: C_V = \sum_i f_i C_i, \qquad C_R = \Big(\sum_i f_i C_i^{-1}\Big)^{-1}, \qquad C_H = \tfrac12 (C_V + C_R)

The first two bound the effective stiffness of any structure from above and below.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from microwright.physics.elasticity import ElasticPhases, voigt
from microwright.structures.statistics import phase_fraction


def voigt_average(
    fractions: Float[Tensor, "n"], phases: ElasticPhases, names: Sequence[str]
) -> Float[Tensor, "n entries"]:
    """Entries ``names`` (as C21) of Σ f C, GPa; ``fractions`` of phase 1."""
    return _entries(_mixed(fractions, _stiffnesses(phases)), names)


def reuss_average(
    fractions: Float[Tensor, "n"], phases: ElasticPhases, names: Sequence[str]
) -> Float[Tensor, "n entries"]:
    """Entries ``names`` of (Σ f C⁻¹)⁻¹, GPa; ``fractions`` of phase 1."""
    compliances = torch.stack([torch.linalg.inv(stiffness) for stiffness in _stiffnesses(phases)])
    mixed = torch.stack([torch.linalg.inv(compliance) for compliance in _mixed(fractions, compliances)])
    return _entries(mixed, names)


def hill_average(
    structures: Float[Tensor, "n x y z"], phases: ElasticPhases, names: Sequence[str]
) -> Float[Tensor, "n entries"]:
    """Mean of the two, GPa."""
    fractions = phase_fraction(structures.double())
    return (voigt_average(fractions, phases, names) + reuss_average(fractions, phases, names)) / 2


def _stiffnesses(phases: ElasticPhases) -> Float[Tensor, "2 6 6"]:
    return torch.stack([voigt.isotropic(lame, 3) for lame in phases.lame_parameters(3, "strain")])


def _mixed(fractions: Tensor, phases: Float[Tensor, "2 6 6"]) -> Float[Tensor, "n 6 6"]:
    hard = fractions.double()[:, None, None]
    return (1 - hard) * phases[0] + hard * phases[1]


def _entries(stiffness: Float[Tensor, "n 6 6"], names: Sequence[str]) -> Float[Tensor, "n entries"]:
    return torch.stack([stiffness[:, int(name[1]) - 1, int(name[2]) - 1] for name in names], dim=1)
