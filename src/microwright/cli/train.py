"""``microwright train``: from a recipe (or a labelled set) to a model folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from microwright.cli.options import Force, Scheduler, Seed, SimulatorFile, Workers, read_solver
from microwright.cli.progress import sample_bar
from microwright.data.store import LabelledSet
from microwright.errors import InputError
from microwright.improve.learning import NAME as SURROGATE
from microwright.improve.learning import learn_surrogate
from microwright.methods import method_named, train_method
from microwright.methods.recipes import recipe_named
from microwright.methods.workspace import Workspace
from microwright.physics.surrogate.settings import SurrogateTraining
from microwright.structures.files.output import check_output


def train_command(
    method: Annotated[str, typer.Argument(help="Method, as in gan-mdn; or surrogate, for a stand-in of a simulator.")],
    out: Annotated[Path, typer.Option(help="Folder for the model.")],
    recipe: Annotated[
        str, typer.Option(help="Sizes and settings: data-1, data-2 or smoke; stiffness or stiffness-light for volumes.")
    ] = "data-2",
    data: Annotated[
        str | None, typer.Option(help="Labelled set (also s3://) to learn from instead of random fields.")
    ] = None,
    simulator: SimulatorFile = None,
    seed: Seed = 0,
    accelerator: Annotated[str, typer.Option(help="cpu, gpu or auto.")] = "auto",
    devices: Annotated[int, typer.Option(help="Devices to train on.")] = 1,
    workers: Workers = 2,
    scheduler: Scheduler = None,
    force: Force = False,
) -> None:
    """Train a model; run the same command again to continue a training that was stopped."""
    if method != SURROGATE:
        method_named(method)
    check_output(out, force)
    if accelerator not in ("cpu", "gpu", "auto"):
        raise InputError(f"accelerator: '{accelerator}' is unknown; choose cpu, gpu or auto")
    if simulator is not None:
        read_solver(simulator)  # from here on the set's own spec finds it
    if method == SURROGATE:
        _train_surrogate(data, Workspace(out, seed, accelerator, devices))
        return
    chosen = recipe_named(recipe)
    given = None if data is None else LabelledSet.open(data)
    with sample_bar("labelling") as labelled:
        workspace = Workspace(out, seed, accelerator, devices, workers, scheduler, labelled=labelled)
        model = train_method(method, chosen, workspace, given)
    console = Console()
    for item in model.card.properties:
        console.print(f"{item.name}: {item.low:.4g} to {item.high:.4g} {item.unit} can be asked for")
    console.print(f"written to {out}")


def _train_surrogate(data: str | None, workspace: Workspace) -> None:
    if data is None:
        raise InputError("data: a surrogate learns from labels; give --data with a labelled set")
    surrogate = learn_surrogate(LabelledSet.open(data), SurrogateTraining(), workspace)
    console = Console()
    for name, value in surrogate.card.metrics.items():
        console.print(f"{name} {value:.4g}", highlight=False)
    console.print(f"written to {workspace.model}")
