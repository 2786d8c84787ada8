"""The surrogate: what it learns, its gradient, its error bars, its files, and refinement that trusts the simulator."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from microwright.cli.main import main
from microwright.data.labelling import label
from microwright.data.sources import RandomFieldSource
from microwright.data.store import LabelledSet
from microwright.design.refinement import RefinementNumerics, refine
from microwright.design.targets import Target
from microwright.errors import InputError
from microwright.improve.learning import learn_surrogate
from microwright.methods.workspace import Workspace
from microwright.physics.catalogue import solver_from_spec
from microwright.physics.property import Property, Solution, Solver
from microwright.physics.surrogate import EnsembleShape, GuidedSolver, SurrogateSolver, SurrogateTraining
from microwright.physics.surrogate.network import Ensemble, coarse_lattice
from tests.design.toy import ToySolver, fields

SHAPE = EnsembleShape(members=3, lattice=8, channels=6, width=3, hidden=8)
TRAINING = SurrogateTraining(steps=150, steps_per_epoch=50, shape=SHAPE)


class BlackBox(Solver):
    """The toy physics without a gradient; counts its calls."""

    properties = ToySolver.properties
    dimensions = 2

    def __init__(self) -> None:
        self.calls = 0

    def spec(self) -> dict[str, object]:
        return {"engine": "toy"}

    def solve(self, structures: torch.Tensor) -> Solution:
        self.calls += len(structures)
        with torch.no_grad():
            return ToySolver().solve(structures)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory) -> LabelledSet:
    source = RandomFieldSource((16, 16), 0.0, 2.0, (0.2, 0.6), seed=1)
    return label(source, ToySolver(), tmp_path_factory.mktemp("set") / "set.zarr", 160)


@pytest.fixture(scope="module")
def surrogate(labelled, tmp_path_factory) -> SurrogateSolver:
    folder = tmp_path_factory.mktemp("model") / "surrogate"
    return learn_surrogate(labelled, TRAINING, Workspace(folder, accelerator="cpu", progress=False))


def drawn(count: int, seed: int = 5) -> torch.Tensor:
    return RandomFieldSource((16, 16), 0.0, 2.0, (0.2, 0.6), seed=seed).samples(0, count).structures


def test_it_explains_structures_that_it_never_saw(surrogate):
    structures = drawn(100)
    truth, guess = ToySolver().solve(structures).values, surrogate.solve(structures).values
    unexplained = (truth - guess).square().mean(0) / truth.var(0)
    assert (unexplained < 0.3).all()


def test_error_bars_hold_the_truth_as_often_as_asked(surrogate):
    """Coverage 0.9 by 32 calibration samples; 200 new structures tell within three standard deviations of both."""
    structures = drawn(200, seed=6)
    solution = surrogate.solve(structures)
    inside = (ToySolver().solve(structures).values - solution.values).abs() <= solution.error_bar
    assert torch.isfinite(solution.error_bar).all() and (solution.error_bar > 0).all()
    assert (inside.double().mean(0) > 0.9 - 3 * 0.057).all()
    assert {"absorption: coverage", "second: variance explained"} <= set(surrogate.card.metrics)


def test_the_gradient_is_that_of_the_values(surrogate):
    structures = drawn(2).double().clamp(0.2, 0.8).requires_grad_()
    direction = torch.randn(structures.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    slope = (torch.autograd.grad(surrogate.solve(structures).values.sum(), structures)[0] * direction).sum()
    step = 1e-2
    with torch.no_grad():
        ends = [
            surrogate.solve(structures + sign * step * direction.clamp(-10, 10).div(10)).values.sum()
            for sign in (1, -1)
        ]
    assert float(slope) / 10 == pytest.approx(float((ends[0] - ends[1]) / (2 * step)), rel=2e-2, abs=2e-3)


def test_a_shift_by_whole_lattice_cells_changes_nothing(surrogate):
    structures = drawn(3)
    shifted = torch.roll(structures, (4, 6), (1, 2))
    torch.testing.assert_close(
        surrogate.solve(structures).values, surrogate.solve(shifted).values, rtol=1e-4, atol=1e-5
    )


def test_the_spec_finds_the_same_surrogate_and_no_other(surrogate, tmp_path):
    spec = json.loads(json.dumps(surrogate.spec()))
    structures = drawn(4)
    again = solver_from_spec(spec)
    torch.testing.assert_close(again.solve(structures).values, surrogate.solve(structures).values)
    with pytest.raises(InputError, match="other weights"):
        solver_from_spec({**spec, "sha256": "0" * 64})
    with pytest.raises(InputError, match="was not learnt"):
        solver_from_spec({**spec, "properties": ["C11"]})
    with pytest.raises(InputError, match=r"card\.json"):
        solver_from_spec({**spec, "folder": str(tmp_path)})


def test_damaged_weights_are_refused(surrogate, tmp_path):
    copy = surrogate.save(tmp_path / "copy").folder
    path = copy / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(InputError, match="train or copy"):
        SurrogateSolver.load(copy)


def test_other_grids_are_refused(surrogate):
    with pytest.raises(InputError, match="the surrogate learnt"):
        surrogate.solve(torch.zeros(1, 8, 8))


def test_refinement_without_gradients_reports_the_simulators_values(surrogate):
    """A guided refinement lowers every misfit, and each value is the black box's own for exactly that structure."""
    box = BlackBox()
    structures = drawn(4, seed=9).double()
    target = Target.value("absorption", float(ToySolver().solve(structures).values[:, 0].mean()))
    refined = refine(structures, target, GuidedSolver(box, surrogate), numerics=RefinementNumerics(rounds=6))
    assert (refined.misfit <= refined.start_misfit).all()
    assert refined.misfit.mean() < 0.3 * refined.start_misfit.mean()
    truth = ToySolver().solve(refined.structures).values[:, :1]
    torch.testing.assert_close(refined.values, truth)
    assert box.calls == refined.rounds[-1].calls


def test_a_guide_must_know_what_the_simulator_computes(surrogate):
    class Other(BlackBox):
        properties = (Property("C11", "GPa", "stiffness"),)

    with pytest.raises(InputError, match="C11"):
        GuidedSolver(Other(), surrogate)


def test_volumes_of_any_proportions():
    ensemble = Ensemble((6, 8, 5), 2, EnsembleShape(members=2, lattice=4, channels=3, width=3, hidden=4))
    structures = fields(2, 6, dimensions=3)[:, :, :, :5].repeat(1, 1, 2, 1)[:, :, :8]
    assert ensemble(structures).shape == (2, 2, 2)
    assert coarse_lattice((96, 48), 16) == (16, 8) and coarse_lattice((8, 8), 16) == (8, 8)


def test_a_killed_training_goes_on_to_the_same_weights(labelled, surrogate, tmp_path, monkeypatch):
    import microwright.physics.surrogate.training as training

    calls = iter(range(100))

    def dying(*arguments):
        if next(calls) == 90:
            raise KeyboardInterrupt
        return whole(*arguments)

    whole = training._EnsembleModule.training_step
    monkeypatch.setattr(training._EnsembleModule, "training_step", dying)
    workspace = Workspace(tmp_path / "again", accelerator="cpu", progress=False)
    with pytest.raises(BaseException):  # noqa: B017 - Lightning ends an interrupt in an exit of its own
        learn_surrogate(labelled, TRAINING, workspace)
    monkeypatch.undo()
    again = learn_surrogate(labelled, TRAINING, workspace)
    assert again.card.weights_sha256 == surrogate.card.weights_sha256


def test_too_little_data_is_said(labelled, tmp_path):
    workspace = Workspace(tmp_path / "model", accelerator="cpu", progress=False)
    with pytest.raises(InputError, match="need 99"):
        learn_surrogate(labelled, replace(TRAINING, coverage=0.99), workspace)
    with pytest.raises(InputError, match="sum to less than 1"):
        replace(TRAINING, calibration=0.7, test=0.3)


def test_from_the_command_line(labelled, tmp_path, capsys):
    assert main(["train", "surrogate", "--out", str(tmp_path / "m")]) == 2
    assert "give --data" in capsys.readouterr().err


def test_the_folder_is_a_solver_on_the_command_line(surrogate, tmp_path, capsys):
    import numpy as np

    np.save(tmp_path / "x.npy", drawn(2).numpy().astype(np.uint8))
    spec = Path(tmp_path / "solver.json")
    spec.write_text(json.dumps(surrogate.spec()))
    assert main(["simulate", str(tmp_path / "x.npy"), "--solver", str(spec), "--dimensions", "2"]) == 0
    assert "absorption" in capsys.readouterr().out
