"""Tables, goals and notes of ``bench.stiffness``, from the rows that were measured."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from microwright.bench.forward.data import FRACTIONS
from microwright.bench.published import STIFFNESS_FORWARD, STIFFNESS_SIX_FORWARD, STIFFNESS_VECTOR_ERRORS
from microwright.bench.results import Claim, machine
from microwright.bench.stiffness import CASES, StiffnessBench
from microwright.bench.stiffness_annealing import PAPER_GOAL, SEARCHES
from microwright.bench.stiffness_inverse import CUTS, PRIORS, STAGES, morphology_ranges
from microwright.bench.stiffness_scales import SCALES, StiffnessScale

Row = dict[str, Any]


def forward_table(rows: Sequence[Row]) -> list[Row]:
    """One row for each case, method and entry: mean and spread over the seeds, the paper's figure beside."""
    made: list[Row] = []
    for case, names in CASES.items():
        for method in dict.fromkeys(row["method"] for row in rows if row["case"] == case):
            own = [row for row in rows if (row["case"], row["method"]) == (case, method)]
            made += [_forward_row(case, method, name, own) for name in names]
    return made


def _forward_row(case: str, method: str, name: str, rows: Sequence[Row]) -> Row:
    paper = STIFFNESS_FORWARD.get(method) if case == "C11" else STIFFNESS_SIX_FORWARD.get(method, {}).get(name)
    row: Row = {"case": case, "method": method, "entry": name, "runs": len(rows)}
    for figure in ("mape", "r_squared"):
        values = [own[figure][name] for own in rows]
        row[figure] = statistics.mean(values)
        row[f"{figure}_spread"] = statistics.stdev(values) if len(values) > 1 else None
    return row | {f"published_{figure}": value for figure, value in (vars(paper) if paper else {}).items()}


def inverse_table(rows: Sequence[Row]) -> list[Row]:
    """One row for each stage, cut, prior and target: mean error over the likely components and over the seeds."""
    made = []
    for stage, cut, prior in itertools.product(STAGES, CUTS, PRIORS):
        counted = [row for row in rows if (row["stage"], row["cut"], row["prior"]) == (stage, cut, prior)]
        common = {"stage": stage, "cut": cut, "prior": prior}
        for target in sorted({row["target"] for row in counted}):
            own = [row for row in counted if row["target"] == target and row["likely"]]
            seeds = dict.fromkeys(row["seed"] for row in own)
            kinds = [sorted({row["morphology"] for row in own if row["seed"] == seed}) for seed in seeds]
            error = statistics.mean(row["error_percent"] for row in own)
            asked = {"target": target, "shared": own[0]["shared"], "components": len(own)}
            made.append({**common, **asked, "error_percent": error, "morphologies": kinds})
    return made


def morphology_table(rows: Sequence[Row]) -> list[Row]:
    """One row for each stage, cut, prior and morphology: mean error of the likely components that gave it, shared
    targets."""
    counted = [row for row in rows if row["likely"] and row["shared"]]
    return _means_by(counted, ("stage", "cut", "prior", "morphology"))


def drawn_table(rows: Sequence[Row]) -> list[Row]:
    """One row for each cut, prior and morphology: mean error of the draws that gave it."""
    return _means_by(rows, ("cut", "prior", "morphology"))


def _means_by(rows: Sequence[Row], names: Sequence[str]) -> list[Row]:
    """One row for each combination of ``names``: number of volumes and mean error."""
    parts: dict[tuple[Any, ...], list[float]] = {}
    for row in rows:
        parts.setdefault(tuple(row[name] for name in names), []).append(row["error_percent"])
    return [
        {**dict(zip(names, key, strict=True)), "volumes": len(errors), "error_percent": statistics.mean(errors)}
        for key, errors in sorted(parts.items())
    ]


def annealing_table(rows: Sequence[Row]) -> list[Row]:
    """One row for each objective, kind of start, cut and number of iterations, over all targets and seeds.

    ``error_percent`` is over every start by itself, ``chosen_percent`` over the best start (by the objective) of each
    target, ``worst_percent`` the largest of the latter.
    """
    made = []
    names = ("objective", "start", "cut", "iterations")
    for key in sorted(dict.fromkeys(tuple(row[name] for name in names) for row in rows)):
        own = [row for row in rows if tuple(row[name] for name in names) == key]
        chosen = [row["error_percent"] for row in own if row["chosen"]]
        made.append(
            {
                **dict(zip(names, key, strict=True)),
                "error_percent": statistics.mean(row["error_percent"] for row in own),
                "chosen_percent": statistics.mean(chosen),
                "worst_percent": max(chosen),
                "seconds": statistics.mean(row["seconds"] for row in own),
            }
        )
    return made


def six_table(rows: Sequence[Row]) -> list[Row]:
    """Table 10: one row for each prior, cut and entry; over the likely components, and over the nearest one alone."""
    made = []
    for prior, cut in dict.fromkeys((row["prior"], row["cut"]) for row in rows):
        own = [row for row in rows if (row["prior"], row["cut"]) == (prior, cut)]
        for place, name in enumerate(CASES["six"]):
            likely = [row["error_percent"][place] for row in own if row["likely"]]
            nearest = [row["error_percent"][place] for row in _nearest(own)]
            made.append(
                {
                    "prior": prior,
                    "cut": cut,
                    "entry": name,
                    "error_percent": statistics.mean(likely),
                    "nearest_percent": statistics.mean(nearest),
                    "published_percent": STIFFNESS_VECTOR_ERRORS[prior][place],
                }
            )
    return made


def _nearest(rows: Sequence[Row]) -> list[Row]:
    """Of each target the component of least mean error."""
    numbers = dict.fromkeys(row["number"] for row in rows)
    parts = ([row for row in rows if row["number"] == number] for number in numbers)
    return [min(own, key=lambda row: statistics.mean(row["error_percent"])) for own in parts]


def claims(forward: Sequence[Row], inverse: Sequence[Row], annealing: Sequence[Row], limit: str = "") -> list[Claim]:
    """The goals, from the three tables; ``limit`` says what holds a missed one back."""
    return [*_forward_claims(forward, limit), *_inverse_claims(inverse, limit), *_annealing_claims(annealing, limit)]


def _forward_claims(table: Sequence[Row], limit: str) -> list[Claim]:
    mape = {row["method"]: row["mape"] for row in table if row["case"] == "C11"}
    best = max(mape["vae-regression"], mape["reg-only"])
    goals = [("VAE-Regression's MAPE of C11 against Reg-only's", mape["vae-regression"], mape["reg-only"])]
    goals += [
        (f"larger MAPE of the two against {title}", best, mape[name])
        for title, name in (("two-point statistics", "two-point"), ("VAE + GPR", "vae-gpr"))
    ]
    return [_at_most(name, value, goal, "%", limit) for name, value, goal in goals]


#: what the goals of inference speak of: stage and cut
COMPARED = (("joint", "decoder"), ("all", "decoder"), ("all", "regressor"))
STAGE_TITLES = {"joint": "after the joint training", "all": "after all trainings"}


def _inverse_claims(table: Sequence[Row], limit: str) -> list[Claim]:
    made = []
    for stage, cut in COMPARED:
        own = [row for row in table if (row["stage"], row["cut"]) == (stage, cut)]
        when = f"{STAGE_TITLES[stage]}, cut by the {cut}"
        mean = _mean_by_prior([row for row in own if row["shared"]])
        name = f"mean error of the mixture against one Gaussian, targets of both morphologies, {when}"
        made.append(_at_most(name, mean["mixture"], mean["unimodal"], "%", limit))
        mixed = [row for row in own if row["prior"] == "mixture"]
        both = [kinds for row in mixed if row["shared"] for kinds in row["morphologies"]]
        share = 100 * statistics.mean(len(kinds) == 2 for kinds in both) if both else 0.0
        made.append(_own_morphology(when, share, limit))
        direct = statistics.mean(row["error_percent"] for row in mixed)
        made.append(_at_most(f"mean error of C11, inferred directly, {when}", direct, 16.0, "%", limit))
    return made


def _own_morphology(when: str, share: float, limit: str) -> Claim:
    name = f"such targets where each component gives its own morphology, {when}"
    return Claim(name, share, ">= 100", "%", share == 100, "" if share == 100 else limit)


def _mean_by_prior(table: Sequence[Row]) -> dict[str, float]:
    parts = {prior: [row["error_percent"] for row in table if row["prior"] == prior] for prior in PRIORS}
    return {prior: statistics.mean(errors) if errors else float("nan") for prior, errors in parts.items()}


def _annealing_claims(table: Sequence[Row], limit: str) -> list[Claim]:
    made = []
    for objective, start, cut in SEARCHES:
        if start == "inferred":
            own = [row for row in table if (row["objective"], row["start"], row["cut"]) == (objective, start, cut)]
            last = max(own, key=lambda row: row["iterations"])
            name = f"mean error of C11, {last['iterations']} iterations from the inferred points by {objective}"
            made.append(_at_most(f"{name}, cut by the {cut}", last["error_percent"], 5.0, "%", limit))
    return made


def _at_most(name: str, value: float, goal: float, unit: str, limit: str) -> Claim:
    met = value <= goal
    return Claim(name, value, f"<= {goal:.4g}", unit, met, "" if met else f"missed by {value - goal:.2f}; {limit}")


def verdict(table: Sequence[Row], starts: int) -> str:
    """The paper's remark on random starts, reproduced or refuted."""
    own = [row for row in table if (row["objective"], row["start"]) == ("reg-only", "random")]
    enough = [row["iterations"] for row in own if row["chosen_percent"] <= PAPER_GOAL]
    single = [row["iterations"] for row in own if row["error_percent"] <= PAPER_GOAL]
    longest = max(row["iterations"] for row in own)
    said = f"The paper needs 5 searches of 200 iterations from random starts for a mean error within {PAPER_GOAL:g} %. "
    here = f"{starts} starts, the best by the Reg-only objective: {_iterations(enough, longest)}; one start alone: "
    refuted = bool(enough) and min(enough) < longest
    return said + f"Here, {here}{_iterations(single, longest)}. So it is {'refuted' if refuted else 'reproduced'}."


def _iterations(enough: Iterable[int], longest: int) -> str:
    first = min(enough, default=None)
    return f"not within {longest} iterations" if first is None else f"reached at {first} iterations"


def _passes(scale: StiffnessScale) -> str:
    """Passes over the two morphologies."""
    volumes, training = round(FRACTIONS[0] * scale.morphology_volumes), scale.morphology_training
    steps = training.steps_per_epoch or volumes // training.batch
    return f"{training.epochs * training.batch * steps / volumes:.0f}"


def notes(bench: StiffnessBench) -> list[str]:
    """What the figures rest on, in sentences."""
    scale = bench.scale
    ranges = (f"{kind} {low:.1f} to {high:.1f} GPa" for kind, (low, high) in morphology_ranges(bench).items())
    made = [
        f"{scale.volumes} volumes of {scale.grid}³ voxels, filters of every triple of σ = "
        f"{', '.join(f'{w:g}' for w in scale.widths)} voxels, 60 % training, 20 % validation, 20 % test; labels by the "
        f"elastic engine at a tolerance of {scale.tolerance:g}. Two morphologies, σ = {scale.morphologies[0]} and "
        f"{scale.morphologies[1]}: {scale.morphology_volumes} volumes, C11 of {', '.join(ranges)}.",
        f"Networks of {scale.width:g} times the paper's filters and dense neurons; at most {scale.training.epochs} "
        f"passes for VAE-Regression on C11, {scale.six_training.epochs} on six entries, "
        f"{_passes(scale)} on the two morphologies, {scale.plain_epochs} for the VAE without the "
        f"property, {scale.reg_only.epochs} and {scale.six_reg_only.epochs} for Reg-only ({scale.judge.epochs} where "
        "it guides a search). Both shift and mirror the volumes at random. Style loss: two-point correlations.",
        f"What infers had its prior fitted once more by itself, {scale.decoder_training.epochs} × "
        f"{scale.decoder_training.steps_per_epoch or 'all'} steps of the decoder on what it decodes, the solver in the "
        f"loop, and, for C11, a second training of {scale.second_training.epochs} passes, besides its own set on "
        f"{scale.own_volumes} volumes that it had inferred itself, solved; decoder and prior stayed as they were. The "
        f"loop solves {scale.decoder_training.batch} volumes a step, and one for each of the validation part "
        f"{scale.decoder_training.epochs} times.",
        f"Runs (a split and first weights each): {len(scale.seeds)} for C11, {len(scale.six_seeds)} for six entries, "
        f"{len(scale.inverse_seeds)} for the inverse experiments; the paper has ten forward.",
    ]
    if scale.name != "paper":
        paper = SCALES["paper"]
        made.append(f"Not run: the paper's own size ({paper.grid}³, {paper.volumes} volumes).")
        made.append(
            "The learning rate falls over a given number of passes, where the paper's trainings go on until the "
            f"validation loss stops falling; the VAE behind the latent rows had {scale.plain_epochs} of them."
        )
    if not scale.six_seeds:
        made.append("Not run: all six entries at once (the paper's Tables 7 to 10).")
    if machine()["accelerator"] == "none":
        made.append("No GPU was at hand: its speed is not measured.")
    # what was measured is kept, and may be of another day than the rest
    made.append("Seconds are wall time, taken when a search ran; other work may have stretched them.")
    return made
