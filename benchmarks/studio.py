"""The studio in Chromium: how long until the first gallery appears, from the press of the button.

``python -m benchmarks.studio`` starts the studio, asks for designs of each shipped model as a visitor does, and writes
``results/studio.json``. Wants the extra ``test-studio`` and Chromium.
"""

from __future__ import annotations

import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from playwright.sync_api import Page, sync_playwright

from microwright.bench.results import Claim, write_results

ROOT = Path(__file__).resolve().parents[1]
#: model, target, designs
ASKED = (("gan-mdn-data-2", "absorption=0.65", 12), ("vae-regression-c11", "C11=30", 4))
PRESSES = 5
LIMIT_SECONDS = 3.0


@contextmanager
def studio(model: str) -> Iterator[str]:
    """The address of a studio that starts with ``model``."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = ROOT / "src" / "microwright" / "shipped" / model
    line = [sys.executable, "-c", "from microwright.cli.main import run; run()", "studio", "--no-browser"]
    server = subprocess.Popen([*line, "--port", str(port), "--model", str(folder)])
    address = f"http://127.0.0.1:{port}/"
    try:
        while server.poll() is None:
            try:
                urlopen(address).close()
                break
            except URLError:
                time.sleep(0.1)
        yield address
    finally:
        server.terminate()
        server.wait(10)


def press(page: Page, address: str, target: str, count: int) -> dict[str, float]:
    """Seconds from the press to the first picture and to the last word, of a fresh visitor."""
    page.goto(address)
    page.locator("#histogram img").wait_for()
    page.locator("#count input").fill(str(count))
    page.locator("#target textarea").fill(target)
    page.locator("#target textarea").blur()
    start = time.perf_counter()
    page.locator("#start").click()
    page.locator("#gallery [data-index]").first.wait_for()
    first = time.perf_counter() - start
    page.locator("#summary table").wait_for()
    return {"first_gallery_seconds": first, "finished_seconds": time.perf_counter() - start}


def measured(page: Page, model: str, target: str, count: int) -> list[dict[str, Any]]:
    """Every press of one model."""
    with studio(model) as address:
        asked = {"model": model, "target": target, "count": count}
        rows = [{**asked, "press": number, **press(page, address, target, count)} for number in range(PRESSES)]
    for row in rows:
        print(row, flush=True)
    return rows


def claim(model: str, rows: list[dict[str, Any]]) -> Claim:
    """The first gallery of one model, median of its presses."""
    seconds = statistics.median(row["first_gallery_seconds"] for row in rows if row["model"] == model)
    name = f"{model}: from the press to the first gallery, median of {PRESSES}"
    return Claim(name, seconds, f"<= {LIMIT_SECONDS:g}", "s", seconds <= LIMIT_SECONDS)


def main() -> None:
    """All models."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(300_000)
        rows = [row for asked in ASKED for row in measured(page, *asked)]
    claims = [claim(model, rows) for model, *_ in ASKED]
    notes = [
        "wall-clock seconds in the browser, on a machine shared with other work",
        "no GPU was at hand, not measured",
    ]
    write_results("studio", "python -m benchmarks.studio", rows, claims, notes, folder=ROOT / "results")


if __name__ == "__main__":
    main()
