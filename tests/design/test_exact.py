"""From request to outcome: targets met, constraints kept, certificates true, interrupts survived, reports whole."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from microwright.design.constraints import Constraints
from microwright.design.designer import Designer
from microwright.design.designs import read_designs
from microwright.design.diversity import diversity
from microwright.design.exact import Request, direct_designs, exact_designs, training_structures
from microwright.design.refinement import RefinementNumerics
from microwright.design.report import write_report
from microwright.design.targets import Target, parse_target
from microwright.errors import InputError
from tests.design.toy import ToyMethod, ToySolver

METHOD = ToyMethod(32)
DESIGNER = Designer(METHOD, ToySolver())
MIDDLE = METHOD.card.properties[0].quantiles[50]
TARGET = Target.value("absorption", MIDDLE)


def test_designs_meet_their_target_and_differ() -> None:
    outcome = exact_designs(DESIGNER, Request(TARGET, 8, seed=3))
    direct = direct_designs(DESIGNER, Request(TARGET, 8, seed=3))
    assert len(outcome.designs) == 8
    assert outcome.verdicts == ["met"] * 8
    assert outcome.designs.worst_rep.max() < 0.1 < direct.designs.worst_rep.mean()
    assert diversity(torch.as_tensor(outcome.designs.structures).double())["smallest_pixel_distance"] > 0.02


def test_values_are_those_of_a_fresh_solve() -> None:
    outcome = exact_designs(DESIGNER, Request(parse_target("second<=0.3, absorption>=0.6", ""), 4))
    fresh = ToySolver().solve(torch.as_tensor(outcome.designs.structures).double()).values
    assert np.array_equal(outcome.designs.achieved, fresh[:, [1, 0]].numpy())


def test_constraints_hold_on_every_design_that_is_said_to_satisfy() -> None:
    asked = Constraints((0.3, 0.4), 2, no_islands=True)
    outcome = exact_designs(DESIGNER, Request(TARGET, 6, constraints=asked))
    for structure, verdict, found in zip(outcome.designs.structures, outcome.verdicts, outcome.violations, strict=True):
        assert found == asked.violations(structure)
        assert verdict != "met" or not found
    assert sum(not found for found in outcome.violations) >= 5


def test_a_fraction_range_in_the_target_is_a_constraint() -> None:
    outcome = exact_designs(DESIGNER, Request(parse_target(f"{MIDDLE}, phase_fraction=0.32..0.34", "absorption"), 4))
    assert outcome.constraints.phase_fraction == pytest.approx((0.32, 0.34))
    assert ((outcome.designs.phase_fraction >= 0.32) & (outcome.designs.phase_fraction <= 0.34)).all()
    crowded = parse_target("0.7, phase_fraction>=0.9", "absorption")
    with pytest.raises(InputError, match="exclude each other"):
        exact_designs(DESIGNER, Request(crowded, 2, constraints=Constraints((0.0, 0.3))))


def test_certified_values_meet_the_target() -> None:
    outcome = exact_designs(DESIGNER, Request(TARGET, 4, certify=0.002))
    structures = torch.as_tensor(outcome.designs.structures).double()
    certified = DESIGNER.solver.certify(structures, 0.002)
    assert np.array_equal(outcome.designs.achieved[:, 0], certified.values[:, 0].numpy())
    assert (np.abs(outcome.designs.achieved[:, 0] - MIDDLE) <= outcome.designs.error_bar[:, 0]).all()
    assert (outcome.designs.error_bar <= 0.002).all()


def test_a_bar_wider_than_the_tolerance_says_so() -> None:
    outcome = exact_designs(DESIGNER, Request(Target.value("absorption", MIDDLE, 0.001), 3, certify=0.002))
    assert set(outcome.verdicts) == {"met, bar wider than tolerance"}


def test_the_robust_mode_prefers_steady_designs() -> None:
    request = Request(TARGET, 3, fabrication=True, refinement=RefinementNumerics(rounds=6))
    plain, robust = (exact_designs(DESIGNER, replace(request, robust=mode)) for mode in (False, True))
    assert plain.tolerances is not None and robust.tolerances is not None
    assert len(robust.designs) == 3
    assert robust.tolerances.spread[:, 0].mean() < plain.tolerances.spread[:, 0].mean()


def test_an_interrupt_keeps_what_was_solved() -> None:
    def stop(number: int, misfit: torch.Tensor) -> None:
        if number == 1:
            raise KeyboardInterrupt

    outcome = exact_designs(DESIGNER, Request(TARGET, 4), stop)
    fresh = ToySolver().solve(torch.as_tensor(outcome.designs.structures).double()).values[:, :1]
    assert outcome.interrupted and any("interrupted" in note for note in outcome.notes)
    assert np.array_equal(outcome.designs.achieved, fresh.numpy())


def test_the_training_set_is_made_again() -> None:
    structures = training_structures(METHOD.card, 5)
    assert structures is not None and structures.shape == (5, 32, 32)
    other = METHOD.card.model_copy(update={"training": {"structures": {"set": "a user's own"}}})
    assert training_structures(other, 5) is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"count": 0}, "count"),
        ({"target": Target.value("absorption", 1.2)}, "physics bounds it to 0 to 1"),
        ({"target": Target.value("absorption", 0.7, 1e-9)}, "precision"),
        ({"constraints": Constraints(smallest_feature_px=30)}, "third of a cell"),
    ],
)
def test_bad_requests_are_refused(change: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        exact_designs(DESIGNER, replace(Request(TARGET, 2), **change))


def test_the_files_say_what_was_asked_and_the_report_needs_no_network(tmp_path: Path) -> None:
    asked = Constraints(smallest_feature_px=2)
    outcome = exact_designs(DESIGNER, Request(TARGET, 3, constraints=asked, fabrication=True))
    outcome.designs.write_hdf5(tmp_path / "designs.h5")
    again = read_designs(tmp_path / "designs.h5")
    assert Target.from_spec(again.request["target"]) == TARGET
    assert Constraints.from_spec(again.request["constraints"]) == asked
    assert again.remarks["verdict"] == outcome.verdicts
    write_report(tmp_path / "report.html", [outcome, direct_designs(DESIGNER, Request(TARGET, 2))])
    page = (tmp_path / "report.html").read_text()
    sources = re.findall(r"(?:src|href)=\"([^\"]*)\"", page)
    assert sources and all(source.startswith(("data:image/png;base64,", "#")) for source in sources)
    assert "<script" not in page and "@import" not in page and "url(http" not in page
    assert page.count("<img") == 5
    for value in outcome.designs.achieved[:, 0]:
        assert f"{value:.5g}" in page
