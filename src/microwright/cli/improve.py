"""``microwright improve``: designs from few calls of a simulator that takes long and has no gradient."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from rich.console import Console

from microwright.cli.design import summary_table, write_outcomes
from microwright.cli.label import read_source
from microwright.cli.options import Force, Properties, Scheduler, Seed, SimulatorFile, SolverFile, Workers, named_solver
from microwright.cli.options import chosen_solver as solver_of_options
from microwright.data.places import place_of
from microwright.data.sources import ArraySource, Source
from microwright.data.store import LabelledSet
from microwright.design.diversity import NEAR
from microwright.design.targets import Target, parse_target
from microwright.errors import InputError
from microwright.improve.designs import outcome_of
from microwright.improve.loop import ImproveNumerics, improve
from microwright.improve.picture import write_error_curve
from microwright.improve.recording import Calls, RecordedSimulator
from microwright.methods import load_method
from microwright.methods.base import LatentMethod
from microwright.methods.workspace import Workspace
from microwright.physics.catalogue import solver_from_spec
from microwright.physics.property import Solver
from microwright.representations.gan import GanRepresentation
from microwright.representations.generator_source import GeneratorSource
from microwright.structures.files.output import check_output, fresh_output


def improve_command(
    target: Annotated[str, typer.Option(help="Wanted values, as `design` takes them.")],
    budget: Annotated[int, typer.Option(help="Calls of the simulator at most.")],
    out: Annotated[Path, typer.Option(help="Folder for designs, calls and surrogate.")],
    data: Annotated[
        str | None, typer.Option(help="Structures to propose from; of a labelled set the values are known already.")
    ] = None,
    model: Annotated[Path | None, typer.Option(help="Folder of a trained generator to propose from.")] = None,
    count: Annotated[int, typer.Option(help="Different designs wanted.")] = 10,
    property: Properties = None,
    solver: SolverFile = None,
    simulator: SimulatorFile = None,
    aim: Annotated[float, typer.Option(help="Relative error at which a design is left alone.")] = 1e-3,
    apart: Annotated[float, typer.Option(help="Share of pixels in which two designs differ at least.")] = NEAR,
    together: Annotated[
        int | None, typer.Option(help="Calls between two looks at what they taught; the workers where left out.")
    ] = None,
    seed: Seed = 0,
    workers: Workers = 1,
    scheduler: Scheduler = None,
    accelerator: Annotated[str, typer.Option(help="What the surrogate trains on: cpu, gpu or auto.")] = "auto",
    force: Force = False,
) -> None:
    """Propose, simulate, learn, and again; run the same command again to go on after a kill, no call made twice."""
    check_output(out, force)
    given = _labelled(data)
    pool = _pool(data, model)
    engine = _engine(property, solver, simulator, given, len(pool.grid))
    wanted = parse_target(target, engine.properties[0].name)
    numerics = ImproveNumerics(aim=aim, apart=apart, together=workers if together is None else together)
    console = Console()
    workspace = Workspace(out, seed, accelerator, progress=False)
    request = _request(wanted, engine, pool, given, budget, count, seed, numerics)
    with workspace.opened(request), place_of(workspace.folder).locked(), console.status("beginning") as status:
        recorded = RecordedSimulator(
            engine,
            workspace.folder / "calls",
            budget,
            None if given is None else _known(given, engine),
            {"workers": workers, "scheduler": scheduler},
            lambda calls: status.update(f"{calls} of {budget} calls"),
        )

        def tell(number: int, calls: int, misfits: np.ndarray) -> None:
            best, worst = (f"{100 * float(value):.2g} %" for value in (misfits[0], misfits[-1]))
            console.print(f"round {number}: {calls} calls, best error {best}, {len(misfits)}. best {worst}")

        found = improve(wanted, pool, recorded, workspace, count, numerics, tell)
        outcome = outcome_of(found, wanted, engine, seed)
        with fresh_output(out, force) as folder:
            folder.mkdir()
            write_outcomes(folder, [outcome], [])
            if recorded.count:
                recorded.write_set(folder / "calls.zarr")
                write_error_curve(folder / "error-against-calls.png", found, count)
    console.print(summary_table([outcome]))
    console.print(f"written to {out}: designs.h5, report.html, calls.zarr ({recorded.count} calls)", highlight=False)


def _labelled(data: str | None) -> LabelledSet | None:
    """The labelled set of ``--data``, where it is one."""
    return LabelledSet.open(data) if data is not None and _is_labelled(data) else None


def _is_labelled(data: str) -> bool:
    return "://" in data or (Path(data) / "done").is_dir()


def _pool(data: str | None, model: Path | None) -> Source:
    """Where proposals come from: the generator of a model, or structures that exist."""
    if model is not None:
        method = load_method(model)
        if not (isinstance(method, LatentMethod) and isinstance(method.representation, GanRepresentation)):
            raise InputError(f"model: {model} has no generator to propose from; give a gan-mdn model, or --data")
        return GeneratorSource(method.representation, 0, {"generator": method.card.weights_sha256})
    if data is None:
        raise InputError("data: nothing to propose from; give --data with structures, or --model with a generator")
    labelled = _labelled(data)
    if labelled is None:
        return read_source(Path(data), None, None, 2)
    return ArraySource(labelled.structures, {"set": labelled.fingerprint()})


def _engine(
    property: list[str] | None, solver: Path | None, simulator: Path | None, given: LabelledSet | None, dimensions: int
) -> Solver:
    """The simulator: as the options say, or the one that labelled the data."""
    if property or solver or simulator:
        return solver_of_options(property, named_solver(solver, simulator), dimensions)
    if given is None or not given.solver:
        raise InputError("simulator: none named; give --simulator, --solver or --property")
    return solver_from_spec(given.solver)


def _known(given: LabelledSet, engine: Solver) -> Calls:
    """The values of a labelled set, in the order of the simulator's properties.

    Raises:
        InputError: another simulator's values, or properties that the set does not have.
    """
    names = [item.name for item in engine.properties]
    missing = [name for name in names if name not in given.property_names]
    if missing:
        raise InputError(f"data: {given.path} has no {', '.join(missing)}; it has {', '.join(given.property_names)}")
    if given.solver and given.solver != engine.spec():
        raise InputError(
            f"data: {given.path} was labelled by another simulator or at another fidelity; leave out --simulator, "
            "--solver and --property to use its own, or label it again"
        )
    used, columns = given.usable(), [given.property_names.index(name) for name in names]
    return Calls(
        structures=torch.as_tensor(given.structures[used]).float(),
        values=torch.as_tensor(given.properties[used][:, columns]),
        error_bar=torch.as_tensor(given.error_bar[used][:, columns]),
        status=torch.zeros(len(used), dtype=torch.int64),
    )


def _request(
    target: Target,
    engine: Solver,
    pool: Source,
    given: LabelledSet | None,
    budget: int,
    count: int,
    seed: int,
    numerics: ImproveNumerics,
) -> dict[str, object]:
    """What tells one search from another."""
    return {
        "improve": target.spec(),
        "simulator": engine.spec(),
        "pool": pool.spec(),
        "known": None if given is None else given.fingerprint(),
        "budget": budget,
        "count": count,
        "seed": seed,
        "numerics": repr(numerics),
    }
