"""VAE-Regression's experiments at their smallest scale: figures can be computed again from what was kept."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from microwright.bench.stiffness import CASES, StiffnessBench
from microwright.bench.stiffness_forward import METHODS
from microwright.bench.stiffness_inverse import (
    CUTS,
    DRAWS,
    FIBRES,
    PRIORS,
    SHEETS,
    STAGES,
    inferred,
    morphology,
    morphology_ranges,
    morphology_shares,
    staged_model,
)
from microwright.bench.stiffness_results import claims, verdict
from microwright.bench.stiffness_scales import SCALES, stiffness_scale
from microwright.cli.main import main
from microwright.errors import InputError


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("stiffness")
    assert main(arguments(folder)) == 0
    return folder


def arguments(folder: Path) -> list[str]:
    return ["bench", "stiffness", "--out", str(folder / "out"), "--models", str(folder / "models")]


def content(run: Path) -> dict:
    return json.loads((run / "out" / "results" / "stiffness-smoke.json").read_text())


def rows(run: Path, kind: str) -> list[dict]:
    return [row for row in content(run)["rows"] if row["kind"] == kind]


def bench(run: Path) -> StiffnessBench:
    return StiffnessBench(stiffness_scale("smoke"), run / "models" / "stiffness-smoke", report=lambda line: None)


def test_every_method_has_a_row_for_every_entry(run):
    expected = [(case, method, entry) for case, names in CASES.items() for method in METHODS for entry in names]
    assert [(row["case"], row["method"], row["entry"]) for row in rows(run, "forward")] == expected


def test_forward_figures_are_those_of_the_networks(run):
    again = bench(run)
    test = again.forward_data("C11", 0).test
    known = test.values[:, 0].double()
    predicted = {
        "vae-regression": again.vae_regression("C11", 2, 0).forward(test.structures)[0],
        "reg-only": again.reg_only("C11", 0).predict(test.structures),
    }
    for method, values in predicted.items():
        error = (values[:, 0].double() - known).abs().mean() / known.mean()
        (row,) = [row for row in rows(run, "forward") if (row["case"], row["method"]) == ("C11", method)]
        assert row["mape"] == pytest.approx(100 * float(error), rel=1e-4)


def test_achieved_stiffness_is_the_solver_s(run):
    again = bench(run)
    components = rows(run, "component")
    names = ("stage", "prior", "cut", "target")
    for stage, prior, cut, target in itertools.product(STAGES, PRIORS, CUTS, again.scale.targets):
        structures = inferred(staged_model(again, stage, prior, 0), torch.tensor([target]), cut)
        achieved = again.solver("C11").solve(structures).values[:, 0]
        own = [row for row in components if tuple(row[name] for name in names) == (stage, prior, cut, target)]
        assert len(own) == PRIORS[prior]
        assert [row["achieved"] for row in own] == pytest.approx(achieved.tolist(), rel=1e-3)
        assert sum(row["weight"] for row in own) == pytest.approx(1, abs=1e-5)
        errors = [100 * abs(row["achieved"] - target) / target for row in own]
        assert [row["error_percent"] for row in own] == pytest.approx(errors)


def test_inverse_table_counts_likely_components_alone(run):
    names = ("stage", "prior", "cut", "target")
    for row in rows(run, "inverse"):
        own = [c for c in rows(run, "component") if all(c[name] == row[name] for name in names)]
        likely = [c["error_percent"] for c in own if c["weight"] >= 0.05]
        assert row["error_percent"] == pytest.approx(np.mean(likely))


def test_draws_are_as_many_as_the_page_says(run):
    scale = bench(run).scale
    for prior, cut in itertools.product(PRIORS, CUTS):
        own = [row for row in rows(run, "drawn") if (row["prior"], row["cut"]) == (prior, cut)]
        assert sum(row["volumes"] for row in own) == DRAWS * len(scale.targets) * len(scale.inverse_seeds)


def test_the_stages_share_the_joint_training_alone(run):
    again = bench(run)
    joint, whole = (staged_model(again, stage, "mixture", 0).networks.state_dict() for stage in STAGES)
    same = {name.split(".")[0] for name, value in joint.items() if torch.equal(value, whole[name])}
    assert "generator" in same
    assert not same & {"decoder", "encoder", "common"}


def test_annealing_never_loses_what_it_found(run):
    searches: dict[tuple, list[tuple[int, float]]] = {}
    for row in rows(run, "annealing run"):
        key = tuple(row[name] for name in ("objective", "start", "cut", "seed", "target", "place"))
        searches.setdefault(key, []).append((row["iterations"], row["objective_percent"]))
    for steps in searches.values():
        values = [value for _, value in sorted(steps)]
        assert values == sorted(values, reverse=True)


def test_the_solver_s_objective_is_the_achieved_error(run):
    for row in rows(run, "annealing run"):
        if row["objective"] == "solver":
            assert row["objective_percent"] == pytest.approx(row["error_percent"], rel=1e-2, abs=0.2)


def test_page_has_the_figures_and_pictures(run):
    docs = run / "out" / "docs"
    page = (docs / "stiffness.md").read_text()
    for row in rows(run, "forward"):
        assert f"{row['mape']:.2f}" in page
    for claim in content(run)["claims"]:
        assert claim["name"] in page
    for picture in ("forward", "latents", "inferred", "errors", "annealing", "six"):
        assert f"](stiffness-{picture}.png)" in page
        assert (docs / f"stiffness-{picture}.png").stat().st_size > 1000


def test_results_say_what_was_not_run(run):
    assert any("Not run" in note and "51³" in note for note in content(run)["notes"])


def test_a_second_run_measures_and_trains_nothing_again(run, monkeypatch):
    monkeypatch.setattr(StiffnessBench, "_fit", pytest.fail)
    before = content(run)["rows"]
    assert main(arguments(run)) == 0
    assert content(run)["rows"] == before


def test_morphologies_are_told_apart(run):
    known = bench(run).morphologies()
    kinds = morphology(torch.as_tensor(known.structures[:]).float())
    assert kinds == [FIBRES, SHEETS] * (len(kinds) // 2)
    ranges = morphology_ranges(bench(run))
    # as stiff as their phases allow along the fibres, soft across the sheets
    assert ranges[FIBRES][1] > 2 * ranges[SHEETS][1] and ranges[FIBRES][0] > 2 * ranges[SHEETS][0]
    assert morphology_shares(bench(run), ranges[FIBRES][1]) == {FIBRES: 1.0, SHEETS: 0.0}
    assert morphology_shares(bench(run), 1e3) == {FIBRES: 0.0, SHEETS: 0.0}


def test_goals_are_met_or_missed_by_their_figures():
    forward = [
        {"case": "C11", "method": method, "mape": mape}
        for method, mape in (("vae-regression", 3.0), ("reg-only", 4.0), ("two-point", 3.5), ("vae-gpr", 5.0))
    ]
    compared = (
        ("joint", "decoder", "unimodal", 20.0, [SHEETS]),
        ("joint", "decoder", "mixture", 25.0, [FIBRES]),
        ("all", "decoder", "unimodal", 4.0, [SHEETS]),
        ("all", "decoder", "mixture", 3.0, [FIBRES, SHEETS]),
        ("all", "regressor", "unimodal", 17.0, [SHEETS]),
        ("all", "regressor", "mixture", 17.0, [FIBRES, SHEETS]),
    )
    names = ("stage", "cut", "prior", "error_percent")
    inverse = [
        {**dict(zip(names, figures, strict=True)), "target": 30.0, "shared": True, "morphologies": [kinds]}
        for *figures, kinds in compared
    ]
    annealing = [
        {"objective": name, "start": "inferred", "cut": cut, "iterations": 10, "error_percent": error}
        for name, cut, error in (
            ("reg-only", "decoder", 6.0),
            ("reg-only", "regressor", 4.0),
            ("solver", "decoder", 1.0),
        )
    ]
    met = [claim.met for claim in claims(forward, inverse, annealing)]
    # against one Gaussian, own morphologies, inferred directly; of each stage and cut
    compared_met = [False, False, False, *(True, True, True), *(True, True, False)]
    assert met == [*(True, False, True), *compared_met, *(False, True, True)]


@pytest.mark.parametrize(("at_ten", "said"), [(9.0, "refuted"), (11.0, "reproduced")])
def test_verdict_follows_the_table(at_ten, said):
    table = [
        {"objective": "reg-only", "start": "random", "iterations": step, "chosen_percent": error, "error_percent": 20.0}
        for step, error in ((0, 50.0), (10, at_ten), (200, 8.0))
    ]
    assert said in verdict(table, 5)


def test_scales():
    assert stiffness_scale("cpu").volumes >= 2000
    paper = SCALES["paper"]
    assert (paper.grid, paper.width, paper.latent, paper.training.epochs) == (51, 1.0, 16, 200)
    with pytest.raises(InputError, match="choose smoke, cpu, paper"):
        stiffness_scale("huge")
    assert main(["bench", "stiffness", "--scale", "huge"]) == 2
