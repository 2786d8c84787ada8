r"""The one transcendental function of a layer, :math:`y \coth y`, as a rational function of a matrix.

A mirror-symmetric layer of thickness d whose field obeys :math:`E'' = X E` enters only through
:math:`C = \Omega \coth(\Omega h)`, :math:`\Omega^2 = X`, :math:`h = d/2`. The function
:math:`f(Y) = (\sqrt Y \coth\sqrt Y - 1)/Y = \sum_k 2/(Y + k^2\pi^2)` is a Stieltjes function, so that its best rational
approximants have real poles :math:`-p_k < -\pi^2` and positive weights: with :math:`Y = h^2 X`,

.. math:: h\,C \approx 1 + w_0 Y + \sum_k w_k \left(1 - p_k (Y + p_k)^{-1}\right),

one inverse per pole, every one of a matrix whose Hermitian part is positive. Poles and weights are fitted to the
interval that holds the spectrum (adaptive Antoulas-Anderson algorithm: Y. Nakatsukasa, O. Sète, L. N. Trefethen, SIAM
J. Sci. Comput. 40, A1494 (2018)); three poles give single precision where a Padé approximant at 0 with doublings
takes several times the work. Thick layers are halved s times first and doubled back by
:math:`\coth 2y = (\coth y + \tanh y)/2`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.linalg

#: largest admitted −Y where the spectrum must stay clear of the first pole at −π²
_FARTHEST = 7.0
#: the same where the first pole is kept exactly, and the second, at −4π², is the nearest that is not
_FARTHEST_BEYOND = 28.0
_FIRST_POLE = math.pi**2
_MOST_POLES = 8


@dataclass(frozen=True)
class CothRational:
    """Coefficients of the approximation and how far it is from the function.

    Attributes:
        constant: w₀.
        weights: w_k > 0.
        poles: p_k > π²; the first is π² itself if ``beyond``.
        halvings: s; the coefficients belong to the argument h / 2ˢ.
        error: largest relative error of y coth y on the interval.
        beyond: whether the interval reaches over the first pole, which is then exact; a matrix with an eigenvalue next
        to
            it needs halvings instead.
    """

    constant: float
    weights: tuple[float, ...]
    poles: tuple[float, ...]
    halvings: int
    error: float
    beyond: bool = False


def coth_rational(negative: float, positive: float, tolerance: float, beyond: bool = False) -> CothRational:
    """The cheapest approximation of y coth y for −negative ≤ y² ≤ positive with relative error below ``tolerance``.

    The bounds are rounded up, so that neighbouring problems share one approximation. ``beyond`` permits an interval
    that reaches over the first pole; it saves halvings.
    """
    if beyond and _FARTHEST < negative <= _FARTHEST_BEYOND:
        return _fitted(_rounded(negative), _rounded(positive), tolerance, 0, beyond=True)
    halvings = max(0, math.ceil(math.log(max(negative, 1e-9) / _FARTHEST, 4)))
    scale = 4.0**halvings
    below = min(_rounded(negative / scale), _FARTHEST)
    return _fitted(below, _rounded(positive / scale), tolerance, halvings, beyond=False)


def _rounded(bound: float) -> float:
    """The next power of the fourth root of 2, at least 1/4."""
    return 2.0 ** (math.ceil(4 * math.log2(max(bound, 0.25))) / 4)


@lru_cache(maxsize=256)
def _fitted(negative: float, positive: float, tolerance: float, halvings: int, beyond: bool) -> CothRational:
    best: CothRational | None = None
    for count in range(1, _MOST_POLES + 1):
        candidate = _fit(negative, positive, count, halvings, ((_FIRST_POLE, 2.0),) if beyond else ())
        if candidate is not None and (best is None or candidate.error < best.error):
            best = candidate
        if best is not None and best.error < tolerance:
            break
    assert best is not None  # one pole always fits
    return best


def _fit(
    negative: float, positive: float, count: int, halvings: int, kept: tuple[tuple[float, float], ...]
) -> CothRational | None:
    """The approximation with ``count`` poles beside those ``kept``; None where rounding spoils the fit."""
    points = np.concatenate([np.linspace(-negative, 1, 400), np.geomspace(1, positive + 1, 600)[1:]])
    points = points[np.abs(points + _FIRST_POLE) > 0.05]
    values = stieltjes(points)
    rest = values - sum(weight / (points + pole) for pole, weight in kept)
    poles = -_aaa_poles(points, rest, count)
    if len(poles) != count or np.abs(poles.imag).max() > 1e-6 * np.abs(poles).max() or poles.real.min() <= negative:
        return None
    poles = np.sort(poles.real)
    scale = points / np.maximum(np.abs(1 + points * values), 1)
    basis = np.column_stack([np.ones_like(points), 1 / (points[:, None] + poles)])
    fitted = np.linalg.lstsq(basis * scale[:, None], rest * scale, rcond=None)[0]
    error = float(np.abs((basis @ fitted - rest) * scale).max())
    weights = (*(weight for _, weight in kept), *fitted[1:].tolist())
    return CothRational(
        float(fitted[0]), weights, (*(pole for pole, _ in kept), *poles.tolist()), halvings, error, bool(kept)
    )


def stieltjes(y: np.ndarray) -> np.ndarray:
    """f(Y) = (√Y coth √Y − 1)/Y for real Y > −π²."""
    series = [1 / 3, -1 / 45, 2 / 945, -1 / 4725, 2 / 93555, -1382 / 638512875, 4 / 18243225]
    small = np.abs(y) < 0.05
    root = np.sqrt(np.where(small, 1.0, y).astype(complex))
    return np.where(small, np.polynomial.polynomial.polyval(y, series), ((root / np.tanh(root) - 1) / root**2).real)


def _aaa_poles(points: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    """Poles of the barycentric interpolant in count + 1 greedily chosen points."""
    free = np.ones(len(points), dtype=bool)
    error = np.abs(values - values.mean())
    support: list[int] = []
    for _ in range(count + 1):
        support.append(int(np.argmax(np.where(free, error, -1.0))))
        free[support[-1]] = False
        cauchy = 1 / (points[free, None] - points[support])
        loewner = values[free, None] * cauchy - cauchy * values[support]
        weights = np.linalg.svd(loewner, full_matrices=False)[2][-1]
        error[free] = np.abs(values[free] - cauchy @ (weights * values[support]) / (cauchy @ weights))
    pencil = np.diag(np.concatenate([[0.0], points[support]]))
    pencil[0, 1:], pencil[1:, 0] = weights, 1.0
    metric = np.diag(np.concatenate([[0.0], np.ones(count + 1)]))
    poles = scipy.linalg.eigvals(pencil, metric)
    return poles[np.isfinite(poles) & (np.abs(poles) < 1e12)]
