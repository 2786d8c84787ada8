"""Pictures show what is there."""

from __future__ import annotations

import numpy as np
import pytest

from microwright.studio.ask import designer_of
from microwright.studio.pictures import FACES, cube, picture, shares


def test_a_film_is_drawn_with_x_right_and_y_up():
    film = np.zeros((4, 4), np.uint8)
    film[3, 0] = 1  # largest x, smallest y: the lower right corner
    pixels = np.asarray(picture(film, 40))
    assert pixels[-1, -1] == 0 and pixels[0, 0] == 255 and (pixels == 0).mean() == pytest.approx(1 / 16)


@pytest.mark.parametrize(
    ("face", "index"), [("top", (slice(None), slice(None), -1)), ("left", (-1,)), ("right", (slice(None), -1))]
)
def test_each_face_of_a_cube_shows_its_own_voxels(face, index):
    volume = np.zeros((6, 6, 6), np.uint8)
    empty = np.asarray(cube(volume, 120))
    volume[index] = 1
    full = np.asarray(cube(volume, 120))
    light, dark = dict(zip(("top", "left", "right"), FACES, strict=True))[face]
    assert (full[empty == light] == dark).all()


def test_a_cube_fills_a_regular_hexagon():
    drawn = np.asarray(cube(np.ones((4, 4, 4), np.uint8), 400)) < 255
    assert drawn.mean() == pytest.approx(3 * np.sqrt(3) / 2 / 4, abs=0.02)


def test_histogram_shares_sum_to_one():
    card = designer_of("gan-mdn-data-2").method.card.properties[0]
    edges, share = shares(card)
    assert share.sum() == pytest.approx(1) and (share >= 0).all()
    assert (edges[0], edges[-1]) == (card.low, card.high)
