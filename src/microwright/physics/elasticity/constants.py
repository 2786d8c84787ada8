"""Numbers read from an effective stiffness: its entries and the engineering constants.

With the compliance S = C^-1: Young's moduli E_i = 1 / S_ii, shear moduli G_ij = 1 / S_kk (k the Voigt number of ij),
Poisson's ratios nu_ij = -S_ji / S_ii (strain along j under tension along i). The bulk modulus K is the stress over the
volume change under hydrostatic pressure, one over the sum of the normal block of S. Zener's ratio 2 C44 / (C11 - C12)
takes the means over the three axes, so that it is that of the cubic part of the stiffness.
"""

from __future__ import annotations

import itertools
import re
from functools import partial

import torch
from torch import Tensor

from microwright.errors import InputError
from microwright.physics.elasticity import voigt
from microwright.physics.property import Property
from microwright.physics.voxel_solver import Quantity


def quantity(name: str, dimensions: int) -> Quantity:
    """The quantity that users call ``name``.

    Raises:
        InputError: no such quantity in this number of dimensions.
    """
    if re.fullmatch(r"C\d\d", name) and {int(name[1]), int(name[2])} <= set(voigt.numbers(dimensions)):
        return _entry(name, dimensions)
    constants = _engineering_constants(dimensions)
    if name not in constants:
        entries = "C11 to C66" if dimensions == 3 else "C11, C22, C66, C21, C61, C62"
        raise InputError(f"properties: unknown name {name!r}; choose {entries} or one of {', '.join(constants)}")
    return constants[name]


def _entry(name: str, dimensions: int) -> Quantity:
    order = voigt.numbers(dimensions)
    row, column = order.index(int(name[1])), order.index(int(name[2]))
    cases = tuple(sorted({row, column}))
    description = f"effective elastic stiffness, entry {name[1:]} (Voigt)"
    return Quantity(
        Property(name, "GPa", description), cases, partial(_pick, row=cases.index(row), column=cases.index(column))
    )


def _engineering_constants(dimensions: int) -> dict[str, Quantity]:
    order = voigt.numbers(dimensions)
    axes = range(dimensions)
    table = {
        f"E{i + 1}": ("GPa", f"effective Young's modulus along axis {i + 1}", partial(_inverse_compliance, entry=i))
        for i in axes
    }
    for position in range(dimensions, len(order)):
        i, j = {4: (2, 3), 5: (1, 3), 6: (1, 2)}[order[position]]
        read = partial(_inverse_compliance, entry=position)
        table[f"G{i}{j}"] = ("GPa", f"effective shear modulus in the plane {i}{j}", read)
    for i, j in itertools.permutations(axes, 2):
        description = f"effective Poisson's ratio, strain along {j + 1} under tension along {i + 1}"
        table[f"nu{i + 1}{j + 1}"] = ("1", description, partial(_poissons_ratio, along=i, across=j))
    table["K"] = ("GPa", "effective bulk modulus", partial(_bulk_modulus, dimensions=dimensions))
    table["zener"] = ("1", "Zener's anisotropy ratio", partial(_zener_ratio, dimensions=dimensions))
    cases = tuple(range(len(order)))
    return {
        name: Quantity(Property(name, unit, description), cases, read)
        for name, (unit, description, read) in table.items()
    }


def _pick(stiffness: Tensor, row: int, column: int) -> Tensor:
    return stiffness[:, row, column]


def _compliance(stiffness: Tensor) -> Tensor:
    return torch.linalg.inv(stiffness)


def _inverse_compliance(stiffness: Tensor, entry: int) -> Tensor:
    return 1 / _compliance(stiffness)[:, entry, entry]


def _poissons_ratio(stiffness: Tensor, along: int, across: int) -> Tensor:
    compliance = _compliance(stiffness)
    return -compliance[:, across, along] / compliance[:, along, along]


def _bulk_modulus(stiffness: Tensor, dimensions: int) -> Tensor:
    return 1 / _compliance(stiffness)[:, :dimensions, :dimensions].sum((1, 2))


def _zener_ratio(stiffness: Tensor, dimensions: int) -> Tensor:
    normal = stiffness[:, :dimensions, :dimensions]
    direct = normal.diagonal(dim1=1, dim2=2).mean(1)
    coupled = (normal.sum((1, 2)) / dimensions - direct) / (dimensions - 1)
    shear = stiffness[:, dimensions:, dimensions:].diagonal(dim1=1, dim2=2).mean(1)
    return 2 * shear / (direct - coupled)
