"""Voigt notation: order 11, 22, 33, 23, 13, 12 (in two dimensions 11, 22, 12), engineering shear strain.

Entries keep their three-dimensional numbers in two dimensions: C66 is the in-plane shear stiffness there too.
"""

from __future__ import annotations

import itertools

import torch
from jaxtyping import Float
from torch import Tensor

from microwright.physics.periodic_fem import Elements, shape_gradients

#: tensor indices and Voigt number of every strain component
_COMPONENTS = {
    2: (((0, 0), 1), ((1, 1), 2), ((0, 1), 6)),
    3: (((0, 0), 1), ((1, 1), 2), ((2, 2), 3), ((1, 2), 4), ((0, 2), 5), ((0, 1), 6)),
}


def numbers(dimensions: int) -> tuple[int, ...]:
    """Voigt numbers of the strain components, in their order."""
    return tuple(number for _, number in _COMPONENTS[dimensions])


def isotropic(lame: tuple[float, float], dimensions: int) -> Float[Tensor, "strains strains"]:
    """Isotropic stiffness of the Lame parameters (lambda, mu)."""
    shears = len(_COMPONENTS[dimensions]) - dimensions
    stiffness = torch.diag(torch.tensor([2 * lame[1]] * dimensions + [lame[1]] * shears, dtype=torch.float64))
    stiffness[:dimensions, :dimensions] += lame[0]
    return stiffness


def elements(materials: Float[Tensor, "coefficients strains strains"], dimensions: int) -> Elements:
    """Elastic elements: displacements in, engineering strains out."""
    gradients = shape_gradients(dimensions)
    corners = torch.tensor(list(itertools.product((0.0, 1.0), repeat=dimensions)), dtype=torch.float64)
    components = _COMPONENTS[dimensions]
    operators = torch.zeros(len(gradients), len(components), dimensions, len(corners), dtype=torch.float64)
    unit_strains = torch.zeros(dimensions, len(corners), len(components), dtype=torch.float64)
    for row, ((i, j), _) in enumerate(components):
        operators[:, row, i] = gradients[:, j]
        operators[:, row, j] = gradients[:, i]
        unit_strains[i, :, row] += corners[:, j] / 2
        unit_strains[j, :, row] += corners[:, i] / 2
    return Elements(operators.flatten(2), materials, unit_strains.flatten(0, 1), dimensions)
