r"""How far apart two volumes are as textures: the reconstruction loss of VAE-Regression, behind one interface.

A random structure is told by its statistics, not by its voxels, so the loss compares statistics that a translation
leaves as they are. Three kinds:

``two-point`` (the default, no download)
    the two-point correlation S₂(r), the field's own descriptor (Torquato 2002), by FFT: the norm of its difference
    with the weight 1/(1 + |r|³). Every octave of distances then counts alike, where equal weights would leave the shape
    of the phases, told at short distances, a share of a thousandth. The norm, not its square: once the phase fraction
    agrees, what the morphology adds is small, and its square would be too small for a latent to be spent on it.
``random``
    Gram matrices of fixed random filters on slices (Ustyuzhaninov et al. 2016).
``vgg19``
    Gram matrices of VGG-19 on slices (Gatys et al. 2016), the paper's; its weights come from a file.

Gram matrices are taken over all slices normal to each of the three axes and added up. The paper compares slice by
slice; here a direction's slices make one Gram matrix, so that a shift along the normal costs nothing either.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from microwright.errors import InputError
from microwright.representations.features import Features, RandomFilters
from microwright.training import seeded

STYLES = ("two-point", "random", "vgg19")
#: differences of S₂ below this have a gradient that vanishes, so that the norm has one everywhere
ROUNDING = 1e-4


class StyleLoss(nn.Module, ABC):
    """Distance of the textures of two batches of volumes, pair by pair; differentiable in both."""

    @abstractmethod
    def forward(
        self, real: Float[Tensor, "batch x y z"], other: Float[Tensor, "batch x y z"]
    ) -> Float[Tensor, "batch"]:
        """The distance of each pair, 0 for a translated copy."""


class TwoPointStyle(StyleLoss):
    """√Σ_r w(r) (S₂(r) − Ŝ₂(r))² with w ∝ 1/(1 + |r|³), Σ w = 1; rounded off below ``ROUNDING``."""

    def forward(
        self, real: Float[Tensor, "batch x y z"], other: Float[Tensor, "batch x y z"]
    ) -> Float[Tensor, "batch"]:
        grid = tuple(real.shape[1:])
        # the correlation is linear in the power spectrum, so one transform back serves both
        power = _power(real) - _power(other)
        difference = torch.fft.irfftn(power, s=grid, dim=(1, 2, 3)) / real[0].numel()
        weight = shell_weights(grid).to(difference)
        return ((weight * difference.square()).flatten(1).sum(1) + ROUNDING**2).sqrt() - ROUNDING


def _power(volumes: Float[Tensor, "batch x y z"]) -> Float[Tensor, "batch x y half_z"]:
    """|F x|², one half of the spectrum."""
    spectrum = torch.view_as_real(torch.fft.rfftn(volumes, dim=(1, 2, 3)))
    return spectrum.square().sum(-1)


def shell_weights(grid: tuple[int, ...]) -> Float[Tensor, "*grid"]:
    """1/(1 + |r|³) of every lag r round the period, in voxels, of unit sum."""
    offsets = [torch.fft.fftfreq(n, d=1 / n) for n in grid]
    squares = torch.stack([offset.square() for offset in torch.meshgrid(*offsets, indexing="ij")]).sum(0)
    weights = 1 / (1 + squares**1.5)
    return weights / weights.sum()


class SliceStyle(StyleLoss):
    """Σ over directions and layers of ‖G − Ĝ‖²/(4 C²), G the Gram matrix per position over all slices of a direction.

    Args:
        features: images in [−1, 1] → feature maps.
    """

    def __init__(self, features: Features) -> None:
        super().__init__()
        self.features = features

    def forward(
        self, real: Float[Tensor, "batch x y z"], other: Float[Tensor, "batch x y z"]
    ) -> Float[Tensor, "batch"]:
        pairs = [
            (ours - theirs).square().sum((1, 2)) / (4 * ours.shape[1] ** 2)
            for axis in (1, 2, 3)
            for ours, theirs in zip(self._grams(real, axis), self._grams(other, axis), strict=True)
        ]
        return torch.stack(pairs).sum(0)

    def _grams(self, volumes: Tensor, axis: int) -> list[Float[Tensor, "batch c c"]]:
        slices = volumes.movedim(axis, 1)
        images = 2 * slices.reshape(-1, 1, *slices.shape[2:]) - 1
        return [volume_grams(maps, len(volumes)) for maps in self.features(images)]


def volume_grams(maps: Float[Tensor, "slices c x y"], volumes: int) -> Float[Tensor, "volumes c c"]:
    """G = F Fᵀ/N over the N positions of all slices of a volume."""
    flat = maps.reshape(volumes, -1, *maps.shape[1:]).transpose(1, 2).flatten(2)
    return flat @ flat.transpose(1, 2) / flat.shape[2]


class Vgg19Features(nn.Module):
    """VGG-19 after the first convolution of each of its five blocks (Gatys et al. 2016).

    Args:
        weights: a safetensors file with torchvision's names (``features.0.weight``, ...).

    Raises:
        InputError: the file is missing or holds other tensors.
    """

    #: convolutions of each block up to the last one needed, and their channels
    blocks = ((2, 64), (2, 128), (4, 256), (4, 512), (1, 512))

    def __init__(self, weights: Path) -> None:
        super().__init__()
        blocks = _vgg_blocks(self.blocks)
        self.layers = nn.ModuleList(layer for block in blocks for layer in block)
        try:
            stored = load_file(weights)
            for index, layer in zip(_vgg_indices(self.blocks), self.layers, strict=True):
                layer.load_state_dict({part: stored[f"features.{index}.{part}"] for part in ("weight", "bias")})
        except (OSError, KeyError, RuntimeError, SafetensorError) as error:
            raise InputError(
                f"{weights}: no VGG-19 weights in safetensors with torchvision's names ({type(error).__name__}); "
                "convert them first, or choose the style 'two-point'"
            ) from error
        self.requires_grad_(False)

    def forward(self, images: Float[Tensor, "batch 1 x y"]) -> list[Float[Tensor, "batch channels x2 y2"]]:
        x = images.expand(-1, 3, -1, -1)
        maps = []
        layers = iter(self.layers)
        for number, (count, _) in enumerate(self.blocks):
            x = F.relu(next(layers)(F.max_pool2d(x, 2) if number else x))
            maps.append(x)
            for _ in range(count - 1):
                x = F.relu(next(layers)(x))
        return maps


def _vgg_blocks(blocks: Sequence[tuple[int, int]]) -> list[list[nn.Conv2d]]:
    made, inputs = [], 3
    for count, channels in blocks:
        sizes = [inputs, *[channels] * count]
        made.append([nn.Conv2d(i, o, 3, padding=1) for i, o in pairwise(sizes)])
        inputs = channels
    return made


def _vgg_indices(blocks: Sequence[tuple[int, int]]) -> list[int]:
    """Places in torchvision's list, which counts each convolution's ReLU and each block's pooling too."""
    places, place = [], 0
    for count, _ in blocks:
        places += [place + 2 * layer for layer in range(count)]
        place += 2 * count + 1
    return places


def style_named(name: str, weights: Path | None = None) -> StyleLoss:
    """The style loss called ``two-point``, ``random`` or ``vgg19``.

    Raises:
        InputError: another name, or ``vgg19`` without a file of weights.
    """
    if name == "two-point":
        return TwoPointStyle()
    if name == "random":
        return SliceStyle(RandomFilters())
    if name != "vgg19":
        raise InputError(f"style: '{name}' is unknown; choose {', '.join(STYLES)}")
    if weights is None:
        raise InputError("style: vgg19 needs a safetensors file of weights; give one, or choose 'two-point'")
    return SliceStyle(seeded(0, lambda: Vgg19Features(weights)))
