"""Label the default filtered-noise set with its effective stiffness, chunk by chunk; restartable.

    python scripts/make_stiffness_labels.py label SCRATCH --properties C11
    python scripts/make_stiffness_labels.py label SCRATCH --properties C11 C21 C31 C22 C32 C33
    python scripts/make_stiffness_labels.py ship SCRATCH

Every chunk of 64 structures (one of each filter) is one file in SCRATCH; a killed run goes on at the first chunk that
is missing. ``ship`` gathers what is there into the package: the six entries where they were computed, C11 elsewhere.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from microwright.data.filtered_noise_set import FILTERS, FilteredNoiseSet
from microwright.physics.elasticity import ElasticSolver
from microwright.physics.property import Status

ENTRIES = ("C11", "C21", "C31", "C22", "C32", "C33")
SHIPPED = Path(__file__).parents[1] / "src/microwright/data/shipped/filtered_noise_stiffness.npz"


def label(scratch: Path, properties: Sequence[str], chunks: int | None) -> None:
    """Solve the chunks that are not in ``scratch`` yet, at most ``chunks`` of them."""
    torch.set_num_threads(1)
    scratch.mkdir(parents=True, exist_ok=True)
    structures = FilteredNoiseSet()
    solver = ElasticSolver(properties=tuple(properties))
    starts = range(0, structures.size, len(FILTERS))
    missing = [start for start in starts if not chunk_path(scratch, properties, start).exists()]
    for start in missing[:chunks]:
        path = chunk_path(scratch, properties, start)
        label_chunk(path, structures, solver, range(start, min(start + len(FILTERS), structures.size)))
        print(path.name, flush=True)


def label_chunk(path: Path, structures: FilteredNoiseSet, solver: ElasticSolver, indices: Sequence[int]) -> None:
    """Write the labels of ``indices`` at once, or nothing."""
    solution = solver.solve(structures.structures(indices))
    if bool((solution.status != Status.CONVERGED).any()):
        raise SystemExit(f"{path.name}: not converged; {Status.NOT_CONVERGED.remedy}")
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        np.savez(file, values=solution.values.numpy(), error_bar=solution.error_bar.numpy())
    partial.rename(path)


def ship(scratch: Path) -> None:
    """Gather the chunks into the package's data."""
    size = FilteredNoiseSet().size
    table = {key: np.full((size, len(ENTRIES)), np.nan, np.float32) for key in ("values", "error_bar")}
    for properties in (("C11",), ENTRIES):
        for start in range(0, size, len(FILTERS)):
            path = chunk_path(scratch, properties, start)
            if path.exists():
                with np.load(path, allow_pickle=False) as chunk:
                    for key, column in table.items():
                        column[start : start + len(FILTERS), : len(properties)] = chunk[key]
    solver = json.dumps(ElasticSolver(properties=ENTRIES).spec())
    SHIPPED.parent.mkdir(exist_ok=True)
    np.savez_compressed(SHIPPED, names=np.array(json.dumps(ENTRIES)), solver=np.array(solver), **table)
    print(f"{(~np.isnan(table['values'])).sum(0)} labels, {SHIPPED.stat().st_size} bytes")


def chunk_path(scratch: Path, properties: Sequence[str], start: int) -> Path:
    return scratch / f"{'-'.join(properties)}-{start:05d}.npz"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("label", "ship"))
    parser.add_argument("scratch", type=Path)
    parser.add_argument("--properties", nargs="+", default=["C11"])
    parser.add_argument("--chunks", type=int, help="stop after so many chunks")
    arguments = parser.parse_args()
    if arguments.action == "label":
        label(arguments.scratch, arguments.properties, arguments.chunks)
    else:
        ship(arguments.scratch)


if __name__ == "__main__":
    main()
