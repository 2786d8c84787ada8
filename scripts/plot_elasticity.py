"""Figures of docs/elasticity.md, from the shipped labels and results/elasticity-accuracy.json.

python scripts/plot_elasticity.py
"""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import numpy as np
import torch
from matplotlib import pyplot as plt

from microwright.data.filtered_noise_set import FILTERS, FilteredNoiseSet, shipped_stiffness

ROOT = Path(__file__).parents[1]
#: the paper's figure 2: sheets across axis 1 and needles along it
MORPHOLOGIES = {
    (1, 7, 7): ("tab:blue", "sheets, $\\sigma$ = [1, 7, 7]"),
    (7, 1, 1): ("tab:red", "needles, $\\sigma$ = [7, 1, 1]"),
}
TARGET = 25.0


def plot_morphologies(path: Path) -> None:
    """Two structures of one stiffness, and the stiffness of both families against the phase fraction."""
    structures = FilteredNoiseSet()
    labels = shipped_stiffness(["C11"])
    figure = plt.figure(figsize=(13, 4.2), layout="constrained")
    scatter = figure.add_subplot(1, 3, 3)
    for column, (sigma, (colour, name)) in enumerate(MORPHOLOGIES.items(), start=1):
        members = labels.indices % len(FILTERS) == FILTERS.index(sigma)
        indices, stiffness = labels.indices[members].tolist(), labels.values[members, 0]
        fractions = [structures.phase_fraction(index) for index in indices]
        scatter.plot(fractions, stiffness, ".", color=colour, label=name)
        nearest = int((stiffness - TARGET).abs().argmin())
        axes = figure.add_subplot(1, 3, column, projection="3d")
        draw_cube(axes, structures.structures([indices[nearest]])[0])
        title = f"{name}\nhard phase {fractions[nearest]:.0%}, $C_{{11}}$ = {stiffness[nearest]:.1f} GPa"
        axes.set_title(title, fontsize=10)
    scatter.axhline(TARGET, color="tab:green", linewidth=1)
    scatter.set_xlabel("fraction of the hard phase")
    scatter.set_ylabel("$C_{11}$ / GPa")
    scatter.legend(fontsize=8)
    figure.savefig(path, dpi=110)


def draw_cube(axes: plt.Axes, structure: torch.Tensor) -> None:
    """The three visible faces of a structure; the hard phase is black."""
    n = len(structure)
    shade = 1 - 0.9 * structure.numpy()
    edge = np.arange(n + 1)
    a, b = np.meshgrid(edge, edge, indexing="ij")
    full = np.full_like(a, n)
    faces = ((a, b, full, shade[:, :, -1]), (a, 0 * full, b, shade[:, 0, :]), (full, a, b, shade[-1]))
    for x, y, z, grey in faces:
        colours = np.repeat(grey[..., None], 3, axis=-1)
        axes.plot_surface(
            x, y, z, facecolors=colours, rstride=1, cstride=1, shade=False, linewidth=0, antialiased=False
        )
    axes.set_xlabel("1", labelpad=-12)
    axes.set_ylabel("2", labelpad=-12)
    axes.set_zlabel("3", labelpad=-14)
    axes.set_xticks([]), axes.set_yticks([]), axes.set_zticks([])
    axes.set_box_aspect((1, 1, 1))
    axes.view_init(elev=25, azim=-50)


def plot_error_control(path: Path) -> None:
    """Bound and true error of C11 over the iterations."""
    rows = json.loads((ROOT / "results/elasticity-accuracy.json").read_text())["rows"]
    figure, panels = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained", sharey=True)
    for panel, contrast in zip(panels, (50.0, 1e4), strict=True):
        here = [row for row in rows if row["contrast"] == contrast]
        for number, sigma in enumerate(sorted({tuple(row["sigma"]) for row in here})):
            line = sorted((row for row in here if tuple(row["sigma"]) == sigma), key=lambda row: row["iterations"])
            iterations = [row["iterations"] for row in line]
            panel.semilogy(iterations, [row["error"] for row in line], "o-", color=f"C{number}", label=f"{list(sigma)}")
            panel.semilogy(iterations, [row["error_bar"] for row in line], ":", color=f"C{number}")
        panel.set_title(f"contrast {contrast:g}")
        panel.set_xlabel("iterations")
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("relative error of $C_{11}$\n(dots: true, dotted: error bar)")
    panels[0].legend(title="$\\sigma$", fontsize=8)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    plot_morphologies(ROOT / "docs/elasticity-morphologies.png")
    plot_error_control(ROOT / "docs/elasticity-error-control.png")
