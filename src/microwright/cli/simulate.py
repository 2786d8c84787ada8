"""``microwright simulate``: structures in, properties out."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from microwright.cli.options import (
    DESIGNS,
    Dataset,
    Dimensions,
    Force,
    Properties,
    Scheduler,
    SimulatorFile,
    SolverFile,
    chosen_dimensions,
    chosen_solver,
    named_solver,
    undeclared_dimensions,
)
from microwright.cli.progress import sample_bar, say
from microwright.data.labelling import solve_each
from microwright.data.remote import working_on
from microwright.errors import InputError
from microwright.physics.property import Solution, Solver, Status
from microwright.structures.files import StructureSet, read_structures
from microwright.structures.files.output import check_output, fresh_output

#: structures solved at a time
CHUNK = 8
#: structures that go out to a cluster at a time
CHUNK_REMOTE = 1024
#: rows that are printed; a table file holds all
ROWS = 40
#: failures that are told, and characters of each
LOGS, LOG_LENGTH = 5, 400


def simulate_command(
    structures: Annotated[Path, typer.Argument(help="File or folder of structures.")],
    property: Properties = None,
    solver: SolverFile = None,
    simulator: SimulatorFile = None,
    dataset: Dataset = None,
    dimensions: Dimensions = None,
    scheduler: Scheduler = None,
    tolerance: Annotated[float | None, typer.Option(help="Largest error bar to aim at; costs time.")] = None,
    out: Annotated[Path | None, typer.Option(help="CSV of the results.")] = None,
    force: Force = False,
) -> None:
    """Properties of structures, each with error bar and status; a designs.h5 is solved as it was verified."""
    solver = named_solver(solver, simulator)
    if structures.name == DESIGNS and property is None and solver is None:
        solver = structures
    if out is not None:
        check_output(out, force)
    if tolerance is not None and not 0 < tolerance < float("inf"):
        raise InputError(f"tolerance: expected a number above 0, got {tolerance}; change --tolerance")
    content = read_structures(
        structures,
        dimensions=chosen_dimensions(property, solver, dimensions),
        undeclared=undeclared_dimensions(property),
        dataset=dataset,
    )
    engine = chosen_solver(property, solver, content.structures.ndim - 1)
    with working_on(engine, scheduler) as working:
        solution = simulate_all(working, content, tolerance, CHUNK if scheduler is None else CHUNK_REMOTE)
    Console().print(result_table(engine, content, solution))
    for index, text in list(solution.log.items())[:LOGS]:
        say(f"{content.names[index]} failed: {' '.join(text.split())[:LOG_LENGTH]}")
    if out is not None:
        with fresh_output(out, force) as draft:
            write_results(draft, engine, content, solution)
        say(f"written to {out}")


def simulate_all(solver: Solver, content: StructureSet, tolerance: float | None, chunk: int = CHUNK) -> Solution:
    """Solve all structures, a few at a time; with ``tolerance`` until the error bars are that small, where they can."""
    solve = solver.solve if tolerance is None else lambda batch: solver.certify(batch, tolerance)
    parts = []
    with sample_bar("simulating") as report:
        for start in range(0, len(content.structures), chunk):
            batch = torch.as_tensor(content.structures[start : start + chunk]).float()
            solution, log = solve_each(solve, batch, len(solver.properties))
            parts.append(replace(solution, log=log))
            report(start + len(batch), len(content.structures))
    return Solution.concatenate(parts)


def result_table(solver: Solver, content: StructureSet, solution: Solution) -> Table:
    """The first structures with their values."""
    table = Table(caption=_caption(len(content.names)), caption_justify="left")
    headings = [p.name if p.unit == "1" else f"{p.name} / {p.unit}" for p in solver.properties]
    for heading in ("structure", *headings, "fraction", "status"):
        table.add_column(heading, overflow="fold")
    for index, name in enumerate(content.names[:ROWS]):
        numbers = zip(solution.values[index].tolist(), solution.error_bar[index].tolist(), strict=True)
        cells = [f"{value:.6g} ± {'unknown' if bar != bar else f'{bar:.1g}'}" for value, bar in numbers]
        status = Status(int(solution.status[index]))
        remedy = f" ({status.remedy})" if status.remedy else ""
        said = status.name.lower().replace("_", " ") + remedy
        table.add_row(escape(name), *cells, f"{content.structures[index].mean():.4f}", said)
    return table


def write_results(path: Path, solver: Solver, content: StructureSet, solution: Solution) -> None:
    """CSV: name, each property with its error bar, phase fraction, status."""
    header = [text for p in solver.properties for text in (f"{p.name} [{p.unit}]", f"{p.name} error bar [{p.unit}]")]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["name", *header, "phase fraction", "status"])
        for index, name in enumerate(content.names):
            numbers = zip(solution.values[index].tolist(), solution.error_bar[index].tolist(), strict=True)
            cells = [repr(number) for pair in numbers for number in pair]
            status = Status(int(solution.status[index])).name.lower()
            writer.writerow([name, *cells, content.structures[index].mean(), status])


def _caption(count: int) -> str | None:
    return None if count <= ROWS else f"{count - ROWS} more; --out FILE.csv writes all"
