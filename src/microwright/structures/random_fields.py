r"""Random periodic structures: level-cut Gaussian random fields and Gaussian-filtered noise.

*Gaussian random field.* White noise :math:`w` is coloured in Fourier space and cut at a quantile,

.. math:: \hat y(k) = \sqrt{\rho(k')}\,\hat w(k), \qquad \rho(k') \propto e^{-(k' - \mu)^2 / 2\sigma^2}
          \text{ for } 0 < k' \le 10, \qquad x = [\,y > q\,],

where :math:`k' = 10` is the Nyquist frequency (half a cycle per pixel) whatever the grid, and the cut takes exactly the
wanted number of pixels. The spectral density :math:`\rho` is a *power*: that is the reading which reproduces the
structures published with Yang et al.'s GAN-MDN (μ −8, σ 3, fraction 0.25 ± 0.1), see the tests. The spectral density
as a design representation: Yu et al., Journal of Mechanical Design 139 (2017) 071401.

*Filtered noise.* Uniform noise convolved with a wrapped Gaussian kernel of standard deviations σ (pixels, one per
axis), cut the same way: the anisotropic family of Sardeshmukh et al.'s VAE-Regression.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from microwright.errors import InputError

#: k' at the Nyquist frequency
NYQUIST = 10.0
#: the sampled Gaussian ends at this many standard deviations, as in scipy.ndimage
TRUNCATE = 4.0


def gaussian_random_field(
    grid: Sequence[int],
    mean: float | Tensor,
    std: float | Tensor,
    phase_fraction: float | Tensor,
    count: int = 1,
    *,
    generator: torch.Generator,
) -> Float[Tensor, "count *grid"]:
    """Periodic two-phase structures by spectral density (0/1, float32, on the generator's device).

    Args:
        grid: pixels per axis, two or three axes.
        mean: mean of the spectral density in units of k' (10 at the Nyquist frequency); may be negative, the density
            is its tail then. A number, or one per sample.
        std: standard deviation of the spectral density in the same units, positive; a number, or one per sample.
        phase_fraction: share of pixels of phase 1, met to the nearest pixel; a number, or one per sample.
        count: number of structures.
        generator: source of the white noise.

    Raises:
        InputError: a grid, count, deviation or fraction that cannot be.
    """
    check_grid(grid)
    check_count(count)
    noise = torch.randn((count, *grid), generator=generator, device=generator.device, dtype=torch.float64)
    return cut_at_fraction(colour(noise, mean, std), phase_fraction)


def filtered_noise(
    grid: Sequence[int],
    sigma: float | Sequence[float],
    phase_fraction: float | Tensor,
    count: int = 1,
    *,
    generator: torch.Generator,
) -> Float[Tensor, "count *grid"]:
    """Periodic two-phase structures from filtered uniform noise (0/1, float32, on the generator's device).

    Args:
        grid: pixels per axis, two or three axes.
        sigma: standard deviation of the Gaussian filter in pixels, a number or one per axis; 0 leaves an axis as it is.
        phase_fraction: share of pixels of phase 1, met to the nearest pixel; a number, or one per sample.
        count: number of structures.
        generator: source of the uniform noise.

    Raises:
        InputError: a grid, count, filter or fraction that cannot be.
    """
    check_grid(grid)
    check_count(count)
    noise = torch.rand((count, *grid), generator=generator, device=generator.device, dtype=torch.float64)
    return cut_at_fraction(gaussian_filter(noise, sigma), phase_fraction)


def colour(
    noise: Float[Tensor, "batch *grid"], mean: float | Tensor, std: float | Tensor
) -> Float[Tensor, "batch *grid"]:
    """White noise whose power spectrum is the normal density of ``mean`` and ``std`` over k' in (0, 10]."""
    axes = tuple(range(1, noise.ndim))
    k = scaled_wave_number(noise.shape[1:]).to(noise)
    mean, std = (_per_sample(v, name, noise) for v, name in ((mean, "mean"), (std, "std")))
    if not bool(((std > 0) & torch.isfinite(std)).all() & torch.isfinite(mean).all()):
        raise InputError("spectral density: mean must be finite and std positive; change --mean or --std")
    exponent = -((k - mean) ** 2) / (4 * std**2)
    exponent = exponent.masked_fill((k == 0) | (k > NYQUIST), -math.inf)
    # the largest exponent goes: only the shape of the spectrum matters, and far tails would underflow
    amplitude = torch.exp(exponent - exponent.amax(axes, keepdim=True))
    return torch.fft.irfftn(torch.fft.rfftn(noise, dim=axes) * amplitude, s=noise.shape[1:], dim=axes)


def scaled_wave_number(grid: Sequence[int]) -> Float[Tensor, "*half_grid"]:
    """k' of each Fourier coefficient of ``rfftn``: 10 at half a cycle per pixel."""
    frequencies = [torch.fft.fftfreq(n, dtype=torch.float64) for n in grid[:-1]]
    frequencies.append(torch.fft.rfftfreq(grid[-1], dtype=torch.float64))
    squares = [f**2 for f in torch.meshgrid(*frequencies, indexing="ij")]
    return 2 * NYQUIST * torch.sqrt(torch.stack(squares).sum(0))


def gaussian_filter(
    field: Float[Tensor, "batch *grid"], sigma: float | Sequence[float]
) -> Float[Tensor, "batch *grid"]:
    """Convolution with the sampled, wrapped Gaussian of standard deviations ``sigma`` in pixels.

    The kernel is that of ``scipy.ndimage.gaussian_filter(mode="wrap")``.
    """
    axes = tuple(range(1, field.ndim))
    widths = [float(sigma)] * len(axes) if isinstance(sigma, (int, float)) else [float(s) for s in sigma]
    if len(widths) != len(axes) or not all(0 <= s < math.inf for s in widths):
        raise InputError(f"sigma: expected one number >= 0 per grid axis ({len(axes)}), got {sigma}; change --sigma")
    spectrum = torch.fft.fftn(field, dim=axes)
    for axis, width in zip(axes, widths, strict=True):
        response = torch.fft.fft(wrapped_gaussian(field.shape[axis], width)).to(spectrum.device)
        spectrum = spectrum * response.reshape([-1 if a == axis else 1 for a in range(field.ndim)])
    return torch.fft.ifftn(spectrum, dim=axes).real


def wrapped_gaussian(size: int, sigma: float) -> Float[Tensor, "size"]:
    """Sampled Gaussian of unit sum, centred on index 0, folded onto a period of ``size`` pixels."""
    if sigma == 0:
        return torch.nn.functional.one_hot(torch.tensor(0), size).double()
    radius = int(TRUNCATE * sigma + 0.5)
    offset = torch.arange(-radius, radius + 1)
    weight = torch.softmax(-0.5 * (offset.double() / sigma) ** 2, dim=0)
    return torch.zeros(size, dtype=torch.float64).index_add(0, offset % size, weight)


def cut_at_fraction(
    field: Float[Tensor, "batch *grid"], phase_fraction: float | Tensor
) -> Float[Tensor, "batch *grid"]:
    """1 on the highest pixels of each field, a share of ``phase_fraction`` to the nearest pixel; 0 elsewhere."""
    flat = field.flatten(1)
    fraction = _per_sample(phase_fraction, "phase fraction", field).flatten(1)
    if not bool(((fraction >= 0) & (fraction <= 1)).all()):
        raise InputError("phase fraction: must lie in [0, 1]; change --fraction")
    wanted = torch.round(fraction * flat.shape[1])
    # ranks, not a threshold: ties cannot move the count
    order = flat.argsort(dim=1, descending=True, stable=True)
    chosen = (torch.arange(flat.shape[1], device=field.device) < wanted).float()
    return torch.zeros_like(flat, dtype=torch.float32).scatter(1, order, chosen.expand_as(flat)).reshape(field.shape)


def check_grid(grid: Sequence[int]) -> None:
    """Refuse a grid that is not two or three axes of at least two pixels."""
    if len(grid) not in (2, 3) or not all(isinstance(n, int) and n >= 2 for n in grid):
        raise InputError(f"grid: expected two or three sizes of at least 2 pixels, got {tuple(grid)}; change --grid")


def check_count(count: int) -> None:
    """Refuse a number of structures below one."""
    if not isinstance(count, int) or count < 1:
        raise InputError(f"count: expected a whole number of at least 1, got {count}; change --count")


def _per_sample(value: float | Tensor, name: str, field: Tensor) -> Tensor:
    """``value`` as a tensor that broadcasts over ``(batch, *grid)``."""
    tensor = torch.as_tensor(value, dtype=field.dtype, device=field.device).reshape(-1)
    if len(tensor) not in (1, len(field)):
        raise InputError(f"{name}: expected one value or {len(field)} (one per sample), got {len(tensor)}")
    return tensor.reshape(-1, *([1] * (field.ndim - 1)))
