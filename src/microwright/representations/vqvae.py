"""Vector-quantised autoencoder (van den Oord et al. 2017; Kilic et al. 2023).

The encoder takes a structure to a small map of D-dimensional vectors z_e, each vector is replaced by the nearest entry
e of a codebook, and the decoder makes a structure of the codes. The gradient passes the replacement straight through.
The codebook follows the exponential moving average of the vectors that chose each entry; entries that nothing chooses
start again at vectors of the batch (vector-quantize-pytorch). Structures are periodic, and so are all convolutions.

The latent is z_e, before quantisation: an inverter learns a density, and ``decode`` quantises.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from microwright.errors import InputError
from microwright.representations.base import EncodingRepresentation

KERNEL = 4


@dataclass(frozen=True)
class VqVaeShape:
    """Sizes that the paper does not publish.

    Attributes:
        downsamplings: halvings of the edge from structure to latent map.
        embedding: dimensions D of a code.
        codes: entries of the codebook.
        width: filters of the outermost layer; each halving doubles them, up to ``widest``.
        widest: at most so many filters.
        decay: of the codebook's moving average.
    """

    downsamplings: int = 5
    embedding: int = 2
    codes: int = 64
    width: int = 8
    widest: int = 64
    decay: float = 0.99

    @property
    def filters(self) -> tuple[int, ...]:
        """Filters of each layer, from the image inwards."""
        return tuple(min(self.width * 2**layer, self.widest) for layer in range(self.downsamplings))


@dataclass(frozen=True)
class Quantised:
    """What the codebook makes of a batch of latents.

    Attributes:
        codes: the nearest entries, with the gradient of the latents.
        indices: which entries they are.
    """

    codes: Float[Tensor, "batch d s t"]
    indices: Int[Tensor, "batch s t"]


class Halving(nn.Module):
    """Periodic convolution of stride 2."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, KERNEL, stride=2)

    def forward(self, x: Float[Tensor, "batch i x y"]) -> Float[Tensor, "batch o x2 y2"]:
        return self.convolution(F.pad(x, [1] * 4, mode="circular"))


class Doubling(nn.Module):
    """Periodic transposed convolution of stride 2."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        # the pixel added on each side makes two, and the kernel reaches one further
        self.convolution = nn.ConvTranspose2d(inputs, outputs, KERNEL, stride=2, padding=3)

    def forward(self, x: Float[Tensor, "batch i x y"]) -> Float[Tensor, "batch o x2 y2"]:
        return self.convolution(F.pad(x, [1] * 4, mode="circular"))


def encoder_network(shape: VqVaeShape) -> nn.Sequential:
    """(batch, 1, size, size) structures → (batch, D, s, s) latents of zero mean and unit variance."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise((1, *shape.filters)):
        layers += [Halving(inputs, outputs), nn.BatchNorm2d(outputs), nn.ReLU()]
    # without normalisation the latents shrink together until one entry serves them all
    layers += [nn.Conv2d(shape.filters[-1], shape.embedding, 1), nn.BatchNorm2d(shape.embedding, affine=False)]
    return nn.Sequential(*layers)


def decoder_network(shape: VqVaeShape) -> nn.Sequential:
    """(batch, D, s, s) codes → (batch, 1, size, size) structures in [0, 1]."""
    widest_first = shape.filters[::-1]
    layers: list[nn.Module] = [nn.Conv2d(shape.embedding, widest_first[0], 1), nn.ReLU()]
    for inputs, outputs in pairwise(widest_first):
        layers += [Doubling(inputs, outputs), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers, Doubling(widest_first[-1], 1), nn.Sigmoid())


def codebook_module(shape: VqVaeShape) -> nn.Module:
    """The codebook, started by k-means on the first batch.

    Raises:
        InputError: vector-quantize-pytorch is not installed.
    """
    try:
        from vector_quantize_pytorch import VectorQuantize
    except ImportError as error:
        raise InputError(
            "vqvae-mdn: vector-quantize-pytorch is missing; run `pip install 'microwright[vq]'`"
        ) from error
    return VectorQuantize(
        dim=shape.embedding,
        codebook_size=shape.codes,
        decay=shape.decay,
        kmeans_init=True,
        threshold_ema_dead_code=1,
        rotation_trick=False,
        accept_image_fmap=True,
    )


class VqVaeRepresentation(EncodingRepresentation):
    """Latents of a vector-quantised autoencoder.

    Args:
        size: pixels along an edge; a multiple of 2^downsamplings.
        shape: sizes of the networks and of the codebook.

    Raises:
        InputError: ``size`` does not fit, or vector-quantize-pytorch is missing.
    """

    def __init__(self, size: int, shape: VqVaeShape) -> None:
        super().__init__()
        edge, rest = divmod(size, 2**shape.downsamplings)
        if edge < 1 or rest:
            raise InputError(f"size: must be a positive multiple of {2**shape.downsamplings} pixels, got {size}")
        self.grid = (size, size)
        self.latent_shape = (shape.embedding, edge, edge)
        self.shape = shape
        self.encoder = encoder_network(shape)
        self.codebook = codebook_module(shape)
        self.decoder = decoder_network(shape)

    def encode(self, structures: Float[Tensor, "batch x y"]) -> Float[Tensor, "batch d s t"]:
        return self.encoder(structures[:, None])

    def quantise(self, latents: Float[Tensor, "batch d s t"]) -> Quantised:
        """Nearest entries of the codebook, gradient passed straight through; in training the codebook follows."""
        entries, indices, _ = self.codebook(latents)
        return Quantised(entries.detach() + (latents - latents.detach()), indices)

    def decode(self, latents: Float[Tensor, "batch d s t"]) -> Float[Tensor, "batch x y"]:
        return self.decode_codes(self.quantise(latents).codes)

    def decode_codes(self, codes: Float[Tensor, "batch d s t"]) -> Float[Tensor, "batch x y"]:
        """Relaxed structures of codes that are entries of the codebook already."""
        return self.decoder(codes)[:, 0]

    def config(self) -> dict[str, Any]:
        return {"size": self.grid[0], "shape": asdict(self.shape)}
