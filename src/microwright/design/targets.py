"""What a structure must have: one goal per property, several properties at once.

A *goal* accepts an interval of one property: a value with its tolerance, a range, at least, at most, or as much or
as little as can be had. A *target* is a tuple of goals. How far values y are from a target is its *misfit*, the root
of the summed squares of each goal's relative gap,

    gap = |y − w| / s,    w = the accepted value nearest to y,    s = the goal's own magnitude,

so that the misfit of a single wanted value is its residual error percentage (REP = |y − y*| / |y*| · 100) over 100.
A maximised property has no nearest accepted value; its gap is (1 − y / (1 + |y|)) / 100, which falls strictly with y
and weighs little: goals that can be met come first.

On the command line a target is written as ``absorption=0.65±0.001, phase_fraction=0.3..0.4``, ``C11>=30`` or
``max absorption``; ``+-`` stands for ``±``, a tolerance may be a percentage, and a bare number means the solver's
first property. Long targets come from a TOML file with one table per property.
"""

from __future__ import annotations

import builtins
import math
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from microwright.errors import InputError

#: the property of the structure itself, known without a solver
PHASE_FRACTION = "phase_fraction"

#: relative tolerance of a wanted value that names none
DEFAULT_TOLERANCE = 1e-3

#: weight of an extreme beside goals that can be met
EXTREME_WEIGHT = 1e-2


class Kind(StrEnum):
    """What a goal asks of its property."""

    VALUE = "value"
    RANGE = "range"
    AT_LEAST = "at_least"
    AT_MOST = "at_most"
    MAXIMISE = "maximise"
    MINIMISE = "minimise"


@dataclass(frozen=True)
class Goal:
    """What is asked of one property, in that property's unit.

    Attributes:
        property: its name, for instance ``"absorption"``.
        kind: which question is asked; it decides which of the numbers below are used.
        value: the wanted value (``VALUE``).
        low: lowest accepted value (``RANGE``, ``AT_LEAST``).
        high: highest accepted value (``RANGE``, ``AT_MOST``).
        tolerance: accepted distance from ``value`` or beyond a bound; ``None``: 0.1 % of a value, nothing beyond a
            bound.
    """

    property: str
    kind: Kind = Kind.VALUE
    value: float | None = None
    low: float | None = None
    high: float | None = None
    tolerance: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", Kind(self.kind))
        for name in _NUMBERS[self.kind]:
            _check_number(self, name)
        if self.tolerance is not None and not (math.isfinite(self.tolerance) and self.tolerance >= 0):
            raise InputError(f"target {self.property}: tolerance {self.tolerance} must be a number of at least 0")
        if self.kind is Kind.RANGE and self.low > self.high:  # type: ignore[operator]
            raise InputError(
                f"target {self.property}: the range {self.low:g}..{self.high:g} is empty; write the lower bound first"
            )
        if self.property == PHASE_FRACTION:
            _check_fraction(self)

    @builtins.property
    def accepted(self) -> tuple[float, float]:
        """Interval of accepted values, the tolerance included; infinite where nothing bounds it."""
        margin = self.margin
        low, high = self._bounds()
        return low - margin, high + margin

    @builtins.property
    def margin(self) -> float:
        """The tolerance, or its default where none was given."""
        if self.tolerance is not None:
            return self.tolerance
        return DEFAULT_TOLERANCE * abs(self.value or 0.0) if self.kind is Kind.VALUE else 0.0

    @builtins.property
    def bounded(self) -> bool:
        """Whether the goal can be met, rather than only approached."""
        return self.kind not in (Kind.MAXIMISE, Kind.MINIMISE)

    @builtins.property
    def scale(self) -> float:
        """Magnitude that makes gaps relative: |value|, or the larger finite bound; 1 where that is zero."""
        finite = [abs(bound) for bound in self._bounds() if math.isfinite(bound)]
        return max(finite, default=1.0) or 1.0

    def gap(self, values: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Relative distance from the nearest accepted value (see the module's docstring); 0 where none is missing."""
        if not self.bounded:
            wanted = values if self.kind is Kind.MAXIMISE else -values
            return EXTREME_WEIGHT * (1 - wanted / (1 + wanted.abs()))
        low, high = self._bounds()
        return (values - values.clamp(low, high)).abs() / self.scale

    def met(
        self, values: Float[Tensor, "*batch"], bars: Float[Tensor, "*batch"] | float = 0.0
    ) -> Bool[Tensor, "*batch"]:
        """Whether the whole interval ``values ± bars`` is accepted; an unknown (NaN) bar counts as none."""
        low, high = self.accepted
        half = torch.nan_to_num(torch.as_tensor(bars, dtype=values.dtype))
        slack = 1e-9 * self.scale  # what rounding leaves of a bound that was met exactly
        return (values - half >= low - slack) & (values + half <= high + slack)

    def _bounds(self) -> tuple[float, float]:
        if self.kind is Kind.VALUE:
            assert self.value is not None
            return self.value, self.value
        return (
            -math.inf if self.low is None else self.low,
            math.inf if self.high is None else self.high,
        )

    def __str__(self) -> str:
        tolerance = "" if self.tolerance is None else f"±{self.tolerance:g}"
        return {
            Kind.VALUE: lambda: f"{self.property}={self.value:g}{tolerance}",
            Kind.RANGE: lambda: f"{self.property}={self.low:g}..{self.high:g}",
            Kind.AT_LEAST: lambda: f"{self.property}>={self.low:g}",
            Kind.AT_MOST: lambda: f"{self.property}<={self.high:g}",
            Kind.MAXIMISE: lambda: f"max {self.property}",
            Kind.MINIMISE: lambda: f"min {self.property}",
        }[self.kind]()

    def spec(self) -> dict[str, Any]:
        """The goal as JSON; ``Goal(**spec)`` inverts it."""
        fields = ("property", "kind", "value", "low", "high", "tolerance")
        return {name: getattr(self, name) for name in fields if getattr(self, name) is not None}


_NUMBERS: dict[Kind, tuple[str, ...]] = {
    Kind.VALUE: ("value",),
    Kind.RANGE: ("low", "high"),
    Kind.AT_LEAST: ("low",),
    Kind.AT_MOST: ("high",),
    Kind.MAXIMISE: (),
    Kind.MINIMISE: (),
}


@dataclass(frozen=True)
class Target:
    """Goals that one structure must meet together; at most one goal per property.

    Raises:
        InputError: no goal, or goals of one property that exclude each other.
    """

    goals: tuple[Goal, ...]

    def __post_init__(self) -> None:
        if not self.goals:
            raise InputError("target: empty; name at least one property, for instance absorption=0.65")
        object.__setattr__(self, "goals", _merged(self.goals))

    @property
    def properties(self) -> tuple[str, ...]:
        return tuple(goal.property for goal in self.goals)

    @property
    def bounded(self) -> bool:
        """Whether all goals can be met, so that a misfit of 0 can be had."""
        return all(goal.bounded for goal in self.goals)

    def __str__(self) -> str:
        return ", ".join(map(str, self.goals))

    def __getitem__(self, name: str) -> Goal:
        return next(goal for goal in self.goals if goal.property == name)

    def spec(self) -> list[dict[str, Any]]:
        """The goals as JSON; ``Target.from_spec`` inverts it."""
        return [goal.spec() for goal in self.goals]

    @staticmethod
    def from_spec(spec: Sequence[dict[str, Any]]) -> Target:
        return Target(tuple(Goal(**goal) for goal in spec))

    @staticmethod
    def value(name: str, value: float, tolerance: float | None = None) -> Target:
        """The commonest target: one property, one value."""
        return Target((Goal(name, Kind.VALUE, value=value, tolerance=tolerance),))

    def gaps(self, values: Float[Tensor, "*batch goals"]) -> Float[Tensor, "*batch goals"]:
        """Relative gap of every goal; the last axis runs over the goals."""
        return torch.stack([goal.gap(values[..., index]) for index, goal in enumerate(self.goals)], dim=-1)

    def misfit(self, values: Float[Tensor, "*batch goals"]) -> Float[Tensor, "*batch"]:
        """Root of the summed squares of the gaps; of a single wanted value, its relative error."""
        return self.gaps(values).square().sum(-1).sqrt()

    def met(
        self, values: Float[Tensor, "*batch goals"], bars: Float[Tensor, "*batch goals"] | None = None
    ) -> Bool[Tensor, "*batch"]:
        """Whether every goal that can be met is met by the whole of ``values ± bars``."""
        half = torch.zeros_like(values) if bars is None else bars
        met = [goal.met(values[..., i], half[..., i]) for i, goal in enumerate(self.goals) if goal.bounded]
        return torch.stack([*met, torch.ones(values.shape[:-1], dtype=torch.bool, device=values.device)]).all(0)

    def verdicts(self, values: Float[Tensor, "batch goals"], bars: Float[Tensor, "batch goals"]) -> list[str]:
        """For each structure ``"met"``, ``"missed"``, or met by the value while its bar is too wide to be sure."""
        sure, central = self.met(values, bars), self.met(values)
        return [_verdict(bool(a), bool(b)) for a, b in zip(sure, central, strict=True)]

    def narrowest_tolerance(self, name: str) -> float | None:
        """The asked tolerance of a property, where one was given."""
        return self[name].tolerance

    def check_known(self, names: Sequence[str]) -> None:
        """Refuse goals for properties that nothing computes.

        Raises:
            InputError: a property outside ``names``.
        """
        unknown = [name for name in self.properties if name not in names]
        if unknown:
            raise InputError(f"target: unknown property {', '.join(unknown)}; known here: {', '.join(names)}")

    def check_precision(self, precision: float) -> None:
        """Refuse tolerances that the solver's rounding (absolute, in the property's unit) cannot tell.

        Raises:
            InputError: an asked tolerance below ``precision``.
        """
        for goal in self.goals:
            if goal.property != PHASE_FRACTION and goal.tolerance is not None and goal.tolerance < precision:
                raise InputError(
                    f"target {goal.property}: tolerance {goal.tolerance:g} is below the solver's precision of "
                    f"{precision:g}; ask for {precision:g} or more, or for double precision"
                )


def residual_error_percentage(values: Float[Tensor, "*batch"], wanted: float) -> Float[Tensor, "*batch"]:
    """REP = |y − y*| / |y*| · 100, as the papers report it."""
    return (values - wanted).abs() / abs(wanted) * 100


def parse_target(text: str, default_property: str) -> Target:
    """The target written as ``text``: goals separated by commas, or the name of a TOML file.

    Args:
        text: for instance ``"0.65"``, ``"absorption=0.65±0.001, phase_fraction=0.3..0.4"``, ``"C11>=30"``, ``"max
            absorption"``.
        default_property: what a bare number means.

    Raises:
        InputError: text that is no target, numbers that are not finite, or goals that exclude each other.
    """
    if text.strip().endswith(".toml"):
        return read_target(Path(text.strip()))
    items = [item.strip() for item in text.split(",") if item.strip()]
    return Target(tuple(_parse_goal(item, default_property) for item in items))


def read_target(path: Path) -> Target:
    """The target in a TOML file: one table per property with ``value``, ``tolerance``, ``low``, ``high``,
    ``maximise = true`` or ``minimise = true``. A table ``constraints`` is left to ``Constraints``.

    Raises:
        InputError: no such file, no TOML, or unknown keys.
    """
    tables = read_toml(path)
    return Target(tuple(_goal_of_table(path, name, table) for name, table in tables.items() if name != "constraints"))


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises:
        InputError: no such file, or no TOML.
    """
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise InputError(f"target file {path}: {error.strerror}; check the name") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"target file {path}: no TOML ({error}); write one table per property") from error


_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|nan|[-+]?inf"
_NAME = r"[A-Za-z_]\w*(?::\w+)?"
_VALUE = re.compile(rf"(?:({_NAME})\s*=\s*)?({_NUMBER})(?:\s*(?:±|\+-|\+/-)\s*({_NUMBER})\s*(%?))?", re.IGNORECASE)
_RANGE = re.compile(rf"(?:({_NAME})\s*=\s*)?({_NUMBER})\s*\.\.\s*({_NUMBER})", re.IGNORECASE)
_BOUND = re.compile(rf"({_NAME})\s*(>=|<=|≥|≤)\s*({_NUMBER})", re.IGNORECASE)
_EXTREME = re.compile(rf"(maximise|minimise|maximize|minimize|max|min)\s+({_NAME})")


def _parse_goal(item: str, default_property: str) -> Goal:
    # ".." before "value": the regular expression of a number would take the first dot of "0.3..0.4"
    text = re.sub(r"(\d)\.\.", r"\1 ..", item)
    if match := _EXTREME.fullmatch(text):
        return Goal(match[2], Kind.MAXIMISE if match[1].startswith("max") else Kind.MINIMISE)
    if match := _BOUND.fullmatch(text):
        return _bound(match[1], match[2], float(match[3]))
    if match := _RANGE.fullmatch(text):
        return Goal(match[1] or default_property, Kind.RANGE, low=float(match[2]), high=float(match[3]))
    if match := _VALUE.fullmatch(text):
        return _wanted(match[1] or default_property, float(match[2]), match[3], match[4])
    raise InputError(
        f"target {item!r}: not understood; write for instance 0.65, absorption=0.65±0.001, "
        "phase_fraction=0.3..0.4, C11>=30 or 'max absorption'"
    )


def _wanted(name: str, value: float, tolerance: str | None, percent: str | None) -> Goal:
    if tolerance is None:
        return Goal(name, Kind.VALUE, value=value)
    factor = abs(value) / 100 if percent else 1.0
    return Goal(name, Kind.VALUE, value=value, tolerance=float(tolerance) * factor)


def _bound(name: str, sign: str, number: float) -> Goal:
    if sign in (">=", "≥"):
        return Goal(name, Kind.AT_LEAST, low=number)
    return Goal(name, Kind.AT_MOST, high=number)


def _goal_of_table(path: Path, name: str, table: Any) -> Goal:
    known = {"value", "tolerance", "low", "high", "maximise", "minimise"}
    if isinstance(table, int | float):
        table = {"value": table}
    if not isinstance(table, dict) or set(table) - known:
        raise InputError(f"target file {path}: table {name} may hold {', '.join(sorted(known))} only")
    numbers = {key: float(table[key]) for key in ("value", "low", "high", "tolerance") if key in table}
    return Goal(name, _kind_of_table(path, name, table), **numbers)


def _kind_of_table(path: Path, name: str, table: dict[str, Any]) -> Kind:
    for kind in (Kind.MAXIMISE, Kind.MINIMISE):
        if table.get(kind.value):
            return kind
    present = tuple(key for key in ("value", "low", "high") if key in table)
    kinds = {("value",): Kind.VALUE, ("low", "high"): Kind.RANGE, ("low",): Kind.AT_LEAST, ("high",): Kind.AT_MOST}
    if present not in kinds:
        raise InputError(f"target file {path}: table {name} needs either value, or low and/or high, or maximise")
    return kinds[present]


def _verdict(sure: bool, central: bool) -> str:
    if sure:
        return "met"
    return "met, bar wider than tolerance" if central else "missed"


def _check_number(goal: Goal, name: str) -> None:
    number = getattr(goal, name)
    if number is None or not math.isfinite(number):
        raise InputError(f"target {goal.property}: {name} is {number}; give a finite number")


def _check_fraction(goal: Goal) -> None:
    low, high = goal._bounds()
    if low > 1 or high < 0 or (goal.kind is Kind.VALUE and not 0 <= low <= 1):
        raise InputError(f"target {goal}: a phase fraction lies in [0, 1]; give it as a fraction, not in percent")


def _merged(goals: tuple[Goal, ...]) -> tuple[Goal, ...]:
    merged: dict[str, Goal] = {}
    for goal in goals:
        merged[goal.property] = _both(merged[goal.property], goal) if goal.property in merged else goal
    return tuple(merged.values())


def _both(first: Goal, second: Goal) -> Goal:
    """One goal that asks what two goals of the same property ask."""
    if first == second:
        return first
    if not (first.bounded and second.bounded):
        raise InputError(f"target: '{first}' and '{second}' ask different things of {first.property}; keep one")
    low = max(first._bounds()[0], second._bounds()[0])
    high = min(first._bounds()[1], second._bounds()[1])
    if low > high:
        raise InputError(f"target: '{first}' and '{second}' exclude each other; no {first.property} meets both")
    tolerance = next((goal.tolerance for goal in (first, second) if goal.tolerance is not None), None)
    if low == high:
        return Goal(first.property, Kind.VALUE, value=low, tolerance=tolerance)
    return Goal(first.property, Kind.RANGE, low=low, high=high, tolerance=tolerance)
