"""One row of fields for each property; together they write the target's text."""

from __future__ import annotations

from typing import Any

import gradio as gr

from microwright.design.designer import Designer
from microwright.design.targets import PHASE_FRACTION

#: properties that have fields of their own; further ones are written in the target's text
MOST = 7
NOTHING = "–"
ASKED = (NOTHING, "value", "range", "at least", "at most", "maximise", "minimise")


class GoalRows:
    """Rows of a question and its one or two numbers.

    Args:
        designer: whose properties the rows are for at first.
    """

    def __init__(self, designer: Designer) -> None:
        self.fields: list[Any] = []
        self.names = gr.State(_names(designer))
        rows = _values(designer)
        for index in range(MOST):
            name, kind, first, second = rows[index] if index < len(rows) else ("", NOTHING, None, None)
            with gr.Row(visible=index < len(rows), elem_classes="goal") as row:
                asked = gr.Dropdown(ASKED, value=kind, label=name, min_width=110, scale=2, elem_classes="kind")
                low = gr.Number(first, label=LABELS[kind][0], min_width=90, visible=bool(LABELS[kind][0]))
                high = gr.Number(second, label=LABELS[kind][1], min_width=90, visible=bool(LABELS[kind][1]))
            self.fields += [row, asked, low, high]
        self.fields.append(self.names)
        self.start = written(_names(designer), *[value for row in rows for value in row[1:]])

    def connect(self, target: gr.Textbox) -> None:
        """Let the rows write ``target``."""
        rows = [self.fields[4 * index + 1 : 4 * index + 4] for index in range(MOST)]
        for asked, low, high in rows:
            asked.input(labels, asked, [low, high], show_progress="hidden", api_visibility="private")
        gr.on(
            [field.input for row in rows for field in row],
            written,
            [self.names, *(field for row in rows for field in row)],
            target,
            show_progress="hidden",
            api_visibility="private",
        )

    @staticmethod
    def of(designer: Designer) -> list[Any]:
        """Updates of all fields, and the target, for another model."""
        rows = _values(designer)
        updates: list[Any] = []
        for index in range(MOST):
            name, kind, first, second = rows[index] if index < len(rows) else ("", NOTHING, None, None)
            low, high = LABELS[kind]
            updates += [
                gr.update(visible=index < len(rows)),
                gr.update(label=name, value=kind),
                gr.update(value=first, label=low, visible=bool(low)),
                gr.update(value=second, label=high, visible=bool(high)),
            ]
        names = _names(designer)
        return [*updates, names, written(names, *[value for row in rows for value in row[1:]])]


#: what the two numbers of a question mean; none where it has no such number
LABELS = {
    NOTHING: ("", ""),
    "value": ("value", "tolerance"),
    "range": ("from", "to"),
    "at least": ("bound", ""),
    "at most": ("bound", ""),
    "maximise": ("", ""),
    "minimise": ("", ""),
}


def labels(kind: str) -> list[Any]:
    """How the two numbers of a row show for its question."""
    return [gr.update(label=label, visible=bool(label)) for label in LABELS[kind]]


def written(names: list[str], *values: Any) -> str:
    """The target that the rows ask for, as on the command line."""
    triples = [values[i : i + 3] for i in range(0, len(values), 3)]
    goals = [_goal(name, *triple) for name, triple in zip(names, triples, strict=False)]
    return ", ".join(goal for goal in goals if goal)


def _goal(name: str, kind: str, first: float | None, second: float | None) -> str:
    """A goal's text, empty where a number is missing."""
    if kind in ("maximise", "minimise"):
        return f"{kind[:3]} {name}"
    if kind == NOTHING or first is None or (kind == "range" and second is None):
        return ""
    tolerance = f"±{second:g}" if second else ""
    return {
        "value": f"{name}={first:g}{tolerance}",
        "range": f"{name}={first:g}..{second or 0:g}",
        "at least": f"{name}>={first:g}",
        "at most": f"{name}<={first:g}",
    }[kind]


def _names(designer: Designer) -> list[str]:
    return [*(item.name for item in designer.method.properties[: MOST - 1]), PHASE_FRACTION]


def _values(designer: Designer) -> list[tuple[str, str, float | None, float | None]]:
    """Name, question and numbers of each row: the middle of what the model saw."""
    rows = []
    for card in designer.method.card.properties[: MOST - 1]:
        middle = card.quantiles[len(card.quantiles) // 2] if card.quantiles else (card.low + card.high) / 2
        rows.append((card.name, "value", float(f"{middle:.2g}"), None))
    return [*rows, (PHASE_FRACTION, NOTHING, None, None)]
