"""``microwright generate``: random structures from seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from microwright.cli.options import Force, Seed, parse_grid, parse_parameter
from microwright.cli.progress import sample_bar, say
from microwright.data.sources import FilteredNoiseSource, RandomFieldSource, Source
from microwright.errors import InputError
from microwright.structures.files import named, write_structures
from microwright.structures.files.output import check_output
from microwright.structures.random_fields import check_count

#: structures made at a time
CHUNK = 64

app = typer.Typer(help="Random structures from seeds.", no_args_is_help=True)

Out = Annotated[Path, typer.Option(help="File (.npy .h5 .zarr .tif .vti .stl), or a folder for PNG images.")]
Count = Annotated[int, typer.Option(help="Number of structures.")]
Grid = Annotated[str, typer.Option(help="Pixels: 64, 96x64 or 51x51x51.")]
Fraction = Annotated[str, typer.Option(help="Share of phase 1; low:high draws it.")]


@app.command("grf")
def generate_grf(
    out: Out,
    count: Count = 100,
    grid: Grid = "64",
    mean: Annotated[str, typer.Option(help="Mean of the spectral density, 10 at Nyquist; low:high draws it.")] = "-8",
    std: Annotated[str, typer.Option(help="Its standard deviation; low:high draws it.")] = "3",
    fraction: Fraction = "0.25",
    seed: Seed = 0,
    force: Force = False,
) -> None:
    """Level-cut Gaussian random fields of a spectral density."""
    source = RandomFieldSource(
        parse_grid(grid),
        parse_parameter(mean, "mean"),
        parse_parameter(std, "std"),
        parse_parameter(fraction, "fraction"),
        seed,
    )
    _write(source, count, out, force)


@app.command("filtered-noise")
def generate_filtered_noise(
    out: Out,
    count: Count = 100,
    grid: Grid = "51x51x51",
    sigma: Annotated[list[str] | None, typer.Option(help="Filter widths, as in 1,3,5; several take turns.")] = None,
    fraction: Fraction = "0.25:0.75",
    seed: Seed = 0,
    force: Force = False,
) -> None:
    """Uniform noise under anisotropic Gaussian filters."""
    pixels = parse_grid(grid)
    filters = tuple(_filter(text, len(pixels)) for text in sigma or ["3"])
    _write(FilteredNoiseSource(pixels, filters, parse_parameter(fraction, "fraction"), seed), count, out, force)


def _filter(text: str, dimensions: int) -> tuple[float, ...]:
    """``"1,3,5"`` as widths, ``"3"`` as the same along every axis."""
    try:
        widths = tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(f"sigma: {text!r} is no filter; write 3 or 1,3,5") from error
    return widths * dimensions if len(widths) == 1 else widths


def _write(source: Source, count: int, out: Path, force: bool) -> None:
    check_count(count)
    check_output(out, force)
    structures = np.empty((count, *source.grid), np.uint8)
    with sample_bar("generating") as report:
        for start in range(0, count, CHUNK):
            stop = min(start + CHUNK, count)
            structures[start:stop] = source.samples(start, stop).structures.numpy()
            report(stop, count)
    write_structures(out, named(structures), replace=force)
    say(f"{count} structures of {'x'.join(map(str, source.grid))} written to {out}")
