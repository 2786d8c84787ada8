"""Import: sets that exist already, tables matched by name, and what is missing named."""

from __future__ import annotations

import csv
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from microwright.data.importing import Layout, as_property, import_set
from microwright.errors import InputError
from microwright.physics.catalogue import solver_for
from microwright.physics.property import Status

PUBLISHED = Path(__file__).parents[3] / "shared" / "data" / "gan_mdn_data2_sample.h5"


def drawn(count: int, size: int = 6) -> np.ndarray:
    return (np.random.default_rng(0).random((count, size, size)) < 0.4).astype(np.uint8)


@pytest.fixture
def images(tmp_path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for index, structure in enumerate(drawn(12)):
        Image.fromarray(structure * np.uint8(255)).save(folder / f"sample {index}.png")
    return folder


def write_table(path: Path, rows: list[list[object]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


@pytest.mark.skipif(not PUBLISHED.exists(), reason="absent")
def test_the_published_set_is_imported_as_it_is(tmp_path):
    labelled = import_set(PUBLISHED, tmp_path / "set.zarr", layout=Layout(property_names=["absorption"]))
    with h5py.File(PUBLISHED) as file:
        np.testing.assert_array_equal(labelled.structures[:], file["x"][:])
        np.testing.assert_array_equal(labelled.properties[:, 0], file["y"][:])
        np.testing.assert_allclose(labelled.latents[:], file["z"][:], rtol=1e-7)
    assert labelled.complete and labelled.property_names == ("absorption",)
    assert labelled.usable().tolist() == list(range(60))


@pytest.mark.skipif(not PUBLISHED.exists(), reason="absent")
def test_published_structures_absorb_in_the_default_cell(tmp_path):
    labelled = import_set(PUBLISHED, tmp_path / "set.zarr")
    solver = solver_for(["absorption", "reflectance"], 2)
    solution = solver.solve(torch_of(labelled.structures[:2]))
    assert (solution.status == Status.CONVERGED).all()
    assert ((solution.values > 0) & (solution.values < 1)).all() and (solution.values.sum(1) <= 1 + 1e-9).all()


def torch_of(structures: np.ndarray):
    import torch

    return torch.as_tensor(structures).float()


def test_tables_are_matched_by_name_in_any_order(images, tmp_path):
    order = np.random.default_rng(1).permutation(12)
    rows = [["C11 [GPa]", "file", "absorption"]]
    rows += [[10 + i, f"sample {i}.png" if i % 2 else f"sample {i}", i / 100] for i in order]
    labelled = import_set(images, tmp_path / "set.zarr", table=write_table(tmp_path / "t.csv", rows))
    np.testing.assert_array_equal(labelled.structures[:], drawn(12))
    np.testing.assert_allclose(labelled.properties[:], [[10 + i, i / 100] for i in range(12)])
    assert labelled.property_names == ("C11", "absorption") and labelled.units == ("GPa", "1")


def test_a_table_without_names_follows_the_order(images, tmp_path):
    rows = [["absorption"], *[[i / 100] for i in range(12)]]
    labelled = import_set(images, tmp_path / "set.zarr", table=write_table(tmp_path / "t.csv", rows))
    np.testing.assert_allclose(labelled.properties[:, 0], np.arange(12) / 100)


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_datasets_of_any_name(suffix, tmp_path):
    structures, properties, latents = drawn(5), np.random.default_rng(2).random((5, 2)), np.zeros((5, 3))
    path = tmp_path / f"a{suffix}"
    content = {"micro": structures, "stiff": properties, "codes": latents}
    if suffix == ".npz":
        np.savez(path, **content)
    else:
        with h5py.File(path, "w") as file:
            file.update(content)
    layout = Layout("micro", "stiff", "codes")
    labelled = import_set(path, tmp_path / "set.zarr", layout=layout)
    np.testing.assert_array_equal(labelled.structures[:], structures)
    np.testing.assert_array_equal(labelled.properties[:], properties)
    assert labelled.property_names == ("stiff0", "stiff1")
    assert labelled.latents.shape == (5, 3)


def test_a_npy_with_a_table(tmp_path):
    np.save(tmp_path / "a.npy", drawn(5))
    np.save(tmp_path / "y.npy", np.arange(5.0))
    labelled = import_set(tmp_path / "a.npy", tmp_path / "set.zarr", table=tmp_path / "y.npy")
    np.testing.assert_array_equal(labelled.properties[:, 0], np.arange(5.0))
    assert labelled.property_names == ("y",)


NUMBERS = [[f"sample {i}", i / 100] for i in range(12)]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([["name", "a"], *NUMBERS[:3], *NUMBERS[5:]], r"no properties for 'sample 3' \(2 in all\)"),
        ([["name", "a"], *NUMBERS[:11], ["sample 11", ""]], "properties of 'sample 11' are missing"),
        ([["name", "a"], *NUMBERS[:11], ["sample 11"]], "properties of 'sample 11' are missing"),
        ([["name", "a"], *NUMBERS[:11], ["sample 11", "nan"]], "properties of 'sample 11' are missing or not finite"),
        ([["name", "a"], *NUMBERS[:11], ["sample 11", "high"]], "row 13, a: 'high' is no number"),
        ([["a"], [1], [2]], "2 rows for 12 structures"),
        ([["name"], ["sample 0"]], "only names"),
        ([["name", "a"]], "empty"),
        ([], "empty"),
    ],
)
def test_incomplete_tables_are_named(rows, message, images, tmp_path):
    table = write_table(tmp_path / "t.csv", rows)
    with pytest.raises(InputError, match=message):
        import_set(images, tmp_path / "set.zarr", table=table)
    assert not (tmp_path / "set.zarr").exists()


def test_images_without_a_table_say_what_is_missing(images, tmp_path):
    with pytest.raises(InputError, match="holds no properties; give a CSV"):
        import_set(images, tmp_path / "set.zarr")
    with pytest.raises(InputError, match="no such table"):
        import_set(images, tmp_path / "set.zarr", table=tmp_path / "t.csv")


def test_datasets_that_do_not_fit_are_named(tmp_path):
    np.savez(tmp_path / "a.npz", x=drawn(5), y=np.arange(4.0))
    with pytest.raises(InputError, match="4 rows for 5 structures"):
        import_set(tmp_path / "a.npz", tmp_path / "set.zarr")
    np.savez(tmp_path / "b.npz", x=drawn(5), w=np.arange(5.0))
    with pytest.raises(InputError, match="no dataset properties or y"):
        import_set(tmp_path / "b.npz", tmp_path / "set.zarr")
    np.savez(tmp_path / "c.npz", x=drawn(5), y=np.arange(5.0), z=np.zeros((4, 2)))
    with pytest.raises(InputError, match="no set of 5 finite latents"):
        import_set(tmp_path / "c.npz", tmp_path / "set.zarr")
    np.savez(tmp_path / "d.npz", x=drawn(5), y=np.arange(10.0).reshape(5, 2))
    with pytest.raises(InputError, match="2 properties per structure, 1 names"):
        import_set(tmp_path / "d.npz", tmp_path / "set.zarr", layout=Layout(property_names=["a"]))


def test_sets_are_not_overwritten(images, tmp_path):
    table = write_table(tmp_path / "t.csv", [["name", "a"], *NUMBERS])
    import_set(images, tmp_path / "set.zarr", table=table)
    with pytest.raises(InputError, match="exists already"):
        import_set(images, tmp_path / "set.zarr", table=table)
    assert import_set(images, tmp_path / "set.zarr", table=table, replace=True).complete


@pytest.mark.parametrize(
    ("text", "name", "unit"),
    [("absorption", "absorption", "1"), ("C11 [GPa]", "C11", "GPa"), (" k11[W/(m K)] ", "k11", "W/(m K)")],
)
def test_headers_name_property_and_unit(text, name, unit):
    assert (as_property(text).name, as_property(text).unit) == (name, unit)


@pytest.mark.parametrize("text", ["", "[GPa]", "a [b] c"])
def test_headers_that_are_no_names_are_refused(text):
    with pytest.raises(InputError, match="is no name"):
        as_property(text)
