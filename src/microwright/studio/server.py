"""The page's server: this machine alone, no network, one port that is free or a line that says that it is not."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
import webbrowser
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import uvicorn
from fastapi import FastAPI

from microwright.errors import InputError

if TYPE_CHECKING:
    import gradio as gr

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
Receive = Callable[[], Awaitable[Message]]
#: between two looks at whether the server stops, for a page that is shown
LOOK_SECONDS = 0.5


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

    @property
    def upload_bytes(self) -> int:
        """Largest file, bytes; as Gradio counts, a MB is 2²⁰ of them."""
        return self.upload_mb * 2**20


class OnlyHere:
    """Tells the browser to load nothing from elsewhere, and lets open pages go when the server stops.

    Attributes:
        app: what answers.
        stopping: whether the server is about to stop.
    """

    def __init__(self, app: Any) -> None:
        self.app = app
        self.stopping: Callable[[], bool] = lambda: False

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        async def with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"content-security-policy", POLICY.encode())]
            await send(message)

        async def until_stopped() -> Message:
            waiting = asyncio.ensure_future(receive())
            try:
                while not waiting.done() and not self.stopping():
                    await asyncio.wait({waiting}, timeout=LOOK_SECONDS)
                return waiting.result() if waiting.done() else {"type": "http.disconnect"}
            finally:
                waiting.cancel()

        if scope["type"] == "http":
            await self.app(scope, until_stopped, with_policy)
        else:
            await self.app(scope, receive, send)


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
    application = _application(*build(studio), limits)
    server = uvicorn.Server(uvicorn.Config(application, HOST, port, log_level="warning"))
    application.stopping = lambda: server.should_exit
    threading.Thread(target=_announce, args=(server, f"http://{HOST}:{port}", open_browser, say), daemon=True).start()
    try:
        server.run()
    finally:
        studio.sessions.close_all()


def _application(page: gr.Blocks, look: dict[str, Any], limits: Limits) -> OnlyHere:
    """The page as an application of its own: Gradio's launcher would ask a proxy whether localhost can be reached."""
    import gradio

    page.queue(default_concurrency_limit=4, api_open=False)
    application = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    gradio.mount_gradio_app(
        application,
        page,
        path="",
        server_name=HOST,
        footer_links=[],
        max_file_size=limits.upload_bytes,
        ssr_mode=False,
        enable_monitoring=False,
        **look,
    )
    return OnlyHere(application)


def _announce(server: uvicorn.Server, address: str, open_browser: bool, say: Callable[[str], None]) -> None:
    """Say where the page is, and open it, once it is there."""
    while not server.started:
        if server.should_exit:
            return
        time.sleep(0.05)
    say(f"the studio is at {address}; stop it with Ctrl-C")
    if open_browser and not _opened(address):
        say(f"no browser was found here; open {address} in one yourself, or use --no-browser")


def _opened(address: str) -> bool:
    try:
        return webbrowser.open(address)
    except webbrowser.Error:
        return False
