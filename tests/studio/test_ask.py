"""The lines that the page gives make the same designs again."""

from __future__ import annotations

import shlex
from dataclasses import replace

import numpy as np
import pytest

from microwright.cli.design import cores
from microwright.cli.main import main
from microwright.design.constraints import Constraints
from microwright.design.designs import read_designs
from microwright.design.exact import direct_designs, exact_designs
from microwright.design.targets import parse_target
from microwright.errors import InputError
from microwright.studio.ask import command_line, designer_of, python_lines, shipped_models
from microwright.studio.goal_rows import ASKED, NOTHING, written


def test_command_makes_the_same_designs(ask, tmp_path):
    ask = replace(ask, constraints=Constraints(smallest_feature_px=2, no_islands=True), workers=cores())
    designs = exact_designs(ask.designer, ask.request()).designs
    words = shlex.split(command_line(ask, ["png"], out=str(tmp_path / "out")))
    assert words[0] == "microwright"
    assert main(words[1:]) == 0
    again = read_designs(tmp_path / "out" / "designs.h5")
    assert np.array_equal(again.structures, designs.structures)
    assert np.array_equal(again.achieved, designs.achieved)
    assert len(list((tmp_path / "out" / "png").iterdir())) == len(designs)


@pytest.mark.parametrize("refine", [True, False])
def test_python_lines_make_the_same_designs(ask, refine):
    ask = replace(ask, refine=refine, workers=cores(), constraints=Constraints(symmetry="mirror_x"))
    call = exact_designs if refine else direct_designs
    made: dict = {}
    exec(python_lines(ask), made)
    assert np.array_equal(made["designs"].structures, call(ask.designer, ask.request()).designs.structures)


def test_every_option_of_the_page_stands_in_the_command(ask):
    asked = Constraints(smallest_feature_px=3, smallest_gap_px=2, no_islands=True, no_enclosed_voids=True)
    ask = replace(ask, constraints=asked, certify=0.01, robust=True, fabrication=True, refine=False)
    line = command_line(ask, ["gds", "png"])
    for option in ("--smallest-feature 3", "--smallest-gap 2", "--no-islands", "--no-enclosed-voids", "--certify 0.01",
                   "--robust", "--fabrication", "--direct", "--export gds,png"):  # fmt: skip
        assert option in line


def test_a_target_with_blanks_and_signs_is_one_word(ask):
    target = "absorption=0.65±0.001, phase_fraction=0.3..0.4"
    assert target in shlex.split(command_line(replace(ask, target=target), []))


@pytest.mark.parametrize("kind", [kind for kind in ASKED if kind != NOTHING])
def test_rows_write_what_the_parser_reads(kind):
    text = written(["absorption", "phase_fraction"], kind, 0.4, 0.6, NOTHING, None, None)
    (goal,) = parse_target(text, "absorption").goals
    assert goal.property == "absorption"
    assert goal.kind.value == kind.replace(" ", "_")


def test_rows_without_numbers_ask_nothing():
    assert written(["absorption"], "value", None, None) == ""


def test_every_shipped_model_loads():
    for name in shipped_models():
        assert designer_of(name).method.card.properties


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"card\.json"):
        designer_of(str(tmp_path))


def test_a_model_of_another_version_is_refused(tmp_path):
    (tmp_path / "card.json").write_text('{"format": 99}')
    with pytest.raises(InputError, match="format 99"):
        designer_of(str(tmp_path))
