"""Pictures of structures and of numbers, for the page."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from microwright.design.targets import Goal
from microwright.methods.card import PropertyCard

BLUE, GREY, ORANGE = "#1f6fb2", "#8a949e", "#d9822b"
#: edge of a picture unless told otherwise, pixels
THUMBNAIL = 192
#: grey of the three faces of a volume that one sees: top, left, right; of phase 0 and phase 1
FACES = ((250, 60), (225, 40), (200, 20))


def picture(structure: UInt8[np.ndarray, "*grid"], edge: int = THUMBNAIL) -> Image.Image:
    """A film from above, x to the right and y up, phase 1 black; a volume as a cube seen from a corner."""
    if structure.ndim == 3:
        return cube(structure, edge)
    grey = np.where(structure.T[::-1] > 0, 0, 255).astype(np.uint8)
    scale = max(1, round(edge / max(grey.shape)))
    return Image.fromarray(np.kron(grey, np.ones((scale, scale), np.uint8)))


def png(image: Image.Image) -> str:
    """An image as a data URI, which needs no file."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def cube(structure: UInt8[np.ndarray, "x y z"], edge: int = THUMBNAIL) -> Image.Image:
    """The faces of largest x, y and z in isometric projection, phase 1 dark."""
    u, v = np.meshgrid(np.linspace(-1, 1, edge), np.linspace(1, -1, edge))
    canvas = np.full(u.shape, 255, np.uint8)
    # the point p of the unit cube is drawn at ((y − x) √3/2, z − (x + y)/2)
    for (name, face), shades in zip(_faces(structure).items(), FACES, strict=True):
        first, second = _on_face(name, u, v)
        inside = (first >= 0) & (first < 1) & (second >= 0) & (second < 1)
        n, m = face.shape
        taken = face[(first[inside] * n).astype(int), (second[inside] * m).astype(int)]
        canvas[inside] = np.where(taken > 0, shades[1], shades[0])
    return Image.fromarray(canvas)


def _faces(structure: UInt8[np.ndarray, "x y z"]) -> dict[str, UInt8[np.ndarray, "a b"]]:
    return {"top": structure[:, :, -1], "left": structure[-1], "right": structure[:, -1]}


def _on_face(name: str, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates on a face of what is seen at (u, v): (x, y) on top, (y, z) on the left, (x, z) on the right."""
    across = 2 * u / math.sqrt(3)  # y − x
    if name == "top":
        total = 2 * (1 - v)  # x + y, at z = 1
        return (total - across) / 2, (total + across) / 2
    if name == "left":
        y = across + 1
        return y, v + (1 + y) / 2
    x = 1 - across
    return x, v + (1 + x) / 2


def histogram(cards: Sequence[PropertyCard], goals: dict[str, Goal]) -> Figure:
    """Distribution of each property over the labelled structures, with what the target accepts.

    The percentiles of a model's card hold a hundredth of the structures between each two.
    """
    figure = Figure(figsize=(4.6, 1.9 * max(1, len(cards))), layout="constrained")
    for axes, card in zip(np.atleast_1d(figure.subplots(max(1, len(cards)))), cards, strict=False):
        _distribution(axes, card)
        if card.name in goals:
            _accepted(axes, goals[card.name])
        axes.set_xlabel(card.name if card.unit == "1" else f"{card.name} / {card.unit}")
    return figure


def shares(card: PropertyCard, bins: int = 40) -> tuple[Float[np.ndarray, "edges"], Float[np.ndarray, "bins"]]:
    """Edges and shares of a histogram made from a card's percentiles."""
    edges = np.linspace(card.low, card.high, bins + 1)
    quantiles = np.array(card.quantiles or (card.low, card.high))
    below = np.interp(edges, quantiles, np.linspace(0, 1, len(quantiles)))
    return edges, np.diff(below)


def _distribution(axes: Axes, card: PropertyCard) -> None:
    edges, share = shares(card)
    axes.bar(edges[:-1], 100 * share, np.diff(edges), align="edge", color=GREY, alpha=0.7)
    axes.set_ylabel("% of the\nlabelled", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)


def _accepted(axes: Axes, goal: Goal) -> None:
    """The accepted interval; an extreme is an arrow's direction, drawn as a dashed end."""
    low, high = axes.get_xlim()
    if not goal.bounded:
        return
    start, end = (min(max(bound, low), high) for bound in goal.accepted)
    axes.axvspan(start, end, color=BLUE, alpha=0.25, lw=0)
    axes.axvline((start + end) / 2 if end - start < 0.05 * (high - low) else start, color=BLUE, lw=1.5)
    axes.set_xlim(low, high)
