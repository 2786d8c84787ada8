r"""Values that two engines vouch for: raise the effort until the error bar is narrow enough, or say that it is not.

*Within the staggered engine.* On p = 1, 2, 3 points per pixel the mean m_p of the two dual grids is extrapolated,

.. math:: m_\infty = m_3 + (m_3 - m_2)\frac{3^{-k}}{2^{-k} - 3^{-k}}, \qquad
          \frac{m_2 - m_1}{m_3 - m_2} = \frac{1 - 2^{-k}}{2^{-k} - 3^{-k}},

with the observed order k held between 1 and 2 (the fields' singularities at pixel corners make it less than the grid's
order 2; for the roughest corners, where two pixels touch, a static field has 2t = (8/π) arctan √(ε₁/ε₂)). The bar is
the size of what was extrapolated, plus a share of half the difference of the two grids, whose leading errors are
opposite, plus what the iteration leaves.

*Within the dense engine* (Li's rules) the bar is the larger of the last step of N and, on top of a floor that falls
with the number of orders along an axis, a share of what Laurent's rule differs by.

*Between them*: where the values differ by more than both bars, both engines go finer; if they still differ at the end,
the bar covers both. Where the staggered engine does not converge, the dense one's value and bar stand.

The shares are calibrated, not proved: ``results/optics-certified-*.json`` has the measured coverage.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from microwright.errors import InputError
from microwright.physics.optics.cell import OpticalCell, PatternedLayer
from microwright.physics.optics.rcwa import RcwaNumerics, RcwaSolver
from microwright.physics.optics.staggered import (
    GAP_SHARE,
    ITERATION_SHARE,
    PROPERTIES,
    StaggeredNumerics,
    StaggeredSolver,
)
from microwright.physics.property import Solution, Solver, Status, check_structures

#: share of the difference between Laurent's and Li's rules that the error of Li's may reach
FORMULATION_SHARE = 0.25
#: error of Li's rules times √N over the difference of the two permittivities, where no step of N shows it
FORMULATION_FLOOR = 0.032


@dataclass(frozen=True)
class Effort:
    """How far certification may go.

    Attributes:
        points_per_pixel: grids of the staggered engine, in this order; any beginning of 1, 2, 3.
        harmonics: Fourier orders of the dense engine, in this order; those that the pixels do not carry are left out.
        staggered: its further numerics.
        dense: its further numerics.
    """

    points_per_pixel: tuple[int, ...] = (1, 2, 3)
    harmonics: tuple[int, ...] = (49, 121, 225, 361, 529)
    staggered: StaggeredNumerics = field(default_factory=StaggeredNumerics)
    dense: RcwaNumerics = field(default_factory=RcwaNumerics)

    def __post_init__(self) -> None:
        if self.points_per_pixel not in ((1,), (1, 2), (1, 2, 3)):
            raise InputError(f"points_per_pixel: {self.points_per_pixel!r} is no beginning of (1, 2, 3)")
        if not self.harmonics or list(self.harmonics) != sorted(set(self.harmonics)):
            raise InputError(f"harmonics: {self.harmonics!r} must rise; give for instance (49, 121, 225)")


@dataclass(frozen=True)
class Estimate:
    """A value and the half-width of its error bar."""

    value: Float[Tensor, "batch properties"]
    bar: Float[Tensor, "batch properties"]


def certify(
    cell: OpticalCell,
    properties: tuple[str, ...],
    structures: Float[Tensor, "batch x y"],
    tolerance: float,
    effort: Effort = Effort(),
) -> Solution:
    """Properties whose error bar is at most ``tolerance`` where that can be had; otherwise the bar reached.

    Args:
        cell: the physics, with one patterned layer.
        properties: ``"absorption"``, ``"reflectance"``, ``"transmittance"``.
        structures: values in [0, 1].
        tolerance: wanted half-width of the bars.
        effort: how far to go.

    Returns:
        Values without gradient; status ``NOT_CONVERGED`` where the bar stayed wider than the tolerance.

    Raises:
        InputError: a tolerance that is not positive, bad structures, a cell that the staggered engine does not take.
    """
    if not tolerance > 0:
        raise InputError(f"tolerance: must be above 0, got {tolerance!r}; give the wanted half-width of the error bars")
    check_structures(structures, 2)
    carried = tuple(n for n in effort.harmonics if n <= structures.shape[-1] ** 2)
    ladder = _Ladder(cell, properties, replace(effort, harmonics=carried or effort.harmonics[:1]), structures.shape[-1])
    with torch.no_grad():
        return ladder.climb(structures, tolerance, ladder.start(structures))


def certifiable(cell: OpticalCell, properties: tuple[str, ...]) -> bool:
    """Whether the second engine has these properties of this cell."""
    return len(cell.patterned) == 1 and cell.channels == 1 and set(properties) <= set(PROPERTIES)


def observed_order(
    one: Float[Tensor, "*batch"], two: Float[Tensor, "*batch"], three: Float[Tensor, "*batch"]
) -> Float[Tensor, "*batch"]:
    """k of values that err by C p^−k on p = 1, 2, 3 points per pixel, between 1 and 2; 1 where they show no order."""
    ratio = (two - one) / (three - two)
    order = torch.linspace(1, 2, 101, dtype=torch.float64, device=ratio.device)
    predicted = (1 - 2**-order) / (2**-order - 3**-order)
    # the ratio rises with the order, from 3 to 5.4
    index = torch.searchsorted(predicted, ratio.nan_to_num(0.0, 0.0, 0.0).to(torch.float64).contiguous())
    return order[index.clamp(max=len(order) - 1)]


def extrapolate(values: list[Float[Tensor, "*batch"]]) -> tuple[Tensor, Tensor]:
    """The limit of values on 1, 2 (, 3) points per pixel, and how far from the last one it may lie.

    Of two values the order is unknown: the limit is put between those of orders 1 and 2, and its error is the whole
    last step.
    """
    if len(values) == 2:
        step = values[1] - values[0]
        return values[1] + step * 2 / 3, step.abs()
    order = observed_order(*values)
    correction = (values[2] - values[1]) * 3**-order / (2**-order - 3**-order)
    return values[2] + correction, correction.abs()


def dense_estimate(
    cell: OpticalCell,
    properties: tuple[str, ...],
    structures: Float[Tensor, "batch x y"],
    numerics: RcwaNumerics = RcwaNumerics(harmonics=121),
) -> Estimate:
    """What the fast engine gives, with a bar by a coarser run (0.41 N) and by Laurent's rule.

    The value carries gradient, the bar does not. About twice the cost of the plain value.

    Raises:
        InputError: as ``RcwaSolver``.
    """
    fine = _dense(cell, properties, numerics, "li").solve(structures).values
    with torch.no_grad():
        fewer = replace(numerics, harmonics=max(1, round(0.41 * numerics.harmonics)))
        coarse = _dense(cell, properties, fewer, "li").solve(structures).values
        laurent = _dense(cell, properties, numerics, "laurent").solve(structures).values
    return Estimate(fine, dense_bar(cell, numerics.harmonics, [coarse, fine.detach()], laurent))


def _dense(cell: OpticalCell, properties: tuple[str, ...], numerics: RcwaNumerics, formulation: str) -> RcwaSolver:
    return RcwaSolver(cell, replace(numerics, formulation=formulation), properties)  # type: ignore[arg-type]


def dense_bar(
    cell: OpticalCell,
    harmonics: int,
    li: list[Float[Tensor, "batch properties"]],
    laurent: Float[Tensor, "batch properties"],
) -> Float[Tensor, "batch properties"]:
    """Error bar of a value of the dense engine, calibrated on the default cell.

    Args:
        cell: the physics.
        harmonics: N of the value.
        li: values by Li's rules at rising N, the last of them at ``harmonics``.
        laurent: the value by Laurent's rule at ``harmonics``.
    """
    layers = [layer for layer in cell.layers if isinstance(layer, PatternedLayer)]
    contrast = max((abs(layer.index_high**2 - layer.index_low**2) for layer in layers), default=0.0)
    floor = FORMULATION_FLOOR * contrast / harmonics**0.5
    bar = floor + FORMULATION_SHARE * (li[-1] - laurent).abs()
    return torch.maximum(bar, (li[-1] - li[-2]).abs()) if len(li) > 1 else bar


@dataclass(frozen=True)
class _History:
    """What is known of a batch of structures.

    Attributes:
        means: mean of the dual grids, per grid.
        halves: half their difference, per grid.
        solved: whether every linear system converged.
        li: values of the dense engine, per N.
        laurent: the same by Laurent's rule, at the last N.
        residual: largest so far.
        iterations: total so far.
    """

    means: list[Tensor]
    halves: list[Tensor]
    solved: Bool[Tensor, "batch"]
    li: list[Tensor]
    laurent: Tensor
    residual: Float[Tensor, "batch"]
    iterations: Int[Tensor, "batch"]

    def __getitem__(self, chosen: Bool[Tensor, "batch"]) -> _History:
        return _History(
            [m[chosen] for m in self.means],
            [h[chosen] for h in self.halves],
            self.solved[chosen],
            [v[chosen] for v in self.li],
            self.laurent[chosen],
            self.residual[chosen],
            self.iterations[chosen],
        )


@dataclass(frozen=True)
class _Ladder:
    """Two engines on one cell, and how much finer each may become."""

    cell: OpticalCell
    properties: tuple[str, ...]
    effort: Effort
    pixels: int

    def start(self, structures: Tensor) -> _History:
        batch, properties = len(structures), len(self.properties)
        nothing = torch.zeros(batch, dtype=torch.int64, device=structures.device)
        empty = torch.empty(batch, properties, device=structures.device)
        history = _History([], [], nothing == 0, [], empty, nothing.double(), nothing)
        history = self._finer_grid(structures, history)
        for _ in range(min(2, len(self.effort.harmonics))):
            history = self._more_harmonics(structures, history)
        return history

    def climb(self, structures: Tensor, tolerance: float, history: _History) -> Solution:
        """Judge, and go finer where the bar is too wide: on the grid where the engines agree, else in both."""
        grid, dense = self._grid_estimate(history), self._dense_estimate(history)
        agree = ((grid.value - dense.value).abs() <= grid.bar + dense.bar).all(1) & history.solved
        solution = _judged(grid, dense, agree, history, tolerance)
        short = solution.status != Status.CONVERGED
        for chosen, further in ((short & agree, self._finer_grid), (short & ~agree, self._finer)):
            if bool(chosen.any()):
                known = history[chosen]
                new = further(structures[chosen], known)
                if new is not known:
                    solution = _replaced(solution, chosen, self.climb(structures[chosen], tolerance, new))
        return solution

    def _finer(self, structures: Tensor, history: _History) -> _History:
        if bool(history.solved.all()):
            history = self._finer_grid(structures, history)
        return self._more_harmonics(structures, history)

    def _finer_grid(self, structures: Tensor, history: _History) -> _History:
        if len(history.means) == len(self.effort.points_per_pixel):
            return history
        points = self.effort.points_per_pixel[len(history.means)]
        grids = self._dual_grids(points, structures)
        values = [g.values for g in grids]
        return replace(
            history,
            means=[*history.means, (values[0] + values[1]) / 2],
            halves=[*history.halves, (values[0] - values[1]).abs() / 2],
            solved=history.solved & torch.stack([g.status == Status.CONVERGED for g in grids]).all(0),
            residual=torch.stack([history.residual, *(g.residual.to(history.residual) for g in grids)]).amax(0),
            iterations=history.iterations + sum(g.iterations for g in grids),
        )

    def _dual_grids(self, points: int, structures: Tensor) -> list[Solution]:
        """Solutions on both grids; one thread for each where there are two cores, as a solve by itself fills one."""
        solvers = [self._staggered(points, placement) for placement in ("centres", "vertices")]
        if structures.device.type != "cpu" or torch.get_num_threads() == 1:
            return [solver.solve(structures) for solver in solvers]
        with ThreadPoolExecutor(len(solvers)) as threads:
            return list(threads.map(lambda solver: _without_gradient(solver, structures), solvers))

    def _staggered(self, points: int, placement: str) -> StaggeredSolver:
        numerics = replace(self.effort.staggered, points_per_pixel=points, placement=placement)  # type: ignore[arg-type]
        return StaggeredSolver(self.cell, numerics, self.properties)

    def _more_harmonics(self, structures: Tensor, history: _History) -> _History:
        if len(history.li) == len(self.effort.harmonics):
            return history
        numerics = replace(self.effort.dense, harmonics=self.effort.harmonics[len(history.li)])
        li, laurent = (
            _dense(self.cell, self.properties, numerics, formulation).solve(structures).values
            for formulation in ("li", "laurent")
        )
        return replace(history, li=[*history.li, li], laurent=laurent)

    def _grid_estimate(self, history: _History) -> Estimate:
        iteration = ITERATION_SHARE * self.effort.staggered.tolerance
        share = GAP_SHARE * history.halves[-1] + iteration
        if len(history.means) == 1:
            return Estimate(history.means[0], share + self._staggered(1, "both").dispersion_error(self.pixels))
        value, bar = extrapolate(history.means)
        return Estimate(value, bar + share)

    def _dense_estimate(self, history: _History) -> Estimate:
        harmonics = self.effort.harmonics[len(history.li) - 1]
        return Estimate(history.li[-1], dense_bar(self.cell, harmonics, history.li, history.laurent))


@torch.no_grad()
def _without_gradient(solver: Solver, structures: Tensor) -> Solution:
    """A solve in a thread of its own, which does not know that its caller needs no gradient."""
    return solver.solve(structures)


def _judged(grid: Estimate, dense: Estimate, agree: Tensor, history: _History, tolerance: float) -> Solution:
    solved = history.solved[:, None]
    together = torch.where(agree[:, None], grid.bar, torch.maximum(grid.bar, (grid.value - dense.value).abs()))
    bar = torch.where(solved, together, dense.bar)
    narrow = (bar <= tolerance).all(1)
    return Solution(
        values=torch.where(solved, grid.value, dense.value),
        error_bar=bar,
        status=torch.where(narrow, int(Status.CONVERGED), int(Status.NOT_CONVERGED)),
        residual=history.residual,
        iterations=history.iterations,
    )


def _replaced(solution: Solution, chosen: Tensor, better: Solution) -> Solution:
    """``solution`` with the chosen structures' entries from ``better``."""
    names = ("values", "error_bar", "status", "residual", "iterations")
    return Solution(**{n: getattr(solution, n).index_put((chosen,), getattr(better, n)) for n in names})
