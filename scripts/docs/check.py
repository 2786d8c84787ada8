"""Checks the built site: every link, anchor and picture is there, and no page loads anything from outside.

``python scripts/site/check.py build/site`` prints one line for each fault and exits with 1 if there is any.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

#: attributes that make a browser fetch something
LOADED = {"src", "srcset", "poster", "data"}
#: relations of <link> that only name a page and fetch nothing
NAMED_ONLY = {"canonical", "next", "prev", "alternate"}
CSS_URL = re.compile(r"url\(\s*['\"]?([^'\")]+)|@import\s+['\"]([^'\"]+)")


@dataclass
class Page(HTMLParser):
    """What a page links to, what it loads, and the anchors it has."""

    links: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)
    nameless: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        self.loads += [value for name, value in given.items() if name in LOADED]
        if tag == "img" and not given.get("alt"):
            self.nameless.append(given.get("src", ""))
        if tag == "link" and not NAMED_ONLY & set(given.get("rel", "").split()):
            self.loads.append(given.get("href", ""))
        elif "href" in given and tag != "link":
            self.links.append(given["href"])


@cache
def page_of(path: Path) -> Page:
    """The parsed page."""
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def faults(site: Path) -> Iterator[str]:
    """Everything that is wrong with the site in ``site``."""
    for path in sorted(site.rglob("*.html")):
        if path.name == "404.html":  # its links count from the server's root
            continue
        page, name = page_of(path), path.relative_to(site)
        yield from (f"{name}: loads {url} from outside" for url in page.loads if outside(url))
        yield from (f"{name}: the picture {url} has no description" for url in page.nameless)
        for url in (*page.links, *page.loads):
            if not outside(url) and (fault := broken(site, path, url)):
                yield f"{name}: {fault}"
    for path in sorted(site.rglob("*.css")):
        for found in CSS_URL.finditer(path.read_text(encoding="utf-8")):
            url = found[1] or found[2]
            if outside(url):
                yield f"{path.relative_to(site)}: loads {url} from outside"


def outside(url: str) -> bool:
    """Whether a browser would ask another machine for it."""
    parts = urlsplit(url)
    return bool(parts.netloc) or parts.scheme not in ("", "data", "javascript")


def broken(site: Path, path: Path, url: str) -> str | None:
    """What is wrong with an inner address, or None."""
    parts = urlsplit(url)
    if parts.scheme:
        return None
    target = path if not parts.path else (path.parent / unquote(parts.path)).resolve()
    if target.is_dir():
        target /= "index.html"
    if not target.is_file() or site.resolve() not in target.resolve().parents:
        return f"{url} leads nowhere"
    if parts.fragment and target.suffix == ".html":
        anchor = unquote(parts.fragment)
        if anchor not in page_of(target).anchors and not anchor.startswith("__"):
            return f"{url} has no such anchor"
    return None


def main(site: Path) -> int:
    """Print every fault; 1 if there is any."""
    found = list(faults(site))
    pages = len(list(site.rglob("*.html")))
    good = f"{pages} pages: every link, anchor and picture is there, nothing is loaded from outside"
    print("\n".join(found) if found else good)
    return bool(found) or not pages


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
