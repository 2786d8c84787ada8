"""Runs the code of a page: every shell and Python block, in order, in an empty folder.

- A block marked ``sh`` is given to ``bash -euo pipefail``.
- A block marked ``python`` runs in one interpreter for the whole page, as somebody would type it.
- A block with a ``title="name"`` becomes the file of that name and is not run by itself.
- A block marked ``text`` right after one that ran is what it printed: words must agree, numbers to one per cent.
- Blocks of any other mark are only read.

The page's head may name a ``picture``, a file that the run makes and that the page begins with.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

FENCE = re.compile(r"^( *)```(\w+)([^\n]*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
TITLE = re.compile(r'title="([^"]+)"')
HEAD = re.compile(r"\A---\n(.*?)\n---\n", re.DOTALL)
NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the file it stands for, and its text."""

    language: str
    title: str | None
    text: str


class Disagrees(Exception):
    """A page shows what its code does not print."""


def head(page: Path) -> dict[str, Any]:
    """The page's settings."""
    found = HEAD.match(page.read_text(encoding="utf-8"))
    return yaml.safe_load(found[1]) if found else {}


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    for found in FENCE.finditer(page.read_text(encoding="utf-8")):
        indent, language, info, text = found.groups()
        title = TITLE.search(info)
        lines = [line.removeprefix(indent) for line in text.splitlines()]
        yield Block(language, title[1] if title else None, "\n".join(lines) + "\n")


def run(page: Path, folder: Path) -> None:
    """Run the page's code in ``folder``.

    Raises:
        Disagrees: a block printed other words, or other numbers, than the page shows.
        subprocess.CalledProcessError: a shell block failed.
    """
    names: dict[str, Any] = {"__name__": "__main__"}
    printed: str | None = None
    with contextlib.chdir(folder):
        for block in blocks(page):
            if block.language == "text":
                if printed is not None:
                    compare(printed, block.text)
                printed = None
            elif block.title is not None:
                Path(block.title).parent.mkdir(parents=True, exist_ok=True)
                Path(block.title).write_text(block.text, encoding="utf-8")
            elif block.language == "sh":
                printed = in_shell(block.text)
            elif block.language == "python":
                printed = in_python(block.text, names)


def in_shell(text: str) -> str:
    """What a shell block prints; commands of this interpreter's environment come first."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "COLUMNS": "100", "MPLBACKEND": "Agg"}
    command = ["bash", "-euo", "pipefail", "-c", text]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise Disagrees(f"{text}\nended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done.stdout


def in_python(text: str, names: dict[str, Any]) -> str:
    """What a Python block prints; what it defines stays in ``names``."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(text, "<page>", "exec"), names)
    return printed.getvalue()


def compare(printed: str, shown: str) -> None:
    """Refuse a page that shows something else: other words, or numbers that differ by more than one per cent.

    Raises:
        Disagrees: naming both.
    """
    words = [NUMBER.sub("#", text).split() for text in (printed, shown)]
    numbers = [[float(number) for number in NUMBER.findall(text)] for text in (printed, shown)]
    same = words[0] == words[1] and len(numbers[0]) == len(numbers[1])
    if not same or not all(math.isclose(a, b, rel_tol=0.01, abs_tol=1e-3) for a, b in zip(*numbers, strict=True)):
        raise Disagrees(f"the page shows\n{shown}\nand its code prints\n{printed}")
