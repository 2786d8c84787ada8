"""Against independent solvers of the same discretisation: scikit-fem by LU, muGrid by its own Krylov method."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from microwright.physics.elasticity import ElasticPhases, ElasticSolver
from microwright.physics.homogenisation import CgNumerics

UNIT_STRAINS = [
    np.array(strain, dtype=float)
    for strain in (
        [[1, 0, 0], [0, 0, 0], [0, 0, 0]],
        [[0, 0, 0], [0, 1, 0], [0, 0, 0]],
        [[0, 0, 0], [0, 0, 0], [0, 0, 1]],
        [[0, 0, 0], [0, 0, 0.5], [0, 0.5, 0]],
        [[0, 0, 0.5], [0, 0, 0], [0.5, 0, 0]],
        [[0, 0.5, 0], [0.5, 0, 0], [0, 0, 0]],
    )
]
ENTRIES = [f"C{i}{j}" for i in range(1, 7) for j in range(1, 7)]


def scikit_fem_stiffness(young: np.ndarray, nu: np.ndarray) -> np.ndarray:
    """6 x 6 stiffness of a periodic cube of voxels by scikit-fem's hexahedra and a direct solve."""
    skfem = pytest.importorskip("skfem")
    from skfem.helpers import ddot, eye, sym_grad, trace
    from skfem.models.elasticity import lame_parameters

    n = len(young)
    axis = np.linspace(0, 1, n + 1)
    mesh = skfem.MeshHex1DG.init_tensor(axis, axis, axis, periodic=[0, 1, 2])
    basis = skfem.Basis(mesh, skfem.ElementVector(skfem.ElementHex1()), intorder=3)
    centres = skfem.MeshHex.init_tensor(axis, axis, axis)
    middle = centres.p[:, centres.t].mean(axis=1)
    index = tuple((middle * n).astype(int))
    lam, mu = (np.repeat(value[index][:, None], basis.X.shape[1], axis=1) for value in lame_parameters(young, nu))

    def stress(strain):
        return 2 * mu * strain + lam * eye(trace(strain), 3)

    @skfem.BilinearForm
    def energy(u, v, _):
        return ddot(stress(sym_grad(u)), sym_grad(v))

    matrix = energy.assemble(basis)
    strains = [np.broadcast_to(strain[:, :, None, None], (3, 3, *lam.shape)) for strain in UNIT_STRAINS]
    loads = np.stack(
        [skfem.LinearForm(lambda v, _, s=s: -ddot(stress(s), sym_grad(v))).assemble(basis) for s in strains], axis=1
    )
    free = np.arange(3, matrix.shape[0])
    solutions = np.zeros_like(loads)
    from scipy.sparse.linalg import splu

    solutions[free] = splu(matrix[free][:, free].tocsc()).solve(loads[free])
    voigt = np.array([[float((stress(s) * t).sum(axis=(0, 1)).mean()) for t in strains] for s in strains])
    return voigt - loads.T @ solutions


@pytest.mark.parametrize("ratios", [(0.3, 0.3), (0.1, 0.4)])
def test_scikit_fem(ratios: tuple[float, float]) -> None:
    structure = np.random.default_rng(0).random((11, 11, 11)) < 0.4
    phases = ElasticPhases((2.4, 120.0), ratios)
    solver = ElasticSolver(phases, CgNumerics(1e-10, precision="double"), ENTRIES)
    ours = solver.solve(torch.from_numpy(structure[None].astype(float))).values.view(6, 6)
    young, nu = (np.where(structure, pair[1], pair[0]) for pair in (phases.youngs_moduli_gpa, ratios))
    reference = scikit_fem_stiffness(young, nu)
    np.testing.assert_allclose(ours.numpy(), reference, rtol=1e-6, atol=1e-6 * reference.max())
