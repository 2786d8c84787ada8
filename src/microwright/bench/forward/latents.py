"""A VAE trained without the property, then a regression on its latents: the paper's second block.

Linear regression, a neural network, Gaussian process and support vector regression of scikit-learn, on standardised
latents and values. Several properties share one kernel, and are as many support vector regressions.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

#: builds a regressor from a seed
REGRESSORS: dict[str, Callable[[int], Any]] = {
    "vae-lin": lambda seed: _linear(),
    "vae-nn": lambda seed: _network(seed),
    "vae-gpr": lambda seed: _gaussian_process(seed),
    "vae-svr": lambda seed: _support_vectors(),
}


def predict_from_latents(
    name: str,
    latents: Float[Tensor, "train m"],
    values: Float[Tensor, "train p"],
    test: Float[Tensor, "test m"],
    seed: int,
) -> Float[Tensor, "test p"]:
    """Predictions for the ``test`` latents by the regressor ``name`` of ``REGRESSORS``."""
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.exceptions import ConvergenceWarning, DataConversionWarning
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    regressor = make_pipeline(StandardScaler(), REGRESSORS[name](seed))
    model = TransformedTargetRegressor(regressor, transformer=StandardScaler())
    with warnings.catch_warnings():
        # a kernel's width at its bound, or a network's last epoch, is no failure of a baseline; nor is one property
        for harmless in (ConvergenceWarning, DataConversionWarning):
            warnings.simplefilter("ignore", harmless)
        model.fit(latents.double().numpy(), values.double().numpy())
    predicted = np.asarray(model.predict(test.double().numpy()))
    return torch.as_tensor(predicted).reshape(len(test), -1)


def _linear() -> Any:
    from sklearn.linear_model import LinearRegression

    return LinearRegression()


def _network(seed: int) -> Any:
    from sklearn.neural_network import MLPRegressor

    return MLPRegressor(
        hidden_layer_sizes=(128, 128), early_stopping=True, n_iter_no_change=20, max_iter=500, random_state=seed
    )


def _gaussian_process(seed: int) -> Any:
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

    kernel = ConstantKernel(1.0) * RBF(4.0, (1e-1, 1e3)) + WhiteKernel(0.1, (1e-6, 10.0))
    return GaussianProcessRegressor(kernel, random_state=seed)


def _support_vectors() -> Any:
    from sklearn.multioutput import MultiOutputRegressor
    from sklearn.svm import SVR

    return MultiOutputRegressor(SVR(C=10.0, epsilon=0.05))
