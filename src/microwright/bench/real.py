"""Absorption of published structures from their images: 60 triples of Yang et al.'s Data-II, cross-validated.

    microwright generate grf --mean -8 --std 3 --fraction 0.15:0.35 --count 2000 --out own.npy
    microwright label own.npy --property absorption --out own.zarr
    python -m microwright.bench.real gan_mdn_data2_sample.h5 own.zarr

The optical cell behind the published absorption is published nowhere, so no solver can simply be run. Four kinds of
features predict it by ridge regression:

- *spectral density*: phase fraction and the lowest shells of the radial spectral density, the baseline;
- *two-point correlation*: its radial average from lag 0, which is the phase fraction, to some lag;
- *surrogate*: a convolutional network is trained on our own simulations (the labelled set), and its features of the
  published images are regressed: pre-trained on one cell, adapted to another;
- *solver bank*: the solver itself, at a fast fidelity, gives each image's absorption in a bank of cells at several
  wavelengths; these numbers are regressed.

The cross-validation is nested: how many shells or lags, which kinds, and the penalty are chosen on the training folds
alone, by their leave-one-out error, and the fold that was left out is predicted once. Sixty pairs are few enough that
a choice made on all of them and scored on all of them says more than it knows.

The images are not periodic at their borders; statistics and solver treat them as if they were.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import lightning
import numpy as np
import torch
from jaxtyping import Float
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold
from sklearn.pipeline import Pipeline, make_pipeline
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
#: features of the same structures, by name; the training folds choose one
Candidates = Mapping[str, Features]
FOLDS = 10
REPEATS = 10
PENALTIES = np.logspace(-3, 5, 33)
WAVELENGTHS_NM = tuple(range(450, 1001, 50))
BANK_HARMONICS = 49
BASELINE_GOAL = 0.7
BASELINE = "spectral density"
#: shells or lags kept
LENGTHS = (4, 8, 16, 32)


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


def spectral_density(structures: Float[Tensor, "n x y"], shells: int) -> Features:
    """Phase fraction and the shells 1 to ``shells`` of the radial spectral density."""
    density = radial_spectral_density(structures.double())[:, 1 : shells + 1]
    return torch.cat([phase_fraction(structures.double())[:, None], density], 1).numpy()


def correlation_function(structures: Float[Tensor, "n x y"], lags: int) -> Features:
    """Radial average of the two-point correlation at the lags 0 to ``lags``; at lag 0 the phase fraction."""
    return radial_average(two_point_correlation(structures.double()))[:, : lags + 1].numpy()


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


def cross_validated(candidates: Candidates, wanted: Float[np.ndarray, "n"]) -> dict[str, Any]:
    """Scores of ridge regression on the candidate that each training fold prefers.

    Returns:
        Mean and standard deviation of each score over repeated shuffles of ten folds, and how often each candidate was
        chosen.
    """
    scores, chosen = [], Counter[str]()
    for seed in range(REPEATS):
        predicted, names = nested_predictions(candidates, wanted, seed)
        scores.append(_scores(predicted, wanted))
        chosen.update(names)
    found: dict[str, Any] = {"chosen": dict(chosen.most_common())}
    for name in scores[0]:
        values = [score[name] for score in scores]
        found |= {name: float(np.mean(values)), f"{name} spread": float(np.std(values, ddof=1))}
    return found


def nested_predictions(
    candidates: Candidates, wanted: Float[np.ndarray, "n"], seed: int
) -> tuple[Float[np.ndarray, "n"], list[str]]:
    """Each fold predicted by the candidate that the other folds chose, and the name of that candidate."""
    predicted, names = np.empty_like(wanted), []
    for training, left_out in KFold(FOLDS, shuffle=True, random_state=seed).split(wanted):
        fitted = {name: _fitted(features[training], wanted[training]) for name, features in candidates.items()}
        names.append(max(fitted, key=lambda name: fitted[name][-1].best_score_))
        predicted[left_out] = fitted[names[-1]].predict(candidates[names[-1]][left_out])
    return predicted, names


def _fitted(features: Features, wanted: Float[np.ndarray, "n"]) -> Pipeline:
    """Ridge regression whose penalty has the smallest leave-one-out error, which it keeps as ``best_score_``."""
    return make_pipeline(StandardScaler(), RidgeCV(PENALTIES)).fit(features, wanted)


def _scores(predicted: Float[np.ndarray, "n"], wanted: Float[np.ndarray, "n"]) -> dict[str, float]:
    error = predicted - wanted
    return {
        "r": float(np.corrcoef(predicted, wanted)[0, 1]),
        "R2": float(1 - (error**2).sum() / ((wanted - wanted.mean()) ** 2).sum()),
        "RMSE": float(np.sqrt((error**2).mean())),
        "MAPE %": float(100 * np.abs(error).mean() / wanted.mean()),
    }


def statistics_of(structures: Float[Tensor, "n x y"]) -> Candidates:
    """Both kinds of statistics, at each length."""
    densities = {f"spectral density, {n} shells": spectral_density(structures, n) for n in LENGTHS}
    correlations = {f"two-point correlation, {n} lags": correlation_function(structures, n) for n in LENGTHS}
    return {**densities, **correlations}


def kinds_of(structures: Float[Tensor, "n x y"], surrogate: Surrogate) -> dict[str, Candidates]:
    """What is compared: each kind of features alone, then all of them, among which the training folds choose."""
    statistics = statistics_of(structures)
    with torch.no_grad():
        learnt = surrogate.features(structures).double().numpy()
    physics = {"surrogate": learnt, "solver bank": solver_bank(structures)}
    both = {
        f"{one} + {other}": np.hstack([first, second])
        for one, first in statistics.items()
        for other, second in physics.items()
    }
    return {
        BASELINE: {name: own for name, own in statistics.items() if name.startswith(BASELINE)},
        "statistics": statistics,
        **{name: {name: own} for name, own in physics.items()},
        "everything": {**statistics, **physics, **both},
    }


def main(arguments: list[str]) -> None:
    """Measure and write ``results/real-absorption.json``."""
    pairs, data = read_pairs(Path(arguments[0])), LabelledSet.open(arguments[1])
    with tempfile.TemporaryDirectory() as folder:
        surrogate, own_r = pretrained(data, Path(folder))
    kinds = kinds_of(pairs.structures, surrogate)
    rows = [{"features of": name, **cross_validated(own, pairs.absorption)} for name, own in kinds.items()]
    baseline, everything = rows[0]["r"], rows[-1]["r"]
    claims = [
        Claim("nested cross-validated r of the baseline", baseline, "about 0.7", "1", baseline >= BASELINE_GOAL - 0.05),
        Claim(
            "nested cross-validated r, chosen among everything",
            everything,
            "> baseline",
            "1",
            everything > baseline,
            "" if everything > baseline else "sixty pairs do not say reliably which of many features to trust",
        ),
    ]
    notes = [
        f"{len(pairs.absorption)} published pairs, ridge regression, {REPEATS} shuffles of {FOLDS} folds. Lengths, "
        "kinds and penalties are chosen inside each training fold by leave-one-out error; the fold left out is seen "
        "once.",
        f"The surrogate learnt from {len(data.usable())} of our own simulations; on others r = {own_r:.3f}.",
    ]
    command = "python -m microwright.bench.real gan_mdn_data2_sample.h5 own.zarr"
    print(write_results("real-absorption", command, rows, claims, notes))
    for row in rows:
        print(row)


if __name__ == "__main__":
    main(sys.argv[1:])
