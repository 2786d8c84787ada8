"""A model on disk: a folder with ``weights.safetensors`` and ``card.json``.

The card says by itself what the model is: method, properties and their physics, grid, how it was trained and on what,
what range of properties it saw. No pickle: loading a model cannot run code.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

import microwright
from microwright.errors import InputError
from microwright.physics.property import Property
from microwright.training.tensors import write_tensors

FORMAT: Literal[1] = 1
#: trained models that come with the package
SHIPPED = Path(__file__).resolve().parent.parent / "shipped"


class PropertyCard(BaseModel):
    """A property with the range and the distribution of its values in the training data."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    unit: str
    description: str
    low: float
    high: float
    quantiles: tuple[float, ...] = ()

    @property
    def property(self) -> Property:
        return Property(self.name, self.unit, self.description)


class PartCard(BaseModel):
    """A network: its kind and the arguments that build it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    config: dict[str, Any]


class ModelCard(BaseModel):
    """Everything about a model but its weights; ``temperature`` scales the inverter's σ when it is drawn from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = FORMAT
    method: str
    version: str
    properties: tuple[PropertyCard, ...]
    grid: tuple[int, ...]
    solver: dict[str, Any]
    representation: PartCard
    inverter: PartCard
    temperature: float = 1.0
    training: dict[str, Any]
    metrics: dict[str, float]
    weights_sha256: str = ""


def property_cards(properties: tuple[Property, ...], values: Tensor) -> tuple[PropertyCard, ...]:
    """Cards of ``properties`` from the labelled ``values`` (n, p): range and percentiles."""
    probabilities = torch.linspace(0, 1, 101, dtype=values.dtype)
    return tuple(
        PropertyCard(
            name=item.name,
            unit=item.unit,
            description=item.description,
            low=float(column.min()),
            high=float(column.max()),
            quantiles=tuple(round(float(q), 6) for q in torch.quantile(column, probabilities)),
        )
        for item, column in zip(properties, values.T, strict=True)
    )


def write_model(folder: Path, card: ModelCard, parts: Mapping[str, nn.Module]) -> None:
    """Write ``card`` and the weights of ``parts`` to ``folder``, which appears only when whole."""
    aside = folder.with_name(folder.name + ".partial")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    weights = {
        f"{name}.{key}": value.detach().cpu().contiguous()
        for name, part in parts.items()
        for key, value in part.state_dict().items()
    }
    write_tensors(aside / "weights.safetensors", weights)
    digest = hashlib.sha256((aside / "weights.safetensors").read_bytes()).hexdigest()
    whole = card.model_copy(update={"weights_sha256": digest, "version": microwright.__version__})
    (aside / "card.json").write_text(whole.model_dump_json(indent=1) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    aside.replace(folder)


def read_card(folder: Path) -> ModelCard:
    """The card of the model in ``folder``.

    Raises:
        InputError: no model there, or a card of another version.
    """
    path = folder / "card.json"
    if not path.is_file():
        raise InputError(f"model: {folder} holds no card.json; give the folder that training wrote")
    try:
        content = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"model: {path} is no JSON ({error}); train or copy the model again") from error
    found = content.get("format") if isinstance(content, dict) else None
    if found != FORMAT:
        raise InputError(f"model: {path} has format {found}, this version reads format {FORMAT}; train the model again")
    try:
        return ModelCard.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InputError(f"model: {path}: {place}: {first['msg']}; train or copy the model again") from error


def load_weights(folder: Path, parts: Mapping[str, nn.Module]) -> None:
    """Load ``weights.safetensors`` into ``parts``.

    Raises:
        InputError: the file is missing, damaged, or does not fit the card.
    """
    path = folder / "weights.safetensors"
    try:
        weights = load_file(path)
        for name, part in parts.items():
            prefix = f"{name}."
            own = {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}
            part.load_state_dict(own)
            part.eval()
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"model: {path} cannot be used ({reason}); train or copy the model again") from error
