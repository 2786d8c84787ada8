r"""Grey images to two phases by Otsu's threshold, or by several (multi-Otsu), of each image.

Otsu (IEEE Transactions on Systems, Man, and Cybernetics 9 (1979) 62) takes the threshold that maximises the variance
between the classes, :math:`w_0 w_1 (\mu_0 - \mu_1)^2`, over the bins of the histogram. Real-valued images get 256 bins
between their extremes, integer images one bin per level, as in scikit-image.

With several thresholds (Liao, Chen & Chung, J. Inf. Sci. Eng. 17 (2001) 713) an image has classes 0, 1, … from dark to
bright, for instance pore, matrix and inclusion; which of them make phase 1 is the user's to say (``Segmentation``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Real
from numpy.typing import NDArray
from skimage.filters import threshold_multiotsu
from torch import Tensor

from microwright.errors import InputError

#: classes that multi-Otsu is tried for; its cost grows with their number as a power
MOST_CLASSES = 5
#: bins of a real-valued image
BINS = 256
#: integer images of more levels than this are binned like real-valued ones
MAX_LEVELS = 65535


def otsu_threshold(images: Real[Tensor, "batch *grid"]) -> Real[Tensor, "batch"]:
    """Otsu's threshold of each image, in grey values; for a flat image its grey value."""
    flat = images.detach().flatten(1).double()
    low, high = torch.aminmax(flat, dim=1, keepdim=True)
    span = float((high - low).max())
    if images.is_floating_point() or span > MAX_LEVELS:
        step, offset, bins = (high - low) / BINS, 0.5, BINS
    else:
        step, offset, bins = torch.ones_like(low), 0.0, int(span) + 1
    index = ((flat - low) / step.clamp_min(torch.finfo(torch.float64).tiny)).long().clamp(0, bins - 1)
    counts = flat.new_zeros(len(flat), bins).scatter_add(1, index, torch.ones_like(flat))
    centres = low + step * (torch.arange(bins, device=flat.device) + offset)
    best = _between_class_variance(counts, centres).argmax(1, keepdim=True) if bins > 1 else index[:, :1]
    return torch.where(high > low, centres.gather(1, best), low).squeeze(1).to(images.dtype)


@dataclass(frozen=True)
class Segmentation:
    """How grey values become two phases.

    Attributes:
        classes: 2 is Otsu's threshold, 3 to 5 are multi-Otsu's.
        phase_one: the classes that make phase 1, counted from dark (0) to bright.

    Raises:
        InputError: another number of classes, or a phase that holds none or all of them.
    """

    classes: int = 2
    phase_one: tuple[int, ...] = (1,)

    def __post_init__(self) -> None:
        if not 2 <= self.classes <= MOST_CLASSES:
            raise InputError(f"classes: expected 2 to {MOST_CLASSES}, got {self.classes}; change --classes")
        chosen = set(self.phase_one)
        if not chosen or not chosen < set(range(self.classes)):
            raise InputError(
                f"phase: classes {sorted(chosen)} of 0 (dark) to {self.classes - 1} (bright) cannot be phase 1; "
                "name some of them, not all"
            )

    def __call__(self, image: NDArray[Any]) -> NDArray[np.uint8]:
        """The phases of one grey image that has more than one grey value.

        Raises:
            InputError: fewer grey values than classes.
        """
        return np.isin(np.digitize(image, self._thresholds(image), right=True), self.phase_one).astype(np.uint8)

    def _thresholds(self, image: NDArray[Any]) -> NDArray[Any]:
        if self.classes == 2:
            grey = torch.as_tensor(image.astype(np.float64 if image.dtype.kind == "f" else np.int64))
            return otsu_threshold(grey[None]).numpy()
        try:
            return threshold_multiotsu(image, classes=self.classes)
        except ValueError as error:
            raise InputError(
                f"classes: an image has fewer grey values than the {self.classes} classes asked for; change --classes"
            ) from error


def binarise(images: Float[Tensor, "batch *grid"]) -> Float[Tensor, "batch *grid"]:
    """1 where an image exceeds its own Otsu threshold, 0 elsewhere; images of 0 and 1 alone stay as they are."""
    threshold = otsu_threshold(images).reshape(-1, *([1] * (images.ndim - 1)))
    cut = (images > threshold).to(images.dtype)
    return torch.where(_is_binary(images), images, cut)


def _is_binary(images: Tensor) -> Bool[Tensor, "batch *ones"]:
    return ((images == 0) | (images == 1)).flatten(1).all(1).reshape(-1, *([1] * (images.ndim - 1)))


def _between_class_variance(counts: Tensor, centres: Tensor) -> Float[Tensor, "batch splits"]:
    """Variance between the classes when bins 0..s form the lower class, for each s but the last."""
    lower = counts.cumsum(1)
    moment = (counts * centres).cumsum(1)
    upper, upper_moment = lower[:, -1:] - lower, moment[:, -1:] - moment
    difference = moment / lower.clamp_min(1) - upper_moment / upper.clamp_min(1)
    return (lower * upper * difference**2)[:, :-1]
