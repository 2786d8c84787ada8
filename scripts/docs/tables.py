"""Tables of the site from ``results/*.json``: nothing in them is typed.

A page asks for one by ``<!-- table: NAME ARGUMENT -->``; ``TABLES`` has them by name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parents[2] / "results"
METHODS = {
    "gan-mdn": "GAN-MDN",
    "vqvae-mdn": "VQ-VAE-MDN",
    "pca-mdn": "PCA-MDN",
    "pixel-mdn": "MDN to pixels",
    "bayesian-optimisation": "Bayesian optimisation",
}
#: what a results file is about, where its name does not say it; others are called by their names
TITLES = {
    "absorption-data-1": "Absorption, three methods, Data-I",
    "absorption-data-2": "Absorption, every method, Data-II",
    "default-cell": "The default cell",
    "design-baselines": "Solver calls until a design is exact",
    "design-certified": "Certified designs",
    "design-constrained": "Designs under constraints",
    "design-shipped": "Exact designs, shipped model",
    "design-stiffness": "Stiffness designs",
    "direct-data-2": "Direct designs, shipped model",
    "elasticity-accuracy": "Stiffness: error and bar",
    "elasticity-speed": "Stiffness: speed",
    "optics-certified-default-cell": "Certified absorption",
    "optics-dense-formulations": "Formulations of RCWA",
    "optics-dense-speed": "RCWA: speed",
    "real-absorption": "Published structures and their absorption",
    "improve-absorption": "Designs with a simulator of your own",
    "scale-chaos": "Labelling: killed and taken up again",
    "scale-memory": "Labelling: memory",
    "scale-overhead": "Labelling: overhead",
    "scale-speed": "Labelling: speed with workers",
    "stiffness-cpu": "VAE-Regression at 24³",
    "studio": "The studio: time to the first gallery",
    "tutorials": "Tutorials, from an empty folder",
    "vqvae-latents": "Sizes of the quantised latent",
}


def table(name: str, argument: str) -> str:
    """The table called ``name``, as Markdown."""
    return TABLES[name](*argument.split())


@cache
def results(name: str) -> dict[str, Any]:
    """What ``results/NAME.json`` holds."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def markdown(heads: Sequence[str], rows: Iterable[Sequence[str]], words: int = 0) -> str:
    """A table whose first column and last ``words`` columns are text and whose others are numbers."""
    lines = [f"| {' | '.join(heads)} |", "|---|" + "--:|" * (len(heads) - 1 - words) + "---|" * words]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def number(value: float | None, digits: int = 3) -> str:
    """So many significant digits; a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}g}"


def made_by(name: str) -> str:
    """Command, machine and date of a results file, and what it says of itself."""
    content = results(name)
    machine = content["machine"]
    notes = " ".join(note.rstrip(".") + "." for note in content["notes"])
    return (
        f"`{content['command']}` on {machine['processor']} ({machine['cores']} cores), {content['date']}. {notes} "
        f"[{name}.json](results/{name}.json)"
    )


def papers(*names: str) -> str:
    """The papers' tables: each figure ours, beside it the published one."""
    parts = []
    for name in names:
        rows = [row for row in results(name)["rows"] if row["kind"] == "table"]
        heads = ["method", "target", "min REP %", "published", "average REP %", "published", "std %", "published"]
        parts.append(markdown(heads, (_paper_row(row) for row in rows)))
        parts.append(made_by(name))
    return "\n\n".join(parts)


def _paper_row(row: dict[str, Any]) -> list[str]:
    cells = [METHODS.get(row["method"], row["method"]), f"{row['target']:.2f}"]
    for own, published in (("min_rep", "minimum"), ("average_rep", "average"), ("std_rep", "deviation")):
        theirs = row.get(f"published_{published}")
        cells += ["refused" if row["refused"] else f"{row[own]:.2f}", "–" if theirs is None else f"{theirs:.2f}"]
    return cells


def optics_speed(name: str = "optics-dense-speed") -> str:
    """Milliseconds per structure, ours and each peer's, of one core."""
    rows = [row for row in results(name)["rows"] if row["cores"] == 1]
    solvers = list(dict.fromkeys(row["solver"] for row in rows))
    keys = ("cell", "harmonics", "precision", "gradient")
    cases = sorted({tuple(row[key] for key in keys) for row in rows}, key=lambda c: (c[0] != "perovskite", *c))
    by_case = {(*(row[key] for key in keys), row["solver"]): row.get("seconds") for row in rows}
    lines = []
    for case in cases:
        cell, harmonics, precision, gradient = case
        seconds = [by_case.get((*case, solver)) for solver in solvers]
        peers = [s for s in seconds[1:] if s is not None]
        ratio = f"{min(peers) / seconds[0]:.1f} ×" if peers and seconds[0] else "–"
        label = f"{cell}, N = {harmonics}, {precision}{', with gradient' if gradient else ''}"
        lines.append([label, *(number(None if s is None else 1e3 * s) for s in seconds), ratio])
    return f"{markdown(['case', *solvers, 'fastest peer'], lines)}\n\n{made_by(name)}"


def elasticity_speed(name: str = "elasticity-speed") -> str:
    """Seconds per structure, ours and muGrid's, of one core."""
    rows = [row for row in results(name)["rows"] if "cases" in row]
    lines = []
    for size, cases in sorted({(row["size"], row["cases"]) for row in rows}):
        own, *peers = [row for row in rows if (row["size"], row["cases"]) == (size, cases)]
        ratio = min(peer["seconds"] for peer in peers) / own["seconds"]
        seconds = [own["seconds"], own["seconds_with_gradient"], *(peer["seconds"] for peer in peers)]
        label = f"{size}³ voxels, {cases} load case{'s' if cases > 1 else ''}"
        lines.append([label, *(number(value) for value in seconds), f"{ratio:.1f} ×"])
    heads = ["case", "microwright", "with gradient", "muGrid single", "muGrid double", "fastest peer"]
    return f"{markdown(heads, lines)}\n\n{made_by(name)}"


def claims(*names: str) -> str:
    """Every goal of the results files (all where none is named): reached, wanted, met or missed."""
    parts = []
    for name in names or sorted(path.stem for path in RESULTS.glob("*.json")):
        found = [claim for claim in results(name)["claims"] if claim["goal"] != "reported"]
        if found:
            heads = ["figure", "reached", "goal", "unit", "met", "what limits it"]
            rows = [_claim_row(claim) for claim in found]
            parts.append(f"### {TITLES.get(name, name)}\n\n{markdown(heads, rows, words=3)}\n\n{made_by(name)}")
    return "\n\n".join(parts)


def _claim_row(claim: dict[str, Any]) -> list[str]:
    limits = "" if claim["met"] else claim.get("note", "")
    cells = [claim["name"], number(claim["value"], 4), str(claim["goal"]), claim["unit"]]
    return [cell.replace("|", "\\|") for cell in (*cells, "yes" if claim["met"] else "**missed**", limits)]


def score() -> str:
    """How many goals of each results file are met."""
    rows = []
    for path in sorted(RESULTS.glob("*.json")):
        found = results(path.stem)["claims"]
        met = sum(claim["met"] for claim in found)
        title = f"[{TITLES.get(path.stem, path.stem)}](results/{path.name})"
        rows.append([title, f"{met} of {len(found)}" if found else "no goals", results(path.stem)["date"]])
    return markdown(["measurement", "goals met", "date"], rows)


def tutorial_time(name: str) -> str:
    """How long a page takes."""
    if not (RESULTS / "tutorials.json").exists():
        return ""
    content = results("tutorials")
    row = next((row for row in content["rows"] if row["page"] == name), None)
    if row is None:
        return ""
    return (
        f'\n!!! tip "Run from an empty folder in {row["seconds"]:.0f} s"\n'
        f"    Every line of this page was run in that time ({row['processor_seconds']:.0f} s of processor time). "
        "A test runs it again with every change.\n"
    )


def commands() -> str:
    """Every command of the shell with its options, as the program declares them."""
    from typer.main import get_command

    from microwright.cli.main import app  # seconds: only this table needs it

    return "\n\n".join(_command("microwright", get_command(app)))


def _command(name: str, command: Any) -> Iterable[str]:
    """A command, or all commands of a group."""
    if hasattr(command, "commands"):
        for part, inner in command.commands.items():
            yield from _command(f"{name} {part}", inner)
        return
    yield f"## {name}\n\n{command.help}"
    yield markdown_text(["option", "what it does", "default"], [_option(item) for item in command.params])


def _option(item: Any) -> list[str]:
    told = ", ".join(f"`{name}`" for name in (*item.opts, *item.secondary_opts))
    if item.param_type_name == "argument":
        told = f"`{item.name.upper()}`"
    untold = item.default in (None, True, False, "") or callable(item.default)
    default = "" if untold else f"`{_relative(item.default)}`"
    return [told, (getattr(item, "help", "") or "").replace("|", "\\|"), "required" if item.required else default]


def _relative(default: Any) -> Any:
    """A default without the folders of the machine that the site is built on."""
    return default.name if isinstance(default, Path) else default


def markdown_text(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of words."""
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


TABLES: dict[str, Callable[..., str]] = {
    "papers": papers,
    "optics-speed": optics_speed,
    "elasticity-speed": elasticity_speed,
    "claims": claims,
    "score": score,
    "tutorial-time": tutorial_time,
    "commands": commands,
}
