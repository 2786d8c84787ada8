"""Look closer: one structure large, and everything that can be known about it."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

import gradio as gr
import numpy as np
from matplotlib.figure import Figure

from microwright.physics.elasticity import ElasticSolver
from microwright.physics.optics import RcwaSolver
from microwright.studio import analyses, figures, gallery
from microwright.studio.ask import designer_of
from microwright.studio.errors import one_line
from microwright.studio.pictures import picture, png
from microwright.studio.session import Session, Stopped, Structure
from microwright.studio.studio import Studio
from microwright.studio.widgets import packed, volume_view

#: edge of the large picture, pixels
LARGE = 512
NOTHING = "Nothing to look at yet: make designs, or bring a file, and choose one."


class LookTab:
    """Components of the tab and what they do.

    Args:
        studio: the state behind the page.
    """

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.facts = gr.HTML(NOTHING, elem_id="facts")
        with gr.Row():
            with gr.Column(scale=2, min_width=300):
                self.picture = gr.HTML(elem_id="large")
                self.volume = volume_view(elem_id="volume")
            with gr.Column(scale=3, min_width=300):
                self.statistics = gr.Plot(show_label=False, elem_id="statistics")
        with gr.Row():
            self.ask_convergence = gr.Button("Convergence", elem_id="ask-convergence", min_width=130)
            self.ask_tolerance = gr.Button("Tolerance", elem_id="ask-tolerance", min_width=130)
            self.ask_spectrum = gr.Button("Spectrum", elem_id="ask-spectrum", min_width=130)
            self.ask_modulus = gr.Button("Directional stiffness", elem_id="ask-modulus", min_width=130, visible=False)
            self.cancel = gr.Button("Stop", variant="stop", min_width=90)
        with gr.Row() as self.range:
            self.low = gr.Number(400, label="Spectrum from / nm", min_width=120)
            self.high = gr.Number(800, label="to / nm", min_width=120)
            self.points = gr.Number(17, label="wavelengths", precision=0, min_width=120, elem_id="points")
        self.status = gr.HTML(elem_id="look-status")
        with gr.Row():
            self.convergence = gr.Plot(show_label=False, elem_id="convergence", min_width=300, visible=False)
            self.tolerance = gr.Plot(show_label=False, elem_id="tolerance", min_width=300, visible=False)
        with gr.Row():
            self.spectrum = gr.Plot(show_label=False, elem_id="spectrum", min_width=300, visible=False)
            self.modulus = gr.Plot(show_label=False, elem_id="modulus", min_width=300, visible=False)
        self._connect()

    def _connect(self) -> None:
        quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        self.ask_convergence.click(one_line(self._convergence), None, [self.status, self.convergence], **quiet)
        self.ask_tolerance.click(one_line(self._tolerance), None, [self.status, self.tolerance], **quiet)
        self.ask_spectrum.click(
            one_line(self._spectrum), [self.low, self.high, self.points], [self.status, self.spectrum], **quiet
        )
        self.ask_modulus.click(one_line(self._modulus), None, [self.status, self.modulus], **quiet)
        self.cancel.click(self._stop, None, None, queue=False, api_visibility="private")

    @property
    def shown(self) -> list[Any]:
        """What ``show`` updates."""
        return [
            self.facts, self.picture, self.volume, self.statistics, self.convergence, self.tolerance, self.spectrum,
            self.modulus, self.status, self.ask_spectrum, self.ask_modulus, self.range,
        ]  # fmt: skip

    def show(self, request: gr.Request) -> list[Any]:
        """The chosen structure, or the best design where none is chosen; the other plots are cleared."""
        session = self.studio.sessions.of(request)
        if session.chosen is None and session.outcome is not None:
            session.choose(session.order[0])
        chosen = session.chosen
        if chosen is None:
            return [NOTHING, "", None, None, None, None, None, None, "", *[gr.skip()] * 3]
        flat = chosen.phase.ndim == 2
        large = f'<img class="mw-large" alt="{escape(chosen.name)}" src="{png(picture(chosen.phase, LARGE))}">'
        return [
            facts(session, chosen),
            large if flat else "",
            None if flat else packed(chosen.phase),
            self._statistics(session, chosen),
            *[gr.update(value=None, visible=False)] * 4,
            "",
            gr.update(visible=isinstance(chosen.solver, RcwaSolver)),
            gr.update(visible=not flat and isinstance(chosen.solver, ElasticSolver)),
            gr.update(visible=isinstance(chosen.solver, RcwaSolver)),
        ]

    def _statistics(self, session: Session, chosen: Structure) -> Figure:
        card = designer_of(session.ask.model if session.ask else self.studio.model).method.card
        training = analyses.training_curves(card, chosen.phase.shape)
        return figures.statistics_figure(analyses.statistics(chosen.phase[None]), training)

    def _convergence(self, request: gr.Request) -> Iterator[Any]:
        session, chosen = self._at_hand(request)
        job = session.start(self.studio.limits.job_seconds)
        try:
            for found in analyses.convergence(chosen, job):
                line = gallery.status(f"{found.effort}: {found.at[-1]} solved", 1.0)
                yield line, drawn(figures.convergence_figure(found, chosen.solver.properties[0], chosen.bar))
        except Stopped:
            yield gallery.status("stopped", 1.0), gr.update()

    def _tolerance(self, request: gr.Request) -> Iterator[Any]:
        session, chosen = self._at_hand(request)
        yield gallery.status("eroding, dilating, rounding, roughening …", 0.1), gr.update()
        try:
            found = analyses.fabrication(chosen, 0, session.start(self.studio.limits.job_seconds))
        except Stopped:
            yield gallery.status("stopped", 1.0), gr.update()
            return
        spread = ", ".join(
            f"{item.name} moves by at most {float(value):.3g}"
            for item, value in zip(chosen.solver.properties, found.spread[0], strict=True)
        )
        yield gallery.status(spread, 1.0), drawn(figures.tolerance_figure(found, chosen.solver.properties))

    def _spectrum(self, low: float, high: float, points: int, request: gr.Request) -> Iterator[Any]:
        session, chosen = self._at_hand(request)
        job = session.start(self.studio.limits.job_seconds)
        designed = chosen.solver.cell.wavelength_nm if isinstance(chosen.solver, RcwaSolver) else 0.0
        try:
            for found in analyses.spectrum(chosen, low or 0, high or 0, int(points or 0), job):
                done = len(found.wavelengths_nm)
                line = gallery.status(f"{done} of {found.wanted} wavelengths; {found.media}", done / found.wanted)
                redraw = done % 4 == 0 or done == found.wanted
                yield line, drawn(figures.spectrum_figure(found, designed)) if redraw else gr.skip()
        except Stopped:
            yield gallery.status("stopped", 1.0), gr.update()

    def _modulus(self, request: gr.Request) -> Iterator[Any]:
        session, chosen = self._at_hand(request)
        yield gallery.status("solving six load cases …", 0.1), gr.update()
        try:
            stiffness = analyses.full_stiffness(chosen, session.start(self.studio.limits.job_seconds))
        except Stopped:
            yield gallery.status("stopped", 1.0), gr.update()
            return
        diagonal = ", ".join(f"C{i + 1}{i + 1} = {float(stiffness[i, i]):.4g}" for i in range(6))
        yield gallery.status(f"{diagonal} GPa", 1.0), drawn(figures.modulus_figure(stiffness))

    def _at_hand(self, request: gr.Request) -> tuple[Session, Structure]:
        session = self.studio.sessions.of(request)
        return session, session.at_hand()

    def _stop(self, request: gr.Request) -> None:
        self.studio.sessions.of(request).stop()


def facts(session: Session, chosen: Structure) -> str:
    """What is known of the structure, in one line."""
    grid = " × ".join(map(str, chosen.phase.shape))
    cells = "pixels" if chosen.phase.ndim == 2 else "voxels"
    told = [f"<b>{escape(chosen.name)}</b>", f"{grid} {cells}", f"phase fraction {float(np.mean(chosen.phase)):.4f}"]
    return f'<p class="mw-facts">{" · ".join([*told, escape(chosen.told)])}</p>'


def drawn(figure: Figure) -> Any:
    """A plot that shows from now on."""
    return gr.update(value=figure, visible=True)
