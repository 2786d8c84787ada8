"""Surrogates from labelled sets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from microwright.data.splits import split
from microwright.data.store import LabelledSet
from microwright.errors import InputError
from microwright.methods.workspace import Workspace, request_of
from microwright.physics.property import Property
from microwright.physics.surrogate.conformal import fewest_samples
from microwright.physics.surrogate.settings import SurrogateTraining
from microwright.physics.surrogate.solver import SurrogateSolver

#: what asks for a surrogate where the command line names methods
NAME = "surrogate"
#: fewest usable samples that a surrogate is trained on
FEWEST = 8


def learn_surrogate(data: LabelledSet, settings: SurrogateTraining, workspace: Workspace) -> SurrogateSolver:
    """Train a surrogate of the solver that labelled ``data`` and write it to ``workspace.model``.

    A training that was killed is continued by the same call.

    Args:
        data: structures and properties; samples that failed are left out.
        settings: of the training, the calibration and the test.
        workspace: where the model goes and on what the training runs.

    Raises:
        InputError: too few usable samples, or too few for error bars of the wanted coverage.
    """
    from microwright.physics.surrogate.training import Examples, Origin, train_surrogate

    used = data.usable()
    _check_enough(data.path, len(used), settings)
    shares = (1 - settings.calibration - settings.test, settings.calibration, settings.test)
    parts = split(used, shares, workspace.seed)

    def examples(samples: NDArray[np.int64]) -> Examples:
        values = torch.as_tensor(data.properties[samples])
        return Examples(torch.as_tensor(data.structures[samples]).float(), values)

    properties = tuple(Property(item.name, item.unit, item.description) for item in data.header.properties)
    fingerprint = data.fingerprint()
    with workspace.opened(request_of(NAME, settings, workspace.seed, fingerprint)):
        return train_surrogate(
            workspace.model,
            examples(parts.train),
            examples(parts.validation),
            examples(parts.test),
            Origin(properties, data.solver, fingerprint),
            settings,
            workspace.trainer(NAME),
            workspace.seed,
        )


def _check_enough(path: Path | str, count: int, settings: SurrogateTraining) -> None:
    if count < FEWEST:
        raise InputError(f"data: {path} has {count} usable samples, a surrogate needs at least {FEWEST}; label more")
    kept, needed = round(settings.calibration * count), fewest_samples(settings.coverage)
    if settings.calibration > 0 and kept < needed:
        raise InputError(
            f"data: {path} leaves {kept} of {count} usable samples for calibration, error bars of coverage "
            f"{settings.coverage:g} need {needed}; label more, or lower --coverage"
        )
