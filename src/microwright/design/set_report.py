"""A page about a labelled set: what is in it, what is odd, what is missing; to be read before training on it.

Counts, histograms of properties and phase fractions, two-point statistics, duplicates, outliers, and what is missing. A
*duplicate* is equal to another structure at some translation: two such structures have the same autocorrelation, whose
values are whole numbers and are compared as such (a structure and its point reflection count as duplicates too; solvers
of centrosymmetric problems cannot tell them apart). An *outlier* is a value more than ``FAR`` robust standard
deviations (1.4826 times the median absolute deviation) from the median.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from matplotlib.figure import Figure

import microwright
from microwright.data.store import LabelledSet
from microwright.design.page import BLUE, GREY, drawing, list_of_facts, new_axes, picture, plot, write_page
from microwright.physics.property import Status
from microwright.structures.statistics import radial_average, two_point_correlation

#: robust standard deviations beyond which a value is an outlier
FAR = 6.0
#: structures shown, structures whose two-point statistics are averaged, rows of a table
SHOWN, AVERAGED, LISTED = 16, 500, 40
#: structures read at a time
TOGETHER = 256


@dataclass(frozen=True)
class Survey:
    """What a look at every sample of a set says.

    Attributes:
        written: indices of the samples that are there.
        usable: indices of those that converged with finite properties.
        values: of the usable samples.
        fractions: phase fraction of the written samples.
        duplicates: groups of written samples that are equal up to a translation (or a point reflection).
        outliers: index, property or "phase fraction", and value.
    """

    written: Int[np.ndarray, "w"]
    usable: Int[np.ndarray, "u"]
    values: Float[np.ndarray, "u p"]
    fractions: Float[np.ndarray, "w"]
    duplicates: list[list[int]]
    outliers: list[tuple[int, str, float]]


def survey(data: LabelledSet) -> Survey:
    """Look at every sample of a set, a bounded number at a time."""
    written = np.flatnonzero(np.repeat(data.done, data.header.chunk)[: len(data)])
    usable = data.usable()
    fractions = np.zeros(len(written))
    groups: dict[bytes, list[int]] = defaultdict(list)
    for start in range(0, len(written), TOGETHER):
        part = written[start : start + TOGETHER]
        structures = torch.as_tensor(data.structures[part]).double()
        fractions[start : start + len(part)] = structures.flatten(1).mean(1).numpy()
        for index, key in zip(part.tolist(), _keys(structures), strict=True):
            groups[key].append(index)
    values = data.properties[usable]
    outliers = [(int(written[i]), "phase fraction", float(fractions[i])) for i in far_from_median(fractions)]
    for column, name in enumerate(data.property_names):
        outliers += [(int(usable[i]), name, float(values[i, column])) for i in far_from_median(values[:, column])]
    return Survey(written, usable, values, fractions, [g for g in groups.values() if len(g) > 1], outliers)


def far_from_median(values: Float[np.ndarray, "n"]) -> list[int]:
    """Indices of the outliers; where more than half of the values are equal, none can be told."""
    if len(values) == 0:
        return []
    offset = np.abs(values - np.median(values))
    scale = 1.4826 * np.median(offset)
    return np.flatnonzero(offset > FAR * scale).tolist() if scale > 0 else []


def write_set_report(path: Path, data: LabelledSet) -> None:
    """Write the page."""
    found = survey(data)
    with drawing():
        body = "\n".join(
            [
                _facts(data, found),
                "<h2>What is missing</h2>",
                _list(missing(data, found), "Nothing: every sample is there, with all that belongs to it."),
                "<h2>What is odd</h2>",
                _odd(data, found),
                "<h2>Samples</h2>",
                _gallery(data, found),
                "<h2>Distributions</h2>",
                '<div class="plots">',
                *(plot(caption, figure) for caption, figure in _figures(data, found)),
                "</div>",
                _provenance(data),
            ]
        )
    name = Path(str(data.path)).name
    write_page(
        path,
        title=f"Data in {name}",
        heading=f"What is in {name}",
        lead=f"microwright {microwright.__version__}; every figure below was counted over all samples"
        + (f", two-point statistics over {AVERAGED}." if len(found.written) > AVERAGED else "."),
        body=body,
    )


def missing(data: LabelledSet, found: Survey) -> list[str]:
    """What a training or a reader of the set would look for in vain, in sentences."""
    told = []
    if len(found.written) < len(data):
        told.append(
            f"{len(data) - len(found.written)} of {len(data)} samples are not labelled yet: run the same again."
        )
    failed = int((data.status[found.written] == int(Status.FAILED)).sum())
    late = int((data.status[found.written] == int(Status.NOT_CONVERGED)).sum())
    if failed:
        told.append(f"{failed} samples failed; their messages lie under failures/ in the set.")
    if late:
        told.append(f"{late} samples did not converge: {Status.NOT_CONVERGED.remedy}.")
    bars = data.error_bar[found.usable]
    if len(bars) and not np.isfinite(bars).any():
        told.append("No error bars: nothing says how accurate the values are.")
    if _spacing(data) is None:
        told.append("No pixel size: lengths are in pixels only.")
    if not data.solver:
        told.append("No solver: new structures cannot be labelled in the same way unless you name a simulator.")
    return told


# ---------------------------------------------------------------------------------------------------- words


def _facts(data: LabelledSet, found: Survey) -> str:
    facts = [
        ("samples", f"{len(data):,}"),
        ("usable", f"{len(found.usable):,}"),
        ("pixels", " × ".join(map(str, data.grid))),
    ]
    spacing = _spacing(data)
    if spacing is not None:
        facts.append(("size of a pixel", " × ".join(f"{size:g}" for size in spacing)))
    if len(found.fractions):
        facts.append(("phase fraction", f"{found.fractions.min():.2f} to {found.fractions.max():.2f}"))
    for column, item in enumerate(data.header.properties):
        if len(found.values):
            low, high = found.values[:, column].min(), found.values[:, column].max()
            facts.append((item.name, f"{low:.4g} to {high:.4g}" + ("" if item.unit == "1" else f" {item.unit}")))
    facts.append(("duplicates", str(sum(len(group) - 1 for group in found.duplicates))))
    facts.append(("outliers", str(len({index for index, _, _ in found.outliers}))))
    return list_of_facts(facts)


def _odd(data: LabelledSet, found: Survey) -> str:
    same = [" = ".join(_name(data, index) for index in group) for group in found.duplicates]
    far = [f"{_name(data, index)}: {what} {value:.4g}" for index, what, value in found.outliers]
    return (
        "<h3>Equal up to a translation</h3>"
        + _list(same, "No two samples are.")
        + f"<h3>Far from the rest (more than {FAR:g} robust standard deviations)</h3>"
        + _list(far, "No sample is.")
    )


def _list(lines: Sequence[str], nothing: str) -> str:
    if not lines:
        return f'<p class="soft">{escape(nothing)}</p>'
    more = f"<li>… and {len(lines) - LISTED} more</li>" if len(lines) > LISTED else ""
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines[:LISTED]) + more + "</ul>"


def _gallery(data: LabelledSet, found: Survey) -> str:
    """Some samples, spread over the set."""
    cards = []
    for index in _spread(found.written, SHOWN):
        values = zip(data.property_names, data.properties[index], strict=True)
        told = "<br>".join(f"{escape(name)} {value:.4g}" for name, value in values)
        name = escape(_name(data, index))
        cards.append(
            f'<figure><img alt="{name}" src="{picture(data.structures[index])}"><figcaption>{told}<br>'
            f'<span class="soft">{name}</span></figcaption></figure>'
        )
    return f'<div class="gallery">{"".join(cards)}</div>'


def _spread(indices: Int[np.ndarray, "n"], most: int) -> list[int]:
    """At most so many of the indices, evenly spread."""
    places = np.linspace(0, len(indices) - 1, min(most, len(indices))).astype(int)
    return indices[places].tolist()


def _provenance(data: LabelledSet) -> str:
    content = {"solver": data.solver, "source": _without_names(data.source), "microwright": data.header.microwright}
    text = escape(json.dumps(content, indent=1, ensure_ascii=False))
    return f"<details><summary>Where this comes from: source, physics, numerics</summary><pre>{text}</pre></details>"


def _without_names(source: dict[str, Any]) -> dict[str, Any]:
    shorter = {key: value for key, value in source.items() if key != "names"}
    return {key: _without_names(value) if isinstance(value, dict) else value for key, value in shorter.items()}


def _name(data: LabelledSet, index: int) -> str:
    names = _told(data, "names") or []
    return str(names[index]) if index < len(names) else f"sample {index}"


def _spacing(data: LabelledSet) -> list[float] | None:
    return _told(data, "spacing")


def _told(data: LabelledSet, key: str) -> list[Any] | None:
    """What the header says of where the structures come from, wherever on the way it was said."""
    place: Any = data.source
    while isinstance(place, dict):
        if place.get(key):
            return place[key]
        place = place.get("origin") or place.get("source")
    return None


# ---------------------------------------------------------------------------------------------------- plots


def _figures(data: LabelledSet, found: Survey) -> list[tuple[str, Figure]]:
    plots = []
    for column, item in enumerate(data.header.properties):
        label = item.name if item.unit == "1" else f"{item.name} / {item.unit}"
        values = found.values[:, column]
        if len(values):
            plots.append((f"{item.name} of the usable samples.", _histogram(values, label)))
            fractions = found.fractions[np.searchsorted(found.written, found.usable)]
            plots.append((f"{item.name} against phase fraction.", _scatter(fractions, values, label)))
    if len(found.written):
        plots.append(("Phase fraction of all samples.", _histogram(found.fractions, "phase fraction")))
        plots.append(
            (
                "Two-point correlation, averaged over directions: mean, and 5th to 95th percentile (grey).",
                _two_point(data, found),
            )
        )
    return plots


def _histogram(values: Float[np.ndarray, "n"], label: str) -> Figure:
    figure, axes = new_axes(label, "samples")
    axes.hist(values, bins=min(40, max(5, int(np.sqrt(len(values))))), color=BLUE, alpha=0.8)
    return figure


def _scatter(fractions: np.ndarray, values: np.ndarray, label: str) -> Figure:
    figure, axes = new_axes("phase fraction", label)
    axes.plot(fractions, values, "o", color=BLUE, ms=3, alpha=0.5, rasterized=len(values) > 2000)
    return figure


def _two_point(data: LabelledSet, found: Survey) -> Figure:
    chosen = np.array(_spread(found.written, AVERAGED))
    parts = [torch.as_tensor(data.structures[part]).double() for part in np.array_split(chosen, -(-len(chosen) // 64))]
    curves = torch.cat([radial_average(two_point_correlation(part)) for part in parts]).numpy()
    figure, axes = new_axes("distance / pixels", "two-point correlation")
    axes.fill_between(range(curves.shape[1]), *np.quantile(curves, [0.05, 0.95], axis=0), color=GREY, alpha=0.3, lw=0)
    axes.plot(curves.mean(0), color=BLUE, lw=1.5)
    axes.set_xlim(0, curves.shape[1] - 1)
    return figure


def _keys(structures: torch.Tensor) -> list[bytes]:
    """A digest of each structure's autocorrelation, in pixels."""
    counts = torch.round(two_point_correlation(structures) * structures[0].numel()).to(torch.int32).numpy()
    return [hashlib.sha256(count.tobytes()).digest() for count in counts]
