"""The page: one tab for each thing that people do."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import gradio as gr

from microwright.studio import design_tab
from microwright.studio.errors import one_line
from microwright.studio.studio import Studio
from microwright.studio.theme import theme

__all__ = ["Studio", "build"]

TITLE = "microwright studio"
INTRODUCTION = (
    "# microwright studio\n"
    "Which microstructure does what you need? Ask for a property, look at what comes, change it, take it away. "
    "Every value is computed by a physics solver for exactly the structure shown."
)


def build(studio: Studio) -> tuple[gr.Blocks, dict[str, Any]]:
    """The page, and how it looks, which Gradio takes when it launches."""
    with gr.Blocks(title=TITLE, analytics_enabled=False) as page:
        gr.Markdown(INTRODUCTION)
        with gr.Tabs(), gr.Tab("Design", id="design"):
            design = design_tab.build(studio)
        page.load(one_line(design.reach), [design.model, design.target], [design.histogram, design.reached])
        page.unload(studio.sessions.close)
    css = files("microwright.studio").joinpath("studio.css").read_text()
    return page, {"theme": theme(), "css": css}
