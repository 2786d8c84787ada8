"""Inference of volumes from C11: figures 3 and 8 and Table 6, one Gaussian against a mixture as prior.

Networks that learnt the two morphologies, whose ranges of C11 overlap, are asked for six values of C11. The mean of
each component of p(z | c) is decoded and cut at the phase fraction that the decoder's probabilities say, or at the one
with which q(c | x) sees the target met; the solver says what was achieved. A component counts where the prior gives it
at least ``LIKELY`` of the probability.
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
#: components of less probability are not what the model proposes
LIKELY = 0.05
#: who predicts the phase fraction that a decoded volume is cut at
CUTS = ("decoder", "regressor")
FIBRES, SHEETS = "fibres", "sheets"


def inverse_rows(bench: StiffnessBench) -> list[dict[str, Any]]:
    """One row for each seed, prior, target and component."""
    return [
        row
        for seed in bench.scale.inverse_seeds
        for prior in PRIORS
        for row in bench.measured(f"inverse-{prior}-{seed}", lambda p=prior, s=seed: _rows(bench, p, s))  # type: ignore[misc]
    ]


def _rows(bench: StiffnessBench, prior: str, seed: int) -> list[dict[str, Any]]:
    method = bench.morphology_model(PRIORS[prior], seed)
    ranges = morphology_ranges(bench)
    rows = []
    for target in bench.scale.targets:
        shared = all(low <= target <= high for low, high in ranges.values())
        for row in inferred_rows(bench, method, torch.tensor([target]), "C11"):
            achieved = row["achieved"][0]
            error = 100 * abs(achieved - target) / target
            common = {"prior": prior, "seed": seed, "target": target, "shared": shared}
            rows.append({**common, **row, "achieved": achieved, "error_percent": error})
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
    known = bench.morphologies()
    used = torch.as_tensor(known.usable())
    values = torch.as_tensor(known.properties[known.usable()])[:, 0]
    parts = {kind: values[used % 2 == place] for place, kind in enumerate((FIBRES, SHEETS))}
    return {kind: (float(own.min()), float(own.max())) for kind, own in parts.items()}


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
