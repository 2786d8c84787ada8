"""Every bad input ends in one line that names it."""

from __future__ import annotations

import pytest
import torch

from microwright.errors import InputError
from microwright.physics.elasticity import CgNumerics, ElasticPhases, ElasticSolver


@pytest.mark.parametrize(
    "arguments, word",
    [
        (((0.0, 1.0), (0.3, 0.3)), "youngs_moduli_gpa"),
        (((-2.0, 1.0), (0.3, 0.3)), "youngs_moduli_gpa"),
        (((float("nan"), 1.0), (0.3, 0.3)), "youngs_moduli_gpa"),
        (((float("inf"), 1.0), (0.3, 0.3)), "youngs_moduli_gpa"),
        (((1.0, 2.0), (0.3, 0.5)), "poissons_ratios"),
        (((1.0, 2.0), (-1.0, 0.3)), "poissons_ratios"),
        (((1.0, 2.0), (0.3,)), "phases"),
        (((1.0,), (0.3,)), "phases"),
    ],
)
def test_phases(arguments: tuple, word: str) -> None:
    with pytest.raises(InputError, match=word) as caught:
        ElasticPhases(*arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "arguments, word",
    [
        ({"tolerance": 0.0}, "tolerance"),
        ({"tolerance": 1e-9}, "double"),
        ({"precision": "half"}, "precision"),
        ({"max_iterations": 0}, "max_iterations"),
    ],
)
def test_numerics(arguments: dict, word: str) -> None:
    with pytest.raises(InputError, match=word):
        CgNumerics(**arguments)


@pytest.mark.parametrize(
    "arguments, word",
    [
        ({"properties": ("C17",)}, "C17"),
        ({"properties": ("hardness",)}, "hardness"),
        ({"properties": ()}, "properties"),
        ({"properties": ("C33",), "dimensions": 2}, "C33"),
        ({"properties": ("E3",), "dimensions": 2}, "E3"),
        ({"dimensions": 1}, "dimensions"),
        ({"dimensions": 2, "plane": "shear"}, "plane"),
    ],
)
def test_solver(arguments: dict, word: str) -> None:
    with pytest.raises(InputError, match=word):
        ElasticSolver(**arguments)


@pytest.mark.parametrize(
    "structures, word",
    [
        (torch.ones(4, 4, 4), "axes"),
        (torch.full((1, 3, 3, 3), torch.nan), "NaN"),
        (torch.full((1, 3, 3, 3), 1.5), "values"),
        (torch.ones(1, 4, 4, 1), "one voxel thin"),
        (torch.ones(0, 4, 4, 4), "empty"),
    ],
)
def test_structures(structures: torch.Tensor, word: str) -> None:
    solver = ElasticSolver()
    for call in (solver.solve, lambda x: solver.fields(x, (0.01, 0, 0, 0, 0, 0))):
        with pytest.raises(InputError, match=word):
            call(structures)


def test_strain() -> None:
    with pytest.raises(InputError, match="strain"):
        ElasticSolver().fields(torch.ones(1, 3, 3, 3), (0.01, 0.0))
