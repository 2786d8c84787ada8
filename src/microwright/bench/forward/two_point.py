"""Two-point statistics, their principal components, and a polynomial in these (Cecen et al., Acta Mater. 146, 2018).

The periodic two-point correlation of every training structure, its leading principal components, and least squares
on all their monomials up to second order, ridge-regularised. How many components and how much ridge, the validation
part decides.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from microwright.bench.forward.data import ForwardData
from microwright.structures.statistics import two_point_correlation


@dataclass(frozen=True)
class TwoPointSettings:
    """What the validation part chooses from.

    Attributes:
        components: numbers of principal components.
        ridges: weights of the squared coefficients, of standardised monomials.
    """

    components: tuple[int, ...] = (5, 10, 20, 40)
    ridges: tuple[float, ...] = (1e-3, 1e-1, 10.0)


def predict_from_two_point(data: ForwardData, settings: TwoPointSettings, seed: int) -> Float[Tensor, "test p"]:
    """Predictions for the test part."""
    scores = _scores(data, max(settings.components), seed)
    values = data.train.values.numpy(), data.validation.values.numpy()
    best, chosen = np.inf, values[1]
    for count, ridge in itertools.product(settings.components, settings.ridges):
        model = _polynomial(ridge).fit(scores[0][:, :count], values[0])
        # scikit-learn drops the axis of a single property
        held_out, test = (model.predict(own[:, :count]).reshape(len(own), -1) for own in scores[1:])
        error = float(np.abs(held_out - values[1]).mean())
        if error < best:
            best, chosen = error, test
    return torch.as_tensor(chosen)


def _scores(data: ForwardData, count: int, seed: int) -> list[NDArray[np.float64]]:
    """Principal components of the three parts, those of the training part's correlations."""
    from sklearn.decomposition import PCA

    maps = [half_correlation(part.structures).numpy() for part in (data.train, data.validation, data.test)]
    pca = PCA(min(count, *maps[0].shape), svd_solver="randomized", random_state=seed).fit(maps[0])
    return [pca.transform(own).astype(np.float64) for own in maps]


def half_correlation(structures: Float[Tensor, "n x y z"]) -> Float[Tensor, "n lags"]:
    """Two-point correlations without the lags that mirror others: S₂(r) = S₂(−r)."""
    half = structures.shape[1] // 2 + 1
    parts = structures.split(64)
    return torch.cat([two_point_correlation(part)[:, :half].flatten(1) for part in parts])


def _polynomial(ridge: float) -> Any:
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PolynomialFeatures, StandardScaler

    monomials = PolynomialFeatures(2, include_bias=False)
    return make_pipeline(StandardScaler(), monomials, StandardScaler(), Ridge(ridge))
