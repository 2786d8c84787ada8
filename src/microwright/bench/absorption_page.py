"""Tables, figures and the documentation page of ``bench.absorption``, all made from what was measured."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from microwright.bench.absorption import AbsorptionBench, Measured, histories
from microwright.bench.metrics import MET_PERCENT
from microwright.bench.published import TARGETS
from microwright.data.store import LabelledSet
from microwright.methods.bayesian_optimisation import NAME as SEARCH

#: designs this many times as far from the training structures as fresh ones are called out
STRANGE = 2.0
COLUMNS = ("min_rep", "average_rep", "std_rep")
TITLES = {
    "gan-mdn": "GAN-MDN",
    "vqvae-mdn": "VQ-VAE-MDN",
    "pca-mdn": "PCA-MDN",
    "pixel-mdn": "MDN to pixels",
    SEARCH: "Bayesian optimisation",
    "random fields": "random fields (training)",
}
DATA_TITLES = {
    "data-1": "Data-I (96 × 96), Yang et al. 2021, Table 1 left",
    "data-2": "Data-II (64 × 64), Yang et al. 2021, Table 1 right, and Kilic et al. 2023, Table I",
}


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """The table as it is."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)


def markdown_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The paper's table: ours, with the standard deviation over seeds, and the published figure in brackets."""
    lines = [
        "| method | target | minimum REP % | average REP % | std of REP % | propose s | verify s | seeds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        figures = [_beside(row, column) for column in COLUMNS]
        seconds = [_number(row[f"{stage}_seconds"], 2) for stage in ("propose", "verify")]
        if row.get("published_seconds") is not None:
            seconds[0] += f" ({row['published_seconds']:.5g})"
        cells = [TITLES[row["method"]], f"{row['target']:.2f}", *figures, *seconds, str(row["seeds"])]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _beside(row: Mapping[str, Any], column: str) -> str:
    """``ours ± spread (published)``."""
    published = {"min_rep": "minimum", "average_rep": "average", "std_rep": "deviation"}[column]
    own = "refused" if row["refused"] else _number(row[column], 2)
    if row[f"{column}_spread"] is not None:
        own += f" ± {row[f'{column}_spread']:.2f}"
    paper = row.get(f"published_{published}")
    return own if paper is None else f"{own} ({paper:.2f})"


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def metrics_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Coverage, diversity, novelty and calibration of each method."""
    levels = next((list(row["calibration"]) for row in rows if row.get("calibration")), [])
    heads = [
        "method",
        "coverage",
        "diversity",
        "novelty",
        *(f"inside {level} interval" for level in levels),
        "training s",
    ]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for row in rows:
        inside = row.get("calibration") or {}
        cells = [
            TITLES[row["method"]],
            "–" if row.get("coverage") is None else f"{row['coverage']:.0%}",
            _number(row.get("diversity"), 4),
            _number(row.get("novelty"), 4),
            *("–" if level not in inside else f"{inside[level]:.1%}" for level in levels),
            _number(row.get("training_seconds"), 0),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def remarks(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A warning for each method whose designs are far from the structures that it learnt from."""
    fresh = next(row["novelty"] for row in rows if row["method"] == "random fields")
    ratios = {TITLES[row["method"]]: row["novelty"] / fresh for row in rows if row.get("novelty") is not None}
    return [
        f"{title}: designs lie {ratio:.1f} times as far from the training structures as fresh random fields do. Small "
        "errors there are not errors of structures like those."
        for title, ratio in ratios.items()
        if ratio > STRANGE
    ]


def claims_table(claims: Sequence[Mapping[str, Any]]) -> str:
    """Every goal with what was reached."""
    lines = ["| figure | reached | goal | met | |", "|---|---|---|---|---|"]
    for claim in claims:
        reached = "–" if claim["value"] is None else f"{claim['value']:.2f} {claim['unit']}"
        met = "yes" if claim["met"] else "**no**"
        lines.append(f"| {claim['name']} | {reached} | {claim['goal']} | {met} | {claim['note']} |")
    return "\n".join(lines)


def write_page(path: Path, results: Sequence[Path]) -> None:
    """The documentation page, from the results files alone; pictures lie beside it."""
    parts = [PAGE_TOP]
    for file in results:
        content = json.loads(file.read_text())
        data = file.stem.removeprefix("absorption-")
        table, beyond = ([row for row in content["rows"] if row["kind"] == kind] for kind in ("table", "method"))
        parts += [f"## {DATA_TITLES[data]}", *content["notes"], _made_by(content), markdown_table(table)]
        if content["claims"]:
            parts += ["### Goals", claims_table(content["claims"])]
        parts += ["### Beyond the papers", METRICS_TEXT, metrics_table(beyond), *remarks(beyond)]
        parts += [f"![{alt}](absorption-{data}-{name}.png)" for name, alt in PICTURES if _there(path, data, name)]
    path.write_text("\n\n".join(parts) + "\n")


def _made_by(content: Mapping[str, Any]) -> str:
    machine = content["machine"]
    return (
        f"Made by `{content['command']}` on {machine['processor']} ({machine['cores']} cores, accelerator: "
        f"{machine['accelerator']}), {content['date']}."
    )


PICTURES = (
    ("designs", "originals and the best design of each method for each target"),
    ("coverage", "smallest residual error at each target from 0.30 to 0.80"),
    ("history", "Bayesian optimisation: nearest so far"),
)

PAGE_TOP = """# Optical absorption: every 2-D method, in the papers' tables

REP is |achieved − target| / target in per cent. Figures are means over seeds of the draw, ± their standard deviation;
the published figure stands in brackets. The papers' optical cell is published nowhere, so theirs and ours are different
physics: the brackets say what was called good, not what we should get. Every design is binary (Otsu's threshold) and
was solved again after it was proposed."""

METRICS_TEXT = f"""Coverage is the share of the targets 0.30, 0.31, …, 0.80 that some design meets within
{MET_PERCENT:g} %; diversity the mean two-point-correlation distance between designs of one target; novelty their mean
distance to the nearest training structure (both beside those of fresh random fields). The last columns count how often
the credible intervals of the inverter hold the latent of a structure that no training saw: a calibrated inverter has
the interval's own level. A dash stands for what was not measured: seconds of a training that was given, or that an
earlier run had begun."""


def _there(page: Path, data: str, name: str) -> bool:
    return (page.parent / f"absorption-{data}-{name}.png").exists()


def draw_figures(folder: Path, bench: AbsorptionBench, measured: Sequence[Measured]) -> None:
    """All pictures of the page."""
    names = [item.name for item in measured]
    draw_designs(folder / f"absorption-{bench.data}-designs.png", bench, names)
    covered = {item.name: item.coverage for item in measured if item.coverage}
    draw_coverage(folder / f"absorption-{bench.data}-coverage.png", covered)
    if SEARCH in names:
        initial = bench.scale.recipe.search.initial
        draw_history(folder / f"absorption-{bench.data}-history.png", histories(bench), initial)


def draw_designs(path: Path, bench: AbsorptionBench, names: Sequence[str]) -> None:
    """Originals whose label is nearest to each target, and below them the nearest design of each method."""
    rows = [("originals", _originals(bench.family())), *((TITLES[name], _best(bench, name)) for name in names)]
    figure = Figure(figsize=(1.5 * len(TARGETS), 1.65 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), len(TARGETS), squeeze=False)
    for axes, (title, shown) in zip(grid, rows, strict=True):
        for axis, item in zip(axes, shown, strict=True):
            axis.set(xticks=[], yticks=[])
            if item is None:
                axis.text(0.5, 0.5, "refused", ha="center", va="center", fontsize=8)
                continue
            axis.imshow(item[0].T, cmap="gray_r", vmin=0, vmax=1, origin="lower")
            axis.set_title(f"{item[1]:.4f}", fontsize=8)
        axes[0].set_ylabel(title, fontsize=8)
    for axis, target in zip(grid[-1], TARGETS, strict=True):
        axis.set_xlabel(f"target {target:.2f}", fontsize=8)
    figure.savefig(path, dpi=130)


Shown = tuple[Float[np.ndarray, "x y"], float] | None


def _originals(family: LabelledSet) -> list[Shown]:
    used = family.usable()
    values = family.properties[used][:, 0]
    nearest = [int(np.abs(values - target).argmin()) for target in TARGETS]
    return [(family.structures[int(used[index])], float(values[index])) for index in nearest]


def _best(bench: AbsorptionBench, name: str) -> list[Shown]:
    shown: list[Shown] = []
    for target in TARGETS:
        designs = bench.designs(name, target, 0)
        best = 0 if designs is None else int(designs.worst_rep.argmin())
        shown.append(None if designs is None else (designs.structures[best], float(designs.achieved[best, 0])))
    return shown


def draw_history(path: Path, histories: Mapping[float, Float[np.ndarray, "n"]], initial: int) -> None:
    """Nearest so far against the number of solves, for each target."""
    figure = Figure(figsize=(5.6, 3.6), layout="constrained")
    axes = figure.subplots()
    for target, rep in histories.items():
        axes.plot(np.arange(1, len(rep) + 1), np.minimum.accumulate(rep).clip(1e-5), label=f"{target:.2f}")
    axes.axvline(initial, color="0.6", linewidth=0.8, linestyle=":")
    axes.set(xlabel="structures solved (left of the dotted line: Sobol points)", ylabel="smallest REP, %", yscale="log")
    if histories:
        axes.legend(title="target", fontsize=8)
    figure.savefig(path, dpi=130)


def draw_coverage(path: Path, coverages: Mapping[str, Mapping[str, float | None]]) -> None:
    """Smallest REP at each target of the coverage, one line a method; a gap where it refuses."""
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    for name, smallest in coverages.items():
        values = [np.nan if rep is None else max(rep, 1e-3) for rep in smallest.values()]
        axes.plot([float(target) for target in smallest], values, ".-", linewidth=0.8, label=TITLES[name])
    axes.axhline(MET_PERCENT, color="0.6", linewidth=0.8)
    axes.set(xlabel="target absorption", ylabel="smallest REP, %", yscale="log")
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=130)
