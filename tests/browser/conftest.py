"""A studio on a free port, and Debian's Chromium to look at it; every request that leaves this machine is a failure."""

from __future__ import annotations

import io
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
from PIL import Image

playwright = pytest.importorskip("playwright.sync_api")

CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
#: seconds that a page may take to show what it was asked for
PATIENCE = 60
playwright.expect.set_options(timeout=1000 * PATIENCE)
#: where the pictures of the docs go, where somebody asks for them: STUDIO_PICTURES=docs make test-studio
PICTURES = os.environ.get("STUDIO_PICTURES")


@pytest.fixture(scope="session")
def chromium() -> Iterator[playwright.Browser]:
    if CHROMIUM is None:
        pytest.skip("absent")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a studio that takes files up to 1 MB."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("studio") / "log"
    command = [sys.executable, "-c", "from microwright.cli.main import run; run()", "studio", "--no-browser"]
    with log.open("w") as file:
        server = subprocess.Popen(
            [*command, "--port", str(port), "--max-upload", "1"], stdout=file, stderr=file, start_new_session=True
        )
    try:
        _wait(f"http://127.0.0.1:{port}/", server, log)
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.terminate()
        server.wait(10)


def _wait(address: str, server: subprocess.Popen, log: Path) -> None:
    for _ in range(3000):
        if server.poll() is not None:
            raise RuntimeError(log.read_text())
        try:
            urlopen(address).close()
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"no answer: {log.read_text()}")


class Visitor:
    """A tab of its own, with what it asked the network for.

    Args:
        browser: Chromium.
        address: of the studio.
        width: of the window, pixels.
    """

    def __init__(self, browser: playwright.Browser, address: str, width: int) -> None:
        self.context = browser.new_context(viewport={"width": width, "height": 900}, accept_downloads=True)
        self.page = self.context.new_page()
        self.page.set_default_timeout(1000 * PATIENCE)
        self.asked: list[str] = []
        self.broken: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.broken.append(str(error)))
        self.page.goto(address)
        self.page.locator("#start").wait_for()
        self.page.locator("#histogram img").wait_for()

    def open(self, tab: str) -> None:
        """A tab of the page; in a narrow window it may lie behind the dots."""
        button = self.page.get_by_role("tab", name=tab, exact=True).first
        if not button.is_visible():
            self.page.locator(".overflow-menu > button").click()
            button = self.page.locator(".overflow-dropdown button", has_text=tab)
        button.click()

    def design(self, count: int = 4, target: str = "absorption=0.65") -> None:
        """Ask for designs and wait until they are there."""
        self.ask(count, target)
        self.page.locator("#start").click()
        self.page.locator("#summary table").wait_for()

    def ask(self, count: int, target: str) -> None:
        """Fill in the fields."""
        self.fill("#count", str(count))
        self.page.locator("#target textarea, #target input").first.fill(target)

    def fill(self, field: str, value: str) -> None:
        box = self.page.locator(f"{field} input").first
        box.fill(value)
        box.press("Tab")

    @property
    def status(self) -> str:
        return self.page.locator("#status").inner_text()

    @property
    def error(self) -> str:
        """The line that the page shows for an error."""
        line = self.page.locator(".toast-message-text.error").last
        line.wait_for()
        return line.inner_text()

    @property
    def elsewhere(self) -> set[str]:
        """Requests to anything but this machine."""
        return {url for url in self.asked if not re.match(r"(https?|wss?)://127\.0\.0\.1[:/]|data:|blob:", url)}

    @property
    def overflow(self) -> int:
        """Pixels by which the page is wider than its window."""
        return self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")

    def solved(self, name: str) -> float:
        """The value of a property in Edit, once it is solved."""
        cell = self.page.locator(f"#answer tr:has(th:text-is('{name}')) td.mw-solved")
        playwright.expect(cell).to_have_text(re.compile(r"\d"))
        return float(cell.inner_text().split()[0])

    def picture(self, name: str) -> None:
        """A screenshot, where somebody asked for them."""
        if PICTURES is not None:
            self.page.wait_for_timeout(400)
            shot = Image.open(io.BytesIO(self.page.screenshot(full_page=True)))
            shot.convert("RGB").quantize(256).save(Path(PICTURES) / f"{name}.png", optimize=True)


@pytest.fixture
def visit(chromium: playwright.Browser, address: str) -> Iterator[object]:
    """Opens tabs; at the end none may have asked for anything from outside, or have broken."""
    visitors: list[Visitor] = []

    def open_tab(width: int = 1280) -> Visitor:
        visitors.append(Visitor(chromium, address, width))
        return visitors[-1]

    yield open_tab
    for visitor in visitors:
        visitor.context.close()
    assert not set().union(*(visitor.elsewhere for visitor in visitors))
    assert not [line for visitor in visitors for line in visitor.broken]
