"""The solver's contract: specs, precision, chunks, threads and refusals."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import pytest
import torch

from microwright.errors import InputError
from microwright.physics.optics import Film, OpticalCell, PatternedLayer, RcwaNumerics, RcwaSolver, simulate
from microwright.physics.optics.evaluation import guarded_problem
from microwright.physics.optics.orders import fourier_orders
from tests.physics.optics.patterns import grey, sieve

CELL = OpticalCell(600.0, 700.0, (PatternedLayer(120.0, 1.0, 2.4 + 0.2j), Film(30.0, 1.8 + 0.1j)), 1.0, 1.5)
DOUBLE = RcwaNumerics(25, precision="double")


def test_properties_are_the_shares_they_name() -> None:
    names = ("absorption", "reflectance", "transmittance", "absorption:0", "absorption:1")
    values = RcwaSolver(CELL, DOUBLE, names).solve(grey(0, batch=3)).values
    response = simulate(CELL, grey(0, batch=3), DOUBLE)
    shares = [response.absorption, response.reflectance, response.transmittance, *response.layers.unbind(-1)]
    torch.testing.assert_close(values, torch.stack(shares, -1))
    assert values.dtype == torch.float64
    torch.testing.assert_close(values[:, :3].sum(-1), torch.ones(3, dtype=torch.float64))


def test_spec_round_trip() -> None:
    solver = RcwaSolver(CELL, RcwaNumerics(49, "laurent", "circular"), ("reflectance", "absorption:1"))
    spec = json.loads(json.dumps(solver.spec()))
    again = RcwaSolver.from_spec(spec)
    assert again.spec() == solver.spec()
    assert again.cell == CELL


@pytest.mark.parametrize("harmonics", [25, 81])
def test_values_do_not_depend_on_batch_or_chunks(harmonics: int) -> None:
    patterns = grey(5, batch=5)
    numerics = RcwaNumerics(harmonics, precision="double")
    together = simulate(CELL, patterns, numerics).table
    alone = torch.cat([simulate(CELL, part, numerics).table for part in patterns.split(1)])
    tight = simulate(CELL, patterns, RcwaNumerics(harmonics, precision="double", memory_mib=1)).table
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-12)
    torch.testing.assert_close(together, tight, rtol=0, atol=1e-12)


THREADS = """
import sys, torch
if sys.argv[1] != "untouched":
    torch.set_num_threads(int(sys.argv[1]))
from microwright.physics.optics import RcwaNumerics, simulate
from tests.physics.optics.patterns import grey
from tests.physics.optics.test_rcwa_solver import CELL
x = grey(5, batch=3, size=16).requires_grad_()
for harmonics, precision in ((121, "double"), (121, "single")):
    table = simulate(CELL, x, RcwaNumerics(harmonics, precision=precision)).table
    print(*table.flatten().tolist(), *torch.autograd.grad(table[:, 0].sum(), x)[0].flatten()[::37].tolist())
"""


def test_values_do_not_depend_on_threads() -> None:
    """Batched LAPACK on the CPU goes wrong after set_num_threads; the engine must not."""
    printed = {
        threads: subprocess.run(
            [sys.executable, "-c", THREADS, threads], capture_output=True, text=True, check=True
        ).stdout.splitlines()
        for threads in ("1", "2")
    }
    for line, tolerance in ((0, 1e-10), (1, 1e-4)):
        one, two = (torch.tensor([float(v) for v in printed[t][line].split()]) for t in ("1", "2"))
        torch.testing.assert_close(two, one, rtol=0, atol=tolerance)


@pytest.mark.parametrize("formulation", ["laurent", "li"])
def test_single_precision_is_close(formulation: str) -> None:
    numerics = [RcwaNumerics(81, formulation, precision=p) for p in ("single", "double")]  # type: ignore[arg-type]
    single, double = (simulate(CELL, grey(1, batch=3).round(), n).table for n in numerics)
    assert (single - double).abs().max() < 1e-5


def test_single_precision_gives_way_where_it_fails() -> None:
    """Silver pixels: many halvings of a wide spectrum cost single precision its digits."""
    silver = OpticalCell(600.0, 400.0, (PatternedLayer(60.0, 1.5, 0.05 + 4j),), 1.0, 1.5)
    pattern = sieve().repeat(2, 1, 1)
    assert guarded_problem(silver, RcwaNumerics(49), pattern.unsqueeze(1)).numerics.precision == "double"
    assert guarded_problem(CELL, RcwaNumerics(49), pattern.unsqueeze(1)).numerics.precision == "single"
    value = RcwaSolver(silver, RcwaNumerics(49)).solve(pattern).values
    exact = RcwaSolver(silver, RcwaNumerics(49, precision="double")).solve(pattern).values
    torch.testing.assert_close(value, exact, rtol=0, atol=1e-4)


@pytest.mark.parametrize("truncation", ["square", "circular"])
@pytest.mark.parametrize("harmonics", [1, 9, 50, 200])
def test_orders_are_symmetric_and_within_bounds(harmonics: int, truncation: str) -> None:
    orders = fourier_orders(harmonics, truncation)  # type: ignore[arg-type]
    pairs = {tuple(pair) for pair in orders.pairs.tolist()}
    assert 0 < len(pairs) == len(orders) <= harmonics
    assert orders.pairs[0].tolist() == [0, 0]
    assert pairs == {(n, m) for m, n in pairs} == {(-m, n) for m, n in pairs}


@pytest.mark.parametrize(
    ("numerics", "named"),
    [
        ({"harmonics": 0}, "harmonics"),
        ({"harmonics": 2.5}, "harmonics"),
        ({"formulation": "jones"}, "formulation"),
        ({"truncation": "hexagonal"}, "truncation"),
        ({"precision": "half"}, "precision"),
        ({"memory_mib": 0}, "memory_mib"),
    ],
)
def test_bad_numerics_are_named(numerics: dict[str, object], named: str) -> None:
    with pytest.raises(InputError, match=f"^{named}"):
        RcwaNumerics(**numerics)  # type: ignore[arg-type]


def _with_nan() -> torch.Tensor:
    pattern = grey(0)
    pattern[0, 3, 3] = math.nan
    return pattern


@pytest.mark.parametrize(
    ("structures", "named"),
    [
        (_with_nan(), "structures: .*NaN"),
        (2 * grey(0), "structures: .*0, 1"),
        (grey(0)[:, :5], "structures: 5 × 12"),
        (grey(0)[0], "structures: expected 3 axes"),
        (grey(0)[:, :0], "structures: empty"),
        (grey(0, size=4), "harmonics: 25 are more"),
    ],
)
def test_bad_structures_are_named(structures: torch.Tensor, named: str) -> None:
    with pytest.raises(InputError, match=f"^{named}") as refused:
        RcwaSolver(CELL, DOUBLE).solve(structures)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["emissivity", "absorption:2", "absorption:", "reflectance:0", "absorption:-1"])
def test_unknown_properties_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="^property"):
        RcwaSolver(CELL, DOUBLE, (name,))


@pytest.mark.parametrize("damage", [{"numerics": {"harmonic": 3}}, {"cell": {}}, {"properties": ["colour"]}])
def test_damaged_specs_are_refused(damage: dict[str, object]) -> None:
    with pytest.raises(InputError):
        RcwaSolver.from_spec({**RcwaSolver(CELL, DOUBLE).spec(), **damage})
