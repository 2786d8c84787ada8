"""From grey micrographs and a script of one's own to verified designs, as the guide has it; and what is refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from microwright.cli.main import main
from microwright.data.micrographs import Cutting, parse_length_nm, read_samples
from microwright.data.store import LabelledSet
from microwright.design.designs import read_designs
from microwright.errors import InputError
from microwright.structures.files import read_structures
from microwright.structures.random_fields import filtered_noise
from microwright.structures.segmentation import Segmentation

SIMULATOR = """
import numpy as np

def contrast(structures):
    x = np.asarray(structures, dtype=float)
    rows, columns = x.mean(2), x.mean(1)
    return 0.5 * x.mean((1, 2)) + (rows**2).mean(1) + 0.3 * (columns**2).mean(1)
"""
DESCRIBED = """
function = "toy_contrast:contrast"
dimensions = 2

[[properties]]
name = "contrast"
unit = "1"
"""


def run(*words: object) -> int:
    return main([str(word) for word in words])


@pytest.fixture(scope="module")
def micrographs(tmp_path_factory) -> Path:
    """Four grey images of different sizes: dark pores, grey matrix, bright inclusions, and noise."""
    folder = tmp_path_factory.mktemp("micrographs")
    generator = np.random.default_rng(0)
    for index, grid in enumerate([(64, 48), (48, 48), (64, 64), (50, 70)]):
        seeds = (torch.Generator().manual_seed(10 * index + k) for k in (0, 1))
        pores, bright = (filtered_noise(grid, (2.0, 2.0), 0.3, generator=seed)[0].numpy() for seed in seeds)
        grey = 120 - 80 * pores + 90 * (bright * (1 - pores)) + generator.normal(0, 6, grid)
        Image.fromarray(grey.clip(0, 255).astype(np.uint8)).save(folder / f"steel-{index}.png")
    return folder


@pytest.fixture(scope="module")
def windows(micrographs) -> Path:
    path = micrographs / "windows.h5"
    words = ("--window", 16, "--stride", 8, "--classes", 3, "--pixel-size", "5nm")
    assert run("data", "cut", micrographs, "--out", path, *words) == 0
    return path


def test_windows_keep_names_places_and_pixel_size(micrographs, windows):
    samples = read_structures(windows)
    assert samples.structures.shape[1:] == (16, 16) and samples.spacing == (5.0, 5.0)
    assert samples.names[0] == "steel-0@0,0" and "steel-2@48,40" in samples.names
    # (64 - 16) / 8 + 1 = 7 places by 5, 5 by 5, 7 by 7, 5 by 7
    assert len(samples.names) == 35 + 25 + 49 + 35
    whole = read_structures(micrographs / "steel-2.png", segmentation=Segmentation(3, (2,))).structures[0]
    place = samples.names.index("steel-2@48,40")
    np.testing.assert_array_equal(samples.structures[place], whole[48:64, 40:56])


def test_multi_otsu_tells_three_greys_apart(micrographs):
    dark, middle, bright = (
        read_structures(micrographs / "steel-1.png", segmentation=Segmentation(3, (k,))).structures for k in range(3)
    )
    np.testing.assert_array_equal(dark + middle + bright, 1)
    assert dark.mean() == pytest.approx(0.3, abs=0.03) and bright.mean() == pytest.approx(0.21, abs=0.08)


def test_from_micrographs_to_verified_designs(windows, tmp_path, capsys):
    (tmp_path / "toy_contrast.py").write_text(SIMULATOR)
    (tmp_path / "contrast.toml").write_text(DESCRIBED)
    simulator = ("--simulator", tmp_path / "contrast.toml")
    labelled = tmp_path / "set.zarr"
    assert run("label", windows, "--out", labelled, *simulator) == 0
    assert run("data", "report", labelled, "--out", tmp_path / "set.html") == 0
    page = (tmp_path / "set.html").read_text()
    assert "5 × 5" in page and "steel-0@0,0" in page and "contrast" in page and "<script" not in page
    wanted = float(LabelledSet.open(labelled).properties[:, 0].max()) * 1.03  # beyond all that is there
    target = ("--target", f"contrast={wanted:.5f}", "--budget", 12, "--count", 2, "--aim", 1e-4)
    out = tmp_path / "designs"
    assert run("improve", "--data", labelled, *simulator, *target, "--out", out, "--accelerator", "cpu") == 0
    designs = read_designs(out / "designs.h5")
    scope: dict[str, object] = {}
    exec(SIMULATOR, scope)  # noqa: S102 - the text above
    np.testing.assert_allclose(designs.achieved[:, 0], scope["contrast"](designs.structures))  # type: ignore[operator]
    assert designs.worst_rep.min() < 1.0
    calls = LabelledSet.open(out / "calls.zarr")
    assert 1 <= len(calls) <= 12 and len(np.unique(calls.structures[:].reshape(len(calls), -1), axis=0)) == len(calls)
    assert (out / "report.html").exists() and (out / "error-against-calls.png").exists()
    assert not (tmp_path / "designs.training").exists()


def test_properties_of_a_micrograph_are_those_of_its_windows(micrographs, tmp_path):
    with (tmp_path / "table.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["file", "strength [MPa]"], *[[f"steel-{i}.png", 100 + i] for i in range(4)]])
    words = ("--properties", tmp_path / "table.csv", "--window", 24, "--out", tmp_path / "set.zarr")
    assert run("data", "import", micrographs, *words, "--pixel-size", "0.2um") == 0
    labelled = LabelledSet.open(tmp_path / "set.zarr")
    names = labelled.source["names"]
    expected = [100 + int(name.split("@")[0][-1]) for name in names]
    np.testing.assert_array_equal(labelled.properties[:, 0], expected)
    assert labelled.source["spacing"] == [200.0, 200.0] and labelled.units == ("MPa",)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--window", 200), "no image holds a window"),
        (("--window", "16x16x16"), "axes"),
        (("--window", "wide"), "is no size"),
        (("--window", 1), "at least 2 pixels"),
        (("--window", 16, "--stride", 0), "stride"),
        (("--stride", 8), "stride"),
        (("--window", 16, "--pixel-size", "5"), "is no length"),
        (("--window", 16, "--pixel-size", "0nm"), "positive length"),
        (("--window", 16, "--classes", 9), "2 to 5"),
        (("--window", 16, "--classes", 3, "--phase", 3), "cannot be phase 1"),
        (("--window", 16, "--classes", 2, "--phase", 0, "--phase", 1), "cannot be phase 1"),
    ],
)
def test_what_cannot_be_cut_is_said_in_one_line(micrographs, tmp_path, capsys, words, said):
    assert run("data", "cut", micrographs, "--out", tmp_path / "x.h5", *words) == 2
    message = capsys.readouterr().err
    assert said in message and message.count("\n") == 1
    assert not (tmp_path / "x.h5").exists()


def test_images_without_contrast_are_refused(tmp_path):
    Image.fromarray(np.full((8, 8), 90, np.uint8)).save(tmp_path / "flat.png")
    with pytest.raises(InputError, match="one grey value"):
        read_samples(tmp_path / "flat.png", Cutting(window=(4,)))
    Image.fromarray(np.repeat([[10, 90, 200, 30]], 4, 0).astype(np.uint8)).save(tmp_path / "few.png")
    with pytest.raises(InputError, match="fewer grey values"):
        read_samples(tmp_path / "few.png", Cutting(segmentation=Segmentation(5, (4,))))


def test_lengths():
    assert [parse_length_nm(text) for text in ("5nm", "0.2 um", "1e-3mm", "0.2µm")] == [5.0, 200.0, 1000.0, 200.0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "nothing to propose from"),
        (("--data", "absent.npy"), "no such file"),
        (("--model", "absent"), "card.json"),
    ],
)
def test_improve_says_what_it_lacks(tmp_path, capsys, words, said):
    target = ("--target", "0.5", "--budget", 5, "--out", tmp_path / "designs", "--property", "absorption")
    assert run("improve", *target, *words) == 2
    assert said in capsys.readouterr().err


def test_improve_refuses_labels_of_another_simulator(windows, tmp_path, capsys):
    samples = read_structures(windows)
    with (tmp_path / "t.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["name", "k11"], *[[name, 1.0 + i] for i, name in enumerate(samples.names)]])
    assert run("data", "import", windows, "--properties", tmp_path / "t.csv", "--out", tmp_path / "s.zarr") == 0
    words = ("--data", tmp_path / "s.zarr", "--target", "5", "--budget", 3, "--out", tmp_path / "d")
    assert run("improve", *words) == 2
    assert "none named" in capsys.readouterr().err
    assert run("improve", *words, "--property", "k22") == 2
    assert "has no k22" in capsys.readouterr().err
    assert json.loads((tmp_path / "s.zarr" / "zarr.json").read_text())["attributes"]["source"]["spacing"] == [5.0, 5.0]
