"""Pictures of ``bench.stiffness``: latent spaces, inferred volumes, errors, annealing."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from microwright.bench.stiffness import StiffnessBench
from microwright.bench.stiffness_annealing import SEARCHES
from microwright.bench.stiffness_forward import COMPONENTS, encoded
from microwright.bench.stiffness_inverse import PRIORS, STAGES, inferred, vector_targets
from microwright.bench.stiffness_results import STAGE_TITLES
from microwright.methods.vae_regression import VaeRegression

Row = dict[str, Any]
DPI = 130


def draw_figures(folder: Path, bench: StiffnessBench, inverse: Sequence[Row], annealing: Sequence[Row]) -> None:
    """All pictures of the page."""
    seed = bench.scale.inverse_seeds[0]
    draw_forward(folder / "stiffness-forward.png", bench)
    draw_latents(folder / "stiffness-latents.png", bench)
    draw_inferred(folder / "stiffness-inferred.png", bench, seed)
    draw_errors(folder / "stiffness-errors.png", inverse)
    draw_annealing(folder / "stiffness-annealing.png", annealing)
    if bench.scale.six_seeds:
        draw_six(folder / "stiffness-six.png", bench)


def draw_forward(path: Path, bench: StiffnessBench) -> None:
    """Predicted against computed C11 of the test part, VAE-Regression with its own deviation, and Reg-only."""
    seed = bench.scale.seeds[0]
    test = bench.forward_data("C11", seed).test
    mean, variance = bench.vae_regression("C11", COMPONENTS, seed).forward(test.structures)
    figure = Figure(figsize=(8, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    known = test.values[:, 0].numpy()
    left.errorbar(known, mean[:, 0], variance[:, 0].sqrt(), fmt=".", markersize=3, linewidth=0.5)
    right.plot(known, bench.reg_only("C11", seed).predict(test.structures)[:, 0], ".", markersize=3)
    for axes, title in ((left, "VAE-Regression, ± σ of q(c|x)"), (right, "Reg-only")):
        axes.plot([known.min(), known.max()], [known.min(), known.max()], color="0.6", linewidth=0.8)
        axes.set(title=title, xlabel="C11 of the solver, GPa")
    left.set_ylabel("predicted, GPa")
    figure.savefig(path, dpi=DPI)


def draw_latents(path: Path, bench: StiffnessBench) -> None:
    """Figure 7: two principal components of the latents without and with regression, coloured by C11."""
    seed = bench.scale.seeds[0]
    test = bench.forward_data("C11", seed).test
    plain = encoded(bench.plain_vae(seed), test.structures)
    joint = bench.vae_regression("C11", COMPONENTS, seed).latents(test.structures)
    figure = Figure(figsize=(8, 3.8), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, latents, title in zip(panels, (plain, joint), ("VAE alone", "VAE-Regression"), strict=True):
        flat = principal(latents)(latents)
        shown = axes.scatter(flat[:, 0], flat[:, 1], c=test.values[:, 0], s=6, cmap="viridis")
        axes.set(title=title, xlabel="first principal component", ylabel="second")
    figure.colorbar(shown, ax=panels, label="C11, GPa")
    figure.savefig(path, dpi=DPI)


def principal(known: Float[Tensor, "n m"]) -> Callable[[Float[Tensor, "k m"]], Float[np.ndarray, "k 2"]]:
    """Projection onto the two leading principal components of ``known``."""
    centre = known.mean(0)
    _, _, axes = torch.linalg.svd(known - centre, full_matrices=False)
    return lambda latents: ((latents - centre) @ axes[:2].T).numpy()


def draw_inferred(path: Path, bench: StiffnessBench, seed: int) -> None:
    """Figures 3a and 8: originals of both morphologies, and what each component mean decodes to."""
    columns = [(f"target {target:g} GPa", _column(bench, target, seed)) for target in bench.scale.targets]
    _volumes(path, columns, ("fibres", "sheets", "one Gaussian", "component 1", "component 2"))


def _column(bench: StiffnessBench, target: float, seed: int) -> list[Tensor]:
    shown = _originals(bench, target)
    for components in PRIORS.values():
        shown += list(inferred(bench.morphology_model(components, seed), torch.tensor([target]), "decoder"))
    return shown


def _originals(bench: StiffnessBench, target: float) -> list[Tensor]:
    """The volume of each morphology whose C11 is nearest to the target."""
    known = bench.morphologies()
    used = known.usable()
    away = np.abs(known.properties[used][:, 0] - target)
    nearest = [used[np.where(used % 2 == kind, away, np.inf).argmin()] for kind in (0, 1)]
    return [torch.as_tensor(known.structures[int(index)]).float() for index in nearest]


def draw_six(path: Path, bench: StiffnessBench) -> None:
    """Figures 10 and 11: test volumes and what was inferred from their six entries."""
    seed = bench.scale.six_seeds[0]
    models: list[VaeRegression] = [bench.six_model(count, seed) for count in PRIORS.values()]

    def made(target: Tensor) -> list[Tensor]:
        return [item for model in models for item in inferred(model, target, "decoder")]

    columns = [
        (f"target {number + 1}", [volume.float(), *made(target)])
        for number, (target, volume) in enumerate(zip(*vector_targets(bench, seed), strict=True))
    ]
    _volumes(path, columns, ("original", "one Gaussian", "component 1", "component 2"))


def _volumes(path: Path, columns: Sequence[tuple[str, Sequence[Tensor]]], rows: Sequence[str]) -> None:
    """A grid of cubes, of which three faces are seen."""
    figure = Figure(figsize=(1.35 * len(columns), 1.45 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), len(columns), squeeze=False)
    for place, (title, volumes) in enumerate(columns):
        grid[-1, place].set_xlabel(title, fontsize=7)
        for axes, volume in zip(grid[:, place], volumes, strict=True):
            draw_cube(axes, volume.numpy())
    for axes, title in zip(grid[:, 0], rows, strict=True):
        axes.set_ylabel(title, fontsize=7)
    figure.savefig(path, dpi=DPI)


def draw_cube(axes: Axes, volume: Float[np.ndarray, "x y z"]) -> None:
    """Three faces of a volume in oblique projection: first axis to the right, third up, second into depth."""
    nx, _, nz = volume.shape
    depth = 0.4
    x, y, z = (np.arange(n + 1) for n in volume.shape)
    faces = (
        (x[None] + 0 * z[:, None], z[:, None] + 0 * x[None], volume[:, 0, :].T),
        (x[None] + depth * y[:, None], nz + depth * y[:, None] + 0 * x[None], volume[:, :, -1].T),
        (nx + depth * y[None] + 0 * z[:, None], z[:, None] + depth * y[None], volume[-1].T),
    )
    for across, up, values in faces:
        axes.pcolormesh(across, up, values, cmap="gray_r", vmin=0, vmax=1, shading="flat")
    axes.set(aspect="equal", xticks=[], yticks=[])
    for side in axes.spines.values():
        side.set_visible(False)


def draw_errors(path: Path, rows: Sequence[Row]) -> None:
    """Figure 3b: achieved against target after all trainings, and the error after both stages; cut by the decoder."""
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    targets = sorted({row["target"] for row in rows})
    left.plot(targets, targets, color="0.6", linewidth=0.8)
    for (prior, marker), (stage, line) in itertools.product(
        zip(PRIORS, "so", strict=True), zip(STAGES, (":", "-"), strict=True)
    ):
        counted = [row for row in rows if (row["prior"], row["cut"]) == (prior, "decoder") and row["likely"]]
        own = [row for row in counted if row["stage"] == stage]
        means = [statistics.mean(row["error_percent"] for row in own if row["target"] == value) for value in targets]
        right.plot(targets, means, f"{marker}{line}", label=f"{prior}, {STAGE_TITLES[stage]}")
        if stage == "all":
            left.plot([row["target"] for row in own], [row["achieved"] for row in own], marker, label=prior, alpha=0.7)
    right.axhline(16, color="0.6", linewidth=0.8)
    left.set(xlabel="target C11, GPa", ylabel="achieved, GPa, after all trainings")
    right.set(xlabel="target C11, GPa", ylabel="mean error, %", yscale="log")
    for axes in (left, right):
        axes.legend(fontsize=7)
    figure.savefig(path, dpi=DPI)


def draw_annealing(path: Path, rows: Sequence[Row]) -> None:
    """Figure 4c: error, as the solver has it, against iterations and time; the best start of each target."""
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for kind in SEARCHES:
        own = [row for row in rows if (row["objective"], row["start"], row["cut"]) == kind and row["chosen"]]
        steps = sorted({row["iterations"] for row in own})
        parts = [[row for row in own if row["iterations"] == step] for step in steps]
        errors = [statistics.mean(row["error_percent"] for row in part) for part in parts]
        seconds = [statistics.mean(row["seconds"] for row in part) for part in parts]
        left.plot([max(step, 0.7) for step in steps], errors, "o-", label=_search_title(*kind), markersize=4)
        right.plot(seconds, errors, "o-", markersize=4)
    for axes, label in ((left, "iterations (0 drawn at 0.7)"), (right, "seconds")):
        axes.axhline(10, color="0.6", linewidth=0.8, linestyle=":")
        axes.set(xlabel=label, xscale="log", yscale="log")
    left.set_ylabel("mean error of C11, %")
    left.legend(fontsize=7)
    figure.savefig(path, dpi=DPI)


def _search_title(objective: str, start: str, cut: str) -> str:
    return f"{start} starts, {objective}, cut by the {cut}"
