"""Independent solvers of the same discretisation, for tests and benchmarks: scikit-fem by LU, muGrid by its own CG."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

#: tensor indices of the Voigt components
VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


def unit_strain(case: int) -> np.ndarray:
    """Symmetric strain tensor of one unit engineering strain."""
    strain = np.zeros((3, 3))
    i, j = VOIGT[case]
    strain[i, j] += 0.5
    strain[j, i] += 0.5
    return strain


def lame_fields(young: np.ndarray, nu: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(lambda, mu) of every voxel."""
    return young * nu / ((1 + nu) * (1 - 2 * nu)), young / (2 * (1 + nu))


def scikit_fem_stiffness(lam: np.ndarray, mu: np.ndarray) -> np.ndarray:
    """6 x 6 stiffness of a cube of voxels on scikit-fem's periodic hexahedra by a direct solve."""
    skfem = pytest.importorskip("skfem")
    from scipy.sparse.linalg import splu
    from skfem.helpers import ddot, eye, sym_grad, trace

    axis = np.linspace(0, 1, len(lam) + 1)
    mesh = skfem.MeshHex1DG.init_tensor(axis, axis, axis, periodic=[0, 1, 2])
    basis = skfem.Basis(mesh, skfem.ElementVector(skfem.ElementHex1()), intorder=3)
    centres = skfem.MeshHex.init_tensor(axis, axis, axis)
    index = tuple((centres.p[:, centres.t].mean(axis=1) * len(lam)).astype(int))
    lam_points, mu_points = (np.repeat(field[index][:, None], basis.X.shape[1], axis=1) for field in (lam, mu))

    def stress(strain: np.ndarray) -> np.ndarray:
        return 2 * mu_points * strain + lam_points * eye(trace(strain), 3)

    @skfem.BilinearForm
    def energy(u, v, _):
        return ddot(stress(sym_grad(u)), sym_grad(v))

    matrix = energy.assemble(basis)
    strains = [np.broadcast_to(unit_strain(case)[:, :, None, None], (3, 3, *lam_points.shape)) for case in range(6)]
    forms = [skfem.LinearForm(lambda v, _, s=strain: -ddot(stress(s), sym_grad(v))) for strain in strains]
    loads = np.stack([form.assemble(basis) for form in forms], axis=1)
    free = np.arange(3, matrix.shape[0])  # one node held against translation
    solutions = np.zeros_like(loads)
    solutions[free] = splu(matrix[free][:, free].tocsc()).solve(loads[free])
    affine = [[float((stress(s) * t).sum(axis=(0, 1)).mean()) for t in strains] for s in strains]
    return np.array(affine) - loads.T @ solutions


def mugrid_stiffness(
    lam: np.ndarray, mu: np.ndarray, cases: Sequence[int], residual: float, dtype: type = np.float64
) -> tuple[np.ndarray, list[int]]:
    """Columns of the stiffness by muGrid's fused hexahedra, reference-medium preconditioner and CG; its iterations."""
    import muGrid
    from muGrid.Preconditioners import make_reference_stiffness_preconditioner
    from muGrid.Solvers import conjugate_gradients

    operator = muGrid.IsotropicStiffnessOperator3D((1.0, 1.0, 1.0))
    communicator = muGrid.Communicator()
    engine = muGrid.FFTEngine(list(lam.shape), communicator, ghosts=operator)
    fields = [engine.real_space_field(name, components=(), dtype=dtype) for name in ("lambda", "mu")]
    for field, values in zip(fields, (lam, mu), strict=True):
        field.p[...] = values
        engine.communicate_ghosts(field)
    u, load = (engine.real_space_field(name, components=(3,), dtype=dtype) for name in ("u", "load"))
    reference = {"lambda_ref": float(lam.mean()), "mu_ref": float(mu.mean()), "grid_spacing": (1.0, 1.0, 1.0)}
    precondition = make_reference_stiffness_preconditioner(
        engine, element=muGrid.FEMElement.q1, dtype=dtype, **reference
    )

    def apply(source, target):
        engine.communicate_ghosts(source)
        operator.apply(source, *fields, target)

    columns, iterations = [], []
    for case in cases:
        strain = unit_strain(case).ravel().tolist()
        operator.apply_macro_rhs(*fields, strain, load)
        load.s[...] *= -1
        u.s[...] = 0
        steps: list[int] = []
        conjugate_gradients(
            communicator,
            engine.real_space_collection,
            load,
            u,
            hessp=apply,
            prec=precondition,
            rtol=residual,
            callback=lambda step, _, steps=steps: steps.append(step),
        )
        engine.communicate_ghosts(u)
        stress = np.reshape(operator.average_stress(u, *fields, strain), (3, 3)) / lam.size
        columns.append([stress[index] for index in VOIGT])
        iterations.append(steps[-1])
    return np.array(columns).T, iterations
