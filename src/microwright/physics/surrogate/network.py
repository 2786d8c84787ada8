"""The ensemble's networks: small, convolutional, periodic, in two and three dimensions.

A structure is averaged onto a coarse lattice (properties of wavelength- or cell-sized physics see little below it).
Each convolution wraps round the period; after each, mean and mean square of the activations over the lattice are the
features, so that a translation by lattice steps changes nothing. The phase fraction is a feature too. A linear map and
a small perceptron of the features are added: with few samples the linear part carries the fit, and kriging takes up
what it leaves (`microwright.physics.surrogate.kriging`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from microwright.errors import InputError
from microwright.physics.surrogate.kriging import Kriging
from microwright.training import seeded


@dataclass(frozen=True)
class EnsembleShape:
    """Sizes of the networks.

    Attributes:
        members: networks in the ensemble.
        lattice: cells along the longest side of the coarse lattice (fewer where the structure has fewer pixels).
        channels: filters of each convolution.
        width: edge of a filter in lattice cells, odd.
        depth: convolutions.
        hidden: neurons of the perceptron.
    """

    members: int = 4
    lattice: int = 16
    channels: int = 12
    width: int = 5
    depth: int = 2
    hidden: int = 32

    def __post_init__(self) -> None:
        if min(asdict(self).values()) < 1 or self.width % 2 == 0 or self.members < 2:
            raise InputError(f"surrogate shape {self}: sizes of at least 1, an odd width, and at least 2 members")

    @staticmethod
    def for_dimensions(dimensions: int) -> EnsembleShape:
        """The default: volumes get a coarser lattice and narrower filters, which cost as much as those of images."""
        return EnsembleShape() if dimensions == 2 else EnsembleShape(lattice=12, channels=8, width=3)


class SurrogateNetwork(nn.Module):
    """One member: structures to standardised properties.

    Args:
        grid: pixels per axis.
        properties: number of properties.
        shape: sizes.
    """

    def __init__(self, grid: tuple[int, ...], properties: int, shape: EnsembleShape) -> None:
        super().__init__()
        self.lattice = coarse_lattice(grid, shape.lattice)
        self.wrap = [
            min(shape.width // 2, n) for n in reversed(self.lattice) for _ in range(2)
        ]  # F.pad counts the last axis first
        inputs = [1, *[shape.channels] * (shape.depth - 1)]
        convolution: type[nn.Module] = nn.Conv2d if len(grid) == 2 else nn.Conv3d
        widths = tuple(2 * min(shape.width // 2, n) + 1 for n in self.lattice)
        self.coarsened = (nn.AdaptiveAvgPool2d if len(grid) == 2 else nn.AdaptiveAvgPool3d)(self.lattice)
        self.convolutions = nn.ModuleList(convolution(n, shape.channels, widths) for n in inputs)
        features = 1 + 2 * shape.channels * shape.depth
        self.linear = nn.Linear(features, properties)
        self.perceptron = nn.Sequential(
            nn.Linear(features, shape.hidden), nn.SiLU(), nn.Linear(shape.hidden, properties)
        )

    def forward(self, structures: Float[Tensor, "batch *grid"]) -> Float[Tensor, "batch properties"]:
        features = self.features(structures)
        return self.linear(features) + self.perceptron(features)

    def features(self, structures: Float[Tensor, "batch *grid"]) -> Float[Tensor, "batch features"]:
        """Phase fraction, and mean and mean square of the activations of each layer."""
        maps = self.coarsened(2 * structures[:, None] - 1)
        found = [maps.flatten(1).mean(1, keepdim=True)]
        for convolution in self.convolutions:
            maps = F.silu(convolution(F.pad(maps, self.wrap, mode="circular")))
            flat = maps.flatten(2)
            found += [flat.mean(2), flat.square().mean(2)]
        return torch.cat(found, dim=1)


class Ensemble(nn.Module):
    """Members that differ by their first weights and by what they weigh in training.

    Args:
        grid: pixels per axis.
        properties: number of properties.
        shape: sizes.
        seed: of the first weights.
        anchors: samples whose residuals are kriged; 0 leaves the members as they are.
    """

    mean: Tensor
    std: Tensor
    floor: Tensor
    factor: Tensor

    def __init__(
        self, grid: tuple[int, ...], properties: int, shape: EnsembleShape, seed: int = 0, anchors: int = 0
    ) -> None:
        super().__init__()
        self.grid, self.shape = tuple(grid), shape
        self.kriging = Kriging(anchors, self.grid, shape.members, properties) if anchors else None
        self.members = seeded(
            seed, lambda: nn.ModuleList(SurrogateNetwork(self.grid, properties, shape) for _ in range(shape.members))
        )
        self.register_buffer("mean", torch.zeros(properties))
        self.register_buffer("std", torch.ones(properties))
        #: least spread that error bars are scaled by, and what conformal prediction multiplies them with
        self.register_buffer("floor", torch.zeros(properties, dtype=torch.float64))
        self.register_buffer("factor", torch.full((properties,), torch.nan, dtype=torch.float64))

    def standardise_by(self, values: Float[Tensor, "n properties"]) -> None:
        """Take the scale of the outputs from the training values."""
        self.mean.copy_(values.mean(0))
        self.std.copy_(values.std(0).clamp_min(1e-12))

    def standardised(self, structures: Float[Tensor, "batch *grid"]) -> Float[Tensor, "batch members properties"]:
        """What each member says, in standard deviations of the training values."""
        return torch.stack([member(structures) for member in self.members], dim=1)

    def forward(self, structures: Float[Tensor, "batch *grid"]) -> Float[Tensor, "batch members properties"]:
        """What each member says, in the properties' units."""
        said = self.standardised(structures.float()).double()
        if self.kriging is not None:
            said = said + self.kriging(structures)
        return said * self.std.double() + self.mean.double()

    def krige(self, structures: Float[Tensor, "n *grid"], values: Float[Tensor, "n properties"]) -> None:
        """Take up by kriging what the members leave of these samples."""
        standardised = (values.double() - self.mean) / self.std
        with torch.no_grad():
            said = torch.cat([self.standardised(part.float()) for part in structures.split(128)]).double()
        self.kriging = Kriging(len(structures), self.grid, self.shape.members, len(self.mean))
        self.kriging.fit(structures, standardised[:, None] - said)

    def config(self) -> dict[str, Any]:
        """The arguments that build this ensemble again, as JSON."""
        anchors = 0 if self.kriging is None else len(self.kriging.anchors)
        sizes = {"grid": list(self.grid), "properties": len(self.mean), "anchors": anchors}
        return {**sizes, "shape": asdict(self.shape)}

    @staticmethod
    def from_config(config: dict[str, Any]) -> Ensemble:
        """An ensemble without its weights."""
        shape = EnsembleShape(**config["shape"])
        return Ensemble(tuple(config["grid"]), config["properties"], shape, anchors=config.get("anchors", 0))


def coarse_lattice(grid: tuple[int, ...], longest: int) -> tuple[int, ...]:
    """Cells of the lattice, in the proportions of the grid; never finer than the grid.

    For example (64, 64) at 16 is (16, 16), (96, 48) is (16, 8), and (8, 8) stays.
    """
    share = min(1.0, longest / max(grid))
    return tuple(max(1, round(n * share)) for n in grid)
