"""Forward prediction: the paper's Tables 1, 7 and 8, on one split a seed for all methods."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from microwright.bench.forward.averages import hill_average
from microwright.bench.forward.data import ForwardData, Part, mape, r_squared
from microwright.bench.forward.latents import REGRESSORS, predict_from_latents
from microwright.bench.forward.two_point import TwoPointSettings, predict_from_two_point
from microwright.bench.stiffness import CASES, StiffnessBench
from microwright.physics.elasticity import ElasticPhases
from microwright.representations.vae_regression import VaeRegressionNetworks

#: predictions of the test part
Predict = Callable[[StiffnessBench, str, int, ForwardData], Float[Tensor, "test p"]]
#: components of the prior behind the forward figures
COMPONENTS = 2
TOGETHER = 64


def _hill(bench: StiffnessBench, case: str, seed: int, data: ForwardData) -> Tensor:
    return hill_average(data.test.structures, ElasticPhases(), CASES[case])


def _two_point(bench: StiffnessBench, case: str, seed: int, data: ForwardData) -> Tensor:
    return predict_from_two_point(data, TwoPointSettings(), seed)


def _latent(name: str) -> Predict:
    def predict(bench: StiffnessBench, case: str, seed: int, data: ForwardData) -> Tensor:
        networks = bench.plain_vae(seed)
        train, test = (encoded(networks, part.structures) for part in (data.train, data.test))
        return predict_from_latents(name, train, data.train.values, test, seed)

    return predict


def _reg_only(bench: StiffnessBench, case: str, seed: int, data: ForwardData) -> Tensor:
    return bench.reg_only(case, seed).predict(data.test.structures)


def _vae_regression(bench: StiffnessBench, case: str, seed: int, data: ForwardData) -> Tensor:
    return bench.vae_regression(case, COMPONENTS, seed).forward(data.test.structures)[0]


#: the cheap ones first, so that what is there can be looked at
METHODS: dict[str, Predict] = {
    "hill": _hill,
    "two-point": _two_point,
    "reg-only": _reg_only,
    "vae-regression": _vae_regression,
    **{name: _latent(name) for name in REGRESSORS},
}


@torch.no_grad()
def encoded(networks: VaeRegressionNetworks, structures: Tensor) -> Float[Tensor, "n m"]:
    """Means of q(z | x)."""
    return torch.cat([networks.encode(part.float())[0] for part in structures.split(TOGETHER)])


def forward_rows(bench: StiffnessBench) -> list[dict[str, Any]]:
    """One row for each case, method and seed: MAPE and R² of each entry on the test part."""
    seeds = {"C11": bench.scale.seeds, "six": bench.scale.six_seeds}
    longest = max(map(len, seeds.values()))
    return [
        row
        for turn in range(longest)
        for case in CASES
        for method in METHODS
        if turn < len(seeds[case])
        for row in _rows(bench, case, method, seeds[case][turn])
    ]


def _rows(bench: StiffnessBench, case: str, method: str, seed: int) -> list[dict[str, Any]]:
    return bench.measured(f"forward-{case}-{method}-{seed}", lambda: [_row(bench, case, method, seed)])


def _row(bench: StiffnessBench, case: str, method: str, seed: int) -> dict[str, Any]:
    data = bench.forward_data(case, seed)
    begun = time.perf_counter()
    predicted = METHODS[method](bench, case, seed, data)
    scores = accuracy(predicted.double(), data.test)
    seconds = time.perf_counter() - begun
    names = CASES[case]
    columns = {name: dict(zip(names, values.tolist(), strict=True)) for name, values in scores.items()}
    return {"case": case, "method": method, "seed": seed, **columns, "seconds": seconds}


def accuracy(predicted: Float[Tensor, "n p"], part: Part) -> dict[str, Float[Tensor, "p"]]:
    """The paper's two figures."""
    observed = part.values.double()
    return {"mape": mape(predicted, observed), "r_squared": r_squared(predicted, observed)}
