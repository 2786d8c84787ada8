"""The page's server: this machine alone, no network, one port that is free or a line that says that it is not."""

from __future__ import annotations

import os
import socket
import webbrowser
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from starlette.middleware import Middleware

from microwright.errors import InputError

HOST = "127.0.0.1"
#: what Gradio and its libraries are told before they are imported: nothing is sent anywhere
SILENT = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
}
#: what a browser may load: our own server, and what is written in the page
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; object-src 'none'; form-action 'self'"
)

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]


@dataclass(frozen=True)
class Limits:
    """What a visitor may use.

    Attributes:
        upload_mb: largest file, MB.
        job_seconds: longest piece of work.
    """

    upload_mb: int = 200
    job_seconds: float = 600.0

    def __post_init__(self) -> None:
        if self.upload_mb < 1:
            raise InputError(f"max-upload: {self.upload_mb} MB is nothing; give at least 1")
        if not self.job_seconds > 0:
            raise InputError(f"job-seconds: {self.job_seconds:g} is no time; give seconds above 0")


class OnlyHere:
    """Tells the browser to load nothing from elsewhere."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Message, receive: Any, send: Send) -> None:
        async def with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"content-security-policy", POLICY.encode())]
            await send(message)

        await self.app(scope, receive, with_policy if scope["type"] == "http" else send)


def check_port(port: int) -> None:
    """Refuse a port that cannot be had.

    Raises:
        InputError: no port, or one in use.
    """
    if not 1 <= port <= 65535:
        raise InputError(f"port: {port} is none; give one between 1024 and 65535")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise InputError(
                f"port: {port} cannot be used ({error.strerror}); give another one with --port, for instance {port + 1}"
            ) from error


def serve(port: int, limits: Limits, model: str, open_browser: bool, say: Callable[[str], None]) -> None:
    """Serve the page until the user stops it.

    Raises:
        InputError: a port in use, or no such model.
    """
    check_port(port)
    os.environ.update(SILENT)
    from microwright.studio.app import Studio, build

    studio = Studio(limits, model)
    studio.warm_up()
    page, look = build(studio)
    page.queue(default_concurrency_limit=4, api_open=False)
    page.launch(
        server_name=HOST,
        server_port=port,
        share=False,
        inbrowser=False,
        quiet=True,
        prevent_thread_lock=True,
        max_file_size=f"{limits.upload_mb}mb",
        footer_links=[],
        ssr_mode=False,
        enable_monitoring=False,
        app_kwargs={"middleware": [Middleware(OnlyHere)], "docs_url": None, "redoc_url": None},
        **look,
    )
    address = f"http://{HOST}:{port}"
    say(f"the studio is at {address}; stop it with Ctrl-C")
    if open_browser and not _opened(address):
        say(f"no browser was found here; open {address} in one yourself, or use --no-browser")
    try:
        page.block_thread()
    finally:
        page.close(verbose=False)
        studio.sessions.close_all()


def _opened(address: str) -> bool:
    try:
        return webbrowser.open(address)
    except webbrowser.Error:
        return False
