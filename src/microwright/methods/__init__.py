"""Published ways to go from a target to structures; each is one file and one entry in ``METHODS``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from microwright.data.store import LabelledSet
from microwright.errors import InputError
from microwright.methods import bayesian_optimisation, gan_mdn, pca_mdn, pixel_mdn, vae_regression, vqvae_mdn
from microwright.methods.base import Method, Proposals
from microwright.methods.card import SHIPPED, ModelCard, read_card
from microwright.methods.recipes import Recipe
from microwright.methods.workspace import Workspace, request_of


@dataclass(frozen=True)
class MethodEntry:
    """How a method is trained, and how its networks are built again from a card."""

    train: Callable[[Recipe, Workspace, LabelledSet | None], Method]
    build: Callable[[ModelCard], Method]


METHODS = {
    module.NAME: MethodEntry(module.train, module.build)
    for module in (gan_mdn, vqvae_mdn, pca_mdn, pixel_mdn, bayesian_optimisation, vae_regression)
}


def method_named(name: str) -> MethodEntry:
    """The entry of the method called ``name``.

    Raises:
        InputError: no such method.
    """
    if name not in METHODS:
        raise InputError(f"method: '{name}' is unknown; choose {', '.join(METHODS)}")
    return METHODS[name]


def load_method(folder: Path) -> Method:
    """The trained method in ``folder``.

    Raises:
        InputError: no model there, of another version, or damaged.
    """
    card = read_card(folder)
    method = method_named(card.method).build(card)
    method.load_weights(folder)
    return method


def load_shipped(name: str) -> Method:
    """The model called ``name`` that comes with the package, for instance ``"gan-mdn-data-2"``.

    Raises:
        InputError: no such model.
    """
    if not (SHIPPED / name).is_dir():
        there = ", ".join(sorted(folder.name for folder in SHIPPED.iterdir() if folder.is_dir()))
        raise InputError(f"model: no '{name}' comes with the package; choose {there}")
    return load_method(SHIPPED / name)


def model_of(method: str, place: Path = SHIPPED) -> Path:
    """The folder of a trained model of ``method``: ``place`` itself, or one of the folders in it.

    Raises:
        InputError: no such method, or no model of it there.
    """
    method_named(method)
    for folder in (place, *(sorted(place.iterdir()) if place.is_dir() else ())):
        if (folder / "card.json").is_file() and read_card(folder).method == method:
            return folder
    where = "comes with the package" if place == SHIPPED else f"is in {place}"
    raise InputError(
        f"method: no trained {method} {where}; run `microwright train {method} --out MODEL`, then give --model MODEL"
    )


def shipped_for(properties: Sequence[str]) -> Path:
    """The folder of the model that comes with the package and proposes for most of the named properties.

    What the model does not know, refinement has to bring about.

    Raises:
        InputError: none proposes for any of them.
    """
    cards = {folder: read_card(folder) for folder in sorted(SHIPPED.iterdir()) if (folder / "card.json").is_file()}
    known = {folder: {item.name for item in card.properties} for folder, card in cards.items()}
    fitting = [folder for folder, names in known.items() if names <= set(properties)]
    if not fitting:
        told = ", ".join(sorted(set().union(*known.values())))
        raise InputError(
            f"property: no model that comes with the package designs for {', '.join(properties)}, they do for {told}; "
            "train one with `microwright train`, then give --model MODEL"
        )
    return max(fitting, key=lambda folder: len(known[folder]))


def train_method(name: str, recipe: Recipe, workspace: Workspace, data: LabelledSet | None = None) -> Method:
    """Train the method called ``name``, continuing a killed training of the same request."""
    entry = method_named(name)
    fingerprint = None if data is None else data.fingerprint()
    with workspace.opened(request_of(name, recipe, workspace.seed, fingerprint)):
        return entry.train(recipe, workspace, data)


__all__ = [
    "METHODS",
    "Method",
    "MethodEntry",
    "Proposals",
    "SHIPPED",
    "load_method",
    "load_shipped",
    "method_named",
    "model_of",
    "shipped_for",
    "train_method",
]
