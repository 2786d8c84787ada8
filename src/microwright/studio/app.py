"""The page: one tab for each thing that people do."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import gradio as gr

from microwright.studio.bring_tab import BringTab
from microwright.studio.design_tab import DesignTab
from microwright.studio.edit_tab import EditTab
from microwright.studio.errors import one_line
from microwright.studio.look_tab import LookTab
from microwright.studio.studio import Studio
from microwright.studio.take_tab import TakeTab
from microwright.studio.theme import theme

__all__ = ["Studio", "build"]

TITLE = "microwright studio"
INTRODUCTION = (
    "# microwright studio\n"
    "Which microstructure does what you need? Ask for a property, look at what comes, change it, take it away. "
    "Every value is computed by a physics solver for exactly the structure shown."
)
QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}


def build(studio: Studio) -> tuple[gr.Blocks, dict[str, Any]]:
    """The page, and how it looks, which Gradio takes when it launches."""
    with gr.Blocks(title=TITLE, analytics_enabled=False) as page:
        gr.Markdown(INTRODUCTION)
        with gr.Tabs() as tabs:
            with gr.Tab("Design", id="design"):
                design = DesignTab(studio)
            with gr.Tab("Look closer", id="look") as look_page:
                look = LookTab(studio)
            with gr.Tab("Edit and ask", id="edit") as edit_page:
                edit = EditTab(studio)
            with gr.Tab("Bring", id="bring"):
                bring = BringTab(studio, design.model)
            with gr.Tab("Take away", id="take") as take_page:
                take = TakeTab(studio)
        page.load(one_line(design.reach), [design.model, design.target], [design.histogram, design.reached], **QUIET)
        look_page.select(one_line(look.show), None, look.shown, **QUIET)
        edit_page.select(one_line(edit.show), None, edit.shown, **QUIET)
        take_page.select(one_line(take.show), take.formats, take.shown, **QUIET).then(
            one_line(take.lines), take.formats, take.command, **QUIET
        )
        for gallery, choose in ((design.gallery, design.choose), (bring.gallery, bring.choose)):
            gallery.select(one_line(choose), None, None, **QUIET).success(
                lambda: gr.Tabs(selected="look"), None, tabs, **QUIET
            ).then(one_line(look.show), None, look.shown, **QUIET)
        page.unload(studio.sessions.close)
    css = files("microwright.studio").joinpath("studio.css").read_text(encoding="utf-8")
    return page, {"theme": theme(), "css": css}
