"""All of ``bench.stiffness`` in order: measure, tabulate, draw, write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from microwright.bench import stiffness_results as results
from microwright.bench.results import write_results
from microwright.bench.stiffness import StiffnessBench
from microwright.bench.stiffness_annealing import annealing_rows
from microwright.bench.stiffness_figures import draw_figures
from microwright.bench.stiffness_forward import forward_rows
from microwright.bench.stiffness_inverse import drawn_rows, inverse_rows, six_rows
from microwright.bench.stiffness_page import write_page

#: what keeps goals from being met at a scale
LIMITS = {
    "smoke": "a run of seconds shows that everything runs, no more",
    "cpu": "with the solver in the loop both priors come as near as a thousand steps bring them; one has two "
    "morphologies to learn",
    "paper": "see the notes",
}


def run_stiffness(bench: StiffnessBench, command: str, out: Path) -> Path:
    """Measure whatever is missing, write ``results/stiffness-SCALE.json``, the pictures and the page."""
    forward, inverse = forward_rows(bench), inverse_rows(bench)
    annealing, six, drawn = annealing_rows(bench), six_rows(bench), drawn_rows(bench)
    tables = {
        "forward": results.forward_table(forward),
        "inverse": results.inverse_table(inverse),
        "inverse morphology": results.morphology_table(inverse),
        "drawn": results.drawn_table(drawn),
        "annealing": results.annealing_table(annealing),
        "six": results.six_table(six) if six else [],
        "verdict": [{"text": results.verdict(results.annealing_table(annealing), bench.scale.starts)}],
        "component": inverse,
        "draw": drawn,
        "forward run": forward,
        "annealing run": annealing,
        "six component": six,
    }
    name = f"stiffness-{bench.scale.name}"
    limit = LIMITS[bench.scale.name]
    goals = results.claims(tables["forward"], tables["inverse"], tables["annealing"], limit)
    path = write_results(name, command, _tagged(tables), goals, results.notes(bench), folder=out / "results")
    docs = out / "docs"
    docs.mkdir(parents=True, exist_ok=True)
    draw_figures(docs, bench, inverse, annealing)
    write_page(docs / "stiffness.md", [path])
    return path


def _tagged(tables: Mapping[str, Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    return [{"kind": kind, **row} for kind, rows in tables.items() for row in rows]
