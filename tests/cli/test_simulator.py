"""From a script of the user's own to verified designs, on the command line."""

from __future__ import annotations

import numpy as np
import pytest

from microwright.cli.main import main
from microwright.data.sources import RandomFieldSource
from microwright.data.store import LabelledSet
from microwright.design.designs import read_designs

MODULE = """
def contrast(structures):
    x = structures.astype(float)
    if x.mean((1, 2)).max() > 0.9:
        raise ValueError("too dense")
    return x.mean((1, 2)) ** 2
"""
FILE = """
function = "contrast_of_a_user:contrast"
[[properties]]
name = "contrast"
"""


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A folder with a script, its TOML file, and structures, the last of which the script does not take."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "contrast_of_a_user.py").write_text(MODULE)
    (folder / "contrast.toml").write_text(FILE)
    structures = RandomFieldSource((16, 16), phase_fraction=(0.2, 0.7), seed=3).samples(0, 120).structures.numpy()
    np.save(folder / "structures.npy", np.concatenate([structures, np.ones((1, 16, 16))]).astype(np.uint8))
    simulator = ["--simulator", str(folder / "contrast.toml")]
    assert main(["label", str(folder / "structures.npy"), *simulator, "--out", str(folder / "set.zarr")]) == 0
    return folder


def test_label_keeps_what_fails_apart(work):
    labelled = LabelledSet.open(work / "set.zarr")
    assert labelled.property_names == ("contrast",) and len(labelled.usable()) == 120
    assert "too dense" in (work / "set.zarr" / "failures" / "120.txt").read_text()


def test_simulate_tells_why(work, capsys, tmp_path):
    simulator = ["--simulator", str(work / "contrast.toml")]
    assert main(["simulate", str(work / "structures.npy"), *simulator, "--out", str(tmp_path / "out.csv")]) == 0
    assert "structures-120 failed: Traceback" in capsys.readouterr().out
    rows = (tmp_path / "out.csv").read_text().splitlines()
    assert len(rows) == 122 and rows[-1].endswith("failed")


def test_a_model_of_the_set_designs_and_is_verified(work, capsys):
    simulator = ["--simulator", str(work / "contrast.toml")]
    train = ["train", "pca-mdn", "--recipe", "smoke", "--data", str(work / "set.zarr"), "--accelerator", "cpu"]
    assert main([*train, *simulator, "--out", str(work / "model")]) == 0
    design = ["design", "--model", str(work / "model"), "--target", "0.2", "--count", "3"]
    assert main([*design, *simulator, "--out", str(work / "designs")]) == 0
    assert "no gradients to refine by" in capsys.readouterr().out
    designs = read_designs(work / "designs" / "designs.h5")
    np.testing.assert_allclose(designs.achieved[:, 0], designs.structures.mean((1, 2)) ** 2)


def test_both_kinds_of_solver_are_too_many(work, capsys):
    both = ["--solver", str(work / "other.json"), "--simulator", str(work / "contrast.toml")]
    assert main(["simulate", str(work / "structures.npy"), *both]) == 2
    assert "simulator: given together with --solver" in capsys.readouterr().err
