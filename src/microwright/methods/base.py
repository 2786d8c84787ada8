"""What a method is: from target properties to proposed structures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from microwright.errors import InputError
from microwright.inverters.mdn import MixtureDensityNetwork
from microwright.inverters.sampling import draw, draw_inside, tempered
from microwright.methods.card import ModelCard, load_weights, write_model
from microwright.physics.property import Property
from microwright.representations.base import Representation


@dataclass(frozen=True)
class Proposals:
    """Binary structures proposed for one target, with the latents that they were made from."""

    structures: Float[Tensor, "count *grid"]
    latents: Float[Tensor, "count *latent"]


class Method(ABC):
    """Proposes structures for a target.

    Attributes:
        card: what the method was trained for and on.
    """

    card: ModelCard

    @property
    def properties(self) -> tuple[Property, ...]:
        return tuple(item.property for item in self.card.properties)

    @abstractmethod
    def propose(self, target: Float[Tensor, "p"], count: int, generator: torch.Generator) -> Proposals:
        """``count`` structures for the property values ``target``, in the order of ``properties``."""

    @property
    @abstractmethod
    def parts(self) -> dict[str, nn.Module]:
        """Everything with weights, by the name that it has in the file."""

    def save(self, folder: Path) -> None:
        """Write the model to ``folder``."""
        write_model(folder, self.card, self.parts)

    def load_weights(self, folder: Path) -> None:
        """Take the weights from ``folder``."""
        load_weights(folder, self.parts)

    def check_target(self, target: Float[Tensor, "p"]) -> None:
        """Refuse a target outside the range that training saw.

        Raises:
            InputError: naming the property and its range.
        """
        for item, value in zip(self.card.properties, target.tolist(), strict=True):
            if not item.low <= value <= item.high:
                raise InputError(
                    f"target: {item.name} = {value:g} cannot be reached, the model saw {item.low:.4g} to "
                    f"{item.high:.4g}; choose a value in that range, or train on other structures"
                )


class LatentMethod(Method):
    """A representation and a mixture density network: the shape of every method of the 2-D papers.

    Args:
        card: the model's card.
        representation: structures ↔ latents.
        inverter: properties → distribution over flattened latents.
    """

    def __init__(self, card: ModelCard, representation: Representation, inverter: MixtureDensityNetwork) -> None:
        self.card = card
        self.representation = representation
        self.inverter = inverter

    def propose(self, target: Float[Tensor, "p"], count: int, generator: torch.Generator) -> Proposals:
        self.check_target(target)
        latents = self.draw_latents(target, count, generator)
        return Proposals(self.representation.structures(latents), latents)

    @torch.no_grad()
    def draw_latents(
        self, target: Float[Tensor, "p"], count: int, generator: torch.Generator
    ) -> Float[Tensor, "count *latent"]:
        """Draws from p(z | target), inside the latent box where there is one."""
        mixture = tempered(self.inverter(target[None].float()), self.card.temperature)
        box = self.representation.latent_box
        flat = draw(mixture, count, generator) if box is None else draw_inside(mixture, count, generator, *box)
        return flat.reshape(count, *self.representation.latent_shape)

    @property
    def parts(self) -> dict[str, nn.Module]:
        return {"representation": self.representation, "inverter": self.inverter}
