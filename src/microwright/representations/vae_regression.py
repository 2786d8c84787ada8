r"""VAE-Regression's networks: encoder q(z|x), regressor q(c|x), decoder p(x|z), prior p(z|c) (Sardeshmukh et al.).

Tables 2 to 5 of the paper's appendix, with sizes that follow from the grid, so that 51³ gives exactly the paper's:

- common part: convolutions 3×3×3 of 16, 32, 64, 128, 256 filters, LeakyReLU(0.2), each followed by max pooling by 2, as
  many as the grid has halvings (at most five); a dense layer of 2048;
- encoder and regressor: a dense layer of 1024 before each of mean and log variance;
- decoder: dense layers 32, 64 and (n/8)³ · 64, three doublings by nearest neighbour with convolutions of 64, 32, 16
  filters, and a last convolution whose kernel brings 8 ⌊n/8⌋ to n: 48 to 51 with a kernel of 4.

Where a full grid costs more than there is, ``coarsening`` lets the networks see several voxels along an edge as one:
the input is averaged, the output interpolated, and finer features than that are neither seen nor made.

Structures are periodic, and so are the convolutions. Properties are standardised by the training set: ``regress`` and
``prior`` speak of those units, ``normalised`` and ``physical`` translate.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.distributions import MixtureSameFamily
from torch.nn import functional as F

from microwright.errors import InputError
from microwright.inverters.multimodal_prior import MultimodalPrior, bounded

SLOPE = 0.2
ENCODER_FILTERS = (16, 32, 64, 128, 256)
DECODER_FILTERS = (64, 64, 32, 16)
COMMON, BRANCH = 2048, 1024
DECODER_DENSE = (32, 64)
#: the grid must have at least so many voxels along an edge
SMALLEST_GRID = 8


@dataclass(frozen=True)
class VaeRegressionShape:
    """Sizes of the networks.

    Attributes:
        grid: voxels per axis; three axes, even or odd, not necessarily alike.
        latent: dimensions M of the latent.
        components: Gaussians K of the prior; 1 is the unimodal prior.
        width: factor on the number of filters and of the encoder's dense neurons; 1 is the paper's.
        properties: number p of properties.
        coarsening: voxels along an edge that the networks see as one; 1 is the paper's.
        smallest_base: the decoder starts from at least so many voxels along an edge, with three doublings at most. At
            51 there are six; a smaller grid makes finer textures of six than of three.

    Raises:
        InputError: a grid that is no volume of at least 8³, or a size that is not positive.
    """

    grid: tuple[int, ...]
    latent: int = 16
    components: int = 2
    width: float = 1.0
    properties: int = 1
    coarsening: int = 1
    smallest_base: int = 3

    def __post_init__(self) -> None:
        object.__setattr__(self, "grid", tuple(int(n) for n in self.grid))
        sizes = (self.latent, self.components, self.properties, self.coarsening, self.smallest_base)
        if min(sizes) < 1 or not self.width > 0:
            raise InputError(f"vae-regression: every size must be positive, got {self}")
        if len(self.grid) != 3 or min(self.seen) < SMALLEST_GRID:
            raise InputError(f"grid: vae-regression needs a volume of at least {SMALLEST_GRID}³, got {self.seen}")

    @property
    def seen(self) -> tuple[int, ...]:
        """Voxels per axis that the networks work on."""
        return tuple(-(-n // self.coarsening) for n in self.grid)

    def scaled(self, neurons: int) -> int:
        """The paper's number of filters or neurons times ``width``."""
        return max(2, round(self.width * neurons))

    @property
    def encoder_filters(self) -> tuple[int, ...]:
        """Filters of each convolution of the common part."""
        halvings = int(math.log2(min(self.seen)))
        return tuple(self.scaled(n) for n in ENCODER_FILTERS[:halvings])

    @property
    def flat_features(self) -> int:
        """Numbers that the convolutions leave of a volume."""
        halvings = len(self.encoder_filters)
        return self.encoder_filters[-1] * math.prod(n >> halvings for n in self.seen)

    @property
    def doublings(self) -> int:
        """Doublings of the decoder."""
        fitting = [d for d in range(1, len(DECODER_FILTERS)) if min(self.seen) >> d >= self.smallest_base]
        return max(fitting, default=1)

    @property
    def decoder_filters(self) -> tuple[int, ...]:
        """Filters from the decoder's base to its last but one layer."""
        return tuple(self.scaled(n) for n in DECODER_FILTERS[: self.doublings + 1])

    @property
    def base(self) -> tuple[int, ...]:
        """Voxels that the decoder starts from."""
        return tuple(n >> self.doublings for n in self.seen)

    def config(self) -> dict[str, Any]:
        """The fields as JSON."""
        return {**asdict(self), "grid": list(self.grid)}


@dataclass(frozen=True)
class Gaussian:
    """A diagonal Gaussian for each sample."""

    mean: Float[Tensor, "batch m"]
    log_variance: Float[Tensor, "batch m"]

    def sample(self, noise: Float[Tensor, "batch m"]) -> Float[Tensor, "batch m"]:
        """mean + σ · noise, which carries gradient to both."""
        return self.mean + (0.5 * self.log_variance).exp() * noise

    def negative_log_likelihood(self, values: Float[Tensor, "batch m"]) -> Float[Tensor, "batch"]:
        """−log density of ``values``, nats."""
        distance = (values - self.mean).square() * (-self.log_variance).exp()
        return 0.5 * (distance + self.log_variance + math.log(2 * math.pi)).sum(1)


class GaussianHead(nn.Module):
    """A hidden ReLU layer before each of mean and log variance."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.mean, self.log_variance = (
            nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs)) for _ in range(2)
        )

    def forward(self, features: Float[Tensor, "batch inputs"]) -> Gaussian:
        return Gaussian(self.mean(features), bounded(self.log_variance(features)))


class _Continued(torch.autograd.Function):
    """A volume continued periodically by some voxels at both ends of each axis, channels last.

    Channels last makes the convolutions' backward pass three times as fast on a CPU with few channels, and one copy
    each way costs a fraction of what padding by ``torch.nn.functional.pad`` does.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, margins: tuple[int, ...]) -> Tensor:
        ctx.margins = margins
        grid = [n + 2 * margin for n, margin in zip(x.shape[2:], margins, strict=True)]
        wider = x.new_empty((*x.shape[:2], *grid)).contiguous(memory_format=torch.channels_last_3d)
        _middle(wider, margins).copy_(x)
        # axis by axis over what the axes before have filled, so that edges and corners come out too
        for (axis, margin), size in zip(enumerate(margins, 2), x.shape[2:], strict=True):
            wider.narrow(axis, 0, margin).copy_(wider.narrow(axis, size, margin))
            wider.narrow(axis, margin + size, margin).copy_(wider.narrow(axis, margin, margin))
        return wider

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        gradient = gradients[0].clone()
        for axis, margin in reversed(list(enumerate(ctx.margins, 2))):
            size = gradient.shape[axis] - 2 * margin
            gradient.narrow(axis, size, margin).add_(gradient.narrow(axis, 0, margin))
            gradient.narrow(axis, margin, margin).add_(gradient.narrow(axis, margin + size, margin))
        return _middle(gradient, ctx.margins), None


def _middle(wider: Tensor, margins: tuple[int, ...]) -> Tensor:
    """The volume inside its margins; a view."""
    for axis, margin in enumerate(margins, 2):
        wider = wider.narrow(axis, margin, wider.shape[axis] - 2 * margin)
    return wider


class PeriodicConvolution(nn.Conv3d):
    """Convolution of volumes that continue periodically.

    Args:
        inputs: channels.
        outputs: channels.
        kernel: edges of the kernel.
        margins: voxels that the volume is continued by at both ends of each axis.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: tuple[int, ...] = (3, 3, 3), margins: tuple[int, ...] = (1, 1, 1)
    ) -> None:
        super().__init__(inputs, outputs, kernel)  # type: ignore[arg-type]
        self.margins = margins

    def forward(self, x: Float[Tensor, "batch i x y z"]) -> Float[Tensor, "batch o x2 y2 z2"]:
        return super().forward(_Continued.apply(x, self.margins))


class CommonPart(nn.Module):
    """Volumes → features shared by encoder and regressor (table 2)."""

    def __init__(self, shape: VaeRegressionShape) -> None:
        super().__init__()
        filters = (1, *shape.encoder_filters)
        self.convolutions = nn.ModuleList(PeriodicConvolution(i, o) for i, o in pairwise(filters))
        self.dense = nn.Linear(shape.flat_features, shape.scaled(COMMON))

    def forward(self, structures: Float[Tensor, "batch x y z"]) -> Float[Tensor, "batch features"]:
        # centred on 0; LeakyReLU rises strictly, so pooling before it gives the same numbers for an eighth of the work
        x = structures[:, None] - 0.5
        for convolution in self.convolutions:
            x = F.leaky_relu(F.max_pool3d(convolution(x), 2), SLOPE)
        return F.relu(self.dense(x.flatten(1)))


def last_layer(inputs: int, inner: tuple[int, ...], grid: tuple[int, ...]) -> PeriodicConvolution:
    """Convolution from the decoder's ``inner`` voxels, 2ᵈ⌊n/2ᵈ⌋ along each axis, to the ``grid``'s n."""
    lacking = [n - m for n, m in zip(grid, inner, strict=True)]
    # a kernel of k on p more voxels at both ends makes n = m + 2p − k + 1; wide enough to see beyond one voxel
    margins = tuple(lack if lack > 1 else lack + 1 for lack in lacking)
    kernel = tuple(2 * margin - lack + 1 for margin, lack in zip(margins, lacking, strict=True))
    return PeriodicConvolution(inputs, 1, kernel, margins)


class Decoder(nn.Module):
    """Latents → probability of phase 1 at each voxel (table 3)."""

    def __init__(self, shape: VaeRegressionShape) -> None:
        super().__init__()
        filters = shape.decoder_filters
        self.base = (filters[0], *shape.base)
        sizes = (shape.latent, *DECODER_DENSE, math.prod(self.base))
        self.dense = nn.ModuleList(nn.Linear(i, o) for i, o in pairwise(sizes))
        self.convolutions = nn.ModuleList(PeriodicConvolution(i, o) for i, o in pairwise(filters))
        inner = tuple(n << shape.doublings for n in shape.base)
        self.last = last_layer(filters[-1], inner, shape.seen)
        self._start_textured()

    def _start_textured(self) -> None:
        """Weights that keep the variance from layer to layer (He et al. 2015), and a base that varies in space.

        A decoder that starts as a uniform grey stays one for long: there the gradient of every texture vanishes.
        """
        layers = [layer for layer in self.modules() if isinstance(layer, nn.Linear | nn.Conv3d)]
        for layer in layers:
            nn.init.kaiming_normal_(layer.weight, SLOPE)
        base = self.dense[-1].bias
        assert isinstance(base, Tensor)
        nn.init.normal_(base)

    def forward(self, latents: Float[Tensor, "batch m"]) -> Float[Tensor, "batch x y z"]:
        x = latents
        for layer in self.dense:
            x = F.leaky_relu(layer(x), SLOPE)
        x = x.reshape(-1, *self.base)
        for convolution in self.convolutions:
            x = F.leaky_relu(convolution(F.interpolate(x, scale_factor=2.0, mode="nearest")), SLOPE)
        return torch.sigmoid(self.last(x))[:, 0]


class VaeRegressionNetworks(nn.Module):
    """The four networks, trained together.

    Args:
        shape: their sizes.
    """

    property_mean: Tensor
    property_std: Tensor

    def __init__(self, shape: VaeRegressionShape) -> None:
        super().__init__()
        self.shape = shape
        common, branch = shape.scaled(COMMON), shape.scaled(BRANCH)
        self.common = CommonPart(shape)
        self.encoder = GaussianHead(common, branch, shape.latent)
        self.regressor = GaussianHead(common, branch, shape.properties)
        self.decoder = Decoder(shape)
        self.generator = MultimodalPrior(shape.properties, shape.latent, shape.components)
        self.register_buffer("property_mean", torch.zeros(shape.properties))
        self.register_buffer("property_std", torch.ones(shape.properties))

    def posteriors(self, structures: Float[Tensor, "batch x y z"]) -> tuple[Gaussian, Gaussian]:
        """q(z | x) and q(c | x), the latter in standardised units."""
        features = self.common(self.seen(structures))
        return self.encoder(features), self.regressor(features)

    def seen(self, structures: Float[Tensor, "batch x y z"]) -> Float[Tensor, "batch x2 y2 z2"]:
        """The volumes on the grid that the networks work on, averaged where that is coarser."""
        coarse = self.shape.seen
        if structures.shape[1:] == coarse:
            return structures
        return F.adaptive_avg_pool3d(structures, (coarse[0], coarse[1], coarse[2]))

    def encode(
        self, structures: Float[Tensor, "batch x y z"]
    ) -> tuple[Float[Tensor, "batch m"], Float[Tensor, "batch m"]]:
        """Mean and log variance of q(z | x)."""
        posterior, _ = self.posteriors(structures)
        return posterior.mean, posterior.log_variance

    def regress(
        self, structures: Float[Tensor, "batch x y z"]
    ) -> tuple[Float[Tensor, "batch p"], Float[Tensor, "batch p"]]:
        """Mean and log variance of q(c | x), c standardised; see ``physical``."""
        _, posterior = self.posteriors(structures)
        return posterior.mean, posterior.log_variance

    def decode(self, latents: Float[Tensor, "batch m"]) -> Float[Tensor, "batch x y z"]:
        """Probability of phase 1 at each voxel; differentiable."""
        probability = self.decoder(latents)
        if self.shape.seen == self.shape.grid:
            return probability
        return F.interpolate(probability[:, None], self.shape.grid, mode="trilinear")[:, 0]

    def prior(self, properties: Float[Tensor, "batch p"]) -> MixtureSameFamily:
        """p(z | c), c standardised; see ``normalised``."""
        return self.generator(properties)

    def standardise_by(self, properties: Float[Tensor, "n p"]) -> None:
        """Take the units of c from the training properties."""
        self.property_mean.copy_(properties.mean(0))
        self.property_std.copy_(properties.std(0).clamp_min(1e-12))

    def normalised(self, properties: Float[Tensor, "batch p"]) -> Float[Tensor, "batch p"]:
        """Properties in their own units → standardised."""
        return (properties.to(self.property_mean) - self.property_mean) / self.property_std

    def physical(
        self, mean: Float[Tensor, "batch p"], log_variance: Float[Tensor, "batch p"]
    ) -> tuple[Float[Tensor, "batch p"], Float[Tensor, "batch p"]]:
        """Mean and log variance in standardised units → mean and variance in the properties' own."""
        return mean * self.property_std + self.property_mean, log_variance.exp() * self.property_std.square()


@torch.no_grad()
def predictions(
    networks: VaeRegressionNetworks, structures: Shaped[Tensor, "n x y z"], together: int = 16
) -> tuple[Float[Tensor, "n p"], Float[Tensor, "n p"]]:
    """Mean and variance of q(c | x) in the properties' own units, a bounded number of volumes at a time."""
    parts = [networks.physical(*networks.regress(part.float())) for part in structures.split(together)]
    mean, variance = (torch.cat(column) for column in zip(*parts, strict=True))
    return mean, variance
