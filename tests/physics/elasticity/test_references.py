"""Against independent solvers of the same discretisation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from microwright.data.filtered_noise_set import FilteredNoiseSet
from microwright.physics.elasticity import CgNumerics, ElasticPhases, ElasticSolver
from tests.physics.elasticity.peers import lame_fields, mugrid_stiffness, scikit_fem_stiffness

ENTRIES = [f"C{i}{j}" for i in range(1, 7) for j in range(1, 7)]


@pytest.mark.parametrize("ratios", [(0.3, 0.3), (0.1, 0.4)])
def test_scikit_fem(ratios: tuple[float, float]) -> None:
    structure = np.random.default_rng(0).random((11, 11, 11)) < 0.4
    phases = ElasticPhases((2.4, 120.0), ratios)
    solver = ElasticSolver(phases, CgNumerics(1e-10, precision="double"), ENTRIES)
    ours = solver.solve(torch.from_numpy(structure[None].astype(float))).values.view(6, 6).numpy()
    young, nu = (np.where(structure, pair[1], pair[0]) for pair in (phases.youngs_moduli_gpa, ratios))
    reference = scikit_fem_stiffness(*lame_fields(young, nu))
    np.testing.assert_allclose(ours, reference, rtol=1e-6, atol=1e-6 * reference.max())


def test_mugrid_on_the_papers_set() -> None:
    pytest.importorskip("muGrid")
    structure = FilteredNoiseSet().structures([15])
    solver = ElasticSolver(numerics=CgNumerics(1e-9, precision="double"), properties=("C11", "C21"))
    ours = solver.solve(structure).values[0].numpy()
    young = np.where(structure[0].numpy() > 0.5, 120.0, 2.4)
    columns, _ = mugrid_stiffness(*lame_fields(young, np.array(0.3)), cases=[0], residual=1e-6)
    np.testing.assert_allclose(ours, columns[:2, 0], rtol=1e-6)
