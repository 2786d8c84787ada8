"""Methods that learn from a labelled set: trained, saved, resumed after a failure, and refused what does not fit."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from microwright.data.labelling import label
from microwright.data.store import Chunk, LabelledSet
from microwright.design.designer import Designer
from microwright.design.targets import Target
from microwright.errors import InputError
from microwright.methods import load_method, model_of, train_method
from microwright.methods.encoded import train_encoded
from microwright.methods.recipes import recipe_named
from microwright.methods.workspace import Workspace
from microwright.physics.elasticity import ElasticSolver
from microwright.physics.optics import RcwaNumerics
from microwright.representations.vqvae import VqVaeShape
from microwright.training.settings import MdnTraining, VqVaeTraining

pytest.importorskip("vector_quantize_pytorch")
TINY = replace(
    recipe_named("smoke"),
    size=32,
    structures=24,
    labels=24,
    components=5,
    mdn=MdnTraining(epochs=4, batch=8),
    pixel_mdn=MdnTraining(epochs=2, batch=8),
    vqvae_shape=VqVaeShape(width=2, widest=4, codes=8),
    vqvae=VqVaeTraining(steps=4, batch=8, steps_per_epoch=2, harmonics=9),
    numerics=RcwaNumerics(harmonics=9),
)
ENCODED = ("pca-mdn", "pixel-mdn", "vqvae-mdn")


def workspace(folder) -> Workspace:
    return Workspace(folder, accelerator="cpu", workers=1, progress=False)


@pytest.fixture(scope="module")
def family(tmp_path_factory) -> LabelledSet:
    return label(TINY.source(0), TINY.solver(), tmp_path_factory.mktemp("set") / "family.zarr", TINY.labels)


@pytest.fixture(scope="module")
def models(family, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for name in ENCODED:
        train_method(name, TINY, workspace(folder / name), family)
    return folder


@pytest.mark.parametrize("name", ENCODED)
def test_a_model_from_its_folder_proposes_binary_structures(models, name):
    method = load_method(models / name)
    item = method.card.properties[0]
    target = torch.tensor([(item.low + item.high) / 2], dtype=torch.float64)
    first, again = (method.propose(target, 6, torch.Generator().manual_seed(2)) for _ in range(2))
    assert first.structures.shape == (6, 32, 32)
    assert set(first.structures.unique().tolist()) <= {0.0, 1.0}
    assert torch.equal(first.structures, again.structures)
    assert not (models / f"{name}.training").exists()


@pytest.mark.parametrize("name", ENCODED)
def test_training_that_broke_off_continues_to_the_same_model(models, family, tmp_path, monkeypatch, name):
    def killed(*arguments, **settings):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("microwright.inverters.mdn_training.train_mdn", killed)
        with pytest.raises(KeyboardInterrupt):
            train_method(name, TINY, workspace(tmp_path / name), family)
    assert (tmp_path / f"{name}.training").exists()
    train_method(name, TINY, workspace(tmp_path / name), family)
    ours, theirs = load_method(tmp_path / name).card, load_method(models / name).card
    assert ours == theirs


@pytest.mark.parametrize("name", ENCODED)
def test_a_method_is_found_by_its_name(models, name):
    """Among several models in one folder, and in its own."""
    assert model_of(name, models) == model_of(name, models / name) == models / name


def test_a_method_without_a_model_says_how_to_train_one(models):
    with pytest.raises(InputError, match=r"no trained bayesian-optimisation is in .*`microwright train") as caught:
        model_of("bayesian-optimisation", models)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="no trained pca-mdn comes with the package"):
        model_of("pca-mdn")


def test_latents_follow_the_structures_of_the_set(models, family):
    """PCA's card counts the samples, and its latents of the set have unit variance."""
    method = load_method(models / "pca-mdn")
    assert method.card.training["samples"] == len(family)
    latents = method.representation.encode(torch.as_tensor(family.structures[:]).float())
    assert latents.std(0) == pytest.approx(1, abs=1e-3)


def test_a_property_that_the_model_was_not_trained_on_is_said(models):
    designer = Designer.of(load_method(models / "pca-mdn"))
    with pytest.raises(InputError) as caught:
        designer.design(Target.value("C11", 30.0), 2, seed=0)
    assert "\n" not in str(caught.value)
    assert "C11" in str(caught.value)


@pytest.mark.parametrize("name", ["gan-mdn", *ENCODED, "bayesian-optimisation"])
def test_volumes_are_refused(tmp_path, name):
    solver = ElasticSolver()
    volumes = LabelledSet.create(
        tmp_path / "volumes.zarr",
        count=2,
        grid=(4, 4, 4),
        properties=solver.properties[:1],
        solver=solver.spec(),
        source={},
        chunk=2,
    )
    values = np.ones((2, 1))
    volumes.write_chunk(0, Chunk(np.zeros((2, 4, 4, 4), np.uint8), values, values, np.zeros(2, np.uint8)))
    with pytest.raises(InputError, match="learns from images"):
        train_method(name, TINY, workspace(tmp_path / "model"), volumes)


def test_a_set_without_usable_samples_is_said(tmp_path):
    solver = TINY.solver()
    empty = LabelledSet.create(
        tmp_path / "empty.zarr",
        count=4,
        grid=(32, 32),
        properties=solver.properties,
        solver=solver.spec(),
        source={},
    )
    with pytest.raises(InputError, match="0 usable samples"):
        train_encoded("pca-mdn", pytest.fail, TINY.mdn, TINY, workspace(tmp_path / "model"), empty)
