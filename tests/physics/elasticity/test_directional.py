"""Young's modulus by direction against closed forms."""

from __future__ import annotations

import pytest
import torch

from microwright.errors import InputError
from microwright.physics.elasticity import voigt
from microwright.physics.elasticity.directional import directional_youngs_modulus

DIRECTIONS = torch.randn(50, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def cubic(c11: float, c12: float, c44: float) -> torch.Tensor:
    stiffness = torch.diag(torch.tensor([c11] * 3 + [c44] * 3, dtype=torch.float64))
    stiffness[:3, :3] += c12 * (1 - torch.eye(3, dtype=torch.float64))
    return stiffness


def test_isotropic_material_has_one_modulus():
    lame, shear = 60.0, 40.0
    modulus = shear * (3 * lame + 2 * shear) / (lame + shear)
    found = directional_youngs_modulus(voigt.isotropic((lame, shear), 3), DIRECTIONS)
    assert torch.allclose(found, torch.full_like(found, modulus))


def test_cubic_crystal_follows_the_closed_form():
    """1/E = S11 − 2 (S11 − S12 − S44/2)(l²m² + m²n² + l²n²): Nye 1957, p. 145; here copper."""
    stiffness = cubic(168.4, 121.4, 75.4)
    compliance = torch.linalg.inv(stiffness)
    n = DIRECTIONS / DIRECTIONS.norm(dim=-1, keepdim=True)
    x, y, z = (n**2).unbind(-1)
    s11, s12, s44 = compliance[0, 0], compliance[0, 1], compliance[3, 3]
    expected = 1 / (s11 - 2 * (s11 - s12 - s44 / 2) * (x * y + y * z + x * z))
    assert torch.allclose(directional_youngs_modulus(stiffness, DIRECTIONS), expected)
    along = directional_youngs_modulus(stiffness, torch.tensor([[1.0, 0, 0], [1, 1, 1]]))
    assert along.tolist() == pytest.approx([66.7, 191.1], abs=0.3)


def test_axes_have_the_engineering_constants():
    stiffness = cubic(168.4, 121.4, 75.4) + torch.diag(torch.tensor([0.0, 20, 40, 5, 10, 15], dtype=torch.float64))
    found = directional_youngs_modulus(stiffness, torch.eye(3))
    assert torch.allclose(found, 1 / torch.linalg.inv(stiffness).diagonal()[:3])


@pytest.mark.parametrize("stiffness", [torch.eye(3), -torch.eye(6)])
def test_what_is_no_stiffness_is_refused(stiffness):
    with pytest.raises(InputError, match="stiffness"):
        directional_youngs_modulus(stiffness, DIRECTIONS)
