"""What can be made: exact checks of a binary structure, and a projection that moves a structure towards passing them.

Smallest feature and gap are morphological (Soille, Morphological Image Analysis, 2003, ch. 4): phase 1 has no feature
below d where the opening with a discrete disc (3-D: ball) of diameter d leaves it unchanged, that is, where it is a
union of such discs; the gap is the same of phase 0. The disc of diameter d holds the pixels whose centres lie within
d/2 of its own centre (a pixel's centre for odd d, a pixel's corner for even d).

An *island* is a piece of phase 1 that is attached to nothing: in a periodic film, a face-connected component that does
not wrap round the cell, hence is finite in the tiled plane; in a film that is not periodic, every component but the
largest. An *enclosed void* is the same of phase 0. A corner contact attaches nothing.

The projection (`repair`) opens and closes, joins what is loose by the shortest bridges of legal width, and then grows
or thins by whole discs until the phase fraction is in range. It promises nothing: `violations` decides.
"""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from scipy import ndimage
from torch import Tensor

from microwright.design.targets import PHASE_FRACTION, Goal, Kind, read_toml
from microwright.errors import InputError

SYMMETRIES = ("none", "mirror_x", "mirror_y", "mirror_xy", "rotation_180", "rotation_90")


@dataclass(frozen=True)
class Constraints:
    """What the final binary structure must satisfy.

    Attributes:
        phase_fraction: lowest and highest share of phase 1.
        smallest_feature_px: diameter in pixels of the disc that phase 1 is a union of; 1 asks nothing.
        smallest_gap_px: the same for phase 0.
        no_islands: every piece of phase 1 is attached (see the module's docstring).
        no_enclosed_voids: every piece of phase 0 is attached.
        symmetry: one of ``SYMMETRIES``, about the centre of the cell; rotations turn the first two axes.
        periodic: whether the structure repeats.

    Raises:
        InputError: an empty or impossible range, sizes below one pixel, an unknown symmetry.
    """

    phase_fraction: tuple[float, float] = (0.0, 1.0)
    smallest_feature_px: int = 1
    smallest_gap_px: int = 1
    no_islands: bool = False
    no_enclosed_voids: bool = False
    symmetry: str = "none"
    periodic: bool = True

    def __post_init__(self) -> None:
        low, high = (float(bound) for bound in self.phase_fraction)
        object.__setattr__(self, "phase_fraction", (low, high))
        if not 0 <= low <= high <= 1:
            raise InputError(
                f"constraint phase_fraction {low:g}..{high:g}: give a range inside 0..1, lower bound first"
            )
        for name in ("smallest_feature_px", "smallest_gap_px"):
            if int(getattr(self, name)) != getattr(self, name) or getattr(self, name) < 1:
                raise InputError(f"constraint {name} = {getattr(self, name)}: give a whole number of at least 1")
        if self.symmetry not in SYMMETRIES:
            raise InputError(f"constraint symmetry {self.symmetry!r}: unknown; choose from {', '.join(SYMMETRIES)}")

    @property
    def asked(self) -> bool:
        """Whether anything is asked at all."""
        return self != Constraints(periodic=self.periodic)

    @property
    def shapes(self) -> bool:
        """Whether anything beyond the phase fraction is asked."""
        return self != Constraints(phase_fraction=self.phase_fraction, periodic=self.periodic)

    def spec(self) -> dict[str, Any]:
        """The constraints as JSON; ``Constraints.from_spec`` inverts it."""
        return asdict(self)

    @staticmethod
    def from_spec(spec: dict[str, Any]) -> Constraints:
        return Constraints(**{**spec, "phase_fraction": tuple(spec.get("phase_fraction", (0.0, 1.0)))})

    def fraction_goal(self) -> Goal:
        """The phase-fraction range as a goal of a target."""
        low, high = self.phase_fraction
        return Goal(PHASE_FRACTION, Kind.RANGE, low=low, high=high)

    def check_grid(self, grid: tuple[int, ...]) -> None:
        """Refuse sizes and symmetries that the grid cannot hold.

        Raises:
            InputError: a feature or gap wider than a third of the cell, a rotation by 90° of a grid that is not square.
        """
        widest = max(self.smallest_feature_px, self.smallest_gap_px)
        if 3 * widest > min(grid):
            raise InputError(
                f"constraint: a feature or gap of {widest} px is more than a third of a cell of {grid}; ask for less"
            )
        if self.symmetry == "rotation_90" and grid[0] != grid[1]:
            raise InputError(f"constraint symmetry rotation_90: needs a square grid, got {grid}; choose rotation_180")
        if round(self.phase_fraction[1] * np.prod(grid)) < np.ceil(self.phase_fraction[0] * np.prod(grid) - 1e-9):
            low, high = self.phase_fraction
            raise InputError(
                f"constraint phase_fraction {low:g}..{high:g}: no whole number of pixels of {grid} lies in it"
            )

    def violations(self, structure: Bool[Tensor, "*grid"] | ndarray) -> list[str]:
        """What the binary structure violates, one line each; empty where it satisfies all."""
        phase = as_mask(structure)
        return [text for check in _CHECKS if (text := check(self, phase))]

    def satisfied(self, structures: Bool[Tensor, "batch *grid"]) -> Bool[Tensor, "batch"]:
        """For each structure of a batch whether it violates nothing."""
        return torch.tensor([not self.violations(structure) for structure in structures], dtype=torch.bool)


def pixels_of(length_nm: float, period_nm: float, pixels: int) -> int:
    """The smallest whole number of pixels that is at least ``length_nm`` in a cell of ``period_nm`` and ``pixels``.

    Raises:
        InputError: a length that is no positive number.
    """
    if not 0 < length_nm < float("inf"):
        raise InputError(f"length {length_nm} nm: give a positive number")
    return max(1, int(np.ceil(length_nm / period_nm * pixels - 1e-9)))


def as_mask(structure: Tensor | ndarray) -> Bool[ndarray, "*grid"]:
    """A binary structure as a NumPy mask of phase 1.

    Raises:
        InputError: values other than 0 and 1.
    """
    values = structure.detach().cpu().numpy() if isinstance(structure, Tensor) else np.asarray(structure)
    mask = values.astype(bool)
    if not np.array_equal(mask, values):
        raise InputError("structure: constraints are checked on binary structures; binarise it first")
    return mask


# ---------------------------------------------------------------------------------------------------- morphology


@lru_cache
def disc(diameter: int, dimensions: int) -> Bool[ndarray, "..."]:
    """The discrete disc or ball of a diameter in pixels (see the module's docstring)."""
    along = np.arange(diameter) - (diameter - 1) / 2
    squared = sum(axis**2 for axis in np.meshgrid(*[along] * dimensions, indexing="ij"))
    return np.asarray(squared <= (diameter / 2) ** 2 + 1e-9)


def centres(phase: Bool[ndarray, "*grid"], diameter: int, periodic: bool) -> Bool[ndarray, "*grid"]:
    """Where a disc of ``diameter`` lies wholly inside the phase (its erosion). Outside a film that is not periodic
    everything counts as inside: the sample goes on beyond its edge."""
    return covering(~phase, diameter, periodic, reflected=True) == 0


def covering(
    marks: Bool[ndarray, "*grid"], diameter: int, periodic: bool, reflected: bool = False
) -> Int[ndarray, "*grid"]:
    """For each pixel how many discs centred at the marked pixels cover it (``reflected``: how many marked pixels the
    disc centred there covers)."""
    element = disc(diameter, marks.ndim)
    mode = "wrap" if periodic else "constant"
    operate = ndimage.correlate if reflected else ndimage.convolve
    return operate(marks.astype(np.int32), element.astype(np.int32), mode=mode)


def opened(phase: Bool[ndarray, "*grid"], diameter: int, periodic: bool) -> Bool[ndarray, "*grid"]:
    """Morphological opening: the union of all discs of ``diameter`` inside the phase."""
    if diameter <= 1:
        return phase
    if periodic:
        return covering(centres(phase, diameter, periodic), diameter, periodic) > 0
    # beyond the edge the sample goes on, so discs may be centred outside it
    padded = np.pad(phase, diameter, constant_values=True)
    inside = tuple(slice(diameter, -diameter) for _ in range(phase.ndim))
    return (covering(centres(padded, diameter, False), diameter, False) > 0)[inside]


def loose_components(phase: Bool[ndarray, "*grid"], periodic: bool) -> tuple[Int[ndarray, "*grid"], list[int]]:
    """Labels of the face-connected components, and which labels are islands (see the module's docstring)."""
    labels, count = ndimage.label(phase)
    if count == 0:
        return labels, []
    if not periodic:
        sizes = np.bincount(labels.ravel())[1:]
        return labels, [label for label in range(1, count + 1) if label != int(sizes.argmax()) + 1]
    root, wraps = _unroll(labels, count)
    merged = root[labels]
    return merged, [label for label in np.unique(merged[phase]).tolist() if not wraps[label]]


def _unroll(labels: Int[ndarray, "*grid"], count: int) -> tuple[Int[ndarray, "labels"], Bool[ndarray, "labels"]]:
    """Join components across the cell's faces; a component wraps where a loop of joins has a nonzero winding.

    Each label gets its place (which copy of the cell it lies in) relative to its component's root by a walk over the
    joins; a join that contradicts the places already given closes a loop round the cell.
    """
    joins: dict[int, list[tuple[int, tuple[int, ...]]]] = {label: [] for label in range(1, count + 1)}
    for axis in range(labels.ndim):
        step = tuple(int(axis == other) for other in range(labels.ndim))
        pairs = np.stack([labels.take(-1, axis).ravel(), labels.take(0, axis).ravel()])
        for last, first in np.unique(pairs[:, (pairs > 0).all(0)], axis=1).T.tolist():
            joins[last].append((first, step))
            joins[first].append((last, tuple(-s for s in step)))
    root, wraps = np.zeros(count + 1, dtype=np.int64), np.zeros(count + 1, dtype=bool)
    place: dict[int, tuple[int, ...]] = {}
    for start in joins:
        if start not in place:
            _walk(start, joins, place, root, wraps, labels.ndim)
    return root, wraps


def _walk(start: int, joins: dict, place: dict, root: ndarray, wraps: ndarray, dimensions: int) -> None:
    place[start], root[start] = (0,) * dimensions, start
    stack = [start]
    while stack:
        label = stack.pop()
        for other, step in joins[label]:
            there = tuple(a + b for a, b in zip(place[label], step, strict=True))
            if other not in place:
                place[other], root[other] = there, start
                stack.append(other)
            elif place[other] != there:
                wraps[start] = True


# ---------------------------------------------------------------------------------------------------- symmetry


def symmetry_images(grid: tuple[int, ...], symmetry: str) -> Int[ndarray, "images pixels"]:
    """For each operation of the group the flat index of every pixel's image; the identity first."""
    index = np.arange(np.prod(grid)).reshape(grid)
    images = {
        "none": [index],
        "mirror_x": [index, index[::-1]],
        "mirror_y": [index, index[:, ::-1]],
        "mirror_xy": [index, index[::-1], index[:, ::-1], index[::-1, ::-1]],
        "rotation_180": [index, index[::-1, ::-1]],
        "rotation_90": [np.rot90(index, turns) for turns in range(4)] if grid[0] == grid[1] else [index],
    }[symmetry]
    return np.stack([image.ravel() for image in images])


def symmetrised(phase: Bool[ndarray, "*grid"], symmetry: str) -> Bool[ndarray, "*grid"]:
    """Each orbit takes its majority; a tie goes to the orbit's first pixel."""
    images = symmetry_images(phase.shape, symmetry)
    votes = phase.ravel()[images].mean(0)
    first = phase.ravel()[images.min(0)]
    return np.where(votes == 0.5, first, votes > 0.5).reshape(phase.shape)


# ---------------------------------------------------------------------------------------------------- checks


def _check_fraction(constraints: Constraints, phase: ndarray) -> str:
    low, high = constraints.phase_fraction
    fraction = phase.mean()
    return "" if low - 1e-12 <= fraction <= high + 1e-12 else f"phase fraction {fraction:.4f} outside {low:g}..{high:g}"


def _check_feature(constraints: Constraints, phase: ndarray) -> str:
    return _too_narrow(phase, constraints.smallest_feature_px, constraints.periodic, "feature")


def _check_gap(constraints: Constraints, phase: ndarray) -> str:
    return _too_narrow(~phase, constraints.smallest_gap_px, constraints.periodic, "gap")


def _too_narrow(phase: ndarray, diameter: int, periodic: bool, what: str) -> str:
    lost = int(phase.sum() - opened(phase, diameter, periodic).sum())
    return f"{lost} pixels in a {what} narrower than {diameter} px" if lost else ""


def _check_islands(constraints: Constraints, phase: ndarray) -> str:
    return _loose(phase, constraints.periodic, "islands") if constraints.no_islands else ""


def _check_voids(constraints: Constraints, phase: ndarray) -> str:
    return _loose(~phase, constraints.periodic, "enclosed voids") if constraints.no_enclosed_voids else ""


def _loose(phase: ndarray, periodic: bool, what: str) -> str:
    loose = loose_components(phase, periodic)[1]
    return f"{len(loose)} {what}" if loose else ""


def _check_symmetry(constraints: Constraints, phase: ndarray) -> str:
    images = symmetry_images(phase.shape, constraints.symmetry)
    broken = int((phase.ravel()[images] != phase.ravel()).any(0).sum())
    return f"{broken} pixels break the symmetry {constraints.symmetry}" if broken else ""


_CHECKS = (_check_fraction, _check_feature, _check_gap, _check_islands, _check_voids, _check_symmetry)


# ---------------------------------------------------------------------------------------------------- projection


def repair(
    structures: Float[Tensor, "batch *grid"], constraints: Constraints, rounds: int = 4
) -> Float[Tensor, "batch *grid"]:
    """Binary structures near the given ones that satisfy the constraints where the projection can reach that.

    A structure that already satisfies everything is returned as it is.

    Raises:
        InputError: constraints that the grid cannot hold.
    """
    constraints.check_grid(tuple(structures.shape[1:]))
    mended = [_repaired(as_mask(structure), constraints, rounds) for structure in structures]
    return torch.from_numpy(np.stack(mended)).to(structures)


def _repaired(phase: Bool[ndarray, "*grid"], constraints: Constraints, rounds: int) -> Bool[ndarray, "*grid"]:
    for _ in range(rounds):
        if not constraints.violations(phase):
            break
        phase = _widened(symmetrised(phase, constraints.symmetry), constraints)
        phase = _joined(phase, constraints)
        phase = _with_fraction(phase, constraints)
    return phase


def _widened(phase: ndarray, constraints: Constraints, attempts: int = 40) -> ndarray:
    """Open both phases until both are unions of their discs.

    Where openings alone chase each other round a circle, what is too narrow is thickened instead, in random order.
    """
    features, gaps, periodic = constraints.smallest_feature_px, constraints.smallest_gap_px, constraints.periodic
    random = np.random.default_rng(0)
    for attempt in range(attempts):
        if not (_check_feature(constraints, phase) or _check_gap(constraints, phase)):
            break
        if attempt > 2 and random.random() < 0.5:
            phase = _thickened(phase, features, periodic)
            phase = ~_thickened(~phase, gaps, periodic)
        phase = opened(phase, features, periodic)
        phase = ~opened(~phase, gaps, periodic) if attempt % 2 == 0 or random.random() < 0.5 else phase
    return symmetrised(phase, constraints.symmetry)


def _thickened(phase: ndarray, diameter: int, periodic: bool) -> ndarray:
    """The phase with a whole disc at every pixel that is in too narrow a place."""
    narrow = phase & ~opened(phase, diameter, periodic)
    return phase | (covering(narrow, diameter, periodic) > 0)


def _joined(phase: ndarray, constraints: Constraints) -> ndarray:
    """Attach islands by bridges, then enclosed voids by channels."""
    if constraints.no_islands:
        phase = _bridged(phase, constraints.smallest_feature_px, constraints)
    if constraints.no_enclosed_voids:
        phase = ~_bridged(~phase, constraints.smallest_gap_px, constraints)
    return phase


def _bridged(phase: ndarray, width: int, constraints: Constraints) -> ndarray:
    """Drop specks, then attach the smallest island to its nearest neighbour until none is left."""
    labels, loose = loose_components(phase, constraints.periodic)
    specks = [label for label in loose if (labels == label).sum() <= 2 * disc(width, phase.ndim).sum()]
    if len(specks) < len(np.unique(labels[phase])):
        phase = phase & ~np.isin(labels, specks)
    for _ in range(2 * len(loose) + phase.ndim):
        labels, loose = loose_components(phase, constraints.periodic)
        if not loose:
            break
        smallest = min(loose, key=lambda label: (labels == label).sum())
        bridge = _bridge(phase, labels == smallest, width, constraints)
        phase = phase | bridge.ravel()[symmetry_images(phase.shape, constraints.symmetry)].any(0).reshape(phase.shape)
    return phase


def _bridge(phase: ndarray, island: ndarray, width: int, constraints: Constraints) -> ndarray:
    """The thick straight line from an island to the nearest other piece, in the tiled plane.

    The other piece may be the island's own next copy: then the bridge makes it wrap round the cell.
    """
    grid = np.array(phase.shape)
    copies = 3 if constraints.periodic else 1
    tiled = np.tile(phase, (copies,) * phase.ndim)
    labels = ndimage.label(tiled)[0]
    seed = np.argwhere(island)[0] + (grid if copies == 3 else 0)
    own = labels == labels[tuple(seed)]
    distance, nearest = ndimage.distance_transform_edt(~own, return_indices=True)
    others = np.argwhere(tiled & ~own)
    if len(others) == 0:
        return np.zeros_like(phase)
    end = others[distance[tuple(others.T)].argmin()]
    start = nearest[(slice(None), *end)]
    return _line(start, end, width, phase.shape, constraints.periodic)


def _line(start: ndarray, end: ndarray, width: int, grid: tuple[int, ...], periodic: bool) -> ndarray:
    """All discs of ``width`` centred on the straight line between two pixels of the tiled plane."""
    steps = int(np.abs(end - start).max()) * 2 + 1
    points = np.rint(start + np.linspace(0, 1, steps)[:, None] * (end - start)).astype(int)
    marks = np.zeros(grid, dtype=bool)
    marks[tuple((points % np.array(grid)).T)] = True
    return covering(marks, width, periodic) > 0


def _with_fraction(phase: ndarray, constraints: Constraints) -> ndarray:
    """Grow or thin by whole discs, smoothest places first, until the fraction is in range or nothing legal is left."""
    low, high = (bound * phase.size for bound in constraints.phase_fraction)
    for _ in range(200):
        count = phase.sum()
        if low - 1e-9 <= count <= high + 1e-9:
            break
        moved = _thinned(phase, constraints, count - high) if count > high else _grown(phase, constraints, low - count)
        if moved.sum() == count:
            break
        phase = moved
    return phase


def _grown(phase: ndarray, constraints: Constraints, missing: float) -> ndarray:
    """Add discs that touch the phase where most of it is near; room to the upper bound is kept."""
    smooth = ndimage.gaussian_filter(phase.astype(float), 2.0, mode="wrap" if constraints.periodic else "nearest")
    moves = additions(phase, constraints)
    return _take(phase, constraints, moves, -smooth, missing)


def _thinned(phase: ndarray, constraints: Constraints, surplus: float) -> ndarray:
    """Remove discs where least of the phase is near."""
    smooth = ndimage.gaussian_filter(phase.astype(float), 2.0, mode="wrap" if constraints.periodic else "nearest")
    moves = removals(phase, constraints)
    return _take(phase, constraints, moves, smooth, surplus)


def _take(phase: ndarray, constraints: Constraints, moves: Moves, order: ndarray, wanted: float) -> ndarray:
    """The first moves of an order that together change about ``wanted`` pixels, kept legal."""
    candidates = np.flatnonzero(moves.legal)
    candidates = candidates[order.ravel()[candidates].argsort(kind="stable")]
    enough = int(np.searchsorted(moves.size.ravel()[candidates].cumsum(), max(wanted, 1))) + 1
    # a fraction that is being mended is out of range by itself: only the shape decides here
    shape_only = Constraints(**{**asdict(constraints), "phase_fraction": (0.0, 1.0)})
    return apply_legal(phase, shape_only, [(moves.at(i), moves.value) for i in candidates[: min(enough, 200)]])


# ---------------------------------------------------------------------------------------------------- moves


@dataclass(frozen=True)
class Moves:
    """Small changes of a structure, one for each disc centre, that keep the smallest feature (or gap).

    Attributes:
        changed: the pixels that may change, a mask: those that no disc covers yet (additions), or those that a single
            disc holds (removals).
        legal: the centres whose disc changes between one pixel and one diameter of them.
        size: how many pixels the move at each centre changes.
        value: the phase that they change to.
        diameter: of the disc.
        periodic: whether the structure repeats.
    """

    changed: Bool[ndarray, "*grid"]
    legal: Bool[ndarray, "*grid"]
    size: Int[ndarray, "*grid"]
    value: bool
    diameter: int
    periodic: bool

    def benefit(self, sensitivity: Float[ndarray, "*grid"]) -> Float[ndarray, "*grid"]:
        """Sum of a sensitivity over the pixels that the move at each centre changes."""
        masked = np.where(self.changed, sensitivity, 0.0)
        element = disc(self.diameter, masked.ndim).astype(masked.dtype)
        if self.diameter == 1:
            return masked
        return ndimage.correlate(masked, element, mode="wrap" if self.periodic else "constant")

    def at(self, centre: int) -> Int[ndarray, "pixels"]:
        """Flat indices of the pixels that the move at a flat centre changes."""
        grid = self.changed.shape
        place = np.array(np.unravel_index(centre, grid))
        around = place + np.argwhere(disc(self.diameter, len(grid))) - self.diameter // 2
        if self.periodic:
            around %= np.array(grid)
        else:
            around = around[((around >= 0) & (around < np.array(grid))).all(1)]
        flat = np.ravel_multi_index(tuple(around.T), grid)
        return flat[self.changed.ravel()[flat]]


def additions(phase: Bool[ndarray, "*grid"], constraints: Constraints) -> Moves:
    """Discs of the smallest feature that stick out of phase 1 by at most one layer; every union of discs stays one."""
    return _growth(phase, constraints.smallest_feature_px, True, constraints.periodic)


def removals(phase: Bool[ndarray, "*grid"], constraints: Constraints) -> Moves:
    """What to take from phase 1: with a smallest feature, the pixels that one disc alone holds, so that the others'
    union remains; with a smallest gap only, discs of phase 0 grown into phase 1."""
    if constraints.smallest_feature_px == 1:
        return _growth(~phase, constraints.smallest_gap_px, False, constraints.periodic)
    diameter, periodic = constraints.smallest_feature_px, constraints.periodic
    inside = centres(phase, diameter, periodic)
    held_once = covering(inside, diameter, periodic) == 1
    size = covering(held_once, diameter, periodic, reflected=True)
    return Moves(held_once, inside & (size >= 1) & (size <= diameter), size, False, diameter, periodic)


def _growth(phase: ndarray, diameter: int, value: bool, periodic: bool) -> Moves:
    size = covering(~phase, diameter, periodic, reflected=True)
    if diameter == 1:
        legal = boundary(phase, periodic) & ~phase & _smooth(phase, periodic)
    else:
        legal = (size >= 1) & (size <= diameter)
    return Moves(~phase, legal, size, value, diameter, periodic)


def _smooth(phase: ndarray, periodic: bool) -> ndarray:
    """Where at least as many neighbours (corners included) belong to the phase as beside its flat edge: growing there
    makes no specks, spikes or chequers."""
    around = ndimage.correlate(
        phase.astype(np.int32), np.ones((3,) * phase.ndim, dtype=np.int32), mode="wrap" if periodic else "nearest"
    )
    return around - phase >= 3 ** (phase.ndim - 1)


def boundary(phase: Bool[ndarray, "*grid"], periodic: bool) -> Bool[ndarray, "*grid"]:
    """Pixels with a face neighbour of the other phase."""
    edge = np.zeros_like(phase)
    for axis, shift in itertools.product(range(phase.ndim), (1, -1)):
        different = np.roll(phase, shift, axis) != phase
        if not periodic:
            rim = [slice(None)] * phase.ndim
            rim[axis] = slice(0, 1) if shift == 1 else slice(-1, None)
            different[tuple(rim)] = False
        edge |= different
    return edge


#: the pixels (flat indices) that a move sets, and the phase that it sets them to
Move = tuple[Int[ndarray, "pixels"], bool]


def apply_legal(phase: Bool[ndarray, "*grid"], constraints: Constraints, moves: list[Move]) -> Bool[ndarray, "*grid"]:
    """Make as many of the moves as keep every constraint, by bisection: moves that together violate something are
    tried in halves, so that k bad ones among n cost about k·log n checks. Symmetric images move together."""
    if not moves:
        return phase
    moved = _applied(phase, constraints, moves)
    if not constraints.asked or not constraints.violations(moved):
        return moved
    if len(moves) == 1:
        return phase
    half = len(moves) // 2
    return apply_legal(apply_legal(phase, constraints, moves[:half]), constraints, moves[half:])


def _applied(phase: ndarray, constraints: Constraints, moves: list[Move]) -> ndarray:
    images = symmetry_images(phase.shape, constraints.symmetry)
    moved = phase.flatten()
    for value in (False, True):
        pixels = [pixels for pixels, sets in moves if sets is value]
        if pixels:
            moved[images[:, np.concatenate(pixels)]] = value
    # what two neighbouring discs held together is held by none once both are gone
    moved = opened(moved.reshape(phase.shape), constraints.smallest_feature_px, constraints.periodic)
    return ~opened(~moved, constraints.smallest_gap_px, constraints.periodic)


def constraints_of_file(text: str, given: Constraints) -> Constraints:
    """``given``, with the table ``constraints`` of a target's TOML file over it; ``text`` as for ``parse_target``.

    Raises:
        InputError: unknown keys, or values that ``Constraints`` refuses.
    """
    if not text.strip().endswith(".toml"):
        return given
    table = read_toml(Path(text.strip())).get("constraints", {})
    known = set(asdict(given))
    if not isinstance(table, dict) or set(table) - known:
        raise InputError(f"target file {text.strip()}: table constraints may hold {', '.join(sorted(known))} only")
    return Constraints.from_spec({**given.spec(), **table})
