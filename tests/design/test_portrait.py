"""Pictures of images and volumes."""

from __future__ import annotations

import numpy as np
import pytest

from microwright.design.portrait import BACKGROUND, EMPTY, TONES, portrait, view


def test_an_image_is_itself_with_y_upwards() -> None:
    image = np.zeros((3, 2), np.uint8)
    image[2, 0] = 1
    expected = np.full((2, 3), 255)
    expected[1, 2] = 0
    np.testing.assert_array_equal(portrait(image), expected)


def test_a_volume_has_three_slices_and_a_view() -> None:
    volume = np.zeros((4, 6, 5), np.uint8)
    volume[1, :, :] = 1
    picture = portrait(volume)
    assert picture.shape == (24, 24)
    normal_to_z = picture[:12, :8]  # two pixels a voxel, 6 up and 4 across
    np.testing.assert_array_equal((normal_to_z == 0).any(0), np.repeat([False, True, False, False], 2))


def test_a_full_block_shows_its_three_faces_alike() -> None:
    picture = view(np.ones((8, 8, 8), np.uint8), 120)
    shares = [(picture == tone).sum() for tone in TONES]
    assert min(shares) > 0
    assert shares == pytest.approx([np.mean(shares)] * 3, rel=0.05)
    # a regular hexagon covers 3√3/8 of the square around it
    assert sum(shares) / picture.size == pytest.approx(3 * 3**0.5 / 8, rel=0.02)


def test_nothing_is_drawn_of_an_empty_volume() -> None:
    assert set(np.unique(view(np.zeros((5, 5, 5), np.uint8), 40)).tolist()) == {EMPTY, BACKGROUND}


@pytest.mark.parametrize("place", [(0, 0, 0), (4, 4, 4), (2, 0, 4)])
def test_what_lies_deeper_is_hidden(place: tuple[int, int, int]) -> None:
    """A voxel alone is seen as three faces of equal size, wherever it lies; behind another it is not."""
    volume = np.zeros((5, 5, 5), np.uint8)
    volume[place] = 1
    alone = (view(volume, 100) < EMPTY).sum()
    assert alone / 100**2 == pytest.approx(3 * 3**0.5 / 8 / 25, rel=0.1)
    if place == (0, 0, 0):
        front = np.zeros_like(volume)
        front[4, 4, 4] = 1
        np.testing.assert_array_equal(view(front, 100), view(front | volume, 100))
