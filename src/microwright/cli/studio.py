"""``microwright studio``: the page to design on."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Annotated

import typer

from microwright.cli.progress import say
from microwright.errors import InputError


def studio_command(
    port: Annotated[int, typer.Option(help="Port on this machine.")] = 7860,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")] = True,
    model: Annotated[str, typer.Option(help="What the page starts with: a shipped model's name, or a folder.")] = "",
    max_upload: Annotated[int, typer.Option(help="Largest file that the page takes, MB.")] = 200,
    job_seconds: Annotated[float, typer.Option(help="Longest piece of work, seconds.")] = 600.0,
) -> None:
    """See, steer and understand designs on a page that runs on this machine alone."""
    if find_spec("gradio") is None:
        raise InputError("studio: Gradio is not installed; run pip install 'microwright[studio]'")
    from microwright.studio.ask import DEFAULT_MODEL
    from microwright.studio.server import Limits, serve

    serve(port, Limits(max_upload, job_seconds), model or DEFAULT_MODEL, browser, say)
