"""Effective elastic stiffness of multi-phase structures by finite elements on voxels."""

from microwright.physics.elasticity.phases import ElasticPhases
from microwright.physics.elasticity.solver import ElasticSolver, LocalFields
from microwright.physics.homogenisation import CgNumerics

__all__ = ["CgNumerics", "ElasticPhases", "ElasticSolver", "LocalFields"]
