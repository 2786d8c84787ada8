"""The documentation page of ``bench.stiffness``, from the results file alone; pictures lie beside it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from microwright.bench.absorption_page import claims_table
from microwright.bench.published import (
    STIFFNESS_ANNEALED_ERROR,
    STIFFNESS_INVERSE_ERROR,
    STIFFNESS_PHASE_FRACTIONS,
)
from microwright.bench.stiffness import CASES
from microwright.bench.stiffness_inverse import FIBRES, SHEETS

Row = Mapping[str, Any]
TITLES = {
    "hill": "Voigt–Reuss–Hill average",
    "two-point": "two-point statistics + regression",
    "vae-lin": "VAE + linear regression",
    "vae-nn": "VAE + neural network",
    "vae-gpr": "VAE + Gaussian process",
    "vae-svr": "VAE + support vectors",
    "reg-only": "Reg-only CNN",
    "vae-regression": "VAE-Regression",
    "unimodal": "one Gaussian",
    "mixture": "mixture",
}
STAGES = {"joint": "joint training", "all": "all trainings"}


def write_page(path: Path, results: Sequence[Path]) -> None:
    """Write the page for the results files of all scales that there are."""
    parts = [PAGE_TOP, MODEL]
    for file in results:
        parts += _section(path, json.loads(file.read_text()))
    path.write_text("\n\n".join(parts) + "\n")


def _section(path: Path, content: Mapping[str, Any]) -> list[str]:
    kinds: dict[str, list[Row]] = {}
    for row in content["rows"]:
        kinds.setdefault(row["kind"], []).append(row)
    machine = content["machine"]
    made = (
        f"Made by `{content['command']}` on {machine['processor']} ({machine['cores']} cores, accelerator: "
        f"{machine['accelerator']}), {content['date']}."
    )
    parts = ["## Measured", *content["notes"], made, "### Goals", claims_table(content["claims"])]
    parts += [
        "### Forward prediction of C11",
        FORWARD,
        forward_table(kinds["forward"], "C11"),
        *_picture(path, "forward"),
    ]
    parts += [LATENTS, *_picture(path, "latents")]
    if any(row["case"] == "six" for row in kinds["forward"]):
        parts += ["### Forward prediction of six entries", forward_table(kinds["forward"], "six")]
    parts += ["### Volumes from C11", INVERSE, inverse_table(kinds["inverse"]), *_picture(path, "errors")]
    parts += ["The same by what came out, targets of both morphologies:", morphology_table(kinds["inverse morphology"])]
    parts += [DRAWN, morphology_table(kinds["drawn"])]
    parts += [
        "Phase fractions (Table 6), after all trainings, of volumes cut by the decoder:",
        fraction_table(kinds["component"]),
        *_picture(path, "inferred"),
    ]
    parts += ["### Annealing", ANNEALING, kinds["verdict"][0]["text"], annealing_table(kinds["annealing"])]
    parts += _picture(path, "annealing")
    if "six" in kinds:
        parts += ["### Volumes from six entries", SIX, six_table(kinds["six"]), *_picture(path, "six")]
    return parts


def forward_table(rows: Iterable[Row], case: str) -> str:
    """Tables 1, 7 and 8."""
    lines = ["| method | entry | MAPE % | R² | runs |", "|---|---|---|---|---|"]
    for row in rows:
        if row["case"] == case:
            figures = [_beside(row, "mape", 2), _beside(row, "r_squared", 4)]
            lines.append(f"| {TITLES[row['method']]} | {row['entry']} | {' | '.join(figures)} | {row['runs']} |")
    return "\n".join(lines)


def _beside(row: Row, figure: str, digits: int) -> str:
    """``ours ± spread (published ± spread)``."""
    own = _spread(row[figure], row[f"{figure}_spread"], digits)
    paper = row.get(f"published_{figure}")
    deviation = row.get(f"published_{figure}_deviation") or row.get(f"published_{figure.split('_')[0]}_deviation")
    return own if paper is None else f"{own} ({_spread(paper, deviation, digits)})"


def _spread(value: float, spread: float | None, digits: int) -> str:
    return f"{value:.{digits}f}" if spread is None else f"{value:.{digits}f} ± {spread:.{digits}f}"


def inverse_table(rows: Iterable[Row]) -> str:
    """Figure 3b as a table."""
    lines = [
        "| after | cut by | prior | target GPa | both morphologies likely | mean error % | morphologies |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        kinds = "; ".join(" and ".join(kinds) for kinds in row["morphologies"])
        shared = "yes" if row["shared"] else "no"
        asked = f"| {STAGES[row['stage']]} | {row['cut']} | {TITLES[row['prior']]} | {row['target']:g} | {shared} |"
        lines.append(f"{asked} {row['error_percent']:.1f} | {kinds} |")
    return "\n".join(lines)


def morphology_table(rows: Iterable[Row]) -> str:
    """Errors by morphology."""
    lines = ["| after | cut by | prior | morphology | volumes | mean error % |", "|---|---|---|---|---|---|"]
    for row in rows:
        cells = [STAGES[row.get("stage", "all")], row["cut"], TITLES[row["prior"]], row["morphology"]]
        lines.append(f"| {' | '.join(cells)} | {row['volumes']} | {row['error_percent']:.1f} |")
    return "\n".join(lines)


def fraction_table(rows: Sequence[Row]) -> str:
    """Table 6: phase fractions, probability of the component and what was achieved; the paper's fraction beside."""
    lines = [
        "| target GPa | prior | seed | component | probability | morphology | phase fraction | achieved GPa |",
        "|---|---|---|---|---|---|---|---|",
    ]
    own = [row for row in rows if (row["stage"], row["cut"]) == ("all", "decoder")]
    for row in sorted(own, key=lambda row: (row["target"], row["prior"] == "unimodal", row["seed"], row["component"])):
        paper = STIFFNESS_PHASE_FRACTIONS.get(row["target"])
        # the paper's first component gives fibres; which of ours does is chance
        place = 2 if row["prior"] == "unimodal" else (FIBRES, SHEETS).index(row["morphology"])
        beside = "" if paper is None else f" ({paper[place]:.2f})"
        asked = f"| {row['target']:g} | {TITLES[row['prior']]} | {row['seed']} | {row['component'] + 1} |"
        given = f"{row['weight']:.2f} | {row['morphology']} | {row['phase_fraction']:.2f}{beside}"
        lines.append(f"{asked} {given} | {row['achieved']:.1f} |")
    return "\n".join(lines)


def annealing_table(rows: Iterable[Row]) -> str:
    """Figure 4c as a table."""
    lines = [
        "| objective | starts | cut by | iterations | mean error % of each start | of the best start | worst target % "
        "| s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        figures = [f"{row[name]:.1f}" for name in ("error_percent", "chosen_percent", "worst_percent")]
        cells = [row["objective"], row["start"], row["cut"], str(row["iterations"]), *figures, f"{row['seconds']:.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def six_table(rows: Sequence[Row]) -> str:
    """Table 10."""
    lines = [f"| cut by | prior | {' | '.join(CASES['six'])} |", "|---" * (len(CASES["six"]) + 2) + "|"]
    for prior, cut in dict.fromkeys((row["prior"], row["cut"]) for row in rows):
        own = [row for row in rows if (row["prior"], row["cut"]) == (prior, cut)]
        for figure, title in (("error_percent", "likely components"), ("nearest_percent", "nearest component")):
            cells = [f"{row[figure]:.1f} ({row['published_percent']:g})" for row in own]
            lines.append(f"| {cut} | {TITLES[prior]}, {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _picture(page: Path, name: str) -> list[str]:
    file = f"stiffness-{name}.png"
    return [f"![{PICTURES[name]}]({file})"] if (page.parent / file).exists() else []


PICTURES = {
    "forward": "predicted against computed C11 of the test volumes",
    "latents": "latent spaces in two principal components, coloured by C11",
    "errors": "achieved against target C11, and the mean error, for both priors",
    "inferred": "originals and inferred volumes for each target",
    "annealing": "error of C11 against iterations and seconds of annealing",
    "six": "test volumes and what was inferred from their six entries",
}

PAGE_TOP = """# Stiffness: VAE-Regression with a multimodal prior, in the paper's tables

Volumes of two phases (2.4 and 120 GPa, ν = 0.3) from their effective stiffness, and the stiffness from the volume, by
the method of Sardeshmukh et al. Ours first, the paper's figure in brackets; theirs are of 51³ voxels and 8,900
volumes, of a set whose seeds are unknown. Every inferred volume is binary and was solved again."""

MODEL = """## The model

An encoder q(z|x) and a regressor q(c|x) share their convolutions; a decoder turns latents z into the probability of
the hard phase at each voxel; a generator network gives the prior p(z|c), one Gaussian or a mixture of K. All are
trained together on three terms: the likelihood of the property, the distance of the two-point correlations of a
volume and its reconstruction, and the divergence of q(z|x) from p(z|ĉ). Sizes follow from the grid; 51³ gives the
paper's. Forward, q(c|x) gives mean and variance. Inverse, the means of the components of p(z|c) (or draws from it)
are decoded and cut at a phase fraction that the model predicts: the mean probability of the decoder, or the one with
which q(c|x) sees the target met.

Three things follow the joint training here that the paper does not have. The prior is fitted once more by itself,
from several beginnings (part of "joint training" in the tables). The decoder, which saw draws of q(z|x) alone, is
trained on means and draws of the prior's components besides, with the elastic solver in the loop: what is decoded is
cut and solved, and the error of its stiffness, whose gradient by every voxel the solver gives, is a term of the loss
beside the texture's. A few voxels that bridge two sheets hardly show in two-point correlations and decide the stiffness
across. And since q(c|x) never saw a decoded volume, encoder and regressor are trained a second time, on the set and on
volumes that the model inferred itself, solved. The cut by the regressor is not the paper's either."""

FORWARD = """MAPE is the mean absolute error over the mean observed value. All methods have the same split of each
run; the network and the latents learn from the training part, early stopping looks at the validation part, figures
are of the test part."""

LATENTS = """Latents of the test volumes in two principal components, by a VAE that does not know the property and by
VAE-Regression (the paper's figure 7):"""

INVERSE = f"""Networks that learnt fibres and sheets alone, after the joint training (the paper's way) and after all
that follows it; cut by the decoder or by the regressor, as above. A component counts where the prior gives it at least
5 % of the probability, and an error is the mean over those; both morphologies are likely where each makes at least 5 %
of the volumes within a tenth of the target. Morphologies of the seeds are parted by semicolons. The paper has about
{STIFFNESS_INVERSE_ERROR[0]:g} % for the mixture. The volumes of one component for all targets are one arrangement that
grows with the target, as in the paper; different arrangements are drawn, not means."""

DRAWN = """Draws from p(z|c) instead of means, eight for each target and seed, all targets; that is what `design` begins
from:"""

ANNEALING = f"""Simulated annealing in the latent space, from points drawn evenly from the box of the training latents
and from the inferred points. The objective is the error of C11 by a Reg-only network, as in the paper (it learnt what
the mixture's second training learnt), or, from the inferred points, by the solver itself; the errors in the table are
the solver's in all cases. "Best start" is the one that the objective prefers. The paper: within
{STIFFNESS_ANNEALED_ERROR:g} % after 10 iterations from the inferred points."""

SIX = """Mean error of each entry over targets from the test part (Table 10; the paper's vectors, Table 9, belong to
its own set)."""
