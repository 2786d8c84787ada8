"""What is said of one structure."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from microwright.errors import InputError
from microwright.physics.elasticity import ElasticSolver
from microwright.physics.optics import RcwaNumerics, RcwaSolver, default_cell
from microwright.studio import analyses, figures
from microwright.studio.session import Structure

FILM = (np.random.default_rng(2).random((16, 16)) < 0.5).astype(np.uint8)
OPTICAL = Structure("film", FILM, RcwaSolver(default_cell(), RcwaNumerics(harmonics=25)))
VOLUME = Structure(
    "volume", (np.random.default_rng(3).random((6, 6, 6)) < 0.5).astype(np.uint8), ElasticSolver(properties=("C11",))
)


def test_spectrum_conserves_energy_and_agrees_at_the_design_wavelength(job):
    *_, found = analyses.spectrum(OPTICAL, 600.0, 740.0, 3, job)
    total = sum(np.array(found.shares[name]) for name in analyses.SHARES)
    assert np.allclose(total, 1, atol=1e-3)
    designed = float(OPTICAL.solver.solve(torch.as_tensor(FILM).float()[None]).values)
    assert found.shares["absorption"][1] == pytest.approx(designed, abs=2e-3)
    assert found.media == "MAPbI3, Ag"
    figures.spectrum_figure(found, 670.0)


@pytest.mark.parametrize(("low", "high", "count"), [(100.0, 800.0, 5), (800.0, 400.0, 5), (400.0, 800.0, 1)])
def test_spectra_that_cannot_be_are_refused(low, high, count, job):
    with pytest.raises(InputError, match="spectrum"):
        next(analyses.spectrum(OPTICAL, low, high, count, job))


def test_convergence_passes_through_the_solver_s_own_value(job):
    for found in analyses.convergence(OPTICAL, job):
        if found.at[-1] == 25:
            break
    own = float(OPTICAL.solver.solve(torch.as_tensor(FILM).float()[None]).values)
    assert found.values["Li's rules"][found.at.index(found.used)] == pytest.approx(own, abs=1e-6)
    figures.convergence_figure(found, OPTICAL.solver.properties[0], 0.01)


def test_finer_voxels_soften_a_volume(job):
    *_, found = analyses.convergence(VOLUME, job)
    values = found.values["C11"]
    assert all(later < earlier for earlier, later in zip(values, values[1:], strict=False))  # displacement elements


def test_whole_stiffness_is_symmetric_with_the_solver_s_entry(job):
    stiffness = analyses.full_stiffness(VOLUME, job)
    own = float(VOLUME.solver.solve(torch.as_tensor(VOLUME.phase).float()[None]).values)
    assert torch.equal(stiffness, stiffness.T)
    assert float(stiffness[0, 0]) == pytest.approx(own, rel=1e-3)
    figures.modulus_figure(stiffness)


def test_films_have_no_modulus_and_volumes_no_spectrum(job):
    with pytest.raises(InputError, match="only volumes"):
        analyses.full_stiffness(OPTICAL, job)
    with pytest.raises(InputError, match="only films"):
        next(analyses.spectrum(VOLUME, 400.0, 800.0, 5, job))


def test_statistics_start_at_the_phase_fraction():
    curves = analyses.statistics(FILM[None])
    assert curves.two_point[0, 0] == pytest.approx(FILM.mean())
    figures.statistics_figure(curves, curves)
