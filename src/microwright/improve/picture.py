"""Error against calls, as a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from microwright.improve.loop import Improved

#: smallest relative error that is drawn
SMALLEST = 1e-7
COLOURS = ("#1f6fb2", "#d9822b", "#1d7a46")


def write_error_curve(path: Path, found: Improved, count: int) -> None:
    """Error of the best and of the ``count``-th best design against calls of the simulator."""
    figure = Figure(figsize=(6.0, 3.6), layout="constrained", dpi=150)
    axes = figure.subplots()
    axes.set_xlabel("calls of the simulator")
    axes.set_ylabel("relative error / %")
    axes.spines[["top", "right"]].set_visible(False)
    for nth, colour in zip(sorted({1, max(1, count // 2), count}), COLOURS, strict=False):
        draw_curve(axes, found.curve(nth), "best" if nth == 1 else f"{nth}. best", color=colour)
    axes.legend(frameon=False)
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    figure.savefig(path)


def draw_curve(axes: Axes, curve: np.ndarray, label: str, **style: object) -> None:
    """A curve of ``Improved.curve``, from the call at which there are enough designs."""
    calls = np.arange(1, len(curve) + 1)
    there = np.isfinite(curve)
    axes.semilogy(calls[there], 100 * np.maximum(curve[there], SMALLEST), drawstyle="steps-post", label=label, **style)
