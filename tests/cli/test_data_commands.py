"""generate, label, simulate, data import: from the command line, as users type them."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from microwright.cli.main import main
from microwright.data.store import LabelledSet
from microwright.physics.catalogue import solver_for
from microwright.structures.files import read_structures


def run(*words: object) -> int:
    return main([str(word) for word in words])


def generate(path, *words: object) -> None:
    assert run("generate", "grf", "--out", path, *words) == 0


@pytest.mark.parametrize("suffix", [".npy", ".h5", ".zarr", ".tif", ""])
def test_generate_writes_what_simulate_reads(suffix, tmp_path):
    path = tmp_path / f"set{suffix}"
    generate(path, "--count", 3, "--grid", "8", "--fraction", 0.25, "--seed", 1)
    structures = read_structures(path, dimensions=2).structures
    assert structures.shape == (3, 8, 8)
    assert (structures.mean((1, 2)) == 0.25).all()


def test_generate_depends_on_the_seed_alone(tmp_path):
    for name, count, seed in (("a", 3, 1), ("b", 70, 1), ("c", 3, 2)):
        generate(tmp_path / f"{name}.npy", "--count", count, "--grid", "8", "--fraction", "0.2:0.6", "--seed", seed)
    a, b, c = (np.load(tmp_path / f"{name}.npy") for name in "abc")
    np.testing.assert_array_equal(a, b[:3])
    assert (a != c).any()


def test_generate_filtered_noise(tmp_path):
    words = ("generate", "filtered-noise", "--count", 4, "--grid", "7x8x9", "--sigma", "1,2,3", "--sigma", "0.5")
    assert run(*words, "--out", tmp_path / "a.h5") == 0
    assert read_structures(tmp_path / "a.h5").structures.shape == (4, 7, 8, 9)


def test_simulate_agrees_with_the_solver(tmp_path, capsys):
    generate(tmp_path / "a.vti", "--count", 1, "--grid", "6x6x6")
    words = ("simulate", tmp_path / "a.vti", "--property", "C11", "--property", "C12")
    assert run(*words, "--out", tmp_path / "r.csv") == 0
    with (tmp_path / "r.csv").open() as file:
        (row,) = csv.DictReader(file)
    from_api = solver_for(["C11", "C12"], 3).solve(structures_of(tmp_path / "a.vti")).values[0].tolist()
    assert [float(row["C11 [GPa]"]), float(row["C12 [GPa]"])] == pytest.approx(from_api, rel=1e-12)
    assert row["name"] == "a" and row["status"] == "converged"
    assert "converged" in capsys.readouterr().out


def structures_of(path):
    import torch

    return torch.as_tensor(read_structures(path).structures).float()


def test_names_that_look_like_markup_are_shown_as_they_are(tmp_path, capsys):
    path = tmp_path / "a[bold]b.vti"
    generate(path, "--count", 1, "--grid", "4x4x4")
    assert str(path) in capsys.readouterr().out
    assert run("simulate", path, "--property", "k11") == 0
    assert "a[bold]b" in capsys.readouterr().out


def test_a_tolerance_tightens_the_error_bar(tmp_path):
    generate(tmp_path / "a.vti", "--count", 1, "--grid", "6x6x6")
    bars = []
    for tolerance in (1e-1, 1e-6):
        words = ("simulate", tmp_path / "a.vti", "--property", "C11", "--tolerance", tolerance)
        assert run(*words, "--out", tmp_path / "r.csv", "--force") == 0
        with (tmp_path / "r.csv").open() as file:
            bars.append(float(next(csv.DictReader(file))["C11 error bar [GPa]"]))
    assert bars[0] <= 1e-1 and bars[1] <= 1e-6


def test_label_continues_and_replaces(tmp_path, capsys):
    generate(tmp_path / "a.npy", "--count", 5, "--grid", "6")
    words = (
        "label",
        tmp_path / "a.npy",
        "--property",
        "C11",
        "--dimensions",
        2,
        "--out",
        tmp_path / "set.zarr",
        "--chunk",
        2,
    )
    assert run(*words) == 0 and run(*words) == 0
    labelled = LabelledSet.open(tmp_path / "set.zarr")
    assert labelled.complete and labelled.property_names == ("C11",) and labelled.units == ("GPa",)
    assert labelled.solver["engine"] == "elasticity" and labelled.source["origin"]["file"] == "a.npy"
    np.testing.assert_array_equal(labelled.structures[:], np.load(tmp_path / "a.npy"))
    generate(tmp_path / "a.npy", "--count", 5, "--grid", "6", "--seed", 9, "--force")
    capsys.readouterr()
    assert run(*words) == 2
    assert "holds a set of another source" in capsys.readouterr().err
    assert run(*words, "--force") == 0


def test_a_labelled_set_is_labelled_again_with_another_solver(tmp_path):
    generate(tmp_path / "a.npy", "--count", 3, "--grid", "6")
    assert run("label", tmp_path / "a.npy", "--property", "C11", "--dimensions", 2, "--out", tmp_path / "a.zarr") == 0
    (tmp_path / "solver.json").write_text(json.dumps(solver_for(["k11"], 2).spec()))
    words = ("label", tmp_path / "a.zarr", "--solver", tmp_path / "solver.json", "--out", tmp_path / "b.zarr")
    assert run(*words) == 0
    assert LabelledSet.open(tmp_path / "b.zarr").property_names == ("k11",)


def test_import_from_images_and_a_table(tmp_path):
    generate(tmp_path / "images", "--count", 3, "--grid", "6")
    names = sorted(file.stem for file in (tmp_path / "images").iterdir())
    (tmp_path / "t.csv").write_text("name,absorption\n" + "".join(f"{name},0.5\n" for name in names))
    words = ("data", "import", tmp_path / "images", "--properties", tmp_path / "t.csv", "--out", tmp_path / "s.zarr")
    assert run(*words) == 0
    assert LabelledSet.open(tmp_path / "s.zarr").properties[:].tolist() == [[0.5]] * 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("generate", "grf", "--out", "{}/a.npy", "--count", 0), "count"),
        (("generate", "grf", "--out", "{}/a.npy", "--grid", "big"), "grid"),
        (("generate", "grf", "--out", "{}/a.npy", "--fraction", 1.5), "fraction"),
        (("generate", "grf", "--out", "{}/a.npy", "--mean", "x"), "mean"),
        (("generate", "grf", "--out", "{}/a.npy", "--std", "nan"), "std"),
        (("generate", "grf", "--out", "{}/a.doc"), "'.doc'"),
        (("generate", "grf", "--out", "{}/a.png", "--count", 2), "one PNG holds one"),
        (("generate", "filtered-noise", "--out", "{}/a.npy", "--sigma", "1,2"), "sigma"),
        (("simulate", "{}/nothing.npy", "--property", "C11"), "no such file"),
        (("simulate", "{}/set.npy", "--property", "magic"), "unknown name 'magic'"),
        (("simulate", "{}/set.npy"), "none given"),
        (("simulate", "{}/set.npy", "--property", "C11", "--tolerance", 0), "tolerance"),
        (("simulate", "{}/set.npy", "--solver", "{}/set.npy"), "JSON"),
        (("simulate", "{}/set.npy", "--property", "C11", "--out", "{}/set.npy"), "exists already"),
        (("label", "{}/set.npy", "--property", "C11", "--out", "{}/s.zarr", "--workers", 0), "workers"),
        (("label", "{}/set.npy", "--property", "C11", "--out", "{}"), "folder|Zarr|labelled"),
        (("label", "{}/set.npy", "--property", "C11", "--out", "{}", "--force"), "holds other things"),
        (("data", "import", "{}/set.npy", "--out", "{}/s.zarr"), "holds no properties"),
    ],
)
def test_bad_input_ends_in_one_line_and_code_2(words, message, tmp_path, capsys):
    np.save(tmp_path / "set.npy", np.eye(6, dtype=np.uint8)[None])
    before = sorted(path.name for path in tmp_path.iterdir())
    assert run(*(str(word).replace("{}", str(tmp_path)) for word in words)) == 2
    complaint = [line for line in capsys.readouterr().err.splitlines() if line.startswith("microwright:")]
    assert len(complaint) == 1
    assert any(part in complaint[0] for part in message.split("|"))
    assert sorted(path.name for path in tmp_path.iterdir()) == before
