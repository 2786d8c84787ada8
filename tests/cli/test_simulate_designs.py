"""A file of designs is solved as it was verified."""

import csv
import json

import numpy as np
import torch

from microwright.cli.main import main
from microwright.design.designs import Designs
from microwright.physics.optics import RcwaNumerics, RcwaSolver, default_cell


def test_designs_are_simulated_as_they_were_verified(tmp_path, capsys):
    solver = RcwaSolver(default_cell(), RcwaNumerics(harmonics=25, formulation="laurent"))
    structures = (torch.rand((2, 16, 16), generator=torch.Generator().manual_seed(0)) > 0.5).to(torch.uint8)
    values = solver.solve(structures.float()).values
    Designs(
        properties=solver.properties,
        target=np.array([0.5]),
        structures=structures.numpy(),
        achieved=values.numpy(),
        error_bar=np.full((2, 1), np.nan),
        status=np.zeros(2, dtype=np.int64),
        solver=json.loads(json.dumps(solver.spec())),
        method="none",
        seed=0,
    ).write_hdf5(tmp_path / "designs.h5")
    assert main(["simulate", str(tmp_path / "designs.h5"), "--out", str(tmp_path / "values.csv")]) == 0
    with (tmp_path / "values.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert np.allclose([float(row["absorption [1]"]) for row in rows], values[:, 0].numpy(), atol=1e-5)
