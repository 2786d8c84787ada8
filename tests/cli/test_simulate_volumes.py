"""Stiffness of a user's volume, whatever file it lies in."""

import csv

import h5py
import numpy as np
import pytest
import tifffile
import torch

from microwright.cli.main import main
from microwright.physics.elasticity import ElasticSolver
from microwright.structures.files import StructureSet, write_structures
from microwright.structures.random_fields import filtered_noise

VOLUME = (
    filtered_noise((9, 9, 9), (1, 2, 2), 0.4, generator=torch.Generator().manual_seed(0))[0].numpy().astype(np.uint8)
)


def write_vti(path):
    write_structures(path, StructureSet(VOLUME[None], ("volume",)))


def write_hdf5(path):
    with h5py.File(path, "w") as file:
        file["voxels"] = VOLUME


WRITERS = {
    "volume.vti": write_vti,
    "volume.tif": lambda path: tifffile.imwrite(path, 255 * VOLUME),
    "volume.npy": lambda path: np.save(path, VOLUME),
    "volume.h5": write_hdf5,
}


@pytest.mark.parametrize("name", WRITERS)
def test_stiffness_of_a_volume(name, tmp_path):
    WRITERS[name](tmp_path / name)
    assert main(["simulate", str(tmp_path / name), "--property", "C11", "--out", str(tmp_path / "values.csv")]) == 0
    with (tmp_path / "values.csv").open() as file:
        (row,) = csv.DictReader(file)
    expected = float(ElasticSolver().solve(torch.as_tensor(VOLUME[None]).float()).values)
    assert float(row["C11 [GPa]"]) == pytest.approx(expected, rel=2e-4)
