"""What the build adds to the pages, and the check of the built site."""

import json
import re

import pytest

from tests.docs.scripts import DOCS, ROOT, script

check = script("check")
tables = script("tables")


@pytest.fixture
def site(tmp_path):
    (tmp_path / "other.html").write_text('<h2 id="there">x</h2>')
    (tmp_path / "picture.png").write_bytes(b"x")
    return tmp_path


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ('<a href="other.html#there">x</a><img src="picture.png" alt="x"><a href="https://doi.org/1">x</a>', None),
        ('<a href="nowhere.html">x</a>', "nowhere.html leads nowhere"),
        ('<a href="other.html#gone">x</a>', "other.html#gone has no such anchor"),
        ('<a href="#gone">x</a>', "#gone has no such anchor"),
        ('<img src="gone.png" alt="x">', "gone.png leads nowhere"),
        ('<img src="picture.png">', "the picture picture.png has no description"),
        ('<script src="https://cdn.example/x.js"></script>', "loads https://cdn.example/x.js from outside"),
        ('<link rel="stylesheet" href="//fonts.example/x.css">', "loads //fonts.example/x.css from outside"),
        ('<a href="../../etc/passwd">x</a>', "../../etc/passwd leads nowhere"),
    ],
)
def test_the_check_finds_what_is_wrong(site, body, fault):
    (site / "index.html").write_text(body)
    check.page_of.cache_clear()
    found = list(check.faults(site))
    assert found == ([] if fault is None else [f"index.html: {fault}"])


def test_the_check_reads_style_sheets(site):
    (site / "x.css").write_text("@import 'https://fonts.example/x.css'; a { background: url(picture.png) }")
    assert list(check.faults(site)) == ["x.css: loads https://fonts.example/x.css from outside"]


def test_an_empty_site_is_a_fault(tmp_path, capsys):
    assert check.main(tmp_path) == 1


def test_every_table_asked_for_can_be_made():
    asked = [found for page in DOCS.rglob("*.md") for found in re.findall(r"<!-- table: ([\w-]+)", page.read_text())]
    assert asked and set(asked) <= set(tables.TABLES)


def test_every_goal_of_every_results_file_stands_on_the_page():
    page = tables.claims()
    for path in (ROOT / "results").glob("*.json"):
        for claim in json.loads(path.read_text())["claims"]:
            assert claim["goal"] == "reported" or claim["name"].replace("|", "\\|") in page


def test_figures_of_the_speed_table_are_those_of_the_file():
    rows = json.loads((ROOT / "results" / "elasticity-speed.json").read_text())["rows"]
    own = next(row for row in rows if row["size"] == 51 and row["cases"] == 1)
    assert f"| 51³ voxels, 1 load case | {own['seconds']:.3g} |" in tables.elasticity_speed()


def test_mathematics_becomes_mathml():
    pytest.importorskip("mkdocs", reason="absent")
    hooks = script("hooks")
    content = hooks.on_page_content(r'<p><span class="arithmatex">\(a &lt; \frac{b}{c}\)</span></p>')
    assert "<math" in content and "<mfrac>" in content and "arithmatex" not in content


def test_links_that_leave_the_pages_are_turned():
    pytest.importorskip("mkdocs", reason="absent")
    from types import SimpleNamespace

    page = SimpleNamespace(file=SimpleNamespace(src_uri="concepts/a.md"))
    turned = script("hooks").on_page_markdown("[x](../../results/a.json) [y](../results/b.json)", page)
    assert turned == "[x](../results/a.json) [y](../results/b.json)"
