"""Inference of volumes from C11: figures 3 and 8 and Table 6, one Gaussian against a mixture as prior.

Networks that learnt the two morphologies, whose ranges of C11 overlap, are asked for six values of C11, after the joint
training (the paper's) and after all that follows it. The mean of each component of p(z | c), or draws from p(z | c),
are decoded and cut at the phase fraction that the decoder's probabilities say, or at the one with which q(c | x) sees
the target met; the solver says what was achieved. A component counts where the prior gives it at least ``LIKELY`` of
the probability, and a morphology where it makes as large a share of the volumes of about that C11.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from microwright.bench.stiffness import CASES, StiffnessBench
from microwright.methods.vae_regression import VaeRegression
from microwright.structures.statistics import autocovariance, phase_fraction

#: name of a prior -> its components
PRIORS = {"unimodal": 1, "mixture": 2}
#: after the paper's training, and after the further ones
STAGES = ("joint", "all")
#: components of less probability are not what the model proposes; morphologies of a smaller share are not shared
LIKELY = 0.05
#: volumes within this share of a target are of about that C11
NEAR = 0.1
#: draws from p(z | c) for each target
DRAWS = 8
#: who predicts the phase fraction that a decoded volume is cut at
CUTS = ("decoder", "regressor")
FIBRES, SHEETS = "fibres", "sheets"


def inverse_rows(bench: StiffnessBench) -> list[dict[str, Any]]:
    """One row for each seed, stage, prior, target, cut and component."""
    return [
        row
        for seed in bench.scale.inverse_seeds
        for stage in STAGES
        for prior in PRIORS
        for row in bench.measured(
            f"inverse-{stage}-{prior}-{seed}",
            lambda t=stage, p=prior, s=seed: _rows(bench, t, p, s),  # type: ignore[misc]
        )
    ]


def _rows(bench: StiffnessBench, stage: str, prior: str, seed: int) -> list[dict[str, Any]]:
    method = staged_model(bench, stage, prior, seed)
    rows = []
    for target in bench.scale.targets:
        shared = min(morphology_shares(bench, target).values()) >= LIKELY
        for row in inferred_rows(bench, method, torch.tensor([target]), "C11"):
            achieved = row["achieved"][0]
            error = 100 * abs(achieved - target) / target
            common = {"stage": stage, "prior": prior, "seed": seed, "target": target, "shared": shared}
            rows.append({**common, **row, "achieved": achieved, "error_percent": error})
    return rows


def staged_model(bench: StiffnessBench, stage: str, prior: str, seed: int) -> VaeRegression:
    """The model of the two morphologies after one of ``STAGES``."""
    made = bench.jointly_trained if stage == "joint" else bench.morphology_model
    return made(PRIORS[prior], seed)


def drawn_rows(bench: StiffnessBench) -> list[dict[str, Any]]:
    """One row for each seed, prior, target, cut and draw from the prior, after all trainings."""
    return [
        row
        for seed in bench.scale.inverse_seeds
        for prior in PRIORS
        for row in bench.measured(f"drawn-{prior}-{seed}", lambda p=prior, s=seed: _drawn_rows(bench, p, s))  # type: ignore[misc]
    ]


def _drawn_rows(bench: StiffnessBench, prior: str, seed: int) -> list[dict[str, Any]]:
    method, generator = bench.morphology_model(PRIORS[prior], seed), torch.Generator().manual_seed(seed)
    rows = []
    for target in bench.scale.targets:
        wanted = torch.tensor([target])
        latents = method.draw_latents(wanted, DRAWS, generator)
        for cut in CUTS:
            structures = decoded(method, wanted, latents, cut)
            achieved = bench.solver("C11").solve(structures).values[:, 0].tolist()
            common = {"prior": prior, "seed": seed, "target": target, "cut": cut}
            rows += [
                {**common, "morphology": kind, "achieved": value, "error_percent": 100 * abs(value - target) / target}
                for kind, value in zip(morphology(structures), achieved, strict=True)
            ]
    return rows


def inferred_rows(
    bench: StiffnessBench, method: VaeRegression, target: Float[Tensor, "p"], case: str
) -> list[dict[str, Any]]:
    """One row for each cut and component of the prior: its weight, and what the structure of its mean achieves."""
    return [row for cut in CUTS for row in _cut_rows(bench, method, target, case, cut)]


def _cut_rows(
    bench: StiffnessBench, method: VaeRegression, target: Float[Tensor, "p"], case: str, cut: str
) -> list[dict[str, Any]]:
    structures = inferred(method, target, cut)
    solved = bench.solver(case).solve(structures)
    weights, fractions = method.component_weights(target), phase_fraction(structures)
    return [
        {
            "cut": cut,
            "component": k,
            "weight": float(weights[k]),
            "likely": bool(weights[k] >= LIKELY),
            "phase_fraction": float(fractions[k]),
            "morphology": kind,
            "achieved": solved.values[k].tolist(),
        }
        for k, kind in enumerate(morphology(structures))
    ]


def inferred(method: VaeRegression, target: Float[Tensor, "p"], cut: str) -> Float[Tensor, "k x y z"]:
    """Structures of the component means, cut as one of ``CUTS``."""
    return decoded(method, target, method.component_means(target), cut)


def decoded(
    method: VaeRegression, target: Float[Tensor, "p"], latents: Float[Tensor, "n m"], cut: str
) -> Float[Tensor, "n x y z"]:
    """Structures of ``latents``, cut as one of ``CUTS``."""
    return method.structures_for(target, latents) if cut == "regressor" else method.structures(latents)


def morphology(structures: Float[Tensor, "n x y z"]) -> list[str]:
    """Fibres are alike for longer along the first axis than across it, sheets the other way round."""
    alike = autocovariance(structures.float())
    along = alike[:, 1:3, 0, 0].mean(1)
    across = (alike[:, 0, 1:3, 0].mean(1) + alike[:, 0, 0, 1:3].mean(1)) / 2
    return [FIBRES if longer else SHEETS for longer in (along > across).tolist()]


def morphology_ranges(bench: StiffnessBench) -> dict[str, tuple[float, float]]:
    """Smallest and largest C11 of each morphology, GPa."""
    return {kind: (float(own.min()), float(own.max())) for kind, own in _known_stiffness(bench).items()}


def morphology_shares(bench: StiffnessBench, target: float) -> dict[str, float]:
    """Share of each morphology among the volumes of about that C11; 0 where there is none."""
    near = {kind: int(((own / target - 1).abs() <= NEAR).sum()) for kind, own in _known_stiffness(bench).items()}
    return {kind: count / max(1, sum(near.values())) for kind, count in near.items()}


def _known_stiffness(bench: StiffnessBench) -> dict[str, Float[Tensor, "n"]]:
    """C11 of the set's volumes by morphology, GPa."""
    known = bench.morphologies()
    used = torch.as_tensor(known.usable())
    values = torch.as_tensor(known.properties[known.usable()])[:, 0]
    return {kind: values[used % 2 == place] for place, kind in enumerate((FIBRES, SHEETS))}


def six_rows(bench: StiffnessBench) -> list[dict[str, Any]]:
    """Tables 9 and 10: one row for each prior, target vector of the test part, and component."""
    return [
        row
        for seed in bench.scale.six_seeds[:1]
        for prior in PRIORS
        for row in bench.measured(f"six-{prior}-{seed}", lambda p=prior, s=seed: _six_rows(bench, p, s))  # type: ignore[misc]
    ]


def _six_rows(bench: StiffnessBench, prior: str, seed: int) -> list[dict[str, Any]]:
    method = bench.six_model(PRIORS[prior], seed)
    rows = []
    for number, target in enumerate(vector_targets(bench, seed)[0]):
        for row in inferred_rows(bench, method, target, "six"):
            errors = [100 * abs(a - t) / t for a, t in zip(row["achieved"], target.tolist(), strict=True)]
            common = {"prior": prior, "seed": seed, "number": number + 1, "target": target.tolist()}
            rows.append({**common, **row, "error_percent": errors})
    return rows


def vector_targets(bench: StiffnessBench, seed: int) -> tuple[Float[Tensor, "n 6"], Float[Tensor, "n x y z"]]:
    """Entries of test volumes, evenly spaced in rank of C11, and these volumes."""
    test = bench.forward_data("six", seed).test
    order = test.values[:, CASES["six"].index("C11")].argsort()
    places = torch.linspace(0, len(order) - 1, bench.scale.vectors + 2)[1:-1].round().long()
    rows = order[places]
    return test.values[rows], test.structures[rows]
