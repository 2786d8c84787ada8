"""Design: a target in, a gallery of verified structures out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr
from matplotlib.figure import Figure

from microwright.design.constraints import SYMMETRIES, Constraints
from microwright.design.exact import seen_values
from microwright.design.reachability import reachability
from microwright.design.targets import parse_target
from microwright.errors import InputError
from microwright.studio import gallery
from microwright.studio.ask import Ask, designer_of, shipped_models
from microwright.studio.designing import Stage, stages
from microwright.studio.errors import one_line
from microwright.studio.goal_rows import GoalRows
from microwright.studio.pictures import histogram
from microwright.studio.session import Session
from microwright.studio.studio import Studio


class DesignTab:
    """Components of the tab and what they do.

    Args:
        studio: the state behind the page.
    """

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        with gr.Row():
            with gr.Column(scale=2, min_width=300):
                self._ask()
            with gr.Column(scale=3, min_width=300):
                self._answer()
        self._connect()

    def _ask(self) -> None:
        models = list(dict.fromkeys([self.studio.model, *shipped_models()]))
        self.model = gr.Dropdown(
            models,
            value=models[0],
            allow_custom_value=True,
            label="Model",
            info="A shipped one, or a trained model's folder.",
            elem_id="model",
        )
        self.rows = GoalRows(designer_of(models[0]))
        self.target = gr.Textbox(
            self.rows.start, label="Target", info="As on the command line; the fields above write it.", elem_id="target"
        )
        self.histogram = gr.Plot(elem_id="histogram", show_label=False, container=False)
        self.reached = gr.Markdown()
        with gr.Row():
            self.count = gr.Number(
                12, elem_id="count", label="Designs", precision=0, minimum=1, maximum=500, min_width=100
            )
            self.seed = gr.Number(0, label="Seed", precision=0, minimum=0, min_width=100)
        self.refine = gr.Radio(
            [("refined onto the target", True), ("the method's own samples", False)], value=True, label="Designs are"
        )
        with gr.Row():
            self.start = gr.Button("Design", variant="primary", elem_id="start", min_width=120)
            self.cancel = gr.Button("Cancel", variant="stop", elem_id="cancel", min_width=120, interactive=False)
        self._more()

    def _more(self) -> None:
        with gr.Accordion("Constraints", open=False):
            with gr.Row():
                self.feature = gr.Number(1, label="Smallest feature / px", precision=0, minimum=1, min_width=120)
                self.gap = gr.Number(1, label="Smallest gap / px", precision=0, minimum=1, min_width=120)
            self.islands = gr.Checkbox(False, label="No islands: every piece of phase 1 is attached")
            self.voids = gr.Checkbox(False, label="No enclosed voids: every piece of phase 0 is attached")
            self.symmetry = gr.Dropdown(list(SYMMETRIES), value="none", label="Symmetry")
        with gr.Accordion("Certify and fabricate", open=False):
            self.certify = gr.Number(0, label="Wanted half-width of the error bars (0: not asked)", minimum=0)
            self.robust = gr.Checkbox(False, label="Prefer designs that ±1 pixel changes least")
            self.fabrication = gr.Checkbox(False, label="Report what fabrication errors do (in the HTML report)")

    def _answer(self) -> None:
        self.status = gr.HTML(gallery.status("ready", 0.0), elem_id="status")
        self.sort = gr.Dropdown(list(gallery.ORDERS), value="error", label="Sort by", elem_id="sort")
        self.gallery = gr.HTML(js_on_load=gallery.ON_LOAD, elem_id="gallery")
        self.summary = gr.HTML(elem_id="summary")
        with gr.Accordion("Every number", open=False):
            self.table = gr.Dataframe(interactive=False, show_label=False, elem_id="table")

    def _connect(self) -> None:
        fields = [
            self.model, self.target, self.count, self.seed, self.refine, self.feature, self.gap, self.islands,
            self.voids, self.symmetry, self.certify, self.robust, self.fabrication,
        ]  # fmt: skip
        shown = [self.status, self.gallery, self.table, self.summary, self.start, self.cancel]
        quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        self.rows.connect(self.target)
        self.target.change(one_line(self.reach), [self.model, self.target], [self.histogram, self.reached], **quiet)
        self.model.change(one_line(self._changed), self.model, [*self.rows.fields, self.target], **quiet)
        self.start.click(one_line(self._run), fields, shown, **quiet)
        self.target.submit(one_line(self._run), fields, shown, **quiet)
        self.cancel.click(self._stop, None, None, queue=False, api_visibility="private")
        self.sort.change(one_line(self._sorted), self.sort, [self.gallery, self.table], **quiet)

    def _changed(self, model: str) -> list[Any]:
        return self.rows.of(designer_of(model))

    def reach(self, model: str, target: str) -> tuple[Figure, str]:
        """The histogram of what the model saw, and whether the target can be met."""
        designer = designer_of(model)
        wanted = parse_target(target, designer.solver.properties[0].name)
        card = designer.method.card
        goals = {goal.property: goal for goal in wanted.goals}
        told = reachability(wanted, seen_values(card), designer.solver.spec())
        return histogram(card.properties, goals), "  \n".join(map(str, told))

    def _run(
        self, model: str, target: str, count: int, seed: int, refine: bool, feature: int, gap: int, islands: bool,
        voids: bool, symmetry: str, certify: float, robust: bool, fabrication: bool, request: gr.Request,
    ) -> Iterator[dict[Any, Any]]:  # fmt: skip
        """Show the stages of a request as they come."""
        session = self.studio.sessions.of(request)
        ask = Ask(
            model,
            target,
            _whole("designs", count),
            _whole("seed", seed),
            Constraints(
                smallest_feature_px=_whole("smallest feature", feature),
                smallest_gap_px=_whole("smallest gap", gap),
                no_islands=islands,
                no_enclosed_voids=voids,
                symmetry=symmetry,
            ),
            refine,
            certify or None,
            robust,
            fabrication,
            self.studio.workers,
        )
        wanted = ask.request()
        job = session.start(self.studio.limits.job_seconds)
        session.ask, session.outcome = ask, None
        try:
            for stage in stages(ask.designer, wanted, refine, job):
                yield self._shown(session, stage)
        except InputError:
            yield self._shown(session, Stage("that cannot be", 1.0, final=True))
            raise
        finally:
            job.stop()

    def _shown(self, session: Session, stage: Stage) -> dict[Any, Any]:
        busy = not stage.final
        update: dict[Any, Any] = {
            self.status: gallery.status(stage.message, stage.share),
            self.start: gr.update(interactive=not busy),
            self.cancel: gr.update(interactive=busy),
        }
        if stage.outcome is not None:
            session.outcome, session.chosen = stage.outcome, None
            session.order = gallery.order(stage.outcome, "error")
            update[self.gallery] = gallery.cards(stage.outcome, session.order)
            update[self.table] = gallery.table(stage.outcome, session.order)
            update[self.summary] = gallery.summary(stage.outcome) if stage.final else ""
        return update

    def _sorted(self, by: str, request: gr.Request) -> tuple[Any, Any]:
        session = self.studio.sessions.of(request)
        if session.outcome is None:
            return gr.update(), gr.update()
        session.order = gallery.order(session.outcome, by)
        return gallery.cards(session.outcome, session.order), gallery.table(session.outcome, session.order)

    def choose(self, event: gr.EventData, request: gr.Request) -> None:
        """Take the design of the card that was clicked as the structure at hand."""
        self.studio.sessions.of(request).choose(int(event.index))

    def _stop(self, request: gr.Request) -> None:
        self.studio.sessions.of(request).stop()


def _whole(name: str, number: float | None) -> int:
    """A whole number from a field that may be empty.

    Raises:
        InputError: empty, or not whole.
    """
    if number is None or int(number) != number:
        raise InputError(f"{name}: {number} is no whole number; write one")
    return int(number)
