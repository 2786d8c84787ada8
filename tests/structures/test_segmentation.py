"""Otsu's threshold against scikit-image, and its symmetries."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from skimage.filters import threshold_otsu

from microwright.structures.segmentation import binarise, otsu_threshold


@pytest.mark.parametrize("seed", range(8))
def test_the_threshold_is_scikit_images(seed):
    draw = np.random.default_rng(seed)
    images = np.where(
        draw.random((3, 32, 32)) < 0.3, draw.normal(2, 0.5, (3, 32, 32)), draw.normal(0, 0.7, (3, 32, 32))
    )
    expected = [threshold_otsu(image) for image in images]
    np.testing.assert_allclose(otsu_threshold(torch.tensor(images)).numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("levels", [2, 17, 256, 4000, 10**6])
def test_the_threshold_of_integers_is_scikit_images(levels):
    images = np.random.default_rng(levels).integers(0, levels, (3, 32, 32))
    expected = [threshold_otsu(image if levels < 10**6 else image.astype(float)) for image in images]
    np.testing.assert_allclose(otsu_threshold(torch.tensor(images)).numpy(), np.floor(expected), atol=0)


@settings(max_examples=60, deadline=None)
@given(arrays.arrays(np.float64, (1, 6, 6), elements=st.floats(-1, 1, width=32)))
def test_the_cut_is_as_good_as_scikit_images(image):
    """Where several thresholds are equally good, rounding may choose another one, but none that separates less."""
    assume(image.max() - image.min() > 1e-3)
    ours, theirs = (image > float(cut) for cut in (otsu_threshold(torch.tensor(image)), threshold_otsu(image[0])))
    assert between_classes(image, ours) == pytest.approx(between_classes(image, theirs), rel=0.05, abs=1e-9)


def between_classes(image: np.ndarray, upper: np.ndarray) -> float:
    weight = upper.mean()
    return weight * (1 - weight) * (image[upper].mean() - image[~upper].mean()) ** 2


def test_images_are_cut_one_by_one():
    draw = torch.Generator().manual_seed(0)
    images = torch.rand(4, 16, 16, generator=draw)
    together = binarise(images)
    apart = torch.cat([binarise(image[None]) for image in images])
    assert torch.equal(together, apart)


def test_grey_scale_and_offset_do_not_matter():
    images = torch.rand(4, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.equal(binarise(images), binarise(4 * images - 2))


def test_binary_images_stay_as_they_are():
    images = torch.stack([torch.zeros(4, 4), torch.ones(4, 4), torch.eye(4)])
    assert torch.equal(binarise(images), images)


def test_a_flat_grey_image_has_its_own_value_as_threshold():
    assert otsu_threshold(torch.full((1, 3, 3), 0.4)) == torch.tensor(0.4)
