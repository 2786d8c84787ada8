"""A picture of designs: each structure with what it achieves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from microwright.design.designs import Designs
from microwright.design.portrait import portrait

COLUMNS = 10
MOST_SHOWN = 60
CELL_INCHES = 1.25


def write_gallery(path: Path, sets: Sequence[Designs]) -> None:
    """Write ``path`` (PNG): the best structures of each set first, with achieved value and REP."""
    rows = [row for designs in sets for row in _rows(designs)]
    columns = max(len(members) for _, members in rows)
    figure = Figure(figsize=(CELL_INCHES * columns, (CELL_INCHES + 0.45) * len(rows) + 0.2))
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for axes, (designs, members) in zip(grid, rows, strict=True):
        for axis in axes:
            axis.set_axis_off()
        for axis, index in zip(axes, members, strict=False):
            _draw(axis, designs, index)
    figure.subplots_adjust(
        left=0.01, right=0.99, bottom=0.02, top=(0.8, 0.9, 0.94)[min(len(rows), 3) - 1], hspace=0.4, wspace=0.08
    )
    figure.savefig(path, dpi=110)


def _rows(designs: Designs) -> list[tuple[Designs, list[int]]]:
    order = np.argsort(designs.worst_rep)[:MOST_SHOWN]
    return [(designs, order[i : i + COLUMNS].tolist()) for i in range(0, len(order), COLUMNS)]


def _draw(axis: Axes, designs: Designs, index: int) -> None:
    axis.set_axis_on()
    axis.set(xticks=[], yticks=[])
    for spine in axis.spines.values():
        spine.set(linewidth=0.4, color="0.5")
    axis.imshow(portrait(designs.structures[index]), cmap="gray", vmin=0, vmax=255)
    achieved = ", ".join(f"{value:.4g}" for value in designs.achieved[index])
    rep = designs.worst_rep[index]
    axis.set_title(achieved if math.isnan(rep) else f"{achieved}\n{rep:.2g} % off", fontsize=7, pad=2)
