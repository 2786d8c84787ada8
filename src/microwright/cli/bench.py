"""``microwright bench``: the papers' tables made again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from microwright.bench.absorption import (
    METHODS,
    AbsorptionBench,
    Scale,
    check_methods,
    claims,
    method_rows,
    scale_named,
    table_rows,
)
from microwright.bench.absorption_page import draw_figures, markdown_table, metrics_table, write_csv, write_page
from microwright.bench.results import write_results
from microwright.bench.stiffness_scales import stiffness_scale
from microwright.cli.design import DEFAULT_MODEL
from microwright.cli.options import Scheduler
from microwright.methods.gan_mdn import NAME as GAN_MDN

bench_app = typer.Typer(no_args_is_help=True, help="Make the tables of the papers again.")


@bench_app.callback()
def bench() -> None:
    """Make the tables of the papers again."""


@bench_app.command("absorption")
def absorption_command(
    data: Annotated[str, typer.Option(help="data-1 (96 × 96) or data-2 (64 × 64).")] = "data-2",
    scale: Annotated[str, typer.Option(help="smoke or full.")] = "smoke",
    out: Annotated[Path, typer.Option(help="Folder that gets results/ and docs/.")] = Path("bench"),
    models: Annotated[Path, typer.Option(help="Folder that keeps models and measurements.")] = Path("bench-models"),
    methods: Annotated[str, typer.Option(help="Methods to measure, separated by commas.")] = ",".join(METHODS),
    labels: Annotated[int | None, typer.Option(help="Labelled structures, instead of the recipe's number.")] = None,
    seeds: Annotated[int | None, typer.Option(help="Seeds of the draw, instead of the scale's number.")] = None,
    iterations: Annotated[int | None, typer.Option(help="Of the optimisation, instead of the recipe's.")] = None,
    workers: Annotated[int, typer.Option(help="Local labelling processes.")] = 1,
    scheduler: Scheduler = None,
) -> None:
    """Every 2-D method on optical absorption; run the same command again to continue one that was stopped."""
    command = _command(
        {"data": data, "scale": scale, "methods": methods, "labels": labels, "seeds": seeds, "iterations": iterations}
    )
    names = [name.strip() for name in methods.split(",")]
    check_methods(names)
    chosen = changed(scale_named(scale, data), labels, seeds, iterations)
    console = Console()
    shipped = {GAN_MDN: DEFAULT_MODEL} if (data, scale) == ("data-2", "full") and DEFAULT_MODEL.exists() else {}
    run = AbsorptionBench(data, chosen, models / f"{data}-{scale}", shipped, workers, console.print, scheduler)
    measured = [run.measure(name) for name in names]
    table, beyond = table_rows(data, measured), method_rows(run, measured)
    console.print(markdown_table(table), metrics_table(beyond), sep="\n\n")
    rows = [{"kind": "table", **row} for row in table] + [{"kind": "method", **row} for row in beyond]
    rows += [{"kind": "seed", **row} for item in measured for row in item.rows]
    goals = claims(data, table) if scale == "full" else []
    results, docs = out / "results", out / "docs"
    docs.mkdir(parents=True, exist_ok=True)
    path = write_results(f"absorption-{data}", command, rows, goals, run.notes(measured), folder=results)
    write_csv(results / f"absorption-{data}.csv", table)
    draw_figures(docs, run, measured)
    write_page(docs / "absorption-methods.md", sorted(results.glob("absorption-*.json")))
    console.print(f"written to {path} and {docs / 'absorption-methods.md'}")


@bench_app.command("stiffness")
def stiffness_command(
    scale: Annotated[str, typer.Option(help="smoke, cpu (24³ voxels) or paper (51³).")] = "smoke",
    out: Annotated[Path, typer.Option(help="Folder that gets results/ and docs/.")] = Path("bench"),
    models: Annotated[Path, typer.Option(help="Folder that keeps sets, networks and measurements.")] = Path(
        "bench-models"
    ),
    workers: Annotated[int, typer.Option(help="Local labelling processes.")] = 1,
    accelerator: Annotated[str, typer.Option(help="cpu, gpu or auto.")] = "auto",
) -> None:
    """VAE-Regression's tables and figures; run the same command again to continue one that was stopped."""
    chosen, console = stiffness_scale(scale), Console()
    # here, because these experiments need scikit-learn and matplotlib, which take seconds to import
    from microwright.bench.stiffness import StiffnessBench
    from microwright.bench.stiffness_run import run_stiffness

    bench = StiffnessBench(chosen, models / f"stiffness-{scale}", workers, accelerator, console.print)
    path = run_stiffness(bench, f"microwright bench stiffness --scale {scale}", out)
    console.print(f"written to {path} and {out / 'docs' / 'stiffness.md'}")


def changed(scale: Scale, labels: int | None, seeds: int | None, iterations: int | None) -> Scale:
    """``scale`` with some of its numbers replaced."""
    recipe = scale.recipe
    if labels is not None:
        recipe = replace(recipe, labels=labels)
    if iterations is not None:
        recipe = replace(recipe, search=replace(recipe.search, iterations=iterations))
    return replace(scale, recipe=recipe, seeds=scale.seeds if seeds is None else tuple(range(seeds)))


def _command(options: dict[str, object]) -> str:
    """The command without its folders, which mean nothing on another machine."""
    given = (f"--{name} {value}" for name, value in options.items() if value is not None)
    return " ".join(["microwright bench absorption", *given])
