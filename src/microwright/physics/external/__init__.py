"""Simulators of others as solvers: a Python function, or any command that reads a file and writes a result."""

from microwright.physics.external.command import CommandSolver
from microwright.physics.external.function import FunctionSolver
from microwright.physics.external.simulator_file import read_simulator

__all__ = ["CommandSolver", "FunctionSolver", "read_simulator"]
