"""Edit and ask: change pixels, and see the properties move."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from html import escape
from typing import Any

import gradio as gr
import numpy as np

from microwright.physics.property import Solution
from microwright.studio import editing, gallery
from microwright.studio.editing import Edited
from microwright.studio.errors import one_line
from microwright.studio.session import Session, Stopped
from microwright.studio.studio import Studio
from microwright.studio.widgets import packed, pixel_editor, unpacked

HELP = (
    "Paint phase 1 (black) or erase it. With the keyboard: Tab into the picture, arrow keys move, space flips what is "
    "under the brush. The properties follow each stroke: *predicted* by the gradient at once, then *solved*."
)


class EditTab:
    """Components of the tab and what they do.

    Args:
        studio: the state behind the page.
    """

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        gr.Markdown(HELP)
        with gr.Row():
            with gr.Column(scale=3, min_width=300):
                self.editor = pixel_editor(elem_id="editor")
            with gr.Column(scale=2, min_width=300):
                self.status = gr.HTML(elem_id="edit-status")
                self.answer = gr.HTML(elem_id="answer")
                with gr.Row():
                    self.erode = gr.Button("Erode", min_width=90, elem_id="erode")
                    self.dilate = gr.Button("Dilate", min_width=90)
                    self.invert = gr.Button("Invert", min_width=90)
                with gr.Row():
                    self.sigma = gr.Number(1.0, label="smooth by / px", minimum=0, min_width=90)
                    self.level = gr.Number(
                        0.5, label="threshold at", minimum=0.05, maximum=0.95, step=0.05, min_width=90
                    )
                    self.threshold = gr.Button("Smooth, cut", min_width=90)
                with gr.Row():
                    self.times = gr.Number(2, label="copies along each edge", precision=0, minimum=1, min_width=90)
                    self.tile = gr.Button("Tile", min_width=90)
                with gr.Row():
                    self.undo = gr.Button("Undo", min_width=90, elem_id="undo")
                    self.reset = gr.Button("Start again", min_width=90)
        self._connect()

    def _connect(self) -> None:
        quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        shown = [self.editor, self.status, self.answer]
        self.editor.input(one_line(self._painted), self.editor, shown, trigger_mode="always_last", **quiet)
        for button, change in ((self.erode, editing.shrunk), (self.dilate, editing.grown), (self.invert, inverted)):
            button.click(one_line(self._applying(change)), None, shown, **quiet)
        self.threshold.click(one_line(self._threshold), [self.sigma, self.level], shown, **quiet)
        self.tile.click(one_line(self._tile), self.times, shown, **quiet)
        self.undo.click(one_line(self._undo), None, shown, **quiet)
        self.reset.click(one_line(self._reset), None, shown, **quiet)

    @property
    def shown(self) -> list[Any]:
        """What ``show`` updates."""
        return [self.editor, self.status, self.answer]

    def show(self, request: gr.Request) -> Iterator[list[Any]]:
        """The chosen structure, solved with its gradient; one that is being edited stays."""
        session = self.studio.sessions.of(request)
        if session.chosen is None and session.outcome is not None:
            session.choose(session.order[0])
        if session.chosen is None:
            yield [None, gallery.status("nothing to edit yet: make designs, or bring a file", 0.0), ""]
            return
        if session.edited is None or session.edited.original is not session.chosen:
            session.edited = Edited(session.chosen, session.chosen.phase.copy())
        yield from self._asked(session, session.edited, fresh=True)

    def _painted(self, value: Any, request: gr.Request) -> Iterator[list[Any]]:
        session, edited = self._at_hand(request)
        edited.change(unpacked(value, edited.phase.shape))
        yield from self._asked(session, edited, fresh=False)

    def _applying(self, change: Callable[[np.ndarray], np.ndarray]) -> Callable[..., Iterator[list[Any]]]:
        def apply(request: gr.Request) -> Iterator[list[Any]]:
            session, edited = self._at_hand(request)
            edited.change(change(edited.phase))
            yield from self._asked(session, edited, fresh=True)

        return apply

    def _threshold(self, sigma: float, level: float, request: gr.Request) -> Iterator[list[Any]]:
        session, edited = self._at_hand(request)
        edited.change(editing.smoothed(edited.phase, sigma or 0.0, level))
        yield from self._asked(session, edited, fresh=True)

    def _tile(self, times: float, request: gr.Request) -> Iterator[list[Any]]:
        session, edited = self._at_hand(request)
        edited.change(editing.tiled(edited.phase, int(times or 0)))
        yield from self._asked(session, edited, fresh=True)

    def _undo(self, request: gr.Request) -> Iterator[list[Any]]:
        session, edited = self._at_hand(request)
        edited.undo()
        yield from self._asked(session, edited, fresh=True)

    def _reset(self, request: gr.Request) -> Iterator[list[Any]]:
        session, edited = self._at_hand(request)
        edited.change(edited.original.phase.copy())
        yield from self._asked(session, edited, fresh=True)

    def _asked(self, session: Session, edited: Edited, fresh: bool) -> Iterator[list[Any]]:
        """Prediction, then solution; the editor is told only what it does not show already."""
        canvas = packed(edited.phase) if fresh else gr.skip()
        yield [canvas, gallery.status("predicted by the gradient; solving …", 0.5), answer(edited)]
        try:
            edited.solve(session.start(self.studio.limits.job_seconds))
        except Stopped:
            yield [gr.skip(), gallery.status("stopped", 1.0), gr.skip()]
            return
        yield [gr.skip(), gallery.status("solved", 1.0), answer(edited)]

    def _at_hand(self, request: gr.Request) -> tuple[Session, Edited]:
        session = self.studio.sessions.of(request)
        if session.edited is None:
            session.edited = Edited(session.at_hand(), session.at_hand().phase.copy())
        return session, session.edited


def inverted(phase: np.ndarray) -> np.ndarray:
    """The phases exchanged."""
    return (1 - phase).astype(np.uint8)


def answer(edited: Edited) -> str:
    """The properties as a table, predicted and solved, with the phase fraction and the count of changed pixels."""
    predicted = edited.predicted
    fresh = edited.solution if edited.solved is edited.phase else None
    rows = []
    for column, item in enumerate(edited.original.solver.properties):
        name, unit = escape(item.name), "" if item.unit == "1" else f" {item.unit}"
        first = "…" if predicted is None else f"{predicted[column]:.5g}{unit}"
        second = "…" if fresh is None else f"{float(fresh.values[0, column]):.6g}{bar_of(fresh, column)}{unit}"
        rows.append(f'<th>{name}</th><td class="mw-predicted">{first}</td><td class="mw-solved">{second}</td>')
    rows.append(f"<th>phase fraction</th><td></td><td>{float(edited.phase.mean()):.4f}</td>")
    if edited.phase.shape == edited.original.phase.shape:
        changed = int((edited.phase != edited.original.phase).sum())
        rows.append(f'<th>pixels changed</th><td></td><td id="changed">{changed}</td>')
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    head = "<tr><th></th><th>predicted</th><th>solved</th></tr>"
    return f'<div class="mw-wide"><table class="mw-summary"><thead>{head}</thead><tbody>{body}</tbody></table></div>'


def bar_of(solution: Solution, column: int) -> str:
    """The error bar of a property as text."""
    return gallery.bar_of(float(solution.error_bar[0, column]))
