"""Write a measurement the way every results file of the project looks.

A results file says by itself where its numbers come from: the command that makes it again, the machine, the versions,
the rows measured, and each claim with its goal, met or missed.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch


@dataclass(frozen=True)
class Claim:
    """A figure with its goal; ``note`` says what limits it where it is missed."""

    name: str
    value: float | None
    goal: str
    unit: str
    met: bool
    note: str = ""


def write_results(
    name: str,
    command: str,
    rows: Sequence[dict[str, Any]],
    claims: Iterable[Claim],
    notes: Sequence[str] = (),
    packages: Sequence[str] = ("microwright", "torch", "numpy"),
    folder: Path = Path("results"),
) -> Path:
    """Write ``<folder>/<name>.json`` and return its path; run from the root of the repository."""
    content = {
        "command": command,
        "machine": machine(),
        "versions": {package: _version(package) for package in packages},
        "date": datetime.now(UTC).date().isoformat(),
        "rows": list(rows),
        "claims": [asdict(claim) for claim in claims],
        "notes": list(notes),
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(content, indent=1) + "\n")
    return path


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "accelerator": _accelerator(),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _accelerator() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "none"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
