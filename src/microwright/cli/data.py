"""``microwright data``: sets that exist already."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from microwright.cli.options import Dataset, Dimensions, Force
from microwright.cli.progress import say
from microwright.data.importing import Layout, import_set
from microwright.data.micrographs import Cutting, parse_length_nm, read_samples
from microwright.data.store import LabelledSet
from microwright.design.set_report import write_set_report
from microwright.errors import InputError
from microwright.structures.files import write_structures
from microwright.structures.files.output import check_output, fresh_output
from microwright.structures.segmentation import Segmentation

app = typer.Typer(help="Micrographs and labelled sets of your own.", no_args_is_help=True)

Window = Annotated[
    str | None, typer.Option(help="Cut images into samples of so many pixels, as in 64, 96x64 or 51x51x51.")
]
Stride = Annotated[int | None, typer.Option(help="Pixels from a window to the next; the window's own by default.")]
PixelSize = Annotated[str | None, typer.Option(help="Size of a pixel, as in 5nm or 0.2um; kept in the set.")]
Classes = Annotated[int, typer.Option(help="Grey classes: 2 is Otsu's threshold, 3 to 5 are multi-Otsu's.")]
Phase = Annotated[
    list[int] | None, typer.Option(help="Class that is phase 1, 0 is the darkest; may be repeated. [the brightest]")
]


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
    window: Window = None,
    stride: Stride = None,
    pixel_size: PixelSize = None,
    classes: Classes = 2,
    phase: Phase = None,
    force: Force = False,
) -> None:
    """Make a labelled set of structures and properties that are there already."""
    layout = Layout(structures_dataset, properties_dataset, latents_dataset, property_name, dimensions)
    cutting = _cutting(window, stride, pixel_size, classes, phase)
    labelled = import_set(path, out, table=properties, layout=layout, cutting=cutting, replace=force)
    grid = "x".join(map(str, labelled.grid))
    say(f"{len(labelled)} samples of {grid} with {', '.join(labelled.property_names)} written to {out}")


@app.command("cut")
def cut_command(
    path: Annotated[Path, typer.Argument(help="File or folder of micrographs.")],
    out: Annotated[Path, typer.Option(help="File of structures; .h5 keeps names and pixel size.")],
    window: Window = None,
    stride: Stride = None,
    pixel_size: PixelSize = None,
    classes: Classes = 2,
    phase: Phase = None,
    dataset: Dataset = None,
    dimensions: Dimensions = None,
    force: Force = False,
) -> None:
    """Micrographs to two-phase samples: segmented, cut into windows, with the size of a pixel."""
    check_output(out, force)
    cutting = _cutting(window, stride, pixel_size, classes, phase)
    samples = read_samples(path, cutting, dimensions=dimensions, dataset=dataset)
    write_structures(out, samples, replace=force)
    grid = "x".join(map(str, samples.structures.shape[1:]))
    say(f"{len(samples.names)} samples of {grid}, phase fraction {samples.structures.mean():.3f}, written to {out}")


@app.command("report")
def report_command(
    data: Annotated[str, typer.Argument(help="Labelled set (also s3://).")],
    out: Annotated[Path | None, typer.Option(help="The page. [NAME.html]")] = None,
    force: Force = False,
) -> None:
    """Write a page about a set: counts, histograms, statistics, duplicates, outliers, what is missing."""
    labelled = LabelledSet.open(data)
    page = out or Path(Path(data).name).with_suffix(".html")
    with fresh_output(page, force) as draft:
        write_set_report(draft, labelled)
    say(f"written to {page}")


def _cutting(
    window: str | None, stride: int | None, pixel_size: str | None, classes: int, phase: list[int] | None
) -> Cutting:
    return Cutting(
        window=None if window is None else _sizes(window),
        stride=stride,
        pixel_nm=None if pixel_size is None else parse_length_nm(pixel_size),
        segmentation=Segmentation(classes, tuple(phase) if phase else (classes - 1,)),
    )


def _sizes(window: str) -> tuple[int, ...]:
    """``"64"`` as (64,), which serves all axes; ``"96x64"`` as (96, 64)."""
    try:
        return tuple(int(part) for part in window.lower().split("x"))
    except ValueError as error:
        raise InputError(f"window: {window!r} is no size; write 64, 96x64 or 51x51x51") from error
