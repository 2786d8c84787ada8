"""Plots of what is known about one structure."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib import cm
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from microwright.design.tolerance import Tolerances
from microwright.physics.elasticity.directional import directional_youngs_modulus
from microwright.physics.property import Property
from microwright.studio.analyses import Convergence, Curves, SpectrumSoFar
from microwright.studio.pictures import BLUE, GREY, ORANGE

#: of every plot, inches: its words can still be read where the window is narrow
WIDTH = 5.2
#: colours of reflectance, transmittance and absorptance
SHADES = {"reflectance": GREY, "transmittance": ORANGE, "absorption": BLUE}


def statistics_figure(own: Curves, training: Curves | None) -> Figure:
    """Two-point correlation and spectral density, with the training set's 5th to 95th percentile behind."""
    figure = Figure(figsize=(WIDTH, 4.8), layout="constrained")
    upper, lower = figure.subplots(2)
    _curve(upper, own.two_point[0], None if training is None else training.two_point)
    upper.set(title="two-point correlation", xlabel="distance / pixels", xlim=(0, own.two_point.shape[1] - 1))
    # shell 0 holds the mean, which is taken off
    _curve(lower, own.spectral[0, 1:], None if training is None else training.spectral[:, 1:], start=1)
    lower.set(title="spectral density", xlabel="cycles per edge", yscale="log")
    return figure


def _curve(axes: Axes, own: np.ndarray, training: np.ndarray | None, start: int = 0) -> None:
    at = np.arange(start, start + len(own))
    if training is not None:
        axes.fill_between(
            at, *np.quantile(training, [0.05, 0.95], axis=0), color=GREY, alpha=0.35, lw=0, label="training"
        )
    axes.plot(at, own, color=BLUE, label="this one")
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def tolerance_figure(found: Tolerances, properties: tuple[Property, ...]) -> Figure:
    """The value as it is, and where each fabrication error takes it."""
    figure = Figure(figsize=(WIDTH, 0.9 + 1.5 * len(properties)), layout="constrained")
    for column, (axes, item) in enumerate(
        zip(np.atleast_1d(figure.subplots(len(properties))), properties, strict=True)
    ):
        nominal = float(found.nominal[0, column])
        changes = {name: float(change[0, column]) for name, change in found.changes.items()}
        ends = [nominal, *(nominal + change for change in changes.values()), nominal - changes["noise"]]
        axes.axvspan(min(ends), max(ends), color=BLUE, alpha=0.15, lw=0)
        axes.axvline(nominal, color=BLUE, lw=1.5)
        for row, (name, change) in enumerate(changes.items()):
            low = nominal - change if name == "noise" else nominal
            axes.plot([low, nominal + change], [row, row], "o-", color=BLUE, ms=4, lw=1)
        axes.set_yticks(range(len(changes)), list(changes))
        axes.invert_yaxis()
        axes.set(title="under fabrication errors", xlabel=_label(item))
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def convergence_figure(found: Convergence, item: Property, bar: float) -> Figure:
    """The value at rising effort; the solver's own error bar where it has one."""
    figure = Figure(figsize=(WIDTH, 2.9), layout="constrained")
    axes = figure.subplots()
    for (name, values), colour in zip(found.values.items(), (BLUE, ORANGE), strict=False):
        axes.plot(found.at, values, "o-", color=colour, ms=4, label=name)
    if found.used in found.at:
        own = next(iter(found.values.values()))[found.at.index(found.used)]
        if np.isfinite(bar):
            axes.axhspan(own - bar, own + bar, color=BLUE, alpha=0.12, lw=0, label=f"± {bar:.1g} of the design")
        axes.axvline(found.used, color=GREY, lw=0.8, ls="--")
    axes.set(title="convergence of the value", xlabel=found.effort, ylabel=_label(item), xticks=found.at)
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def spectrum_figure(found: SpectrumSoFar, designed_at_nm: float) -> Figure:
    """Shares of the incident light over wavelength; the dashed line is the wavelength that it was designed at."""
    figure = Figure(figsize=(WIDTH, 3.1), layout="constrained")
    axes = figure.subplots()
    for name, values in found.shares.items():
        axes.plot(found.wavelengths_nm, values, "o-", ms=3, color=SHADES[name], label=name)
    axes.axvline(designed_at_nm, color=GREY, lw=0.8, ls="--")
    axes.set(xlabel="wavelength / nm", ylabel="share of the light", ylim=(0, 1))
    axes.legend(frameon=False, fontsize=8, ncols=3, loc="upper center", bbox_to_anchor=(0.5, 1.18))
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def modulus_figure(stiffness: Tensor) -> Figure:
    """Young's modulus by direction, as a surface and as sections normal to the axes."""
    figure = Figure(figsize=(WIDTH, 7.2), layout="constrained")
    solid = figure.add_subplot(2, 1, 1, projection="3d")
    polar, azimuth = torch.meshgrid(torch.linspace(0, np.pi, 41), torch.linspace(0, 2 * np.pi, 81), indexing="ij")
    n = torch.stack([polar.sin() * azimuth.cos(), polar.sin() * azimuth.sin(), polar.cos()], dim=-1).double()
    modulus = directional_youngs_modulus(stiffness, n)
    points = (modulus[..., None] * n).numpy()
    shade = ((modulus - modulus.min()) / (modulus.max() - modulus.min() + 1e-12)).numpy()
    solid.plot_surface(*points.transpose(2, 0, 1), facecolors=cm.viridis(shade), rstride=1, cstride=1, linewidth=0)
    reach = float(modulus.max())
    solid.set(xlim=(-reach, reach), ylim=(-reach, reach), zlim=(-reach, reach), xlabel="1", ylabel="2", zlabel="3")
    solid.set_box_aspect((1, 1, 1), zoom=1.1)
    solid.locator_params(nbins=4)
    solid.set_title(f"E from {float(modulus.min()):.4g} to {reach:.4g} GPa", fontsize=9)
    flat = figure.add_subplot(2, 1, 2, projection="polar")
    for (first, second), colour in zip(((0, 1), (0, 2), (1, 2)), (BLUE, ORANGE, GREY), strict=True):
        angle = torch.linspace(0, 2 * np.pi, 181).double()
        along = torch.zeros(181, 3, dtype=torch.float64)
        along[:, first], along[:, second] = angle.cos(), angle.sin()
        flat.plot(angle, directional_youngs_modulus(stiffness, along), color=colour, label=f"{first + 1}{second + 1}")
    flat.set_ylim(0, None)
    flat.locator_params(axis="y", nbins=3)
    flat.legend(frameon=False, fontsize=8, title="plane", loc="lower left", bbox_to_anchor=(0.95, 0))
    return figure


def _label(item: Property) -> str:
    return item.name if item.unit == "1" else f"{item.name} / {item.unit}"
