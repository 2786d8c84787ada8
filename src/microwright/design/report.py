"""``report.html``: everything about a set of designs on one page that needs no network.

Pictures are PNG in base64 and SVG in line, the style is in the page, and there is no script. The page shows the designs
with achieved values and error bars, target against achieved (and the proposals that refinement started from), what
fabrication errors do to each design, two-point statistics against the training set, and what is needed to make the
set again: physics, numerics, seeds, versions.
"""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import microwright
from microwright.design.designs import Designs
from microwright.design.diversity import diversity
from microwright.design.outcome import Outcome
from microwright.design.page import BLUE, GREY, drawing, list_of_facts, new_axes, picture, plot, write_page
from microwright.design.targets import Goal, Kind, Target
from microwright.design.tolerance import Tolerances
from microwright.structures.statistics import radial_average, two_point_correlation

VERDICT_CLASS = {"met": "met", "missed": "missed"}


def write_report(path: Path, sections: Sequence[Outcome]) -> None:
    """Write the page."""
    with drawing():
        body = "\n".join(_section(section) for section in sections)
    title = "; ".join(_readable(section.target) for section in sections)
    write_page(
        path,
        title=f"Designs for {title}",
        heading=f"Microstructures designed for {title}",
        lead=f"microwright {microwright.__version__}; every value below was computed by a physics solver for exactly "
        "the structure shown.",
        body=body,
    )


def _readable(target: Target) -> str:
    """The target in words that may wrap at the end of a line."""
    text = str(target).replace("_", " ").replace(">=", " ≥ ").replace("<=", " ≤ ").replace("=", " = ")
    return text.replace("±", " ± ").replace("..", " to ")


def _section(section: Outcome) -> str:
    parts = [
        f"<h2>{escape(_readable(section.target))}</h2>",
        *(f"<p>{escape(note)}</p>" for note in section.notes),
        _facts(section),
        "<h3>Designs</h3>",
        _gallery(section),
        '<div class="plots">',
        *(plot(caption, figure) for caption, figure in _figures(section)),
        "</div>",
        _table(section),
        _provenance(section),
    ]
    return "\n".join(parts)


# ---------------------------------------------------------------------------------------------------- words and numbers


def _facts(section: Outcome) -> str:
    designs = section.designs
    apart = diversity(torch.as_tensor(designs.structures).double())["smallest_pixel_distance"]
    facts = [("meet the target at this fidelity", f"{section.meeting} of {len(designs)}")]
    if _any_bar(designs):
        facts.append(("meet it with their whole error bar", f"{section.certain} of {len(designs)}"))
    if not np.isnan(designs.rep).all():
        rep = designs.worst_rep
        facts += [("average error", _percent(rep.mean())), ("largest error", _percent(rep.max()))]
    facts.append(("largest error bar", _bar(np.nanmax(designs.error_bar) if _any_bar(designs) else math.nan)))
    if section.changed is not None:
        facts.append(("pixels changed, average", _percent(100 * section.changed.mean())))
    if section.constraints.asked:
        facts.append(("satisfy every constraint", f"{sum(not v for v in section.violations)} of {len(designs)}"))
    if len(designs) > 1:
        facts.append(("of the pixels differ between the two most alike", _percent(100 * apart)))
    return list_of_facts(facts)


def _any_bar(designs: Designs) -> bool:
    return bool(np.isfinite(designs.error_bar).any())


def _percent(value: float) -> str:
    return f"{value:.2g} %" if value < 10 else f"{value:.0f} %"


def _bar(value: float) -> str:
    return "unknown" if math.isnan(value) else f"± {value:.2g}"


def _gallery(section: Outcome) -> str:
    designs = section.designs
    cards = []
    for index, (structure, verdict) in enumerate(zip(designs.structures, section.verdicts, strict=True)):
        triples = zip(designs.properties, designs.achieved[index], designs.error_bar[index], strict=True)
        values = "<br>".join(_value(item.name, value, bar) for item, value, bar in triples)
        kind = VERDICT_CLASS.get(verdict, "undecided")
        cards.append(
            f'<figure><img alt="design {index}" src="{picture(structure)}"><figcaption>{values}<br>'
            f'<span class="{kind}">{index}: {escape(verdict)}</span></figcaption></figure>'
        )
    return f'<div class="gallery">{"".join(cards)}</div>'


def _value(name: str, value: float, bar: float) -> str:
    """A value as the captions have it; a bar of exactly 0 belongs to what was counted, not computed."""
    shown = "" if math.isnan(bar) or bar == 0 else f" ± {bar:.1g}"
    return f"{escape(name.replace('_', ' '))} {value:.5g}{shown}"


def _table(section: Outcome) -> str:
    designs = section.designs
    names = [item.name for item in designs.properties]
    head = ["", *names, "error bar", "error %", "fraction"]
    if section.changed is not None:
        head.append("changed %")
    if section.tolerances is not None:
        head.append("spread")
    rows = "".join(_row(section, index) for index in range(len(designs)))
    header = "".join(f"<th>{escape(text)}</th>" for text in head)
    return (
        f'<details><summary>Every number</summary><div class="table"><table><thead><tr>{header}<th class="text">verdict'
        f"</th></tr></thead><tbody>{rows}</tbody></table></div></details>"
    )


def _row(section: Outcome, index: int) -> str:
    designs = section.designs
    rep = designs.rep[index]
    cells = [str(index), *(f"{value:.6g}" for value in designs.achieved[index])]
    cells.append(", ".join("–" if math.isnan(bar) else f"{bar:.2g}" for bar in designs.error_bar[index]))
    cells.append("–" if np.isnan(rep).all() else f"{np.nanmax(rep):.3g}")
    cells.append(f"{designs.phase_fraction[index]:.4f}")
    if section.changed is not None:
        cells.append(f"{100 * section.changed[index]:.2f}")
    if section.tolerances is not None:
        cells.append(f"{float(section.tolerances.spread[index].max()):.3g}")
    told = "; ".join([section.verdicts[index], *section.violations[index]])
    body = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
    return f'<tr>{body}<td class="text">{escape(told)}</td></tr>'


def _provenance(section: Outcome) -> str:
    designs = section.designs
    content = {
        "target": section.target.spec(),
        "constraints": section.constraints.spec() if section.constraints.asked else None,
        "solver": designs.solver,
        "method": designs.method,
        "seed": designs.seed,
        "seconds": {name: round(value, 3) for name, value in designs.seconds.items()},
        "versions": {
            "microwright": microwright.__version__,
            "torch": torch.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }
    text = escape(json.dumps(content, indent=1, ensure_ascii=False))
    return (
        f"<details><summary>How this was made: physics, numerics, seed, versions</summary><pre>{text}</pre></details>"
    )


# ---------------------------------------------------------------------------------------------------- plots


def _figures(section: Outcome) -> list[tuple[str, Figure]]:
    """Every plot that there are data for, with its caption."""
    plots = [
        (
            f"{goal.property}: achieved values with error bars; the band is what the target accepts"
            + (", hollow circles are the proposals before refinement." if section.start is not None else "."),
            _achieved(section, column, goal),
        )
        for column, goal in enumerate(section.target.goals)
    ]
    if len(section.rounds) > 1:
        plots.append(("Misfit of every design against the solver calls spent on it.", _history(section)))
    if section.tolerances is not None:
        plots.append(
            (
                "Change of each design under fabrication errors: boundaries moved by one pixel, corners rounded, "
                "edges roughened. The bar is the mean.",
                _tolerance(section.tolerances, section),
            )
        )
    plots.append(
        (
            "Two-point correlation, averaged over directions: the designs"
            + (", and the 5th to 95th percentile of the training set (grey)." if section.training is not None else "."),
            _two_point(section),
        )
    )
    return plots


def _achieved(section: Outcome, column: int, goal: Goal) -> Figure:
    item = section.designs.properties[column]
    figure, axes = new_axes("design", item.name if item.unit == "1" else f"{item.name} / {item.unit}")
    order = np.arange(len(section.designs))
    axes.locator_params(axis="x", integer=True)
    if goal.bounded:
        low, high = (bound if math.isfinite(bound) else None for bound in goal.accepted)
        _band(axes, low, high)
    if section.start is not None:
        axes.plot(order, section.start[:, column], "o", mfc="none", mec=GREY, ms=5, zorder=2)
    bars = np.nan_to_num(section.designs.error_bar[:, column])
    axes.errorbar(order, section.designs.achieved[:, column], bars, fmt="o", color=BLUE, ms=3.5, lw=1, zorder=3)
    if goal.kind is Kind.VALUE:
        axes.axhline(goal.accepted[0] + goal.margin, color=BLUE, lw=0.6, zorder=1)
    return figure


def _band(axes: Axes, low: float | None, high: float | None) -> None:
    """What is accepted; a side that is not bounded runs to the axis' end."""
    if low is not None and high is not None:
        axes.axhspan(low, high, color=BLUE, alpha=0.15, lw=0)
    elif low is not None:
        axes.axhline(low, color=BLUE, lw=1, ls="--")
    elif high is not None:
        axes.axhline(high, color=BLUE, lw=1, ls="--")


def _history(section: Outcome) -> Figure:
    figure, axes = new_axes("solver calls per design", "misfit")
    n = len(section.rounds[0].misfit)
    calls = [entry.calls / n for entry in section.rounds]
    misfits = np.stack([np.maximum(entry.misfit, 1e-7) for entry in section.rounds])
    axes.semilogy(calls, misfits, color=GREY, lw=0.7, alpha=0.7)
    axes.semilogy(calls, misfits.mean(1), color=BLUE, lw=2, marker="o", ms=4)
    return figure


def _tolerance(tolerances: Tolerances, section: Outcome) -> Figure:
    item = section.designs.properties[0]
    figure, axes = new_axes(f"change of {item.name}" + ("" if item.unit == "1" else f" / {item.unit}"), "")
    for row, changes in enumerate(tolerances.changes.values()):
        column = changes[:, 0].numpy()
        axes.barh(row, column.mean(), color=BLUE, alpha=0.25, height=0.6)
        axes.plot(column, np.full(len(column), row), "o", color=BLUE, ms=3, alpha=0.6)
    axes.set_yticks(range(len(tolerances.changes)), list(tolerances.changes))
    axes.invert_yaxis()
    axes.locator_params(axis="x", nbins=5)
    axes.axvline(0, color=GREY, lw=0.8)
    return figure


def _two_point(section: Outcome) -> Figure:
    figure, axes = new_axes("distance / pixels", "two-point correlation")
    if section.training is not None:
        curves = _radial(section.training)
        axes.fill_between(
            range(curves.shape[1]), *np.quantile(curves, [0.05, 0.95], axis=0), color=GREY, alpha=0.3, lw=0
        )
    axes.plot(_radial(section.designs.structures).T, color=BLUE, lw=0.7, alpha=0.7)
    axes.set_xlim(0, min(section.designs.structures.shape[1:]) // 2)
    return figure


def _radial(structures: np.ndarray) -> Float[np.ndarray, "n lags"]:
    return radial_average(two_point_correlation(torch.as_tensor(structures).double())).numpy()
