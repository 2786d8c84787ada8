"""Designs as pictures with captions, as a table, and in sums."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from microwright.design.designs import Designs
from microwright.design.outcome import Outcome
from microwright.studio.pictures import picture, png

if TYPE_CHECKING:
    from microwright.studio.session import Structure

#: key of each order; lists ascend
ORDERS: dict[str, Callable[[Outcome, int], float]] = {
    "error": lambda outcome, index: _error(outcome.designs, index),
    "achieved value": lambda outcome, index: float(outcome.designs.achieved[index, 0]),
    "error bar": lambda outcome, index: float(np.nan_to_num(outcome.designs.error_bar[index, 0])),
    "phase fraction": lambda outcome, index: float(outcome.designs.phase_fraction[index]),
    "number": lambda outcome, index: float(index),
}
#: edge of the picture on a card, pixels
CARD = 128
#: a click on a card says which one it was
ON_LOAD = """
element.addEventListener('click', (event) => {
  const card = event.target.closest('[data-index]');
  if (card) trigger('select', {index: Number(card.dataset.index)});
});
"""
#: rows of the summary
SUMMED: dict[str, Callable[[np.ndarray], float]] = {
    "smallest REP": np.min,
    "average": np.mean,
    "standard deviation": np.std,
    "largest": np.max,
}


def order(outcome: Outcome, by: str) -> list[int]:
    """Numbers of the designs, smallest first; an error that is unknown comes last."""
    return sorted(range(len(outcome.designs)), key=lambda index: ORDERS[by](outcome, index))


def cards(outcome: Outcome, order: list[int]) -> str:
    """Each design as a button with its picture, values, REP and verdict."""
    verdicts = outcome.verdicts
    return f'<div class="mw-cards">{"".join(_card(outcome.designs, i, verdicts[i]) for i in order)}</div>'


def _card(designs: Designs, index: int, verdict: str) -> str:
    told = escape(values(designs, index)).replace(", ", "<br>")
    kind = verdict if verdict in ("met", "missed") else "undecided"
    return (
        f'<button type="button" class="mw-card" data-index="{index}" title="look closer at design {index}">'
        f'<img alt="design {index}" src="{png(picture(designs.structures[index], CARD))}">'
        f'<span>{told}</span><span class="{kind}">#{index} · {rep(designs, index)}{verdict}</span></button>'
    )


def brought(structures: Sequence[Structure]) -> str:
    """Structures from files as cards."""
    cards = "".join(
        f'<button type="button" class="mw-card" data-index="{index}" title="look closer at {escape(item.name)}">'
        f'<img alt="{escape(item.name)}" src="{png(picture(item.phase, CARD))}">'
        f"<span>{escape(item.name)}</span><span>{escape(item.told).replace(', ', '<br>')}</span></button>"
        for index, item in enumerate(structures)
    )
    return f'<div class="mw-cards">{cards}</div>'


def values(designs: Designs, index: int) -> str:
    """Achieved values with their error bars."""
    triples = zip(designs.properties, designs.achieved[index], designs.error_bar[index], strict=True)
    return ", ".join(f"{item.name} {value:.5g}{bar_of(bar)}" for item, value, bar in triples)


def bar_of(bar: float) -> str:
    """An error bar as text; nothing where it is unknown, or exactly 0 because the value was counted."""
    return "" if math.isnan(bar) or bar == 0 else f" ± {bar:.1g}"


def rep(designs: Designs, index: int) -> str:
    """The error in words, with what parts it from what follows; nothing where no value was asked."""
    error = _error(designs, index)
    return "" if math.isinf(error) else f"REP {error:.2g} % · "


def table(outcome: Outcome, order: list[int]) -> pd.DataFrame:
    """One row a design."""
    designs, verdicts, violations = outcome.designs, outcome.verdicts, outcome.violations
    rows = []
    for index in order:
        row: dict[str, Any] = {"#": index}
        for item, value, bar in zip(designs.properties, designs.achieved[index], designs.error_bar[index], strict=True):
            row[item.name] = float(f"{value:.6g}")
            row[f"± {item.name}"] = "unknown" if math.isnan(bar) else f"{bar:.2g}"
        error = _error(designs, index)
        row["REP %"] = "–" if math.isinf(error) else float(f"{error:.3g}")
        row["fraction"] = float(f"{designs.phase_fraction[index]:.4f}")
        row["verdict"] = "; ".join([verdicts[index], *violations[index]])
        rows.append(row)
    return pd.DataFrame(rows)


def status(message: str, share: float) -> str:
    """One line and a bar; screen readers say it when it changes."""
    return (
        f'<div role="status" aria-live="polite" class="mw-status"><span>{escape(message)}</span>'
        f'<div class="mw-bar"><div style="width:{100 * share:.0f}%"></div></div></div>'
    )


def summary(outcome: Outcome) -> str:
    """The designs' errors beside those of the samples that they were refined from."""
    designs = outcome.designs
    columns = {"designs": designs.worst_rep if _valued(designs) else None}
    if outcome.start is not None and _valued(designs):
        columns["their direct samples"] = np.nanmax(100 * np.abs(outcome.start / designs.target - 1), axis=1)
    head = "".join(f"<th>{name}</th>" for name in ("", *columns))
    rows = [
        f"<tr><th>{name}</th>{''.join(_figure(errors, figure) for errors in columns.values())}</tr>"
        for name, figure in SUMMED.items()
    ]
    counts = {"meet it": outcome.meeting, "and with the whole bar": outcome.certain}
    met = "".join(f"<tr><th>{name}</th><td>{count} of {len(designs)}</td></tr>" for name, count in counts.items())
    notes = "".join(f"<li>{escape(note)}</li>" for note in outcome.notes)
    return (
        f'<div class="mw-wide"><table class="mw-summary"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}{met}</tbody></table></div>"
        f'<ul class="mw-notes">{notes}</ul>'
    )


def _figure(errors: np.ndarray | None, figure: Callable[[np.ndarray], float]) -> str:
    return f"<td>{'–' if errors is None else f'{figure(errors):.3g} %'}</td>"


def _valued(designs: Designs) -> bool:
    return not np.isnan(designs.target).all()


def _error(designs: Designs, index: int) -> float:
    """The largest REP; infinite where no value was asked."""
    errors = designs.rep[index]
    return math.inf if np.isnan(errors).all() else float(np.nanmax(errors))
