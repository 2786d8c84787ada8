"""``microwright design``: target properties in, verified structures out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from microwright.cli.options import Force, Seed
from microwright.design.designer import Designer
from microwright.design.designs import Designs
from microwright.design.gallery import write_gallery
from microwright.design.targets import parse_target
from microwright.methods import load_method
from microwright.physics.property import Status
from microwright.structures.files.output import check_output, fresh_output

SHIPPED = Path(__file__).resolve().parent.parent / "shipped"
DEFAULT_MODEL = SHIPPED / "gan-mdn-data-2"


def design_command(
    target: Annotated[list[str], typer.Option(help="Wanted value, as in 0.65; several may follow.")],
    count: Annotated[int, typer.Option(help="Structures for each target.")] = 30,
    out: Annotated[Path, typer.Option(help="Folder for the designs.")] = Path("designs"),
    model: Annotated[Path, typer.Option(help="Folder of a trained model.")] = DEFAULT_MODEL,
    seed: Seed = 0,
    force: Force = False,
) -> None:
    """Design structures that have the target property, each verified by the solver."""
    check_output(out, force)
    designer = Designer.of(load_method(model))
    targets = [parse_target(text, designer.solver.properties[0].name) for text in target]
    console = Console()
    with fresh_output(out, force) as folder:
        folder.mkdir()
        sets = []
        for wanted in targets:
            with console.status(f"designing for {wanted}"):
                sets.append(designer.design(wanted, count, seed))
            console.print(design_table(str(wanted), sets[-1]))
        write_sets(folder, [str(wanted) for wanted in targets], sets)
    console.print(summary_table([str(wanted) for wanted in targets], sets))
    console.print(f"written to {out}: designs.h5, designs.csv, gallery.png")


def write_sets(folder: Path, names: list[str], sets: list[Designs]) -> None:
    """One set goes straight into ``folder``; each of several into a folder of its own below it."""
    for name, designs in zip(names, sets, strict=True):
        place = folder if len(sets) == 1 else folder / name.replace(" ", "").replace(",", "_")
        place.mkdir(exist_ok=True)
        designs.write_hdf5(place / "designs.h5")
        designs.write_csv(place / "designs.csv")
        write_gallery(place / "gallery.png", [designs])
    if len(sets) > 1:
        write_gallery(folder / "gallery.png", sets)


def design_table(title: str, designs: Designs) -> Table:
    """Each structure with achieved values, REP and phase fraction."""
    table = Table(title=title, title_justify="left")
    for heading in ("", *(item.name for item in designs.properties), "error bar", "REP %", "phase fraction", "status"):
        table.add_column(heading, justify="right")
    for index in range(len(designs)):
        table.add_row(
            str(index),
            *(f"{value:.5f}" for value in designs.achieved[index]),
            ", ".join(f"{bar:.1g}" for bar in designs.error_bar[index]),
            f"{designs.worst_rep[index]:.3f}",
            f"{designs.phase_fraction[index]:.3f}",
            Status(int(designs.status[index])).name.lower(),
        )
    return table


def summary_table(names: list[str], sets: list[Designs]) -> Table:
    """One row a target: minimum, average and standard deviation of REP, and seconds."""
    table = Table(title="residual error percentage", title_justify="left")
    for heading in ("target", "designs", "minimum", "average", "std", "propose s", "verify s"):
        table.add_column(heading, justify="right")
    for name, designs in zip(names, sets, strict=True):
        figures = designs.summary
        table.add_row(
            name,
            str(len(designs)),
            *(f"{figures[key]:.3f}" for key in ("min_rep", "average_rep", "std_rep")),
            *(f"{designs.seconds[key]:.2f}" for key in ("propose", "verify")),
        )
    return table
