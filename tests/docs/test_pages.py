"""The code of the pages runs, from an empty folder, and prints what the pages show."""

import importlib
import re

import pytest

from tests.docs.scripts import DOCS, script

pages = script("tutorials")
REFERENCE = sorted((DOCS / "reference").glob("*.md"))
CONCEPTS = sorted((DOCS / "concepts").glob("*.md"))
TUTORIALS = sorted((DOCS / "tutorials").glob("*.md"))
NAME = re.compile(r"^::: ([\w.]+)$", re.MULTILINE)


def public_names():
    """Every name that a reference page describes, with the text from there to the next name."""
    for page in REFERENCE:
        parts = NAME.split(page.read_text())
        for name, text in zip(parts[1::2], parts[2::2], strict=True):
            yield pytest.param(name, text, id=name)


@pytest.mark.parametrize(("name", "text"), public_names())
def test_every_public_name_is_there_documented_and_has_an_example(name, text):
    module, _, attribute = name.rpartition(".")
    described = getattr(importlib.import_module(module), attribute)
    assert described.__doc__
    examples = "".join(re.findall(r"```python.*?\n(.*?)```", text, re.DOTALL))
    assert re.search(rf"\b{attribute}\b", examples)


@pytest.mark.parametrize("page", [*REFERENCE, *CONCEPTS], ids=lambda page: f"{page.parent.name}-{page.stem}")
def test_examples_run_and_print_what_the_page_shows(page, tmp_path):
    pages.run(page, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_tutorial_runs_from_an_empty_folder(page, tmp_path):
    pages.run(page, tmp_path)
    assert (tmp_path / pages.head(page)["picture"]).stat().st_size > 0


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_tutorial_begins_with_its_picture_and_its_time(page):
    text = page.read_text()
    first, second = re.search(r"!\[.+\]\((.+)\)", text), text.find("\n## ")
    assert first and first.start() < second and (page.parent / first[1]).exists()
    assert f"<!-- table: tutorial-time {page.stem} -->" in text[:second]


def test_a_page_that_shows_something_else_is_refused(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```python\nprint('REP', 0.5)\n```\n\n```text\nREP 0.7\n```\n")
    with pytest.raises(pages.Disagrees, match="REP 0.7"):
        pages.run(page, tmp_path)


def test_a_command_that_fails_is_refused(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```sh\necho before\nfalse\n```\n")
    with pytest.raises(pages.Disagrees, match="ended with 1"):
        pages.run(page, tmp_path)
