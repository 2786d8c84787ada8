"""What pages of the project share: the frame with its style, facts, plots as SVG in line, structures as PNG in base64.

A page is one file without scripts that needs no network.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from contextlib import AbstractContextManager
from html import escape
from importlib.resources import files
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from microwright.design.portrait import portrait

BLUE, GREY, ORANGE = "#1f6fb2", "#8a949e", "#d9822b"


def write_page(path: Path, title: str, heading: str, lead: str, body: str) -> None:
    """Write the page; ``body`` is HTML, the rest is text."""
    style = files("microwright.design").joinpath("report.css").read_text()
    path.write_text(
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f"<h1>{escape(heading)}</h1>\n"
        f'<p class="soft">{escape(lead)}</p>\n'
        f"{body}\n</body>\n</html>\n",
        encoding="utf-8",
    )


def list_of_facts(facts: Sequence[tuple[str, str]]) -> str:
    """Names with their figures, large."""
    items = "".join(f"<li><b>{escape(value)}</b><span>{escape(name)}</span></li>" for name, value in facts)
    return f'<ul class="facts">{items}</ul>'


def drawing() -> AbstractContextManager[None]:
    """How plots of a page are drawn: text as text, the same file for the same data."""
    return matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "microwright", "font.size": 10})


def plot(caption: str, figure: Figure) -> str:
    """A plot in line, with its caption."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata=dict.fromkeys(["Creator", "Date", "Format", "Type"]))
    svg = buffer.getvalue()
    return f"<figure>{svg[svg.index('<svg') :]}<figcaption>{escape(caption)}</figcaption></figure>"


def new_axes(xlabel: str, ylabel: str) -> tuple[Figure, Axes]:
    """An empty plot of a page's size."""
    figure = Figure(figsize=(4.8, 3.0), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    return figure, axes


def picture(structure: np.ndarray) -> str:
    """The structure's portrait as the address of an image; where there are two tones alone it takes one bit a pixel."""
    grey = portrait(structure)
    image = Image.fromarray(grey).convert("1" if structure.ndim == 2 else "L")
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
