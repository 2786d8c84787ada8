r"""Whether a target can be met, told before anything is computed.

Two things are known beforehand. *Physics* bounds a property whatever the structure: absorption, reflectance and
transmittance lie in [0, 1], and a stiffness entry :math:`C_{ii}` between the harmonic (Reuss) and the arithmetic
(Voigt) average of the phases (Hill, Proc. Phys. Soc. A 65 (1952) 349), at a phase fraction f or over all of them.
*Experience* is what the labelled structures reached: their range, and how many of them lie near. Refinement moves a
property further than the data go, by a few per cent of it; beyond that a target is called out of reach.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from microwright.design.targets import PHASE_FRACTION, Goal, Kind, Target
from microwright.errors import InputError

#: how far beyond the data refinement goes, as a share of the wanted value
REACH = 0.05
#: relative distance within which a labelled structure counts as near
NEAR = 0.02

Bounds = tuple[float, float]


@dataclass(frozen=True)
class Reachable:
    """What is known of one goal.

    Attributes:
        goal: what is asked.
        seen: lowest and highest value of the labelled structures.
        bounds: physical bounds; infinite where none are known.
        near: share of the labelled structures within 2 % of what is asked; NaN where there are none.
        nearest: accepted value nearest to the data, or the data's value nearest to what is asked where none is in
            reach.
        verdict: ``"inside"`` the data, ``"edge"`` (a refinement away), ``"outside"`` them, or ``"impossible"`` by
            physics.
    """

    goal: Goal
    seen: Bounds
    bounds: Bounds
    near: float
    nearest: float
    verdict: str

    def __str__(self) -> str:
        if math.isnan(self.near) and self.verdict != "impossible":
            return f"{self.goal}: physics allows it; no labelled values to compare with"
        told = {
            "inside": f"{self.near:.0%} of the labelled structures lie within 2 % of it",
            "edge": f"just outside {_span(self.seen)} of the labelled structures; refinement may get there",
            "outside": f"far outside {_span(self.seen)} of the labelled structures; nearest: {self.nearest:.4g}",
            "impossible": f"impossible, physics bounds it to {_span(self.bounds)}; nearest seen: {self.nearest:.4g}",
        }
        return f"{self.goal}: {told[self.verdict]}"


def reachability(
    target: Target, seen: Mapping[str, Float[Tensor, "n"]], solver: Mapping[str, Any]
) -> tuple[Reachable, ...]:
    """What the labelled values ``seen`` (by property) and the physics of a solver's spec say of each goal.

    A property without labelled values is judged by physics alone.
    """
    fraction = target[PHASE_FRACTION].accepted if PHASE_FRACTION in target.properties else (0.0, 1.0)
    return tuple(
        _judge(goal, seen.get(goal.property), physical_bounds(goal.property, solver, fraction)) for goal in target.goals
    )


def refuse_impossible(reached: Sequence[Reachable]) -> None:
    """Refuse what physics forbids.

    Raises:
        InputError: naming the goals, the bounds and the nearest value seen.
    """
    told = [str(item) for item in reached if item.verdict == "impossible"]
    if told:
        raise InputError(f"target {'; '.join(told)}")


def physical_bounds(name: str, solver: Mapping[str, Any], fraction: Bounds = (0.0, 1.0)) -> Bounds:
    """Bounds of a property for any structure with a phase fraction in ``fraction``."""
    if re.match(r"absorption|reflectance|transmittance|" + PHASE_FRACTION, name):
        return 0.0, 1.0
    if re.fullmatch(r"C([1-6])\1", name) and "phases" in solver and len(solver["phases"]["youngs_moduli_gpa"]) == 2:
        return _voigt_reuss(name, solver, fraction)
    return -math.inf, math.inf


def _voigt_reuss(name: str, solver: Mapping[str, Any], fraction: Bounds) -> Bounds:
    phases = solver["phases"]
    stiffness = [_isotropic(young, nu) for young, nu in zip(*phases.values(), strict=True)]
    entry = int(name[1]) - 1
    low, high = max(fraction[0], 0.0), min(fraction[1], 1.0)
    # both averages are monotone in the fraction, so the ends of its range hold the extremes
    ends = [(_reuss(stiffness, f)[entry, entry], _voigt(stiffness, f)[entry, entry]) for f in (low, high)]
    return float(min(reuss for reuss, _ in ends)), float(max(voigt for _, voigt in ends))


def _isotropic(young: float, nu: float) -> Float[np.ndarray, "6 6"]:
    lame, shear = young * nu / ((1 + nu) * (1 - 2 * nu)), young / (2 * (1 + nu))
    stiffness = np.diag([2 * shear] * 3 + [shear] * 3)
    stiffness[:3, :3] += lame
    return stiffness


def _voigt(stiffness: Sequence[np.ndarray], fraction: float) -> np.ndarray:
    return (1 - fraction) * stiffness[0] + fraction * stiffness[1]


def _reuss(stiffness: Sequence[np.ndarray], fraction: float) -> np.ndarray:
    compliance = (1 - fraction) * np.linalg.inv(stiffness[0]) + fraction * np.linalg.inv(stiffness[1])
    return np.linalg.inv(compliance)


def _judge(goal: Goal, values: Tensor | None, bounds: Bounds) -> Reachable:
    data = torch.as_tensor([]) if values is None else values.double()[values.isfinite()]
    seen = (float(data.min()), float(data.max())) if len(data) else bounds
    low, high = goal.accepted if goal.bounded else bounds
    nearest = min(max(low, seen[0]), max(seen[0], min(high, seen[1])))
    near = float(((data >= low - NEAR * goal.scale) & (data <= high + NEAR * goal.scale)).double().mean())
    return Reachable(goal, seen, bounds, near, nearest, _verdict(goal, (low, high), seen, bounds))


def _verdict(goal: Goal, accepted: Bounds, seen: Bounds, bounds: Bounds) -> str:
    if accepted[0] > bounds[1] or accepted[1] < bounds[0]:
        return "impossible"
    beyond = max(accepted[0] - seen[1], seen[0] - accepted[1])
    if beyond <= 0 or goal.kind in (Kind.MAXIMISE, Kind.MINIMISE):
        return "inside"
    return "edge" if beyond <= REACH * goal.scale else "outside"


def _span(bounds: Bounds) -> str:
    return f"{bounds[0]:.4g} to {bounds[1]:.4g}"
