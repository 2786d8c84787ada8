"""The best structures of a search as designs, so that they are written and reported like all others."""

from __future__ import annotations

import numpy as np
import torch

from microwright.design.designer import FRACTION
from microwright.design.designs import Designs
from microwright.design.outcome import Outcome
from microwright.design.targets import PHASE_FRACTION, Target
from microwright.improve.loop import Improved
from microwright.physics.property import Solver

#: structures of the search that the report compares with
COMPARED = 100


def outcome_of(found: Improved, target: Target, simulator: Solver, seed: int) -> Outcome:
    """The designs of a search; every value is one that the simulator gave for exactly the structure beside it."""
    record, names = found.record, [item.name for item in simulator.properties]
    columns = [None if name == PHASE_FRACTION else names.index(name) for name in target.properties]
    structures = record.structures[found.best]
    fraction = structures.double().flatten(1).mean(1)
    values = [fraction if c is None else record.values[found.best, c] for c in columns]
    bars = [torch.zeros_like(fraction) if c is None else record.error_bar[found.best, c] for c in columns]
    designs = Designs(
        properties=tuple(FRACTION if c is None else simulator.properties[c] for c in columns),
        target=np.array([np.nan if goal.value is None else goal.value for goal in target.goals]),
        structures=structures.to(torch.uint8).numpy(),
        achieved=torch.stack(values, 1).numpy(),
        error_bar=torch.stack(bars, 1).numpy(),
        status=record.status[found.best].numpy(),
        solver=simulator.spec(),
        method="improve",
        seed=seed,
        seconds={"propose": 0.0, "verify": 0.0},
        request={"target": target.spec(), "calls": len(record) - found.known, "known": found.known},
    )
    notes = [
        f"{len(record) - found.known} calls of the simulator, {found.known} labels known before; "
        + ("the budget is spent." if found.spent else "all designs are within the aim, or nothing new was left to try.")
    ]
    return Outcome(target, designs, training=record.structures[:COMPARED].numpy(), notes=notes)
