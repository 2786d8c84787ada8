r"""How far a value of the dense engine may be from the exact one, known before anything is refined.

A truncated Fourier series cannot follow sharp pixels. What is lost was measured to follow

.. math:: |a_N - a| \le c \, |\Delta\varepsilon| \, 2\sigma \, N^{-s} \, \min(1, k_0 d),

with the difference of the phases' permittivities Δε, the standard deviation σ of the pattern (2σ = 1 for equal shares
of two phases, 0 for a uniform layer, which is exact), the number of harmonics N and the layer's optical thickness k₀d.
Under Li's rules s = 1/2 and c = 0.08 from N = 121 on, more below; under Laurent's rule s = 1/4 only. Shares of several
layers add up. The constants are calibrated, not proved: ``results/optics-certified-*.json`` has the measured coverage,
on structures that they were not calibrated on. ``certify`` and ``dense_estimate`` give narrower bars for more work.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from microwright.physics.optics.cell import OpticalCell, PatternedLayer
from microwright.physics.optics.evaluation import SINGLE_TOLERANCE, Term
from microwright.physics.optics.numerics import RcwaNumerics

#: c of Li's rules where they have settled
LI_SHARE = 0.08
#: N from which they have
LI_SETTLED = 121
#: c below that grows up to so much
LI_LARGEST = 0.2
#: c of Laurent's rule
LAURENT_SHARE = 0.1


def error_bars(
    terms: Sequence[Term], patterns: Float[Tensor, "batch channels x y"]
) -> Float[Tensor, "batch properties"]:
    """Half-widths of the error bars of ``evaluate(terms, patterns)``; without gradient."""
    spread = 2 * patterns.detach().double().flatten(2).std(dim=2, correction=0)
    return torch.stack([_of_term(term, spread) for term in terms]).sum(0)


def _of_term(term: Term, spread: Float[Tensor, "batch channels"]) -> Float[Tensor, "batch properties"]:
    counts = term.weights.abs().amax(dim=1).to(spread)
    return _of_cell(term.problem.cell, term.problem.numerics, spread)[:, None] * counts


def _of_cell(
    cell: OpticalCell, numerics: RcwaNumerics, spread: Float[Tensor, "batch channels"]
) -> Float[Tensor, "batch"]:
    rounding = SINGLE_TOLERANCE if numerics.precision == "single" else 1e-9
    layers = [layer for layer in cell.layers if isinstance(layer, PatternedLayer)]
    truncation = truncation_share(numerics)
    shares = [truncation * _strength(layer, cell.wavelength_nm) * spread[:, layer.channel] for layer in layers]
    return torch.stack([torch.full_like(spread[:, 0], rounding), *shares]).sum(0)


def truncation_share(numerics: RcwaNumerics) -> float:
    """c N^−s of the module's formula."""
    harmonics = len(numerics.orders)
    if numerics.formulation == "laurent":
        return LAURENT_SHARE * harmonics**-0.25
    return min(LI_SHARE * max(1.0, LI_SETTLED / harmonics), LI_LARGEST) * harmonics**-0.5


def _strength(layer: PatternedLayer, wavelength_nm: float) -> float:
    """|Δε| min(1, k₀d)."""
    contrast = abs(layer.index_high**2 - layer.index_low**2)
    return contrast * min(1.0, 2 * math.pi * layer.thickness_nm / wavelength_nm)
