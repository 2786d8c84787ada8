"""What is physically there: two or more isotropic elastic phases, and how a voxel's value picks between them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from microwright.errors import InputError

Plane = Literal["strain", "stress"]


@dataclass(frozen=True)
class ElasticPhases:
    """Isotropic phases of a microstructure, phase 0 first.

    A voxel of value k/(m-1) is phase k of m; in between, the stiffness interpolates linearly between neighbours.

    Attributes:
        youngs_moduli_gpa: Young's modulus E of every phase, GPa, > 0.
        poissons_ratios: Poisson's ratio nu of every phase, in (-1, 0.5).
    """

    youngs_moduli_gpa: tuple[float, ...] = (2.4, 120.0)
    poissons_ratios: tuple[float, ...] = (0.3, 0.3)

    def __post_init__(self) -> None:
        object.__setattr__(self, "youngs_moduli_gpa", tuple(float(value) for value in self.youngs_moduli_gpa))
        object.__setattr__(self, "poissons_ratios", tuple(float(value) for value in self.poissons_ratios))
        if len(self.youngs_moduli_gpa) < 2 or len(self.youngs_moduli_gpa) != len(self.poissons_ratios):
            raise InputError(
                f"phases: expected one Young's modulus and one Poisson's ratio for each of two or more phases, got "
                f"{len(self.youngs_moduli_gpa)} and {len(self.poissons_ratios)}; give as many of both"
            )
        for modulus in self.youngs_moduli_gpa:
            if not 0 < modulus < math.inf:
                raise InputError(
                    f"youngs_moduli_gpa: must be positive and finite, got {modulus:g}; "
                    "for a void give about 1e-4 times the stiffest phase"
                )
        for ratio in self.poissons_ratios:
            if not -1 < ratio < 0.5:
                raise InputError(f"poissons_ratios: must lie between -1 and 0.5, both excluded, got {ratio:g}")

    def lame_parameters(self, dimensions: int, plane: Plane) -> tuple[tuple[float, float], ...]:
        """(lambda, mu) of every phase, GPa; for plane stress lambda is that of the plane problem, E nu / (1 - nu^2)."""
        pairs = []
        for young, nu in zip(self.youngs_moduli_gpa, self.poissons_ratios, strict=True):
            mu = young / (2 * (1 + nu))
            in_plane = dimensions == 2 and plane == "stress"
            pairs.append((young * nu / (1 - nu**2) if in_plane else young * nu / ((1 + nu) * (1 - 2 * nu)), mu))
        return tuple(pairs)
