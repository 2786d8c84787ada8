"""Which latent for the vector-quantised autoencoder? The search behind the sizes that the paper does not publish.

    python benchmarks/vqvae_latents.py

Each candidate is trained for a short while, its reconstructions are labelled, the mixture density network learns its
latents, and 20 structures are designed for each of the papers' targets: the average REP of these designs chooses. All
at the fidelity of the loss, and far shorter than a real training: the search ranks, it does not measure.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from microwright.bench.metrics import diversity
from microwright.bench.published import TARGETS
from microwright.bench.results import write_results
from microwright.design.designer import Designer
from microwright.design.targets import Target
from microwright.methods import train_method
from microwright.methods.base import Method
from microwright.methods.recipes import Recipe, recipe_named
from microwright.methods.workspace import Workspace
from microwright.representations.vqvae import VqVaeShape
from microwright.training.settings import MdnTraining, VqVaeTraining

CANDIDATES = (
    VqVaeShape(downsamplings=5, embedding=1, codes=64),
    VqVaeShape(downsamplings=5, embedding=2, codes=64),
    VqVaeShape(downsamplings=4, embedding=1, codes=32),
)
STEPS, STRUCTURES, HARMONICS, COUNT = 500, 2000, 25, 30


def short_recipe(shape: VqVaeShape) -> Recipe:
    """The shipped recipe, made short and coarse."""
    full = recipe_named("data-2")
    return replace(
        full,
        structures=STRUCTURES,
        vqvae_structures=STRUCTURES,
        labels=STRUCTURES,
        numerics=replace(full.numerics, harmonics=HARMONICS),
        vqvae_shape=shape,
        vqvae=VqVaeTraining(steps=STEPS, batch=64, steps_per_epoch=50, harmonics=HARMONICS),
        mdn=MdnTraining(epochs=60, patience=20),
    )


def candidate(shape: VqVaeShape) -> dict[str, Any]:
    """Errors and diversity of the designs of one candidate."""
    start = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder) / "model", accelerator="cpu", workers=1, progress=False)
        method = train_method("vqvae-mdn", short_recipe(shape), workspace)
        found = {f"{target:g}": _designed(method, target) for target in TARGETS}
    reached = [own for own in found.values() if own]
    return {
        "shape": asdict(shape),
        "latent dimensions": shape.embedding * (64 // 2**shape.downsamplings) ** 2,
        "average REP": statistics.mean(own["average_rep"] for own in reached) if reached else None,
        "diversity": statistics.mean(own["diversity"] for own in reached) if reached else None,
        "targets out of reach": len(TARGETS) - len(reached),
        "by target": found,
        "training": method.card.metrics,
        "range": [method.card.properties[0].low, method.card.properties[0].high],
        "processor seconds": time.process_time() - start,
    }


def _designed(method: Method, target: float) -> dict[str, float]:
    """Summary of the designs for a target; empty where it lies outside what the candidate can make."""
    card = method.card.properties[0]
    if not card.low <= target <= card.high:
        return {}
    designs = Designer.of(method).design(Target.value("absorption", target), COUNT, seed=0)
    return {**designs.summary, "diversity": diversity(torch.as_tensor(designs.structures).float())}


def main() -> None:
    rows = []
    for shape in CANDIDATES:
        rows.append(candidate(shape))
        print(rows[-1], flush=True)
    steps = f"{STEPS} steps of 64 structures"
    notes = [f"{steps}, {STRUCTURES} structures, {HARMONICS} harmonics, {COUNT} designs a target"]
    print(write_results("vqvae-latents", "python benchmarks/vqvae_latents.py", rows, [], notes))


if __name__ == "__main__":
    main()
