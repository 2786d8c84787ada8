"""Microwright: which microstructure does what I need?

Give it a target property and get many different structures that reach it, each verified by a physics solver.
"""

from importlib.metadata import version

__version__ = version("microwright")
