"""STL surfaces of phase 1 by marching cubes, closed where the phase meets the border of the cell."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from skimage.measure import marching_cubes

from microwright.errors import InputError

_BINARY = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])


def surface(structure: NDArray[np.uint8], spacing: tuple[float, ...] | None) -> Float[np.ndarray, "faces 3 3"]:
    """Corners of the triangles round phase 1, anticlockwise seen from outside, in units of ``spacing``.

    Raises:
        InputError: not a volume, or one without phase 1.
    """
    if structure.ndim != 3:
        raise InputError("STL: takes a 3-D structure; write 2-D structures as .png or .vti")
    if not structure.any():
        raise InputError("STL: the structure has no phase 1, hence no surface; choose another one")
    padded = np.pad(structure.astype(np.float32), 1)
    # voxel i fills [i, i + 1]: its centre, which marching cubes puts at i + 1 of the padded array, is i + 1/2
    corners, faces, _, _ = marching_cubes(padded, 0.5, gradient_direction="ascent")
    return ((corners - 0.5) * np.asarray(spacing or (1.0, 1.0, 1.0)))[faces]


def write_stl(path: Path, structures: NDArray[np.uint8], spacing: tuple[float, ...] | None) -> None:
    """Binary STL of one structure."""
    triangles = surface(_single(structures), spacing)
    records = np.zeros(len(triangles), _BINARY)
    records["normal"], records["corners"] = _normals(triangles), triangles
    with path.open("wb") as file:
        file.write(b"phase 1".ljust(80) + np.uint32(len(triangles)).tobytes() + records.tobytes())


def write_ascii_stl(path: Path, structures: NDArray[np.uint8], spacing: tuple[float, ...] | None) -> None:
    """Text STL of one structure."""
    triangles = surface(_single(structures), spacing)
    with path.open("w", encoding="ascii") as file:
        file.write("solid phase\n")
        for normal, corners in zip(_normals(triangles), triangles, strict=True):
            file.write("facet normal {:.6e} {:.6e} {:.6e}\nouter loop\n".format(*normal))
            file.writelines("vertex {:.6e} {:.6e} {:.6e}\n".format(*corner) for corner in corners)
            file.write("endloop\nendfacet\n")
        file.write("endsolid phase\n")


def _single(structures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if len(structures) != 1:
        raise InputError(f"STL: one file holds one structure, these are {len(structures)}; choose one")
    return structures[0]


def _normals(triangles: Float[np.ndarray, "faces 3 3"]) -> Float[np.ndarray, "faces 3"]:
    normals = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    return normals / np.where(lengths > 0, lengths, 1)
