"""Training from nothing to a model, a real kill in the middle, and what a trained model refuses."""

import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from microwright.data.importing import import_set
from microwright.data.labelling import label
from microwright.data.sources import ArraySource, RandomFieldSource
from microwright.design.designer import Designer
from microwright.design.targets import Target
from microwright.errors import InputError
from microwright.methods import load_method, load_shipped, train_method
from microwright.methods.gan_mdn import shipped_generator
from microwright.methods.recipes import recipe_named
from microwright.methods.workspace import Workspace
from microwright.physics.optics import RcwaNumerics, RcwaSolver, default_cell
from microwright.training.settings import GanTraining, MdnTraining

PUBLISHED = Path(__file__).resolve().parents[3] / "shared" / "data" / "gan_mdn_data2_sample.h5"
TINY = replace(
    recipe_named("smoke"),
    size=32,
    structures=40,
    labels=32,
    gan=GanTraining(steps=12, batch=8, steps_per_epoch=2),
    mdn=MdnTraining(epochs=6, batch=8),
    numerics=RcwaNumerics(harmonics=9),
)
SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests.methods.test_gan_mdn import TINY
from microwright.methods import train_method
from microwright.methods.workspace import Workspace
train_method("gan-mdn", TINY, Workspace(Path(sys.argv[1]), workers=1, progress=False))
"""
ROOT = Path(__file__).resolve().parents[2]


def start(folder: Path) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", SCRIPT, str(folder), str(ROOT)], cwd=ROOT)


def test_killed_training_continues_to_the_same_model(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    train_method("gan-mdn", TINY, Workspace(whole, workers=1, progress=False))
    first = start(killed)
    checkpoint = tmp_path / "killed.training" / "gan" / "last.ckpt" / "state.json"
    while not checkpoint.exists() and first.poll() is None:
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert not killed.exists()
    assert start(killed).wait() == 0
    one, other = (load_method(folder).representation.state_dict() for folder in (whole, killed))
    assert all(torch.allclose(one[name], other[name], atol=1e-6) for name in one)
    assert not (tmp_path / "killed.training").exists()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tiny"
    train_method("gan-mdn", TINY, Workspace(folder, workers=1, progress=False))
    return load_method(folder)


def test_one_generator_makes_both_sizes():
    """Fully convolutional: a constant latent map gives the same pixels, away from the border, at 64 and 96."""
    small, large = load_shipped("gan-mdn-data-2").representation, shipped_generator(recipe_named("data-1"))
    assert large.latent_shape == (3, 3)
    with torch.no_grad():
        first, second = (network.decode(torch.zeros(1, *network.latent_shape))[0] for network in (small, large))
    assert second.shape == (96, 96)
    assert torch.allclose(first[:16, :16], second[:16, :16], atol=1e-5)


def test_designs_are_verified_by_the_solver_of_the_labels(model):
    card = model.card.properties[0]
    designs = Designer.of(model).design(Target.value("absorption", (card.low + card.high) / 2), 3, seed=0)
    fresh = RcwaSolver(default_cell(), TINY.numerics).solve(torch.as_tensor(designs.structures).float())
    assert np.allclose(designs.achieved, fresh.values.numpy(), atol=1e-6)
    assert designs.structures.shape == (3, 32, 32)
    again = Designer.of(model).design(Target.value("absorption", (card.low + card.high) / 2), 3, seed=0)
    assert np.array_equal(designs.structures, again.structures)


@pytest.mark.parametrize(
    ("target", "count", "said"),
    [
        (Target.value("absorption", 0.999), 3, "cannot be reached, the model saw"),
        (Target.value("C11", 30.0), 3, "unknown property C11"),
        (Target.value("phase_fraction", 0.3), 3, "absorption is missing"),
        (Target.value("absorption", 0.5), 0, "count"),
    ],
)
def test_what_cannot_be_designed_is_refused(model, target, count, said):
    with pytest.raises(InputError, match=said):
        Designer.of(model).design(target, count, seed=0)


def test_volumes_are_refused(tmp_path):
    solver = RcwaSolver(default_cell(), TINY.numerics)
    flat = label(RandomFieldSource((16, 16)), solver, tmp_path / "flat.zarr", 4)
    assert flat.complete
    with pytest.raises(InputError, match="2-D"):
        label(ArraySource(np.zeros((2, 8, 8, 8), np.uint8), "volumes"), solver, tmp_path / "volumes.zarr", 2)


def test_another_request_does_not_continue_a_training(tmp_path):
    workspace = Workspace(tmp_path / "model", progress=False)
    with pytest.raises(RuntimeError), workspace.opened({"seed": 0}):
        raise RuntimeError("stopped in the middle")
    with pytest.raises(InputError, match="unfinished training with other settings"), workspace.opened({"seed": 1}):
        pass


@pytest.mark.skipif(not PUBLISHED.exists(), reason="absent")
def test_the_published_structures_are_imported_simulated_and_learnt_from(tmp_path):
    imported = import_set(PUBLISHED, tmp_path / "published.zarr")
    solver = RcwaSolver(default_cell(), RcwaNumerics(harmonics=25))
    labels = label(ArraySource(imported.structures, "published"), solver, tmp_path / "labels.zarr", len(imported))
    recipe = replace(recipe_named("smoke"), labels=24, gan=TINY.gan, mdn=TINY.mdn)
    workspace = Workspace(tmp_path / "model", workers=1, progress=False)
    method = train_method("gan-mdn", recipe, workspace, labels)
    assert method.card.solver == solver.spec()
    assert method.card.grid == (64, 64)
