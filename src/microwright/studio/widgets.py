"""Components of the page that Gradio does not have: a volume to turn and cut, pixels to paint, a guard of uploads."""

from __future__ import annotations

import base64
from importlib.resources import files
from typing import Any

import gradio as gr
import numpy as np
from jaxtyping import UInt8

from microwright.errors import InputError

_CUT = '<label>{axis} up to <input type="range" min="2" max="100" value="100" aria-label="cut along {axis}"></label>'
_VOLUME = (
    '<div class="mw-volume"><canvas width="300" height="300" tabindex="0" role="img" '
    'aria-label="the volume; arrow keys turn it"></canvas><div class="mw-cuts">'
    + "".join(_CUT.format(axis=axis) for axis in "xyz")
    + '<label><input type="checkbox"> both phases</label></div></div>'
)
_EDITOR = (
    '<div class="mw-editor"><canvas width="512" height="512" tabindex="0" role="application" '
    'aria-label="pixels: arrow keys move, space flips"></canvas><div class="mw-tools">'
    '<label><input type="radio" name="mw-tool" class="mw-paint" checked> paint</label>'
    '<label><input type="radio" name="mw-tool" class="mw-erase"> erase</label>'
    '<label>brush / px <input type="number" class="mw-brush" min="1" max="16" value="2"></label>'
    '<label class="mw-slice" hidden>slice z <input type="range" min="0" max="0" value="0"></label></div></div>'
)


def volume_view(**settings: Any) -> gr.HTML:
    """A volume to turn and cut; its value is of ``packed``."""
    return gr.HTML(html_template=_VOLUME, js_on_load=_script("volume.js"), **settings)


def pixel_editor(**settings: Any) -> gr.HTML:
    """Pixels to paint and erase; its value is of ``packed``, and it says ``input`` after each stroke."""
    return gr.HTML(html_template=_EDITOR, js_on_load=_script("editor.js"), **settings)


def upload_guard(limit_bytes: int, **settings: Any) -> gr.HTML:
    """Keeps larger files of its tab in the browser; it says ``select`` with the ``file`` and its ``bytes``."""
    limit = f'<span class="mw-limit" data-bytes="{limit_bytes}" hidden></span>'
    return gr.HTML(html_template=limit, js_on_load=_script("upload.js"), padding=False, **settings)


def packed(structure: UInt8[np.ndarray, "*grid"]) -> dict[str, Any]:
    """A binary structure as JSON: its shape, and eight pixels in a byte."""
    bits = base64.b64encode(np.packbits(structure.astype(bool)).tobytes()).decode()
    return {"shape": list(structure.shape), "bits": bits}


def unpacked(value: Any, shape: tuple[int, ...]) -> UInt8[np.ndarray, "*grid"]:
    """The structure that ``packed`` wrote.

    Raises:
        InputError: of another shape, or damaged.
    """
    try:
        bits = np.frombuffer(base64.b64decode(value["bits"], validate=True), np.uint8)
        if tuple(value["shape"]) != shape:
            raise ValueError(f"shape {value['shape']}")
        return np.unpackbits(bits, count=int(np.prod(shape))).reshape(shape)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"editor: what was painted does not fit the structure ({error}); load it again") from error


def _script(name: str) -> str:
    return files("microwright.studio").joinpath(name).read_text(encoding="utf-8")
