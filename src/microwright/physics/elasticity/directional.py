r"""Young's modulus along any direction of an anisotropic stiffness.

Under tension along the unit vector n the strain along n is :math:`n_i n_j S_{ijkl} n_k n_l` per unit stress, so that
:math:`1/E(n) = m^T S m` with the compliance S = C^-1 in Voigt's order and engineering shear strain, and
:math:`m = (n_1^2, n_2^2, n_3^2, n_2 n_3, n_1 n_3, n_1 n_2)` (Nye, Physical Properties of Crystals, 1957, ch. 8).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from microwright.errors import InputError


def directional_youngs_modulus(
    stiffness: Float[Tensor, "6 6"], directions: Float[Tensor, "*batch 3"]
) -> Float[Tensor, "*batch"]:
    """Young's modulus along each direction, in the stiffness' unit.

    Args:
        stiffness: effective stiffness, Voigt order 11, 22, 33, 23, 13, 12, symmetric and positive definite.
        directions: need not be unit vectors.

    Raises:
        InputError: a stiffness of another shape or not positive definite.
    """
    if stiffness.shape != (6, 6):
        raise InputError(f"stiffness: expected 6 by 6 entries, got {tuple(stiffness.shape)}; give all of a volume's")
    symmetric = (stiffness + stiffness.T).double() / 2
    if float(torch.linalg.eigvalsh(symmetric).min()) <= 0:
        raise InputError("stiffness: not positive definite, so no material has it; solve the structure again")
    n = directions.double() / directions.double().norm(dim=-1, keepdim=True)
    x, y, z = n.unbind(-1)
    strain = torch.stack([x * x, y * y, z * z, y * z, x * z, x * y], dim=-1)
    return 1 / torch.einsum("...i,ij,...j->...", strain, torch.linalg.inv(symmetric), strain)
