"""The examples run, and the README shows the first of them as it is."""

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(example, capsys):
    runpy.run_path(str(example), run_name="__main__")
    assert capsys.readouterr().out.strip()


def test_readme_shows_the_example():
    assert (ROOT / "examples" / "design_absorption.py").read_text() in (ROOT / "README.md").read_text()
