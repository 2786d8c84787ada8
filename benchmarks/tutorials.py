"""How long the tutorials take, each from an empty folder, and the pictures that they begin with.

``python benchmarks/tutorials.py`` runs all pages of ``docs/tutorials`` and writes ``results/tutorials.json``;
``--pictures`` also puts the pictures beside the pages.
"""

from __future__ import annotations

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


def main(arguments: list[str]) -> None:
    """Run every page."""
    pages = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
    rows = [measured(page, "--pictures" in arguments) for page in pages]
    claims = [
        Claim(
            f"{row['page']}: from an empty folder to the last line",
            row["seconds"],
            f"<= {LIMIT_SECONDS}",
            "s",
            row["seconds"] <= LIMIT_SECONDS,
        )
        for row in rows
    ]
    notes = [
        "wall-clock seconds on a machine shared with other work; package installed beforehand",
        "no GPU was at hand, not measured",
    ]
    write_results("tutorials", "python benchmarks/tutorials.py", rows, claims, notes, folder=ROOT / "results")


if __name__ == "__main__":
    main(sys.argv[1:])
