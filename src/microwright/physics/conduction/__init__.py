"""Effective conductivity and diffusivity with the machinery of the elastic engine."""

from microwright.physics.conduction.solver import ConductionPhases, ConductionSolver

__all__ = ["ConductionPhases", "ConductionSolver"]
