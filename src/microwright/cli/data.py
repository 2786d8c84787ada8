"""``microwright data``: sets that exist already."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from microwright.cli.options import Dimensions, Force
from microwright.cli.progress import say
from microwright.data.importing import Layout, import_set

app = typer.Typer(help="Labelled sets of your own data.", no_args_is_help=True)


@app.command("import")
def import_command(
    path: Annotated[Path, typer.Argument(help="File or folder of structures.")],
    out: Annotated[Path, typer.Option(help="The labelled set (a Zarr store).")],
    properties: Annotated[Path | None, typer.Option(help="CSV (or NPY) of properties, matched by name.")] = None,
    structures_dataset: Annotated[str | None, typer.Option(help="Array of the structures.")] = None,
    properties_dataset: Annotated[str | None, typer.Option(help="Array of the properties.")] = None,
    latents_dataset: Annotated[str | None, typer.Option(help="Array of the latents.")] = None,
    property_name: Annotated[list[str] | None, typer.Option(help="Name of each property, as in 'C11 [GPa]'.")] = None,
    dimensions: Dimensions = None,
    force: Force = False,
) -> None:
    """Make a labelled set of structures and properties that are there already."""
    layout = Layout(structures_dataset, properties_dataset, latents_dataset, property_name, dimensions)
    labelled = import_set(path, out, table=properties, layout=layout, replace=force)
    grid = "x".join(map(str, labelled.grid))
    say(f"{len(labelled)} samples of {grid} with {', '.join(labelled.property_names)} written to {out}")
