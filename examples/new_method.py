"""A method of your own: look the target up among the labelled structures, and give the nearest.

It stands for any way from a target to structures: ``train`` makes it from a labelled set and writes a folder, ``build``
makes it again from the folder's card, and ``propose`` answers. The designer verifies and refines what it proposes.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from microwright.data.labelling import label
from microwright.data.sources import RandomFieldSource
from microwright.data.store import LabelledSet
from microwright.design.designer import Designer
from microwright.design.exact import Request, exact_designs
from microwright.design.targets import parse_target
from microwright.errors import InputError
from microwright.methods import METHODS, MethodEntry, load_method, train_method
from microwright.methods.base import Method, Proposals
from microwright.methods.card import ModelCard, PartCard, property_cards
from microwright.methods.recipes import Recipe, recipe_named
from microwright.methods.workspace import Workspace
from microwright.physics.catalogue import solver_from_spec
from microwright.physics.optics import RcwaNumerics, RcwaSolver, default_cell

NAME = "nearest"


class Library(nn.Module):
    """Labelled structures as buffers, so that they are saved and loaded like weights."""

    def __init__(self, samples: int, properties: int, grid: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("structures", torch.zeros(samples, *grid, dtype=torch.uint8))
        self.register_buffer("values", torch.zeros(samples, properties, dtype=torch.float64))


class Nearest(Method):
    """The labelled structures whose properties are nearest to the target.

    Args:
        card: the model's card.
        library: what it looks up in.
    """

    def __init__(self, card: ModelCard, library: Library) -> None:
        self.card = card
        self.library = library

    def propose(self, target: Float[Tensor, "p"], count: int, generator: torch.Generator) -> Proposals:
        self.check_target(target)
        scale = self.library.values.std(0)
        order = ((self.library.values - target) / scale).norm(dim=1).argsort()[:count]
        structures = self.library.structures[order].float()
        # a structure has no origin: a random shift round the period makes each seed's answer another one
        shifts = torch.randint(0, structures.shape[-1], (len(structures), 2), generator=generator).tolist()
        moved = [structure.roll(tuple(shift), (0, 1)) for structure, shift in zip(structures, shifts, strict=True)]
        return Proposals(torch.stack(moved), order[:, None].float())

    @property
    def parts(self) -> dict[str, nn.Module]:
        return {"library": self.library}


def train(recipe: Recipe, workspace: Workspace, data: LabelledSet | None = None) -> Nearest:
    """Write the usable samples of ``data`` to ``workspace.model``.

    Raises:
        InputError: no labelled set.
    """
    if data is None:
        raise InputError(f"data: {NAME} looks up in a labelled set; give one with --data")
    used = data.usable()
    values = torch.as_tensor(data.properties[used])
    size = {"samples": len(used), "properties": values.shape[1], "grid": list(data.grid)}
    library = Library(**size)
    library.structures.copy_(torch.as_tensor(data.structures[used]))
    library.values.copy_(values)
    card = ModelCard(
        method=NAME,
        version="",
        properties=property_cards(solver_from_spec(data.solver).properties, values),
        grid=data.grid,
        solver=data.solver,
        representation=PartCard(kind="library", config=size),
        inverter=PartCard(kind="nearest", config={}),
        training={"recipe": recipe.name, "seed": workspace.seed, "structures": data.source, "data": data.fingerprint()},
        metrics={},
    )
    method = Nearest(card, library)
    method.save(workspace.model)
    return method


def build(card: ModelCard) -> Nearest:
    """The empty library that ``card`` describes; ``load_method`` fills it."""
    return Nearest(card, Library(**card.representation.config))


METHODS[NAME] = MethodEntry(train, build)  # in the package: this file in methods/, and its name in METHODS

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = RandomFieldSource((32, 32), mean=0.0, std=(1.0, 2.0), phase_fraction=(0.2, 0.7), seed=0)
        data = label(source, RcwaSolver(default_cell(), RcwaNumerics(harmonics=25)), folder / "set.zarr", count=60)
        train_method(NAME, recipe_named("smoke"), Workspace(folder / "model"), data)

        designer = Designer.of(load_method(folder / "model"))
        target = parse_target("absorption=0.65", "absorption")
        looked_up = designer.design(target, count=4, seed=0)
        refined = exact_designs(designer, Request(target, count=4, seed=0))
        print("looked up:", looked_up.achieved[:, 0].round(4).tolist())
        print("refined:  ", refined.designs.achieved[:, 0].round(4).tolist(), refined.meeting, "met")
