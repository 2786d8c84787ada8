"""How long the tutorials take, each from an empty folder, and the pictures that they begin with.

``python benchmarks/tutorials.py`` runs all pages of ``docs/tutorials`` and writes ``results/tutorials.json``; names of
pages after it run these alone and keep what was measured of the others. ``--pictures`` puts the pictures beside the
pages.
"""

from __future__ import annotations

import json
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from microwright.bench.results import Claim, write_results

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts" / "docs"))
import tutorials  # noqa: E402

LIMIT_SECONDS = 300


def processor_seconds() -> float:
    """Of this process and of all that it started."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(item.ru_utime + item.ru_stime for item in used)


def measured(page: Path, pictures: bool) -> dict[str, Any]:
    """One page, run."""
    with tempfile.TemporaryDirectory() as name:
        start, used = time.perf_counter(), processor_seconds()
        tutorials.run(page, Path(name))
        row = {"page": page.stem, "seconds": time.perf_counter() - start}
        row["processor_seconds"] = processor_seconds() - used
        if pictures:
            shutil.copy(Path(name) / tutorials.head(page)["picture"], page.with_suffix(".png"))
    print(row, flush=True)
    return row


def earlier() -> list[dict[str, Any]]:
    """What was measured before."""
    path = ROOT / "results" / "tutorials.json"
    return json.loads(path.read_text())["rows"] if path.exists() else []


def claim(row: dict[str, Any]) -> Claim:
    """A page's goal."""
    name, seconds = f"{row['page']}: from an empty folder to the last line", row["seconds"]
    return Claim(name, seconds, f"<= {LIMIT_SECONDS}", "s", seconds <= LIMIT_SECONDS)


def main(arguments: list[str]) -> None:
    """Run the pages named, or all."""
    pages = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
    wanted = [page for page in pages if page.stem in arguments] or pages
    rows = {row["page"]: row for row in earlier()}
    rows |= {page.stem: measured(page, "--pictures" in arguments) for page in wanted}
    there = [rows[page.stem] for page in pages if page.stem in rows]
    notes = [
        "wall-clock seconds on a machine shared with other work; the package was installed beforehand",
        "no GPU was at hand, not measured",
    ]
    command = "python benchmarks/tutorials.py"
    write_results("tutorials", command, there, map(claim, there), notes, folder=ROOT / "results")


if __name__ == "__main__":
    main(sys.argv[1:])
