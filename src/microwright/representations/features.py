"""Descriptors of images for style and collapse losses: feature maps at several scales.

Which features serve is a choice. VGG-16 (Simonyan & Zisserman 2015) is the papers'; its weights must be at hand. Fixed
random filters at several scales describe textures about as well (Ustyuzhaninov et al. 2016) and need no download. The
two-point correlation by FFT is the field's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from microwright.errors import InputError
from microwright.structures.statistics import two_point_correlation
from microwright.training import seeded


class Features(Protocol):
    """Images in [−1, 1] → feature maps, one tensor a layer."""

    def __call__(self, images: Float[Tensor, "batch 1 x y"]) -> Sequence[Float[Tensor, "batch channels x2 y2"]]: ...


class RandomFilters(nn.Module):
    """Fixed random filters on the image at full, half and quarter resolution.

    Args:
        channels: filters a scale.
        width: edge of a filter in pixels.
        scales: number of resolutions, each half of the one before.
        seed: seed of the filters.
    """

    filters: Tensor

    def __init__(self, channels: int = 16, width: int = 5, scales: int = 3, seed: int = 0) -> None:
        super().__init__()
        drawn = torch.randn((channels, 1, width, width), generator=torch.Generator().manual_seed(seed))
        # zero mean: the filters see contrast, not brightness
        drawn = drawn - drawn.mean((2, 3), keepdim=True)
        self.register_buffer("filters", drawn / drawn.flatten(1).norm(dim=1)[:, None, None, None])
        self.scales = scales

    def forward(self, images: Float[Tensor, "batch 1 x y"]) -> list[Float[Tensor, "batch channels x2 y2"]]:
        maps = []
        for _ in range(self.scales):
            images = F.avg_pool2d(images, 2)
            # structures are periodic, so the filters wrap around
            wrapped = F.pad(images, [self.filters.shape[-1] // 2] * 4, mode="circular")
            maps.append(F.relu(F.conv2d(wrapped, self.filters)))
        return maps


class TwoPointFeatures(nn.Module):
    """The periodic two-point autocorrelation of each image as a single feature map (Torquato 2002, chapter 2)."""

    def forward(self, images: Float[Tensor, "batch 1 x y"]) -> list[Float[Tensor, "batch 1 x y"]]:
        return [two_point_correlation((images[:, 0] + 1) / 2)[:, None]]


class Vgg16Features(nn.Module):
    """VGG-16 after conv1_1, conv1_2 (pooled), conv2_1 and conv2_2 (pooled), the grey image repeated to three channels.

    Args:
        weights: a safetensors file with torchvision's names (``features.0.weight``, ...).

    Raises:
        InputError: the file is missing or holds other tensors.
    """

    channels = (3, 64, 64, 128, 128)

    def __init__(self, weights: Path) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(i, o, 3, padding=1) for i, o in pairwise(self.channels))
        try:
            stored = load_file(weights)
            # torchvision counts ReLU and pooling layers too
            for layer, index in zip(self.layers, (0, 2, 5, 7), strict=True):
                layer.load_state_dict({part: stored[f"features.{index}.{part}"] for part in ("weight", "bias")})
        except (OSError, KeyError, RuntimeError) as error:
            raise InputError(
                f"{weights}: no VGG-16 weights in safetensors with torchvision's names ({type(error).__name__}); "
                "convert them first, or choose the features 'random'"
            ) from error
        self.requires_grad_(False)

    def forward(self, images: Float[Tensor, "batch 1 x y"]) -> list[Float[Tensor, "batch channels x2 y2"]]:
        x = images.expand(-1, 3, -1, -1)
        maps = []
        for index, layer in enumerate(self.layers):
            x = F.relu(layer(x))
            if index % 2:
                x = F.max_pool2d(x, 2)
            maps.append(x)
        return maps


def features_named(name: str, weights: Path | None = None) -> nn.Module:
    """The feature extractor called ``random``, ``two-point`` or ``vgg16``.

    Raises:
        InputError: another name, or ``vgg16`` without a file of weights.
    """
    if name == "vgg16":
        if weights is None:
            raise InputError("features: vgg16 needs a file of weights; give one, or choose 'random'")
        return seeded(0, lambda: Vgg16Features(weights))
    table = {"random": RandomFilters, "two-point": TwoPointFeatures}
    if name not in table:
        raise InputError(f"features: '{name}' is unknown; choose random, two-point or vgg16")
    return table[name]()


def gram_matrix(features: Float[Tensor, "batch channels x y"]) -> Float[Tensor, "channels channels"]:
    """G = F Fᵀ over all positions, mean over the batch."""
    flat = features.flatten(2)
    return torch.einsum("bcn,bdn->cd", flat, flat) / len(flat)


def style_loss(real: Sequence[Tensor], fake: Sequence[Tensor], weight: float = 0.3) -> Float[Tensor, ""]:
    """Distance of the Gram matrices of two batches, Σ w ‖G_real − G_fake‖² / (4 C² (HW)²) (Gatys et al. 2016)."""
    losses = [
        weight * (gram_matrix(r) - gram_matrix(f)).square().sum() / (4 * r.shape[1] ** 2 * r[0, 0].numel() ** 2)
        for r, f in zip(real, fake, strict=True)
    ]
    return torch.stack(losses).sum()


def collapse_loss(fake: Sequence[Tensor]) -> Float[Tensor, ""]:
    """Mean squared cosine similarity of the features of each pair of fakes, over all layers (Yang et al. 2018)."""
    losses = []
    for layer in fake:
        unit = F.normalize(layer.flatten(1), dim=1)
        similarity = unit @ unit.T
        pairs = len(unit) * (len(unit) - 1)
        losses.append((similarity.square().sum() - similarity.diagonal().square().sum()) / pairs)
    return torch.stack(losses).sum()
