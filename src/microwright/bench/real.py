"""Absorption of published structures from their images: 60 triples of Yang et al.'s Data-II, cross-validated.

    python -m microwright.bench.real gan_mdn_data2_sample.h5 family.zarr

The optical cell behind the published absorption is published nowhere, so no solver can simply be run. Four ways to
predict it, each a ridge regression whose penalty is chosen inside each training fold:

- *spectral density*: phase fraction and the lowest shells of the radial spectral density, the baseline;
- *two-point correlation*: its radial average, which begins with the phase fraction;
- *surrogate*: a convolutional network is trained on our own simulations (the labelled set), and its features of the
  published images are regressed: pre-trained on one cell, adapted to another;
- *solver bank*: the solver itself, at a fast fidelity, gives each image's absorption in a bank of cells at several
  wavelengths; these numbers are regressed.

The images are not periodic at their borders; statistics and solver treat them as if they were.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import h5py
import lightning
import numpy as np
import torch
from jaxtyping import Float
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from microwright.bench.results import Claim, write_results
from microwright.data.store import LabelledSet
from microwright.errors import InputError
from microwright.physics.optics import PatternedLayer, RcwaNumerics, RcwaSolver, default_cell
from microwright.structures.statistics import (
    phase_fraction,
    radial_average,
    radial_spectral_density,
    two_point_correlation,
)
from microwright.training import StepBatches, TrainerOptions, seeded
from microwright.training.fit import fit

Features = Float[np.ndarray, "n features"]
FOLDS = 10
REPEATS = 10
PENALTIES = np.logspace(-3, 5, 33)
WAVELENGTHS_NM = tuple(range(450, 1001, 50))
BANK_HARMONICS = 49
BASELINE_GOAL = 0.7
SHELLS = 8


@dataclass(frozen=True)
class PublishedPairs:
    """Structures (0/1) and their published absorption."""

    structures: Float[Tensor, "n x y"]
    absorption: Float[np.ndarray, "n"]


def read_pairs(path: Path) -> PublishedPairs:
    """The pairs in ``path`` (datasets ``x`` and ``y``).

    Raises:
        InputError: no such file, or of another layout.
    """
    try:
        with h5py.File(path, "r") as file:
            return PublishedPairs(torch.as_tensor(file["x"][()]).float(), np.asarray(file["y"][()]).ravel())
    except (OSError, KeyError) as error:
        raise InputError(f"data: {path} cannot be read ({error}); give an HDF5 file with x and y") from error


def spectral_density(structures: Float[Tensor, "n x y"]) -> Features:
    """Phase fraction and the shells 1 to 8 of the radial spectral density; the others are noise to 60 pairs."""
    shells = radial_spectral_density(structures.double())[:, 1 : SHELLS + 1]
    return torch.cat([phase_fraction(structures.double())[:, None], shells], 1).numpy()


def correlation_function(structures: Float[Tensor, "n x y"]) -> Features:
    """Radial average of the two-point correlation; at lag 0 the phase fraction."""
    return radial_average(two_point_correlation(structures.double())).numpy()


def solver_bank(structures: Float[Tensor, "n x y"]) -> Features:
    """Absorption in the default cell at each wavelength of the bank, with its own and with a silicon-like index."""
    cell = default_cell()
    numerics = RcwaNumerics(harmonics=BANK_HARMONICS)
    columns = []
    for index in (None, 4.3 + 0.3j):
        layers = tuple(_with_index(layer, index) for layer in cell.layers)
        for wavelength in WAVELENGTHS_NM:
            solver = RcwaSolver(replace(cell, layers=layers, wavelength_nm=float(wavelength)), numerics)
            with torch.no_grad():
                columns.append(solver.solve(structures).values)
    return torch.cat(columns, 1).numpy()


def _with_index(layer: Any, index: complex | None) -> Any:
    return replace(layer, index_high=index) if index is not None and isinstance(layer, PatternedLayer) else layer


class Surrogate(nn.Module):
    """Structure → absorption by four periodic convolutions and a mean over positions."""

    def __init__(self) -> None:
        super().__init__()
        channels = (1, 8, 16, 32, 64)
        self.layers = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv2d(i, o, 5, stride=2, padding=2, padding_mode="circular"), nn.BatchNorm2d(o), nn.ReLU()
                )
                for i, o in zip(channels, channels[1:], strict=False)
            )
        )
        self.head = nn.Linear(channels[-1], 1)

    def features(self, structures: Float[Tensor, "n x y"]) -> Float[Tensor, "n features"]:
        """What the head reads."""
        return self.layers(structures[:, None]).mean((2, 3))

    def forward(self, structures: Float[Tensor, "n x y"]) -> Float[Tensor, "n 1"]:
        return self.head(self.features(structures))


class _SurrogateModule(lightning.LightningModule):
    def __init__(self, network: Surrogate) -> None:
        super().__init__()
        self.network = network

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        structures, values = batch
        return (self.network(structures) - values).square().mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.network.parameters(), lr=2e-3)


def pretrained(data: LabelledSet, folder: Path, epochs: int = 15) -> tuple[Surrogate, float]:
    """A surrogate of the labelled set's solver, and its correlation with the labels of a tenth that it did not see."""
    used = data.usable()
    structures = torch.as_tensor(data.structures[used]).float()
    values = torch.as_tensor(data.properties[used][:, :1]).float()
    held_out = len(used) // 10
    scaled = (values - values.mean(0)) / values.std(0)
    network = seeded(0, Surrogate)
    batches = StepBatches((structures[held_out:], scaled[held_out:]), 128, max(1, len(used) // 128), seed=0)
    fit(_SurrogateModule(network), batches, epochs, TrainerOptions(folder, "cpu", progress=False))
    network.eval()
    with torch.no_grad():
        predicted = network(structures[:held_out])[:, 0]
    return network, float(np.corrcoef(predicted, values[:held_out, 0])[0, 1])


def cross_validated(features: Features, wanted: Float[np.ndarray, "n"]) -> dict[str, float]:
    """Scores of ridge regression: mean and standard deviation over repeated shuffles of ten folds."""
    scores = [_scores(_predicted(features, wanted, seed), wanted) for seed in range(REPEATS)]
    found: dict[str, float] = {"features": features.shape[1]}
    for name in scores[0]:
        values = [score[name] for score in scores]
        found |= {name: float(np.mean(values)), f"{name} spread": float(np.std(values, ddof=1))}
    return found


def _predicted(features: Features, wanted: Float[np.ndarray, "n"], seed: int) -> Float[np.ndarray, "n"]:
    # RidgeCV chooses its penalty on the training folds alone
    regression = make_pipeline(StandardScaler(), RidgeCV(PENALTIES))
    return cross_val_predict(regression, features, wanted, cv=KFold(FOLDS, shuffle=True, random_state=seed))


def _scores(predicted: Float[np.ndarray, "n"], wanted: Float[np.ndarray, "n"]) -> dict[str, float]:
    error = predicted - wanted
    return {
        "r": float(np.corrcoef(predicted, wanted)[0, 1]),
        "R2": float(1 - (error**2).sum() / ((wanted - wanted.mean()) ** 2).sum()),
        "RMSE": float(np.sqrt((error**2).mean())),
        "MAPE %": float(100 * np.abs(error).mean() / wanted.mean()),
    }


def compare(pairs: PublishedPairs, extractors: Mapping[str, Callable[[Tensor], Features]]) -> list[dict[str, Any]]:
    """One row for each kind of features, then one for each two of them together."""
    kinds = {name: extract(pairs.structures) for name, extract in extractors.items()}
    beside = {
        f"{first} + {second}": np.hstack([kinds[first], kinds[second]]) for first, second in combinations(kinds, 2)
    }
    return [
        {"features of": name, **cross_validated(own, pairs.absorption)} for name, own in {**kinds, **beside}.items()
    ]


def main(arguments: list[str]) -> None:
    """Measure and write ``results/real-absorption.json``."""
    import tempfile

    pairs, data = read_pairs(Path(arguments[0])), LabelledSet.open(arguments[1])
    with tempfile.TemporaryDirectory() as folder:
        surrogate, own_r = pretrained(data, Path(folder))

    def surrogate_features(structures: Tensor) -> Features:
        with torch.no_grad():
            return surrogate.features(structures).double().numpy()

    extractors = {
        "spectral density": spectral_density,
        "two-point correlation": correlation_function,
        "surrogate": surrogate_features,
        "solver bank": solver_bank,
    }
    rows = compare(pairs, extractors)
    baseline = rows[0]["r"]
    best = max(rows, key=lambda row: row["r"])
    claims = [
        Claim("cross-validated r of the baseline", baseline, "about 0.7", "1", baseline >= BASELINE_GOAL - 0.05),
        Claim(f"best cross-validated r ({best['features of']})", best["r"], "> baseline", "1", best["r"] > baseline),
    ]
    notes = [
        f"{len(pairs.absorption)} published pairs, ridge regression, {REPEATS} shuffles of {FOLDS} folds.",
        f"The surrogate learnt from {len(data.usable())} of our own simulations; on others r = {own_r:.3f}.",
        "The best of several is chosen on the same folds that score it, so its figure is optimistic.",
    ]
    command = "python -m microwright.bench.real gan_mdn_data2_sample.h5 family.zarr"
    print(write_results("real-absorption", command, rows, claims, notes))
    for row in rows:
        print(row)


if __name__ == "__main__":
    main(sys.argv[1:])
