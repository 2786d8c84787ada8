"""Optics of pixelated films: what is there (``cell``) and how it is computed (``rcwa``, dense; ``staggered``,
matrix-free)."""

from microwright.physics.optics.cell import MIRROR, Film, OpticalCell, PatternedLayer, default_cell
from microwright.physics.optics.rcwa import RcwaNumerics, RcwaSolver, Response, simulate
from microwright.physics.optics.staggered import StaggeredNumerics, StaggeredSolver

__all__ = [
    "MIRROR",
    "Film",
    "OpticalCell",
    "PatternedLayer",
    "RcwaNumerics",
    "RcwaSolver",
    "Response",
    "StaggeredNumerics",
    "StaggeredSolver",
    "default_cell",
    "simulate",
]
