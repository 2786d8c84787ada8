"""Take away: the designs in every format, the report, and the lines that make the same designs again."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import gradio as gr

from microwright.cli.design import write_outcomes
from microwright.design.export import FORMATS
from microwright.errors import InputError
from microwright.structures.files import StructureSet, write_structures
from microwright.studio.ask import command_line, python_lines
from microwright.studio.errors import one_line
from microwright.studio.session import Session
from microwright.studio.studio import Studio

#: formats that hold structures of so many axes
FITTING = {2: ("png", "tiff", "vti", "gds"), 3: ("tiff", "vti", "stl")}
#: formats of the single structure under the brush
SINGLE = {2: (".png", ".tiff", ".npy"), 3: (".vti", ".tiff", ".stl", ".npy")}


class TakeTab:
    """Components of the tab and what they do.

    Args:
        studio: the state behind the page.
    """

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        gr.Markdown(
            "Every set comes as `designs.h5` (everything), `designs.csv`, `gallery.png` and `report.html`; further "
            "formats hold one file for each design."
        )
        self.formats = gr.CheckboxGroup(FORMATS, value=["png"], label="Further formats", elem_id="formats")
        with gr.Row():
            self.make = gr.Button("Make the files", variant="primary", elem_id="make")
            self.single = gr.Button("The edited structure", elem_id="single")
        self.files = gr.File(label="Files", file_count="multiple", interactive=False, elem_id="files")
        self.command = gr.Textbox(
            label="The same designs from the command line",
            lines=2,
            interactive=False,
            buttons=["copy"],
            elem_id="command",
        )
        self.python = gr.Textbox(
            label="The same designs from Python", lines=12, interactive=False, buttons=["copy"], elem_id="python"
        )
        quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        self.make.click(one_line(self._make), self.formats, [self.files, self.command], **quiet)
        self.single.click(one_line(self._single), None, self.files, **quiet)
        self.formats.change(one_line(self.lines), self.formats, self.command, **quiet)

    @property
    def shown(self) -> list[Any]:
        """What ``show`` updates."""
        return [self.formats, self.python]

    def show(self, formats: list[str], request: gr.Request) -> list[Any]:
        """The formats that fit, and the lines of the request; a choice that fits stays as it is."""
        session = self.studio.sessions.of(request)
        if session.ask is None or session.outcome is None:
            return [gr.skip(), ""]
        fitting = FITTING[session.outcome.designs.structures.ndim - 1]
        if set(formats) <= set(fitting):
            chosen = gr.update(choices=fitting)
        else:
            chosen = gr.update(choices=fitting, value=[fitting[0]])
        return [chosen, python_lines(session.ask)]

    def lines(self, formats: list[str], request: gr.Request) -> str:
        """The command of the request."""
        session = self.studio.sessions.of(request)
        return "" if session.ask is None else command_line(session.ask, formats)

    def _make(self, formats: list[str], request: gr.Request) -> tuple[list[str], str]:
        session = self.studio.sessions.of(request)
        if session.outcome is None or session.ask is None:
            raise InputError("files: there are no designs yet; make some first")
        return [str(path) for path in write_files(session, formats)], command_line(session.ask, formats)

    def _single(self, request: gr.Request) -> list[str]:
        session = self.studio.sessions.of(request)
        chosen = session.at_hand()
        phase = chosen.phase if session.edited is None else session.edited.phase
        folder = _emptied(session.folder / "single")
        name = chosen.name.replace(" ", "-")
        paths = [folder / f"{name}{suffix}" for suffix in SINGLE[phase.ndim]]
        for path in paths:
            write_structures(path, StructureSet(phase[None], (name,)), replace=True)
        return [str(path) for path in paths]


def write_files(session: Session, formats: list[str]) -> list[Path]:
    """The set's own files, and everything in one archive.

    Raises:
        InputError: a format that does not hold such structures, or a full disk.
    """
    assert session.outcome is not None
    folder = _emptied(session.folder / "designs")
    write_outcomes(folder, [session.outcome], formats)
    archive = shutil.make_archive(str(session.folder / "designs"), "zip", folder)
    own = [folder / name for name in ("designs.h5", "designs.csv", "gallery.png", "report.html")]
    return [Path(archive), *own]


def _emptied(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
