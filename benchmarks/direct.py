"""How near do direct designs come? Residual error percentage (REP) of the shipped model without any refinement.

    python benchmarks/direct.py

Five targets, thirty structures each, five seeds, verified at the fidelity that the model was labelled with, drawn at
the model's own temperature and at 1, which is how the paper draws. Published figures (Yang et al. 2021, Table 1,
Data-II) stand beside ours.
"""

from __future__ import annotations

import statistics
from itertools import product
from typing import Any

from microwright.bench.results import Claim, write_results
from microwright.design.designer import Designer
from microwright.design.targets import Target
from microwright.methods import load_shipped

TARGETS = (0.55, 0.60, 0.65, 0.70, 0.75)
SEEDS = range(5)
COUNT = 30
PAPERS_TEMPERATURE = 1.0
PUBLISHED_AVERAGE = {0.55: 16.19, 0.60: 10.99, 0.65: 7.65, 0.70: 5.00, 0.75: 6.18}
PUBLISHED_MINIMUM = {0.55: 1.25, 0.60: 0.70, 0.65: 0.18, 0.70: 0.10, 0.75: 0.43}


def measure() -> list[dict[str, Any]]:
    """One row for each temperature, target and seed."""
    method = load_shipped("gan-mdn-data-2")
    rows = []
    for temperature in (method.card.temperature, PAPERS_TEMPERATURE):
        method.card = method.card.model_copy(update={"temperature": temperature})
        designer = Designer.of(method)
        for target, seed in product(TARGETS, SEEDS):
            designs = designer.design(Target.value("absorption", target), COUNT, seed)
            settings = {"temperature": temperature, "target": target, "seed": seed}
            rows.append({**settings, **designs.summary, **_seconds(designs.seconds)})
            print(rows[-1], flush=True)
    return rows


def _seconds(seconds: dict[str, float]) -> dict[str, float]:
    return {f"{stage}_seconds": value for stage, value in seconds.items()}


def claims(rows: list[dict[str, Any]]) -> list[Claim]:
    """The goals: seed 0 at every target, the spread over the seeds, and the time."""
    made = []
    for target in TARGETS:
        own = [row for row in rows if row["target"] == target and row["temperature"] != PAPERS_TEMPERATURE]
        as_published = [row for row in rows if row["target"] == target and row["temperature"] == PAPERS_TEMPERATURE]
        first = next(row for row in own if row["seed"] == 0)
        averages = [row["average_rep"] for row in own]
        minima = [row["min_rep"] for row in own]
        spread = f"five seeds: average {_spread(averages)}, minimum {_spread(minima)}; "
        spread += f"at temperature 1: average {_spread([row['average_rep'] for row in as_published])}; "
        spread += f"published: average {PUBLISHED_AVERAGE[target]}, minimum {PUBLISHED_MINIMUM[target]}"
        made += [
            Claim(f"minimum REP at {target}, seed 0", first["min_rep"], "<= 0.5", "%", first["min_rep"] <= 0.5, spread),
            Claim(
                f"average REP at {target}, seed 0", first["average_rep"], "<= 5", "%", first["average_rep"] <= 5, spread
            ),
        ]
    for stage, limit in (("propose", 1), ("verify", 10)):
        slowest = max(row[f"{stage}_seconds"] for row in rows)
        made.append(Claim(f"slowest {stage} of {COUNT}", slowest, f"<= {limit}", "s", slowest <= limit))
    return made


def _spread(values: list[float]) -> str:
    return f"{statistics.mean(values):.3f} ± {statistics.stdev(values):.3f} (worst {max(values):.3f})"


if __name__ == "__main__":
    rows = measure()
    print(write_results("direct-data-2", "python benchmarks/direct.py", rows, claims(rows)))
