"""The table of solvers: every property name finds its engine, every spec its solver."""

from __future__ import annotations

import json
from importlib import import_module

import pytest

from microwright.errors import InputError
from microwright.physics.catalogue import ENGINES, dimensions_of, solver_for, solver_from_spec
from microwright.physics.optics import default_cell
from microwright.physics.optics.staggered import StaggeredSolver

CASES = [
    (["absorption"], 2, "rcwa"),
    (["transmittance", "absorption:0"], 2, "rcwa"),
    (["C11", "C12"], 3, "elasticity"),
    (["C66", "E1", "nu12"], 2, "elasticity"),
    (["K", "G23", "zener"], 3, "elasticity"),
    (["k11", "k12"], 3, "conduction"),
    (["k22"], 2, "conduction"),
]


@pytest.mark.parametrize(("names", "dimensions", "engine"), CASES)
def test_names_find_their_engine_and_specs_their_solver(names, dimensions, engine):
    solver = solver_for(names, dimensions)
    assert [p.name for p in solver.properties] == names and solver.dimensions == dimensions
    spec = json.loads(json.dumps(solver.spec()))
    assert spec["engine"] == engine
    again = solver_from_spec(spec)
    assert type(again) is type(solver)
    assert json.loads(json.dumps(again.spec())) == spec
    assert again.properties == solver.properties


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_can_be_imported(engine):
    module, name = ENGINES[engine]
    assert callable(getattr(import_module(module), name).from_spec)


def test_the_staggered_engine_comes_back_from_its_spec():
    solver = solver_from_spec(json.loads(json.dumps(StaggeredSolver(default_cell()).spec())))
    assert isinstance(solver, StaggeredSolver)


def test_optics_needs_images():
    assert dimensions_of(["absorption"]) == 2
    assert dimensions_of(["C11"]) is None
    with pytest.raises(InputError, match="absorption is for 2-D structures, these are 3-D"):
        solver_for(["absorption"], 3)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["hardness"], "unknown name 'hardness'; known are absorption.*C11.*k11"),
        (["absorption", "C11"], "no engine has all of absorption, C11"),
        ([], "none given"),
    ],
)
def test_names_without_an_engine_are_refused(names, message):
    with pytest.raises(InputError, match=message):
        solver_for(names, 2)


@pytest.mark.parametrize(
    "spec", [{}, {"engine": "os.system"}, {"engine": ["rcwa"]}, {"engine": "rcwa"}, {"engine": "conduction"}]
)
def test_damaged_specs_are_refused(spec):
    with pytest.raises(InputError, match="solver|engine|cell|spec"):
        solver_from_spec(spec)
