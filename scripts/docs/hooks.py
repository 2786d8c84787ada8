r"""What the build adds to the pages: mathematics without scripts, tables from results, links that leave ``docs/``.

- ``\(…\)`` and ``\[…\]`` become MathML, which browsers draw by themselves.
- ``<!-- table: NAME -->`` becomes the table that ``tables.TABLES`` makes from ``results/*.json``.
- Links to files of the repository outside ``docs/``: results are published beside the pages, the README is the start.
"""

from __future__ import annotations

import html
import re
import sys
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
MATH = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)
TABLE = re.compile(r"<!-- table: ([\w-]+)(?: ([^>]*?))? -->")

sys.path.insert(0, str(Path(__file__).parent))
from tables import table  # noqa: E402


def on_files(files: Files, config: Any) -> Files:
    """Publish the results files, so that every figure can be looked up where it comes from."""
    for path in sorted((ROOT / "results").glob("*.json")):
        files.append(File.generated(config, f"results/{path.name}", abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Fill in tables, and turn links that leave ``docs/``."""
    up = "../" * page.file.src_uri.count("/")
    markdown = markdown.replace(f"]({up}../results/", f"]({up}results/").replace("](../README.md)", "](start.md)")
    return TABLE.sub(lambda found: table(found[1], found[2] or ""), markdown)


def on_page_content(content: str, **_: Any) -> str:
    """Mathematics as MathML."""
    return MATH.sub(mathml, content)


def mathml(found: re.Match[str]) -> str:
    """One formula."""
    formula = html.unescape(found[3]).strip()
    if found[2] == "(":
        return convert(formula, display="inline")
    # a wide formula scrolls by itself on a narrow screen
    return f'<div class="formula" tabindex="0">{convert(formula, display="block")}</div>'
