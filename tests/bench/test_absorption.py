"""The whole table at its smallest scale: every figure in it can be computed again from what lies beside it."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from microwright.bench.absorption import METHODS, AbsorptionBench, refused, scale_named
from microwright.bench.published import TARGETS
from microwright.cli.main import main
from microwright.design.designs import read_designs
from microwright.errors import InputError

pytest.importorskip("botorch")
pytest.importorskip("vector_quantize_pytorch")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("bench")
    assert main(arguments(folder)) == 0
    return folder


def arguments(folder: Path) -> list[str]:
    places = ["--out", str(folder / "out"), "--models", str(folder / "models")]
    return ["bench", "absorption", "--data", "data-2", "--scale", "smoke", *places]


def rows(run: Path, kind: str) -> list[dict]:
    content = json.loads((run / "out" / "results" / "absorption-data-2.json").read_text())
    return [row for row in content["rows"] if row["kind"] == kind]


def bench(run: Path) -> AbsorptionBench:
    return AbsorptionBench("data-2", scale_named("smoke", "data-2"), run / "models" / "data-2-smoke")


def test_every_method_has_a_row_for_every_target(run):
    assert [(row["method"], row["target"]) for row in rows(run, "table")] == [(m, t) for m in METHODS for t in TARGETS]


def test_figures_are_those_of_the_designs(run):
    """REP of each row, solved again from the structures in its file."""
    again = bench(run)
    solved = 0
    for row in rows(run, "seed"):
        method = again.method(row["method"])
        assert refused(method, row["target"]) == (row["min_rep"] is None)
        if row["min_rep"] is None:
            continue
        place = f"{row['method']}-{method.card.weights_sha256[:12]}/{row['target']:g}-seed-{row['seed']}"
        designs = read_designs(again.folder / "designs" / place / "designs.h5")
        values = again.solver.solve(torch.as_tensor(designs.structures).float()).values[:, 0].numpy()
        rep = 100 * np.abs(values - row["target"]) / row["target"]
        expected = (rep.min(), rep.mean(), rep.std())
        assert (row["min_rep"], row["average_rep"], row["std_rep"]) == pytest.approx(expected, rel=1e-3, abs=1e-3)
        solved += 1
    assert solved


def test_table_is_the_mean_over_seeds(run):
    for row in rows(run, "table"):
        own = [s for s in rows(run, "seed") if (s["method"], s["target"]) == (row["method"], row["target"])]
        if not row["refused"]:
            assert row["average_rep"] == pytest.approx(np.mean([s["average_rep"] for s in own]))


def test_csv_and_page_hold_the_same_figures(run):
    page = (run / "out" / "docs" / "absorption-methods.md").read_text()
    with (run / "out" / "results" / "absorption-data-2.csv").open() as file:
        table = list(csv.DictReader(file))
    assert len(table) == len(METHODS) * len(TARGETS)
    for row in table:
        if row["average_rep"]:
            assert f"{float(row['average_rep']):.2f}" in page
    for picture in ("designs", "coverage", "history"):
        assert f"absorption-data-2-{picture}.png" in page
        assert (run / "out" / "docs" / f"absorption-data-2-{picture}.png").stat().st_size > 1000


def test_calibration_levels_are_shares(run):
    for row in rows(run, "method"):
        assert all(0 <= share <= 1 for share in (row.get("calibration") or {}).values())


def test_a_second_run_measures_nothing_again(run, monkeypatch):
    monkeypatch.setattr(AbsorptionBench, "_measure", pytest.fail)
    assert main(arguments(run)) == 0


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (["--data", "data-3"], "data: 'data-3' is unknown"),
        (["--scale", "huge"], "scale: 'huge' is unknown"),
        (["--methods", "gan-mdn,magic"], "method: 'magic' is unknown"),
    ],
)
def test_wrong_options_are_one_line(tmp_path, capsys, option, said):
    assert main([*arguments(tmp_path), *option]) == 2
    assert said in capsys.readouterr().err


def test_both_sizes_have_both_scales():
    for data, size in (("data-1", 96), ("data-2", 64)):
        assert {scale_named(scale, data).recipe.size for scale in ("smoke", "full")} == {size}
    with pytest.raises(InputError, match="choose smoke or full"):
        scale_named("big", "data-1")
