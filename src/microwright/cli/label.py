"""``microwright label``: structures in, a labelled set out."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from microwright.cli.options import (
    Dataset,
    Dimensions,
    Force,
    Properties,
    Scheduler,
    SimulatorFile,
    SolverFile,
    Workers,
    chosen_dimensions,
    chosen_solver,
    named_solver,
    undeclared_dimensions,
)
from microwright.cli.progress import sample_bar, say
from microwright.data.importing import MOST_NAMES
from microwright.data.labelling import label
from microwright.data.places import is_url, place_of
from microwright.data.sources import ArraySource
from microwright.data.store import LabelledSet
from microwright.structures.files import read_structures


def label_command(
    structures: Annotated[str, typer.Argument(help="File or folder of structures, or a labelled set (also s3://).")],
    out: Annotated[str, typer.Option(help="The labelled set: a Zarr store, also as in s3://bucket/set.zarr.")],
    property: Properties = None,
    solver: SolverFile = None,
    simulator: SimulatorFile = None,
    dataset: Dataset = None,
    dimensions: Dimensions = None,
    chunk: Annotated[int, typer.Option(help="Samples per chunk, the most that a kill can lose per worker.")] = 64,
    workers: Workers = 1,
    scheduler: Scheduler = None,
    device: Annotated[str, typer.Option(help="Torch device of the solver.")] = "cpu",
    force: Force = False,
) -> None:
    """Compute properties of structures; run the same command again to continue a run that was stopped."""
    solver = named_solver(solver, simulator)
    grid_axes = chosen_dimensions(property, solver, dimensions)
    source = read_source(structures, dataset, grid_axes, undeclared_dimensions(property))
    engine = chosen_solver(property, solver, len(source.grid))
    if force:
        place_of(out).remove()
    with sample_bar("labelling") as report:
        labelled = label(
            source,
            engine,
            out,
            source.length or 0,
            chunk=chunk,
            workers=workers,
            scheduler=scheduler,
            device=device,
            progress=report,
        )
    usable = len(labelled.usable())
    failed = "" if usable == len(labelled) else f"; why not the others: {out}/failures"
    say(f"{usable} of {len(labelled)} samples converged, written to {out}{failed}")


def read_source(path: str | Path, dataset: str | None, dimensions: int | None, undeclared: int) -> ArraySource:
    """The structures of a file or folder; those of a labelled set lazily and with their latents."""
    if is_url(path) or (_is_labelled_set(Path(path)) and dataset is None):
        stored = LabelledSet.open(path)
        latents = None if stored.header.latent_shape is None else stored.latents
        return ArraySource(stored.structures, {"set": Path(path).name, "source": stored.source}, latents)
    content = read_structures(path, dimensions=dimensions, undeclared=undeclared, dataset=dataset)
    digest = hashlib.sha256(np.ascontiguousarray(content.structures).tobytes()).hexdigest()
    named = list(content.names) if len(content.names) <= MOST_NAMES else []
    origin = {"file": Path(path).name, "sha256": digest, "spacing": content.spacing, "names": named}
    return ArraySource(content.structures, origin)


def _is_labelled_set(path: Path) -> bool:
    return path.suffix.lower() == ".zarr" and (path / "done").is_dir()
