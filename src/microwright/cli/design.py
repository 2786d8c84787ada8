"""``microwright design``: target properties in, verified structures out."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table

from microwright.cli.options import Force, Scheduler, Seed, SimulatorFile, read_solver
from microwright.data.remote import working_on
from microwright.design.constraints import SYMMETRIES, Constraints, constraints_of_file, pixels_of
from microwright.design.designer import Designer
from microwright.design.exact import Request, direct_designs, exact_designs
from microwright.design.export import FORMATS, check_formats, export, period_of_spec
from microwright.design.gallery import write_gallery
from microwright.design.outcome import Outcome
from microwright.design.refinement import RefinementNumerics
from microwright.design.report import write_report
from microwright.design.targets import PHASE_FRACTION, Target, parse_target
from microwright.errors import InputError
from microwright.methods import SHIPPED, load_method, model_of, shipped_for
from microwright.methods.card import ModelCard
from microwright.physics.surrogate import GuidedSolver, SurrogateSolver
from microwright.structures.files.output import check_output, fresh_output

DEFAULT_MODEL = SHIPPED / "gan-mdn-data-2"
INTERRUPTED = 130


def design_command(
    target: Annotated[
        list[str],
        typer.Option(
            help="Wanted values, as in 0.65 or 'absorption=0.65±0.001, phase_fraction=0.3..0.4', or a TOML file."
        ),
    ],
    count: Annotated[int, typer.Option(help="Structures for each target.")] = 30,
    out: Annotated[Path, typer.Option(help="Folder for the designs.")] = Path("designs"),
    properties: Annotated[
        list[str] | None, typer.Option("--property", help="Choose the shipped model of this property, as in C11.")
    ] = None,
    model: Annotated[Path | None, typer.Option(help="Folder of a trained model, or of several.")] = None,
    method: Annotated[
        str | None, typer.Option(help="Method, as in gan-mdn: its model in --model, or the one that is shipped.")
    ] = None,
    refine: Annotated[bool, typer.Option("--refine/--direct", help="Refine, or take the method's samples.")] = True,
    smallest_feature: Annotated[str, typer.Option(help="Smallest width of phase 1: pixels, or as in 40nm.")] = "1",
    smallest_gap: Annotated[str, typer.Option(help="Smallest width of phase 0: pixels, or as in 40nm.")] = "1",
    no_islands: Annotated[bool, typer.Option("--no-islands", help="Every piece of phase 1 is attached.")] = False,
    no_enclosed_voids: Annotated[
        bool, typer.Option("--no-enclosed-voids", help="Every piece of phase 0 is attached.")
    ] = False,
    symmetry: Annotated[str, typer.Option(help=f"One of {', '.join(SYMMETRIES)}.")] = "none",
    certify: Annotated[float | None, typer.Option(help="Wanted half-width of the error bars, as in 0.003.")] = None,
    robust: Annotated[bool, typer.Option("--robust", help="Prefer designs that ±1 pixel changes least.")] = False,
    fabrication: Annotated[
        bool, typer.Option("--fabrication", help="Report what fabrication errors do to each design.")
    ] = False,
    export_formats: Annotated[str, typer.Option("--export", help=f"Of {', '.join(FORMATS)}, with commas.")] = "",
    simulator: SimulatorFile = None,
    surrogate: Annotated[
        Path | None, typer.Option(help="Folder of a surrogate that guides refinement; the solver itself verifies.")
    ] = None,
    scheduler: Scheduler = None,
    seed: Seed = 0,
    force: Force = False,
) -> int:
    """Design structures that have the target property, each verified by the solver."""
    check_output(out, force)
    if simulator is not None:
        read_solver(simulator)  # from here on the model's own spec finds it
    designer = Designer.of(load_method(chosen_model(model, method, properties or _named(target[0]))))
    check_properties(designer.method.card, properties or ())
    formats = [name.strip() for name in export_formats.split(",") if name.strip()]
    check_formats(formats, len(designer.method.card.grid))
    flags = Constraints(
        smallest_feature_px=_pixels(smallest_feature, designer),
        smallest_gap_px=_pixels(smallest_gap, designer),
        no_islands=no_islands,
        no_enclosed_voids=no_enclosed_voids,
        symmetry=symmetry,
    )
    targets = [parse_target(text, designer.solver.properties[0].name) for text in target]
    requests = [
        Request(
            target=wanted,
            count=count,
            seed=seed,
            constraints=constraints_of_file(text, flags),
            refinement=RefinementNumerics(workers=cores()),
            certify=certify,
            robust=robust,
            fabrication=fabrication,
        )
        for text, wanted in zip(target, targets, strict=True)
    ]
    console = Console()
    if refine and not designer.solver.differentiable:
        console.print("the simulator gives no gradients to refine by: these are the method's own samples")
        refine = False
    with fresh_output(out, force) as folder:
        folder.mkdir()
        with working_on(designer.solver, scheduler) as solver:
            guided = solver if surrogate is None else GuidedSolver(solver, SurrogateSolver.load(surrogate))
            outcomes = design_all(replace(designer, solver=guided), requests, refine, console)
        write_outcomes(folder, outcomes, formats)
    console.print(summary_table(outcomes))
    console.print(f"written to {out}: designs.h5, designs.csv, gallery.png, report.html{_exported(formats)}")
    if outcomes[-1].interrupted:
        console.print(
            "interrupted: everything that was solved so far is in there, each value for exactly its structure"
        )
        return INTERRUPTED
    return 0


def chosen_model(model: Path | None, method: str | None, properties: Sequence[str]) -> Path:
    """Folder of the model that ``--model`` and ``--method`` ask for, or of the shipped one for the properties."""
    if method is not None:
        return model_of(method, SHIPPED if model is None else model)
    if model is not None:
        return model
    return shipped_for(properties) if properties else DEFAULT_MODEL


def check_properties(card: ModelCard, asked: Sequence[str]) -> None:
    """Refuse a model that designs for none of the properties asked for.

    Raises:
        InputError: naming both.
    """
    known = [item.name for item in card.properties]
    if asked and not set(asked) & set(known):
        raise InputError(
            f"property: this {card.method} model designs for {', '.join(known)}, not for {', '.join(asked)}; leave out "
            "--model and --method, or train one with `microwright train`"
        )


def _named(target: str) -> list[str]:
    """The properties that a target names, the phase fraction aside; none for a bare number."""
    names = parse_target(target, "").properties
    return [name for name in names if name not in ("", PHASE_FRACTION)]


def design_all(designer: Designer, requests: list[Request], refine: bool, console: Console) -> list[Outcome]:
    """One outcome for each request; an interrupt leaves those that are there."""
    outcomes: list[Outcome] = []
    for request in requests:
        with console.status(f"designing for {request.target}") as status:
            try:
                if refine:
                    outcomes.append(exact_designs(designer, request, _teller(status.update, request.target)))
                else:
                    outcomes.append(direct_designs(designer, request))
            except KeyboardInterrupt:
                if not outcomes:
                    raise
                return [*outcomes[:-1], replace(outcomes[-1], interrupted=True)]
        console.print(design_table(outcomes[-1]))
        for note in outcomes[-1].notes:
            console.print(f"  {note}", style="dim", highlight=False)
        if outcomes[-1].interrupted:
            break
    return outcomes


def write_outcomes(folder: Path, outcomes: list[Outcome], formats: list[str]) -> None:
    """One set goes straight into ``folder``; each of several into a folder of its own below it."""
    for outcome in outcomes:
        place = folder if len(outcomes) == 1 else folder / _folder_name(outcome.target)
        place.mkdir(exist_ok=True)
        outcome.designs.write_hdf5(place / "designs.h5")
        outcome.designs.write_csv(place / "designs.csv")
        write_gallery(place / "gallery.png", [outcome.designs])
        export(place, outcome.designs, formats)
    if len(outcomes) > 1:
        write_gallery(folder / "gallery.png", [outcome.designs for outcome in outcomes])
    write_report(folder / "report.html", outcomes)


def design_table(outcome: Outcome) -> Table:
    """Each structure with achieved values, REP, phase fraction and verdict."""
    designs = outcome.designs
    table = Table(title=str(outcome.target), title_justify="left")
    counted = PHASE_FRACTION in outcome.target.properties
    fraction = () if counted else ("phase fraction",)
    for heading in ("", *(item.name for item in designs.properties), "error bar", "REP %", *fraction, "verdict"):
        table.add_column(heading, justify="right")
    for index, verdict in enumerate(outcome.verdicts):
        table.add_row(
            str(index),
            *(f"{value:.5f}" for value in designs.achieved[index]),
            ", ".join("unknown" if np.isnan(bar) else f"{bar:.1g}" for bar in designs.error_bar[index]),
            "-" if np.isnan(designs.rep[index]).all() else f"{designs.worst_rep[index]:.3f}",
            *(() if counted else (f"{designs.phase_fraction[index]:.3f}",)),
            "; ".join([verdict, *outcome.violations[index]]),
        )
    return table


def summary_table(outcomes: list[Outcome]) -> Table:
    """One row a target: how many meet it by value and with their whole bar, REP, and seconds."""
    table = Table(title="residual error percentage", title_justify="left")
    for heading in ("target", "designs", "meet it", "certain", "minimum", "average", "std", "propose s", "verify s"):
        table.add_column(heading, justify="right")
    for outcome in outcomes:
        designs = outcome.designs
        figures = designs.summary if not np.isnan(designs.rep).all() else {}
        table.add_row(
            str(outcome.target),
            str(len(designs)),
            str(outcome.meeting),
            str(outcome.certain),
            *(f"{figures[key]:.3f}" if figures else "-" for key in ("min_rep", "average_rep", "std_rep")),
            *(f"{designs.seconds[key]:.2f}" for key in ("propose", "verify")),
        )
    return table


def _teller(update: Callable[[str], None], target: Target) -> Callable[[int, torch.Tensor], None]:
    def tell(number: int, misfit: torch.Tensor) -> None:
        update(f"designing for {target}: round {number}, mean error {100 * float(misfit.mean()):.2g} %")

    return tell


def _pixels(text: str, designer: Designer) -> int:
    """``"3"`` as pixels, ``"40nm"`` as the pixels that are at least as wide."""
    length = text.strip().lower()
    try:
        if length.endswith("nm"):
            grid = designer.method.card.grid
            return pixels_of(float(length[:-2]), period_of_spec(designer.solver.spec()), grid[0])
        return int(length)
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"smallest feature or gap: {text!r} is no size; write 3 for pixels, or 40nm") from error


def _folder_name(target: Target) -> str:
    return "".join("_" if letter in ',<>:"/\\|?*' else letter for letter in str(target).replace(" ", ""))


def _exported(formats: list[str]) -> str:
    return "".join(f", {name}/" for name in formats)


def cores() -> int:
    """Threads that solve side by side; torch's own then stay out of their way.

    One thread each is the fastest split of a batch of small matrices.
    """
    if torch.get_num_threads() > 1:
        torch.set_num_threads(1)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
