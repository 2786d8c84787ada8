"""Pictures of structures: an image as it is; a volume as its three middle slices and, beside them, seen from a corner.

The view is orthographic along the space diagonal. Each ray walks from voxel to voxel (Amanatides & Woo, Eurographics
1987) to the first one of phase 1, which is drawn in the tone of the face that was entered, darker the deeper it lies.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int, UInt8

#: pixels of a slice's voxel, and of a view's, along an edge
MAGNIFICATION = 2
#: brightness of the faces normal to x, y and z
TONES = np.array([170.0, 120.0, 215.0])
#: brightness that the depth of the whole volume takes away
FADING = 90.0
BACKGROUND, EMPTY = 255, 238


def portrait(structure: UInt8[np.ndarray, "*grid"]) -> UInt8[np.ndarray, "rows columns"]:
    """Grey picture, phase 1 black; the tiles of a volume are its slices normal to z, y and x, and a view."""
    if structure.ndim == 2:
        return _black_on_white(structure)
    middle = [n // 2 for n in structure.shape]
    slices = (structure[:, :, middle[2]], structure[:, middle[1], :], structure[middle[0], :, :])
    tiles = [_black_on_white(part).repeat(MAGNIFICATION, 0).repeat(MAGNIFICATION, 1) for part in slices]
    edge = MAGNIFICATION * max(structure.shape)
    tiles = [_padded(tile, edge) for tile in (*tiles, view(structure, edge))]
    return np.block([[tiles[0], tiles[1]], [tiles[2], tiles[3]]])


def view(structure: UInt8[np.ndarray, "x y z"], edge: int) -> UInt8[np.ndarray, "edge edge"]:
    """The volume seen from the corner (1, 1, 1), ``edge`` pixels wide and high."""
    grid = np.array(structure.shape)
    start = _ray_starts(grid, edge)
    # rays run along (−1, −1, −1): each plane of an axis lies one unit of path beyond the last
    entry = (start - grid).max(1)
    inside = entry < start.min(1)
    face = (start - grid).argmax(1)
    position = start - entry[:, None]
    voxel = np.clip(np.ceil(position).astype(int) - 1, 0, grid - 1)
    return _drawn(structure, face, position, voxel, inside).reshape(edge, edge)


def _ray_starts(grid: Int[np.ndarray, "3"], edge: int) -> Float[np.ndarray, "rays 3"]:
    """Points of the picture plane outside the volume, top row first."""
    across, up = np.array([-1, 1, 0]) / np.sqrt(2), np.array([-1, -1, 2]) / np.sqrt(6)
    # the volume's shadow is a hexagon of this radius
    radius = np.sqrt(2 / 3) * grid.max()
    offsets = radius * (2 * (np.arange(edge) + 0.5) / edge - 1)
    plane = offsets[None, :, None] * across - offsets[:, None, None] * up
    return plane.reshape(-1, 3) + grid / 2 + 2.0 * grid.max()


def _drawn(
    structure: UInt8[np.ndarray, "x y z"],
    face: Int[np.ndarray, "rays"],
    position: Float[np.ndarray, "rays 3"],
    voxel: Int[np.ndarray, "rays 3"],
    inside: np.ndarray,
) -> UInt8[np.ndarray, "rays"]:
    """Brightness of each ray."""
    picture = np.where(inside, EMPTY, BACKGROUND).astype(np.uint8)
    rays = inside.nonzero()[0]
    # path lengths at which the next plane of each axis is met
    following = (position - voxel)[rays]
    voxel, face = voxel[rays], face[rays]
    depth = np.zeros(len(rays))
    while len(rays):
        solid = structure[tuple(voxel.T)] > 0
        fade = FADING * depth[solid] / max(structure.shape)
        picture[rays[solid]] = (TONES[face[solid]] - fade).clip(0)
        axis = following.argmin(1)
        row = np.arange(len(rays))
        depth = following[row, axis]
        voxel[row, axis] -= 1
        following[row, axis] += 1
        on = ~solid & (voxel[row, axis] >= 0)
        rays, voxel, following, depth, face = rays[on], voxel[on], following[on], depth[on], axis[on]
    return picture


def _black_on_white(image: np.ndarray) -> UInt8[np.ndarray, "rows columns"]:
    return np.where(image.T[::-1] > 0, 0, BACKGROUND).astype(np.uint8)


def _padded(tile: np.ndarray, edge: int) -> UInt8[np.ndarray, "edge edge"]:
    lacking = [(0, edge - size) for size in tile.shape]
    return np.pad(tile, lacking, constant_values=BACKGROUND)
