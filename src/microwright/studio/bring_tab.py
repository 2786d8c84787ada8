"""Bring: files of your own for their properties, and a model trained on them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from microwright.errors import InputError
from microwright.methods import METHODS
from microwright.structures.files import READERS
from microwright.studio import bringing, gallery
from microwright.studio.ask import designer_of
from microwright.studio.bringing import Lesson
from microwright.studio.errors import one_line
from microwright.studio.session import Stopped
from microwright.studio.studio import Studio
from microwright.studio.widgets import upload_guard


class BringTab:
    """Components of the tab and what they do.

    Args:
        studio: the state behind the page.
        model: the list of models, which a trained one joins.
    """

    def __init__(self, studio: Studio, model: gr.Dropdown) -> None:
        self.studio = studio
        known = " ".join(suffix for suffix in READERS if suffix and suffix != ".zarr")
        gr.Markdown(
            f"Images or volumes of two phases, up to {studio.limits.upload_mb} MB a file: {known}. Grey images are "
            "cut by Otsu's threshold. Absorption is computed in the shipped optical cell, stiffness with its phases."
        )
        with gr.Row():
            with gr.Column(scale=2, min_width=300):
                self.files = gr.File(label="Structures", file_count="multiple", elem_id="upload", height=160)
                self.properties = gr.Dropdown(
                    bringing.usable_names(),
                    value=["absorption"],
                    multiselect=True,
                    allow_custom_value=True,
                    label="Properties",
                    elem_id="properties",
                    info="Of films: absorption …; of volumes and films: C11 …, k11 …",
                )
                with gr.Row():
                    self.solve = gr.Button("Compute", variant="primary", elem_id="compute", min_width=120)
                    self.cancel = gr.Button("Stop", variant="stop", min_width=120)
                self._lesson()
            with gr.Column(scale=3, min_width=300):
                self.status = gr.HTML(elem_id="bring-status")
                self.gallery = gr.HTML(js_on_load=gallery.ON_LOAD, elem_id="brought")
        self.guard = upload_guard(studio.limits.upload_bytes, elem_id="guard")
        quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        self.guard.select(one_line(self._refuse), None, None, **quiet)
        self.solve.click(one_line(self._solve), [self.files, self.properties], [self.status, self.gallery], **quiet)
        self.train.click(
            one_line(self._train),
            [self.files, self.properties, self.table, self.method, self.folder, model],
            [self.status, model],
            **quiet,
        )
        self.cancel.click(self._stop, None, None, queue=False, api_visibility="private")

    def _lesson(self) -> None:
        with gr.Accordion("Train a model on them", open=False):
            self.table = gr.File(
                label="CSV of properties, matched by file name (optional)", elem_id="table-upload", height=120
            )
            self.method = gr.Dropdown(list(METHODS), value="pca-mdn", label="Method")
            self.folder = gr.Textbox(
                "", label="Folder for the model", info="Empty: it goes when you leave the page.", elem_id="model-folder"
            )
            self.train = gr.Button("Train", elem_id="train")

    def _solve(self, files: list[str] | None, properties: list[str], request: gr.Request) -> Iterator[tuple[str, Any]]:
        session = self.studio.sessions.of(request)
        content = bringing.read_files(files or [], properties)
        job = session.start(self.studio.limits.job_seconds)
        session.brought, wanted = [], len(content.structures)
        yield gallery.status(f"{wanted} structures read; solving …", 0.05), ""
        try:
            for structure in bringing.solve_files(content, properties, job):
                session.brought.append(structure)
                done = len(session.brought)
                shown = gallery.brought(session.brought) if done % 8 == 1 or done == wanted else gr.skip()
                yield gallery.status(f"{done} of {wanted} solved", done / wanted), shown
        except Stopped:
            yield gallery.status("stopped", 1.0), gallery.brought(session.brought)

    def _train(
        self, files: list[str] | None, properties: list[str], table: str | None, method: str, folder: str, model: str,
        request: gr.Request,
    ) -> Iterator[tuple[str, Any]]:  # fmt: skip
        session = self.studio.sessions.of(request)
        place = Path(folder.strip()).expanduser() if folder.strip() else session.folder / f"model-{method}"
        lesson = Lesson(files or [], properties, table, method, place, session.folder / "lesson")
        job = session.start(self.studio.limits.job_seconds)
        try:
            for message in lesson.run(job):
                yield gallery.status(message, 0.5), gr.skip()
        except Stopped:
            yield gallery.status("stopped; nothing was kept", 1.0), gr.skip()
            return
        card = designer_of(str(place)).method.card
        ranges = ", ".join(f"{item.name} {item.low:.4g} to {item.high:.4g}" for item in card.properties)
        told = "; ".join([f"trained: {ranges} can be asked for; it is chosen in Design now", *lesson.notes])
        yield gallery.status(told, 1.0), gr.update(value=str(place))

    def choose(self, event: gr.EventData, request: gr.Request) -> None:
        """Take the structure of the card that was clicked as the one at hand."""
        session = self.studio.sessions.of(request)
        index = int(event.index)
        if not 0 <= index < len(session.brought):
            raise InputError("structure: it is not there any more; compute again")
        session.chosen = session.brought[index]

    def _refuse(self, event: gr.EventData) -> None:
        wanted = math.ceil(int(event.bytes) / 2**20)
        raise InputError(
            f"{event.file}: {wanted} MB is more than the {self.studio.limits.upload_mb} MB that this page takes; "
            f"cut it, or start the studio with --max-upload {wanted}"
        )

    def _stop(self, request: gr.Request) -> None:
        self.studio.sessions.of(request).stop()
