"""Bayesian optimisation in the GAN latent (Yang et al. 2018, 2021): the solver in the loop, one target at a time.

Training makes the generator and the response surface that every target starts from: the properties of 250 structures
at Sobol points of the latent box. A proposal then chooses 400 more points for its target, one after the other, and
gives the structures that came nearest.

Every point that was solved is kept in ``searches`` in the model's folder: the same target and seed continue where they
were stopped, and cost nothing when asked for again.
"""

from __future__ import annotations

import math
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from microwright.data.labelling import label
from microwright.data.sources import ArraySource
from microwright.data.store import LabelledSet
from microwright.errors import InputError
from microwright.methods.base import Method, Proposals
from microwright.methods.card import ModelCard, PartCard, property_cards
from microwright.methods.gan_mdn import generator_stage
from microwright.methods.recipes import Recipe
from microwright.methods.target_search import Evaluations, SearchSettings, TargetSearch, sobol_points
from microwright.methods.workspace import Workspace
from microwright.physics.catalogue import solver_from_spec
from microwright.physics.property import Solver
from microwright.representations.gan import GanRepresentation

NAME = "bayesian-optimisation"


class ResponseSurface(nn.Module):
    """The evaluations that every search starts from.

    Args:
        count: number of points.
        dimensions: of the unit cube.
    """

    points: Tensor
    values: Tensor

    def __init__(self, count: int, dimensions: int) -> None:
        super().__init__()
        self.register_buffer("points", torch.zeros(count, dimensions, dtype=torch.float64))
        self.register_buffer("values", torch.zeros(count, dtype=torch.float64))

    @property
    def evaluations(self) -> Evaluations:
        return Evaluations(self.points, self.values)


class BayesianOptimisation(Method):
    """Searches the latents of a generator for each target.

    Args:
        card: the model's card.
        representation: the trained generator.
        surface: the initial evaluations.
        settings: of the search.
    """

    def __init__(
        self, card: ModelCard, representation: GanRepresentation, surface: ResponseSurface, settings: SearchSettings
    ) -> None:
        self.card = card
        self.representation = representation
        self.surface = surface
        self.settings = settings
        self.history: Path | None = None

    def propose(self, target: Float[Tensor, "p"], count: int, generator: torch.Generator) -> Proposals:
        """The ``count`` different structures nearest to the target of all that the search solved.

        Raises:
            InputError: a target outside the range of the response surface, or more structures than were solved.
        """
        self.check_target(target)
        wanted = float(target[0])
        found = self.search(wanted, generator.initial_seed())
        order = found.distance(wanted).argsort(stable=True)
        return self._different(found.points[order], count)

    def search(self, target: float, seed: int) -> Evaluations:
        """Every evaluation for ``target``: the response surface's, then those that the optimisation chose."""
        solver = solver_from_spec(self.card.solver)

        def evaluate(point: Float[Tensor, "m"]) -> float:
            with torch.no_grad():
                return float(solver.solve(self._decode(point[None])).values[0, 0])

        path = self._path(target, seed)
        return TargetSearch(evaluate, self.surface.evaluations, target, self.settings, seed, path).run()

    def begun(self, target: float, seed: int) -> bool:
        """Whether an earlier search for ``target`` left evaluations that will not be made again."""
        path = self._path(target, seed)
        return path is not None and path.exists()

    def _path(self, target: float, seed: int) -> Path | None:
        return None if self.history is None else self.history / f"{target:.10g}-{seed}.jsonl"

    def _decode(self, points: Float[Tensor, "n m"]) -> Float[Tensor, "n x y"]:
        """Structures at points of the unit cube, one at a time: a convolution's rounding depends on its batch."""
        latents = latents_at(points, self.representation)
        return torch.cat([self.representation.structures(latent[None]) for latent in latents])

    def _different(self, points: Float[Tensor, "n m"], count: int) -> Proposals:
        """The first ``count`` points whose structures differ from all before them."""
        kept: dict[bytes, tuple[Tensor, Tensor]] = {}
        for point in points:
            structure = self._decode(point[None])[0]
            kept.setdefault(structure.to(torch.uint8).numpy().tobytes(), (structure, point))
            if len(kept) == count:
                structures, chosen = (torch.stack(part) for part in zip(*kept.values(), strict=True))
                return Proposals(structures, latents_at(chosen, self.representation))
        raise InputError(f"count: the search solved {len(kept)} different structures, not {count}; ask for fewer")

    @property
    def parts(self) -> dict[str, nn.Module]:
        return {"representation": self.representation, "surface": self.surface}

    def load_weights(self, folder: Path) -> None:
        super().load_weights(folder)
        # an installed model may lie where one cannot write: its searches are then not kept
        self.history = folder / "searches" if os.access(folder, os.W_OK) else None


def latents_at(points: Float[Tensor, "n m"], representation: GanRepresentation) -> Float[Tensor, "n s s"]:
    """Points of the unit cube in the generator's box."""
    low, high = representation.latent_box
    return (low + (high - low) * points).float().reshape(-1, *representation.latent_shape)


def train(recipe: Recipe, workspace: Workspace, data: LabelledSet | None = None) -> BayesianOptimisation:
    """Make the generator and the response surface, and write them to ``workspace.model``.

    Args:
        recipe: sizes and settings.
        workspace: where the stages go and on what they run.
        data: a labelled set whose structures and solver are used in place of the recipe's family and cell.

    Raises:
        InputError: ``data`` is 3-D, has no solver to label new structures with, or more than one property.
    """
    representation, solver, origin = generator_stage(recipe, workspace, data)
    return from_generator(representation, solver, origin, recipe, workspace)


def from_generator(
    representation: GanRepresentation, solver: Solver, origin: dict[str, Any], recipe: Recipe, workspace: Workspace
) -> BayesianOptimisation:
    """The method on a generator that is trained already: solve the response surface, and write ``workspace.model``.

    Raises:
        InputError: the solver has more than one property.
    """
    if len(solver.properties) != 1:
        names = ", ".join(item.name for item in solver.properties)
        raise InputError(f"data: {NAME} searches for one property, the set has {names}; label it with one of them")
    points = sobol_points(recipe.search.initial, math.prod(representation.latent_shape), workspace.seed + 2)
    latents = latents_at(points, representation)
    structures = torch.cat([representation.structures(latent[None]) for latent in latents])
    source = ArraySource(structures.to(torch.uint8).numpy(), "Sobol points of the latent box", latents.numpy())
    labels = label(source, solver, workspace.folder / "surface.zarr", len(points), **workspace.labelling)
    used = labels.usable()
    values = torch.as_tensor(labels.properties[used])
    surface = ResponseSurface(len(used), points.shape[1])
    surface.points.copy_(points[used])
    surface.values.copy_(values[:, 0])
    card = ModelCard(
        method=NAME,
        version="",
        properties=property_cards(solver.properties, values),
        grid=representation.grid,
        solver=solver.spec(),
        representation=PartCard(kind="gan", config=representation.config()),
        inverter=PartCard(kind=NAME, config={**asdict(recipe.search), "initial": len(used)}),
        training={"recipe": recipe.name, "seed": workspace.seed, "structures": origin, "data": labels.fingerprint()},
        metrics={},
    )
    method = BayesianOptimisation(card, representation, surface, recipe.search)
    method.save(workspace.model)
    return method


def build(card: ModelCard) -> BayesianOptimisation:
    """The method that ``card`` describes, without weights and evaluations."""
    representation = GanRepresentation(**card.representation.config)
    settings = SearchSettings(**card.inverter.config)
    surface = ResponseSurface(settings.initial, math.prod(representation.latent_shape))
    return BayesianOptimisation(card, representation, surface, settings)
