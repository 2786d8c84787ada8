"""The paper's set comes back from its seeds, and its shipped labels from the solver."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import microwright.data.filtered_noise_set as module
from microwright.data.filtered_noise_set import FILTERS, FilteredNoiseSet, shipped_stiffness
from microwright.errors import InputError
from microwright.physics.elasticity import ElasticSolver

SMALL = FilteredNoiseSet(seed=3, size=200, grid=(9, 8, 7))


def test_a_structure_depends_on_its_number_and_the_seed_alone() -> None:
    together = SMALL.structures([5, 130, 7])
    assert torch.equal(together[1:2], SMALL.structures([130]))
    assert torch.equal(together, FilteredNoiseSet(seed=3, size=131, grid=(9, 8, 7)).structures([5, 130, 7]))
    assert not torch.equal(together, FilteredNoiseSet(seed=4, size=200, grid=(9, 8, 7)).structures([5, 130, 7]))
    assert not torch.equal(SMALL.structures([1]), SMALL.structures([65]))  # one filter, two noises


def test_every_filter_has_as_many_structures_and_all_phase_fractions() -> None:
    whole = FilteredNoiseSet()
    assert whole.size == len(FILTERS) * 139
    assert [whole.sigma(index) for index in range(64, 128)] == list(FILTERS)
    fractions = torch.tensor([whole.phase_fraction(index) for index in range(0, whole.size, 13)])
    spread = torch.histc(fractions, bins=5, min=0.25, max=0.75)
    assert spread.sum() == len(fractions)
    assert spread.min() > 0.7 * spread.max()


def test_the_phase_fraction_is_that_of_the_structure() -> None:
    for index, structure in zip((0, 77), SMALL.structures([0, 77]), strict=True):
        assert abs(float(structure.mean()) - SMALL.phase_fraction(index)) <= 0.5 / structure.numel() + 1e-7


def test_shipped_labels_are_those_of_the_solver() -> None:
    shipped = shipped_stiffness(["C11"])
    solver = ElasticSolver.from_spec(shipped.solver | {"properties": ["C11"]})
    for row in (0, 15, len(shipped.indices) // 2, -1):
        solution = solver.solve(FilteredNoiseSet().structures([int(shipped.indices[row])]))
        bars = solution.error_bar + shipped.error_bar[row]
        assert (solution.values - shipped.values[row]).abs() <= bars


def test_labels_ship_for_every_filter_alike() -> None:
    indices = shipped_stiffness(["C11"]).indices
    assert torch.equal(indices, torch.arange(len(indices)))
    assert len(indices) >= 50 * len(FILTERS)


def test_shipped_tensors_are_those_of_the_solver() -> None:
    names = ["C11", "C21", "C31", "C22", "C32", "C33"]
    shipped = shipped_stiffness(names)
    assert len(shipped.indices) >= len(FILTERS)
    index = int(shipped.indices[-1])
    solution = ElasticSolver.from_spec(shipped.solver).solve(FilteredNoiseSet().structures([index]))
    assert ((solution.values[0] - shipped.values[-1]).abs() <= solution.error_bar[0] + shipped.error_bar[-1]).all()


def test_shipped_labels_lie_between_the_bounds_of_their_fractions() -> None:
    shipped = shipped_stiffness(["C11"])
    fraction = torch.tensor([FilteredNoiseSet().phase_fraction(int(index)) for index in shipped.indices])
    soft, hard = (young * 0.7 / (1.3 * 0.4) for young in (2.4, 120.0))
    voigt = fraction * hard + (1 - fraction) * soft
    reuss = 1 / (fraction / hard + (1 - fraction) / soft)  # phases of one Poisson's ratio: Reuss's bound entry by entry
    assert (shipped.values[:, 0] < voigt).all()
    assert (shipped.values[:, 0] > reuss).all()


def test_the_labels_take_less_than_a_megabyte() -> None:
    folder = Path(module.__file__).parent / "shipped"
    assert sum(path.stat().st_size for path in folder.iterdir()) < 1_000_000


def test_bad_input() -> None:
    for arguments, word in (({"seed": -1}, "seed"), ({"size": 0}, "size"), ({"size": 1 << 17}, "size")):
        with pytest.raises(InputError, match=word):
            FilteredNoiseSet(**arguments)
    with pytest.raises(InputError, match="index"):
        SMALL.structures([200])
    with pytest.raises(InputError, match="C44"):
        shipped_stiffness(["C44"])
